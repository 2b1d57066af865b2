//! One connection of the service: TLS, then HTTP, then perhaps a WebSocket.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use rustls::ServerConnection;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
use tungstenite::{Bytes, Message, Utf8Bytes};

use super::http::{Http, HttpStage};
use super::stream::WebStream;
use crate::proto::http::Head;
use crate::proto::service::frame;

/// A whole request.
#[derive(Clone, Debug)]
pub struct WebRequest {
    pub head: Head,
    pub body: Vec<u8>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub content_type: &'static str,
    /// Further lines of the head, without their ends.
    pub headers: Vec<String>,
    pub body: Vec<u8>,
    pub close: bool,
}

impl Response {
    pub fn json(status: u16, body: Vec<u8>) -> Self {
        Self { status, content_type: "application/json", headers: Vec::new(), body, close: false }
    }

    pub fn text(status: u16, body: &str) -> Self {
        let body = format!("{body}\n").into_bytes();
        Self { status, content_type: "text/plain; charset=utf-8", headers: Vec::new(), body, close: false }
    }
}

/// What a client said.
#[derive(Debug)]
pub enum Heard {
    Request(Box<WebRequest>),
    Text(Utf8Bytes),
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Close {
    Goodbye,
    PeerGone,
    /// Not TLS, or not WebSocket.
    Malformed,
    Timeout,
    /// It did not read: its write queue was full.
    SlowReader,
    /// Room was needed for another connection of the same address.
    Crowded,
    /// The account's session has ended, or the service is being stopped.
    Ended,
    /// It speaks STUN: [`WebConnection::take_stream`] gives it to the relay.
    Relay,
}

/// The limits of a connection; the default is the design's.
#[derive(Clone, Copy, Debug)]
pub struct WebLimits {
    pub first_byte: Duration,
    /// From the accept to the end of the TLS handshake.
    pub handshake: Duration,
    /// From there, or from the answer before, to the end of the next request's head and small body.
    pub request: Duration,
    /// The same with a body that is larger than 64 KiB, and for the writing of an answer.
    pub transfer: Duration,
    /// A WebSocket is asked for a sign of life after this long without one, and closed after 2.5 times as long.
    pub silence: Duration,
    /// Bytes that wait for a reader before it is cut.
    pub write_queue: usize,
    pub body: fn(&Head) -> usize,
}

impl Default for WebLimits {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(5),
            handshake: Duration::from_secs(10),
            request: Duration::from_secs(10),
            transfer: Duration::from_secs(60),
            silence: Duration::from_secs(30),
            write_queue: 256 * 1024,
            body: |_| LARGEST_JSON,
        }
    }
}

/// The largest JSON body.
pub const LARGEST_JSON: usize = 64 * 1024;

/// A connection.
#[derive(Debug)]
pub struct WebConnection {
    peer: SocketAddr,
    state: State,
    until: Option<Instant>,
    limits: WebLimits,
    since: Instant,
    phase: Phase,
    heard: Instant,
    pinged: bool,
}

#[derive(Debug)]
enum State {
    Http(Box<Http>),
    Socket(Box<WebSocket<WebStream>>),
    Over,
}

impl WebConnection {
    pub fn tls(socket: TcpStream, peer: SocketAddr, tls: ServerConnection, limits: WebLimits, now: Instant) -> Self {
        Self::new(WebStream::tls(socket, tls.into()), peer, limits, now)
    }

    pub fn plain(socket: TcpStream, peer: SocketAddr, limits: WebLimits, now: Instant) -> Self {
        Self::new(WebStream::plain(socket), peer, limits, now)
    }

    /// The same from a balancer, who says first whom it speaks for.
    #[must_use]
    pub fn forwarded(mut self) -> Self {
        if let State::Http(http) = &mut self.state {
            http.stream.expect_origin();
        }
        self
    }

    /// Whom the balancer speaks for, once it has said so: the peer from then on. Gives the balancer's own address.
    pub fn take_origin(&mut self) -> Option<SocketAddr> {
        let State::Http(http) = &mut self.state else { return None };
        http.stream.take_origin().map(|origin| std::mem::replace(&mut self.peer, origin))
    }

