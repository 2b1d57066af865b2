//! A call of our own, in two processes like the ones that people start.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use crossbeam_channel::Receiver;
use engine::base::time::Duration;
use engine::media::report::Report;

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
pub fn watch(time: Duration, folder: &Path, stop: &Receiver<()>) -> Result<Watched> {
    let (markers, report) = (folder.join("markers"), folder.join("report"));
    let silent = ["--mic", "none", "--speaker", "none"];
    let (mut callee, base) = listen(folder, &silent, &[], stop)?;
    let mut caller = command(folder, "caller", &[])?;
    caller.arg("call").arg(format!("127.0.0.1:{base}")).args(["--video", "none"]).args(silent);
    caller.arg("--for").arg(time.as_secs_f64().to_string());
    caller.arg("--markers").arg(&markers).arg("--report").arg(&report);
    let mut caller = Guarded::start("the caller", caller, folder)?;
    caller.finish(time + START + END, stop)?;
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
    env: &[(String, String)],
    folder: &Path,
    stop: &Receiver<()>,
    during: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let (mut callee, base) = listen(folder, &["--video", "none", "--mic", "none", "--speaker", to], env, stop)?;
    let mut caller = command(folder, "caller", env)?;
    caller.arg("call").arg(format!("127.0.0.1:{base}")).args(["--video", "none", "--mic", from, "--speaker", "none"]);
    let mut caller = Guarded::start("the caller", caller, folder)?;
    for party in [&mut caller, &mut callee] {
        party.wait_for("in call with", START, stop)?;
    }
    during()
}

/// One who waits for the call, and the base port where.
fn listen(folder: &Path, args: &[&str], env: &[(String, String)], stop: &Receiver<()>) -> Result<(Guarded, u16)> {
    let base = free_base()?;
    let mut callee = command(folder, "callee", env)?;
    callee.args(["listen", "--auto-answer", "--once", "--base-port", &base.to_string()]).args(args);
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
