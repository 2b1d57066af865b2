//! Bytes of a connection, at either end of it: through TLS, or as they are on the door that only redirects.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};

use mio::net::TcpStream;
use rustls::Connection;

use super::forwarded::{Forwarded, Origin};

/// A socket that does not block, and what is spoken on it. `WouldBlock` goes through in both directions.
#[derive(Debug)]
pub struct WebStream {
    socket: TcpStream,
    tls: Option<Box<Connection>>,
    /// The balancer's header, which comes before all else.
    ahead: Option<Box<Forwarded>>,
    /// Who is at the other end of the balancer, once it has said so.
    origin: Option<SocketAddr>,
    /// Bytes came at all.
    pub has_begun: bool,
}

impl WebStream {
    pub fn tls(socket: TcpStream, mut tls: Connection) -> Self {
        tls.set_buffer_limit(Some(TLS_BUFFER));
        Self { socket, tls: Some(Box::new(tls)), ahead: None, origin: None, has_begun: false }
    }

    pub const fn plain(socket: TcpStream) -> Self {
        Self { socket, tls: None, ahead: None, origin: None, has_begun: false }
    }

    /// It comes from a balancer, who says first whom it speaks for.
    pub fn expect_origin(&mut self) {
        self.ahead = Some(Box::default());
    }

    /// Whom the balancer speaks for, once.
    pub const fn take_origin(&mut self) -> Option<SocketAddr> {
        self.origin.take()
    }

    pub const fn socket_mut(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    pub const fn is_plain(&self) -> bool {
        self.tls.is_none()
    }

    pub fn is_handshaking(&self) -> bool {
        self.ahead.is_some() || self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    /// Writes what TLS has ready, as far as the socket takes it. `true` when nothing is left.
    pub fn push(&mut self) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else { return Ok(true) };
        while tls.wants_write() {
            match tls.write_tls(&mut self.socket) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Says that nothing more comes; the other side may still read what was sent.
    pub fn finish(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
        }
        let _ = self.push();
        let _ = self.socket.shutdown(Shutdown::Write);
    }
}

impl Read for WebStream {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if let Some(ahead) = &mut self.ahead {
            if let Origin::Client(client) = ahead.read(&mut self.socket)? {
                self.origin = Some(client);
            }
            self.ahead = None;
        }
        let Some(tls) = &mut self.tls else {
            let length = self.socket.read(out)?;
            self.has_begun |= length > 0;
            return Ok(length);
        };
        loop {
            match tls.reader().read(out) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                other => return other,
            }
            match tls.read_tls(&mut self.socket) {
                Ok(0) => return Ok(0),
                Ok(_) => self.has_begun = true,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            if let Err(error) = tls.process_new_packets() {
                // The alert says why; where it cannot be written, the closing does.
                let _ = tls.write_tls(&mut self.socket);
                return Err(io::Error::new(ErrorKind::InvalidData, error));
            }
            while tls.wants_write() {
                match tls.write_tls(&mut self.socket) {
                    Ok(1..) => {}
                    _ => break,
                }
            }
        }
    }
}

impl Write for WebStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.socket.write(bytes) };
        let taken = tls.writer().write(bytes)?;
        self.push()?;
        if taken == 0 && !bytes.is_empty() { Err(ErrorKind::WouldBlock.into()) } else { Ok(taken) }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.push()? { Ok(()) } else { Err(ErrorKind::WouldBlock.into()) }
    }
}

/// What TLS holds for a slow reader; more waits above, where it is counted.
const TLS_BUFFER: usize = 64 * 1024;
