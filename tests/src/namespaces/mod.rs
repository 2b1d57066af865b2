//! A small Internet on one machine: two homes behind gateways of every kind, and a server, each in a network namespace of its
//! own. Nothing leaves the machine. It needs root.
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

use std::path::{Path, PathBuf};

use crate::Outcome;
use crate::netns::{self, Networks};
use crate::rogue::{Guise, Rogues};

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
/// And its name.
pub const HOST: &str = "visavis.test";
pub const SERVER_V6: &str = "2a0b:5::10";

/// The small Internet. Dropping it takes it down.
#[derive(Debug)]
pub struct Lab {
    networks: Networks,
}

impl Lab {
    /// Builds it.
    ///
    /// # Errors
    /// A command failed: its words.
    pub fn up() -> Outcome<Self> {
        let lab = Self { networks: Networks::new(&["m", "s", "g1", "g2", "c1", "c2"])? };
        lab.ip(Node::Middle, "link add br0 type bridge")?;
        lab.ip(Node::Middle, "link set br0 up")?;
        lab.plug(Node::Server, "eth0", "srv", &format!("{SERVER}/24"))?;
        lab.ip(Node::Server, "addr add 5.5.5.11/24 dev eth0")?;
        lab.ip(Node::Server, &format!("-6 addr add {SERVER_V6}/64 dev eth0 nodad"))?;
        for side in Side::BOTH {
            lab.home(side)?;
        }
        for node in [Node::Server, Node::Client(Side::A), Node::Client(Side::B)] {
            lab.write_hosts(node)?;
        }
        for (side, other) in [(Side::A, Side::B), (Side::B, Side::A)] {
            let n = other.number();
            lab.ip(Node::Gateway(side), &format!("-6 route add 2a0b:5:{n}::/64 via 2a0b:5::{n}"))?;
            lab.set(side, Nat::None)?;
        }
        Ok(lab)
    }

    /// The server has a name, in both families: `ip netns exec` shows a machine its own file of names.
    fn write_hosts(&self, node: Node) -> Outcome<()> {
        let folder = self.etc(node);
        let write = || {
            std::fs::create_dir_all(&folder)?;
            std::fs::write(folder.join("hosts"), format!("127.0.0.1 localhost\n{SERVER} {HOST}\n{SERVER_V6} {HOST}\n"))
        };
        write().map_err(|error| format!("{}: {error}", folder.display()))
    }

    fn etc(&self, node: Node) -> PathBuf {
        Path::new("/etc/netns").join(self.networks.name(node.name()))
    }

    /// A client behind its gateway.
    fn home(&self, side: Side) -> Outcome<()> {
        let (client, gateway, n) = (Node::Client(side), Node::Gateway(side), side.number());
        self.plug(gateway, "wan", &format!("gw{n}"), &format!("5.5.5.{n}/24"))?;
        let inside = format!("192.168.{n}.1/24");
        self.networks.link((gateway.name(), "lan", &inside), (client.name(), "eth0", ""))?;
        self.no_offload(gateway, "lan")?;
        self.no_offload(client, "eth0")?;
        self.ip(gateway, &format!("-6 addr add 2a0b:5::{n}/64 dev wan nodad"))?;
        self.ip(gateway, &format!("-6 addr add 2a0b:5:{n}::1/64 dev lan nodad"))?;
        self.exec(gateway, "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")?;
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
        self.networks.nft(Node::Gateway(side).name(), &nat.rules(side.number()))?;
        self.forget_connections(side)
    }

    /// The gateway forgets its connections, as after a restart.
    ///
    /// # Errors
    /// A command failed: its words.
    pub fn forget_connections(&self, side: Side) -> Outcome<()> {
        self.exec(Node::Gateway(side), "conntrack -F")
    }

    /// How to run a program on a machine: what stands before it.
    pub fn within(&self, node: Node) -> Vec<String> {
        ["ip", "netns", "exec", &self.networks.name(node.name())].map(str::to_owned).to_vec()
    }

    /// Starts a program on a machine that runs until the lab is gone.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(&mut self, node: Node, program: &str, arguments: &[&str]) -> Outcome<()> {
        self.networks.start(node.name(), program, arguments)
    }

    /// Runs a command on a machine, its words parted by spaces.
    ///
    /// # Errors
    /// It failed: its words.
    pub fn exec(&self, node: Node, line: &str) -> Outcome<()> {
        self.networks.run(node.name(), line).map(drop)
    }

    /// The same: what it printed.
    ///
    /// # Errors
    /// It failed: its words.
    pub fn read(&self, node: Node, line: &str) -> Outcome<String> {
        self.networks.run(node.name(), line)
    }

    /// Something on a machine that answers wrongly.
    ///
    /// # Errors
    /// Its port is taken.
    pub fn pretend(&self, rogues: &mut Rogues, node: Node, guise: Guise, port: u16, seed: u64) -> Outcome<()> {
        rogues.add(&self.networks, node.name(), guise, port, seed)
    }

    /// The `ip` of a machine.
    ///
    /// # Errors
    /// It failed: its words.
    pub fn ip(&self, node: Node, args: &str) -> Outcome<()> {
        self.exec(node, &format!("ip {args}"))
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
        for line in [
            "nft add table inet parted",
            "nft add chain inet parted f { type filter hook forward priority -10 ; }",
            "nft add rule inet parted f ip saddr 5.5.5.2 drop",
            "nft add rule inet parted f ip daddr 5.5.5.2 drop",
        ] {
            self.exec(Node::Gateway(Side::A), line)?;
        }
        Ok(())
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
    fn plug(&self, node: Node, device: &str, port: &str, address: &str) -> Outcome<()> {
        self.networks.link((node.name(), device, address), (Node::Middle.name(), port, ""))?;
        self.no_offload(node, device)?;
        self.ip(Node::Middle, &format!("link set {port} master br0"))
    }

    /// Packets as they would be on a wire: single, with checksums.
    fn no_offload(&self, node: Node, device: &str) -> Outcome<()> {
        self.exec(node, &format!("ethtool -K {device} tx off rx off gso off gro off tso off"))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for node in [Node::Server, Node::Client(Side::A), Node::Client(Side::B)] {
            // One that was not made is not there.
            let _ = std::fs::remove_dir_all(self.etc(node));
        }
    }
}

impl Node {
    const fn name(self) -> &'static str {
        match self {
            Self::Middle => "m",
            Self::Server => "s",
            Self::Gateway(Side::A) => "g1",
            Self::Gateway(Side::B) => "g2",
            Self::Client(Side::A) => "c1",
            Self::Client(Side::B) => "c2",
        }
    }
}

/// What is missing for it on this machine; `None`: nothing.
pub fn missing() -> Option<String> {
    netns::missing(&["conntrack", "ethtool", "sysctl"])
}
