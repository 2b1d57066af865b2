//! STUN and TURN: says to a client where it is seen from, and carries its datagrams to and from people whom it cannot
//! reach (RFC 8489, RFC 8656). The protocol is `turn-server-proto`'s; here are its sockets, its bounds, and whom it may
//! not reach.
//!
//! It runs on a thread of its own: what is relayed waits for nobody's chat. Each client has its own protocol state, so
//! what one client can make it hold is bounded, and gone with the client.
//!
//! Clients come over UDP, over TCP, and over TLS through every door of the service: the service hands over a connection
//! whose first bytes inside TLS are STUN.

mod address;
mod allocate;
mod client;
mod elsewhere;
mod event_loop;
mod stream;

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use ipnet::IpNet;
use mio::{Poll, Token};

use crate::base::error::{Error, Kind, Result};
use crate::base::pipe::{PipeSender, Wake, pipe};
use crate::base::time::Duration;
use crate::net::web::stream::WebStream;
use crate::proto::turn::TurnSecret;

/// The settings of the relay.
#[derive(Clone, Debug)]
pub struct TurnConfig {
    /// UDP ports on which it is asked; 0: one that the system chooses.
    pub udp: Vec<u16>,
    /// The TCP port without TLS.
    pub tcp: Option<u16>,
    pub secret: TurnSecret,
    /// RFC 8489 §9.2.1; the service's name.
    pub realm: String,
    /// The address that others see this machine at, where it is not the machine's own.
    pub address: Option<IpAddr>,
    /// A second address of this machine, from which questions are answered that ask for it (RFC 5780 §6).
    pub second: Option<IpAddr>,
    /// Peers beside those of the Internet that may be reached.
    pub allowed: Vec<IpNet>,
    /// The ports that are relayed from; `None`: the system's choice.
    pub relayed: Option<RangeInclusive<u16>>,
}

/// How much there may be of everything.
#[derive(Clone, Copy, Debug)]
pub struct TurnLimits {
    /// Clients, those that have not shown a password included.
    pub clients: usize,
    /// Allocations of one name.
    pub of_one: usize,
    /// Peers of a client within the last five minutes.
    pub peers: usize,
    /// STUN messages of an address a second, before it has an allocation.
    pub asks: u32,
    /// Bytes a second that are carried for a client, both ways together.
    pub bytes: u32,
    /// A client without an allocation is forgotten after this long without a word.
    pub idle: Duration,
}

impl Default for TurnLimits {
    fn default() -> Self {
        Self { clients: 8192, of_one: 16, peers: 64, asks: 50, bytes: 4_000_000, idle: Duration::from_secs(30) }
    }
}

/// What was counted since the start.
#[derive(Debug, Default)]
pub struct TurnCounters {
    /// Allocations at present.
    pub allocations: AtomicU64,
    pub allocated: AtomicU64,
    /// Messages for peers that may not be reached, and allocations beyond a limit.
    pub refused: AtomicU64,
    /// Datagrams that were carried, and their bytes.
    pub carried: AtomicU64,
    pub carried_bytes: AtomicU64,
    /// Datagrams that were not: too many, or a client that does not read.
    pub dropped: AtomicU64,
}

impl TurnCounters {
    fn add(counter: &AtomicU64, by: u64) {
        counter.fetch_add(by, Ordering::Relaxed);
    }
}

/// A connection that the service hands over.
#[derive(Debug)]
pub struct Handed {
    pub stream: WebStream,
    pub peer: SocketAddr,
    /// What was read of it.
    pub bytes: Vec<u8>,
}

/// What the service hands over.
#[derive(Debug)]
enum Given {
    Stream(Box<Handed>),
    /// A name that was given out.
    Name(String),
}

/// A running relay. Dropping it ends it.
#[derive(Debug)]
pub struct Turn {
    quit: Arc<AtomicBool>,
    wake: Wake,
    handed: PipeSender<Given>,
    thread: Option<JoinHandle<()>>,
    pub counters: Arc<TurnCounters>,
    /// The ports that were opened.
    pub udp: Vec<u16>,
    pub tcp: Option<u16>,
    /// Ports that could not be opened, a line each.
    pub closed: Vec<String>,
}

/// Connections and names that wait to be taken over.
const HANDED: usize = 1024;

const WAKER: Token = Token(0);

impl Turn {
    /// Opens the ports and starts the thread.
    ///
    /// # Errors
    /// [`Kind::Reopen`] where the system gives no event loop. A port that cannot be opened is only said: the others serve.
    pub fn start(config: TurnConfig, limits: TurnLimits) -> Result<Self> {
        let failed =
            |error: std::io::Error| Error::new(Kind::Reopen, format!("the system gives no event loop: {error}"));
        let poll = Poll::new().map_err(failed)?;
        let wake = Wake::new(mio::Waker::new(poll.registry(), WAKER).map_err(failed)?);
        let (handed, taken) = pipe(HANDED);
        let quit = Arc::new(AtomicBool::new(false));
        let counters = Arc::new(TurnCounters::default());
        let mut relay = event_loop::Relay::new(poll, config, limits, taken, counters.clone());
        let (udp, tcp, closed) = relay.open().map_err(failed)?;
        let thread = std::thread::Builder::new()
            .name("turn".into())
            .spawn({
                let (quit, wake) = (quit.clone(), wake.clone());
                move || relay.run(&quit, &wake)
            })
            .map_err(failed)?;
        Ok(Self { quit, wake, handed, thread: Some(thread), counters, udp, tcp, closed })
    }

    /// Takes over a connection. Where too many wait it is closed.
    pub fn take(&self, handed: Handed) {
        self.give(Given::Stream(Box::new(handed)));
    }

    /// Notes a name that was given out, for a client that shows only its hash.
    pub fn expect(&self, user: &str) {
        self.give(Given::Name(user.to_owned()));
    }

    fn give(&self, given: Given) {
        if self.handed.try_send(given).is_ok() {
            self.wake.wake();
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.quit.store(true, Ordering::Relaxed);
        self.wake.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
