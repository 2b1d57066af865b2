//! What goes over the wire to a client, in the clear: an end of TLS of its own stands before the service, and keeps all that
//! the service says.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use engine::net::web::certificate::{Pem, ServiceTls};
use engine::proto::keys::Digest;
use rustls::version::TLS13;
use rustls::{ServerConnection, StreamOwned};

use crate::Outcome;
use crate::service::client::{PATIENCE, Place};
use crate::service::tls::{Tls, connect};

/// One stands before a service, for one client. Dropping it ends it.
pub struct Tap {
    address: SocketAddr,
    pin: Digest,
    heard: Arc<Mutex<Vec<u8>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tap {
    /// # Errors
    /// There is no port, or no certificate.
    pub fn start(service: Place) -> Outcome<Self> {
        let text = |error: io::Error| error.to_string();
        let pem = Pem::self_signed(vec!["localhost".into()]).map_err(|error| error.to_string())?;
        let tls = ServiceTls::new(&pem).map_err(|error| error.to_string())?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(text)?;
        let (address, pin) = (listener.local_addr().map_err(text)?, tls.pin());
        listener.set_nonblocking(true).map_err(text)?;
        let (heard, over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let run = {
            let (heard, over) = (heard.clone(), over.clone());
            move || carry_all(&listener, &tls, service, &heard, &over)
        };
        let thread = std::thread::Builder::new().name("tap".into()).spawn(run).map_err(text)?;
        Ok(Self { address, pin, heard, over, thread: Some(thread) })
    }

    /// Where the client finds it, and the key that it shows.
    pub const fn place(&self) -> Place {
        Place { address: self.address, pin: self.pin, from: None }
    }

    /// All that the service has said so far.
    pub fn heard(&self) -> Vec<u8> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

type Server = StreamOwned<ServerConnection, TcpStream>;

/// All connections on one thread: a turn for each, and a rest where none had anything to carry.
fn carry_all(listener: &TcpListener, tls: &ServiceTls, service: Place, heard: &Mutex<Vec<u8>>, over: &AtomicBool) {
    let mut carried: Vec<(Server, Tls)> = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let mut was_busy = false;
        if let Ok((socket, _)) = listener.accept()
            && let Ok(pair) = open(socket, tls, service)
        {
            carried.push(pair);
        }
        carried.retain_mut(|(client, upstream)| {
            let up = carry(client, upstream, None);
            let down = carry(upstream, client, Some(heard));
            was_busy |= matches!((&up, &down), (Ok(1..), _) | (_, Ok(1..)));
            up.is_ok() && down.is_ok()
        });
        if !was_busy {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

fn open(socket: TcpStream, tls: &ServiceTls, service: Place) -> io::Result<(Server, Tls)> {
    socket.set_nonblocking(true)?;
    socket.set_nodelay(true)?;
    let upstream = connect(service.address, service.from, service.pin, &TLS13, PATIENCE)?;
    upstream.sock.set_nonblocking(true)?;
    let server = ServerConnection::new(tls.config()).map_err(io::Error::other)?;
    Ok((StreamOwned::new(server, socket), upstream))
}

/// Carries what is there; how much that was. An error is the end of the connection, after which nothing is carried.
fn carry(from: &mut impl Read, to: &mut impl Write, heard: Option<&Mutex<Vec<u8>>>) -> io::Result<usize> {
    let mut buffer = [0; 16 * 1024];
    let length = match from.read(&mut buffer) {
        Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
        Ok(length) => length,
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        Err(error) => return Err(error),
    };
    let mut left = &buffer[..length];
    if let Some(heard) = heard {
        heard.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(left);
    }
    while !left.is_empty() {
        match to.write(left) {
            Ok(taken) => left = &left[taken..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
            Err(error) => return Err(error),
        }
    }
    match to.flush() {
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
        _ => Ok(length),
    }
}
