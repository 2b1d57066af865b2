//! TCP listeners on the base port, for both address families, and name lookup.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

use crate::base::error::{Error, Kind, Result};
use crate::proto::target::check_base;

/// A port's listeners: IPv4, and IPv6 where the machine has it.
#[derive(Debug)]
pub struct Listeners {
    pub v4: TcpListener,
    pub v6: Option<TcpListener>,
    pub port: u16,
}

impl Listeners {
    /// Listens on `base` on every address; 0 lets the system choose (tests). [`Kind::Refused`] with a line for the
    /// person where the port is taken or not allowed: it names the next free base port.
    pub fn bind(base: u16) -> Result<Self> {
        if base != 0 {
            check_base(base)?;
        }
        let refused = |error: &std::io::Error| match error.kind() {
            ErrorKind::AddrInUse => taken(base),
            _ => Error::new(Kind::Refused, format!("TCP port {base} cannot be opened: {error}. Try --base-port 2100")),
        };
        let v4 = listen(IpAddr::V4(Ipv4Addr::UNSPECIFIED), base).map_err(|error| refused(&error))?;
        let port = v4.local_addr().map_err(|error| refused(&error))?.port();
        let v6 = match listen(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port) {
            Ok(listener) => Some(listener),
            Err(error) if error.kind() == ErrorKind::AddrInUse && base != 0 => return Err(refused(&error)),
            // A machine without IPv6 is called over IPv4.
            Err(_) => None,
        };
        Ok(Self { v4, v6, port })
    }
}

impl Listeners {
    /// Has the event loop watch them under the tokens from `first` on: one for each family.
    ///
    /// [`Kind::Reopen`]: the system watches no more.
    pub fn watch(&mut self, registry: &Registry, first: usize) -> Result<()> {
        let port = self.port;
        let mut watched = registry.register(&mut self.v4, Token(first), Interest::READABLE);
        if let Some(v6) = &mut self.v6 {
            let v6 = registry.register(v6, Token(first.saturating_add(1)), Interest::READABLE);
            watched = watched.and(v6);
        }
        watched.map_err(|error| Error::new(Kind::Reopen, format!("TCP port {port} cannot be watched: {error}")))
    }

    /// The next who waits, of either family.
    ///
    /// # Errors
    /// `WouldBlock`: nobody does.
    pub fn accept(&self) -> std::io::Result<(TcpStream, SocketAddr)> {
        match (self.v4.accept(), &self.v6) {
            (Err(error), Some(v6)) if error.kind() == ErrorKind::WouldBlock => v6.accept(),
            (other, _) => other,
        }
    }

    /// Listens for media on the base port's neighbour, without the advice of [`Self::bind`].
    pub fn of_media(port: u16) -> std::io::Result<Self> {
        let v4 = listen(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)?;
        let port = v4.local_addr()?.port();
        Ok(Self { v4, v6: listen(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port).ok(), port })
    }

    /// Listens on any port, for a service: a burst of clients may wait. `local`: only programs of this machine reach it.
    pub fn of_service(port: u16, local: bool) -> std::io::Result<Self> {
        let (v4, v6) = match local {
            true => (Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST),
            false => (Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED),
        };
        let v4 = listen_with(IpAddr::V4(v4), port, SERVICE_BACKLOG)?;
        let port = v4.local_addr()?.port();
        // A machine without IPv6 is reached over IPv4.
        let v6 = listen_with(IpAddr::V6(v6), port, SERVICE_BACKLOG).ok();
        Ok(Self { v4, v6, port })
    }
}

/// The addresses of `host` with `port`; at most eight, IPv6 and IPv4 in turn so that a dead family costs one try.
/// Waits for the name service: call it on a helper thread, or for literal addresses, which need none.
/// [`Kind::Refused`] where the name has no address.
pub fn resolve_blocking(host: &str, port: u16) -> Result<Vec<SocketAddr>> {
    let found = (host, port)
        .to_socket_addrs()
        .map_err(|error| Error::new(Kind::Refused, format!("{host} has no address: {error}. Check the name")))?;
    let (v6, v4): (Vec<_>, Vec<_>) = found.partition(SocketAddr::is_ipv6);
    let longest = v6.len().max(v4.len());
    let turn = |at: usize| [v6.get(at), v4.get(at)].into_iter().flatten().copied();
    let addresses: Vec<_> = (0..longest).flat_map(turn).take(8).collect();
    if addresses.is_empty() {
        return Err(Error::new(Kind::Refused, format!("{host} has no address. Check the name")));
    }
    Ok(addresses)
}

/// As many as the call door serves at once: more would only wait for their first-byte limit.
const BACKLOG: i32 = 16;

/// Clients that come back at once after a restart.
const SERVICE_BACKLOG: i32 = 1024;

fn listen(ip: IpAddr, port: u16) -> std::io::Result<TcpListener> {
    listen_with(ip, port, BACKLOG)
}

fn listen_with(ip: IpAddr, port: u16, backlog: i32) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(SocketAddr::new(ip, port)), Type::STREAM, Some(Protocol::TCP))?;
    if ip.is_ipv6() {
        // A socket per family behaves the same on every system; "dual stack" does not.
        socket.set_only_v6(true)?;
    }
    // Not on Windows: there it would let another program share the port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::new(ip, port).into())?;
    socket.listen(backlog)?;
    Ok(TcpListener::from_std(socket.into()))
}

fn taken(base: u16) -> Error {
    // Steps of a hundred, because media takes that many ports above each base.
    let is_free = |candidate: &u16| {
        check_base(*candidate).is_ok()
            && (0..3).all(|offset| {
                let free = |ip| {
                    listen(ip, candidate.saturating_add(offset))
                        .map_or_else(|e| e.kind() != ErrorKind::AddrInUse, |_| true)
                };
                free(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) && free(IpAddr::V6(Ipv6Addr::UNSPECIFIED))
            })
    };
    let next = (1..=20u16).filter_map(|step| base.checked_add(step.saturating_mul(100))).find(is_free);
    let advice = match next {
        Some(next) => format!("Start with --base-port {next}"),
        None => "Choose another with --base-port".to_owned(),
    };
    Error::new(Kind::Refused, format!("TCP port {base} is taken. {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_said_with_a_free_one() {
        let first = Listeners::bind(0).expect("any port");
        if check_base(first.port).is_err() {
            return; // The system chose one that cannot be a base port.
        }
        let error = Listeners::bind(first.port).expect_err("taken");
        assert_eq!(error.kind, Kind::Refused);
        assert!(error.text.starts_with(&format!("TCP port {} is taken. ", first.port)), "{error}");
        let next: u16 = error.text.rsplit(' ').next().and_then(|word| word.parse().ok()).expect("a number");
        assert_eq!((next - first.port) % 100, 0);
        Listeners::bind(next).expect("the offered port is free");
    }

    #[test]
    fn ports_of_the_directory_are_refused() {
        for base in [2008, 2010, 2018, 2030] {
            assert_eq!(Listeners::bind(base).expect_err("directory").kind, Kind::Refused);
        }
    }

    #[test]
    fn literal_addresses_of_both_families_resolve() {
        assert_eq!(resolve_blocking("192.0.2.1", 7).expect("literal"), ["192.0.2.1:7".parse().expect("address")]);
        assert_eq!(resolve_blocking("::1", 7).expect("literal"), ["[::1]:7".parse().expect("address")]);
        assert_eq!(resolve_blocking("no such host", 7).expect_err("no name").kind, Kind::Refused);
    }
}
