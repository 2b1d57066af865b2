//! The call control door, TCP on the base port: accepts, calls, frames, limits.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::base::error::{Error, Kind, Result};
use crate::net::bucket::Buckets;
pub use crate::net::link::CloseReason;
use crate::net::link::{Link, Stage};
use crate::net::proxy::Dial;
use crate::net::tcp::Listeners;
use crate::net::tls::TlsIdentity;
use crate::proto::keys::PublicKey;

/// The mio tokens a door may use: two for its listeners, the others for links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenRange {
    pub first: usize,
    pub count: usize,
}

impl TokenRange {
    pub const fn owns(self, token: Token) -> bool {
        token.0 >= self.first && token.0 - self.first < self.count
    }
}

/// The door's limits; the default is the design's.
#[derive(Clone, Debug)]
pub struct DoorLimits {
    /// Incoming links at once, and outgoing ones at once.
    pub connections: usize,
    /// Attempts of one address.
    pub per_minute: u32,
    /// Attempts from this machine: several programs and tests share it.
    pub loopback_per_minute: u32,
    pub first_byte: Duration,
    /// From the accept to the end of the TLS handshake.
    pub handshake: Duration,
    /// From there to [`ControlDoor::confirm`].
    pub proof: Duration,
    /// All tries of one [`ControlDoor::connect`] to one address.
    pub connect: Duration,
    /// Bytes that wait for a reader before it is cut.
    pub write_queue: usize,
}

impl Default for DoorLimits {
    fn default() -> Self {
        Self {
            connections: 16,
            per_minute: 6,
            loopback_per_minute: 600,
            first_byte: Duration::from_secs(5),
            handshake: Duration::from_secs(10),
            proof: Duration::from_secs(10),
            connect: Duration::from_secs(5),
            write_queue: 64 * 1024,
        }
    }
}

/// A link of this door. Never used again for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId {
    slot: u32,
    generation: u32,
}

impl LinkId {
    /// The id of a way beside the door.
    pub const fn beside(number: u32) -> Self {
        Self { slot: number, generation: u32::MAX - 1 }
    }

    /// The id of a link that no slot holds.
    pub(super) const fn numbered(number: u32) -> Self {
        Self { slot: number, generation: u32::MAX }
    }
}

/// What happened at the door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlEvent {
    /// TLS stands; the other side holds `device`.
    Opened { link: LinkId, peer: SocketAddr, device: PublicKey, is_incoming: bool },
    /// One envelope, not opened yet.
    Frame { link: LinkId, bytes: Vec<u8> },
    /// An opened link, or one that [`ControlDoor::connect`] promised, is over.
    Closed { link: LinkId, why: CloseReason },
}

/// What the door counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DoorCounters {
    pub accepted: u64,
    pub opened: u64,
    pub frames_in: u64,
    pub frames_out: u64,
    /// Turned away: the address tried too often.
    pub too_often: u64,
    /// Turned away or closed for another: all places taken.
    pub crowded: u64,
    /// Closed before a peer was known: nothing said, not TLS, no usable key, no proof in time.
    pub strangers: u64,
    /// Closed because a frame was none.
    pub malformed: u64,
    /// Closed because it did not read.
    pub slow: u64,
}

/// The door.
#[derive(Debug)]
pub struct ControlDoor {
    /// `None` while the door is closed to those outside.
    listeners: Option<Listeners>,
    port: u16,
    registry: Registry,
    tokens: TokenRange,
    tls: TlsIdentity,
    limits: DoorLimits,
    slots: Vec<Slot>,
    buckets: Buckets,
    events: VecDeque<ControlEvent>,
    counters: DoorCounters,
    /// When to go on with what a turn's bounds cut short.
    resume: Option<Instant>,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    link: Option<Link>,
}

impl ControlDoor {
    /// Opens the door on TCP `base` (0: any, for tests), both address families. [`Kind::Refused`] with a line for the
    /// person where the port is taken.
    pub fn bind(
        base: u16,
        registry: &Registry,
        tokens: TokenRange,
        tls: TlsIdentity,
        limits: DoorLimits,
    ) -> Result<Self> {
        let mut listeners = Listeners::bind(base)?;
        let cloned = registry.try_clone();
        let registry = cloned.map_err(|error| Error::new(Kind::Reopen, format!("no event loop: {error}")))?;
        listeners.watch(&registry, tokens.first)?;
        let places = limits.connections.saturating_mul(2).min(tokens.count.saturating_sub(LISTENERS));
        let mut slots = Vec::new();
        slots.resize_with(places, Slot::default);
        Ok(Self {
            port: listeners.port,
            listeners: Some(listeners),
            registry,
            tokens,
            tls,
            limits,
            slots,
            buckets: Buckets::default(),
            events: VecDeque::new(),
            counters: DoorCounters::default(),
            resume: None,
        })
    }

