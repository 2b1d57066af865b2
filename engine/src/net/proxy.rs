//! Connections and datagrams through a proxy: what dials says where to, and gets a socket on which it speaks with the other
//! side as if it were there.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use mio::net::TcpStream;

use crate::base::error::{Error, Kind, Result};
use crate::net::tcp::resolve_blocking;
use crate::proto::proxy::choice::Proxies;
use crate::proto::proxy::socks5;
use crate::proto::proxy::{Destination, Handshake, ProxyUrl};

/// One way to try: the address that a socket is connected to, and what is asked of the proxy there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dial {
    pub address: SocketAddr,
    pub through: Option<Arc<Through>>,
}

/// A proxy, and where the connection through it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Through {
    pub proxy: ProxyUrl,
    pub destination: Destination,
}

impl Dial {
    pub const fn direct(address: SocketAddr) -> Self {
        Self { address, through: None }
    }

    /// The port at the other side, whatever stands between.
    pub fn port(&self) -> u16 {
        self.through.as_ref().map_or(self.address.port(), |through| through.destination.port())
    }

    /// The talk with the proxy, where there is one.
    ///
    /// # Errors
    /// See [`Handshake::connect`].
    pub fn handshake(&self) -> Result<Option<Handshake>> {
        let start = |through: &Arc<Through>| Handshake::connect(&through.proxy, &through.destination);
        self.through.as_ref().map(start).transpose()
    }
}

/// The ways to `host`, best first. `found`: its addresses, where they could be looked up; `proxy`: the proxy's
/// ([`resolve_proxy`]). What lies in a private network is tried without the proxy first: the proxy may stand outside.
pub fn dials(proxies: &Proxies, proxy: &[SocketAddr], host: &str, port: u16, found: &[SocketAddr]) -> Vec<Dial> {
    let direct = found.iter().copied().map(Dial::direct);
    let Some(url) = proxies.towards(host) else { return direct.collect() };
    let through = |destination: Destination| {
        let through = Arc::new(Through { proxy: url.clone(), destination });
        proxy.iter().take(2).map(move |address| Dial { address: *address, through: Some(through.clone()) })
    };
    let is_near = |dial: &Dial| match dial.address.ip().to_canonical() {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    };
    direct.filter(is_near).chain(through(Destination::of(host, port))).collect()
}

/// Where the proxy is. Waits for the name service, unless it is named by its address.
///
/// # Errors
/// [`Kind::Refused`]: its name has no address; a line for the person.
pub fn resolve_proxy(proxies: &Proxies) -> Result<Vec<SocketAddr>> {
    let Some(proxy) = proxies.proxy() else { return Ok(Vec::new()) };
    resolve_blocking(&proxy.host, proxy.port)
        .map_err(|_| Error::new(Kind::Refused, format!("the proxy {} has no address: check its name", proxy.host)))
}

