//! Requests over HTTP, and the channels.

use std::collections::VecDeque;
use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use engine::base::time::now;
use engine::proto::keys::Digest;
use engine::proto::service::account::{Request, Secret};
use engine::proto::service::frame::{Ask, LARGEST_TO_CLIENT, PATH, PROTOCOL, Push, Reply, Said};
use engine::proto::service::refusal::{Code, Refusal};
use rustls::version::TLS13;
use serde::de::DeserializeOwned;
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
use tungstenite::{Error, Message};

use crate::Outcome;
use crate::service::host::Host;
use crate::service::tls::{Tls, connect};

/// Where a service is and what its key is.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub address: SocketAddr,
    pub pin: Digest,
    /// The address to call from, where it matters.
    pub from: Option<SocketAddr>,
}

/// How long anything may take here: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// An HTTP connection.
pub struct Client {
    stream: Tls,
}

/// The channels of a session.
pub struct Channels {
    socket: WebSocket<Tls>,
    next: u64,
    /// Pushes that came while an answer was waited for.
    pushes: VecDeque<Push>,
}

impl Place {
    pub fn of(host: &Host) -> Self {
        Self { address: host.address(), pin: host.pin(), from: None }
    }

    /// # Errors
    /// Nobody is there.
    pub fn connect(&self) -> Outcome<Client> {
        let stream = connect(self.address, self.from, self.pin, &TLS13, PATIENCE);
        stream.map(|stream| Client { stream }).map_err(|error| format!("no connection: {error}"))
    }

    /// One request on a connection of its own.
    ///
    /// # Errors
    /// The service refuses it; `Err(Err(_))`: the connection fails.
    pub fn account<T: DeserializeOwned>(&self, request: &Request, token: Option<&Secret>) -> Asked<T> {
        self.connect().map_err(Failed::Broken)?.account(request, token)
    }

    /// Opens the channels with an access token.
    ///
    /// # Errors
    /// The service refuses it.
    pub fn open(&self, access: &Secret) -> Asked<Channels> {
        self.connect().map_err(Failed::Broken)?.open(access)
    }
}

/// Why something was not done.
#[derive(Debug)]
pub enum Failed {
    Refused(Refusal),
    Broken(String),
}

pub type Asked<T> = Result<T, Failed>;

impl Failed {
    /// The refusal, where it is one.
    pub fn refusal(self) -> Option<Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::Broken(_) => None,
        }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "refused: {:?}: {}", refusal.code, &*refusal.text),
            Self::Broken(text) => f.write_str(text),
        }
    }
}

impl From<Failed> for String {
    fn from(failed: Failed) -> Self {
        failed.to_string()
    }
}

impl Client {
    /// On a connection that stands.
    pub const fn over(stream: Tls) -> Self {
        Self { stream }
    }

    /// Sends a request of an account; its answer.
    pub fn account<T: DeserializeOwned>(&mut self, request: &Request, token: Option<&Secret>) -> Asked<T> {
        let body = request.body();
        let (status, body) = self.request("POST", request.path(), token, "application/json", &body)?;
        let wrong = |error: serde_json::Error| Failed::Broken(format!("{error}: {}", String::from_utf8_lossy(&body)));
        match status {
            200 => serde_json::from_slice(&body).map_err(wrong),
            _ => Err(Failed::Refused(serde_json::from_slice(&body).map_err(wrong)?)),
        }
    }