    fn new(stream: WebStream, peer: SocketAddr, limits: WebLimits, now: Instant) -> Self {
        let until = now.checked_add(limits.first_byte);
        let state = State::Http(Box::new(Http::new(stream)));
        Self { peer, state, until, limits, since: now, phase: Phase::FirstByte, heard: now, pinged: false }
    }

    /// Reads what is there, within bounds; `true` when there may be more. What came before an error has been given.
    pub fn read(&mut self, now: Instant, take: &mut dyn FnMut(Heard)) -> Result<bool, Close> {
        let more = match &mut self.state {
            State::Http(http) => {
                let mut more = false;
                let request = http.read(self.limits.body, &mut more)?;
                if let Some(request) = request {
                    take(Heard::Request(Box::new(request)));
                }
                self.note_progress(now);
                more
            }
            State::Socket(socket) => {
                let mut more = true;
                for _ in 0..MESSAGES {
                    match socket.read() {
                        Ok(Message::Text(text)) => take(Heard::Text(text)),
                        Ok(Message::Close(_)) => {
                            let _ = socket.flush();
                            return Err(Close::Goodbye);
                        }
                        Ok(Message::Binary(_) | Message::Frame(_)) => return Err(Close::Malformed),
                        Ok(Message::Ping(_) | Message::Pong(_)) => {}
                        Err(error) if would_block(&error) => {
                            more = false;
                            break;
                        }
                        Err(error) => return Err(close_of(&error)),
                    }
                    self.heard = now;
                    self.pinged = false;
                }
                self.until = now.checked_add(self.limits.silence);
                more
            }
            State::Over => false,
        };
        Ok(more)
    }

    /// Writes what waits, as far as the socket takes it.
    pub fn write(&mut self, now: Instant) -> Result<(), Close> {
        match &mut self.state {
            State::Http(http) => {
                let before = http.stage;
                if http.stream.is_handshaking() {
                    http.stream.push().map_err(|_| Close::PeerGone)?;
                }
                http.write()?;
                if http.stage != before {
                    self.note_progress(now);
                }
                Ok(())
            }
            State::Socket(socket) => match socket.flush() {
                Ok(()) => Ok(()),
                Err(error) if would_block(&error) => Ok(()),
                Err(error) => Err(close_of(&error)),
            },
            State::Over => Ok(()),
        }
    }

    /// Answers the request that was heard last.
    pub fn answer(&mut self, response: &Response, close: bool, now: Instant) -> Result<(), Close> {
        let State::Http(http) = &mut self.state else { return Ok(()) };
        http.answer(response, close)?;
        self.note_progress(now);
        Ok(())
    }

