//! A connection while it speaks HTTP: one request, one answer, the next.

use std::io::{ErrorKind, Read, Write};

use super::connection::{Close, LARGEST_JSON, Response, WebRequest};
use super::stream::WebStream;
use crate::proto::http::{self, Bad, Head, LARGEST_HEAD};

/// A connection that speaks HTTP.
#[derive(Debug)]
pub(super) struct Http {
    pub stream: WebStream,
    /// What came and is not a whole request yet.
    bytes: Vec<u8>,
    head: Option<Head>,
    out: Vec<u8>,
    written: usize,
    pub stage: HttpStage,
    /// The client asked for the connection to be closed behind the answer.
    is_last: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HttpStage {
    /// Takes a request.
    Reading,
    /// A request is being done; nothing more is read.
    Asked,
    /// The answer is being written; then the next request is read.
    Answering,
    /// The answer is being written; then the connection is closed.
    LastAnswer,
    /// All is written; what still comes is thrown away until the other side closes.
    Closing,
}

impl Http {
    pub const fn new(stream: WebStream) -> Self {
        let stage = HttpStage::Reading;
        Self { stream, bytes: Vec::new(), head: None, out: Vec::new(), written: 0, stage, is_last: false }
    }

    /// Reads within bounds. A whole request comes out once; then it has to be answered. `Ok(None)`: nothing whole yet.
    pub fn read(&mut self, body_limit: fn(&Head) -> usize, more: &mut bool) -> Result<Option<WebRequest>, Close> {
        let mut buffer = [0; 4096];
        for _ in 0..READS {
            match self.stage {
                HttpStage::Reading => {
                    if let Some(request) = self.take_request(body_limit) {
                        return Ok(Some(request));
                    }
                }
                HttpStage::Closing => self.bytes.clear(),
                _ => return Ok(None),
            }
            // The answer to a refused request is on its way.
            if !matches!(self.stage, HttpStage::Reading | HttpStage::Closing) {
                return Ok(None);
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(Close::PeerGone),
                Ok(length) => {
                    self.bytes.extend_from_slice(buffer.get(..length).unwrap_or_default());
                    if self.is_stun() {
                        return Err(Close::Relay);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::InvalidData => return Err(Close::Malformed),
                Err(_) => return Err(Close::PeerGone),
            }
        }
        *more = true;
        Ok(None)
    }

    /// Whether what came inside TLS is STUN: no request begins with such a byte (RFC 8489 §5).
    fn is_stun(&self) -> bool {
        let begins = self.head.is_none() && self.stage == HttpStage::Reading;
        begins && !self.stream.is_plain() && self.bytes.first().is_some_and(|first| *first < 4)
    }

    /// Queues the answer and writes what goes. The connection closes behind it where it has to.
    pub fn answer(&mut self, response: &Response, close: bool) -> Result<(), Close> {
        let close = close || response.close || self.is_last;
        let Response { status, content_type, headers, body, .. } = response;
        let head = http::response_head(*status, content_type, body.len(), close, headers);
        self.out = head.into_bytes();
        self.out.extend_from_slice(body);
        self.written = 0;
        self.stage = if close { HttpStage::LastAnswer } else { HttpStage::Answering };
        self.write()
    }

    pub fn write(&mut self) -> Result<(), Close> {
        while let Some(rest @ [_, ..]) = self.out.get(self.written..) {
            match self.stream.write(rest) {
                Ok(length) => self.written = self.written.saturating_add(length),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(Close::PeerGone),
            }
        }
        if !self.stream.push().map_err(|_| Close::PeerGone)? {
            return Ok(());
        }
        match self.stage {
            HttpStage::Answering => {
                self.out = Vec::new();
                self.stage = HttpStage::Reading;
            }
            HttpStage::LastAnswer => {
                self.out = Vec::new();
                self.stage = HttpStage::Closing;
                // Closing a socket with unread bytes in it would reset the answer away.
                self.stream.finish();
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether a request has begun and is not whole.
    pub const fn is_within_request(&self) -> bool {
        matches!(self.stage, HttpStage::Reading) && (self.head.is_some() || !self.bytes.is_empty())
    }

    /// Whether its head has come and a body longer than a request in JSON is on its way.
    pub fn is_within_large_request(&self) -> bool {
        self.head.as_ref().is_some_and(|head| head.content_length > LARGEST_JSON)
    }

    /// What was read and is no request: what came after the one that asked for a WebSocket, or STUN.
    pub fn take_rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    fn take_request(&mut self, body_limit: fn(&Head) -> usize) -> Option<WebRequest> {
        if self.head.is_none() {
            match http::parse_head(&self.bytes) {
                Ok(None) => return None,
                Ok(Some((head, length))) => {
                    if head.content_length > body_limit(&head) {
                        self.refuse(Bad::BodyTooLarge);
                        return None;
                    }
                    self.bytes.drain(..length.min(self.bytes.len()));
                    self.head = Some(head);
                }
                Err(bad) => {
                    self.refuse(bad);
                    return None;
                }
            }
        }
        if self.bytes.len() < self.head.as_ref()?.content_length {
            return None;
        }
        let head = self.head.take()?;
        let rest = self.bytes.split_off(head.content_length.min(self.bytes.len()));
        let body = std::mem::replace(&mut self.bytes, rest);
        // Requests are not sent ahead by those who mean well: what lies here is the next one's beginning at most.
        if self.bytes.len() > LARGEST_HEAD && head.upgrade.is_none() {
            self.refuse(Bad::Form);
            return None;
        }
        self.stage = HttpStage::Asked;
        self.is_last = head.close;
        Some(WebRequest { head, body })
    }

    fn refuse(&mut self, bad: Bad) {
        self.bytes = Vec::new();
        let response = Response::text(bad.status(), http::reason(bad.status()));
        let _ = self.answer(&response, true);
    }
}

/// A turn reads at most this often, 4 KiB each: one connection cannot hold the tick up.
const READS: usize = 16;
