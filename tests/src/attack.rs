//! What strangers send: datagrams and connections that look right at first, from a seed.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, SocketAddrV4, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use engine::base::time::now;
use quinn_udp::{Transmit, UdpSocketState};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::Outcome;

/// An attacker with a seed: the same seed sends the same bytes.
pub struct Attacker {
    random: StdRng,
    /// A binding request, a client hello, a media packet, a report, a packet of the plain transport.
    models: Vec<Vec<u8>>,
}

/// How many of `count` questions that anybody may ask (a binding request alone, RFC 8489 §12) `to` answers.
///
/// # Errors
/// There is no socket.
pub fn answered(count: usize, to: SocketAddrV4) -> Outcome<u64> {
    let failed = |error: std::io::Error| format!("a question: {error}");
    let own = [UdpSocket::bind(("127.0.0.1", 0)).map_err(failed)?];
    own[0].set_nonblocking(true).map_err(failed)?;
    for number in 0..count {
        let mut bytes = [0; 20];
        bytes[1] = 1;
        bytes[4..8].copy_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
        bytes[12..20].copy_from_slice(&(number as u64).to_be_bytes());
        let _ = own[0].send_to(&bytes, to);
    }
    std::thread::sleep(Duration::from_millis(200));
    Ok(answers(&own))
}

/// What became of a flood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flooded {
    pub sent: u64,
    /// Of them in somebody else's name.
    pub forged: u64,
    /// Datagrams that came back to its own sockets.
    pub answered: u64,
}

/// So many datagrams go to the system in one call.
const AT_ONCE: u64 = 16;

/// Sends `bytes` as datagrams of `length` (UDP_SEGMENT). Whether the system took them.
fn send_apart(socket: &UdpSocket, bytes: &[u8], length: usize, to: &SockAddr) -> bool {
    let state = UdpSocketState::new(socket.into());
    let Some(destination) = to.as_socket() else { return false };
    let transmit = Transmit { destination, ecn: None, contents: bytes, segment_size: Some(length), src_ip: None };
    state.is_ok_and(|state| state.try_send(socket.into(), &transmit).is_ok())
}

fn answers(sockets: &[UdpSocket]) -> u64 {
    let mut buffer = [0; 2048];
    sockets.iter().map(|socket| std::iter::from_fn(|| socket.recv_from(&mut buffer).ok()).count() as u64).sum()
}

