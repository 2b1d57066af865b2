//! The relay's sockets and clients: every datagram and message goes through [`Relay::heard`] or [`Relay::relayed`].

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mio::net::{TcpListener, UdpSocket};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use stun_proto::agent::Transmit;
use stun_proto::types::{AddressFamily, TransportType};
use turn_server_proto::api::{SocketAllocateError, TcpConnectError, TurnServerApi, TurnServerPollRet};

use super::address::{listen_udp, own};
use super::client::{Client, Gate, Via};
use super::elsewhere::{Elsewhere, End};
use super::stream::Stream;
use super::{Given, TurnConfig, TurnCounters, TurnLimits, WAKER};
use crate::base::pipe::{PipeReceiver, Wake};
use crate::base::time::{self, Duration, Instant, WallTime};
use crate::net::bucket::Buckets;
use crate::net::tcp::Listeners;
use crate::net::web::stream::WebStream;
use crate::proto::turn::{self, Names, Seen};

pub(super) struct Relay {
    pub(super) poll: Poll,
    pub(super) config: TurnConfig,
    pub(super) limits: TurnLimits,
    handed: PipeReceiver<Given>,
    pub(super) counters: Arc<TurnCounters>,
    udp: Vec<UdpSocket>,
    tcp: Vec<TcpListener>,
    elsewhere: Option<Elsewhere>,
    pub(super) clients: Slab<Client>,
    pub(super) sockets: Slab<Socket>,
    by_address: HashMap<(usize, SocketAddr), usize>,
    /// Allocations of each name.
    pub(super) of_name: HashMap<String, usize>,
    asks: Buckets,
    names: Names,
    /// Sockets of which more is to be read.
    again: Vec<Token>,
    epoch: Instant,
}

/// A socket that belongs to a client.
pub(super) enum Socket {
    /// What others send to.
    Relayed {
        socket: UdpSocket,
        address: SocketAddr,
        client: usize,
    },
    Stream(Box<Stream>),
}

/// The listening sockets' first token, and the clients' sockets'.
const FIRST_LISTENER: usize = 1;
pub(super) const FIRST_SOCKET: usize = 64;
/// Datagrams of one socket in a turn.
const DATAGRAMS: usize = 64;
/// How often clients are looked at that say nothing.
const SWEEP: Duration = Duration::from_secs(1);
/// A datagram with everything that may be put around it.
const LARGEST: usize = 66_000;

impl Relay {
    pub fn new(
        poll: Poll,
        config: TurnConfig,
        limits: TurnLimits,
        handed: PipeReceiver<Given>,
        counters: Arc<TurnCounters>,
    ) -> Self {
        Self {
            poll,
            config,
            limits,
            handed,
            counters,
            udp: Vec::new(),
            tcp: Vec::new(),
            elsewhere: None,
            clients: Slab::new(),
            sockets: Slab::new(),
            by_address: HashMap::new(),
            of_name: HashMap::new(),
            asks: Buckets::default(),
            names: Names::default(),
            again: Vec::new(),
            epoch: time::now(),
        }
    }

