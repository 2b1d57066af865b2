//! The way by the person's own SOCKS5 proxy (RFC 1928 §7): where nobody but the proxy is let out, datagrams go through it. What
//! is behind it is asked how they are seen, and that is the address that others send to.

use std::net::SocketAddr;
use std::sync::Arc;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::binding::Bindings;
use crate::base::error::{Error, Kind, Result};
use crate::base::time::{Duration, Instant};
use crate::net::datagram::{Inbox, Outbox, Sending};
use crate::net::interfaces;
use crate::net::proxy::{self, UdpRelay};
use crate::proto::proxy::{Handshake, ProxyUrl};

/// A proxy that has been looked up.
#[derive(Clone, Debug)]
pub struct SocksProxy {
    pub url: Arc<ProxyUrl>,
    pub address: SocketAddr,
}

#[derive(Debug)]
pub(super) struct Socks {
    pub token: usize,
    state: State,
    /// The media port, as the proxy has to see it.
    local: SocketAddr,
    /// How what leaves the proxy is seen.
    seen: Option<SocketAddr>,
    bindings: Bindings,
    servers: Vec<SocketAddr>,
    begun: Instant,
    /// Wrapped questions, and what is wrapped.
    questions: Outbox,
    wrapped: Vec<u8>,
}

#[derive(Debug)]
enum State {
    Asking(TcpStream, Handshake),
    Open(UdpRelay),
    Over,
}

/// As a relay: one that has not answered by then does not.
const GIVING: Duration = Duration::from_secs(8);

impl Socks {
    /// Begins to ask `proxy` for datagrams of our port `port`. `servers`: whom to ask how they are seen (STUN).
    ///
    /// # Errors
    /// There is no way to the proxy, or it is none for datagrams.
    pub fn begin(
        proxy: &SocksProxy,
        port: u16,
        servers: Vec<SocketAddr>,
        token: usize,
        registry: &Registry,
        now: Instant,
    ) -> Result<Self> {
        let handshake = Handshake::associate(&proxy.url)?;
        let ip = interfaces::address_towards(proxy.address.ip()).unwrap_or_else(|| proxy.address.ip());
        let failed = |error: std::io::Error| Error::new(Kind::Retry, error.to_string());
        let mut socket = TcpStream::connect(proxy.address).map_err(failed)?;
        registry.register(&mut socket, Token(token), Interest::READABLE | Interest::WRITABLE).map_err(failed)?;
        Ok(Self {
            token,
            state: State::Asking(socket, handshake),
            local: SocketAddr::new(ip, port),
            seen: None,
            bindings: Bindings::default(),
            servers,
            begun: now,
            questions: Outbox::default(),
            wrapped: Vec::new(),
        })
    }

    /// The connection to the proxy may be read or written.
    pub fn ready(&mut self, now: Instant) {
        self.state = match std::mem::replace(&mut self.state, State::Over) {
            State::Asking(mut socket, mut handshake) => match proxy::advance(&mut socket, &mut handshake) {
                Ok(true) => UdpRelay::new(socket, &handshake).map_or(State::Over, State::Open),
                Ok(false) => State::Asking(socket, handshake),
                Err(_) => State::Over,
            },
            State::Open(mut relay) => {
                if relay.is_open() {
                    State::Open(relay)
                } else {
                    State::Over
                }
            }
            State::Over => State::Over,
        };
        if matches!(self.state, State::Open(_)) && !self.servers.is_empty() {
            self.bindings.ask(std::mem::take(&mut self.servers), self.local.port(), now);
        }
    }

    /// Whether datagrams from `address` are the proxy's.
    pub fn is_at(&self, address: SocketAddr) -> bool {
        matches!(&self.state, State::Open(relay) if relay.relay() == address)
    }

    /// Whether `address` is how we are seen behind it.
    pub fn is_seen_as(&self, address: SocketAddr) -> bool {
        self.seen == Some(address)
    }

    /// The address that we send to the proxy from.
    pub const fn local(&self) -> SocketAddr {
        self.local
    }

    /// A datagram of the proxy. The address that others send to, where that is what it says.
    pub fn receive(&mut self, from: SocketAddr, bytes: &[u8], inbox: &mut Inbox, now: Instant) -> Option<SocketAddr> {
        let State::Open(relay) = &self.state else { return None };
        let (peer, payload) = relay.unpack(from, bytes)?;
        if let Some(found) = self.bindings.take(peer, payload) {
            if self.seen.is_some() {
                return None;
            }
            self.bindings.clear();
            self.seen = Some(found.candidate.address);
            return self.seen;
        }
        if let Some(seen) = self.seen {
            inbox.push(peer, seen, now, payload);
        }
        None
    }

    /// Sends by the proxy. `false`: it is lost.
    pub fn send(&mut self, sending: &Sending, bytes: &[u8], out: &mut Outbox) -> bool {
        let State::Open(relay) = &self.state else { return false };
        relay.wrap(sending.to, bytes, &mut self.wrapped);
        out.push(self.local, relay.relay(), sending.class, &self.wrapped);
        true
    }

    /// Asks what is due.
    pub fn run(&mut self, out: &mut Outbox, now: Instant) {
        let mut questions = std::mem::take(&mut self.questions);
        questions.bytes.clear();
        questions.datagrams.clear();
        self.bindings.send_due(&mut questions, now);
        for (sending, bytes) in questions.iter() {
            self.send(sending, bytes, out);
        }
        self.questions = questions;
    }

    pub fn due(&self) -> Option<Instant> {
        let late = self.seen.is_none().then(|| self.begun + GIVING);
        self.bindings.due().into_iter().chain(late).min()
    }

    pub fn is_over(&self, now: Instant) -> bool {
        let is_late = self.seen.is_none() && now.saturating_duration_since(self.begun) >= GIVING;
        is_late || matches!(self.state, State::Over)
    }

    /// The connection is not watched any more; that it closes ends the proxy's part.
    pub fn close(&mut self, registry: &Registry) {
        let _ = match &mut self.state {
            State::Asking(socket, _) => registry.deregister(socket),
            State::Open(relay) => registry.deregister(relay.control_mut()),
            State::Over => Ok(()),
        };
        self.state = State::Over;
    }
}
