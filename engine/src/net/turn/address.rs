//! Addresses and ports of the relay.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as StdUdpSocket};
use std::ops::RangeInclusive;

use mio::net::UdpSocket;
use socket2::{Domain, Protocol, Socket, Type};
use stun_proto::types::AddressFamily;

use crate::net::interfaces;

/// Whose name it is, whatever its time.
pub(super) fn name_of(user: &str) -> &str {
    user.split_once(':').map_or(user, |(_, name)| name)
}

pub(super) const fn is_of(ip: IpAddr, family: AddressFamily) -> bool {
    matches!((ip, family), (IpAddr::V4(_), AddressFamily::IPV4) | (IpAddr::V6(_), AddressFamily::IPV6))
}

/// The address of this machine that others of the Internet reach in this family; one of its own where it knows no way there, as
/// on a network that is an island.
pub(super) fn own(family: AddressFamily) -> Option<IpAddr> {
    let any = || interfaces::own_addresses().into_iter().find(|ip| is_of(*ip, family));
    local_towards(somewhere(family)).or_else(any)
}

/// Any address of the Internet: only the route to it is asked for.
fn somewhere(family: AddressFamily) -> SocketAddr {
    match family {
        AddressFamily::IPV4 => SocketAddr::from(([192, 0, 2, 1], 9)),
        AddressFamily::IPV6 => SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 9)),
    }
}

/// The address of this machine from which `to` is reached. Nothing is sent.
pub(super) fn local_towards(to: SocketAddr) -> Option<IpAddr> {
    let to = SocketAddr::new(to.ip().to_canonical(), to.port());
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = StdUdpSocket::bind((any, 0)).ok()?;
    socket.connect(to).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

/// A UDP socket for one family on `port`; 0: one that the system chooses. `beside`: one address of this machine may have a
/// socket of its own on that port beside the one for all of them.
pub(super) fn listen_udp(address: IpAddr, port: u16, beside: bool) -> io::Result<(UdpSocket, u16)> {
    let domain = if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(beside)?;
    // Everybody's media in one socket: half a second of 30 Mbit/s.
    let _ = socket.set_recv_buffer_size(2 << 20);
    let _ = socket.set_send_buffer_size(2 << 20);
    socket.bind(&SocketAddr::new(address, port).into())?;
    let socket = UdpSocket::from_std(socket.into());
    let port = socket.local_addr()?.port();
    Ok((socket, port))
}

/// A socket on a port of the range that the operator names, or on one of the system's choice.
pub(super) fn bind(local: IpAddr, range: Option<RangeInclusive<u16>>) -> io::Result<UdpSocket> {
    let Some(range) = range else { return UdpSocket::bind(SocketAddr::new(local, 0)) };
    let mut last = ErrorKind::AddrInUse.into();
    for _ in 0..32 {
        match UdpSocket::bind(SocketAddr::new(local, fastrand::u16(range.clone()))) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}
