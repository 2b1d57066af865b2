//! The bus on Valkey or Redis: one thread with one connection, on which it publishes, hears and holds leases (RESP3).

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{TcpStream as StdStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::base::error::{Error, Kind, Result};
use crate::base::pipe::{PipeReceiver, PipeSender, Wake, pipe};
use crate::base::time::{self, Duration};
use crate::bus::resp::{self, Value, command};
use crate::bus::url::BusUrl;
use crate::bus::{Event, Health, LEASE};

/// This service's end. Dropping it ends the thread.
#[derive(Debug)]
pub struct Valkey {
    messages: PipeSender<String>,
    events: PipeReceiver<Event>,
    leases: Arc<Mutex<BTreeMap<String, String>>>,
    health: Arc<Health>,
    waker: Arc<Waker>,
    quit: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Valkey {
    pub fn start(url: &BusUrl, wake: &Wake) -> Result<Self> {
        let failed = |error: io::Error| Error::new(Kind::Retry, format!("the system gives the bus no thread: {error}"));
        let poll = Poll::new().map_err(failed)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER).map_err(failed)?);
        let (messages, to_send) = pipe(WAITING);
        let (heard, events) = pipe(WAITING);
        let leases = Arc::new(Mutex::new(BTreeMap::new()));
        let health = Arc::new(Health::default());
        let quit = Arc::new(AtomicBool::new(false));
        let thread = Thread {
            url: url.clone(),
            poll,
            messages: to_send,
            heard,
            leases: leases.clone(),
            health: health.clone(),
            wake: wake.clone(),
            quit: quit.clone(),
        };
        let thread = std::thread::Builder::new().name("bus".into()).spawn(move || thread.run()).map_err(failed)?;
        Ok(Self { messages, events, leases, health, waker, quit, thread: Some(thread) })
    }

    pub fn publish(&self, message: String) {
        if self.messages.try_send(message).is_err() {
            self.health.unsent.fetch_add(1, Ordering::Relaxed);
        }
        // The thread is gone only when this is dropped.
        let _ = self.waker.wake();
    }

    pub fn hold(&self, name: &str, value: &str) {
        let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        leases.insert(name.to_owned(), value.to_owned());
    }

    pub fn poll(&self) -> Option<Event> {
        self.events.try_recv()
    }

    pub const fn health(&self) -> &Arc<Health> {
        &self.health
    }
}