/// Goes on with the talk with the proxy as far as the socket lets it. `true`: the connection stands.
///
/// # Errors
/// As [`Handshake::handle`]; [`Kind::Retry`] where the proxy closes or cannot be reached.
pub fn advance(socket: &mut TcpStream, handshake: &mut Handshake) -> Result<bool> {
    let gone = |error: &std::io::Error| Error::new(Kind::Retry, format!("the proxy cannot be reached: {error}"));
    if let Some(error) = socket.take_error().map_err(|error| gone(&error))? {
        return Err(gone(&error));
    }
    match socket.peer_addr() {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(false),
        Err(error) => return Err(gone(&error)),
    }
    let mut buffer = [0; 512];
    loop {
        while !handshake.out.is_empty() {
            match socket.write(&handshake.out) {
                Ok(length) => drop(handshake.out.drain(..length.min(handshake.out.len()))),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(gone(&error)),
            }
        }
        let wanted = handshake.wants().min(buffer.len());
        if wanted == 0 {
            return Ok(true);
        }
        let room = buffer.get_mut(..wanted).unwrap_or_default();
        match socket.read(room) {
            Ok(0) => return Err(Error::new(Kind::Retry, "the proxy closed the connection")),
            Ok(length) => {
                if handshake.handle(buffer.get(..length).unwrap_or_default())? {
                    return Ok(true);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(gone(&error)),
        }
    }
}

/// A socket on its way through a proxy, for those who have no talk of their own going on. Register [`Self::socket_mut`] for
/// reading and writing, call [`Self::advance`] at each event, and go on with [`Self::into_socket`] when it says `true`.
#[derive(Debug)]
pub struct Tunnel {
    socket: TcpStream,
    handshake: Option<Handshake>,
}

impl Tunnel {
    /// Begins to connect.
    ///
    /// # Errors
    /// [`Kind::Retry`]: no socket, or no way to the address; [`Kind::Refused`]: see [`Handshake::connect`].
    pub fn open(dial: &Dial) -> Result<Self> {
        let handshake = dial.handshake()?;
        let socket = TcpStream::connect(dial.address)
            .map_err(|error| Error::new(Kind::Retry, format!("no way to {}: {error}", dial.address)))?;
        Ok(Self { socket, handshake })
    }

    /// Of a socket that is connected to the proxy, or is about to be.
    pub const fn over(socket: TcpStream, handshake: Handshake) -> Self {
        Self { socket, handshake: Some(handshake) }
    }

    /// See [`advance`].
    ///
    /// # Errors
    /// See [`advance`].
    pub fn advance(&mut self) -> Result<bool> {
        match &mut self.handshake {
            Some(handshake) => advance(&mut self.socket, handshake),
            None => {
                let failed = |error| Error::new(Kind::Retry, format!("the other side cannot be reached: {error}"));
                if let Some(error) = self.socket.take_error().map_err(failed)? {
                    return Err(failed(error));
                }
                match self.socket.peer_addr() {
                    Ok(_) => Ok(true),
                    Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
                    Err(error) => Err(failed(error)),
                }
            }
        }
    }

    pub const fn socket_mut(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// Nothing of what the other side said has been read.
    pub fn into_socket(self) -> TcpStream {
        self.socket
    }
}

/// Datagrams through a SOCKS5 proxy (RFC 1928 §7). It lasts as long as its TCP connection, which this holds: watch it, and
/// when [`Self::is_open`] says no, it is over.
#[derive(Debug)]
pub struct UdpRelay {
    control: TcpStream,
    relay: SocketAddr,
}

impl UdpRelay {
    /// Of a talk begun with [`Handshake::associate`] that has ended well.
    ///
    /// # Errors
    /// [`Kind::Malformed`]: the proxy did not say where to send to.
    pub fn new(control: TcpStream, handshake: &Handshake) -> Result<Self> {
        let malformed = || Error::new(Kind::Malformed, "the proxy does not say where it takes datagrams");
        let mut relay = handshake.relay().filter(|relay| relay.port() != 0).ok_or_else(malformed)?;
        // Nowhere, and this machine as the proxy sees it: both are said by proxies that mean themselves.
        if relay.ip().is_unspecified() || relay.ip().is_loopback() {
            relay.set_ip(control.peer_addr().map_err(|_| malformed())?.ip());
        }
        Ok(Self { control, relay })
    }

    /// Where wrapped datagrams go, and the only place from which they are believed.
    pub const fn relay(&self) -> SocketAddr {
        self.relay
    }

    /// A datagram to `to`, to be sent to [`Self::relay`]; `out` is emptied first.
    pub fn wrap(&self, to: SocketAddr, payload: &[u8], out: &mut Vec<u8>) {
        out.clear();
        socks5::wrap(to, payload, out);
    }

    /// Whom a datagram that came from `from` is of, and what is in it.
    pub fn unpack<'a>(&self, from: SocketAddr, datagram: &'a [u8]) -> Option<(SocketAddr, &'a [u8])> {
        (from == self.relay).then(|| socks5::unwrap(datagram)).flatten()
    }

    /// Whether the proxy still keeps it.
    pub fn is_open(&mut self) -> bool {
        match self.control.read(&mut [0; 64]) {
            Ok(0) => false,
            Ok(_) => true,
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    }

    /// To be watched by an event loop.
    pub const fn control_mut(&mut self) -> &mut TcpStream {
        &mut self.control
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies() -> Proxies {
        Proxies::only("http://proxy:3128".parse().expect("a proxy"))
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn what_is_near_is_tried_directly_first_and_what_is_far_never() {
        let proxy = [address("10.0.0.1:3128")];
        let ways = |host: &str, found: &[SocketAddr]| {
            let dials = dials(&proxies(), &proxy, host, 2000, found);
            dials.iter().map(|dial| (dial.address.to_string(), dial.through.is_some())).collect::<Vec<_>>()
        };
        let through = ("10.0.0.1:3128".to_owned(), true);
        assert_eq!(ways("1.2.3.4", &[address("1.2.3.4:2000")]), std::slice::from_ref(&through));
        let near = address("192.168.1.7:2000");
        assert_eq!(ways("192.168.1.7", &[near]), [(near.to_string(), false), through.clone()]);
        assert_eq!(ways("127.0.0.1", &[address("127.0.0.1:2000")]), [("127.0.0.1:2000".to_owned(), false)]);
        // A name that only the proxy can look up.
        assert_eq!(ways("ada.example", &[]), [through]);
        assert_eq!(dials(&proxies(), &proxy, "ada.example", 2000, &[])[0].port(), 2000);
        assert_eq!(dials(&Proxies::NONE, &[], "x", 1, &[near]), [Dial::direct(near)]);
    }
}