    /// Opens the ports; gives those of UDP, that of TCP, and a line for each that could not be opened.
    pub fn open(&mut self) -> io::Result<(Vec<u16>, Option<u16>, Vec<String>)> {
        let (mut udp, mut tcp, mut closed) = (Vec::new(), None, Vec::new());
        let beside = self.config.second.is_some();
        for port in self.config.udp.clone() {
            match listen_udp(Ipv4Addr::UNSPECIFIED.into(), port, beside) {
                Ok((socket, port)) => {
                    self.udp.push(socket);
                    udp.push(port);
                    // A machine without IPv6 relays over IPv4.
                    self.udp
                        .extend(listen_udp(Ipv6Addr::UNSPECIFIED.into(), port, false).ok().map(|(socket, _)| socket));
                }
                Err(error) => closed.push(format!("UDP port {port} cannot be opened for relaying: {error}")),
            }
        }
        if let Some(port) = self.config.tcp {
            match Listeners::of_service(port, false) {
                Ok(listeners) => {
                    tcp = Some(listeners.port);
                    self.tcp.push(listeners.v4);
                    self.tcp.extend(listeners.v6);
                }
                Err(error) => closed.push(format!("TCP port {port} cannot be opened for relaying: {error}")),
            }
        }
        let registry = self.poll.registry();
        for (at, socket) in self.udp.iter_mut().enumerate() {
            registry.register(socket, Token(FIRST_LISTENER + at), Interest::READABLE)?;
        }
        for (at, listener) in self.tcp.iter_mut().enumerate() {
            registry.register(listener, Token(FIRST_LISTENER + self.udp.len() + at), Interest::READABLE)?;
        }
        if let Some((second, port)) = self.config.second.zip(udp.first().copied()) {
            let first = self.config.address.or_else(|| own(AddressFamily::IPV4));
            let opened = first.ok_or_else(|| io::Error::other("this machine has no first one"));
            match opened.and_then(|first| Elsewhere::open(first, second, port)) {
                Ok(mut elsewhere) => {
                    elsewhere.register(registry, FIRST_LISTENER + self.udp.len() + self.tcp.len())?;
                    self.elsewhere = Some(elsewhere);
                }
                Err(error) => closed.push(format!("the second address {second} cannot be used: {error}")),
            }
        }
        Ok((udp, tcp, closed))
    }

    pub fn run(&mut self, quit: &AtomicBool, wake: &Wake) {
        let mut events = Events::with_capacity(1024);
        let mut datagram = vec![0; LARGEST];
        let mut swept = time::now();
        while !quit.load(Ordering::Relaxed) {
            let patience = if self.again.is_empty() { SWEEP } else { Duration::ZERO };
            if let Err(error) = self.poll.poll(&mut events, Some(patience))
                && error.kind() != ErrorKind::Interrupted
            {
                tracing::error!(target: "turn", "the event loop ended: {error}");
                return;
            }
            wake.heard();
            let now = time::now();
            while let Some(given) = self.handed.try_recv() {
                match given {
                    Given::Stream(handed) => self.welcome(handed.stream, handed.peer, handed.bytes, now),
                    Given::Name(user) => self.names.add(user, &self.config.realm),
                }
            }
            let mut ready = std::mem::take(&mut self.again);
            ready.extend(events.iter().map(|event| event.token()).filter(|token| *token != WAKER));
            ready.sort_unstable();
            ready.dedup();
            for token in ready {
                self.serve(token, &mut datagram, now);
            }
            if now.saturating_duration_since(swept) >= SWEEP {
                swept = now;
                self.sweep(now);
            }
        }
    }

    fn serve(&mut self, token: Token, datagram: &mut Vec<u8>, now: Instant) {
        let listener = token.0.saturating_sub(FIRST_LISTENER);
        match token.0.checked_sub(FIRST_SOCKET) {
            None if listener < self.udp.len() => self.receive(listener, datagram, now),
            None if listener < self.udp.len() + self.tcp.len() => self.accept(listener - self.udp.len(), now),
            None => self.receive_elsewhere(listener - self.udp.len() - self.tcp.len(), datagram, now),
            Some(key) => match self.sockets.get(key) {
                Some(Socket::Relayed { .. }) => self.receive_relayed(key, datagram, now),
                Some(Socket::Stream(_)) => self.read(key, datagram, now),
                None => {}
            },
        }
    }

