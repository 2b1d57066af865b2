//! Requests to a service, and the way on from one to the channels of a session.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use data_encoding::BASE64;
use mio::{Events, Interest, Poll, Token};
use serde::de::DeserializeOwned;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};

use super::dial::Race;
use super::trust::{Trust, is_wrong_key};
use crate::base::error::{Error, Kind, Result};
use crate::base::time::{self, Duration, Instant};
use crate::net::proxy::{Dial, dials, resolve_proxy};
use crate::net::tcp::resolve_blocking;
use crate::net::web::stream::WebStream;
use crate::proto::http_client::{AnswerHead, parse_answer, request_head, upgrade_head};
use crate::proto::keys::random;
use crate::proto::proxy::choice::Proxies;
use crate::proto::service::account::{Request, Secret};
use crate::proto::service::frame::{LARGEST, LARGEST_TO_CLIENT};
use crate::proto::service::link::{ServiceLink, doors};
use crate::proto::service::messages;
use crate::proto::service::refusal::Refusal;

/// Where a service is and how it is recognised.
#[derive(Clone, Debug)]
pub struct Place {
    link: ServiceLink,
    trust: Trust,
    /// The door that one came in by last: tried first.
    pub door: Option<u16>,
    /// What the way to a door may take.
    pub patience: Duration,
    /// Set when the program ends: nothing waits on.
    quit: Arc<AtomicBool>,
    proxies: Arc<Proxies>,
}

/// Why something was not done.
#[derive(Clone, Debug)]
pub enum Failure {
    /// The service says no.
    Refused(Refusal),
    /// It cannot be reached, or it is not the one that is meant.
    Broken(Error),
}

pub type Asked<T> = std::result::Result<T, Failure>;

/// One connection to a service: TLS stands and the service's key is the right one.
#[derive(Debug)]
pub struct Https {
    stream: WebStream,
    poll: Poll,
    until: Instant,
    quit: Arc<AtomicBool>,
    host: String,
    address: SocketAddr,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// The channels of a session, on a socket that does not block.
pub type Channels = WebSocket<WebStream>;

impl Place {
    /// # Errors
    /// [`Kind::Refused`] with a line for the person: see [`Trust::new`].
    pub fn new(link: ServiceLink, quit: Arc<AtomicBool>, proxies: Arc<Proxies>) -> Result<Self> {
        let trust = Trust::new(&link.host, link.pin)?;
        Ok(Self { link, trust, door: None, patience: CONNECT, quit, proxies })
    }

    pub const fn link(&self) -> &ServiceLink {
        &self.link
    }

    /// Connects by the first door that is open and shows the right key. Nothing of the person has been sent then.
    ///
    /// # Errors
    /// [`Kind::Retry`]: no way there; [`Kind::Refused`]: another key is shown, or the name has no address. A line for the person.
    pub fn connect(&self) -> Result<Https> {
        let until = time::now().checked_add(self.patience).unwrap_or_else(time::now);
        let mut race = Race::new(self.ways()?, time::now(), until)?;
        let mut wrong = None;
        while let Some((socket, way)) = race.connected(&self.quit) {
            match self.shake_hands(socket, SocketAddr::new(way.address.ip(), way.port())) {
                Ok(https) => return Ok(https),
                Err(error) => wrong = Some(error),
            }
        }
        let host = &self.link.host;
        Err(match wrong {
            Some(error) if is_wrong_key(&error) => {
                let text = match self.link.pin {
                    Some(_) => format!(
                        "what answers at {host} shows another key than its link says: nothing was sent to it. Ask who runs \
                         the service for a new link."
                    ),
                    None => format!(
                        "what answers at {host} shows a certificate that no authority vouches for: nothing was sent to it. \
                         Use a link with the service's pin."
                    ),
                };
                Error::new(Kind::Refused, text)
            }
            Some(error) => Error::new(Kind::Retry, format!("the service at {host} does not answer: {error}")),
            None => race.refused().cloned().unwrap_or_else(|| {
                let text = format!("the service at {host} cannot be reached: check the name and the network");
                Error::new(Kind::Retry, text)
            }),
        })
    }

    /// A request of an account, on a connection of its own.
    ///
    /// # Errors
    /// The service says no, or cannot be reached.
    pub fn account<T: DeserializeOwned>(&self, request: &Request, token: Option<&Secret>) -> Asked<T> {
        self.connect()?.account(request, token)
    }

