//! Ports that the router opens for us: asked for on a thread of its own by PCP, NAT-PMP or UPnP, renewed at half their life,
//! taken away at the end. Only the gateway of the default route is asked, and only it is believed.

mod datagrams;
mod gateway;
mod held;
mod upnp;
mod worker;

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

pub use self::gateway::Gateway;
use self::worker::Worker;
use crate::base::error::{Error, Kind, Result};
use crate::base::pipe::{PipeReceiver, PipeSender, Refusal, Wake, pipe};
pub use crate::proto::mapping::Protocol;

/// What the router was asked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Pcp,
    NatPmp,
    Upnp,
}

/// What became of a port that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappingEvent {
    pub protocol: Protocol,
    /// The port on this machine.
    pub port: u16,
    pub state: MappingState,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MappingState {
    /// What arrives at `external` comes to the port. Said again when it changes. `is_public`: false behind a second router
    /// (or a provider's), whose own mapping is missing.
    Mapped { external: SocketAddr, by: Method, is_public: bool },
    /// What was mapped is not any more; it goes on being asked for.
    Lost,
    /// The router does not map it, or none that maps was found: a line for the person. It is asked again after minutes, and
    /// at once where the gateway changes.
    Refused { why: String },
}

/// The thread that keeps mappings. Dropping it takes them away and waits for that, a second at most.
#[derive(Debug)]
pub struct Mapper {
    asks: Option<PipeSender<Ask>>,
    events: PipeReceiver<MappingEvent>,
    quit: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Map(Protocol, u16),
    Release(Protocol, u16),
}

impl Mapper {
    /// Starts with whatever gateway the default route names, and follows it when that changes. `wake` is called when an
    /// event is there.
    ///
    /// # Errors
    /// [`Kind::Retry`]: no thread can be started.
    pub fn start(wake: Wake) -> Result<Self> {
        Self::with(Gateway::find, wake)
    }

    /// As [`Self::start`], with another way of finding the gateway.
    ///
    /// # Errors
    /// See [`Self::start`].
    pub fn with(find: impl Fn() -> Option<Gateway> + Send + 'static, wake: Wake) -> Result<Self> {
        let (asks, asked) = pipe(MOST_ASKS);
        let (said, events) = pipe(MOST_EVENTS);
        let quit = Arc::new(AtomicBool::new(false));
        let worker = Worker::new(Box::new(find), asked, said, wake, quit.clone());
        let thread = std::thread::Builder::new()
            .name("mapping".into())
            .spawn(move || worker.run())
            .map_err(|error| Error::new(Kind::Retry, format!("router ports cannot be asked for: {error}")))?;
        Ok(Self { asks: Some(asks), events, quit, thread: Some(thread) })
    }

    /// Asks for a mapping to `port` of this machine, from the same outer port where that is free. Asking for one that is
    /// kept already changes nothing.
    ///
    /// # Errors
    /// [`Kind::Full`]: too much is asked at once; [`Kind::Gone`]: the thread has ended.
    pub fn ask(&self, protocol: Protocol, port: u16) -> Result<()> {
        self.put(Ask::Map(protocol, port))
    }

    /// Takes a mapping away.
    ///
    /// # Errors
    /// See [`Self::ask`].
    pub fn release(&self, protocol: Protocol, port: u16) -> Result<()> {
        self.put(Ask::Release(protocol, port))
    }

    /// The next thing that happened. When nobody takes events, only [`MOST_EVENTS`] are kept: the later ones are counted
    /// and dropped.
    pub fn poll_event(&self) -> Option<MappingEvent> {
        self.events.try_recv()
    }

    /// Events that nobody took.
    pub fn dropped_events(&self) -> u64 {
        self.events.refused()
    }

    fn put(&self, ask: Ask) -> Result<()> {
        let gone = || Error::new(Kind::Gone, "nothing asks the router any more");
        self.asks.as_ref().ok_or_else(gone)?.try_send(ask).map_err(|refusal| match refusal {
            Refusal::Full(_) => Error::new(Kind::Full, "too many ports are asked for at once"),
            Refusal::Gone(_) => gone(),
        })
    }
}

impl Drop for Mapper {
    fn drop(&mut self) {
        self.quit.store(true, Ordering::Relaxed);
        self.asks = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pcp => "PCP",
            Self::NatPmp => "NAT-PMP",
            Self::Upnp => "UPnP",
        })
    }
}

/// A call has two ports, and a program asks for them once.
const MOST_ASKS: usize = 16;

/// Ports kept at once, some changes each.
pub const MOST_EVENTS: usize = 64;
