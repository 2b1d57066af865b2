//! What several services that share a database tell each other: hints that something has changed, and leases that end by
//! themselves. Never the truth, which is the store's: a service whose bus is away goes on, and finds what it has missed
//! by its number.

mod local;
pub mod log;
pub mod resp;
pub mod url;
mod valkey;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::base::error::Result;
use crate::base::pipe::Wake;
use local::Local;
use url::BusUrl;
use valkey::Valkey;

/// One service's end of the bus.
#[derive(Debug)]
pub enum Bus {
    /// There is one service: nobody else hears anything.
    Local(Local),
    Valkey(Valkey),
}

/// What comes from the bus.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A message, whose sender may be this service itself.
    Message(Vec<u8>),
    /// Which leases there are at present, with their values.
    Leases(Vec<(String, String)>),
}

/// How the bus is, for the operator.
#[derive(Debug, Default)]
pub struct Health {
    connected: AtomicBool,
    /// Connections that were lost.
    pub lost: AtomicU64,
    /// Messages that were not sent, because the bus was away or too much waited.
    pub unsent: AtomicU64,
}

impl Health {
    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }
}

impl Bus {
    /// A bus for one service.
    pub fn local() -> Self {
        Self::Local(Local::default())
    }

    /// The bus of several services. It need not be there yet.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn valkey(url: &BusUrl, wake: &Wake) -> Result<Self> {
        Valkey::start(url, wake).map(Self::Valkey)
    }

    /// Sends a message to all services. Where the bus is away it is lost, and counted.
    pub fn publish(&self, message: String) {
        if let Self::Valkey(valkey) = self {
            valkey.publish(message);
        }
    }

    /// Holds a lease, whose value may change, until it is let go or this service ends; [`LEASE`] after that it is gone.
    pub fn hold(&mut self, name: &str, value: &str) {
        match self {
            Self::Local(local) => local.hold(name, value),
            Self::Valkey(valkey) => valkey.hold(name, value),
        }
    }

    /// The next thing that has come.
    pub fn poll(&mut self) -> Option<Event> {
        match self {
            Self::Local(local) => local.poll(),
            Self::Valkey(valkey) => valkey.poll(),
        }
    }

    /// Whether there can be other services.
    pub const fn is_shared(&self) -> bool {
        matches!(self, Self::Valkey(_))
    }

    /// How a shared one is.
    pub const fn health(&self) -> Option<&Arc<Health>> {
        match self {
            Self::Local(_) => None,
            Self::Valkey(valkey) => Some(valkey.health()),
        }
    }
}

/// Before the names of relays' leases; their values are JSON with an `address`.
pub const RELAY: &str = "relay:";

/// How long a lease lasts after its holder has died.
pub const LEASE: std::time::Duration = std::time::Duration::from_secs(5);
