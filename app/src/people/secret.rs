//! Passwords: asked for on the terminal without showing them, or taken from the standard input or the environment. Never from
//! the command line, which other people of a machine can read.

use std::io::{BufRead, IsTerminal, stdin};

use anyhow::{Result, bail};
use engine::proto::service::account::Secret;

/// Asks for a secret. `variable`: the environment's name for it.
pub fn ask(prompt: &str, variable: &str) -> Result<Secret> {
    if let Ok(secret) = std::env::var(variable) {
        return Ok(Secret::new(&secret));
    }
    let _hidden = stdin().is_terminal().then(Hidden::begin).flatten();
    if stdin().is_terminal() {
        eprint!("{prompt}: ");
    }
    let mut line = String::new();
    stdin().lock().read_line(&mut line)?;
    let secret = line.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        bail!("no {} was given: type it, or say it on the standard input or in {variable}", prompt.to_lowercase());
    }
    Ok(Secret::new(secret))
}

/// The terminal shows nothing of what is typed until this is dropped.
#[cfg(unix)]
struct Hidden(rustix::termios::Termios);

#[cfg(unix)]
impl Hidden {
    fn begin() -> Option<Self> {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let before = tcgetattr(stdin()).ok()?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(stdin(), OptionalActions::Flush, &hidden).ok()?;
        Some(Self(before))
    }
}

#[cfg(unix)]
impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = rustix::termios::tcsetattr(stdin(), rustix::termios::OptionalActions::Flush, &self.0);
        eprintln!();
    }
}

#[cfg(not(unix))]
struct Hidden;

#[cfg(not(unix))]
impl Hidden {
    fn begin() -> Option<Self> {
        None
    }
}