    /// What comes to a listening UDP port.
    fn receive(&mut self, listener: usize, datagram: &mut [u8], now: Instant) {
        for _ in 0..DATAGRAMS {
            let Some(Ok((length, from))) = self.udp.get(listener).map(|socket| socket.recv_from(datagram)) else {
                return;
            };
            let bytes = datagram.get(..length).unwrap_or_default();
            let known = self.by_address.get(&(listener, from)).copied();
            let has_allocation = known.and_then(|key| self.clients.get(key)).is_some_and(|it| !it.relays.is_empty());
            if !has_allocation && !self.asks.take_of(from.ip(), self.limits.asks, Duration::from_secs(1), now) {
                TurnCounters::add(&self.counters.dropped, 1);
                continue;
            }
            match (known, turn::look(bytes)) {
                (Some(client), _) => _ = self.heard(client, bytes, now),
                (None, Seen::Binding(_)) if listener == 0 && self.elsewhere.is_some() => {
                    if let Some(elsewhere) = &self.elsewhere {
                        elsewhere.answer(bytes, from, End::FIRST, self.udp.first());
                    }
                }
                (None, Seen::Binding(request)) => {
                    let answer = turn::bound(&request, from);
                    if let (Some(answer), Some(socket)) = (answer, self.udp.get(listener)) {
                        // A full socket loses the answer as the path would.
                        let _ = socket.send_to(&answer, from);
                    }
                }
                (None, Seen::Message(_)) => {
                    let via = Via::Udp { socket: listener, from };
                    let address = self.udp.get(listener).and_then(|socket| socket.local_addr().ok());
                    let Some(listen) = address.filter(|_| self.make_room()) else { continue };
                    let client = self.clients.insert(Client::new(via, listen, from, &self.config.realm, now));
                    self.by_address.insert((listener, from), client);
                    let _ = self.heard(client, bytes, now);
                }
                (None, _) => {}
            }
        }
        self.again.push(Token(FIRST_LISTENER + listener));
    }

    /// What comes to the second address, or to the second port: questions alone.
    fn receive_elsewhere(&mut self, number: usize, datagram: &mut [u8], now: Instant) {
        let Some(elsewhere) = &self.elsewhere else { return };
        for _ in 0..DATAGRAMS {
            let Some((length, from, end)) = elsewhere.receive(number, datagram) else { return };
            if self.asks.take_of(from.ip(), self.limits.asks, Duration::from_secs(1), now) {
                elsewhere.answer(datagram.get(..length).unwrap_or_default(), from, end, self.udp.first());
            }
        }
        self.again.push(Token(FIRST_LISTENER + self.udp.len() + self.tcp.len() + number));
    }

    /// What others send to a relayed address.
    fn receive_relayed(&mut self, key: usize, datagram: &mut [u8], now: Instant) {
        for _ in 0..DATAGRAMS {
            let Some(Socket::Relayed { socket, address, client }) = self.sockets.get(key) else { return };
            let (address, client) = (*address, *client);
            let Ok((length, from)) = socket.recv_from(datagram) else { return };
            let bytes = datagram.get(..length).unwrap_or_default();
            self.relayed(client, bytes, (from, address), now);
        }
        self.again.push(Token(FIRST_SOCKET + key));
    }

    fn accept(&mut self, listener: usize, now: Instant) {
        while let Some(Ok((socket, peer))) = self.tcp.get(listener).map(TcpListener::accept) {
            let _ = socket.set_nodelay(true);
            if self.asks.take_of(peer.ip(), self.limits.asks, Duration::from_secs(1), now) {
                self.welcome(WebStream::plain(socket), peer, Vec::new(), now);
            }
        }
    }

    /// A client's connection, and what was read of it.
    fn welcome(&mut self, mut web: WebStream, peer: SocketAddr, bytes: Vec<u8>, now: Instant) {
        let Ok(listen) = web.socket_mut().local_addr() else { return };
        if !self.make_room() {
            return;
        }
        let entry = self.sockets.vacant_entry();
        let key = entry.key();
        let token = Token(FIRST_SOCKET + key);
        let interest = Interest::READABLE | Interest::WRITABLE;
        if self.poll.registry().register(web.socket_mut(), token, interest).is_err() {
            return;
        }
        let client = self.clients.insert(Client::new(Via::Stream(key), listen, peer, &self.config.realm, now));
        entry.insert(Socket::Stream(Box::new(Stream::new(web, bytes, client))));
        self.again.push(token);
    }

