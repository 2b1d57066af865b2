//! People with the program itself: a data folder each, and a process for each thing they do.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use engine::base::pipe::{PipeReceiver, pipe};
use engine::base::time::now;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::Outcome;
use crate::party::{command, program};

/// A person at a machine.
#[derive(Clone, Debug)]
pub struct Person {
    pub name: String,
    pub data: PathBuf,
    /// The link to the service.
    pub service: String,
    /// What stands before the program: the machine it runs on, where that is not this one.
    pub within: Vec<String>,
}

/// A process that tells what happens, a line of JSON each. Dropping it kills it.
pub struct Following {
    child: Child,
    lines: PipeReceiver<String>,
    reader: Option<JoinHandle<()>>,
}

impl Person {
    pub fn new(name: &str, data: &Path, service: &str) -> Self {
        Self { name: name.to_owned(), data: data.join(name), service: service.to_owned(), within: Vec::new() }
    }

    pub fn within(mut self, within: Vec<String>) -> Self {
        self.within = within;
        self
    }

    /// Runs the program with `args` to its end; what it printed.
    ///
    /// # Errors
    /// It failed: its words.
    pub fn run(&self, args: &[&str]) -> Outcome<Value> {
        self.run_with(args, &[])
    }

    /// The same with more in its environment.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_with(&self, args: &[&str], env: &[(&str, &str)]) -> Outcome<Value> {
        let output = self.command(args)?.envs(env.iter().copied()).output().map_err(|error| error.to_string())?;
        let (out, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if !output.status.success() {
            return Err(format!("{} {args:?}: {}: {said}", self.name, output.status));
        }
        // Shown where the test fails.
        eprint!("{}", said.lines().map(|line| format!("{} {args:?}: {line}\n", self.name)).collect::<String>());
        serde_json::from_str(&out).map_err(|error| format!("{} {args:?}: {error}: {out:?} {said}", self.name))
    }

    /// Makes an account.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn register(&self) -> Outcome<Value> {
        self.run(&["account", "register", &self.name, "--service", &self.service])
    }

    /// Starts the program with `args`, and lets it tell.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn follow(&self, args: &[&str]) -> Outcome<Following> {
        let mut command = self.command(args)?;
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let stdout = child.stdout.take().ok_or("no standard output")?;
        let (lines, told) = pipe(1024);
        let read = move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if lines.try_send(line).is_err() {
                    return;
                }
            }
        };
        let reader = std::thread::Builder::new().name(format!("{} tells", self.name)).spawn(read);
        Ok(Following { child, lines: told, reader: Some(reader.map_err(|error| error.to_string())?) })
    }

    fn command(&self, args: &[&str]) -> Outcome<Command> {
        let mut command = command(&self.within, &program()?);
        command.args(args).args(["--json", "--lan", "off"]).arg("--data").arg(&self.data);
        command.env("VISAVIS_PASSWORD", format!("the password of {}", self.name));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(command)
    }
}

impl Following {
    /// The next line that `wanted` takes, where one comes in time; others are passed over.
    pub fn next(&self, patience: Duration, wanted: impl Fn(&Value) -> bool) -> Option<Value> {
        let until = now() + patience;
        while let Some(line) = self.lines.recv_timeout(until.saturating_duration_since(now())) {
            if let Some(value) = serde_json::from_str(&line).ok().filter(&wanted) {
                return Some(value);
            }
        }
        None
    }

    /// Ends it as Ctrl-C does, and waits.
    pub fn stop(mut self) {
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// Whether any file in `folder`, or below it, has `bytes` in it.
pub fn is_in_files(folder: &Path, bytes: &[u8]) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| match path.is_dir() {
        true => is_in_files(&path, bytes),
        false => std::fs::read(&path).is_ok_and(|held| held.windows(bytes.len().max(1)).any(|part| part == bytes)),
    })
}
