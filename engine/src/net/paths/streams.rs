//! Media over TCP where UDP is blocked (ICE-TCP, RFC 6544): connections that come in on the base port's neighbour, and those
//! that are made to the other side's.
//!
//! Both sides say only where they listen; who connects is seen from another port, which ICE takes for a new candidate. A
//! connection that comes in is a stranger's until we have answered it, which the transport does only to whoever knows the
//! call's ICE password.

use std::net::{IpAddr, SocketAddr};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

use super::PathCounters;
use super::stream::{Framing, Gone, Stream};
use crate::base::time::{Duration, Instant};
use crate::net::control::TokenRange;
use crate::net::datagram::{Inbox, Sending};
use crate::net::tcp::Listeners;
use crate::net::web::stream::WebStream;

/// Tokens of the listeners.
pub(super) const LISTENERS: usize = 2;

#[derive(Debug)]
pub(super) struct Streams {
    listeners: Option<Listeners>,
    /// The listeners' first token, and the connections'.
    first: usize,
    tokens: TokenRange,
    links: Vec<Link>,
    /// Where nobody listened a moment ago.
    failed: Vec<(SocketAddr, Instant)>,
    is_open: bool,
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct Link {
    token: usize,
    stream: Stream,
    peer: SocketAddr,
    /// Our end as the other side knows it: the port that listens.
    own: SocketAddr,
    is_proven: bool,
    since: Instant,
}

/// First frame within that (DESIGN: limits at the doors).
const UNPROVEN: Duration = Duration::from_secs(5);
/// Before a place is tried again.
const AGAIN: Duration = Duration::from_secs(2);
/// RFC 6544 §4.5: the port of whoever only connects.
const DISCARD: u16 = 9;

impl Streams {
    /// Listens on `port` where it is free.
    pub fn new(registry: &Registry, first: usize, tokens: TokenRange, port: u16) -> std::io::Result<Self> {
        let mut listeners = Listeners::of_media(port).ok();
        if let Some(listeners) = &mut listeners {
            registry.register(&mut listeners.v4, Token(first), Interest::READABLE)?;
            if let Some(v6) = &mut listeners.v6 {
                registry.register(v6, Token(first + 1), Interest::READABLE)?;
            }
        }
        Ok(Self {
            listeners,
            first,
            tokens,
            links: Vec::new(),
            failed: Vec::new(),
            is_open: false,
            scratch: Vec::new(),
        })
    }

    pub const fn port(&self) -> Option<u16> {
        match &self.listeners {
            Some(listeners) => Some(listeners.port),
            None => None,
        }
    }

    /// The port that the other side is told.
    pub fn announced(&self) -> u16 {
        self.port().unwrap_or(DISCARD)
    }

    /// From now on connections are wanted, or not.
    pub fn open(&mut self, is_open: bool) {
        self.is_open = is_open;
        self.failed.clear();
        // Dropping a socket takes it out of the event loop.
        self.links.clear();
    }

    pub fn handle_ready(
        &mut self,
        token: Token,
        registry: &Registry,
        inbox: &mut Inbox,
        now: Instant,
        counters: &mut PathCounters,
    ) {
        if (self.first..self.first + LISTENERS).contains(&token.0) {
            return self.accept(registry, now, counters);
        }
        let Some(at) = self.links.iter().position(|link| link.token == token.0) else { return };
        let Some(link) = self.links.get_mut(at) else { return };
        if link.advance(&mut self.scratch, inbox, now).is_err() {
            self.end(at, now);
        }
    }

    fn accept(&mut self, registry: &Registry, now: Instant, counters: &mut PathCounters) {
        let mut come = Vec::new();
        if let Some(listeners) = &self.listeners {
            for listener in std::iter::once(&listeners.v4).chain(&listeners.v6) {
                while let Ok((socket, peer)) = listener.accept() {
                    come.push((socket, peer));
                }
            }
        }
        for (socket, peer) in come {
            let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
            let local = socket.local_addr().map(|local| local.ip().to_canonical());
            let is_added = self.is_open
                && local.is_ok_and(|ip| self.add(socket, peer, SocketAddr::new(ip, self.announced()), registry, now));
            counters.strangers += u64::from(!is_added);
        }
    }

