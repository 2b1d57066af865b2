//! A client of the relay over a real socket.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use engine::base::time::now;
use engine::proto::turn::framed;
use stun_proto::agent::Transmit;
use stun_proto::types::TransportType;
use turn_client_proto::api::{TurnConfig, TurnEvent, TurnPollRet, TurnRecvRet};
use turn_client_proto::prelude::TurnClientApi;
use turn_client_proto::tcp::TurnClientTcp;
use turn_client_proto::udp::TurnClientUdp;
use turn_types::TurnCredentials;

use super::tls::Tls;
use crate::Outcome;

/// What a client speaks through. Reads wait [`TICK`] at most.
pub enum Wire {
    Udp(UdpSocket),
    Tcp(TcpStream),
    Tls(Box<Tls>),
}

/// How long a read waits.
const TICK: Duration = Duration::from_millis(20);

impl Wire {
    /// # Errors
    /// There is no socket, or nobody is there.
    pub fn udp(to: SocketAddr) -> Outcome<Self> {
        let open = || {
            let socket = UdpSocket::bind(("127.0.0.1", 0))?;
            socket.connect(to)?;
            socket.set_read_timeout(Some(TICK))?;
            Ok(Self::Udp(socket))
        };
        open().map_err(|error: std::io::Error| error.to_string())
    }

    /// # Errors
    /// Nobody is there.
    pub fn tcp(to: SocketAddr) -> Outcome<Self> {
        let open = || {
            let stream = TcpStream::connect(to)?;
            stream.set_read_timeout(Some(TICK))?;
            Ok(Self::Tcp(stream))
        };
        open().map_err(|error: std::io::Error| error.to_string())
    }

    /// # Errors
    /// The socket refuses a deadline.
    pub fn tls(stream: Tls) -> Outcome<Self> {
        stream.sock.set_read_timeout(Some(TICK)).map_err(|error| error.to_string())?;
        Ok(Self::Tls(Box::new(stream)))
    }

    fn ends(&self) -> std::io::Result<(SocketAddr, SocketAddr)> {
        match self {
            Self::Udp(socket) => Ok((socket.local_addr()?, socket.peer_addr()?)),
            Self::Tcp(stream) => Ok((stream.local_addr()?, stream.peer_addr()?)),
            Self::Tls(stream) => Ok((stream.sock.local_addr()?, stream.sock.peer_addr()?)),
        }
    }

