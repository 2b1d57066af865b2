//! The listeners of the service.

use std::io::ErrorKind;
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};

use crate::base::error::{Error, Kind, Result};
use crate::net::tcp::Listeners;

/// What is behind a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DoorKind {
    /// The service, inside TLS.
    Tls,
    /// Says where the service is, and nothing else.
    Redirect,
    /// Figures for the operator, for programs of this machine only.
    Figures,
}

/// All open doors.
#[derive(Debug, Default)]
pub struct Doors {
    listeners: Vec<(TcpListener, DoorKind)>,
    ports: Vec<(u16, DoorKind)>,
}

impl Doors {
    /// Opens `port` on every address; 0: one that the system chooses. [`Kind::Refused`] with a line for the operator.
    pub fn open(&mut self, port: u16, kind: DoorKind) -> Result<u16> {
        let local = kind == DoorKind::Figures;
        let listeners = Listeners::of_service(port, local).map_err(|error| {
            let advice = match error.kind() {
                ErrorKind::AddrInUse => "another program has it",
                ErrorKind::PermissionDenied => {
                    "the system does not permit it (ports below 1024 need CAP_NET_BIND_SERVICE)"
                }
                _ => "the system refuses it",
            };
            Error::new(Kind::Refused, format!("TCP port {port} cannot be opened: {advice}"))
        })?;
        let opened = listeners.port;
        self.listeners.push((listeners.v4, kind));
        self.listeners.extend(listeners.v6.map(|v6| (v6, kind)));
        self.ports.push((opened, kind));
        Ok(opened)
    }

    /// Registers the listeners from token `first` on; gives how many tokens they take.
    pub fn register(&mut self, registry: &Registry, first: usize) -> std::io::Result<usize> {
        for (at, (listener, _)) in self.listeners.iter_mut().enumerate() {
            registry.register(listener, Token(first.saturating_add(at)), Interest::READABLE)?;
        }
        Ok(self.listeners.len())
    }

    /// The next connection that waits at the listener numbered `at`; `None` when none does.
    pub fn accept(&self, at: usize) -> Option<std::io::Result<(TcpStream, SocketAddr, DoorKind)>> {
        let (listener, kind) = self.listeners.get(at)?;
        loop {
            match listener.accept() {
                Ok((socket, peer)) => return Some(Ok((socket, peer, *kind))),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Ports with what is behind them, in the order in which they were opened.
    pub fn ports(&self) -> &[(u16, DoorKind)] {
        &self.ports
    }

    pub const fn len(&self) -> usize {
        self.listeners.len()
    }

    pub const fn is_empty(&self) -> bool {
        self.listeners.is_empty()
    }

    /// Takes no more connections.
    pub fn close(&mut self) {
        self.listeners.clear();
    }
}
