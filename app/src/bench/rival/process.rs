//! Programs that are started for a while, and end with whoever started them.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};
use crossbeam_channel::Receiver;
use engine::base::time::{Duration, now};
use rustix::process::{Pid, Signal, kill_process_group};

/// A running program with all that it has started. Dropping it ends them.
#[derive(Debug)]
pub struct Guarded {
    name: String,
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

/// How long a program that was asked to end may take.
const GRACE: Duration = Duration::from_secs(3);
/// How often a file or a program is looked at again: neither tells when it changes.
pub const LOOK_EVERY: Duration = Duration::from_millis(20);

impl Guarded {
    /// Starts it. What it says is written to files in `folder`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(name: &str, mut command: Command, folder: &Path) -> Result<Self> {
        let file = |ending: &str| folder.join(format!("{name}.{ending}"));
        let (out, err) = (file("out"), file("err"));
        let create = |path: &Path| File::create(path).with_context(|| format!("cannot write {}", path.display()));
        // A group of its own: those that it starts are ended with it, and Ctrl-C reaches it through us alone.
        command.process_group(0).stdin(Stdio::null()).stdout(create(&out)?).stderr(create(&err)?);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name: name.to_owned(), child, out, err })
    }

    /// Why it is over; `None` while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// All that it has said on the standard output.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.out).unwrap_or_default()
    }

    /// Waits until its standard error has `text`.
    ///
    /// # Errors
    /// It ended before, is late, or `stop` was told.
    pub fn wait_for(&mut self, text: &str, patience: Duration, stop: &Receiver<()>) -> Result<()> {
        let until = now() + patience;
        while !self.complaints().contains(text) {
            if let Some(status) = self.ended() {
                bail!("{} ended too early ({status}){}", self.name, self.last_words());
            }
            if now() >= until {
                bail!("{} did not say {text:?} within {} s{}", self.name, patience.as_secs(), self.last_words());
            }
            pause(stop)?;
        }
        Ok(())
    }

    /// Waits until it has ended well.
    ///
    /// # Errors
    /// It ended otherwise, is late, or `stop` was told.
    pub fn finish(&mut self, patience: Duration, stop: &Receiver<()>) -> Result<()> {
        let until = now() + patience;
        loop {
            match self.ended() {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("{} failed ({status}){}", self.name, self.last_words()),
                None if now() >= until => {
                    bail!("{} did not end within {} s{}", self.name, patience.as_secs(), self.last_words())
                }
                None => pause(stop)?,
            }
        }
    }

    fn complaints(&self) -> String {
        fs::read(&self.err).map_or_else(|_| String::new(), |said| String::from_utf8_lossy(&said).into_owned())
    }

    /// The last line of its standard error: mostly it says why.
    fn last_words(&self) -> String {
        let said = self.complaints();
        said.lines().rev().find(|line| !line.trim().is_empty()).map_or_else(String::new, |line| format!(": {line}"))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let group = Pid::from_child(&self.child);
        // What has ended by itself was waited for: its number may be another's by now.
        if self.ended().is_some() {
            return;
        }
        let _ = kill_process_group(group, Signal::TERM);
        let until = now() + GRACE;
        while self.ended().is_none() && now() < until {
            std::thread::sleep(LOOK_EVERY);
        }
        if self.ended().is_none() {
            let _ = kill_process_group(group, Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// A short rest.
///
/// # Errors
/// `stop` was told: everything is to end.
pub fn pause(stop: &Receiver<()>) -> Result<()> {
    match stop.recv_timeout(LOOK_EVERY) {
        Ok(()) => bail!("stopped"),
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, folder: &Path) -> Guarded {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Guarded::start("a shell", command, folder).expect("a shell")
    }

    #[test]
    fn what_a_program_started_ends_with_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let (_told, stop) = crossbeam_channel::bounded(1);
        let mut guarded = shell("sleep 60 & echo $! >&2; echo ready >&2; wait", folder.path());
        guarded.wait_for("ready", Duration::from_secs(10), &stop).expect("ready");
        let started = guarded.complaints().lines().next().and_then(|line| line.parse().ok());
        let started = Pid::from_raw(started.expect("a number")).expect("a process");
        drop(guarded);
        let until = now() + Duration::from_secs(5);
        while rustix::process::test_kill_process(started).is_ok() && now() < until && !is_zombie(started) {
            std::thread::sleep(LOOK_EVERY);
        }
        assert!(rustix::process::test_kill_process(started).is_err() || is_zombie(started));
    }

    /// One whose parent has ended waits for the system's first process, which takes its time in a container.
    fn is_zombie(pid: Pid) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
        stat.contains(") Z ")
    }

    #[test]
    fn a_program_that_fails_or_hangs_is_one_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let (told, stop) = crossbeam_channel::bounded(1);
        let line = |result: Result<()>| format!("{:#}", result.expect_err("it cannot go well"));
        let failed = line(shell("echo no such thing >&2; exit 3", folder.path()).finish(GRACE, &stop));
        assert!(failed.contains("exit status: 3") && failed.ends_with("no such thing"), "{failed}");
        let mut hung = shell("sleep 60", folder.path());
        assert!(line(hung.finish(Duration::from_millis(50), &stop)).contains("did not end"));
        told.send(()).expect("room");
        assert_eq!(line(hung.finish(GRACE, &stop)), "stopped");
    }
}