impl Attacker {
    pub fn new(seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed), models: models() }
    }

    /// Sends `count` datagrams to `to`, one half from sockets of its own, the other half as if they came from `as_from`
    /// where the system permits that. Returns how many were sent with a forged sender.
    pub fn send_datagrams(&mut self, count: usize, to: SocketAddrV4, as_from: SocketAddrV4) -> Outcome<usize> {
        let failed = |error: std::io::Error| format!("the attack: {error}");
        let own: Vec<UdpSocket> =
            (0..8).map(|_| UdpSocket::bind(("127.0.0.1", 0))).collect::<Result<_, _>>().map_err(failed)?;
        let raw = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(IPPROTO_RAW))).ok();
        let mut forged = 0;
        for number in 0..count {
            let bytes = self.datagram();
            // A full socket buffer is the receiver's limit at work; the datagram counts as sent.
            match &raw {
                Some(raw) if number % 2 == 1 => {
                    let _ = raw.send_to(&forge(as_from, to, &bytes), &SocketAddr::V4(to).into());
                    forged += 1;
                }
                _ => {
                    let _ = own[number % own.len()].send_to(&bytes, to);
                }
            }
            // 20,000 a second is a flood; more would only measure how many this machine can drop.
            if number % 100 == 99 {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        Ok(forged)
    }

    /// Sends binding requests whose integrity is wrong to `to`, `rate` a second for `time`: one half from sockets of its own,
    /// the other half as if they came from `as_from` where the system permits that.
    ///
    /// # Errors
    /// There are no sockets.
    pub fn flood(&mut self, rate: u32, time: Duration, to: SocketAddrV4, as_from: SocketAddrV4) -> Outcome<Flooded> {
        let failed = |error: std::io::Error| format!("the flood: {error}");
        let own: Vec<UdpSocket> =
            (0..8).map(|_| UdpSocket::bind(("127.0.0.1", 0))).collect::<Result<_, _>>().map_err(failed)?;
        own.iter().try_for_each(|socket| socket.set_nonblocking(true)).map_err(failed)?;
        let raw = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(IPPROTO_RAW))).ok();
        let (start, mut flooded, mut bytes) = (now(), Flooded::default(), stun());
        let (length, to_all) = (bytes.len(), SocketAddr::V4(to).into());
        let mut many = Vec::new();
        while now() - start < time {
            let due = ((now() - start).as_secs_f64() * f64::from(rate)) as u64;
            while flooded.sent < due {
                // Another transaction each time, and now and then another name.
                many.clear();
                for _ in 0..AT_ONCE {
                    self.random.fill(&mut bytes[8..20]);
                    self.random.fill(&mut bytes[24..28]);
                    if let Some(raw) = &raw {
                        let _ = raw.send_to(&forge(as_from, to, &bytes), &to_all);
                        flooded.forged += 1;
                        flooded.sent += 1;
                    }
                    many.extend(&bytes);
                }
                let socket = &own[flooded.sent as usize % own.len()];
                flooded.sent += AT_ONCE * u64::from(send_apart(socket, &many, length, &to_all));
            }
            flooded.answered += answers(&own);
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(100));
        flooded.answered += answers(&own);
        Ok(flooded)
    }

    /// Begins handshakes with both of `ends` until `is_over`, from a socket of its own and as if each came from the other end.
    /// Returns how many began.
    ///
    /// # Errors
    /// There is no socket.
    pub fn greet_until(&mut self, ends: [SocketAddrV4; 2], is_over: &AtomicBool) -> Outcome<u64> {
        let failed = |error: std::io::Error| format!("the attack: {error}");
        let own = UdpSocket::bind(("127.0.0.1", 0)).map_err(failed)?;
        let raw = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(IPPROTO_RAW))).ok();
        let mut begun = 0;
        while !is_over.load(Ordering::Relaxed) {
            for (to, from) in [(ends[0], ends[1]), (ends[1], ends[0])] {
                let mut hello = whole_dtls_hello();
                self.random.fill(&mut hello[27..59]);
                let _ = own.send_to(&hello, to);
                if let Some(raw) = &raw {
                    let _ = raw.send_to(&forge(from, to, &hello), &SocketAddr::V4(to).into());
                }
                begun += 1;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(begun)
    }

    /// Opens `count` connections to `to`, says something on each that is no call, and leaves. Stops after
    /// `patience`. Returns how many were opened.
    pub fn connect(&mut self, count: usize, to: SocketAddr, patience: Duration) -> usize {
        let until = now() + patience;
        let mut opened = 0;
        let mut kept: Vec<TcpStream> = Vec::new();
        for number in 0..count {
            if now() >= until {
                break;
            }
            let Ok(mut stream) = TcpStream::connect_timeout(&to, Duration::from_millis(500)) else { continue };
            opened += 1;
            let _ = stream.set_write_timeout(Some(Duration::from_millis(100)));
            let _ = stream.write_all(&self.greeting());
            match number % 8 {
                // Some hear the answer, some stay and say nothing more.
                0 => {
                    let _ = stream.shutdown(Shutdown::Write);
                    let _ = stream.set_read_timeout(Some(Duration::from_millis(20)));
                    let _ = stream.read(&mut [0; 512]);
                }
                1 => {
                    kept.push(stream);
                    if kept.len() > 24 {
                        kept.remove(0);
                    }
                }
                _ => {}
            }
        }
        opened
    }

    fn datagram(&mut self) -> Vec<u8> {
        let kind = self.random.random_range(0..6);
        if kind == 0 {
            return self.noise(1400);
        }
        let mut bytes = self.models.choose(&mut self.random).cloned().unwrap_or_default();
        self.mutate(&mut bytes);
        bytes
    }

    /// What somebody says first on a connection: noise, or a client hello with something wrong in it.
    fn greeting(&mut self) -> Vec<u8> {
        match self.random.random_range(0..3) {
            0 => self.noise(4096),
            1 => Vec::new(),
            _ => {
                let mut hello = tls_hello();
                self.mutate(&mut hello);
                hello
            }
        }
    }

    fn noise(&mut self, most: usize) -> Vec<u8> {
        let mut bytes = vec![0; self.random.random_range(0..most)];
        self.random.fill(&mut bytes[..]);
        bytes
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..self.random.random_range(0..4) {
            let at = self.random.random_range(0..bytes.len().max(1)).min(bytes.len());
            match self.random.random_range(0..5) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, self.random.random()),
                2 => {
                    let tail = self.noise(600);
                    bytes.extend(tail);
                }
                3 => {
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = *[0, 1, 0x7f, 0x80, 0xff].choose(&mut self.random).expect("five");
                    }
                }
                _ => {
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= 1 << self.random.random_range(0..8);
                    }
                }
            }
        }
    }
}