    /// Any request; status and body of the answer.
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        token: Option<&Secret>,
        content_type: &str,
        body: &[u8],
    ) -> Asked<(u16, Vec<u8>)> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
        if let Some(token) = token {
            head.push_str(&format!("Authorization: Bearer {}\r\n", token.expose()));
        }
        if !body.is_empty() {
            head.push_str(&format!("Content-Type: {content_type}\r\nContent-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let bytes = [head.as_bytes(), body].concat();
        let broken = |error: std::io::Error| Failed::Broken(format!("{method} {path}: {error}"));
        self.stream.write_all(&bytes).and_then(|()| self.stream.flush()).map_err(broken)?;
        self.answer().map_err(broken)
    }

    /// Goes on as the channels of a session.
    pub fn open(mut self, access: &Secret) -> Asked<Channels> {
        let request = format!(
            "GET {PATH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: {PROTOCOL}\r\n\r\n",
            access.expose()
        );
        let broken = |error: std::io::Error| Failed::Broken(format!("no channels: {error}"));
        self.stream.write_all(request.as_bytes()).and_then(|()| self.stream.flush()).map_err(broken)?;
        let (status, body) = self.answer().map_err(broken)?;
        if status != 101 {
            let refusal = serde_json::from_slice(&body);
            return Err(refusal.map_or_else(|error| Failed::Broken(format!("{status}: {error}")), Failed::Refused));
        }
        let most = Some(LARGEST_TO_CLIENT);
        let config = WebSocketConfig::default().read_buffer_size(4096).max_message_size(most).max_frame_size(most);
        let socket = WebSocket::from_raw_socket(self.stream, Role::Client, Some(config));
        Ok(Channels { socket, next: 1, pushes: VecDeque::new() })
    }

    fn answer(&mut self) -> std::io::Result<(u16, Vec<u8>)> {
        let mut bytes = Vec::new();
        let mut byte = [0];
        while !bytes.ends_with(b"\r\n\r\n") {
            self.stream.read_exact(&mut byte)?;
            bytes.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&bytes).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let mut body = vec![0; length.and_then(|length| length.parse().ok()).unwrap_or(0)];
        self.stream.read_exact(&mut body)?;
        Ok((status, body))
    }
}

impl Channels {
    /// Asks, and waits for the answer; pushes that come before it are kept. Asks again where it was too early.
    pub fn ask(&mut self, ask: &Ask) -> Asked<Reply> {
        loop {
            match self.ask_once(ask) {
                Err(Failed::Refused(Refusal { code: Code::TooOften, retry_after_ms: Some(wait), .. })) => {
                    std::thread::sleep(Duration::from_millis(wait.into()));
                }
                other => return other,
            }
        }
    }

    /// The same, without asking again.
    pub fn ask_once(&mut self, ask: &Ask) -> Asked<Reply> {
        let id = self.send(ask)?;
        let until = now() + PATIENCE;
        loop {
            match self.read(until.saturating_duration_since(now()))? {
                Some(Said::Reply { id: of, reply }) if of == id => return Ok(reply),
                Some(Said::Refused { id: of, refusal }) if of == id => return Err(Failed::Refused(refusal)),
                Some(Said::Push(push)) => self.pushes.push_back(push),
                Some(_) => {}
                None => return Err(Failed::Broken("no answer".into())),
            }
        }
    }

    /// Asks without waiting; the request's id.
    pub fn send(&mut self, ask: &Ask) -> Asked<u64> {
        let id = self.next;
        self.next += 1;
        self.send_text(&ask.to_text(id))?;
        Ok(id)
    }

    /// The connection beneath, for whoever goes on with it.
    pub fn into_stream(self) -> Tls {
        self.socket.into_inner()
    }

    /// Sends any text.
    pub fn send_text(&mut self, text: &str) -> Asked<()> {
        self.socket.send(Message::text(text)).map_err(|error| Failed::Broken(format!("not sent: {error}")))
    }

    /// The next push that `wanted` takes; others before it are passed over. `None` where none came in time.
    pub fn push(&mut self, patience: Duration, mut wanted: impl FnMut(&Push) -> bool) -> Asked<Option<Push>> {
        while let Some(push) = self.pushes.pop_front() {
            if wanted(&push) {
                return Ok(Some(push));
            }
        }
        let until = now() + patience;
        loop {
            match self.read(until.saturating_duration_since(now()))? {
                Some(Said::Push(push)) if wanted(&push) => return Ok(Some(push)),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    /// The pushes that came before the last answer.
    pub fn take_pushes(&mut self) -> impl Iterator<Item = Push> {
        self.pushes.drain(..)
    }

    /// The next message; `None` where none came in time.
    pub fn read(&mut self, patience: Duration) -> Asked<Option<Said>> {
        if patience.is_zero() {
            return Ok(None);
        }
        let broken = |error: &dyn std::fmt::Display| Failed::Broken(format!("the channels broke: {error}"));
        let until = now() + patience;
        loop {
            let left = until.saturating_duration_since(now());
            if left.is_zero() {
                return Ok(None);
            }
            self.socket.get_ref().sock.set_read_timeout(Some(left)).map_err(|error| broken(&error))?;
            match self.socket.read() {
                Ok(Message::Text(text)) => {
                    return Said::parse(text.as_str()).map(Some).map_err(|refusal| broken(&&*refusal.text));
                }
                Ok(Message::Close(_)) => return Err(broken(&"closed")),
                Ok(_) => {}
                Err(Error::Io(error)) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Ok(None);
                }
                Err(error) => return Err(broken(&error)),
            }
        }
    }
}
