//! One call control connection: a TCP socket, TLS over it, frames inside.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Instant;

use mio::net::TcpStream;
use rustls::Connection;

use crate::base::error::{Error, Kind, Result};
use crate::net::proxy::{self, Dial};
use crate::net::tls::peer_device;
use crate::proto::frame::{FrameKind, FrameReader, frame};
use crate::proto::keys::PublicKey;
use crate::proto::proxy::{Handshake, is_login};

/// Why a link is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The other side said goodbye.
    Goodbye,
    /// The other side's system closed it without a goodbye: the program there is gone.
    PeerGone,
    /// Nobody listens there.
    ConnectRefused,
    /// No way there.
    Unreachable,
    /// Nobody answered within the limit, or nothing more came of it.
    Timeout,
    /// What is there speaks another protocol, or shows no usable key.
    Handshake,
    /// A frame that is none.
    Malformed,
    /// The other side does not read: its write queue was full.
    SlowReader,
    /// Room was needed for another connection.
    Crowded,
    /// The proxy wants another login.
    ProxyLogin,
    /// The proxy does not carry it there.
    ProxyRefused,
}

/// How far a link has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Connecting,
    FirstByte,
    Handshake,
    /// TLS stands; nothing signed was seen yet.
    Unproven,
    Open,
    /// We said goodbye and wait for the other side to have read it.
    Closing,
}

#[derive(Debug)]
pub(super) struct Link {
    pub socket: TcpStream,
    pub peer: SocketAddr,
    pub is_incoming: bool,
    pub stage: Stage,
    /// When the stage has to be over.
    pub until: Option<Instant>,
    pub since: Instant,
    /// More lies in the socket than one turn may take.
    pub has_unread: bool,
    /// What else to try while connecting, the next one last.
    pub others: Vec<Dial>,
    /// The talk with a proxy that comes before everything else.
    pub proxy: Option<Handshake>,
    tls: Connection,
    frames: FrameReader,
    end: Option<CloseReason>,
    is_shut: bool,
}

impl Link {
    pub fn new(
        socket: TcpStream,
        peer: SocketAddr,
        mut tls: Connection,
        is_incoming: bool,
        cap: usize,
        now: Instant,
    ) -> Self {
        tls.set_buffer_limit(Some(cap));
        let stage = if is_incoming { Stage::FirstByte } else { Stage::Connecting };
        Self {
            socket,
            peer,
            is_incoming,
            stage,
            until: None,
            since: now,
            has_unread: false,
            others: Vec::new(),
            proxy: None,
            tls,
            frames: FrameReader::default(),
            end: None,
            is_shut: false,
        }
    }

