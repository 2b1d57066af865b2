//! The ways to the other side beside the media port's own: relays (TURN), TCP connections (ICE-TCP), the person's SOCKS5 proxy,
//! and what servers say about how the media port is seen from outside (STUN).
//!
//! What uses them sees datagrams: from a relayed address, or from the TCP port. [`Paths::carry`] takes those out of what is
//! sent, [`Paths::sort`] and [`Paths::handle_ready`] put what came by them into the inbox.
//!
//! Candidates are looked for while it rings, because a relay takes two round trips; the other side learns of none before the
//! accept, which is not decided here.

mod binding;
mod relay;
mod servers;
mod socks;
mod stream;
mod streams;

#[cfg(test)]
mod tests;

pub use self::servers::{Server, Servers};
pub use self::socks::SocksProxy;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use mio::event::Event;
use mio::{Interest, Registry, Token};

use self::binding::Bindings;
use self::relay::Relay;
use self::servers::Attempt;
use self::socks::Socks;
use self::streams::Streams;
use super::control::TokenRange;
use super::datagram::{Class, Inbox, Outbox};
use super::interfaces;
use crate::base::error::{Error, Kind, Result};
use crate::base::time::{Duration, Instant};
use crate::proto::signal::media::{Candidate, CandidateKind};

/// One way to reach us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub candidate: Candidate,
    /// The address it is sent from (RFC 8445 §5.1.1).
    pub base: SocketAddr,
}

impl Found {
    /// An address of this machine.
    pub const fn host(address: SocketAddr, tcp: bool) -> Self {
        Self { candidate: Candidate { address, typ: CandidateKind::Host, priority: 0, tcp }, base: address }
    }
}

/// What is looked for.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub servers: Arc<Servers>,
    /// Addresses of this machine, the best first.
    pub own: Vec<IpAddr>,
    /// Nothing that says where we are.
    pub relay_only: bool,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathCounters {
    /// Relays that gave an address.
    pub relays: u64,
    /// TCP connections that carried something.
    pub streams: u64,
    /// Datagrams for a way that is not there, or that would not take them.
    pub dropped: u64,
    /// TCP connections of strangers that were closed.
    pub strangers: u64,
}

/// The ways of one engine.
#[derive(Debug)]
pub struct Paths {
    registry: Registry,
    tokens: TokenRange,
    /// The UDP port of media.
    port: u16,
    plan: Plan,
    is_open: bool,
    bindings: Bindings,
    relays: Vec<Relay>,
    socks: Option<Socks>,
    attempts: VecDeque<(Instant, Attempt)>,
    streams: Streams,
    /// Whom relays are to let through.
    peers: Vec<IpAddr>,
    found: VecDeque<Found>,
    scratch: Vec<u8>,
    counters: PathCounters,
}

/// A relay over UDP that has not answered by then is not waited for alone.
const PATIENCE: Duration = Duration::from_millis(300);
/// RFC 8305 §5.
const STAGGER: Duration = Duration::from_millis(250);
/// Relays tried at a time; each has a token.
const RELAYS: usize = 8;
/// A call has some candidates of the other side.
const PEERS: usize = 32;

impl Paths {
    /// The ways of an engine whose media port is `port`. Listens on TCP `tcp` where that is free; [`Self::tcp_port`] says.
    /// Uses `tokens.count` tokens: two listeners, the relays, the proxy, the rest for TCP connections.
    ///
    /// # Errors
    /// [`Kind::Reopen`] where the system's event loop takes nothing more.
    pub fn new(registry: &Registry, tokens: TokenRange, port: u16, tcp: u16) -> Result<Self> {
        let failed = |error| Error::new(Kind::Reopen, format!("the ways of media cannot be watched: {error}"));
        let registry = registry.try_clone().map_err(failed)?;
        let used = streams::LISTENERS + RELAYS + 1;
        let links = TokenRange { first: tokens.first + used, count: tokens.count.saturating_sub(used) };
        let streams = Streams::new(&registry, tokens.first, links, tcp).map_err(failed)?;
        Ok(Self {
            registry,
            tokens,
            port,
            plan: Plan::default(),
            is_open: false,
            bindings: Bindings::default(),
            relays: Vec::new(),
            socks: None,
            attempts: VecDeque::new(),
            streams,
            peers: Vec::new(),
            found: VecDeque::new(),
            scratch: Vec::new(),
            counters: PathCounters::default(),
        })
    }