    /// Closes the door to those outside, who find nobody at its port then, or opens it again; links that stand go on.
    ///
    /// # Errors
    /// Another program has taken the port meanwhile.
    pub fn listen(&mut self, is_open: bool) -> Result<()> {
        if is_open && self.listeners.is_none() {
            let mut listeners = Listeners::bind(self.port)?;
            listeners.watch(&self.registry, self.tokens.first)?;
            self.listeners = Some(listeners);
        } else if !is_open {
            // Dropping a listener takes it out of the event loop, and refuses whoever waits at it.
            self.listeners = None;
        }
        Ok(())
    }

    /// Takes an event of mio. Events of others' tokens are ignored.
    pub fn handle_ready(&mut self, event: &Event, now: Instant) {
        if !self.owns(event.token()) {
            return;
        }
        match event.token().0.saturating_sub(self.tokens.first) {
            0 | 1 => self.accept(now),
            token => self.advance(token.saturating_sub(LISTENERS), now),
        }
    }

    /// Closes what is late and goes on with what was cut short. Call it at [`Self::deadline`].
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.resume.is_some_and(|at| at <= now) {
            self.resume = None;
            self.accept(now);
        }
        for slot in 0..self.slots.len() {
            let Some(link) = self.slots.get(slot).and_then(|slot| slot.link.as_ref()) else { continue };
            if link.until.is_some_and(|until| until <= now) {
                self.close_slot(slot, CloseReason::Timeout, now);
            } else if link.has_unread {
                self.advance(slot, now);
            }
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.links().filter_map(|link| link.until).chain(self.resume).min()
    }

    /// The next thing that happened. Drain after each call that takes `now`.
    pub fn poll_event(&mut self) -> Option<ControlEvent> {
        self.events.pop_front()
    }

    /// Tries the ways one after another until somebody answers. [`Kind::Full`]: too many calls at once. Later there
    /// comes `Opened` or `Closed` for the link.
    pub fn connect(&mut self, ways: &[Dial], now: Instant) -> Result<LinkId> {
        let full = || Error::new(Kind::Full, "too many connections at once: try again later");
        if self.links().filter(|link| !link.is_incoming).count() >= self.limits.connections {
            return Err(full());
        }
        let slot = self.slots.iter().position(|slot| slot.link.is_none()).ok_or_else(full)?;
        let others = ways.iter().rev().cloned().collect();
        self.start_connecting(slot, others, now)
            .map_err(|_| Error::new(Kind::Refused, "none of the addresses can be called"))?;
        let generation = self.slots.get(slot).map_or(0, |slot| slot.generation);
        Ok(LinkId { slot: slot as u32, generation })
    }

    /// Queues one envelope and writes what the socket takes. [`Kind::Retry`]: not opened yet; [`Kind::Gone`]: over;
    /// [`Kind::Full`]: too long, or the other side does not read: then the link is closed and `Closed` follows.
    pub fn send(&mut self, id: LinkId, envelope: &[u8], now: Instant) -> Result<()> {
        let link = self.link(id).ok_or_else(|| Error::new(Kind::Gone, "the connection is closed"))?;
        if !link.is_usable() {
            return Err(Error::new(Kind::Retry, "the connection is not open yet"));
        }
        if envelope.len() > crate::proto::frame::LARGEST {
            return Err(Error::new(Kind::Full, "the message is longer than 32 KiB"));
        }
        if let Err(error) = link.queue(envelope) {
            self.close_slot(id.slot as usize, CloseReason::SlowReader, now);
            return Err(error);
        }
        // A broken socket is found when it is read: what the other side said last comes first.
        let _ = link.write();
        self.counters.frames_out = self.counters.frames_out.saturating_add(1);
        Ok(())
    }

    /// The first envelope of an incoming link was opened and is good: it may stay.
    pub fn confirm(&mut self, id: LinkId) {
        if let Some(link) = self.link(id).filter(|link| link.stage == Stage::Unproven) {
            link.stage = Stage::Open;
            link.until = None;
        }
    }

    /// Says goodbye after all that was sent. No `Closed` follows.
    pub fn close(&mut self, id: LinkId, now: Instant) {
        let Some(link) = self.link(id) else { return };
        if link.is_usable() {
            link.say_goodbye();
            link.until = now.checked_add(LINGER);
            let _ = link.write();
        } else {
            self.drop_link(id.slot as usize);
        }
        // From here on the id means nothing to the outside.
        if let Some(slot) = self.slots.get_mut(id.slot as usize) {
            slot.generation = slot.generation.wrapping_add(1);
        }
    }

