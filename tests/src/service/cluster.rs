//! PostgreSQL and Redis from the system's packages, each on a port of its own with a folder of its own.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

/// A database server with one user, who has a password, and one empty database. Dropping it ends it.
pub struct Cluster {
    folder: TempDir,
    programs: PathBuf,
    port: u16,
    fsync: bool,
    server: Option<Child>,
}

/// A Redis server. Dropping it ends it.
pub struct Redis {
    port: u16,
    server: Option<Child>,
}

/// The password of the database's user, and of Redis.
pub const PASSWORD: &str = "a password: 100%";

impl Cluster {
    /// Starts one; `None` where PostgreSQL is not installed. Without `fsync` it is faster, and survives its own end only.
    /// With `tls`, a certificate and its key as PEM, it speaks TLS as well.
    ///
    /// # Errors
    /// It does not start; the text says why.
    pub fn start(fsync: bool, tls: Option<(&str, &str)>) -> Result<Option<Self>, String> {
        let Some(programs) = programs() else { return Ok(None) };
        let text = |error: std::io::Error| error.to_string();
        let folder = tempfile::tempdir().map_err(text)?;
        let password = folder.path().join("password");
        std::fs::write(&password, PASSWORD).map_err(text)?;
        let mut cluster = Self { folder, programs, port: free_port()?, fsync, server: None };
        own(cluster.folder.path())?;
        own(&password)?;
        let initdb = cluster
            .command("initdb")
            .args(["--username=visavis", "--auth=scram-sha-256", "--no-sync", "--no-instructions", "--locale=C"])
            .args(["--encoding=UTF8", "--pgdata"])
            .arg(cluster.data())
            .arg("--pwfile")
            .arg(&password)
            .output()
            .map_err(text)?;
        if !initdb.status.success() {
            return Err(format!("initdb: {}", String::from_utf8_lossy(&initdb.stderr)));
        }
        if let Some((certificate, key)) = tls {
            for (name, pem) in [("server.crt", certificate), ("server.key", key)] {
                let path = cluster.data().join(name);
                std::fs::write(&path, pem).map_err(text)?;
                std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).map_err(text)?;
                own(&path)?;
            }
            let settings = cluster.data().join("postgresql.auto.conf");
            std::fs::write(&settings, "ssl = on\n").map_err(text)?;
            own(&settings)?;
        }
        cluster.begin()?;
        Ok(Some(cluster))
    }

    /// Where the database is, for `--store`.
    pub fn url(&self) -> String {
        format!("postgres://visavis:a%20password:%20100%25@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts it again after [`Self::end`].
    ///
    /// # Errors
    /// It does not start.
    pub fn begin(&mut self) -> Result<(), String> {
        let fsync = if self.fsync { "on" } else { "off" };
        let server = self
            .command("postgres")
            .arg("-D")
            .arg(self.data())
            .args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="])
            .args(["-c", &format!("fsync={fsync}"), "-c", "max_connections=40", "-c", "shared_buffers=32MB"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        self.server = Some(server);
        let ready = self.programs.join("pg_isready");
        for _ in 0..400 {
            let asked = Command::new(&ready).args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]).status();
            if asked.is_ok_and(|status| status.success()) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err("the database server is not ready".into())
    }

    /// Ends it as a crash of its machine would.
    pub fn end(&mut self) {
        end(self.server.take(), Signal::QUIT);
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// It refuses to run as root.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir("/").stdin(Stdio::null()).env_clear().env("LC_ALL", "C");
        if geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.end();
    }
}

impl Redis {
    /// Starts one; `None` where Redis is not installed.
    ///
    /// # Errors
    /// It does not start.
    pub fn start() -> Result<Option<Self>, String> {
        let mut redis = Self { port: free_port()?, server: None };
        if !redis.begin()? {
            return Ok(None);
        }
        Ok(Some(redis))
    }

    /// Where it is, for `--bus`.
    pub fn url(&self) -> String {
        format!("redis://:a%20password:%20100%25@127.0.0.1:{}", self.port)
    }

    /// Starts it again after [`Self::end`]: it remembers nothing. `false` where it is not installed.
    ///
    /// # Errors
    /// It does not start.
    pub fn begin(&mut self) -> Result<bool, String> {
        let port = self.port.to_string();
        let server = Command::new("redis-server")
            .args([
                "--port",
                &port,
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
                "--requirepass",
                PASSWORD,
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match server {
            Ok(server) => self.server = Some(server),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error.to_string()),
        }
        for _ in 0..400 {
            let ask = || {
                let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
                stream.write_all(b"PING\r\n")?;
                stream.read(&mut [0; 64])
            };
            if ask().is_ok_and(|length| length > 0) {
                return Ok(true);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err("redis-server is not ready".into())
    }

    /// Ends it at once.
    pub fn end(&mut self) {
        end(self.server.take(), Signal::KILL);
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.end();
    }
}

fn end(server: Option<Child>, signal: Signal) {
    let Some(mut server) = server else { return };
    if let Some(pid) = Pid::from_raw(server.id().cast_signed()) {
        let _ = kill_process(pid, signal);
    }
    let _ = server.wait();
}

/// Debian's place, newest first, or wherever the search path finds it.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    found.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    found.into_iter().rev().chain(std::env::split_paths(&path)).find(|folder| folder.join("initdb").is_file())
}

fn own(path: &Path) -> Result<(), String> {
    if !geteuid().is_root() {
        return Ok(());
    }
    chown(path, Some(NOBODY), Some(NOBODY)).map_err(|error| error.to_string())
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|error| error.to_string())?;
    listener.local_addr().map(|address| address.port()).map_err(|error| error.to_string())
}

/// Debian's `nobody`, whom no file belongs to.
const NOBODY: u32 = 65534;