    fn add(&mut self, socket: TcpStream, peer: SocketAddr, own: SocketAddr, registry: &Registry, now: Instant) -> bool {
        if self.links.len() >= self.tokens.count {
            // Whoever has shown nothing makes room.
            let Some(stranger) = self.links.iter().position(|link| !link.is_proven) else { return false };
            self.links.remove(stranger);
        }
        let is_free = |token: &usize| !self.links.iter().any(|link| link.token == *token);
        let tokens = self.tokens.first..self.tokens.first + self.tokens.count;
        let Some(token) = tokens.into_iter().find(is_free) else { return false };
        let _ = socket.set_nodelay(true);
        let mut stream = Stream::new(WebStream::plain(socket), Framing::Rtp);
        let interest = Interest::READABLE | Interest::WRITABLE;
        if registry.register(stream.web.socket_mut(), Token(token), interest).is_err() {
            return false;
        }
        self.links.push(Link { token, stream, peer, own, is_proven: false, since: now });
        true
    }

    /// Sends to the other side, over a connection that is made where there is none. `false`: it is lost.
    pub fn send(&mut self, sending: &Sending, bytes: &[u8], registry: &Registry, now: Instant) -> bool {
        let find = |link: &Link| link.peer == sending.to && link.own == sending.from;
        if !self.links.iter().any(find) && !self.connect(sending, registry, now) {
            return false;
        }
        let Some(at) = self.links.iter().position(find) else { return false };
        let Some(link) = self.links.get_mut(at) else { return false };
        link.is_proven = true;
        let is_taken = link.stream.push(bytes, super::is_urgent(sending.class));
        if link.stream.write().is_err() {
            self.end(at, now);
            return false;
        }
        is_taken
    }

    fn connect(&mut self, sending: &Sending, registry: &Registry, now: Instant) -> bool {
        self.failed.retain(|(_, at)| now.saturating_duration_since(*at) < AGAIN);
        let is_hopeless = sending.to.port() == DISCARD || self.failed.iter().any(|(to, _)| *to == sending.to);
        if is_hopeless || !self.is_open {
            return false;
        }
        match connect(sending.from.ip(), sending.to) {
            Ok(socket) => self.add(socket, sending.to, sending.from, registry, now),
            Err(_) => {
                self.failed.push((sending.to, now));
                false
            }
        }
    }

    fn end(&mut self, at: usize, now: Instant) {
        let link = self.links.swap_remove(at);
        self.failed.push((link.peer, now));
    }

    /// Writes what waits, and closes whoever has shown nothing in time.
    pub fn run(&mut self, now: Instant, counters: &mut PathCounters) {
        let mut at = 0;
        while let Some(link) = self.links.get_mut(at) {
            let is_late = !link.is_proven && now.saturating_duration_since(link.since) >= UNPROVEN;
            if is_late || link.stream.write().is_err() {
                counters.strangers += u64::from(is_late);
                self.end(at, now);
            } else {
                at += 1;
            }
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.links.iter().filter(|link| !link.is_proven).map(|link| link.since + UNPROVEN).min()
    }
}

impl Link {
    fn advance(&mut self, scratch: &mut Vec<u8>, inbox: &mut Inbox, now: Instant) -> Result<(), Gone> {
        if !self.stream.connect()? {
            return Ok(());
        }
        self.stream.write()?;
        loop {
            let more = self.stream.read();
            // What came before the end is still good.
            while self.stream.next(scratch)? {
                inbox.push_tcp(self.peer, self.own, now, scratch);
            }
            if !more? {
                return Ok(());
            }
        }
    }
}

/// A connection under way from one of our addresses.
fn connect(from: IpAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::new(from, 0).into())?;
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
        other => other?,
    }
    Ok(TcpStream::from_std(socket.into()))
}
