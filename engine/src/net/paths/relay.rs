//! One relay that carries for us: the TURN client's protocol state, and what it speaks through (RFC 8656).

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use mio::Registry;
use stun_proto::agent::Transmit;
use stun_proto::types::{AddressFamily, TransportType};
use turn_client_proto::api::{TurnConfig, TurnEvent, TurnPollRet, TurnRecvRet};
use turn_client_proto::prelude::TurnClientApi;
use turn_client_proto::tcp::TurnClientTcp;
use turn_client_proto::udp::TurnClientUdp;
use turn_types::TurnCredentials;

use super::servers::Servers;
use super::stream::{Gone, Stream};
use crate::base::foreign;
use crate::base::time::{Duration, Instant};
use crate::net::datagram::{Class, Inbox, Outbox, Sending};

turn_client_proto::impl_client!(pub(super) Client, (Udp, TurnClientUdp), (Tcp, TurnClientTcp));

#[derive(Debug)]
pub(super) struct Relay {
    client: Client,
    stream: Option<Box<Stream>>,
    pub token: Option<usize>,
    /// Our end.
    pub local: SocketAddr,
    server: SocketAddr,
    begun: Instant,
    /// The addresses that others send to.
    pub relayed: Vec<SocketAddr>,
    given: VecDeque<SocketAddr>,
    peers: Vec<IpAddr>,
    channels: Vec<SocketAddr>,
    /// What waits for a permission.
    held: VecDeque<(SocketAddr, Vec<u8>)>,
    due: Option<Instant>,
    message: Vec<u8>,
    is_closed: bool,
    refused: u32,
    /// It is being given back; until then the answer is waited for.
    leaves: Option<Instant>,
}

/// IPv4 and IPv6.
const FAMILIES: u32 = 2;
/// A relay that has given no address by then gives none.
const GIVING: Duration = Duration::from_secs(10);
/// Checks that wait for a permission: a round trip of them.
const HELD: usize = 16;
/// Peers that are given a channel (4 bytes before each datagram instead of 36).
const CHANNELS: usize = 8;
/// A relay that does not answer keeps the allocation until its lifetime ends.
const LEAVING: Duration = Duration::from_secs(1);

impl Relay {
    pub fn over_udp(local: SocketAddr, server: SocketAddr, servers: &Servers, now: Instant) -> Self {
        let client = Client::Udp(TurnClientUdp::allocate(local, server, config(servers)));
        Self::new(client, None, None, local, server, now)
    }

    pub fn over_stream(
        stream: Stream,
        local: SocketAddr,
        server: SocketAddr,
        token: usize,
        servers: &Servers,
        now: Instant,
    ) -> Self {
        let client = Client::Tcp(TurnClientTcp::allocate(local, server, config(servers)));
        Self::new(client, Some(Box::new(stream)), Some(token), local, server, now)
    }

    fn new(
        client: Client,
        stream: Option<Box<Stream>>,
        token: Option<usize>,
        local: SocketAddr,
        server: SocketAddr,
        now: Instant,
    ) -> Self {
        Self {
            client,
            stream,
            token,
            local,
            server,
            begun: now,
            relayed: Vec::new(),
            given: VecDeque::new(),
            peers: Vec::new(),
            channels: Vec::new(),
            held: VecDeque::new(),
            due: Some(now),
            message: Vec::new(),
            is_closed: false,
            refused: 0,
            leaves: None,
        }
    }

    pub const fn is_stream(&self) -> bool {
        self.stream.is_some()
    }

    /// Whether datagrams from `address` are the relay's.
    pub fn is_at(&self, address: SocketAddr) -> bool {
        self.stream.is_none() && self.server == address
    }

    pub fn due(&self) -> Option<Instant> {
        let later = |other: Option<Instant>| self.due.into_iter().chain(other).min();
        later(self.leaves.or(self.relayed.is_empty().then(|| self.begun + GIVING)))
    }

    /// Addresses that were given since the last time.
    pub fn take_given(&mut self) -> impl Iterator<Item = SocketAddr> + use<> {
        std::mem::take(&mut self.given).into_iter()
    }

    /// The peer may send to us.
    pub fn permit(&mut self, peer: IpAddr, now: Instant) {
        self.peers.push(peer);
        self.ask_permission(peer, now);
    }

    fn ask_permission(&mut self, peer: IpAddr, now: Instant) {
        let is_of_family = self.relayed.iter().any(|relayed| relayed.is_ipv4() == peer.is_ipv4());
        if is_of_family {
            let at = self.at(now);
            // A refusal is an event.
            let _ = foreign::call(|| self.client.create_permission(TransportType::Udp, peer, at));
            self.due = Some(now);
        }
    }

    /// Sends from a relayed address. `false`: it is lost.
    pub fn send(&mut self, sending: &Sending, bytes: &[u8], out: &mut Outbox, now: Instant) -> bool {
        let (at, to) = (self.at(now), sending.to);
        if !self.client.have_permission(TransportType::Udp, to.ip()) {
            if !self.peers.contains(&to.ip()) || self.held.len() >= HELD {
                return false;
            }
            self.held.push_back((to, bytes.to_vec()));
            return true;
        }
        if !self.channels.contains(&to) && self.channels.len() < CHANNELS {
            self.channels.push(to);
            let _ = foreign::call(|| self.client.bind_channel(TransportType::Udp, to, at));
            self.due = Some(now);
        }
        self.put(to, sending.class, bytes, out, now)
    }