    /// # Errors
    /// The connection is gone.
    pub fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Udp(socket) => socket.send(bytes).map(drop),
            Self::Tcp(stream) => stream.write_all(bytes),
            Self::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    /// What came within a tick; `None` where nothing did.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn receive(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let mut buffer = vec![0; 65_536];
        let read = match self {
            Self::Udp(socket) => socket.recv(&mut buffer),
            Self::Tcp(stream) => stream.read(&mut buffer),
            Self::Tls(stream) => stream.read(&mut buffer),
        };
        match read {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(length) => {
                buffer.truncate(length);
                Ok(Some(buffer))
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A client that asks for a relayed address as soon as it exists.
pub struct Relayed<C> {
    wire: Wire,
    client: C,
    ends: (SocketAddr, SocketAddr),
    begun: Instant,
    /// Bytes of a stream that are no whole message yet.
    stream: Vec<u8>,
    pub events: Vec<TurnEvent>,
    /// What peers sent.
    pub data: Vec<(SocketAddr, Vec<u8>)>,
}

/// # Errors
/// The wire is gone.
pub fn over_udp(wire: Wire, user: &str, password: &str) -> Outcome<Relayed<TurnClientUdp>> {
    Relayed::new(wire, user, password, TurnClientUdp::allocate)
}

/// # Errors
/// The wire is gone.
pub fn over_stream(wire: Wire, user: &str, password: &str) -> Outcome<Relayed<TurnClientTcp>> {
    Relayed::new(wire, user, password, TurnClientTcp::allocate)
}

impl<C: TurnClientApi> Relayed<C> {
    fn new(
        wire: Wire,
        user: &str,
        password: &str,
        allocate: impl FnOnce(SocketAddr, SocketAddr, TurnConfig) -> C,
    ) -> Outcome<Self> {
        let ends = wire.ends().map_err(|error| error.to_string())?;
        let client = allocate(ends.0, ends.1, TurnConfig::new(TurnCredentials::new(user, password)));
        Ok(Self { wire, client, ends, begun: now(), stream: Vec::new(), events: Vec::new(), data: Vec::new() })
    }

    fn at(&self) -> stun_proto::Instant {
        stun_proto::Instant::from_nanos((now() - self.begun).as_nanos() as i64)
    }

    /// The protocol, for what is asked of it; [`Self::run`] sends it.
    pub fn ask<T>(&mut self, ask: impl FnOnce(&mut C, stun_proto::Instant) -> T) -> T {
        let at = self.at();
        ask(&mut self.client, at)
    }

    /// The address others send to.
    pub fn address(&self) -> Option<SocketAddr> {
        self.client.relayed_addresses().next().map(|(_, address)| address)
    }

    /// # Errors
    /// There is no permission, or the wire is gone.
    pub fn send(&mut self, to: SocketAddr, bytes: &[u8]) -> Outcome<()> {
        let at = self.at();
        let made = self.client.send_to(TransportType::Udp, to, bytes, at).map_err(|error| error.to_string())?;
        let Some(made) = made else { return Ok(()) };
        let mut bytes = made.build().data;
        // RFC 8656 §12.5: over a stream channel data is filled up to four bytes, which the client leaves to its caller.
        if self.client.transport() == TransportType::Tcp {
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        self.wire.send(&bytes).map_err(|error| error.to_string())
    }

    /// Sends and reads until `done`. `false`: it was not within `patience`, or the relay closed.
    pub fn run(&mut self, patience: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let until = now() + patience;
        while now() < until {
            let at = self.at();
            let is_closed = matches!(self.client.poll(at), TurnPollRet::Closed);
            while let Some(sent) = self.client.poll_transmit(at) {
                if self.wire.send(&sent.data).is_err() {
                    return done(self);
                }
            }
            self.events.extend(std::iter::from_fn(|| self.client.poll_event()));
            while let Some(data) = self.client.poll_recv(at) {
                self.data.push((data.peer, data.data().to_vec()));
            }
            if done(self) {
                return true;
            }
            match self.wire.receive() {
                _ if is_closed => return false,
                Ok(Some(bytes)) if self.client.transport() == TransportType::Tcp => {
                    self.stream.extend_from_slice(&bytes);
                    while let Ok(Some(framed)) = framed(&self.stream)
                        && self.stream.len() >= framed.taken
                    {
                        let mut message: Vec<u8> = self.stream.drain(..framed.taken).collect();
                        message.truncate(framed.length);
                        self.hear(message);
                    }
                }
                Ok(Some(bytes)) => self.hear(bytes),
                Ok(None) => {}
                Err(_) => return done(self),
            }
        }
        false
    }

    fn hear(&mut self, data: Vec<u8>) {
        let (transport, (to, from), at) = (self.client.transport(), self.ends, self.at());
        if let TurnRecvRet::PeerData(data) = self.client.recv(Transmit { data, transport, from, to }, at) {
            self.data.push((data.peer, data.data().to_vec()));
        }
    }

    /// Whether it was given an address, or was refused one.
    pub fn is_allocated(&mut self, patience: Duration) -> bool {
        let is_over = |event: &TurnEvent| {
            matches!(event, TurnEvent::AllocationCreated(..) | TurnEvent::AllocationCreateFailed(_))
        };
        self.run(patience, |this| this.events.iter().any(is_over));
        self.events.iter().any(|event| matches!(event, TurnEvent::AllocationCreated(..)))
    }

    /// Whether the peer may be sent to.
    pub fn may_reach(&mut self, peer: IpAddr, patience: Duration) -> bool {
        if self.ask(|client, at| client.create_permission(TransportType::Udp, peer, at)).is_err() {
            return false;
        }
        let is_about = |event: &TurnEvent| match event {
            TurnEvent::PermissionCreated(_, about) | TurnEvent::PermissionCreateFailed(_, about) => *about == peer,
            _ => false,
        };
        self.run(patience, |this| this.events.iter().any(is_about));
        let is_made = |event: &TurnEvent| matches!(event, TurnEvent::PermissionCreated(_, about) if *about == peer);
        self.events.iter().any(is_made)
    }
}
