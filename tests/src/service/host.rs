//! The service as a process of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use engine::proto::keys::Digest;
use rustix::process::{Pid, Signal, kill_process};

use crate::Outcome;
use crate::party::{command, program};

/// A running service. Dropping it kills it.
pub struct Host {
    child: Child,
    data: PathBuf,
    said: serde_json::Value,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Host {
    /// Starts one with its data in `data` on a port that the system chooses, and waits until it serves.
    ///
    /// # Errors
    /// It does not start; the text has its log.
    pub fn start(data: &Path, args: &str) -> Outcome<Self> {
        Self::start_on(data, 0, args)
    }

    /// The same on `port`.
    pub fn start_on(data: &Path, port: u16, args: &str) -> Outcome<Self> {
        Self::start_within(&[], data, &format!("--doors {port} {args}"))
    }

    /// The same with `args` alone, on another machine where `within` says so.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_within(within: &[String], data: &Path, args: &str) -> Outcome<Self> {
        let program: PathBuf = program()?;
        let mut child = command(within, &program)
            .args(["serve", "--json", "--data"])
            .arg(data)
            .args(args.split_whitespace())
            .env("RUST_LOG", "debug")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", program.display()))?;
        let log = Arc::new(Mutex::new(String::new()));
        let mut stderr = child.stderr.take().ok_or("no standard error")?;
        let reader = std::thread::Builder::new()
            .name("service log".into())
            .spawn({
                let log = log.clone();
                move || {
                    let mut bytes = [0; 4096];
                    while let Ok(length @ 1..) = stderr.read(&mut bytes) {
                        let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
                        log.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
                    }
                }
            })
            .map_err(|error| error.to_string())?;
        let mut line = String::new();
        let stdout = child.stdout.take().ok_or("no standard output")?;
        let read = BufReader::new(stdout).read_line(&mut line);
        let said = serde_json::from_str(&line);
        let mut host =
            Self { child, data: data.to_path_buf(), said: serde_json::Value::Null, log, reader: Some(reader) };
        match (read, said) {
            (Ok(_), Ok(said)) => host.said = said,
            _ => {
                let _ = host.child.wait();
                return Err(format!("the service did not start: {}", host.log()));
            }
        }
        Ok(host)
    }

    /// Where the relay is asked over UDP, and over TCP without TLS; it was started with `--turn-ports`.
    pub fn turn(&self) -> SocketAddr {
        let port = self.said["turn"]["udp"][0].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a relay");
        ([127, 0, 0, 1], port).into()
    }

    /// The same over TCP.
    pub fn turn_tcp(&self) -> SocketAddr {
        let port = self.said["turn"]["tcp"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a relay");
        ([127, 0, 0, 1], port).into()
    }

    /// A figure of `/metrics`; it was started with `--metrics-port`.
    ///
    /// # Errors
    /// It does not answer, or has no such figure.
    pub fn figure(&self, name: &str) -> Outcome<f64> {
        let port = self.said["metrics"].as_u64().and_then(|port| u16::try_from(port).ok()).ok_or("no figures")?;
        let ask = || {
            let mut stream = TcpStream::connect(("127.0.0.1", port))?;
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
            let mut text = String::new();
            stream.read_to_string(&mut text).map(|_| text)
        };
        let text = ask().map_err(|error: std::io::Error| error.to_string())?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.ok_or_else(|| format!("no figure {name} in {text}"))
    }

    /// The first door.
    pub fn address(&self) -> SocketAddr {
        let port = self.said["doors"][0].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a door");
        ([127, 0, 0, 1], port).into()
    }

    pub fn pin(&self) -> Digest {
        serde_json::from_value(self.said["pin"].clone()).expect("a pin")
    }

    /// What it said at its start.
    pub const fn said(&self) -> &serde_json::Value {
        &self.said
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Says that `name` runs the service.
    ///
    /// # Errors
    /// The program's words.
    pub fn admin(&self, name: &str) -> Outcome<()> {
        let mut command = command(&[], &program()?);
        let output = command.args(["serve", "admin", name, "--data"]).arg(&self.data).output();
        let output = output.map_err(|error| error.to_string())?;
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }

    /// What it has said on the standard error so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends it as a power cut would.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end, and waits; its exit status.
    pub fn stop(mut self) -> Option<i32> {
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = kill_process(pid, Signal::TERM);
        }
        self.child.wait().ok().and_then(|status| status.code())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}
