//! The network test without IO: what its steps find, and what that comes to in words.

pub mod port_table;
pub mod report;
pub mod service;
pub mod stun;
pub mod verdict;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

/// One step of the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    Addresses,
    Udp,
    TcpOut,
    Service,
    Nat,
    Ipv6,
    Proxy,
    PortMapping,
    Inbound,
    Relay,
    Routers,
    Mtu,
    Loss,
    Bandwidth,
    DelayUnderLoad,
    Clock,
}

/// What the steps found; what was not measured is `None`, never 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Findings {
    /// Of this machine, on the way to the service first.
    pub local: Vec<IpAddr>,
    pub gateway: Option<Ipv4Addr>,
    /// As others see this machine.
    pub public: Option<IpAddr>,
    /// Whether the service answered, by whatever way.
    pub service: Option<bool>,
    /// Why not, a line for the person.
    pub service_error: Option<String>,
    pub udp: Option<bool>,
    /// There and back to the service over UDP with nothing else going on; the median.
    pub delay_ms: Option<f64>,
    pub doors: Vec<Door>,
    pub inbound: Option<Inbound>,
    pub nat: Option<Nat>,
    /// Whether this machine has an address that others can reach by IPv6.
    pub ipv6: Option<bool>,
    pub proxy: ProxyState,
    /// Where something answers that looks like a proxy, asked only when nothing else does.
    pub proxy_near: Option<String>,
    pub relays: Vec<Relay>,
    pub mapping: Option<Mapping>,
    /// Routers on the way out whose addresses are private.
    pub routers: Option<u8>,
    /// The largest IP packet that gets out whole.
    pub mtu: Option<u16>,
    pub down_bps: Option<u64>,
    pub up_bps: Option<u64>,
    /// There and back while the way is full; the larger of down and up.
    pub loaded_delay_ms: Option<f64>,
    /// Of datagrams there and back, 0 to 1, and how many were sent.
    pub loss: Option<f64>,
    pub sent: Option<u32>,
    /// RFC 3550 §6.4.1, of the way there and back.
    pub jitter_ms: Option<f64>,
    /// This machine's clock against the service's; positive: it is fast.
    pub clock_ms: Option<f64>,
}

/// A TCP port out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Door {
    pub port: u16,
    /// Something answered, if only "nobody listens here": the network lets it through.
    pub passes: bool,
    pub ms: Option<f64>,
}

/// What the service could reach of us. `None`: not tried, because a program has the port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inbound {
    pub base: u16,
    pub udp: Option<bool>,
    /// B, B + 1, B + 2.
    pub tcp: [Option<bool>; 3],
}

/// What a router does to addresses (RFC 4787 §4.1 and §5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nat {
    pub mapping: Kind,
    pub filtering: Kind,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    #[default]
    Unknown,
    /// There is none.
    None,
    EndpointIndependent,
    AddressDependent,
    /// "Symmetric", where the mapping is so.
    AddressAndPortDependent,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProxyState {
    /// None is set.
    #[default]
    Unset,
    Works,
    WrongLogin,
    /// A line for the person.
    Fails(String),
}

/// A way to a relay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Relay {
    pub uri: String,
    /// There and back; `None`: it does not answer.
    pub ms: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mapping {
    Mapped { by: String, external: std::net::SocketAddr, is_public: bool },
    Refused(String),
}

impl Step {
    /// In the order in which they are shown.
    pub const ALL: [Self; 16] = [
        Self::Addresses,
        Self::Udp,
        Self::TcpOut,
        Self::Service,
        Self::Nat,
        Self::Ipv6,
        Self::Proxy,
        Self::PortMapping,
        Self::Inbound,
        Self::Relay,
        Self::Routers,
        Self::Mtu,
        Self::Loss,
        Self::Bandwidth,
        Self::DelayUnderLoad,
        Self::Clock,
    ];
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Addresses => "addresses",
            Self::Udp => "UDP",
            Self::TcpOut => "TCP out",
            Self::Service => "service",
            Self::Nat => "NAT",
            Self::Ipv6 => "IPv6",
            Self::Proxy => "proxy",
            Self::PortMapping => "port mapping",
            Self::Inbound => "ports in",
            Self::Relay => "relay",
            Self::Routers => "routers",
            Self::Mtu => "MTU",
            Self::Loss => "loss, jitter",
            Self::Bandwidth => "bandwidth",
            Self::DelayUnderLoad => "delay under load",
            Self::Clock => "clock",
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::None => "none",
            Self::EndpointIndependent => "endpoint-independent",
            Self::AddressDependent => "address-dependent",
            Self::AddressAndPortDependent => "address- and port-dependent",
        })
    }
}