    /// Goes on as a WebSocket, as the request that was heard last asks (RFC 6455 §4.2.2).
    pub fn upgrade(&mut self, key: &str, now: Instant) -> Result<(), Close> {
        let State::Http(mut http) = std::mem::replace(&mut self.state, State::Over) else {
            return Err(Close::Malformed);
        };
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: {}\r\n\r\n",
            derive_accept_key(key.as_bytes()),
            frame::PROTOCOL
        );
        let rest = http.take_rest();
        // The answers before this one are written: this request would not have been read else. So there is room.
        let written = std::io::Write::write(&mut http.stream, head.as_bytes()).unwrap_or(0);
        if written != head.len() {
            return Err(Close::SlowReader);
        }
        let config = WebSocketConfig::default()
            .read_buffer_size(4096)
            .write_buffer_size(0)
            .max_write_buffer_size(self.limits.write_queue)
            .max_message_size(Some(frame::LARGEST))
            .max_frame_size(Some(frame::LARGEST));
        let socket = WebSocket::from_partially_read(http.stream, rest, Role::Server, Some(config));
        self.state = State::Socket(Box::new(socket));
        self.heard = now;
        self.until = now.checked_add(self.limits.silence);
        Ok(())
    }

    /// Sends a message of a WebSocket.
    pub fn send(&mut self, text: Utf8Bytes) -> Result<(), Close> {
        let State::Socket(socket) = &mut self.state else { return Ok(()) };
        match socket.write(Message::Text(text)) {
            Ok(()) => Ok(()),
            Err(error) if would_block(&error) => Ok(()),
            Err(error) => Err(close_of(&error)),
        }
    }

    /// What is to be done at [`Self::deadline`]: an error where the connection was too slow.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Close> {
        if self.until.is_none_or(|until| until > now) {
            return Ok(());
        }
        let State::Socket(socket) = &mut self.state else { return Err(Close::Timeout) };
        let silent = now.saturating_duration_since(self.heard);
        if silent >= self.limits.silence.saturating_mul(5) / 2 {
            return Err(Close::Timeout);
        }
        if !self.pinged {
            self.pinged = true;
            match socket.send(Message::Ping(Bytes::new())) {
                Ok(()) => {}
                Err(error) if would_block(&error) => {}
                Err(error) => return Err(close_of(&error)),
            }
        }
        self.until = now.checked_add(self.limits.silence / 2);
        Ok(())
    }

    /// Says goodbye, as far as the socket takes it.
    pub fn close(&mut self) {
        match &mut self.state {
            State::Http(http) => http.stream.finish(),
            State::Socket(socket) => {
                let _ = socket.close(None);
                let _ = socket.flush();
                socket.get_mut().finish();
            }
            State::Over => {}
        }
    }

    pub fn socket_mut(&mut self) -> Option<&mut TcpStream> {
        match &mut self.state {
            State::Http(http) => Some(http.stream.socket_mut()),
            State::Socket(socket) => Some(socket.get_mut().socket_mut()),
            State::Over => None,
        }
    }

    /// The connection's bytes, and what was read of them, for somebody else: nothing is left here.
    pub fn take_stream(&mut self) -> Option<(WebStream, Vec<u8>)> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Http(mut http) => {
                let bytes = http.take_rest();
                Some((http.stream, bytes))
            }
            _ => None,
        }
    }

    pub const fn deadline(&self) -> Option<Instant> {
        self.until
    }

    pub const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Whether this is the door that only redirects.
    pub fn is_plain(&self) -> bool {
        matches!(&self.state, State::Http(http) if http.stream.is_plain())
    }

    /// Sets the deadline by what the connection is doing: the clock of a phase runs from its beginning, however slowly
    /// bytes come in it.
    fn note_progress(&mut self, now: Instant) {
        let State::Http(http) = &self.state else { return };
        let phase = match http.stage {
            _ if !http.stream.has_begun => Phase::FirstByte,
            _ if http.stream.is_handshaking() => Phase::Handshake,
            HttpStage::Reading if !http.is_within_request() => Phase::Idle,
            HttpStage::Reading if http.is_within_large_request() => Phase::LargeRequest,
            HttpStage::Reading => Phase::Request,
            HttpStage::Asked => Phase::Asked,
            HttpStage::Answering | HttpStage::LastAnswer => Phase::Answering,
            HttpStage::Closing => Phase::Closing,
        };
        if phase == self.phase {
            return;
        }
        self.phase = phase;
        let WebLimits { first_byte, handshake, request, transfer, .. } = self.limits;
        self.until = match phase {
            Phase::FirstByte => self.since.checked_add(first_byte),
            Phase::Handshake => self.since.checked_add(handshake),
            Phase::Idle | Phase::Request => now.checked_add(request),
            Phase::LargeRequest | Phase::Asked | Phase::Answering => now.checked_add(transfer),
            Phase::Closing => now.checked_add(LINGER),
        };
    }
}

/// What an HTTP connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    FirstByte,
    Handshake,
    Idle,
    Request,
    LargeRequest,
    Asked,
    Answering,
    Closing,
}

fn would_block(error: &tungstenite::Error) -> bool {
    matches!(error, tungstenite::Error::Io(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

fn close_of(error: &tungstenite::Error) -> Close {
    match error {
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => Close::Goodbye,
        tungstenite::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => Close::Malformed,
        tungstenite::Error::Io(_) => Close::PeerGone,
        tungstenite::Error::WriteBufferFull(_) => Close::SlowReader,
        _ => Close::Malformed,
    }
}

/// A turn takes at most so many messages of one connection.
const MESSAGES: usize = 16;

/// How long the other side may take to read the last answer.
const LINGER: Duration = Duration::from_secs(2);