    /// What comes on a stream, and what waits to be written to it.
    fn read(&mut self, key: usize, message: &mut Vec<u8>, now: Instant) {
        let Some(Socket::Stream(stream)) = self.sockets.get_mut(key) else { return };
        let client = stream.client;
        let mut read = stream.read();
        if stream.write().is_err() {
            read = Err(());
        }
        let mut whole = std::mem::take(message);
        // The client may be gone with the message before.
        while let Some(Socket::Stream(stream)) = self.sockets.get_mut(key) {
            match stream.next(&mut whole) {
                Ok(true) if self.heard(client, &whole, now).is_ok() => {}
                Ok(false) => break,
                _ => {
                    read = Err(());
                    break;
                }
            }
        }
        whole.resize(LARGEST, 0);
        *message = whole;
        match read {
            Ok(true) => self.again.push(Token(FIRST_SOCKET + key)),
            Ok(false) => {}
            Err(()) => self.forget(client),
        }
    }

    /// A message of a client. An error where it is none.
    fn heard(&mut self, key: usize, bytes: &[u8], now: Instant) -> Result<(), ()> {
        let Some(client) = self.clients.get_mut(key) else { return Err(()) };
        client.heard = now;
        let gate = match turn::look(bytes) {
            Seen::Foreign => return Err(()),
            Seen::Binding(request) => Gate::Refused(turn::bound(&request, client.remote)),
            Seen::Channel => Gate::Open,
            Seen::Message(message) => {
                let wall = WallTime::of(now).as_micros() / 1_000_000;
                let gate = client.gate(&message, (&self.config, &self.names), &self.limits, (now, wall));
                TurnCounters::add(&self.counters.refused, u64::from(gate != Gate::Open));
                gate
            }
        };
        match gate {
            Gate::Refused(answer) => {
                if let Some(answer) = answer {
                    let (from, to) = (client.proto.listen_address(), client.remote);
                    self.send(key, &answer, (from, to));
                }
            }
            Gate::Open => {
                let (transport, path) = (client.transport(), (client.remote, client.proto.listen_address()));
                self.carry(key, bytes, transport, path, now);
                self.settle(key, now);
            }
        }
        Ok(())
    }

    /// A datagram of a peer to a client's relayed address.
    fn relayed(&mut self, key: usize, bytes: &[u8], path: (SocketAddr, SocketAddr), now: Instant) {
        self.carry(key, bytes, TransportType::Udp, path, now);
    }

    /// Gives the protocol what came `from` somewhere `to` an address of ours, and sends what it makes of it.
    fn carry(
        &mut self,
        key: usize,
        bytes: &[u8],
        transport: TransportType,
        (from, to): (SocketAddr, SocketAddr),
        now: Instant,
    ) {
        let at = self.protocol_time(now);
        let Some(client) = self.clients.get_mut(key) else { return };
        if !client.may_carry(bytes.len(), &self.limits, now) {
            TurnCounters::add(&self.counters.dropped, 1);
            return;
        }
        // Built anew each time: written into a buffer, 0.7.3 gives data of a peer the method of a Send indication.
        let made = std::panic::catch_unwind(AssertUnwindSafe(|| {
            Some(client.proto.recv(Transmit { data: bytes, transport, from, to }, at)?.build())
        }));
        match made {
            Ok(Some(made)) => {
                TurnCounters::add(&self.counters.carried, 1);
                TurnCounters::add(&self.counters.carried_bytes, made.data.len() as u64);
                self.send(key, &made.data, (made.from, made.to));
            }
            Ok(None) => {}
            // A fault of the library is one client's, whose state is its own.
            Err(_) => {
                tracing::error!(target: "turn", "a client's state is given up");
                self.forget(key);
            }
        }
    }