    /// The TCP port of the door.
    pub const fn port(&self) -> u16 {
        self.port
    }

    pub fn owns(&self, token: Token) -> bool {
        token.0.checked_sub(self.tokens.first).is_some_and(|offset| offset < self.slots.len().saturating_add(LISTENERS))
    }

    pub const fn counters(&self) -> DoorCounters {
        self.counters
    }

    /// Links there are, and the bytes they hold for frames that are not whole.
    pub fn held(&self) -> (usize, usize) {
        (self.links().count(), self.links().map(Link::held).sum())
    }

    fn accept(&mut self, now: Instant) {
        // Bounded: a flood of connections must not hold the tick up.
        for _ in 0..ACCEPTS {
            let Some(listeners) = &self.listeners else { return };
            match listeners.accept() {
                Ok((socket, peer)) => self.admit(socket, peer, now),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                // Out of file descriptors, most likely: those waiting are asked again in a second.
                Err(_) => {
                    self.resume = now.checked_add(Duration::from_secs(1));
                    return;
                }
            }
        }
        self.resume = Some(now);
    }

    fn admit(&mut self, socket: TcpStream, peer: SocketAddr, now: Instant) {
        self.counters.accepted = self.counters.accepted.saturating_add(1);
        let is_local = peer.ip().to_canonical().is_loopback();
        let rate = if is_local { self.limits.loopback_per_minute } else { self.limits.per_minute };
        if !self.buckets.take(peer.ip(), rate, now) {
            self.counters.too_often = self.counters.too_often.saturating_add(1);
            return;
        }
        if self.links().filter(|link| link.is_incoming).count() >= self.limits.connections && !self.make_room(now) {
            self.counters.crowded = self.counters.crowded.saturating_add(1);
            return;
        }
        let Some(slot) = self.slots.iter().position(|slot| slot.link.is_none()) else { return };
        let Ok(tls) = self.tls.accept() else { return };
        let mut link = Link::new(socket, peer, tls, true, self.limits.write_queue, now);
        link.until = now.checked_add(self.limits.first_byte);
        if self.install(slot, link).is_ok() {
            self.advance(slot, now);
        }
    }

    /// Closes the oldest link that has not shown a key: silent connections cannot keep people out.
    fn make_room(&mut self, now: Instant) -> bool {
        let strangers = self.slots.iter().enumerate().filter_map(|(at, slot)| {
            let link = slot.link.as_ref()?;
            (link.is_incoming && !link.is_usable()).then_some((link.since, at))
        });
        let Some((_, oldest)) = strangers.min() else { return false };
        self.counters.crowded = self.counters.crowded.saturating_add(1);
        self.close_slot(oldest, CloseReason::Crowded, now);
        true
    }

    fn start_connecting(&mut self, slot: usize, mut others: Vec<Dial>, now: Instant) -> Result<(), CloseReason> {
        let mut why = CloseReason::Unreachable;
        let share = u32::try_from(others.len()).unwrap_or(u32::MAX).max(1);
        while let Some(dial) = others.pop() {
            let (Ok(socket), Ok(proxy)) = (TcpStream::connect(dial.address), dial.handshake()) else { continue };
            let tls = self.tls.connect().map_err(|_| CloseReason::Handshake)?;
            let mut link = Link::new(socket, dial.address, tls, false, self.limits.write_queue, now);
            // With other addresses left one gets its share of the time, and at least a second.
            let time = self.limits.connect.checked_div(share).unwrap_or_default().max(LEAST_TRY);
            link.until = now.checked_add(time.min(self.limits.connect));
            (link.others, link.proxy) = (others.clone(), proxy);
            match self.install(slot, link) {
                Ok(()) => return Ok(()),
                Err(_) => why = CloseReason::Unreachable,
            }
        }
        Err(why)
    }

    fn install(&mut self, slot: usize, mut link: Link) -> std::io::Result<()> {
        // A signalling message is small and urgent. A system that cannot do it is only slower.
        let _ = link.socket.set_nodelay(true);
        let token = Token(self.tokens.first.saturating_add(LISTENERS).saturating_add(slot));
        self.registry.register(&mut link.socket, token, Interest::READABLE | Interest::WRITABLE)?;
        if let Some(place) = self.slots.get_mut(slot) {
            place.link = Some(link);
        }
        Ok(())
    }