impl Drop for Valkey {
    fn drop(&mut self) {
        self.quit.store(true, Ordering::Relaxed);
        let _ = self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Thread {
    url: BusUrl,
    poll: Poll,
    messages: PipeReceiver<String>,
    heard: PipeSender<Event>,
    leases: Arc<Mutex<BTreeMap<String, String>>>,
    health: Arc<Health>,
    wake: Wake,
    quit: Arc<AtomicBool>,
}

/// A connection, and what is under way on it.
struct Wire {
    socket: TcpStream,
    inbound: Vec<u8>,
    outbound: Vec<u8>,
    /// Keys of leases whose values are asked for.
    found: Vec<String>,
    renewed: Option<Instant>,
    /// The last answer; silence means that the network is gone.
    answered: Instant,
}

impl Thread {
    fn run(mut self) {
        let mut failed = 0u32;
        while !self.is_over() {
            let outcome = self.connect().and_then(|mut wire| {
                failed = 0;
                self.health.connected.store(true, Ordering::Relaxed);
                tracing::info!(target: "bus", "connected to {:?}", self.url);
                let outcome = self.serve(&mut wire);
                let _ = self.poll.registry().deregister(&mut wire.socket);
                outcome
            });
            let was_connected = self.health.connected.swap(false, Ordering::Relaxed);
            self.health.lost.fetch_add(u64::from(was_connected), Ordering::Relaxed);
            let Err(error) = outcome else { return };
            tracing::error!(target: "bus", "{:?} is away: {error}", self.url);
            failed = failed.saturating_add(1);
            let wait = FIRST_WAIT.saturating_mul(1 << failed.min(8)).min(LONGEST_WAIT);
            self.idle(time::now() + wait.mul_f64(0.5 + fastrand::f64() / 2.0));
        }
    }

    /// Until `until`, while the bus is away: what is to be sent is lost.
    fn idle(&mut self, until: Instant) {
        let mut events = Events::with_capacity(8);
        while !self.is_over() {
            let left = until.saturating_duration_since(time::now());
            while self.messages.try_recv().is_some() {
                self.health.unsent.fetch_add(1, Ordering::Relaxed);
            }
            if left.is_zero() || self.poll.poll(&mut events, Some(left)).is_err() {
                return;
            }
        }
    }

    fn is_over(&self) -> bool {
        self.quit.load(Ordering::Relaxed)
    }

    fn connect(&self) -> io::Result<Wire> {
        let port = self.url.at.port.unwrap_or(6379);
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for address in (self.url.at.host.as_str(), port).to_socket_addrs()? {
            let socket = match StdStream::connect_timeout(&address, PATIENCE) {
                Ok(socket) => socket,
                Err(error) => {
                    last = error;
                    continue;
                }
            };
            socket.set_nonblocking(true)?;
            socket.set_nodelay(true)?;
            let mut socket = TcpStream::from_std(socket);
            self.poll.registry().register(&mut socket, SOCKET, Interest::READABLE | Interest::WRITABLE)?;
            let mut outbound = Vec::new();
            let user = if self.url.at.user.is_empty() { "default" } else { &self.url.at.user };
            match self.url.at.password.as_str() {
                "" => command(&[b"HELLO", b"3"], &mut outbound),
                word => command(&[b"HELLO", b"3", b"AUTH", user.as_bytes(), word.as_bytes()], &mut outbound),
            }
            command(&[b"SUBSCRIBE", self.channel().as_bytes()], &mut outbound);
            let (inbound, found) = (Vec::new(), Vec::new());
            return Ok(Wire { socket, inbound, outbound, found, renewed: None, answered: time::now() });
        }
        Err(last)
    }

    /// Carries what there is until the connection breaks, or the service ends.
    fn serve(&mut self, wire: &mut Wire) -> io::Result<()> {
        let mut events = Events::with_capacity(64);
        let channel = self.channel();
        loop {
            let is_over = self.is_over();
            while wire.outbound.len() < MOST_OUT
                && let Some(message) = self.messages.try_recv()
            {
                command(&[b"PUBLISH", channel.as_bytes(), message.as_bytes()], &mut wire.outbound);
            }
            let now = time::now();
            if wire.renewed.is_none_or(|renewed| now >= renewed + RENEW) {
                wire.renewed = Some(now);
                self.renew(&mut wire.outbound);
            }
            if now >= wire.answered + SILENCE {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "it does not answer any more"));
            }
            write(wire)?;
            self.read(wire)?;
            if is_over {
                return Ok(());
            }
            let due = wire.renewed.map_or(RENEW, |renewed| (renewed + RENEW).saturating_duration_since(time::now()));
            match self.poll.poll(&mut events, Some(due)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
    }

    /// Holds this service's leases once more, and asks which there are.
    fn renew(&self, out: &mut Vec<u8>) {
        let ttl = LEASE.as_millis().to_string();
        let leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, value) in &*leases {
            let key = format!("{}:{name}", self.url.prefix);
            command(&[b"SET", key.as_bytes(), value.as_bytes(), b"PX", ttl.as_bytes()], out);
        }
        drop(leases);
        // The commands' answers come in their order: the scan's is the only list of two.
        command(&[b"SCAN", b"0", b"MATCH", format!("{}:*", self.url.prefix).as_bytes(), b"COUNT", b"10000"], out);
    }

    fn read(&mut self, wire: &mut Wire) -> io::Result<()> {
        let mut bytes = [0; 16 * 1024];
        loop {
            match wire.socket.read(&mut bytes) {
                Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it has closed the connection")),
                Ok(length) => wire.inbound.extend_from_slice(bytes.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            let mut taken = 0;
            while let Some((value, length)) = resp::parse(wire.inbound.get(taken..).unwrap_or_default())
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it speaks something else"))?
            {
                taken += length;
                wire.answered = time::now();
                self.take(value, wire)?;
            }
            wire.inbound.drain(..taken);
        }
    }

    fn take(&self, value: Value, wire: &mut Wire) -> io::Result<()> {
        match value {
            Value::Push(parts) => {
                if let [Value::Text(kind), _, Value::Text(message)] = parts.as_slice()
                    && kind == b"message"
                {
                    self.hear(Event::Message(message.clone()));
                }
            }
            // The password, or a server before version 6.
            Value::Error(text) => return Err(io::Error::other(text)),
            Value::List(parts) => self.take_list(parts, wire),
            Value::Null | Value::Integer(_) | Value::Text(_) => {}
        }
        Ok(())
    }

    /// The answer to a scan, and then to the question for the values of what it has found.
    fn take_list(&self, parts: Vec<Value>, wire: &mut Wire) {
        let text = |value: &Value| match value {
            Value::Text(text) => String::from_utf8(text.clone()).ok(),
            _ => None,
        };
        if let [Value::Text(_), Value::List(keys)] = parts.as_slice() {
            wire.found = keys.iter().filter_map(text).collect();
            if wire.found.is_empty() {
                self.hear(Event::Leases(Vec::new()));
                return;
            }
            let keys = wire.found.iter().map(String::as_bytes);
            let ask: Vec<&[u8]> = std::iter::once(&b"MGET"[..]).chain(keys).collect();
            command(&ask, &mut wire.outbound);
        } else if !wire.found.is_empty() && parts.len() == wire.found.len() {
            let prefix = format!("{}:", self.url.prefix);
            let found = std::mem::take(&mut wire.found);
            let named = found.iter().filter_map(|key| key.strip_prefix(&prefix).map(str::to_owned));
            // One that has ended since the scan has no value.
            let leases = named.zip(&parts).filter_map(|(name, value)| Some((name, text(value)?)));
            self.hear(Event::Leases(leases.collect()));
        }
    }

    /// Where the service does not keep up, what it does not hear is found again by its number.
    fn hear(&self, event: Event) {
        if self.heard.try_send(event).is_ok() {
            self.wake.wake();
        }
    }

    fn channel(&self) -> String {
        format!("{}:channel", self.url.prefix)
    }
}

fn write(wire: &mut Wire) -> io::Result<()> {
    while !wire.outbound.is_empty() {
        match wire.socket.write(&wire.outbound) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(length) => drop(wire.outbound.drain(..length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

const WAKER: Token = Token(0);
const SOCKET: Token = Token(1);

/// Messages that may wait in each direction.
const WAITING: usize = 4096;

/// Bytes that may wait for the socket.
const MOST_OUT: usize = 1024 * 1024;

const PATIENCE: Duration = Duration::from_secs(2);
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Three times within a lease.
const RENEW: Duration = Duration::from_millis(1500);

/// Two renewals without an answer.
const SILENCE: Duration = Duration::from_secs(4);
