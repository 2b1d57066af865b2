//! Questions over UDP: delay, loss, jitter, packet size, and what a router does to addresses (RFC 5780 §4).

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use quinn_udp::UdpSocketState;

use crate::base::time::{self, Duration, Instant};
use crate::net::interfaces::address_towards;
use crate::proto::keys::random;
use crate::proto::nettest::stun::{self, Answer, Transaction, Wanted};
use crate::proto::nettest::{Findings, Kind};

/// The answer to a question and the milliseconds until it came.
pub type Asked = Option<(f64, Answer)>;

/// A socket that asks a server.
#[derive(Debug)]
pub struct Line {
    socket: UdpSocket,
    to: SocketAddr,
    quit: Arc<AtomicBool>,
}

impl Line {
    pub fn open(to: SocketAddr, quit: Arc<AtomicBool>) -> Option<Self> {
        let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0)).ok()?;
        // Packets that are too large are not cut into pieces (RFC 8899 §3): they are to be missed.
        UdpSocketState::new((&socket).into()).ok()?;
        Some(Self { socket, to, quit })
    }

    /// Another line from a port of its own.
    pub fn towards(&self, to: SocketAddr) -> Option<Self> {
        Self::open(to, self.quit.clone())
    }

    /// Asks `to` where we are seen from, three times at most.
    pub fn ask(&self, to: SocketAddr) -> Asked {
        self.exchange(to, Wanted::Binding, &TRIES)
    }

    /// Asks the server of this line once.
    fn ask_once(&self) -> Asked {
        self.exchange(self.to, Wanted::Binding, &[ONCE])
    }

    /// Any answer to `wanted`, refusals as well.
    pub fn exchange(&self, to: SocketAddr, wanted: Wanted, tries: &[Duration]) -> Asked {
        let any_source = matches!(wanted, Wanted::BindingFrom { .. });
        let mut sent: Vec<(Transaction, Instant)> = Vec::new();
        for wait in tries {
            let transaction: Transaction = random().ok()?;
            sent.push((transaction, time::now()));
            self.socket.send_to(&stun::request(wanted, &transaction), to).ok()?;
            let found = self.hear(time::now().checked_add(*wait)?, &mut |bytes, from, now| {
                if !any_source && from != to {
                    return None;
                }
                sent.iter().find_map(|(transaction, at)| {
                    let answer = stun::answer(bytes, transaction)?;
                    Some((now.saturating_duration_since(*at).as_secs_f64() * 1000.0, answer))
                })
            });
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// Whether others see this very socket's address: no router changes it.
    pub fn is_own(&self, seen: SocketAddr) -> bool {
        let port = self.socket.local_addr().map_or(0, |address| address.port());
        address_towards(self.to.ip()) == Some(seen.ip()) && port == seen.port()
    }

    /// RFC 5780 §4.3. `first`: as the server's first address sees us.
    pub fn mapping(&self, asked: &[Asked], first: SocketAddr) -> Kind {
        let Some(other) = other_address(asked, self.to) else { return Kind::Unknown };
        let seen = |to| self.ask(to).and_then(|(_, answer)| answer.mapped);
        let Some(second) = seen(SocketAddr::new(other.ip(), self.to.port())) else { return Kind::Unknown };
        if second == first {
            return Kind::EndpointIndependent;
        }
        match seen(other) {
            Some(third) if third == second => Kind::AddressDependent,
            Some(_) => Kind::AddressAndPortDependent,
            None => Kind::Unknown,
        }
    }

    /// RFC 5780 §4.4, from a port that has sent nothing anywhere else.
    pub fn filtering(&self, asked: &[Asked]) -> Kind {
        let (Some(_), Some(fresh)) = (other_address(asked, self.to), self.towards(self.to)) else {
            return Kind::Unknown;
        };
        let tries = [Duration::from_millis(250), Duration::from_millis(350)];
        let from = |other_address| {
            let wanted = Wanted::BindingFrom { other_address, other_port: true };
            fresh.exchange(self.to, wanted, &tries).is_some_and(|(_, answer)| !answer.is_error)
        };
        if from(true) {
            return Kind::EndpointIndependent;
        }
        if from(false) { Kind::AddressDependent } else { Kind::AddressAndPortDependent }
    }

    /// The largest IP packet that is answered; `None`: none of those that are tried.
    pub fn mtu(&self) -> Option<u16> {
        // IPv4 or IPv6, and UDP.
        let headers: u16 = if self.to.is_ipv4() { 28 } else { 48 };
        let mut sent: Vec<(Transaction, u16)> = Vec::new();
        let mut largest: Option<u16> = None;
        for wait in [Duration::from_millis(250), Duration::from_millis(350)] {
            for size in SIZES {
                let transaction: Transaction = random().ok()?;
                let bytes = stun::request(Wanted::Padded(usize::from(size.saturating_sub(headers))), &transaction);
                // Larger than our own interface carries: that is an answer as well.
                if self.socket.send_to(&bytes, self.to).is_ok() {
                    sent.push((transaction, size));
                }
            }
            let _: Option<()> = self.hear(time::now().checked_add(wait)?, &mut |bytes, _, _| {
                let of = sent.iter().find(|(transaction, _)| stun::answer(bytes, transaction).is_some());
                largest = largest.max(of.map(|(_, size)| *size));
                (largest == SIZES.first().copied()).then_some(())
            });
            if largest == SIZES.first().copied() {
                break;
            }
        }
        largest
    }

    /// The first of what comes until `until` that `take` wants.
    fn hear<T>(&self, until: Instant, take: &mut dyn FnMut(&[u8], SocketAddr, Instant) -> Option<T>) -> Option<T> {
        let mut buffer = [0; 2048];
        loop {
            let left = until.saturating_duration_since(time::now());
            if left.is_zero() || self.quit.load(Ordering::Relaxed) {
                return None;
            }
            self.socket.set_read_timeout(Some(left.clamp(LEAST, LOOK))).ok()?;
            match self.socket.recv_from(&mut buffer) {
                Ok((length, from)) => {
                    let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                    if let Some(found) = take(buffer.get(..length).unwrap_or_default(), from, time::now()) {
                        return Some(found);
                    }
                }
                // A router's word that a packet was too large, or that nobody listens, comes as an error of the next call.
                Err(error) if is_passing(error.kind()) => {}
                Err(_) => return None,
            }
        }
    }
}

/// Datagrams at an even pace, there and back.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Loss {
    sent: u32,
    back: u32,
    median_ms: Option<f64>,
    jitter_ms: Option<f64>,
}