/// The system fills in nothing but the checksum of the header: what follows is sent as it is.
const IPPROTO_RAW: i32 = 255;

/// An IPv4 datagram (RFC 791 §3.1) with UDP (RFC 768) inside that says it comes from `from`.
fn forge(from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let (udp, total) = (8 + payload.len(), 28 + payload.len());
    let mut bytes = Vec::with_capacity(total);
    bytes.extend([0x45, 0]);
    bytes.extend((total as u16).to_be_bytes());
    bytes.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
    bytes.extend(from.ip().octets());
    bytes.extend(to.ip().octets());
    bytes.extend(from.port().to_be_bytes());
    bytes.extend(to.port().to_be_bytes());
    bytes.extend((udp as u16).to_be_bytes());
    // 0: no checksum.
    bytes.extend([0, 0]);
    bytes.extend(payload);
    bytes
}

fn models() -> Vec<Vec<u8>> {
    vec![stun(), dtls_hello(), dtls_data(), rtp(96, 900), rtp(111, 60), rtcp(), plain()]
}

/// RFC 8489 §5: a binding request with a user name, a priority and an integrity that fits nobody.
fn stun() -> Vec<u8> {
    let mut bytes = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    bytes.extend([7; 12]);
    bytes.extend([0, 6, 0, 9]);
    bytes.extend(b"abcd:efgh\0\0\0");
    bytes.extend([0, 0x24, 0, 4, 0x6e, 0, 0x1e, 0xff]);
    bytes.extend([0, 8, 0, 20]);
    bytes.extend([0x55; 20]);
    bytes.extend([0x80, 0x28, 0, 4, 1, 2, 3, 4]);
    let length = (bytes.len() - 20) as u16;
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
    bytes
}

/// RFC 6347 §4.2: the beginning of a handshake.
fn dtls_hello() -> Vec<u8> {
    let mut body = vec![0xfe, 0xfd];
    body.extend([9; 32]);
    body.extend([0, 0, 0, 4, 0xc0, 0x2b, 0xc0, 0x2f, 1, 0, 0, 0]);
    dtls_record(body)
}

/// The same with all that a peer of WebRTC says (RFC 8827 §6.5, RFC 5764 §4.1.1): nothing is wrong with it but who sent it.
fn whole_dtls_hello() -> Vec<u8> {
    let mut body = vec![0xfe, 0xfd];
    body.extend([9; 32]);
    body.extend([0, 0, 0, 4, 0xc0, 0x2b, 0xc0, 0x2f, 1, 0]);
    let extensions: [&[u8]; 6] = [
        &[0, 10, 0, 6, 0, 4, 0, 29, 0, 23],
        &[0, 11, 0, 2, 1, 0],
        &[0, 13, 0, 8, 0, 6, 4, 3, 8, 4, 4, 1],
        &[0, 14, 0, 7, 0, 4, 0, 7, 0, 1, 0],
        &[0, 23, 0, 0],
        &[0xff, 1, 0, 1, 0],
    ];
    let extensions = extensions.concat();
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    dtls_record(body)
}

