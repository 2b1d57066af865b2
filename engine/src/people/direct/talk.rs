//! One connection for one message: TLS, frames, and an end to the patience.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;

use rustls::Connection;

use crate::base::error::{Error, Kind, Result};
use crate::base::time::{self, Duration, Instant};
use crate::net::tls::peer_device;
use crate::proto::frame::{FrameKind, FrameReader};
use crate::proto::keys::PublicKey;

pub struct Talk {
    socket: TcpStream,
    tls: Connection,
    frames: FrameReader,
    until: Instant,
}

impl Talk {
    /// A talk that may take so long.
    pub fn new(socket: TcpStream, tls: Connection, patience: Duration) -> Self {
        let now = time::now();
        Self { socket, tls, frames: FrameReader::default(), until: now.checked_add(patience).unwrap_or(now) }
    }

    /// From now on there is so much time.
    pub fn allow(&mut self, patience: Duration) {
        let now = time::now();
        self.until = now.checked_add(patience).unwrap_or(now);
    }

    /// The handshake: the device at the other end.
    pub fn shake(&mut self) -> Result<PublicKey> {
        while self.tls.is_handshaking() {
            self.turn()?;
        }
        // What was written last has to be on its way.
        self.flush()?;
        peer_device(&self.tls).ok_or_else(|| Error::new(Kind::Malformed, "another protocol is spoken there"))
    }

    /// Sends a whole frame.
    pub fn send(&mut self, frame: &[u8]) -> Result<()> {
        let mut rest = frame;
        while !rest.is_empty() {
            let taken = self.tls.writer().write(rest).map_err(|error| broken(&error))?;
            rest = rest.get(taken..).unwrap_or_default();
            self.flush()?;
        }
        Ok(())
    }

    /// Waits for the next frame and gives its body to `take`.
    pub fn next<T>(&mut self, wanted: FrameKind, take: impl FnOnce(&[u8]) -> Result<T>) -> Result<T> {
        loop {
            match self.frames.next_frame()? {
                Some((kind, body)) if kind == wanted => return take(body),
                // From a newer side.
                Some((FrameKind::Unknown(_), _)) => continue,
                Some(_) => return Err(Error::new(Kind::Malformed, "a frame out of turn")),
                None => {}
            }
            let mut plain = [0; 4096];
            match std::io::Read::read(&mut self.tls.reader(), &mut plain) {
                Ok(0) => return Err(Error::new(Kind::Gone, "the other side has closed the connection")),
                Ok(length) => self.frames.push(plain.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.turn()?,
                Err(error) => return Err(broken(&error)),
            }
        }
    }

    /// Says goodbye.
    pub fn close(mut self) {
        self.tls.send_close_notify();
        let _ = self.flush();
    }

    fn flush(&mut self) -> Result<()> {
        while self.tls.wants_write() {
            self.wait()?;
            self.tls.write_tls(&mut self.socket).map_err(|error| broken(&error))?;
        }
        Ok(())
    }

    /// Writes what is to be written, and takes what comes.
    fn turn(&mut self) -> Result<()> {
        self.flush()?;
        self.wait()?;
        match self.tls.read_tls(&mut self.socket) {
            Ok(0) => return Err(Error::new(Kind::Gone, "the other side has closed the connection")),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(broken(&error)),
        }
        let processed = self.tls.process_new_packets();
        processed.map(drop).map_err(|error| Error::new(Kind::Malformed, format!("the connection broke: {error}")))
    }

    /// The socket waits no longer than the talk may take.
    fn wait(&self) -> Result<()> {
        let left = self.until.saturating_duration_since(time::now());
        if left.is_zero() {
            return Err(Error::new(Kind::Retry, "the other side is too slow"));
        }
        let set = self.socket.set_read_timeout(Some(left)).and_then(|()| self.socket.set_write_timeout(Some(left)));
        set.map_err(|error| broken(&error))
    }
}

fn broken(error: &std::io::Error) -> Error {
    Error::new(Kind::Retry, format!("the connection broke: {error}"))
}