impl Loss {
    pub fn measure(line: &Line, sample: Duration) -> Self {
        let start = time::now();
        let (mut sent, mut times): (Vec<(Transaction, Instant)>, Vec<Option<f64>>) = (Vec::new(), Vec::new());
        let count = u32::try_from(sample.as_millis() / PACE.as_millis()).unwrap_or(0);
        for number in 0..count {
            let Ok(transaction) = random() else { break };
            sent.push((transaction, time::now()));
            times.push(None);
            // One that our own system does not take is lost as well.
            let _ = line.socket.send_to(&stun::request(Wanted::Binding, &transaction), line.to);
            // The last ones get their time.
            let wait = if number + 1 == count { LAST } else { Duration::ZERO };
            let until = start.checked_add(PACE.saturating_mul(number + 1)).and_then(|at| at.checked_add(wait));
            let _: Option<()> = line.hear(until.unwrap_or(start), &mut |bytes, _, now| {
                let of = sent.iter().rposition(|(transaction, _)| stun::answer(bytes, transaction).is_some())?;
                let at = sent.get(of)?.1;
                if let Some(time) = times.get_mut(of) {
                    *time = Some(now.saturating_duration_since(at).as_secs_f64() * 1000.0);
                }
                None
            });
            if line.quit.load(Ordering::Relaxed) {
                break;
            }
        }
        Self::of(&times)
    }