    /// Whether the connection stands. An error where it never will.
    pub fn finish_connecting(&mut self) -> Result<bool, CloseReason> {
        if let Some(handshake) = &mut self.proxy {
            return proxy::advance(&mut self.socket, handshake).map_err(|error| match error.kind {
                _ if is_login(&error) => CloseReason::ProxyLogin,
                Kind::Refused | Kind::Malformed => CloseReason::ProxyRefused,
                _ => CloseReason::Unreachable,
            });
        }
        if let Some(error) = self.socket.take_error().map_err(|error| reason(&error))? {
            return Err(reason(&error));
        }
        match self.socket.peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(reason(&error)),
        }
    }

    /// Reads what is there, within bounds, and gives at most `room` whole envelopes to `take`. An error when the link
    /// is over; all that came before it has been given.
    pub fn read(&mut self, mut room: usize, take: &mut dyn FnMut(&[u8])) -> Result<(), CloseReason> {
        self.has_unread = true;
        for _ in 0..READS {
            self.give_frames(&mut room, take)?;
            if room == 0 {
                return Ok(());
            }
            if let Some(end) = self.end {
                self.has_unread = false;
                return Err(end);
            }
            match self.tls.read_tls(&mut self.socket) {
                // The end of the stream: a goodbye inside TLS was either seen before it or never came.
                Ok(0) => self.end = Some(CloseReason::PeerGone),
                Ok(_) if self.stage == Stage::FirstByte => self.stage = Stage::Handshake,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.has_unread = false;
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => self.end = Some(CloseReason::PeerGone),
            }
            self.decrypt();
        }
        Ok(())
    }

    /// Writes what is queued, as far as the socket takes it.
    pub fn write(&mut self) -> Result<(), CloseReason> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // What the other side still said is read before the link ends.
                Err(_) => return self.end.map_or(Ok(()), Err),
            }
        }
        if self.stage == Stage::Closing && !self.is_shut {
            self.is_shut = true;
            // Reading goes on: closing a socket with unread bytes in it would reset the goodbye away.
            let _ = self.socket.shutdown(Shutdown::Write);
        }
        Ok(())
    }

    /// Queues one envelope. [`Kind::Full`]: too long, or the other side does not read.
    pub fn queue(&mut self, body: &[u8]) -> Result<()> {
        let bytes = frame(FrameKind::Envelope, body)?;
        let taken = self.tls.writer().write(&bytes).unwrap_or(0);
        if taken < bytes.len() {
            return Err(Error::new(Kind::Full, "the other side does not read"));
        }
        Ok(())
    }

    /// Says goodbye; the link ends when that is written and the other side has closed too.
    pub fn say_goodbye(&mut self) {
        self.tls.send_close_notify();
        self.stage = Stage::Closing;
    }

    /// The key at the other end when the handshake has just finished; an error where there is none.
    pub fn take_opened(&mut self) -> Result<Option<PublicKey>, CloseReason> {
        if !matches!(self.stage, Stage::Handshake) || self.tls.is_handshaking() {
            return Ok(None);
        }
        let key = peer_device(&self.tls).ok_or(CloseReason::Handshake)?;
        self.stage = if self.is_incoming { Stage::Unproven } else { Stage::Open };
        Ok(Some(key))
    }

    pub const fn is_usable(&self) -> bool {
        matches!(self.stage, Stage::Unproven | Stage::Open)
    }

    /// Bytes held for frames that are not whole yet.
    pub fn held(&self) -> usize {
        self.frames.len()
    }

    fn decrypt(&mut self) {
        let state = match self.tls.process_new_packets() {
            Ok(state) => state,
            Err(_) => {
                let bad = if self.is_usable() { CloseReason::Malformed } else { CloseReason::Handshake };
                self.end = Some(bad);
                // The alert says why; if it cannot be written, the closing does.
                let _ = self.tls.write_tls(&mut self.socket);
                return;
            }
        };
        let mut bytes = [0; 4096];
        while let Ok(length @ 1..) = self.tls.reader().read(&mut bytes) {
            if self.stage != Stage::Closing {
                self.frames.push(bytes.get(..length).unwrap_or_default());
            }
        }
        if state.peer_has_closed() {
            self.end = Some(CloseReason::Goodbye);
        }
    }

    fn give_frames(&mut self, room: &mut usize, take: &mut dyn FnMut(&[u8])) -> Result<(), CloseReason> {
        // Before the other side is known nothing it said is given on.
        while *room > 0 && self.is_usable() {
            match self.frames.next_frame() {
                Ok(Some((FrameKind::Envelope, body))) => {
                    take(body);
                    *room = room.saturating_sub(1);
                }
                // Messages have a door of their own.
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return Err(CloseReason::Malformed),
            }
        }
        Ok(())
    }
}

fn reason(error: &std::io::Error) -> CloseReason {
    match error.kind() {
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => CloseReason::ConnectRefused,
        ErrorKind::TimedOut => CloseReason::Timeout,
        _ => CloseReason::Unreachable,
    }
}

/// A turn reads at most this often, 4 KiB or more each: one link cannot hold the tick up.
const READS: usize = 16;
