//! What those do who misbehave.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use engine::base::time::{Instant, now};
use engine::proto::service::account::Secret;
use engine::proto::service::frame::Ask;
use engine::proto::service::pals::Request as PalsRequest;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustls::version::TLS13;
use socket2::{Domain, Socket, Type};

use super::{Attack, Besieged};
use crate::Outcome;
use crate::service::client::Place;
use crate::service::people::Someone;
use crate::service::tls::{Tls, connect};

/// What the attackers share.
#[derive(Clone)]
struct Siege {
    place: Place,
    doors: Doors,
    eve: Secret,
    victim: Arc<Someone>,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
}

/// All ways in.
#[derive(Clone, Debug)]
struct Doors {
    tls: Vec<SocketAddr>,
    redirect: Option<SocketAddr>,
    turn: SocketAddr,
    turn_tcp: SocketAddr,
}

/// Whether an attack is under way as it is meant to be.
pub(super) const fn are_there(attack: Attack, done: u64) -> bool {
    match attack {
        // The service lets some of them go all the time.
        Attack::SlowLoris(count) => done >= count as u64 * 9 / 10,
        _ => done > 0,
    }
}

pub(super) fn start(
    besieged: &Besieged,
    attack: Attack,
    stop: &Arc<AtomicBool>,
    done: &Arc<AtomicU64>,
) -> Outcome<Vec<JoinHandle<()>>> {
    let said = besieged.host.said();
    let local = |port: &serde_json::Value| {
        port.as_u64().and_then(|port| u16::try_from(port).ok()).map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
    };
    let tls = said["doors"].as_array().into_iter().flatten().filter_map(local).collect();
    let (turn, turn_tcp) = (besieged.host.turn(), besieged.host.turn_tcp());
    let victim = Someone { name: besieged.victim.name.clone(), ..Someone::new("attacker") };
    let siege = Siege {
        place: besieged.place,
        doors: Doors { tls, redirect: local(&said["http"]), turn, turn_tcp },
        eve: besieged.eve.clone(),
        victim: Arc::new(victim),
        stop: stop.clone(),
        done: done.clone(),
    };
    let mut threads = Vec::new();
    let mut spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
        let thread = std::thread::Builder::new().name(name.into()).spawn(work);
        thread.map(|thread| threads.push(thread)).map_err(|error| error.to_string())
    };
    match attack {
        Attack::SlowLoris(count) => spawn("slow", Box::new(move || siege.stay(count)))?,
        Attack::Floods(rate) => {
            let (one, other) = (siege.clone(), siege);
            spawn("floods", Box::new(move || one.flood(rate)))?;
            spawn("asks", Box::new(move || other.ask_on(rate)))?;
        }
        Attack::Oversized(rate) => spawn("oversized", Box::new(move || siege.shout(rate)))?,
        Attack::Passwords(rate) => spawn("passwords", Box::new(move || siege.guess(rate)))?,
    }
    Ok(threads)
}

/// A connection that takes its time.
struct Slow {
    stream: Stream,
    sent: usize,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<Tls>),
}

/// What the slow ones say, a byte at a time: the start of a TLS record, or of a request. None of it ever ends.
const HELLO: &[u8] =
    &[22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7];
const REQUEST: &[u8] = b"GET /people/somebody HTTP/1.1\r\nHost: localhost\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