    fn of(times: &[Option<f64>]) -> Self {
        let mut back: Vec<f64> = times.iter().flatten().copied().collect();
        // RFC 3550 §6.4.1: a sixteenth of each change.
        let jitter = back.windows(2).fold(0.0, |jitter: f64, pair| match pair {
            [before, after] => jitter + ((after - before).abs() - jitter) / 16.0,
            _ => jitter,
        });
        let (sent, count) = (times.len() as u32, back.len() as u32);
        back.sort_by(f64::total_cmp);
        let median_ms = back.get(back.len() / 2).copied();
        Self { sent, back: count, median_ms, jitter_ms: median_ms.map(|_| jitter) }
    }

    pub fn note(self, found: &mut Findings) {
        if self.sent == 0 {
            return;
        }
        found.sent = Some(self.sent);
        found.loss = Some(f64::from(self.sent.saturating_sub(self.back)) / f64::from(self.sent));
        found.jitter_ms = self.jitter_ms;
        found.delay_ms = self.median_ms.or(found.delay_ms);
    }
}

/// How long answers take until `ends` says so; the median, `None` where none came.
pub fn delay_while(line: &Line, ends: &dyn Fn() -> bool) -> Option<f64> {
    let mut times: Vec<f64> = Vec::new();
    while !ends() {
        times.extend(line.ask_once().map(|(ms, _)| ms));
        if !ends() {
            std::thread::sleep(PAUSE);
        }
    }
    // A queue fills up at first: the later half is what it comes to.
    let mut later = times.split_off(times.len() / 2);
    later.sort_by(f64::total_cmp);
    later.get(later.len() / 2).copied()
}

/// Where else the server listens, if that is another address.
fn other_address(asked: &[Asked], to: SocketAddr) -> Option<SocketAddr> {
    let other = asked.iter().flatten().find_map(|(_, answer)| answer.other)?;
    (other.ip() != to.ip() && other.port() != to.port()).then_some(other)
}

pub const fn is_passing(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::WouldBlock
            | ErrorKind::TimedOut
            | ErrorKind::Interrupted
            | ErrorKind::ConnectionRefused
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
    )
}

/// Packets of tunnels and access networks that are usual: 1280 is the least of IPv6 (RFC 8200 §5), 1492 PPPoE's.
const SIZES: [u16; 8] = [1500, 1492, 1472, 1440, 1400, 1360, 1280, 1200];

pub const TRIES: [Duration; 3] = [Duration::from_millis(300), Duration::from_millis(400), Duration::from_millis(500)];
/// With a deep queue on the way.
const ONCE: Duration = Duration::from_millis(2500);
/// 25 a second: half of what a server takes of an address.
const PACE: Duration = Duration::from_millis(40);
const PAUSE: Duration = Duration::from_millis(100);
const LAST: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(100);
const LEAST: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_and_jitter_come_of_what_came_back() {
        let even = Loss::of(&[Some(20.0); 50]);
        assert_eq!((even.sent, even.back, even.jitter_ms, even.median_ms), (50, 50, Some(0.0), Some(20.0)));
        let mut found = Findings::default();
        Loss::of(&[Some(20.0), None, Some(40.0), Some(20.0)]).note(&mut found);
        assert_eq!((found.loss, found.sent), (Some(0.25), Some(4)));
        assert!(found.jitter_ms.is_some_and(|jitter| jitter > 1.0));
        let mut none = Findings::default();
        Loss::of(&[None, None]).note(&mut none);
        assert_eq!((none.loss, none.jitter_ms, none.delay_ms), (Some(1.0), None, None));
        let mut unmeasured = Findings::default();
        Loss::of(&[]).note(&mut unmeasured);
        assert_eq!(unmeasured, Findings::default());
    }
}