    fn ways(&self) -> Result<Vec<Dial>> {
        let proxy = self.proxies.towards(&self.link.host);
        // What a proxy lets through is 443, if anything.
        let first = self.door.or_else(|| proxy.map(|_| 443));
        let ports: Vec<u16> = match self.link.port {
            Some(port) => vec![port],
            None => first.into_iter().chain(doors().filter(|door| Some(*door) != first)).collect(),
        };
        if proxy.is_some() {
            let (host, found) = (self.link.host.as_str(), resolve_proxy(&self.proxies)?);
            return Ok(ports.into_iter().flat_map(|port| dials(&self.proxies, &found, host, port, &[])).collect());
        }
        let first = ports.first().copied().unwrap_or(443);
        let mut found = resolve_blocking(&self.link.host, first)?;
        // Of a name with many addresses two are enough where each has twenty-three doors.
        found.truncate(if ports.len() > 1 { 2 } else { 8 });
        let of_port = |port: u16| found.iter().map(move |address| Dial::direct(SocketAddr::new(address.ip(), port)));
        Ok(ports.into_iter().flat_map(of_port).collect())
    }

    fn shake_hands(&self, socket: mio::net::TcpStream, address: SocketAddr) -> io::Result<Https> {
        let other = |error: Error| io::Error::other(error);
        let _ = socket.set_nodelay(true);
        let stream = WebStream::tls(socket, self.trust.connection().map_err(other)?.into());
        let poll = Poll::new()?;
        let until = time::now().checked_add(HANDSHAKE).unwrap_or_else(time::now);
        let host = match self.link.port {
            Some(port) if self.link.host.contains(':') => format!("[{}]:{port}", self.link.host),
            Some(port) => format!("{}:{port}", self.link.host),
            None => self.link.host.clone(),
        };
        let mut https = Https { stream, poll, until, quit: self.quit.clone(), host, address };
        https.poll.registry().register(https.stream.socket_mut(), Token(0), Interest::READABLE | Interest::WRITABLE)?;
        while https.stream.is_handshaking() {
            https.push()?;
            // A service says nothing before it is asked: what is read here is the handshake alone.
            match https.stream.read(&mut [0]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => return Err(ErrorKind::InvalidData.into()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if https.stream.is_handshaking() {
                https.wait()?;
            }
        }
        https.push()?;
        Ok(https)
    }
}

impl Https {
    /// A request of an account.
    ///
    /// # Errors
    /// The service says no, or the connection breaks.
    pub fn account<T: DeserializeOwned>(&mut self, request: &Request, token: Option<&Secret>) -> Asked<T> {
        let body = request.body();
        self.request("POST", request.path(), token, Some(("application/json", &body)))?.json()
    }

    /// Any request.
    ///
    /// # Errors
    /// [`Kind::Retry`]: the connection breaks; [`Kind::Malformed`]: what answers is no such service.
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        token: Option<&Secret>,
        body: Option<(&str, &[u8])>,
    ) -> Result<Answer> {
        let until = time::now().checked_add(TRANSFER).unwrap_or_else(time::now);
        self.request_until(until, method, path, token, body)
    }

    /// A request that is over at `until`; then the connection is of no more use.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub fn request_until(
        &mut self,
        until: Instant,
        method: &str,
        path: &str,
        token: Option<&Secret>,
        body: Option<(&str, &[u8])>,
    ) -> Result<Answer> {
        self.until = until;
        let described = body.map(|(content_type, bytes)| (content_type, bytes.len()));
        let head = request_head(method, &self.host, path, token.map(Secret::expose), described);
        self.write_all(head.as_bytes()).and_then(|()| self.write_all(body.unwrap_or_default().1)).map_err(broken)?;
        self.push().map_err(broken)?;
        let (head, mut body) = self.answer_head()?;
        if head.content_length > messages::LARGEST.saturating_add(1024) {
            return Err(Error::new(Kind::Malformed, "the service's answer is longer than any of its answers"));
        }
        while body.len() < head.content_length {
            self.read_some(&mut body).map_err(broken)?;
        }
        body.truncate(head.content_length);
        Ok(Answer { status: head.status, body })
    }

