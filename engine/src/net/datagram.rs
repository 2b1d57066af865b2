//! Datagrams in flat buffers: no allocation per datagram, storage kept from tick to tick.

use std::net::SocketAddr;
use std::ops::Range;

use crate::base::time::Instant;

/// One received datagram's place in an [`Inbox`].
#[derive(Clone, Debug)]
pub struct Received {
    pub from: SocketAddr,
    /// The local address it was sent to.
    pub to: SocketAddr,
    /// When it was taken from the socket.
    pub at: Instant,
    /// It came over a TCP connection (RFC 6544) and not as a datagram.
    pub tcp: bool,
    range: Range<usize>,
}

/// The datagrams received since the last tick, at most [`Inbox::BOUND`] bytes of them.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: Vec<u8>,
    datagrams: Vec<Received>,
    refused: u64,
}

impl Inbox {
    /// 4 MiB is 300 ms of a 100 Mbit/s flood: past that the flood is dropped here, counted.
    pub const BOUND: usize = 4 << 20;

    /// Takes a copy of `data`; drops and counts it when the inbox is full.
    pub fn push(&mut self, from: SocketAddr, to: SocketAddr, at: Instant, data: &[u8]) {
        self.put((from, to), at, false, data);
    }

    /// The same for what a TCP connection carried.
    pub fn push_tcp(&mut self, from: SocketAddr, to: SocketAddr, at: Instant, data: &[u8]) {
        self.put((from, to), at, true, data);
    }

    fn put(&mut self, (from, to): (SocketAddr, SocketAddr), at: Instant, tcp: bool, data: &[u8]) {
        if self.bytes.len() + data.len() > Self::BOUND {
            self.refused += 1;
            return;
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(data);
        self.datagrams.push(Received { from, to, at, tcp, range: start..self.bytes.len() });
    }

    /// Copies the datagram with this index out; whoever reads the inbox later does not see it any more.
    pub fn withdraw(&mut self, index: usize, into: &mut Vec<u8>) {
        into.clear();
        if let Some(datagram) = self.datagrams.get_mut(index) {
            into.extend_from_slice(self.bytes.get(datagram.range.clone()).unwrap_or_default());
            datagram.range = 0..0;
        }
    }

    pub fn datagrams(&self) -> &[Received] {
        &self.datagrams
    }

    /// The datagram with this index and its bytes; `None` where it was withdrawn or is empty.
    pub fn read(&self, index: usize) -> Option<(&Received, &[u8])> {
        let datagram = self.datagrams.get(index).filter(|datagram| !datagram.range.is_empty())?;
        Some((datagram, self.bytes.get(datagram.range.clone())?))
    }

    pub fn newest(&self) -> Option<Instant> {
        self.datagrams.iter().map(|datagram| datagram.at).max()
    }

    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.datagrams.clear();
    }

    /// Datagrams dropped because the inbox was full.
    pub const fn refused(&self) -> u64 {
        self.refused
    }
}

/// How urgent a datagram is to routers that look (RFC 8837 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Expedited forwarding, DSCP 46: audio, and the checks that keep a path alive.
    Audio,
    /// AF41, DSCP 34: interactive video.
    Video,
}

impl Class {
    /// The IPv4 type-of-service byte: the code point, shifted over the two ECN bits.
    pub const fn tos(self) -> u32 {
        match self {
            Self::Audio => 46 << 2,
            Self::Video => 34 << 2,
        }
    }
}

/// One datagram to send: its place in an [`Outbox`].
#[derive(Clone, Debug)]
pub struct Sending {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub class: Class,
    /// Over a TCP connection (RFC 6544).
    pub tcp: bool,
    pub range: Range<usize>,
}

/// This tick's datagrams of one connection, in sending order.
#[derive(Debug, Default)]
pub struct Outbox {
    pub bytes: Vec<u8>,
    pub datagrams: Vec<Sending>,
}

impl Outbox {
    pub fn push(&mut self, from: SocketAddr, to: SocketAddr, class: Class, data: &[u8]) {
        self.put(from, to, class, false, data);
    }

    pub fn put(&mut self, from: SocketAddr, to: SocketAddr, class: Class, tcp: bool, data: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(data);
        self.datagrams.push(Sending { from, to, class, tcp, range: start..self.bytes.len() });
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Sending, &[u8])> {
        self.datagrams.iter().filter_map(|d| Some((d, self.bytes.get(d.range.clone())?)))
    }

    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.datagrams.clear();
    }
}