    /// Where others reach us over TCP; `None` where that port was taken.
    pub const fn tcp_port(&self) -> Option<u16> {
        self.streams.port()
    }

    pub const fn counters(&self) -> PathCounters {
        self.counters
    }

    /// Begins to look for ways; what was found before is forgotten.
    pub fn gather(&mut self, plan: Plan, now: Instant) {
        self.close(now);
        self.is_open = true;
        if !plan.relay_only {
            for ip in &plan.own {
                self.found.push_back(Found::host(SocketAddr::new(*ip, self.port), false));
            }
            for ip in &plan.own {
                self.found.push_back(Found::host(SocketAddr::new(*ip, self.streams.announced()), true));
            }
        }
        self.streams.open(!plan.relay_only);
        let servers = plan.servers.clone();
        self.plan = plan;
        self.ask(servers, now);
    }

    /// From now on these servers help, in the place of those that were known: relays are tried, and asked how we are seen.
    pub fn ask(&mut self, servers: Arc<Servers>, now: Instant) {
        if !self.is_open {
            return;
        }
        if !self.plan.relay_only {
            self.bindings.ask(servers.bindings(), self.port, now);
        }
        self.attempts.clear();
        self.ask_socks(&servers, now);
        let (mut udp, mut connections) = (now, now);
        // What lies in a family that this machine has no way to is not waited for.
        let may_reach = |attempt: &Attempt| interfaces::address_towards(attempt.way.address.ip()).is_some();
        for attempt in servers.attempts().into_iter().filter(may_reach) {
            let next = if attempt.is_udp() { &mut udp } else { &mut connections };
            let at = *next;
            *next += STAGGER;
            if attempt.is_udp() {
                connections = now + PATIENCE;
            }
            self.attempts.push_back((at, attempt));
        }
        self.attempts.make_contiguous().sort_by_key(|(at, _)| *at);
        self.plan.servers = servers;
    }

    /// Where only a proxy is let out, it is asked for datagrams. It shows others where it is: not by relays alone.
    fn ask_socks(&mut self, servers: &Servers, now: Instant) {
        self.close_socks();
        let token = self.tokens.first + streams::LISTENERS + RELAYS;
        if let Some(proxy) = servers.socks.as_ref().filter(|_| !self.plan.relay_only) {
            self.socks = Socks::begin(proxy, self.port, servers.bindings(), token, &self.registry, now).ok();
        }
    }

    fn close_socks(&mut self) {
        if let Some(mut socks) = self.socks.take() {
            socks.close(&self.registry);
        }
    }

    /// Looks for what changed: the addresses of this machine, and how they are seen. Whether the addresses are others
    /// than before.
    pub fn look_again(&mut self, own: Vec<IpAddr>, now: Instant) -> bool {
        if !self.is_open {
            return false;
        }
        let is_told = !self.plan.relay_only;
        for ip in own.iter().filter(|ip| is_told && !self.plan.own.contains(ip)) {
            self.found.push_back(Found::host(SocketAddr::new(*ip, self.port), false));
            self.found.push_back(Found::host(SocketAddr::new(*ip, self.streams.announced()), true));
        }
        let is_new = self.plan.own != own;
        self.plan.own = own;
        if is_new {
            // A relay knows us by the address that we had.
            for mut relay in std::mem::take(&mut self.relays) {
                relay.deregister(&self.registry);
            }
            self.ask(self.plan.servers.clone(), now);
        } else if is_told && self.bindings.is_empty() {
            self.bindings.ask(self.plan.servers.bindings(), self.port, now);
        }
        is_new
    }

    /// No way is used any more: relays are given back, connections closed.
    pub fn close(&mut self, now: Instant) {
        for relay in &mut self.relays {
            relay.give_back(now);
        }
        self.close_socks();
        self.streams.open(false);
        self.attempts.clear();
        self.bindings.clear();
        self.found.clear();
        self.peers.clear();
        self.is_open = false;
    }

