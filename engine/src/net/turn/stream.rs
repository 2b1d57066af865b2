//! A client's TCP or TLS connection: whole messages in, what fits out.

use std::io::{ErrorKind, Read, Write};

use crate::net::web::stream::WebStream;
use crate::proto::turn;

#[derive(Debug)]
pub(super) struct Stream {
    pub web: WebStream,
    /// Bytes of a message that is not whole yet, and perhaps more.
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    /// The client it belongs to.
    pub client: usize,
}

/// What a slow reader makes wait at most; what comes then is lost, as on any path.
const OUTBOX: usize = 256 * 1024;

/// Reads of a turn: others have theirs.
const READS: usize = 16;

impl Stream {
    pub fn new(web: WebStream, bytes: Vec<u8>, client: usize) -> Self {
        Self { web, inbox: bytes, outbox: Vec::new(), client }
    }

    /// Reads what is there; `Ok(true)` when there may be more.
    pub fn read(&mut self) -> Result<bool, ()> {
        let mut buffer = [0; 4096];
        for _ in 0..READS {
            // A whole message fits, and what does not fit waits in the kernel.
            if self.inbox.len() > turn::LARGEST * 4 {
                return Ok(true);
            }
            match self.web.read(&mut buffer) {
                Ok(0) => return Err(()),
                Ok(length) => self.inbox.extend_from_slice(buffer.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(()),
            }
        }
        Ok(true)
    }

    /// The next whole message without what fills it up, into `out`. `Ok(false)`: none is whole. An error where it is no STUN.
    pub fn next(&mut self, out: &mut Vec<u8>) -> Result<bool, ()> {
        let Some(framed) = turn::framed(&self.inbox)? else { return Ok(false) };
        let Some(message) = self.inbox.get(..framed.taken).and_then(|whole| whole.get(..framed.length)) else {
            return Ok(false);
        };
        out.clear();
        out.extend_from_slice(message);
        self.inbox.drain(..framed.taken);
        Ok(true)
    }

    /// Queues a message, filled up to four bytes (RFC 8656 §12.5). `false` where the reader is too slow for it.
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        let padded = bytes.len().next_multiple_of(4);
        if self.outbox.len() + padded > OUTBOX {
            return false;
        }
        self.outbox.extend_from_slice(bytes);
        self.outbox.resize(self.outbox.len() + padded - bytes.len(), 0);
        true
    }

    /// Writes what goes.
    pub fn write(&mut self) -> Result<(), ()> {
        let mut written = 0;
        while let Some(rest) = self.outbox.get(written..).filter(|rest| !rest.is_empty()) {
            match self.web.write(rest) {
                Ok(0) => return Err(()),
                Ok(length) => written += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(()),
            }
        }
        self.outbox.drain(..written.min(self.outbox.len()));
        match self.web.flush() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(()),
            _ => Ok(()),
        }
    }
}
