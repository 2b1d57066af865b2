//! A small Internet on one machine: two homes behind gateways of every kind, and a server, each in a network namespace of its
//! own. Nothing leaves the machine. It needs root and the packages iproute2 and nftables.
//!
//! ```text
//! client a ── gateway a ──┐           ┌── gateway b ── client b
//! 192.168.1.2   5.5.5.1   ├─ bridge ──┤   5.5.5.2      192.168.2.2
//!                         └─ server ──┘
//!                     5.5.5.10, 5.5.5.11
//! ```
//!
//! IPv6 is routed and not translated: `2a0b:5:N::/48`, the server has `2a0b:5:0::10`. Only homes of the kinds that have it get
//! it: with it at both ends every pair is direct, whatever the gateways do to IPv4. The addresses look public on purpose: those for documentation are refused by relays, as they should be.

mod nat;
pub mod pair;

pub use self::nat::Nat;

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::geteuid;

use crate::Outcome;

/// A machine of the small Internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Node {
    Client(Side),
    Gateway(Side),
    /// Where the bridge is.
    Middle,
    Server,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    A,
    B,
}

impl Side {
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    const fn number(self) -> u8 {
        match self {
            Self::A => 1,
            Self::B => 2,
        }
    }
}

/// The server's addresses.
pub const SERVER: &str = "5.5.5.10";
pub const SERVER_V6: &str = "2a0b:5::10";

/// The small Internet. Dropping it takes it down.
#[derive(Debug)]
pub struct Lab {
    prefix: String,
}

impl Lab {
    /// Builds it.
    ///
    /// # Errors
    /// A command failed: its words.
    pub fn up() -> Outcome<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("vv{}x{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let lab = Self { prefix };
        for node in NODES {
            run("ip", &["netns", "add", &lab.name(node)])?;
            lab.ip(node, "link set lo up")?;
        }
        lab.ip(Node::Middle, "link add br0 type bridge")?;
        lab.ip(Node::Middle, "link set br0 up")?;
        lab.plug(Node::Server, "eth0", "srv")?;
        for address in [&format!("{SERVER}/24"), "5.5.5.11/24"] {
            lab.ip(Node::Server, &format!("addr add {address} dev eth0"))?;
        }
        lab.ip(Node::Server, &format!("-6 addr add {SERVER_V6}/64 dev eth0 nodad"))?;
        for side in Side::BOTH {
            lab.home(side)?;
        }
        for (side, other) in [(Side::A, Side::B), (Side::B, Side::A)] {
            let n = other.number();
            lab.ip(Node::Gateway(side), &format!("-6 route add 2a0b:5:{n}::/64 via 2a0b:5::{n}"))?;
            lab.set(side, Nat::None)?;
        }
        Ok(lab)
    }

    /// A client behind its gateway.
    fn home(&self, side: Side) -> Outcome<()> {
        let (client, gateway, n) = (Node::Client(side), Node::Gateway(side), side.number());
        self.plug(gateway, "wan", &format!("gw{n}"))?;
        let (gw, cl) = (self.name(gateway), self.name(client));
        run("ip", &["link", "add", "lan", "netns", &gw, "type", "veth", "peer", "name", "eth0", "netns", &cl])?;
        for (node, device) in [(gateway, "lan"), (client, "eth0")] {
            self.no_offload(node, device)?;
            self.ip(node, &format!("link set {device} up"))?;
        }
        self.ip(gateway, &format!("addr add 5.5.5.{n}/24 dev wan"))?;
        self.ip(gateway, &format!("addr add 192.168.{n}.1/24 dev lan"))?;
        self.ip(gateway, &format!("-6 addr add 2a0b:5::{n}/64 dev wan nodad"))?;
        self.ip(gateway, &format!("-6 addr add 2a0b:5:{n}::1/64 dev lan nodad"))?;
        self.exec(gateway, "sysctl", &["-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"])?;
        self.addresses(side, true, true)?;
        self.ip(Node::Server, &format!("-6 route add 2a0b:5:{n}::/64 via 2a0b:5::{n}"))
    }

    /// Gives the client its addresses, of the families that it has.
    fn addresses(&self, side: Side, v4: bool, v6: bool) -> Outcome<()> {
        let (client, n) = (Node::Client(side), side.number());
        self.ip(client, "addr flush dev eth0 scope global")?;
        if v4 {
            self.ip(client, &format!("addr replace 192.168.{n}.2/24 dev eth0"))?;
            self.ip(client, &format!("route replace default via 192.168.{n}.1"))?;
        }
        if v6 {
            self.ip(client, &format!("-6 addr replace 2a0b:5:{n}::2/64 dev eth0 nodad"))?;
            self.ip(client, &format!("-6 route replace default via 2a0b:5:{n}::1"))?;
        }
        Ok(())
    }

    /// From now on the gateway of `side` is of this kind; what it knew of connections is forgotten.
    ///
    /// # Errors
    /// A command failed: its words.
    pub fn set(&self, side: Side, nat: Nat) -> Outcome<()> {
        self.addresses(side, nat != Nat::V6Only, nat.has_v6())?;
        self.rules(side, &nat.rules(side.number()))?;
        self.forget_connections(side)
    }