    /// The next way that was found.
    pub fn poll_found(&mut self) -> Option<Found> {
        self.found.pop_front()
    }

    /// The other side may send from `peer`: relays let it through.
    pub fn permit(&mut self, peer: IpAddr, now: Instant) {
        if self.peers.contains(&peer) || self.peers.len() >= PEERS {
            return;
        }
        self.peers.push(peer);
        for relay in &mut self.relays {
            relay.permit(peer, now);
        }
    }

    /// Takes what servers sent to the media port out of the inbox, and puts in what relays carried.
    pub fn sort(&mut self, inbox: &mut Inbox, now: Instant) {
        if self.bindings.is_empty() && self.relays.is_empty() && self.socks.is_none() {
            return;
        }
        for index in 0..inbox.datagrams().len() {
            let Some((from, is_tcp)) = inbox.datagrams().get(index).map(|datagram| (datagram.from, datagram.tcp))
            else {
                continue;
            };
            let relay = self.relays.iter().position(|relay| !is_tcp && relay.is_at(from));
            let socks = self.socks.as_mut().filter(|socks| !is_tcp && socks.is_at(from));
            if is_tcp || (relay.is_none() && socks.is_none() && !self.bindings.asks(from)) {
                continue;
            }
            inbox.withdraw(index, &mut self.scratch);
            if let Some(socks) = socks {
                if let Some(address) = socks.receive(from, &self.scratch, inbox, now) {
                    let base = socks.local();
                    self.add_seen(address, base, now);
                }
            } else if let Some(found) = self.bindings.take(from, &self.scratch) {
                self.add_reflexive(found);
            } else if let Some(relay) = relay.and_then(|relay| self.relays.get_mut(relay)) {
                relay.receive(&self.scratch, inbox, now);
            }
        }
        self.advance(now);
    }

    /// Takes an event of mio; others' tokens are ignored. What came goes into `inbox`.
    pub fn handle_ready(&mut self, event: &Event, inbox: &mut Inbox, now: Instant) {
        let token = event.token().0;
        let relays = self.tokens.first + streams::LISTENERS;
        if let Some(socks) = self.socks.as_mut().filter(|socks| socks.token == token) {
            socks.ready(now);
        } else if (relays..relays + RELAYS).contains(&token) {
            if let Some(relay) = self.relays.iter_mut().find(|relay| relay.token == Some(token)) {
                relay.ready(inbox, now);
            }
            self.advance(now);
        } else {
            self.streams.handle_ready(event.token(), &self.registry, inbox, now, &mut self.counters);
        }
    }

    /// Moves what goes by relays and connections out of `outbox`; the rest, and what relays over UDP are told, is put into
    /// `direct`. `false`: nothing had to be moved, and `direct` is empty.
    pub fn carry(&mut self, outbox: &Outbox, direct: &mut Outbox, now: Instant) -> bool {
        let is_plain = self.relays.is_empty() && self.socks.is_none();
        if is_plain && !outbox.datagrams.iter().any(|sending| sending.tcp) {
            return false;
        }
        for (sending, bytes) in outbox.iter() {
            if sending.tcp {
                let is_taken = self.is_open && self.streams.send(sending, bytes, &self.registry, now);
                self.counters.dropped += u64::from(!is_taken);
            } else if let Some(socks) = self.socks.as_mut().filter(|socks| socks.is_seen_as(sending.from)) {
                self.counters.dropped += u64::from(!socks.send(sending, bytes, direct));
            } else if let Some(relay) = self.relays.iter_mut().find(|relay| relay.relayed.contains(&sending.from)) {
                let is_taken = relay.send(sending, bytes, direct, now);
                self.counters.dropped += u64::from(!is_taken);
            } else {
                direct.push(sending.from, sending.to, sending.class, bytes);
            }
        }
        true
    }

