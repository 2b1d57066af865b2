//! Asking a router for a port that is open from outside: what is said, without IO.

pub mod epoch;
pub mod igd;
pub mod natpmp;
pub mod pcp;
pub mod route;
pub mod ssdp;

use std::fmt;
use std::net::IpAddr;

/// What a mapping carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    Udp,
    Tcp,
}

impl Protocol {
    /// IANA's protocol number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Udp => 17,
            Self::Tcp => 6,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        })
    }
}

/// Whether an address can be reached from anywhere: a router whose outer address cannot stands behind another router.
pub fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            // RFC 6598 §7: what providers use between their routers and their customers'.
            let is_shared = first == 100 && (64..128).contains(&second);
            !(is_shared
                || first == 0
                || ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_multicast()
                || ip.is_broadcast())
        }
        IpAddr::V6(ip) => {
            !(ip.is_unspecified()
                || ip.is_loopback()
                || ip.is_multicast()
                || ip.is_unique_local()
                || ip.is_unicast_link_local())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_between_two_routers_are_not_public() {
        let public = |text: &str| is_public(text.parse().expect("an address"));
        for inner in ["10.1.2.3", "192.168.0.1", "172.31.0.1", "100.64.0.1", "100.127.9.9", "169.254.1.1", "0.0.0.0"] {
            assert!(!public(inner), "{inner}");
        }
        for outer in ["203.0.113.9", "100.63.0.1", "100.128.0.1", "172.32.0.1", "2001:db8::1"] {
            assert!(public(outer), "{outer}");
        }
        assert!(!public("fe80::1") && !public("fd00::1") && !public("::ffff:10.0.0.1"));
    }
}
