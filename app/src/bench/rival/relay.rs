//! A path between the two ends of the browser's call that is worse than the machine's own: each end knows one of two
//! sockets as the other end, and what comes to a socket leaves by the other one, later or never.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use engine::base::time::{Instant, now};
use engine::net::datagram::Class;
use engine::net::impair::Impairment;
use engine::net::impair::path::ImpairedPath;
use engine::net::impair::port::Held;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Carries until it is dropped.
#[derive(Debug)]
pub struct Relay {
    ports: [u16; 2],
    is_over: Arc<AtomicBool>,
    carrier: Option<JoinHandle<()>>,
}

/// It looks up so often to see whether it is over.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
/// The largest datagram there is.
const LARGEST: usize = 65_536;

impl Relay {
    /// # Errors
    /// No ports or no thread can be had.
    pub fn start(impairment: Impairment, seed: u64) -> Result<Self> {
        let bind = || {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.set_nonblocking(true)?;
            Ok::<_, std::io::Error>(socket)
        };
        let sockets = [bind().context("no port for the path")?, bind().context("no port for the path")?];
        let port = |socket: &UdpSocket| socket.local_addr().map(|address| address.port());
        let ports = [port(&sockets[0])?, port(&sockets[1])?];
        let is_over = Arc::new(AtomicBool::new(false));
        let told = is_over.clone();
        let ways = [0, 1].map(|way| ImpairedPath::new(impairment, seed.wrapping_add(way)));
        let carrier = std::thread::Builder::new().name("path".into());
        let carrier = carrier.spawn(move || carry(&sockets, ways, &told)).context("no thread for the path")?;
        Ok(Self { ports, is_over, carrier: Some(carrier) })
    }

    /// Where one end is to be reached, and where the other.
    pub const fn ports(&self) -> [u16; 2] {
        self.ports
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(carrier) = self.carrier.take() {
            let _ = carrier.join();
        }
    }
}

/// The way of number n begins at socket n. Who is behind the other socket is known once they have sent something.
fn carry(sockets: &[UdpSocket; 2], mut ways: [ImpairedPath<Held>; 2], is_over: &AtomicBool) {
    let mut ends: [Option<SocketAddr>; 2] = [None; 2];
    let mut datagram = vec![0; LARGEST];
    while !is_over.load(Ordering::Relaxed) {
        for (way, socket) in sockets.iter().enumerate() {
            while let Ok((length, from)) = socket.recv_from(&mut datagram) {
                ends[way] = Some(from);
                let held = Held { from, to: from, class: Class::Audio, bytes: datagram[..length].to_vec() };
                ways[way].push(held, now());
            }
        }
        for (way, path) in ways.iter_mut().enumerate() {
            while let Some(held) = path.pop(now()) {
                if let Some(to) = ends[1 - way] {
                    // A path may lose what it likes.
                    let _ = sockets[1 - way].send_to(&held.bytes, to);
                }
            }
        }
        let due = ways.iter().filter_map(ImpairedPath::next_due).min();
        let mut waiting = sockets.each_ref().map(|socket| PollFd::new(socket, PollFlags::IN));
        let _ = poll(&mut waiting, Some(&until(due, now())));
    }
}

/// From now until `due`, and at most until it is to be looked up again.
fn until(due: Option<Instant>, now: Instant) -> Timespec {
    let left = due.map(|due| due.saturating_duration_since(now).as_nanos() as i64);
    left.filter(|left| *left < LOOK.tv_nsec).map_or(LOOK, |tv_nsec| Timespec { tv_sec: 0, tv_nsec })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_one_end_sends_reaches_the_other_after_the_paths_delay_and_comes_from_where_it_is_answered() {
        let delay = Duration::from_millis(30);
        let relay = Relay::start(Impairment { delay, ..Impairment::NONE }, 1).expect("ports");
        let end = |port: u16| {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
            socket.connect((Ipv4Addr::LOCALHOST, port)).expect("an address");
            socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a socket");
            socket
        };
        let [one, other] = relay.ports().map(end);
        let mut heard = [0; 16];
        // Nobody is behind the other one yet.
        one.send(b"lost").expect("sent");
        other.send(b"hello").expect("sent");
        assert_eq!(one.recv(&mut heard).expect("carried"), 5);
        let sent = now();
        one.send(b"answer").expect("sent");
        loop {
            let length = other.recv(&mut heard).expect("carried");
            if &heard[..length] == b"answer" {
                break;
            }
        }
        assert!(now() - sent >= delay);
    }
}
