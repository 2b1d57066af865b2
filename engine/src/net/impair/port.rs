//! Both directions of one socket.

use std::net::SocketAddr;

use str0m_netem::WithLen;

use super::Impairment;
use super::path::ImpairedPath;
use crate::base::time::Instant;
use crate::net::datagram::{Class, Inbox, Outbox};

/// IPv4 and UDP headers: they take their share of a narrow path.
const HEADERS: usize = 28;

/// A datagram on its way.
#[derive(Clone, Debug)]
pub struct Held {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub class: Class,
    pub bytes: Vec<u8>,
}

impl WithLen for Held {
    fn len(&self) -> usize {
        self.bytes.len() + HEADERS
    }
}

/// What stands between a socket and its engine where the path is to be worse than it is.
pub struct ImpairedPort {
    inward: ImpairedPath<Held>,
    outward: ImpairedPath<Held>,
    through: Outbox,
}

impl ImpairedPort {
    pub fn new(impairment: Impairment, seed: u64) -> Self {
        // The directions are alike and independent.
        Self {
            inward: ImpairedPath::new(impairment, seed),
            outward: ImpairedPath::new(impairment, seed.wrapping_add(1)),
            through: Outbox::default(),
        }
    }

    /// A datagram came from the network.
    pub fn arrive(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8], now: Instant) {
        self.inward.push(Held { from, to, class: Class::Audio, bytes: bytes.to_vec() }, now);
    }

    /// Hands on what is through, with `now` as its arrival.
    pub fn deliver(&mut self, inbox: &mut Inbox, now: Instant) {
        while let Some(held) = self.inward.pop(now) {
            inbox.push(held.from, held.to, now, &held.bytes);
        }
    }

    /// Datagrams are to go to the network.
    pub fn leave(&mut self, outbox: &Outbox, now: Instant) {
        for (sending, bytes) in outbox.iter() {
            let (from, to, class) = (sending.from, sending.to, sending.class);
            self.outward.push(Held { from, to, class, bytes: bytes.to_vec() }, now);
        }
    }

    /// Those that go now.
    pub fn through(&mut self, now: Instant) -> &Outbox {
        self.through.clear();
        while let Some(held) = self.outward.pop(now) {
            self.through.push(held.from, held.to, held.class, &held.bytes);
        }
        &self.through
    }

    pub fn next_due(&self) -> Option<Instant> {
        [self.inward.next_due(), self.outward.next_due()].into_iter().flatten().min()
    }
}
