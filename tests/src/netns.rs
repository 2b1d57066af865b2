//! Networks of our own on this machine: namespaces with real routers, servers and programs in them. Nothing leaves it, and
//! all is gone when a [`Networks`] is dropped.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fd::AsFd;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::Outcome;
pub use crate::namespaces::Nat;

/// Namespaces that this process has made: each has a name of its own.
static MADE: AtomicU32 = AtomicU32::new(0);

/// Some namespaces and the processes in them.
#[derive(Debug)]
pub struct Networks {
    prefix: String,
    names: Vec<&'static str>,
    running: Vec<Child>,
}

/// Why namespaces cannot be made here; `None`: they can.
pub fn missing(programs: &[&str]) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("network namespaces need root".into());
    }
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |name: &str| {
        let folders = std::env::split_paths(&paths).chain(["/usr/sbin".into(), "/sbin".into()]);
        folders.map(|folder| folder.join(name)).any(|path| path.exists())
    };
    if let Some(lacking) = ["ip", "nft"].iter().chain(programs).find(|name| !is_there(name)) {
        return Some(format!("{lacking} is not installed"));
    }
    let trial = format!("vvt{}x{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
    let made = command("ip", &["netns", "add", &trial]);
    let _ = command("ip", &["netns", "del", &trial]);
    made.err()
}

impl Networks {
    /// With namespaces of these names; the system knows them under others.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(names: &[&'static str]) -> Outcome<Self> {
        let prefix = format!("vv{}x{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let mut networks = Self { prefix, names: Vec::new(), running: Vec::new() };
        for name in names {
            command("ip", &["netns", "add", &networks.name(name)])?;
            networks.names.push(name);
            networks.run(name, "ip link set lo up")?;
        }
        Ok(networks)
    }

    /// A home: `cl` (192.168.1.2) behind the router `gw` (192.168.1.1, outside 5.5.5.1), and `srv` (5.5.5.10 and .11)
    /// on the network outside (a router maps no port of an outer address that looks private or reserved). IPv4 only.
    ///
    /// # Errors
    /// What the system says.
    pub fn home(nat: Nat) -> Outcome<Self> {
        let networks = Self::new(&["srv", "gw", "cl"])?;
        networks.link(("gw", "wan", "5.5.5.1/24"), ("srv", "eth0", "5.5.5.10/24"))?;
        networks.run("srv", "ip addr add 5.5.5.11/24 dev eth0")?;
        networks.link(("gw", "lan", "192.168.1.1/24"), ("cl", "eth0", "192.168.1.2/24"))?;
        networks.run("cl", "ip route add default via 192.168.1.1")?;
        networks.run("gw", "sysctl -qw net.ipv4.ip_forward=1")?;
        networks.nft("gw", &nat.rules(1))?;
        Ok(networks)
    }

    /// A wire between two namespaces: each end's namespace, interface and address.
    ///
    /// # Errors
    /// What the system says.
    pub fn link(&self, one: (&str, &str, &str), other: (&str, &str, &str)) -> Outcome<()> {
        let (here, there) = (self.name(one.0), self.name(other.0));
        let words = ["link", "add", one.1, "netns", &here, "type", "veth", "peer", "name", other.1, "netns", &there];
        command("ip", &words)?;
        for (name, interface, address) in [one, other] {
            // An end that a bridge takes has no address.
            if !address.is_empty() {
                self.run(name, &format!("ip addr add {address} dev {interface}"))?;
            }
            self.run(name, &format!("ip link set {interface} up"))?;
        }
        Ok(())
    }

    /// Runs a command, its words parted by spaces, and gives what it printed.
    ///
    /// # Errors
    /// What it says when it fails.
    pub fn run(&self, name: &str, line: &str) -> Outcome<String> {
        let space = self.name(name);
        let words: Vec<&str> = ["netns", "exec", &space].into_iter().chain(line.split(' ')).collect();
        command("ip", &words)
    }

    /// Sets rules of nftables in the place of all that were there.
    ///
    /// # Errors
    /// What nft says.
    pub fn nft(&self, name: &str, rules: &str) -> Outcome<()> {
        let mut child = Command::new("ip")
            .args(["netns", "exec", &self.name(name), "nft", "-f", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("nft: {error}"))?;
        let text = format!("flush ruleset\n{rules}\n");
        child.stdin.take().expect("piped").write_all(text.as_bytes()).map_err(|error| format!("nft: {error}"))?;
        let output = child.wait_with_output().map_err(|error| format!("nft: {error}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        output.status.success().then_some(()).ok_or_else(|| format!("nft: {said}"))
    }

    /// A command that runs in a namespace when it is started.
    pub fn command(&self, name: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name(name), program]);
        command
    }

    /// Starts a program that runs until the networks are dropped.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(&mut self, name: &str, program: &str, arguments: &[&str]) -> Outcome<()> {
        let mut command = self.command(name, program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.running.push(command.spawn().map_err(|error| format!("{program}: {error}"))?);
        Ok(())
    }

    /// Does something on a thread inside a namespace.
    ///
    /// # Panics
    /// Where the namespace cannot be entered, or with what `work` panics with.
    pub fn within<T: Send>(&self, name: &str, work: impl FnOnce() -> T + Send) -> T {
        let path = format!("/run/netns/{}", self.name(name));
        let enter = move || {
            let file = std::fs::File::open(&path).expect("the namespace");
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).expect("entered");
            work()
        };
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("within".into()).spawn_scoped(scope, enter);
            match thread.expect("a thread").join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// What the system knows a namespace under.
    pub fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

impl Drop for Networks {
    fn drop(&mut self) {
        for child in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
        for name in &self.names {
            let _ = command("ip", &["netns", "del", &self.name(name)]);
        }
    }
}

fn command(program: &str, words: &[&str]) -> Outcome<String> {
    let output = Command::new(program).args(words).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{program} {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