    /// What is due goes out: over connections at once, over the media port by `direct`.
    pub fn run(&mut self, direct: &mut Outbox, now: Instant) {
        self.bindings.send_due(direct, now);
        while self.attempts.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, attempt)) = self.attempts.pop_front() else { break };
            self.begin(&attempt, now);
        }
        for relay in &mut self.relays {
            relay.run(direct, now);
        }
        if let Some(socks) = &mut self.socks {
            socks.run(direct, now);
            if socks.is_over(now) {
                self.close_socks();
            }
        }
        self.streams.run(now, &mut self.counters);
        self.advance(now);
        let registry = &self.registry;
        self.relays.retain_mut(|relay| {
            let is_over = relay.is_over(now);
            if is_over {
                relay.deregister(registry);
            }
            !is_over
        });
    }

    /// When [`Self::run`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        let relays = self.relays.iter().filter_map(Relay::due);
        let attempt = self.attempts.front().map(|(at, _)| *at);
        let socks = self.socks.as_ref().and_then(Socks::due);
        relays.chain(attempt).chain(socks).chain(self.bindings.due()).chain(self.streams.deadline()).min()
    }

    fn begin(&mut self, attempt: &Attempt, now: Instant) {
        if self.relays.len() >= RELAYS {
            return;
        }
        let first = self.tokens.first + streams::LISTENERS;
        let is_free = |token: &usize| !self.relays.iter().any(|relay| relay.token == Some(*token));
        let Some(token) = (first..first + RELAYS).find(is_free) else { return };
        let server = attempt.way.address;
        let Some(ip) = interfaces::address_towards(server.ip()) else { return };
        let made = if attempt.is_udp() {
            Relay::over_udp(SocketAddr::new(ip, self.port), server, &self.plan.servers, now)
        } else {
            let Some(mut stream) = attempt.connect() else { return };
            let interest = Interest::READABLE | Interest::WRITABLE;
            if self.registry.register(stream.web.socket_mut(), Token(token), interest).is_err() {
                return;
            }
            Relay::over_stream(stream, SocketAddr::new(ip, 0), server, token, &self.plan.servers, now)
        };
        let mut relay = made;
        self.peers.iter().for_each(|peer| relay.permit(*peer, now));
        self.relays.push(relay);
    }

    /// Notes what relays have given.
    fn advance(&mut self, now: Instant) {
        let mut given = Vec::new();
        for relay in &mut self.relays {
            given.extend(relay.take_given().map(|address| (relay.is_stream(), relay.local, address)));
        }
        if !self.is_open {
            return;
        }
        for (is_stream, base, address) in given {
            self.counters.relays += 1;
            self.add_relayed(address, base, is_stream, now);
        }
    }

    /// What leaves the proxy is seen so: a relay over UDP, in its way.
    fn add_seen(&mut self, address: SocketAddr, base: SocketAddr, now: Instant) {
        if self.is_open {
            self.add_relayed(address, base, false, now);
        }
    }

    fn add_relayed(&mut self, address: SocketAddr, base: SocketAddr, is_stream: bool, now: Instant) {
        let candidate = Candidate { address, typ: CandidateKind::Relayed, priority: 0, tcp: false };
        self.found.push_back(Found { candidate, base });
        // One relay is enough; one over UDP is better than one over a connection.
        self.attempts.retain(|(_, attempt)| is_stream && attempt.is_udp());
        for relay in self.relays.iter_mut().filter(|relay| relay.relayed.is_empty() && relay.is_stream()) {
            relay.give_back(now);
        }
    }

    fn add_reflexive(&mut self, found: Found) {
        let is_known = self.found.contains(&found) || self.plan.own.contains(&found.candidate.address.ip());
        if !is_known && self.is_open {
            self.found.push_back(found);
            // A gateway that keeps our port may lead to our TCP port as well; where it does not, a connection is refused.
            if let Some(port) = self.streams.port().filter(|_| found.candidate.address.port() == self.port) {
                let address = SocketAddr::new(found.candidate.address.ip(), port);
                let candidate = Candidate { address, tcp: true, ..found.candidate };
                self.found.push_back(Found { candidate, base: SocketAddr::new(found.base.ip(), port) });
            }
        }
    }
}

/// Checks and sound go ahead of pictures.
const fn is_urgent(class: Class) -> bool {
    matches!(class, Class::Audio)
}
