//! The servers that help: where they are, and in which order they are tried.

use std::net::SocketAddr;

use mio::net::TcpStream;
use rustls::Connection;

use super::socks::SocksProxy;
use super::stream::{Framing, Stream};
use crate::base::error::Result;
use crate::net::proxy::{self, Dial};
use crate::net::service::trust::Trust;
use crate::net::tcp;
use crate::net::web::stream::WebStream;
use crate::proto::proxy::choice::Proxies;
use crate::proto::turn::uri::{Over, ServerUri};

/// One server that has been looked up.
#[derive(Clone, Debug)]
pub struct Server {
    pub uri: ServerUri,
    /// The ways there: over UDP its addresses, of both families in turn; else those that connections may take.
    pub ways: Vec<Dial>,
    /// Whose key it has to show, over TLS.
    pub trust: Option<Trust>,
}

impl Server {
    /// Looks the server up; connections go by a proxy where there is one. Waits for the name service: call it on a helper
    /// thread.
    ///
    /// # Errors
    /// The name has no address, or TLS cannot be used with it.
    pub fn resolve_blocking(
        uri: ServerUri,
        trust: impl FnOnce(&str) -> Result<Trust>,
        proxies: &Proxies,
        proxy: &[SocketAddr],
    ) -> Result<Self> {
        let found = tcp::resolve_blocking(&uri.host, uri.port);
        let by_proxy = uri.over != Over::Udp && proxies.towards(&uri.host).is_some();
        // A proxy looks names up that are not known here.
        let found = if by_proxy { found.unwrap_or_default() } else { found? };
        let ways = match uri.over {
            Over::Udp => found.into_iter().map(Dial::direct).collect(),
            Over::Tcp | Over::Tls => proxy::dials(proxies, proxy, &uri.host, uri.port, &found),
        };
        let trust = (uri.over == Over::Tls).then(|| trust(&uri.host)).transpose()?;
        Ok(Self { uri, ways, trust })
    }
}

/// All of them, and how relays let us in (RFC 8489 §9.2).
#[derive(Clone, Debug, Default)]
pub struct Servers {
    pub list: Vec<Server>,
    pub user: String,
    pub password: String,
    /// The proxy on the way to the service, where it may carry datagrams.
    pub socks: Option<SocksProxy>,
}

/// A relay to try.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub way: Dial,
    over: Over,
    trust: Option<Trust>,
}

impl Attempt {
    pub fn is_udp(&self) -> bool {
        self.over == Over::Udp
    }

    /// A connection under way; `None` where there is no way there.
    pub fn connect(&self) -> Option<Stream> {
        let socket = TcpStream::connect(self.way.address).ok()?;
        // What is relayed is not to wait for more of it.
        let _ = socket.set_nodelay(true);
        let web = match &self.trust {
            Some(trust) => WebStream::tls(socket, Connection::Client(trust.connection().ok()?)),
            None => WebStream::plain(socket),
        };
        Some(Stream::new(web, Framing::Turn).through(self.way.handshake().ok()?))
    }
}

/// A server has some doors; more tries than this find nothing new.
const MOST_ATTEMPTS: usize = 8;
const MOST_BINDINGS: usize = 4;

impl Servers {
    /// The relays in the order that they are tried: over UDP, then through TLS, which more networks let out than plain TCP.
    pub(super) fn attempts(&self) -> Vec<Attempt> {
        let of = |over: Over| {
            let servers = self.list.iter().filter(move |server| server.uri.relays && server.uri.over == over);
            servers.flat_map(move |server| {
                let attempt = move |way: &Dial| Attempt { way: way.clone(), over, trust: server.trust.clone() };
                server.ways.iter().map(attempt)
            })
        };
        of(Over::Udp).take(3).chain(of(Over::Tls)).chain(of(Over::Tcp)).take(MOST_ATTEMPTS).collect()
    }

    /// Whom to ask how the media port is seen: one server of each family, and a second one in case it does not answer.
    pub(super) fn bindings(&self) -> Vec<SocketAddr> {
        let mut all: Vec<SocketAddr> = Vec::new();
        let udp = self.list.iter().filter(|server| server.uri.over == Over::Udp);
        for address in udp.flat_map(|server| &server.ways).map(|way| &way.address) {
            let same = all.iter().filter(|other| other.is_ipv4() == address.is_ipv4()).count();
            if same < 2 && !all.contains(address) && all.len() < MOST_BINDINGS {
                all.push(*address);
            }
        }
        all
    }
}
