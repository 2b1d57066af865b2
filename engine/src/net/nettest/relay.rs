//! Whether relays answer, and how quickly: an Allocate without a login is refused by whoever relays (RFC 8656 §7.2), which is
//! all that has to be known here.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};

use super::datagrams::{Line, TRIES};
use super::run::{Run, Service};
use crate::base::time::{self, Duration, Instant};
use crate::net::tcp::resolve_blocking;
use crate::proto::keys::random;
use crate::proto::nettest::stun::{self, Transaction, Wanted};
use crate::proto::nettest::{Relay, Step};

/// A STUN or TURN server, as RFC 7064 §3.1 and RFC 7065 §3.1 write them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    scheme: Scheme,
    host: String,
    port: u16,
    is_tcp: bool,
    /// It is the service itself.
    is_own: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Stun,
    Turn,
    Turns,
}

impl Uri {
    /// `own`: the service's name, which stands for `HOST`.
    pub fn parse(text: &str, own: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once(':')?;
        let scheme = match scheme {
            "stun" => Scheme::Stun,
            "turn" => Scheme::Turn,
            "turns" => Scheme::Turns,
            _ => return None,
        };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port.parse().ok()?),
            _ => (place, if scheme == Scheme::Turns { 5349 } else { 3478 }),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_own = host == "HOST" || host == own;
        let host = if is_own { own } else { host };
        let is_tcp = query == "transport=tcp" || scheme == Scheme::Turns;
        Some(Self { scheme, host: host.to_owned(), port, is_tcp, is_own })
    }

    pub fn is_stun(&self) -> bool {
        self.scheme == Scheme::Stun
    }

    pub fn is_udp(&self) -> bool {
        !self.is_tcp
    }

    /// Where it is; `service`: the service's own address.
    pub fn address(&self, service: Option<IpAddr>) -> Option<SocketAddr> {
        if let Some(ip) = service.filter(|_| self.is_own) {
            return Some(SocketAddr::new(ip, self.port));
        }
        resolve_blocking(&self.host, self.port).ok()?.first().copied()
    }

    fn text(&self) -> String {
        let (scheme, transport) = match (self.scheme, self.is_tcp) {
            (Scheme::Turns, _) => ("turns", "tcp"),
            (_, true) => ("turn", "tcp"),
            (_, false) => ("turn", "udp"),
        };
        format!("{scheme}:{}:{}?transport={transport}", self.host, self.port)
    }
}

/// Each way to each relay that the service names, one after another: they would slow each other down.
pub fn try_all(run: &Run, service: &Service) {
    let named = service.about.as_ref().map(|about| about.relays.as_slice()).unwrap_or_default();
    let uris = named.iter().filter_map(|text| Uri::parse(text, &run.host())).filter(|uri| !uri.is_stun());
    let mut relays = Vec::new();
    let until = time::now().checked_add(ALL).unwrap_or_else(time::now);
    for uri in uris.take(MOST) {
        if !run.goes_on() || time::now() >= until {
            break;
        }
        let ms = match (uri.scheme, uri.is_tcp) {
            (Scheme::Turns, _) => by_tls(&uri, service),
            (_, true) => uri.address(service.ip).and_then(by_tcp),
            (_, false) => uri.address(service.ip).and_then(|to| {
                let line = Line::open(to, run.quit.clone())?;
                line.exchange(to, Wanted::Allocate, &TRIES).map(|(ms, _)| ms)
            }),
        };
        relays.push(Relay { uri: uri.text(), ms });
    }
    run.done(Step::Relay, |found| found.relays = relays);
}

/// Through the service's doors, by the proxy where there is one. Those of others show keys that nothing here knows.
fn by_tls(uri: &Uri, service: &Service) -> Option<f64> {
    let place = service.place.as_ref().filter(|_| uri.is_own)?;
    let mut https = place.connect().ok()?;
    let transaction: Transaction = random().ok()?;
    let begun = time::now();
    let request = stun::request(Wanted::Allocate, &transaction);
    let answer = https.exchange(&request, stun::whole, begun.checked_add(PATIENCE)?).ok()?;
    stun::answer(&answer, &transaction).map(|_| since(begun))
}

fn by_tcp(to: SocketAddr) -> Option<f64> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE).ok()?;
    let transaction: Transaction = random().ok()?;
    let begun = time::now();
    let until = begun.checked_add(PATIENCE)?;
    stream.write_all(&stun::request(Wanted::Allocate, &transaction)).ok()?;
    let (mut read, mut buffer) = (Vec::new(), [0; 512]);
    while stun::whole(&read).is_none_or(|length| read.len() < length) {
        let left = until.saturating_duration_since(time::now());
        if left.is_zero() || read.len() > MOST_BYTES {
            return None;
        }
        stream.set_read_timeout(Some(left)).ok()?;
        match stream.read(&mut buffer) {
            Ok(0) => return None,
            Ok(length) => read.extend_from_slice(buffer.get(..length)?),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    stun::answer(&read, &transaction).map(|_| since(begun))
}

fn since(begun: Instant) -> f64 {
    time::now().saturating_duration_since(begun).as_secs_f64() * 1000.0
}

/// Of one service's list.
const MOST: usize = 8;
const MOST_BYTES: usize = 4096;
const PATIENCE: Duration = Duration::from_millis(1500);
const ALL: Duration = Duration::from_millis(5000);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_as_services_write_them() {
        let parse = |text: &str| Uri::parse(text, "me.example").expect(text);
        let own = parse("turn:HOST:3478?transport=udp");
        assert_eq!((own.host.as_str(), own.port, own.is_tcp, own.is_own), ("me.example", 3478, false, true));
        assert_eq!(own.text(), "turn:me.example:3478?transport=udp");
        let other = parse("turns:relay.example?transport=tcp");
        assert_eq!((other.port, other.is_tcp, other.is_own), (5349, true, false));
        assert!(parse("stun:[2001:db8::1]:3479").is_stun());
        assert_eq!(parse("turn:[2001:db8::1]:3479").host, "2001:db8::1");
        assert!(Uri::parse("http:x", "y").is_none() && Uri::parse("turn:x:y", "z").is_none());
        let ip: IpAddr = "192.0.2.1".parse().expect("an address");
        assert_eq!(own.address(Some(ip)), Some("192.0.2.1:3478".parse().expect("an address")));
    }
}
