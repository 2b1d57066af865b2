//! A private JACK server without hardware. What is played is heard where its ports are connected, and nowhere else.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use engine::base::error::{Error, Kind, Result};
use engine::base::time::{Duration, now};

/// A running server. Dropping it ends it.
pub struct Jack {
    child: Child,
    name: String,
}

/// Whether JACK's server is installed.
pub fn is_installed() -> bool {
    let mut ask = Command::new("jackd");
    ask.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    ask.status().is_ok()
}

impl Jack {
    /// A server at 48 kHz with periods of so many frames.
    ///
    /// # Errors
    /// `Refused` where there is no JACK or it does not start.
    pub fn start(period: u32) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Its socket and its memory are named after it: two servers of one name would be one.
        let name = format!("visavis-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut command = Command::new("jackd");
        // No real-time priority is asked for: who may not have it gets no server at all.
        command.args(["--no-realtime", "--name", &name, "-d", "dummy", "-r", "48000", "-C", "0", "-P", "0", "-p"]);
        command.arg(period.to_string()).env("JACK_NO_AUDIO_RESERVATION", "1");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(|error| refused(format!("jackd: {error}")))?;
        let mut jack = Self { child, name };
        let until = now() + Duration::from_secs(10);
        while jack.ports().is_err() {
            let has_ended = jack.child.try_wait().is_ok_and(|status| status.is_some());
            if has_ended || now() >= until {
                return Err(refused("jackd does not answer".to_owned()));
            }
            // A server tells nobody that it has begun.
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(jack)
    }

    /// What a process needs in its environment to play and record here.
    pub fn env(&self) -> Vec<(String, String)> {
        vec![("JACK_DEFAULT_SERVER".to_owned(), self.name.clone())]
    }

    /// All ports, as `client:port`.
    ///
    /// # Errors
    /// `Refused` where the server does not answer.
    pub fn ports(&self) -> Result<Vec<String>> {
        Ok(self.ask(&["jack_lsp"])?.lines().map(str::to_owned).collect())
    }

    /// Connects an output port to an input port.
    ///
    /// # Errors
    /// `Refused` where there is no such port.
    pub fn connect(&self, from: &str, to: &str) -> Result<()> {
        self.ask(&["jack_connect", from, to]).map(|_| ())
    }

    /// Waits for the first port of the process `pid` whose name has `part` in it.
    ///
    /// # Errors
    /// `Gone` where none has come within 5 s.
    pub fn port_of(&self, pid: u32, part: &str) -> Result<String> {
        let until = now() + Duration::from_secs(5);
        let client = format!("_{pid}_");
        loop {
            let port = self.ports()?.into_iter().find(|port| port.contains(&client) && port.contains(part));
            match port {
                Some(port) => return Ok(port),
                None if now() >= until => {
                    return Err(Error::new(Kind::Gone, format!("the process {pid} has no port {part}")));
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    fn ask(&self, words: &[&str]) -> Result<String> {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).envs(self.env()).stdin(Stdio::null());
        let output = command.output().map_err(|error| refused(format!("{}: {error}", words[0])))?;
        if !output.status.success() {
            return Err(refused(format!("{}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim())));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Jack {
    fn drop(&mut self) {
        // Asked to end, it takes its shared memory with it.
        let _ =
            rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), rustix::process::Signal::TERM);
        let until = now() + Duration::from_secs(2);
        while matches!(self.child.try_wait(), Ok(None)) && now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn refused(text: String) -> Error {
    Error::new(Kind::Refused, text)
}
