//! A capture of what goes over a network device, and the search in it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use engine::base::time::now;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::Outcome;
use crate::party::command;

/// A running capture. Dropping it ends it.
pub struct Capture {
    child: Child,
    folder: TempDir,
}

impl Capture {
    /// Captures all of UDP and TCP whose source or destination lies in the ports of one of `bases`.
    ///
    /// # Errors
    /// There is no tcpdump, or it is not permitted: the text says which.
    pub fn start(bases: &[u16]) -> Outcome<Self> {
        let ranges: Vec<String> = bases.iter().map(|base| format!("portrange {base}-{}", base + 100)).collect();
        Self::start_within(&[], "lo", &ranges.join(" or "))
    }

    /// Captures what `filter` lets through on a network device, of another machine where `within` says so.
    ///
    /// # Errors
    /// See [`Self::start`].
    pub fn start_within(within: &[String], device: &str, filter: &str) -> Outcome<Self> {
        let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
        // As who started it: the folder is not open to tcpdump's own user.
        let user = env_user();
        let mut command = command(within, Path::new("tcpdump"));
        command.args(["-i", device, "-U", "--immediate-mode", "-s", "0", "-B", "16384"]);
        if let Some(user) = &user {
            command.args(["-Z", user]);
        }
        let mut child = command
            .arg("-w")
            .arg(folder.path().join("capture.pcap"))
            .arg(filter)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("tcpdump cannot be started: {error}"))?;
        let mut said = String::new();
        let mut lines = BufReader::new(child.stderr.take().expect("piped"));
        // It says that it listens, or why it does not and ends: either way there is a line or an end.
        while !said.contains("listening on") {
            if lines.read_line(&mut said).map_or(0, |count| count) == 0 {
                let _ = child.wait();
                return Err(format!("tcpdump: {}", said.trim()));
            }
        }
        Ok(Self { child, folder })
    }

    /// Waits until `pattern` is in the capture, or `patience` is over.
    pub fn has(&self, pattern: &[u8], patience: Duration) -> bool {
        let until = now() + patience;
        loop {
            let found = fs::read(self.file()).is_ok_and(|bytes| contains(&bytes, pattern));
            if found || now() >= until {
                return found;
            }
            // A file tells nobody that it has grown.
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends the capture: everything captured.
    pub fn stop(mut self) -> Outcome<Vec<u8>> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).map_err(|error| format!("tcpdump: {error}"))?;
        self.child.wait().map_err(|error| format!("tcpdump: {error}"))?;
        fs::read(self.file()).map_err(|error| format!("the capture cannot be read: {error}"))
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("capture.pcap")
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        // After `stop` there is nothing left to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether `pattern` is somewhere in `bytes`.
pub fn contains(bytes: &[u8], pattern: &[u8]) -> bool {
    bytes.windows(pattern.len()).any(|window| window == pattern)
}

/// The parameter sets of the first keyframe that lies in the clear in `bytes`: an aggregation packet (RFC 6184 §5.7.1)
/// of a sequence parameter set of the baseline profile and a picture parameter set.
pub fn parameter_sets(bytes: &[u8]) -> Option<&[u8]> {
    (0..bytes.len()).find_map(|at| {
        let rest = bytes.get(at..)?;
        let (first, after) = nal(rest)?;
        let (second, _) = nal(after)?;
        let is_pair = first.starts_with(&[0x67, 0x42]) && second.first() == Some(&0x68);
        is_pair.then(|| &rest[..4 + first.len() + second.len()])
    })
}

/// A NAL unit after its length, as small as parameter sets are, and what follows it.
fn nal(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_be_bytes(*length));
    if (4..64).contains(&length) { rest.split_at_checked(length) } else { None }
}

fn env_user() -> Option<String> {
    rustix::process::geteuid().is_root().then(|| "root".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_sets_are_found_and_nothing_else_is() {
        let sets = [0, 5, 0x67, 0x42, 0xc0, 0x1f, 9, 0, 4, 0x68, 0xce, 0x3c, 0x80];
        let mut bytes = vec![0x67, 0x42, 1, 2, 3, 0x78];
        assert_eq!(parameter_sets(&bytes), None);
        bytes.extend(sets);
        bytes.extend([0, 90, 0x65]);
        assert_eq!(parameter_sets(&bytes), Some(&sets[..]));
        assert!(contains(&bytes, &sets) && !contains(&bytes, b"Ada"));
    }
}
