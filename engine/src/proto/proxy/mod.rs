//! Ways through a proxy: which one for whom, and what is said to it, without IO.

pub mod choice;
pub mod connect;
pub mod socks5;
mod url;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

pub use self::url::{Login, ProxyKind, ProxyUrl};
use crate::base::error::{Error, Kind, Result};

/// Where a connection is to end, behind the proxy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Destination {
    Address(SocketAddr),
    /// The proxy looks the name up.
    Name(String, u16),
}

/// The talk before a connection through a proxy stands. Feed it what arrives, never more than it wants: what comes behind
/// the proxy's last byte is the other side's.
#[derive(Debug)]
pub struct Handshake {
    /// What is to be written.
    pub out: Vec<u8>,
    state: State,
}

#[derive(Debug)]
enum State {
    Connect(connect::Connect),
    Socks5(socks5::Socks5),
}

impl Handshake {
    /// A TCP connection to `destination`.
    ///
    /// # Errors
    /// [`Kind::Refused`]: a name or a login that this kind of proxy cannot carry.
    pub fn connect(proxy: &ProxyUrl, destination: &Destination) -> Result<Self> {
        let (state, out) = match proxy.kind {
            ProxyKind::Http => {
                let (connect, out) = connect::Connect::new(destination, proxy.login.as_ref());
                (State::Connect(connect), out)
            }
            ProxyKind::Socks5 => {
                let wanted = socks5::Wanted::Connect(destination.clone());
                let (socks5, out) = socks5::Socks5::new(wanted, proxy.login.clone())?;
                (State::Socks5(socks5), out)
            }
        };
        Ok(Self { out, state })
    }

    /// A relay for datagrams (RFC 1928 §7).
    ///
    /// # Errors
    /// [`Kind::Refused`]: only SOCKS5 proxies have it.
    pub fn associate(proxy: &ProxyUrl) -> Result<Self> {
        if proxy.kind != ProxyKind::Socks5 {
            return Err(Error::new(Kind::Refused, "an HTTP proxy carries no datagrams"));
        }
        let (socks5, out) = socks5::Socks5::new(socks5::Wanted::Associate, proxy.login.clone())?;
        Ok(Self { out, state: State::Socks5(socks5) })
    }

    /// How many bytes may be read next; 0: it is over.
    pub fn wants(&self) -> usize {
        match &self.state {
            State::Connect(connect) => connect.wants(),
            State::Socks5(socks5) => socks5.wants(),
        }
    }

    /// Takes what arrived. `true`: the connection stands from here on.
    ///
    /// # Errors
    /// [`Kind::Refused`]: the proxy says no, with a line for the person; [`Kind::Malformed`]: it is no such proxy;
    /// [`Kind::Retry`]: it found no way to the destination.
    pub fn handle(&mut self, bytes: &[u8]) -> Result<bool> {
        match &mut self.state {
            State::Connect(connect) => connect.handle(bytes),
            State::Socks5(socks5) => socks5.handle(bytes, &mut self.out),
        }
    }

    /// Where datagrams go after [`Self::associate`]. An address of all zeros means the proxy's own (RFC 1928 §6).
    pub fn relay(&self) -> Option<SocketAddr> {
        match &self.state {
            State::Connect(_) => None,
            State::Socks5(socks5) => socks5.bound(),
        }
    }
}

impl Destination {
    pub const fn port(&self) -> u16 {
        match self {
            Self::Address(address) => address.port(),
            Self::Name(_, port) => *port,
        }
    }

    /// Of a host that may be a literal address.
    pub fn of(host: &str, port: u16) -> Self {
        let literal = host.parse::<IpAddr>().map(|ip| Self::Address(SocketAddr::new(ip, port)));
        literal.unwrap_or_else(|_| Self::Name(host.to_owned(), port))
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

/// Every way in which a login is not taken, in the same words.
pub(crate) fn wrong_login(had_one: bool) -> Error {
    Error::new(
        Kind::Refused,
        match had_one {
            true => "the proxy does not accept the user name or the password: correct them in the proxy settings",
            false => "the proxy wants a user name and a password: put them into the proxy settings",
        },
    )
}

/// Whether an error is about the login: trying another port would not help.
pub fn is_login(error: &Error) -> bool {
    [true, false].iter().any(|had_one| wrong_login(*had_one).text == error.text)
}