    /// Does what a link can do now: everything, whichever readiness was reported (mio is edge-triggered).
    fn advance(&mut self, slot: usize, now: Instant) {
        let result = self.try_advance(slot, now);
        match result {
            Err(why) => self.close_slot(slot, why, now),
            Ok(true) => self.resume = Some(now),
            Ok(false) => {}
        }
    }

    /// Whether more is to be read.
    fn try_advance(&mut self, slot: usize, now: Instant) -> Result<bool, CloseReason> {
        let Some(place) = self.slots.get_mut(slot) else { return Ok(false) };
        let id = LinkId { slot: slot as u32, generation: place.generation };
        let Some(link) = &mut place.link else { return Ok(false) };
        if link.stage == Stage::Connecting {
            if !link.finish_connecting()? {
                return Ok(false);
            }
            link.stage = Stage::Handshake;
            link.until = now.checked_add(self.limits.handshake);
        }
        // TLS answers what it reads, and a handshake ends between two reads: both are asked until nothing changes.
        for _ in 0..4 {
            let was = link.stage;
            link.write()?;
            let room = EVENTS.saturating_sub(self.events.len());
            let (events, counters) = (&mut self.events, &mut self.counters);
            let read = link.read(room, &mut |bytes| {
                counters.frames_in = counters.frames_in.saturating_add(1);
                events.push_back(ControlEvent::Frame { link: id, bytes: bytes.to_vec() });
            });
            if was == Stage::FirstByte && link.stage == Stage::Handshake {
                link.until = link.since.checked_add(self.limits.handshake);
            }
            if let Some(device) = link.take_opened()? {
                link.until = link.is_incoming.then(|| now.checked_add(self.limits.proof)).flatten();
                let (peer, is_incoming) = (link.peer, link.is_incoming);
                counters.opened = counters.opened.saturating_add(1);
                events.push_back(ControlEvent::Opened { link: id, peer, device, is_incoming });
                // An end that came together with the handshake's end is met again after what was said before it.
                continue;
            }
            read?;
            if link.stage == was {
                break;
            }
        }
        link.write()?;
        Ok(link.has_unread)
    }

    fn close_slot(&mut self, slot: usize, why: CloseReason, now: Instant) {
        let Some(place) = self.slots.get(slot) else { return };
        let id = LinkId { slot: slot as u32, generation: place.generation };
        let Some(link) = &place.link else { return };
        let (stage, is_incoming, others) = (link.stage, link.is_incoming, link.others.clone());
        self.drop_link(slot);
        if stage == Stage::Connecting && !others.is_empty() && self.start_connecting(slot, others, now).is_ok() {
            return;
        }
        let is_known = matches!(stage, Stage::Unproven | Stage::Open);
        let counters = &mut self.counters;
        match why {
            CloseReason::SlowReader => counters.slow = counters.slow.saturating_add(1),
            CloseReason::Malformed => counters.malformed = counters.malformed.saturating_add(1),
            CloseReason::Crowded => {}
            _ if is_incoming && stage != Stage::Open && stage != Stage::Closing => {
                counters.strangers = counters.strangers.saturating_add(1);
            }
            _ => {}
        }
        if stage == Stage::Closing {
            return; // The id was given back when it was closed.
        }
        if let Some(place) = self.slots.get_mut(slot) {
            place.generation = place.generation.wrapping_add(1);
        }
        if is_known || !is_incoming {
            self.events.push_back(ControlEvent::Closed { link: id, why });
        }
    }

    fn drop_link(&mut self, slot: usize) {
        if let Some(mut link) = self.slots.get_mut(slot).and_then(|slot| slot.link.take()) {
            // Dropping closes it in any case.
            let _ = self.registry.deregister(&mut link.socket);
        }
    }

    fn link(&mut self, id: LinkId) -> Option<&mut Link> {
        self.slots.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation)?.link.as_mut()
    }

    fn links(&self) -> impl Iterator<Item = &Link> {
        self.slots.iter().filter_map(|slot| slot.link.as_ref())
    }
}

const LISTENERS: usize = 2;

/// Connections accepted in one turn: twice what the door holds.
const ACCEPTS: usize = 32;

/// Envelopes that wait for the engine; beyond it links are not read, and TCP holds the sender back.
const EVENTS: usize = 256;

/// A goodbye is read within a round trip or not at all.
const LINGER: Duration = Duration::from_secs(2);

/// A TCP handshake around the world, with one lost packet, takes 1.3 s (RFC 6298: 1 s until the second try).
const LEAST_TRY: Duration = Duration::from_millis(1500);

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