    /// Does what the protocol wants done.
    fn settle(&mut self, key: usize, now: Instant) {
        let at = self.protocol_time(now);
        // Two families, their answers and their ends: what wants more is at fault, and waits for the next turn.
        for _ in 0..16 {
            let Some(client) = self.clients.get_mut(key) else { return };
            match client.proto.poll(at) {
                TurnServerPollRet::WaitUntil(until) => {
                    client.due = now + until.duration_since(at).max(SWEEP);
                    break;
                }
                TurnServerPollRet::AllocateSocket {
                    transport,
                    listen_addr,
                    client_addr,
                    allocation_transport,
                    family,
                } => {
                    let opened = match allocation_transport {
                        TransportType::Udp => self.allocate(key, family),
                        TransportType::Tcp => Err(SocketAllocateError::InsufficientCapacity),
                    };
                    let Some(client) = self.clients.get_mut(key) else { return };
                    let kind = allocation_transport;
                    client.proto.allocated_socket(transport, listen_addr, client_addr, kind, family, opened, at);
                }
                TurnServerPollRet::TcpConnect { relayed_addr, peer_addr, listen_addr, client_addr } => {
                    let refused = Err(TcpConnectError::Forbidden);
                    client.proto.tcp_connected(relayed_addr, peer_addr, listen_addr, client_addr, refused, at);
                }
                TurnServerPollRet::SocketClose { listen_addr, .. } => self.close_relay(key, listen_addr),
                TurnServerPollRet::TcpClose { .. } => {}
            }
        }
        while let Some(sent) = self.clients.get_mut(key).and_then(|client| client.proto.poll_transmit(at)) {
            self.send(key, &sent.data, (sent.from, sent.to));
        }
    }

    /// Sends from one of the client's addresses of ours: to the client, or from its relayed address to a peer.
    fn send(&mut self, key: usize, bytes: &[u8], (from, to): (SocketAddr, SocketAddr)) {
        let Some(client) = self.clients.get(key) else { return };
        let is_sent = if from == client.proto.listen_address() && to == client.remote {
            match client.via {
                Via::Udp { socket, from } => {
                    self.udp.get(socket).is_some_and(|socket| socket.send_to(bytes, from).is_ok())
                }
                Via::Stream(stream) => match self.sockets.get_mut(stream) {
                    Some(Socket::Stream(stream)) => stream.push(bytes) && stream.write().is_ok(),
                    _ => false,
                },
            }
        } else {
            let relays = client.relays.iter().filter_map(|relay| self.sockets.get(*relay));
            let relay = relays.into_iter().find_map(|socket| match socket {
                Socket::Relayed { socket, address, .. } if *address == from => Some(socket),
                _ => None,
            });
            relay.is_some_and(|socket| socket.send_to(bytes, to).is_ok())
        };
        TurnCounters::add(&self.counters.dropped, u64::from(!is_sent));
    }

    /// Room for one more client: of those without an allocation the one that was silent longest goes.
    fn make_room(&mut self) -> bool {
        if self.clients.len() < self.limits.clients {
            return true;
        }
        let idle = self.clients.iter().filter(|(_, client)| client.relays.is_empty());
        let Some(oldest) = idle.min_by_key(|(_, client)| client.heard).map(|(key, _)| key) else { return false };
        self.forget(oldest);
        true
    }

    fn forget(&mut self, key: usize) {
        while let Some(relay) = self.clients.get(key).and_then(|client| client.relays.first().copied()) {
            let Some(Socket::Relayed { address, .. }) = self.sockets.get(relay) else { break };
            self.close_relay(key, *address);
        }
        let Some(client) = self.clients.try_remove(key) else { return };
        match client.via {
            Via::Udp { socket, from } => _ = self.by_address.remove(&(socket, from)),
            Via::Stream(stream) => {
                if let Some(Socket::Stream(mut stream)) = self.sockets.try_remove(stream) {
                    let _ = self.poll.registry().deregister(stream.web.socket_mut());
                    stream.web.finish();
                }
            }
        }
    }

    fn sweep(&mut self, now: Instant) {
        let idle = self.limits.idle;
        let is_idle = |client: &Client| client.relays.is_empty() && now.saturating_duration_since(client.heard) >= idle;
        let gone: Vec<usize> = self.clients.iter().filter(|(_, it)| is_idle(it)).map(|(key, _)| key).collect();
        gone.into_iter().for_each(|key| self.forget(key));
        let due: Vec<usize> = self.clients.iter().filter(|(_, it)| it.due <= now).map(|(key, _)| key).collect();
        due.into_iter().for_each(|key| self.settle(key, now));
    }

    fn protocol_time(&self, now: Instant) -> stun_proto::Instant {
        let since = now.saturating_duration_since(self.epoch).as_nanos();
        stun_proto::Instant::from_nanos(i64::try_from(since).unwrap_or(i64::MAX))
    }
}