/// A client hello in its record (RFC 6347 §4.1 and §4.2.2).
fn dtls_record(body: Vec<u8>) -> Vec<u8> {
    let length = body.len() as u16;
    let mut bytes = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend((length + 12).to_be_bytes());
    bytes.extend([1, 0]);
    bytes.extend(length.to_be_bytes());
    bytes.extend([0, 0, 0, 0, 0]);
    bytes.extend(length.to_be_bytes());
    bytes.extend(body);
    bytes
}

/// A closing alert in an epoch whose keys the sender does not have.
fn dtls_data() -> Vec<u8> {
    vec![21, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 2, 1, 0]
}

/// RFC 3550 §5.1 with the extension of RFC 8285 §4.2 and a payload of `length`.
fn rtp(payload_type: u8, length: usize) -> Vec<u8> {
    let mut bytes = vec![0x90, payload_type, 0x12, 0x34, 0, 0, 1, 0, 0xca, 0xfe, 0xba, 0xbe];
    bytes.extend([0xbe, 0xde, 0, 2, 0x10, 0x44, 0x31, 0, 1, 0x22, 5, 6]);
    bytes.extend((0..length).map(|n| (n * 37) as u8));
    bytes
}

/// RFC 3550 §6.4.1: a sender's report, and a request for a keyframe (RFC 4585 §6.3.1).
fn rtcp() -> Vec<u8> {
    let mut bytes = vec![0x80, 200, 0, 6];
    bytes.extend([0x11; 24]);
    bytes.extend([0x81, 206, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8]);
    bytes
}

/// A packet of the plain transport.
fn plain() -> Vec<u8> {
    let mut bytes = vec![1, 0x81, 0, 9];
    bytes.extend([3; 40]);
    bytes
}

/// RFC 8446 §4.1.2 in a record of §5.1.
fn tls_hello() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([4; 32]);
    body.extend([0, 0, 2, 0x13, 1, 1, 0, 0, 7, 0, 0x2b, 0, 3, 2, 3, 4]);
    let length = body.len() as u16;
    let mut bytes = vec![22, 3, 1];
    bytes.extend((length + 4).to_be_bytes());
    bytes.extend([1, 0]);
    bytes.extend(length.to_be_bytes());
    bytes.extend(body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_attack() {
        let attack = |seed| {
            let mut attacker = Attacker::new(seed);
            (0..200).map(|_| attacker.datagram()).collect::<Vec<_>>()
        };
        assert_eq!(attack(3), attack(3));
        assert_ne!(attack(3), attack(4));
    }

    #[test]
    fn a_forged_datagram_arrives_from_whom_it_names() {
        let (Ok(one), Ok(other)) = (UdpSocket::bind("127.0.0.1:0"), UdpSocket::bind("127.0.0.1:0")) else {
            panic!("no ports");
        };
        let v4 = |socket: &UdpSocket| match socket.local_addr() {
            Ok(SocketAddr::V4(address)) => address,
            other => panic!("{other:?}"),
        };
        let Ok(raw) = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(IPPROTO_RAW))) else {
            crate::skip::skip("a_forged_datagram_arrives_from_whom_it_names", "raw sockets are not permitted");
            return;
        };
        raw.send_to(&forge(v4(&one), v4(&other), b"hello"), &SocketAddr::V4(v4(&other)).into()).expect("sent");
        other.set_read_timeout(Some(Duration::from_secs(2))).expect("a limit");
        let mut bytes = [0; 16];
        let (count, from) = other.recv_from(&mut bytes).expect("it arrives");
        assert_eq!((&bytes[..count], from), (&b"hello"[..], SocketAddr::V4(v4(&one))));
    }
}