    /// Loads rules into the gateway in the place of all others.
    fn rules(&self, side: Side, rules: &str) -> Outcome<()> {
        let rules = format!("flush ruleset\n{rules}");
        let file = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
        std::fs::write(file.path(), rules).map_err(|error| error.to_string())?;
        let path = file.path().to_str().ok_or("a strange path")?;
        self.exec(Node::Gateway(side), "nft", &["-f", path])
    }

    /// The gateway forgets its connections, as after a restart.
    ///
    /// # Errors
    /// A command failed: its words.
    pub fn forget_connections(&self, side: Side) -> Outcome<()> {
        self.exec(Node::Gateway(side), "conntrack", &["-F"])
    }

    /// How to run `program` on a machine: what stands before it.
    pub fn within(&self, node: Node) -> Vec<String> {
        ["ip", "netns", "exec", &self.name(node)].map(str::to_owned).to_vec()
    }

    /// Runs a command on a machine.
    ///
    /// # Errors
    /// It failed: its words.
    pub fn exec(&self, node: Node, program: &str, args: &[&str]) -> Outcome<()> {
        let name = self.name(node);
        let mut all = vec!["netns", "exec", &name, program];
        all.extend(args);
        run("ip", &all)
    }

    /// The `ip` of a machine, its words at white space.
    ///
    /// # Errors
    /// It failed: its words.
    pub fn ip(&self, node: Node, args: &str) -> Outcome<()> {
        let name = self.name(node);
        let mut all = vec!["-n", &name];
        all.extend(args.split_whitespace());
        run("ip", &all)
    }

    /// The client of `side` has another address from now on, and the old one not any more.
    ///
    /// # Errors
    /// A command failed: its words.
    pub fn move_client(&self, side: Side, last: u8) -> Outcome<()> {
        let (client, n) = (Node::Client(side), side.number());
        self.ip(client, "addr flush dev eth0 scope global")?;
        self.ip(client, &format!("addr add 192.168.{n}.{last}/24 dev eth0"))?;
        self.ip(client, &format!("route replace default via 192.168.{n}.1"))
    }

    /// Nothing goes directly between the two gateways any more, in either direction; what goes by the server does.
    ///
    /// # Errors
    /// A command failed: its words.
    pub fn part(&self) -> Outcome<()> {
        let rules = "add table inet parted; add chain inet parted f { type filter hook forward priority -10; }; \
            add rule inet parted f ip saddr 5.5.5.2 drop; add rule inet parted f ip daddr 5.5.5.2 drop";
        self.exec(Node::Gateway(Side::A), "nft", &[rules])
    }

    /// Takes the cable of a gateway out of the bridge, or puts it in again.
    ///
    /// # Errors
    /// A command failed: its words.
    pub fn cable(&self, side: Side, is_in: bool) -> Outcome<()> {
        let state = if is_in { "up" } else { "down" };
        self.ip(Node::Middle, &format!("link set gw{} {state}", side.number()))
    }

    /// A network device of `node`, the other end in the bridge.
    fn plug(&self, node: Node, device: &str, port: &str) -> Outcome<()> {
        let (name, middle) = (self.name(node), self.name(Node::Middle));
        run("ip", &["link", "add", device, "netns", &name, "type", "veth", "peer", "name", port, "netns", &middle])?;
        self.no_offload(node, device)?;
        self.ip(Node::Middle, &format!("link set {port} master br0 up"))?;
        self.ip(node, &format!("link set {device} up"))
    }

    /// Packets as they would be on a wire: single, with checksums.
    fn no_offload(&self, node: Node, device: &str) -> Outcome<()> {
        self.exec(node, "ethtool", &["-K", device, "tx", "off", "rx", "off", "gso", "off", "gro", "off", "tso", "off"])
    }

    pub fn name(&self, node: Node) -> String {
        let role = match node {
            Node::Client(side) => format!("c{}", side.number()),
            Node::Gateway(side) => format!("g{}", side.number()),
            Node::Middle => "m".into(),
            Node::Server => "s".into(),
        };
        format!("{}{role}", self.prefix)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for node in NODES {
            // One that was not made is not there.
            let _ = run("ip", &["netns", "del", &self.name(node)]);
        }
    }
}

const NODES: [Node; 6] = [
    Node::Middle,
    Node::Server,
    Node::Gateway(Side::A),
    Node::Gateway(Side::B),
    Node::Client(Side::A),
    Node::Client(Side::B),
];

/// What is missing for it on this machine; `None`: nothing.
pub fn missing() -> Option<String> {
    if !geteuid().is_root() {
        return Some("network namespaces are made by root".into());
    }
    let has = |program: &&str| Command::new(program).arg("--version").output().is_ok() || which(program);
    let missing: Vec<&str> = ["ip", "nft", "conntrack", "ethtool", "sysctl"].into_iter().filter(|p| !has(p)).collect();
    if !missing.is_empty() {
        return Some(format!("not installed: {}", missing.join(", ")));
    }
    let name = format!("vv{}try", std::process::id());
    let made = run("ip", &["netns", "add", &name]);
    let _ = run("ip", &["netns", "del", &name]);
    made.err()
}

fn which(program: &str) -> bool {
    ["/usr/sbin", "/sbin", "/usr/bin"].iter().any(|folder| std::path::Path::new(folder).join(program).exists())
}

fn run(program: &str, args: &[&str]) -> Outcome<()> {
    let output = Command::new(program).args(args).output().map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{program} {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim())),
    }
}
