//! Programs that are started for a while, and end with whoever started them.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};
use crossbeam_channel::Receiver;
use engine::base::time::{Duration, now};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// A running program with all that it has started. Dropping it ends them, and what it leaves behind ends with it.
#[derive(Debug)]
pub struct Guarded {
    name: String,
    child: Child,
    /// Why it is over, once it was waited for.
    over: Option<ExitStatus>,
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
    pub fn start(name: &str, command: Command, folder: &Path) -> Result<Self> {
        let out = create(&folder.join(format!("{name}.out")))?;
        Self::spawn(name, command, folder, Stdio::null(), out.into())
    }

    /// As [`Self::start`], what it reads or writes being one of our own pipes.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn feed(name: &str, command: Command, folder: &Path) -> Result<(Self, ChildStdin)> {
        let mut fed = Self::spawn(name, command, folder, Stdio::piped(), Stdio::null())?;
        let input = fed.child.stdin.take().context("it has an input")?;
        Ok((fed, input))
    }

    /// As [`Self::feed`], with the other end.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn drain(name: &str, command: Command, folder: &Path) -> Result<(Self, ChildStdout)> {
        let mut drained = Self::spawn(name, command, folder, Stdio::null(), Stdio::piped())?;
        let output = drained.child.stdout.take().context("it has an output")?;
        Ok((drained, output))
    }

    /// Both ends of one.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn pass(name: &str, command: Command, folder: &Path) -> Result<(Self, ChildStdin, ChildStdout)> {
        let mut passed = Self::spawn(name, command, folder, Stdio::piped(), Stdio::piped())?;
        let (input, output) = (passed.child.stdin.take(), passed.child.stdout.take());
        Ok((passed, input.context("it has an input")?, output.context("it has an output")?))
    }

    fn spawn(name: &str, mut command: Command, folder: &Path, input: Stdio, output: Stdio) -> Result<Self> {
        let (out, err) = (folder.join(format!("{name}.out")), folder.join(format!("{name}.err")));
        // A group of its own: those that it starts are ended with it, and Ctrl-C reaches it through us alone.
        command.process_group(0).stdin(input).stdout(output).stderr(create(&err)?);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name: name.to_owned(), child, over: None, out, err })
    }

    /// Why it is over; `None` while it runs. What it has started is over then as well.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.over.is_none() && self.is_over() {
            self.over = self.reap();
        }
        self.over
    }

    /// All that it has said on the standard output.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.out).unwrap_or_default()
    }

    /// The first line of its standard error that contains `text`; `None` while there is none.
    pub fn line_with(&self, text: &str) -> Option<String> {
        let said = self.complaints();
        // One that has no end yet is still being written.
        let mut lines = said.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        lines.find(|line| line.contains(text)).map(str::to_owned)
    }

    /// Waits until its standard error has a line that contains `text`, and returns that line.
    ///
    /// # Errors
    /// It ended before, is late, or `stop` was told.
    pub fn wait_for(&mut self, text: &str, patience: Duration, stop: &Receiver<()>) -> Result<String> {
        let until = now() + patience;
        loop {
            // Asked before its words are read: it may say it and end between the two.
            let ended = self.ended();
            if let Some(line) = self.line_with(text) {
                return Ok(line);
            }
            if let Some(status) = ended {
                bail!("{} ended too early ({status}){}", self.name, self.last_words());
            }
            if now() >= until {
                bail!("{} did not say {text:?} within {} s{}", self.name, patience.as_secs(), self.last_words());
            }
            pause(stop)?;
        }
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

    /// Whether it has ended. It is not waited for yet.
    fn is_over(&self) -> bool {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        matches!(waitid(WaitId::Pid(Pid::from_child(&self.child)), look), Ok(Some(_)))
    }

    /// Ends what is left of it and waits for it. In this order: its number is its group's only until it was waited for,
    /// and may be another's after that.
    fn reap(&mut self) -> Option<ExitStatus> {
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        self.child.wait().ok()
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

/// Whether the PATH has it.
pub fn is_installed(name: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(name).is_file()))
}

fn create(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("cannot write {}", path.display()))
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if self.ended().is_some() {
            return;
        }
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::TERM);
        let until = now() + GRACE;
        while self.ended().is_none() && now() < until {
            std::thread::sleep(LOOK_EVERY);
        }
        if self.over.is_none() {
            self.over = self.reap();
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
        // The second one does not end when it is asked to; the shell does, and is gone before it.
        for script in ["sleep 60 & ", "trap '' TERM; sleep 60 & trap - TERM; "] {
            let mut guarded = shell(&format!("{script} echo started $! >&2; wait"), folder.path());
            let started = started(&guarded.wait_for("started", Duration::from_secs(10), &stop).expect("a line"));
            assert!(!is_gone(started));
            drop(guarded);
            assert!(is_soon_gone(started), "{script}");
        }
    }

    #[test]
    fn what_a_program_leaves_behind_ends_when_it_is_found_to_be_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let (_told, stop) = crossbeam_channel::bounded(1);
        let mut guarded = shell("sleep 60 & echo started $! >&2; exit 7", folder.path());
        let failed = format!("{:#}", guarded.finish(Duration::from_secs(10), &stop).expect_err("it fails"));
        assert!(failed.contains("exit status: 7"), "{failed}");
        assert!(is_soon_gone(started(&guarded.line_with("started").expect("a line"))));
        // It stays the same, and nobody is killed in its stead.
        assert_eq!(guarded.ended().and_then(|status| status.code()), Some(7));

        // Nobody has asked before it is dropped.
        let guarded = shell("sleep 60 & echo started $! >&2; exit 7", folder.path());
        let until = now() + Duration::from_secs(10);
        while !guarded.is_over() && now() < until {
            std::thread::sleep(LOOK_EVERY);
        }
        let started = started(&guarded.line_with("started").expect("a line"));
        assert!(guarded.is_over() && !is_gone(started));
        drop(guarded);
        assert!(is_soon_gone(started));
    }

    /// The number at the end of a line.
    fn started(line: &str) -> Pid {
        let number = line.rsplit(' ').next().and_then(|word| word.parse().ok());
        Pid::from_raw(number.expect("a number")).expect("a process")
    }

    fn is_soon_gone(pid: Pid) -> bool {
        let until = now() + Duration::from_secs(5);
        while !is_gone(pid) && now() < until {
            std::thread::sleep(LOOK_EVERY);
        }
        is_gone(pid)
    }

    fn is_gone(pid: Pid) -> bool {
        rustix::process::test_kill_process(pid).is_err() || is_zombie(pid)
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