    fn put(&mut self, to: SocketAddr, class: Class, bytes: &[u8], out: &mut Outbox, now: Instant) -> bool {
        let at = self.at(now);
        let made = foreign::call(|| {
            self.client.send_to(TransportType::Udp, to, bytes, at).ok().flatten().map(|made| made.build().data)
        });
        let Some(made) = made else { return false };
        match &mut self.stream {
            Some(stream) => {
                let is_taken = stream.push(&made, super::is_urgent(class));
                self.is_closed |= stream.write().is_err();
                is_taken
            }
            None => {
                out.push(self.local, self.server, class, &made);
                true
            }
        }
    }

    /// One message of the relay.
    pub fn receive(&mut self, bytes: &[u8], inbox: &mut Inbox, now: Instant) {
        let at = self.at(now);
        let transmit = Transmit { data: bytes, transport: self.client.transport(), from: self.server, to: self.local };
        let taken = foreign::call(|| self.client.recv(transmit, at));
        if let TurnRecvRet::PeerData(data) = taken {
            let of_family = |relayed: &&SocketAddr| relayed.is_ipv4() == data.peer.is_ipv4();
            if let Some(to) = self.relayed.iter().find(of_family) {
                inbox.push(data.peer, *to, now, data.data());
            }
        }
        self.due = Some(now);
        self.hear(now);
    }

    /// The connection may be read or written.
    pub fn ready(&mut self, inbox: &mut Inbox, now: Instant) {
        let Some(mut stream) = self.stream.take() else { return };
        let mut message = std::mem::take(&mut self.message);
        let mut turn = || -> Result<(), Gone> {
            if !stream.connect()? {
                return Ok(());
            }
            stream.write()?;
            loop {
                let more = stream.read()?;
                while stream.next(&mut message)? {
                    self.receive(&message, inbox, now);
                }
                if !more {
                    return Ok(());
                }
            }
        };
        self.is_closed |= turn().is_err();
        self.stream = Some(stream);
        self.message = message;
        self.due = Some(now);
    }

    /// Runs what is due.
    pub fn run(&mut self, out: &mut Outbox, now: Instant) {
        if self.due.is_none_or(|due| due > now) || self.is_closed {
            return;
        }
        let at = self.at(now);
        match foreign::call(|| self.client.poll(at)) {
            TurnPollRet::WaitUntil(until) => {
                let nanos = until.as_nanos().saturating_sub(at.as_nanos());
                let wait = Duration::from_nanos(u64::try_from(nanos).unwrap_or_default());
                self.due = Some(now + wait.clamp(Duration::from_millis(1), Duration::from_secs(60)));
            }
            TurnPollRet::Closed => self.is_closed = true,
            _ => self.due = Some(now + Duration::from_secs(1)),
        }
        while let Some(sent) = foreign::call(|| self.client.poll_transmit(at)) {
            match &mut self.stream {
                Some(stream) => self.is_closed |= !stream.push(&sent.data, true),
                None => out.push(self.local, self.server, Class::Audio, &sent.data),
            }
        }
        if let Some(stream) = &mut self.stream {
            self.is_closed |= stream.write().is_err();
        }
        self.hear(now);
        // Permissions that have come.
        for _ in 0..self.held.len() {
            let Some((to, bytes)) = self.held.pop_front() else { break };
            if self.client.have_permission(TransportType::Udp, to.ip()) {
                self.put(to, Class::Audio, &bytes, out, now);
            } else {
                self.held.push_back((to, bytes));
            }
        }
    }

    fn hear(&mut self, now: Instant) {
        while let Some(event) = foreign::call(|| self.client.poll_event()) {
            match event {
                TurnEvent::AllocationCreated(_, address) => {
                    self.relayed.push(address);
                    self.given.push_back(address);
                    for peer in self.peers.clone() {
                        self.ask_permission(peer, now);
                    }
                }
                // One of the two families is enough; with neither there is nothing to wait for.
                TurnEvent::AllocationCreateFailed(_) => {
                    self.refused += 1;
                    self.is_closed |= self.relayed.is_empty() && self.refused >= FAMILIES;
                }
                TurnEvent::PermissionCreateFailed(_, peer) => self.held.retain(|(to, _)| to.ip() != peer),
                _ => {}
            }
        }
    }

    /// The call is over: the relay may give the address to others.
    pub fn give_back(&mut self, now: Instant) {
        if self.leaves.is_none() {
            let at = self.at(now);
            let _ = foreign::call(|| self.client.delete(at));
            self.relayed.clear();
            self.leaves = Some(now + LEAVING);
            self.due = Some(now);
        }
    }

    pub fn is_over(&self, now: Instant) -> bool {
        let is_late = self.relayed.is_empty() && now.saturating_duration_since(self.begun) >= GIVING;
        self.is_closed || is_late || self.leaves.is_some_and(|until| until <= now)
    }

    pub fn deregister(&mut self, registry: &Registry) {
        if let Some(stream) = &mut self.stream {
            let _ = registry.deregister(stream.web.socket_mut());
        }
    }

    fn at(&self, now: Instant) -> stun_proto::Instant {
        let since = now.saturating_duration_since(self.begun).as_nanos();
        stun_proto::Instant::from_nanos(i64::try_from(since).unwrap_or(i64::MAX))
    }
}

/// Addresses of both families: the other side may have the one that we have not.
fn config(servers: &Servers) -> TurnConfig {
    let mut config = TurnConfig::new(TurnCredentials::new(&servers.user, &servers.password));
    config.set_address_family(AddressFamily::IPV4);
    config.add_address_family(AddressFamily::IPV6);
    config
}