    /// Goes on as the channels of a session (RFC 6455).
    ///
    /// # Errors
    /// The token is not good, or the connection breaks.
    pub fn open(mut self, access: &Secret) -> Asked<(Channels, SocketAddr)> {
        self.until = time::now().checked_add(HANDSHAKE).unwrap_or_else(time::now);
        let key = BASE64.encode(&random::<16>()?);
        let head = upgrade_head(&self.host, access.expose(), &key);
        self.write_all(head.as_bytes()).and_then(|()| self.push()).map_err(broken)?;
        let (head, mut rest) = self.answer_head()?;
        if head.status != 101 {
            while rest.len() < head.content_length.min(LARGEST) {
                self.read_some(&mut rest).map_err(broken)?;
            }
            return Err(refusal(&Answer { status: head.status, body: rest }));
        }
        // RFC 6455 §4.1: another answer than this one was not made for this request.
        if head.accept.as_deref() != Some(derive_accept_key(key.as_bytes()).as_str()) {
            return Err(Error::new(Kind::Malformed, "what answers there does not speak WebSocket").into());
        }
        let _ = self.poll.registry().deregister(self.stream.socket_mut());
        let most = Some(LARGEST_TO_CLIENT);
        let config = WebSocketConfig::default()
            .read_buffer_size(4096)
            .write_buffer_size(0)
            .max_write_buffer_size(WRITE_QUEUE)
            .max_message_size(most)
            .max_frame_size(most);
        let socket = WebSocket::from_partially_read(self.stream, rest, Role::Client, Some(config));
        Ok((socket, self.address))
    }

    /// Sends bytes of another protocol, and gives what comes back: `whole` says how long that is, as soon as it can.
    ///
    /// # Errors
    /// [`Kind::Retry`]: the connection breaks, or nothing whole comes until `until`.
    pub fn exchange(&mut self, bytes: &[u8], whole: fn(&[u8]) -> Option<usize>, until: Instant) -> Result<Vec<u8>> {
        self.until = until;
        self.write_all(bytes).and_then(|()| self.push()).map_err(broken)?;
        let mut read = Vec::new();
        while whole(&read).is_none_or(|length| read.len() < length) {
            self.read_some(&mut read).map_err(broken)?;
        }
        Ok(read)
    }

    /// The other end, where no proxy stands between.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    fn answer_head(&mut self) -> Result<(AnswerHead, Vec<u8>)> {
        let mut bytes = Vec::new();
        loop {
            if let Some((head, length)) = parse_answer(&bytes)? {
                return Ok((head, bytes.split_off(length.min(bytes.len()))));
            }
            self.read_some(&mut bytes).map_err(broken)?;
        }
    }

    fn read_some(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => {
                    bytes.extend_from_slice(buffer.get(..length).unwrap_or_default());
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait()?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(length) => bytes = bytes.get(length..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait()?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn push(&mut self) -> io::Result<()> {
        while !self.stream.push()? {
            self.wait()?;
        }
        Ok(())
    }

    /// Until the socket may have something, or takes something.
    fn wait(&mut self) -> io::Result<()> {
        let now = time::now();
        if self.quit.load(Ordering::Relaxed) || now >= self.until {
            return Err(ErrorKind::TimedOut.into());
        }
        let left = self.until.saturating_duration_since(now).min(LOOK);
        match self.poll.poll(&mut Events::with_capacity(4), Some(left)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }
}

impl Answer {
    /// The answer as `T`, or the refusal.
    ///
    /// # Errors
    /// The service says no, or something that is not of its forms.
    pub fn json<T: DeserializeOwned>(&self) -> Asked<T> {
        if self.status != 200 {
            return Err(refusal(self));
        }
        serde_json::from_slice(&self.body).map_err(|_| unreadable().into())
    }

    /// The bytes of the answer, or the refusal.
    ///
    /// # Errors
    /// The service says no.
    pub fn bytes(self) -> Asked<Vec<u8>> {
        if self.status == 200 { Ok(self.body) } else { Err(refusal(&self)) }
    }
}

impl Failure {
    /// Whether a later try may succeed without a person doing anything.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.retry_after_ms.is_some(),
            Self::Broken(error) => error.kind == Kind::Retry,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => f.write_str(&refusal.text),
            Self::Broken(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Failure {}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Broken(error)
    }
}

fn refusal(answer: &Answer) -> Failure {
    serde_json::from_slice(&answer.body).map_or_else(|_| unreadable().into(), Failure::Refused)
}

fn unreadable() -> Error {
    Error::new(Kind::Malformed, "the service's answer is not understood: one side is of another version")
}

fn broken(error: io::Error) -> Error {
    let text = match error.kind() {
        ErrorKind::TimedOut => "the service did not answer in time".to_owned(),
        _ => format!("the connection to the service broke: {error}"),
    };
    Error::new(Kind::Retry, text)
}

/// All doors of the plan behind a firewall that swallows everything else take six seconds.
const CONNECT: Duration = Duration::from_secs(15);

/// The design's limit for TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// 4 MiB over half a megabit a second, and passwords that are hashed one after another.
const TRANSFER: Duration = Duration::from_secs(90);

/// How long an end of the program may go unnoticed.
const LOOK: Duration = Duration::from_millis(100);

/// What waits for a slow way to the service: a person's own words and envelopes.
const WRITE_QUEUE: usize = 256 * 1024;
