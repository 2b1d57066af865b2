//! The door that calls come through: real, or one that a laboratory carries envelopes to.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use mio::event::Event;

use super::control::{ControlDoor, ControlEvent, LinkId};
use super::link::CloseReason;
use super::proxy::Dial;
use crate::base::error::{Error, Kind, Result};
use crate::base::time::Instant;
use crate::proto::keys::PublicKey;

/// A door of either kind; what it promises stands at [`ControlDoor`].
#[derive(Debug)]
pub enum Door {
    Tcp(Box<ControlDoor>),
    Wire(WireDoor),
}

impl Door {
    /// Closes the door to those outside, or opens it again.
    ///
    /// # Errors
    /// See [`ControlDoor::listen`].
    pub fn listen(&mut self, is_open: bool) -> Result<()> {
        match self {
            Self::Tcp(door) => door.listen(is_open),
            Self::Wire(_) => Ok(()),
        }
    }

    /// Takes an event of mio.
    pub fn handle_ready(&mut self, event: &Event, now: Instant) {
        if let Self::Tcp(door) = self {
            door.handle_ready(event, now);
        }
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        if let Self::Tcp(door) = self {
            door.handle_timeout(now);
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Tcp(door) => door.deadline(),
            Self::Wire(_) => None,
        }
    }

    pub fn poll_event(&mut self) -> Option<ControlEvent> {
        match self {
            Self::Tcp(door) => door.poll_event(),
            Self::Wire(door) => door.events.pop_front(),
        }
    }

    pub fn connect(&mut self, ways: &[Dial], now: Instant) -> Result<LinkId> {
        match self {
            Self::Tcp(door) => door.connect(ways, now),
            Self::Wire(door) => door.connect(ways),
        }
    }

    pub fn send(&mut self, id: LinkId, envelope: &[u8], now: Instant) -> Result<()> {
        match self {
            Self::Tcp(door) => door.send(id, envelope, now),
            Self::Wire(door) => door.send(id, envelope),
        }
    }

    pub fn confirm(&mut self, id: LinkId) {
        if let Self::Tcp(door) = self {
            door.confirm(id);
        }
    }

    pub fn close(&mut self, id: LinkId, now: Instant) {
        match self {
            Self::Tcp(door) => door.close(id, now),
            Self::Wire(door) => door.close(id),
        }
    }

    /// The port that others call.
    pub const fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(door) => Some(door.port()),
            Self::Wire(_) => None,
        }
    }

    /// Our only address, where that does not depend on whom we talk to.
    pub const fn own_ip(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(_) => None,
            Self::Wire(door) => Some(door.own.ip()),
        }
    }
}

/// A door without sockets: what it would send stands in `out` until somebody carries it to the other side's
/// [`WireDoor::take`]. Peers are who they say they are.
#[derive(Debug)]
pub struct WireDoor {
    own: SocketAddr,
    key: PublicKey,
    links: Vec<WireLink>,
    made: u32,
    events: VecDeque<ControlEvent>,
    out: VecDeque<WireMessage>,
}

#[derive(Clone, Copy, Debug)]
struct WireLink {
    id: LinkId,
    peer: SocketAddr,
    /// The number by which both sides know it: the caller's address and count.
    wire: (SocketAddr, u32),
    is_open: bool,
}

/// What goes from one door to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireMessage {
    pub from: SocketAddr,
    pub to: SocketAddr,
    wire: (SocketAddr, u32),
    said: Said,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Open(PublicKey),
    Opened(PublicKey),
    Frame(Vec<u8>),
    Close(CloseReason),
}

impl WireDoor {
    /// A door at `own` of the one who holds `key`.
    pub const fn new(own: SocketAddr, key: PublicKey) -> Self {
        Self { own, key, links: Vec::new(), made: 0, events: VecDeque::new(), out: VecDeque::new() }
    }

    /// Whether there is a message to be carried.
    pub fn has_message(&self) -> bool {
        !self.out.is_empty()
    }

    /// The next message to be carried to its `to`.
    pub fn poll_message(&mut self) -> Option<WireMessage> {
        self.out.pop_front()
    }

    /// Nobody is at the address that `message` was for.
    pub fn undeliverable(&mut self, message: WireMessage) {
        let WireMessage { from, to, wire, .. } = message;
        self.take(WireMessage { from: to, to: from, wire, said: Said::Close(CloseReason::ConnectRefused) });
    }

    /// A message for us has arrived.
    pub fn take(&mut self, message: WireMessage) {
        let WireMessage { from, wire, said, .. } = message;
        let known = self.links.iter().position(|link| link.wire == wire);
        match (said, known) {
            (Said::Open(device), None) => {
                let id = self.add(from, wire, true);
                self.events.push_back(ControlEvent::Opened { link: id, peer: from, device, is_incoming: true });
                self.say(from, wire, Said::Opened(self.key));
            }
            (Said::Opened(device), Some(at)) => {
                let link = &mut self.links[at];
                link.is_open = true;
                let opened = ControlEvent::Opened { link: link.id, peer: from, device, is_incoming: false };
                self.events.push_back(opened);
            }
            (Said::Frame(bytes), Some(at)) => {
                self.events.push_back(ControlEvent::Frame { link: self.links[at].id, bytes });
            }
            (Said::Close(why), Some(at)) => {
                let link = self.links.swap_remove(at);
                self.events.push_back(ControlEvent::Closed { link: link.id, why });
            }
            // For a link that is over already.
            _ => {}
        }
    }

    fn connect(&mut self, ways: &[Dial]) -> Result<LinkId> {
        let first = ways.first().ok_or_else(|| Error::new(Kind::Refused, "none of the addresses can be called"))?;
        let peer = first.address;
        let wire = (self.own, self.made);
        let id = self.add(peer, wire, false);
        self.say(peer, wire, Said::Open(self.key));
        Ok(id)
    }

    fn send(&mut self, id: LinkId, envelope: &[u8]) -> Result<()> {
        let link = self.links.iter().find(|link| link.id == id);
        let link = *link.ok_or_else(|| Error::new(Kind::Gone, "the connection is closed"))?;
        if !link.is_open {
            return Err(Error::new(Kind::Retry, "the connection is not open yet"));
        }
        self.say(link.peer, link.wire, Said::Frame(envelope.to_vec()));
        Ok(())
    }

    fn close(&mut self, id: LinkId) {
        if let Some(at) = self.links.iter().position(|link| link.id == id) {
            let link = self.links.swap_remove(at);
            self.say(link.peer, link.wire, Said::Close(CloseReason::Goodbye));
        }
    }

    fn add(&mut self, peer: SocketAddr, wire: (SocketAddr, u32), is_open: bool) -> LinkId {
        let id = LinkId::numbered(self.made);
        self.made += 1;
        self.links.push(WireLink { id, peer, wire, is_open });
        id
    }

    fn say(&mut self, to: SocketAddr, wire: (SocketAddr, u32), said: Said) {
        self.out.push_back(WireMessage { from: self.own, to, wire, said });
    }
}
