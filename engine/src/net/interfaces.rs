//! Which of our addresses the other side may send to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Our address on the way towards `peer`, by the system's routing table. Nothing is sent: connecting a datagram
/// socket only asks for the route. `None` where there is no route.
pub fn address_towards(peer: IpAddr) -> Option<IpAddr> {
    let any = match peer {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    // Port 9 is discard (RFC 863); no datagram ever goes there.
    socket.connect(SocketAddr::new(peer, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip().to_canonical()).filter(|ip| !ip.is_unspecified())
}

/// So many addresses are told: each is a check that costs both sides a datagram a second.
const MOST_OWN: usize = 8;

/// The addresses of this machine that others may reach, those of bridges and containers last; no loopback, and none that
/// means something only on its own link. Empty where the system does not say.
pub fn own_addresses() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let mut all: Vec<(u32, IpAddr)> = interfaces
        .iter()
        .filter(|interface| !interface.is_loopback() && !is_of_link(interface.ip()))
        .map(|interface| (rank(&interface.name, interface.ip()), interface.ip()))
        .collect();
    all.sort_by_key(|(rank, _)| *rank);
    let mut own: Vec<IpAddr> = all.into_iter().map(|(_, ip)| ip).collect();
    own.dedup();
    own.truncate(MOST_OWN);
    own
}

/// The best ones lowest: what containers and machines inside this one are bridged by leads to nobody else.
fn rank(name: &str, ip: IpAddr) -> u32 {
    let is_inner = ["docker", "br-", "veth", "virbr", "vmnet", "vboxnet", "cni", "lxc", "podman"];
    let inner = u32::from(is_inner.iter().any(|prefix| name.starts_with(prefix)));
    // Unique local addresses (RFC 4193) reach fewer people than others of IPv6.
    let local = u32::from(matches!(ip, IpAddr::V6(v6) if v6.is_unique_local()));
    inner * 4 + local * 2 + u32::from(ip.is_ipv4())
}

fn is_of_link(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_unspecified() || v4.is_multicast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_unspecified() || v6.is_multicast(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bridges_of_containers_come_last_and_links_are_left_out() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert!(rank("docker0", ip("172.17.0.1")) > rank("eth0", ip("192.168.1.2")));
        assert!(rank("eth0", ip("192.168.1.2")) > rank("eth0", ip("2001:db8::2")));
        assert!(rank("eth0", ip("fd00::2")) > rank("eth0", ip("2001:db8::2")));
        assert!(is_of_link(ip("fe80::1")) && is_of_link(ip("169.254.3.4")) && !is_of_link(ip("10.0.0.1")));
    }

    #[test]
    fn the_way_to_ourselves_is_the_loopback() {
        assert_eq!(address_towards(Ipv4Addr::LOCALHOST.into()), Some(Ipv4Addr::LOCALHOST.into()));
    }
}
