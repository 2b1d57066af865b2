//! What answers instead of a server or a router: to every question something that is wrong in another way, from a seed.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::Outcome;
use crate::netns::Networks;

/// What it pretends to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guise {
    /// STUN and TURN over UDP (RFC 8489, RFC 8656).
    Relay,
    /// The same over TCP.
    RelayStream,
    /// PCP and NAT-PMP (RFC 6887, RFC 6886).
    Mapper,
    /// UPnP's search (SSDP); it names an [`Guise::Description`] at `5555` of the asker's router.
    Search,
    /// UPnP's descriptions and control, over HTTP.
    Description,
}

/// Some that run. Dropping it ends them.
#[derive(Debug)]
pub struct Rogues {
    quit: Arc<AtomicBool>,
    /// Questions that were answered wrongly.
    pub asked: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

/// Each question has so many answers at most.
const MOST_ANSWERS: u64 = 12;
/// How long a thread waits before it looks whether it is to end.
const LOOK: Duration = Duration::from_millis(100);

impl Default for Rogues {
    fn default() -> Self {
        Self { quit: Arc::new(AtomicBool::new(false)), asked: Arc::default(), threads: Vec::new() }
    }
}

impl Rogues {
    /// Adds one on `port` of the machine `node` of `networks`.
    ///
    /// # Errors
    /// The port is taken.
    pub fn add(&mut self, networks: &Networks, node: &str, guise: Guise, port: u16, seed: u64) -> Outcome<()> {
        let (quit, asked) = (self.quit.clone(), self.asked.clone());
        let failed = |error: std::io::Error| format!("{guise:?} on port {port}: {error}");
        let any = SocketAddr::from(([0, 0, 0, 0], port));
        let work: Box<dyn FnOnce() + Send> = if matches!(guise, Guise::RelayStream | Guise::Description) {
            let listener = networks.within(node, || TcpListener::bind(any)).map_err(failed)?;
            listener.set_nonblocking(true).map_err(failed)?;
            Box::new(move || serve(&listener, guise, seed, &quit, &asked))
        } else {
            let socket = networks.within(node, || {
                let socket = UdpSocket::bind(any)?;
                if guise == Guise::Search {
                    socket.join_multicast_v4(&[239, 255, 255, 250].into(), &[192, 168, 1, 1].into())?;
                }
                Ok(socket)
            });
            let socket = socket.map_err(failed)?;
            socket.set_read_timeout(Some(LOOK)).map_err(failed)?;
            Box::new(move || answer_all(&socket, guise, seed, &quit, &asked))
        };
        let thread = std::thread::Builder::new().name("rogue".into()).spawn(work).map_err(failed)?;
        self.threads.push(thread);
        Ok(())
    }

    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Rogues {
    fn drop(&mut self) {
        self.quit.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn answer_all(socket: &UdpSocket, guise: Guise, seed: u64, quit: &AtomicBool, asked: &AtomicU64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut buffer = [0; 2048];
    while !quit.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        asked.fetch_add(1, Ordering::Relaxed);
        for _ in 0..random.random_range(1..=MOST_ANSWERS) {
            let answer = match guise {
                Guise::Mapper => of_mapper(&mut random, &buffer[..length]),
                Guise::Search => of_search(&mut random),
                _ => of_relay(&mut random, &buffer[..length]),
            };
            let _ = socket.send_to(&answer, from);
        }
    }
}

/// One connection after another: what is asked is read, something wrong is said, for at most two seconds each.
fn serve(listener: &TcpListener, guise: Guise, seed: u64, quit: &AtomicBool, asked: &AtomicU64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut buffer = [0; 4096];
    while !quit.load(Ordering::Relaxed) {
        let Ok((mut stream, _)) = listener.accept() else {
            std::thread::sleep(Duration::from_millis(10));
            continue;
        };
        asked.fetch_add(1, Ordering::Relaxed);
        let _ = stream.set_nonblocking(false);
        let _ = stream.set_read_timeout(Some(LOOK));
        let _ = stream.set_write_timeout(Some(LOOK));
        for _ in 0..20 {
            let length = match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => length,
                Err(_) => 0,
            };
            let answer = match guise {
                Guise::Description => of_description(&mut random),
                _ => of_relay(&mut random, &buffer[..length]),
            };
            if stream.write_all(&answer).is_err() || quit.load(Ordering::Relaxed) {
                break;
            }
        }
    }
}

fn noise(random: &mut StdRng, most: usize) -> Vec<u8> {
    let mut bytes = vec![0; random.random_range(0..most)];
    random.fill(&mut bytes[..]);
    bytes
}

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// An answer to the request (RFC 8489 §5) that has its transaction and nothing else that is right.
fn of_relay(random: &mut StdRng, request: &[u8]) -> Vec<u8> {
    let kind = random.random_range(0..9);
    if kind == 0 || request.len() < 20 {
        return noise(random, 1400);
    }
    if kind == 1 {
        return request.to_vec();
    }
    // Success or failure of the same method; a data indication (RFC 8656 §11.6) now and then.
    let class = if kind < 5 { 0x0100 } else { 0x0110 };
    let method = u16::from_be_bytes([request[0], request[1]]) & 0x3eef;
    let typ = if kind == 8 { 0x0017 } else { method | class };
    let mut body = Vec::new();
    for _ in 0..random.random_range(0..6) {
        let (name, value): (u16, Vec<u8>) = match random.random_range(0..8) {
            // XOR-MAPPED-ADDRESS, XOR-RELAYED-ADDRESS, XOR-PEER-ADDRESS of anywhere.
            0 => (0x0020, [vec![0, 1], noise(random, 19)].concat()),
            1 => (0x0016, [vec![0, *[1, 2, 9].choose(random).expect("three")], noise(random, 19)].concat()),
            2 => (0x0012, noise(random, 20)),
            // ERROR-CODE: another server, log in, a nonce that is too old, for ever.
            3 => (
                0x0009,
                [vec![0, 0, *[3, 4, 5].choose(random).expect("three"), random.random_range(0..100)], noise(random, 90)]
                    .concat(),
            ),
            4 => (0x8023, noise(random, 20)),
            // NONCE and REALM.
            5 => (0x0015, noise(random, 1000)),
            6 => (0x0014, noise(random, 1000)),
            // LIFETIME: none, or for ever.
            _ => (0x000d, vec![*[0, 0xff].choose(random).expect("two"); 4]),
        };
        body.extend(name.to_be_bytes());
        let length = if random.random_ratio(1, 6) { random.random() } else { value.len() as u16 };
        body.extend(length.to_be_bytes());
        body.extend(&value);
        body.extend(vec![0; value.len().wrapping_neg() % 4]);
    }
    let length = if random.random_ratio(1, 5) { random.random() } else { body.len() as u16 };
    let mut bytes = typ.to_be_bytes().to_vec();
    bytes.extend(length.to_be_bytes());
    bytes.extend(COOKIE);
    bytes.extend(&request[8..20]);
    bytes.extend(body);
    bytes
}

/// RFC 6887 §7.2 and RFC 6886 §3.2: an answer that maps to anywhere for any time, or refuses with any word.
fn of_mapper(random: &mut StdRng, request: &[u8]) -> Vec<u8> {
    let mut bytes = request.to_vec();
    if let Some(opcode) = bytes.get_mut(1) {
        *opcode |= 0x80;
    }
    for _ in 0..random.random_range(0..12) {
        let at = random.random_range(0..bytes.len().max(1));
        if let Some(byte) = bytes.get_mut(at) {
            *byte = random.random();
        }
    }
    match random.random_range(0..4) {
        0 => noise(random, 1200),
        1 => [bytes, noise(random, 1200)].concat(),
        2 => bytes[..bytes.len() / 2].to_vec(),
        _ => bytes,
    }
}

fn of_search(random: &mut StdRng) -> Vec<u8> {
    let place = *["http://192.168.1.1:5555/d.xml", "http://5.5.5.10:80/", "file:///etc/passwd", "http://[::1]:22/", ""]
        .choose(random)
        .expect("five");
    let typ = *["urn:schemas-upnp-org:device:InternetGatewayDevice:1", "ssdp:all", ""].choose(random).expect("three");
    let mut text =
        format!("HTTP/1.1 200 OK\r\nST: {typ}\r\nUSN: uuid:{}\r\nLOCATION: {place}\r\n", random.random::<u64>());
    for _ in 0..random.random_range(0..30) {
        text += &format!("X-{}: {}\r\n", random.random::<u32>(), "a".repeat(random.random_range(0..80)));
    }
    (text + "\r\n").into_bytes()
}

/// Documents without an end, of a hundred levels, that name themselves, or none.
fn of_description(random: &mut StdRng) -> Vec<u8> {
    let body = match random.random_range(0..5) {
        0 => "<a>".repeat(20_000),
        1 => "<!DOCTYPE a [<!ENTITY b \"bbbbbbbb\"><!ENTITY c \"&b;&b;&b;&b;\">]><a>&c;</a>".to_owned(),
        2 => format!("<root><device><serviceList>{}</serviceList></device></root>", "<service/>".repeat(3000)),
        3 => "<root><device><deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType><serviceList><service>\
              <serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType><controlURL>http://5.5.5.10:22/</controlURL>\
              </service></serviceList></device></root>"
            .to_owned(),
        _ => String::from_utf8_lossy(&noise(random, 3000)).into_owned(),
    };
    let length = if random.random_ratio(1, 3) { u32::MAX as usize } else { body.len() };
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}