impl Siege {
    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Keeps `count` connections, each from one of many addresses; one in twenty goes as far as a request.
    fn stay(&self, count: usize) {
        let mut slow: Vec<Option<Slow>> = (0..count).map(|_| None).collect();
        let mut said = now();
        while !self.is_over() {
            let is_time = now() - said >= Duration::from_secs(2);
            if is_time {
                said = now();
            }
            let mut open = 0;
            for (n, place) in slow.iter_mut().enumerate() {
                if self.is_over() {
                    return;
                }
                let is_alive = place.as_mut().is_some_and(|slow| slow.is_alive() && (!is_time || slow.say(n)));
                if !is_alive {
                    *place = self.come(n);
                }
                open += u64::from(place.is_some());
            }
            self.done.store(open, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn come(&self, n: usize) -> Option<Slow> {
        // Two hundred of each address.
        let from = SocketAddr::from(([127, 1, (n / 200 / 250) as u8, (n / 200 % 250 + 1) as u8], 0));
        let to = *self.doors.tls.get(n % self.doors.tls.len())?;
        let stream = if n.is_multiple_of(20) {
            let tls = connect(to, Some(from), self.place.pin, &TLS13, Duration::from_secs(5)).ok()?;
            tls.sock.set_nonblocking(true).ok()?;
            Stream::Tls(Box::new(tls))
        } else {
            Stream::Plain(dial(from, to)?)
        };
        Some(Slow { stream, sent: 0 })
    }

    /// Connections, requests and datagrams at each door in turn.
    fn flood(&self, rate: u32) {
        let mut beat = Beat::new(rate);
        let mut random = StdRng::seed_from_u64(11);
        let Ok(udp) = UdpSocket::bind(("127.2.0.1", 0)) else { return };
        while !self.is_over() {
            let number = beat.next();
            self.done.fetch_add(1, Ordering::Relaxed);
            let from = SocketAddr::from(([127, 2, 1, random.random_range(1..=200)], 0));
            let mut noise = vec![0; random.random_range(1..600)];
            random.fill(&mut noise[..]);
            match number % 8 {
                // Many more datagrams than connections: they cost less.
                0..4 => drop(udp.send_to(&noise, self.doors.turn)),
                4 => {
                    // RFC 8489 §5: a binding request, which is answered.
                    let mut request = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
                    request.extend((0..12).map(|_| random.random::<u8>()));
                    let _ = udp.send_to(&request, self.doors.turn);
                }
                5 => self.throw(from, self.doors.tls[number as usize / 8 % self.doors.tls.len()], &noise),
                6 => self.throw(from, self.doors.turn_tcp, &noise),
                _ => {
                    let to = self.doors.redirect.unwrap_or(self.place.address);
                    self.throw(from, to, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
                }
            }
        }
    }

    /// Says something on a new connection, and leaves.
    fn throw(&self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        if let Some(mut stream) = dial(from, to) {
            let _ = stream.write(bytes);
        }
    }

    /// An account asks more than it may, on channels and for pages.
    fn ask_on(&self, rate: u32) {
        let mut beat = Beat::new(rate);
        let place = Place { from: Some(([127, 2, 2, 1], 0).into()), ..self.place };
        while !self.is_over() {
            let (Ok(mut channels), Ok(mut client)) = (place.open(&self.eve), place.connect()) else { continue };
            while !self.is_over() {
                let number = beat.next();
                self.done.fetch_add(1, Ordering::Relaxed);
                let asked = match number % 4 {
                    0 => client.request("GET", "/people/eve", None, "", &[]).is_ok(),
                    _ => {
                        channels.send(&Ask::Pals(PalsRequest::Roster { after: None })).is_ok()
                            && channels.read(Duration::from_millis(200)).is_ok()
                    }
                };
                if !asked {
                    break;
                }
            }
        }
    }

    /// More than may be: in a head, in a body, in a message, and in a record that is none.
    fn shout(&self, rate: u32) {
        let mut beat = Beat::new(rate);
        let from = Some(([127, 3, 0, 1], 0).into());
        let place = Place { from, ..self.place };
        let much = vec![b'a'; 40 * 1024];
        while !self.is_over() {
            let number = beat.next();
            self.done.fetch_add(1, Ordering::Relaxed);
            if number.is_multiple_of(4) {
                if let Ok(mut channels) = place.open(&self.eve) {
                    let _ = channels.send_text(&String::from_utf8_lossy(&much));
                    let _ = channels.read(Duration::from_millis(200));
                }
                continue;
            }
            let Ok(mut stream) = connect(self.place.address, from, self.place.pin, &TLS13, Duration::from_secs(2))
            else {
                continue;
            };
            let head = match number % 4 {
                1 => "GET / HTTP/1.1\r\nHost: localhost\r\nX: ".to_owned(),
                2 => "POST /v1/account/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000000000\r\n\r\n"
                    .to_owned(),
                _ => format!(
                    "POST /v1/account/photo HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Length: 2097152\r\n\r\n",
                    self.eve.expose()
                ),
            };
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&much));
            let _ = stream.flush();
        }
    }

    /// Passwords of the victim and of people who are not there.
    fn guess(&self, rate: u32) {
        let mut beat = Beat::new(rate);
        while !self.is_over() {
            let number = beat.next();
            self.done.fetch_add(1, Ordering::Relaxed);
            let place = Place { from: Some(([127, 4, 0, (number % 4 + 1) as u8], 0).into()), ..self.place };
            let other = Someone::new(&format!("nobody{}", number % 100));
            let whom = if number.is_multiple_of(2) { &self.victim } else { &other };
            let guess = Secret::new(&format!("guess {number}"));
            let _ = place.account::<serde_json::Value>(&whom.login_with(&guess), None);
        }
    }
}

impl Slow {
    /// Whether the service has not closed it.
    fn is_alive(&mut self) -> bool {
        let mut byte = [0; 64];
        let read = match &mut self.stream {
            Stream::Plain(stream) => stream.read(&mut byte),
            Stream::Tls(stream) => stream.read(&mut byte),
        };
        matches!(read, Ok(1..)) || matches!(read, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// The next byte, where it is one that speaks at all.
    fn say(&mut self, n: usize) -> bool {
        let said = match &mut self.stream {
            // Half of them never say anything.
            Stream::Plain(_) if n.is_multiple_of(2) => return true,
            Stream::Plain(stream) => HELLO.get(self.sent).map(|byte| stream.write(&[*byte])),
            Stream::Tls(stream) => REQUEST.get(self.sent).map(|byte| stream.write(&[*byte])),
        };
        self.sent += 1;
        said.is_none_or(|said| said.is_ok())
    }
}

/// A connection that does not wait for anything.
fn dial(from: SocketAddr, to: SocketAddr) -> Option<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).ok()?;
    socket.bind(&from.into()).ok()?;
    socket.connect_timeout(&to.into(), Duration::from_secs(1)).ok()?;
    socket.set_nonblocking(true).ok()?;
    Some(socket.into())
}

/// So many a second.
struct Beat {
    begun: Instant,
    each: Duration,
    count: u64,
}

impl Beat {
    fn new(rate: u32) -> Self {
        Self { begun: now(), each: Duration::from_secs(1) / rate.max(1), count: 0 }
    }

    /// Waits for the next; its number.
    fn next(&mut self) -> u64 {
        self.count += 1;
        let due = self.begun + self.each.mul_f64(self.count as f64);
        let wait = due.saturating_duration_since(now());
        std::thread::sleep(wait);
        // What could not be done in time is not made up for.
        if wait.is_zero() {
            self.begun = now() - self.each.mul_f64(self.count as f64);
        }
        self.count
    }
}
