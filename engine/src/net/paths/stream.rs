//! A TCP connection that carries datagrams: to a relay, with STUN's own lengths (RFC 8656 §12.5), or to the other side, each
//! after two bytes of length (RFC 4571 §2).

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};

use crate::net::proxy;
use crate::net::web::stream::WebStream;
use crate::proto::proxy::Handshake;
use crate::proto::turn;

/// How datagrams are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Turn,
    Rtp,
}

#[derive(Debug)]
pub(super) struct Stream {
    pub web: WebStream,
    framing: Framing,
    is_connected: bool,
    /// What is still to be said to a proxy.
    proxy: Option<Handshake>,
    inbox: Vec<u8>,
    queue: Queue,
}

/// The connection is over, or was never one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone;

/// A datagram of media has at most 1500 bytes.
const LARGEST: usize = 2048;
/// Reads of a turn: others have theirs.
const READS: usize = 16;

impl Stream {
    pub fn new(web: WebStream, framing: Framing) -> Self {
        Self { web, framing, is_connected: false, proxy: None, inbox: Vec::new(), queue: Queue::default() }
    }

    /// The same, by a proxy.
    pub fn through(mut self, proxy: Option<Handshake>) -> Self {
        self.proxy = proxy;
        self
    }

    /// Whether the connection stands.
    pub fn connect(&mut self) -> Result<bool, Gone> {
        if self.is_connected {
            return Ok(true);
        }
        let socket = self.web.socket_mut();
        if let Some(handshake) = &mut self.proxy {
            if !proxy::advance(socket, handshake).map_err(|_| Gone)? {
                return Ok(false);
            }
            self.proxy = None;
        }
        if !matches!(socket.take_error(), Ok(None)) {
            return Err(Gone);
        }
        match socket.peer_addr() {
            Ok(_) => self.is_connected = true,
            Err(error) if error.kind() == ErrorKind::NotConnected => {}
            Err(_) => return Err(Gone),
        }
        Ok(self.is_connected)
    }

    /// Reads what is there; `Ok(true)` when there may be more.
    pub fn read(&mut self) -> Result<bool, Gone> {
        let mut buffer = [0; 4096];
        for _ in 0..READS {
            match self.web.read(&mut buffer) {
                Ok(0) => return Err(Gone),
                Ok(length) => self.inbox.extend_from_slice(buffer.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(Gone),
            }
        }
        Ok(true)
    }

    /// The next whole datagram into `out`. `Ok(false)`: none is whole.
    pub fn next(&mut self, out: &mut Vec<u8>) -> Result<bool, Gone> {
        let (skip, length, taken) = match self.framing {
            Framing::Turn => match turn::framed(&self.inbox).map_err(|()| Gone)? {
                Some(framed) => (0, framed.length, framed.taken),
                None => return Ok(false),
            },
            Framing::Rtp => match self.inbox.first_chunk() {
                Some(length) => {
                    (2, usize::from(u16::from_be_bytes(*length)), usize::from(u16::from_be_bytes(*length)) + 2)
                }
                None => return Ok(false),
            },
        };
        if self.framing == Framing::Rtp && length > LARGEST {
            return Err(Gone);
        }
        if self.inbox.len() < taken {
            return Ok(false);
        }
        out.clear();
        out.extend(self.inbox.drain(..taken).skip(skip).take(length));
        Ok(true)
    }

    /// Queues a datagram. `false`: there is no room, or it is too long for the other side.
    pub fn push(&mut self, bytes: &[u8], is_urgent: bool) -> bool {
        match self.framing {
            Framing::Turn => {
                // RFC 8656 §12.5: filled up to four bytes.
                let mut framed = bytes.to_vec();
                framed.resize(bytes.len().next_multiple_of(4), 0);
                self.queue.push(framed, is_urgent)
            }
            Framing::Rtp => {
                let Some(length) = u16::try_from(bytes.len()).ok().filter(|_| bytes.len() <= LARGEST) else {
                    return false;
                };
                self.queue.push([&length.to_be_bytes()[..], bytes].concat(), is_urgent)
            }
        }
    }

    /// Writes what goes; nothing before the connection stands.
    pub fn write(&mut self) -> Result<(), Gone> {
        if !self.connect()? {
            return Ok(());
        }
        match self.queue.write(&mut self.web) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(Gone),
            _ => Ok(()),
        }
    }
}

/// Datagrams that the connection did not take yet: pictures give way to what is urgent.
#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<(bool, Vec<u8>)>,
    bytes: usize,
    /// Of the first one.
    written: usize,
}

/// A second of 2 Mbit/s; what is older is of no use to anybody.
const MOST_BYTES: usize = 256 * 1024;

impl Queue {
    fn push(&mut self, frame: Vec<u8>, is_urgent: bool) -> bool {
        while self.bytes + frame.len() > MOST_BYTES {
            // The first one may be half written.
            let oldest = self.frames.iter().skip(usize::from(self.written > 0)).position(|(urgent, _)| !urgent);
            let at = oldest.map(|at| at + usize::from(self.written > 0));
            match at.and_then(|at| self.frames.remove(at)) {
                Some((_, dropped)) => self.bytes -= dropped.len(),
                None => return false,
            }
        }
        self.bytes += frame.len();
        self.frames.push_back((is_urgent, frame));
        true
    }

    fn write(&mut self, to: &mut WebStream) -> std::io::Result<()> {
        loop {
            // Only as much as the system takes: what waits here may still give way.
            to.flush()?;
            let Some((_, frame)) = self.frames.front() else { return Ok(()) };
            match to.write(frame.get(self.written..).unwrap_or_default()) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(length) => self.written += length,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            if self.written >= frame.len() {
                self.bytes -= frame.len();
                self.written = 0;
                self.frames.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_give_way_and_what_is_half_written_stays() {
        let mut queue = Queue::default();
        let frame = |fill: u8| vec![fill; 32 * 1024];
        for n in 0..8 {
            assert!(queue.push(frame(n), n % 2 == 0));
        }
        queue.written = 10;
        assert!(queue.push(frame(100), true));
        let kept: Vec<u8> = queue.frames.iter().map(|(_, frame)| frame[0]).collect();
        assert_eq!(kept, [0, 2, 3, 4, 5, 6, 7, 100]);
        for n in 101..104 {
            assert!(queue.push(frame(n), true));
        }
        assert!(!queue.push(frame(104), true), "all that is left is urgent");
        assert_eq!(queue.bytes, MOST_BYTES);
    }
}
