//! A call of our own, in two processes like the ones that people start.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use crossbeam_channel::Receiver;
use engine::base::time::Duration;
use engine::media::report::Report;
use engine::net::impair::Impairment;
use engine::proto::keys;

use super::chromium::Watched;
use super::process::Guarded;
use crate::markers;

/// Starting, and finding each other.
const START: Duration = Duration::from_secs(20);
/// Hanging up and writing the report.
const END: Duration = Duration::from_secs(10);

/// A call of `time` that carries pictures from one side to the other, as the one who sees them has seen them.
///
/// # Errors
/// One of the two does not start or does not end well, or `stop` was told.
pub fn watch(time: Duration, path: Option<(Impairment, u64)>, folder: &Path, stop: &Receiver<()>) -> Result<Watched> {
    let (markers, report) = (folder.join("markers"), folder.join("report"));
    let silent = ["--mic", "none", "--speaker", "none"];
    let (mut callee, base) = listen(folder, &silent, path, &[], stop)?;
    let name = caller_name()?;
    let mut caller = command(folder, &name, &[])?;
    caller.arg("call").arg(format!("127.0.0.1:{base}")).args(["--video", "none"]).args(silent);
    caller.arg("--for").arg(time.as_secs_f64().to_string());
    caller.arg("--markers").arg(&markers).arg("--report").arg(&report);
    let mut caller = Guarded::start("the caller", caller, folder)?;
    meet(&mut caller, &mut callee, &name, stop)?;
    caller.finish(time + END, stop)?;
    callee.finish(END, stop)?;
    let report = std::fs::read(&report).context("the caller left no report")?;
    let report: Report = serde_json::from_slice(&report).context("the caller's report")?;
    let size = report.video.width.zip(report.video.height);
    Ok(Watched { seen: markers::read(&markers)?, codec: Some("video/H264".to_owned()), size })
}

/// A call that carries sound from the microphone `from` to the loudspeaker `to` of `env`, while `during` runs.
///
/// # Errors
/// One of the two does not start, `stop` was told, or what `during` gives.
pub fn carry_sound<T>(
    [from, to]: [&str; 2],
    path: Option<(Impairment, u64)>,
    env: &[(String, String)],
    folder: &Path,
    stop: &Receiver<()>,
    during: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let (mut callee, base) = listen(folder, &["--video", "none", "--mic", "none", "--speaker", to], path, env, stop)?;
    let name = caller_name()?;
    let mut caller = command(folder, &name, env)?;
    caller.arg("call").arg(format!("127.0.0.1:{base}")).args([
        "--video",
        "none",
        "--mic",
        from,
        "--processing",
        "off",
        "--speaker",
        "none",
    ]);
    let mut caller = Guarded::start("the caller", caller, folder)?;
    meet(&mut caller, &mut callee, &name, stop)?;
    during()
}

/// Waits until the two are in a call with each other. A party listens to the whole network, and this one answers whoever
/// calls: a stranger's call must not be what is measured.
fn meet(caller: &mut Guarded, callee: &mut Guarded, name: &str, stop: &Receiver<()>) -> Result<()> {
    let called = caller.wait_for("in call with", START, stop);
    // It takes one call at a time and ends after it, so what it says first of a caller it says of the only one.
    let rang = match &called {
        Ok(_) => Some(callee.wait_for(RANG, START, stop)?),
        // Ours failed, and a stranger may be why.
        Err(_) => callee.line_with(RANG),
    };
    if let Some(stranger) = rang.as_deref().and_then(|line| line.strip_suffix(RANG)).filter(|peer| *peer != name) {
        bail!("{stranger} called into the measurement over the network: measure again, on a machine that nobody calls");
    }
    called?;
    callee.wait_for(&format!("in call with {name}"), START, stop)?;
    Ok(())
}

/// What a party says behind the name of one who calls it.
const RANG: &str = " calls";

/// A name that nobody else calls under.
fn caller_name() -> Result<String> {
    Ok(format!("caller {:016x}", u64::from_ne_bytes(keys::random()?)))
}

/// One who waits for the call, and the base port where.
fn listen(
    folder: &Path,
    args: &[&str],
    path: Option<(Impairment, u64)>,
    env: &[(String, String)],
    stop: &Receiver<()>,
) -> Result<(Guarded, u16)> {
    let base = free_base()?;
    let mut callee = command(folder, "callee", env)?;
    callee.args(["listen", "--auto-answer", "--once", "--base-port", &base.to_string()]).args(args);
    // Both ways at one end.
    if let Some((impairment, seed)) = path {
        callee.args(["--impair", &impairment.to_string(), "--seed", &seed.to_string()]);
    }
    let mut callee = Guarded::start("the callee", callee, folder)?;
    callee.wait_for("listening on port", START, stop)?;
    Ok((callee, base))
}

fn command(folder: &Path, name: &str, env: &[(String, String)]) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("where is this program?")?);
    command.args(["--headless", "--name", name]).arg("--data").arg(folder.join(name));
    command.envs(env.iter().map(|(key, value)| (key, value)));
    Ok(command)
}

/// A base port that nobody has: one who is called is expected at it, so the party does not look for another. Two
/// comparisons at once begin to look at different places.
fn free_base() -> Result<u16> {
    /// Past those of the demonstration, in steps past the media range of the one before.
    const FIRST: u16 = 2700;
    const STEP: u16 = 110;
    const COUNT: u16 = 50;
    let begin = (std::process::id() % u32::from(COUNT)) as u16;
    let free = |base: &u16| TcpListener::bind((Ipv4Addr::UNSPECIFIED, *base)).is_ok();
    let mut bases = (0..COUNT).map(|turn| FIRST + (begin + turn) % COUNT * STEP);
    bases.find(free).context("no free port from 2700 to 8200")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "caller 0123";

    /// How two who say this come into a call.
    fn met(caller: &str, callee: &str) -> Result<(), String> {
        let folder = tempfile::tempdir().expect("a folder");
        let (_told, stop) = crossbeam_channel::bounded(1);
        let shell = |name: &str, script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            Guarded::start(name, command, folder.path()).expect("a shell")
        };
        let mut callee = shell("the callee", &format!("exec >&2; {callee}; exec sleep 60"));
        // Ours comes after the stranger.
        callee.wait_for("listening", START, &stop).expect("it listens");
        let mut caller = shell("the caller", &format!("exec >&2; {caller}"));
        meet(&mut caller, &mut callee, NAME, &stop).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_strangers_call_is_one_clear_line() {
        let ours = "echo in call with callee; exec sleep 60";
        let refused = "echo busy: callee is in another call. Try again later.; exit 1";
        let called = |name: &str| format!("echo {name} calls; echo in call with {name}; echo listening");
        assert_eq!(met(ours, &called(NAME)), Ok(()));
        for ours in [refused, ours] {
            let said = met(ours, &called("Mallory")).expect_err("not ours");
            assert!(said.starts_with("Mallory called into the measurement") && !said.contains('\n'), "{said}");
        }
        // Nobody else is to blame.
        let said = met(refused, "echo listening").expect_err("refused");
        assert!(said.starts_with("the caller ended too early") && said.ends_with("later."), "{said}");
    }

    #[test]
    fn no_two_callers_have_the_same_name() {
        let [one, other] = [caller_name(), caller_name()].map(|name| name.expect("random"));
        assert!(one != other && one.len() < 64, "{one} {other}");
    }
}
