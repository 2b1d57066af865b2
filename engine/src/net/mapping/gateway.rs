//! The one machine that is asked.

use std::net::{IpAddr, Ipv4Addr};

use crate::net::interfaces::address_towards;
use crate::proto::mapping::{pcp, route, ssdp};

/// The router of the default route, and our address on the way to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gateway {
    pub address: Ipv4Addr,
    pub own: Ipv4Addr,
    /// Where it takes PCP and NAT-PMP, and where SSDP.
    pub pcp: u16,
    pub ssdp: u16,
}

impl Gateway {
    /// `None`: no default route, or a system that does not show it as a file.
    pub fn find() -> Option<Self> {
        let table = std::fs::read_to_string(ROUTES).ok()?;
        let (address, _) = route::default_gateway(&table)?;
        let IpAddr::V4(own) = address_towards(address.into())? else { return None };
        Some(Self { address, own, pcp: pcp::PORT, ssdp: ssdp::PORT })
    }
}

/// Of the thread's own network namespace, not of the process's first thread.
const ROUTES: &str = "/proc/thread-self/net/route";
