//! UPnP with the gateway: found by SSDP, described and asked over HTTP.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, SocketAddrV4, TcpStream, UdpSocket};

use super::Protocol;
use super::datagrams::{Keeps, is_wait};
use super::gateway::Gateway;
use super::held::{Held, LIFETIME, Outcome};
use crate::base::time::{self, Duration};
use crate::proto::mapping::igd::{self, Action, Answer, Service};
use crate::proto::mapping::ssdp::{self, Place};

/// The gateway's service that maps ports; `None`: it has none that answers.
pub fn discover(gateway: Gateway, keeps: Keeps<'_>) -> Option<Service> {
    let page = search(gateway, keeps)?;
    let (200, body) = fetch(&page, &igd::describe(&page), keeps)? else { return None };
    igd::find_service(&String::from_utf8_lossy(&body), &page)
}

/// Maps `held`, or renews it.
pub fn map(gateway: Gateway, service: &Service, held: &Held, keeps: Keeps<'_>) -> Outcome {
    let again = Duration::from_secs(600);
    let ip = match call(service, Action::ExternalAddress, keeps) {
        Some(Answer::External(ip)) => ip,
        Some(Answer::Refused(code)) => return Outcome::Refused { why: igd::why(code), again },
        _ => return Outcome::Silent,
    };
    let internal = SocketAddrV4::new(gateway.own, held.port);
    let protocol = held.protocol;
    let (mut external, mut lease) = (held.external.map_or(held.port, |outer| outer.port()), LIFETIME);
    let mut may_any = service.has_add_any() && held.external.is_none();
    for _ in 0..MOST_TRIES {
        let action = match may_any {
            true => Action::AddAny { protocol, external, internal, lease },
            false => Action::Add { protocol, external, internal, lease },
        };
        let mapped = |port| Outcome::Mapped {
            external: SocketAddr::new(IpAddr::V4(ip), port),
            // One that stays is looked after all the same: a router forgets when it restarts.
            lifetime: Duration::from_secs(LIFETIME.into()),
        };
        match call(service, action, keeps) {
            Some(Answer::Reserved(port)) if may_any => return mapped(port),
            Some(Answer::Done) if !may_any => return mapped(external),
            Some(Answer::Refused(igd::ONLY_PERMANENT)) if lease > 0 => lease = 0,
            Some(Answer::Refused(igd::CONFLICT)) => external = fastrand::u16(HIGH_PORTS..),
            Some(Answer::Refused(_)) if may_any => may_any = false,
            Some(Answer::Refused(code)) => return Outcome::Refused { why: igd::why(code), again },
            _ => return Outcome::Silent,
        }
    }
    Outcome::Refused { why: igd::why(igd::CONFLICT), again }
}

/// Takes a mapping away. Nothing to be done where that fails: it ends by itself.
pub fn unmap(service: &Service, protocol: Protocol, external: u16, keeps: Keeps<'_>) {
    let _ = call(service, Action::Delete { protocol, external }, keeps);
}

fn call(service: &Service, action: Action, keeps: Keeps<'_>) -> Option<Answer> {
    let (status, body) = fetch(&service.control, &service.request(action), keeps)?;
    igd::parse_answer(status, &String::from_utf8_lossy(&body))
}

/// Asks the gateway itself and, for those that only listen there, the group.
fn search(gateway: Gateway, keeps: Keeps<'_>) -> Option<Place> {
    let socket = UdpSocket::bind((gateway.own, 0)).ok()?;
    // UDA 1.1 §1.3.2: two hops are enough in a home.
    let _ = socket.set_multicast_ttl_v4(2);
    let start = time::now();
    let after = |wait: Duration| start.checked_add(wait).unwrap_or(start);
    let mut sends = SEARCHES.into_iter().map(after).peekable();
    let until = after(SEARCH);
    let mut buffer = [0; 2048];
    // Others in the network answer the group as well: so many are read and no more.
    let mut left = MOST_ANSWERS;
    while left > 0 && keeps() {
        let now = time::now();
        if now >= until {
            break;
        }
        if sends.next_if(|at| *at <= now).is_some() {
            for target in ssdp::TARGETS {
                let text = ssdp::search(target);
                // One of the two may have no way: the other is enough.
                let _ = socket.send_to(text.as_bytes(), (gateway.address, gateway.ssdp));
                let _ = socket.send_to(text.as_bytes(), (ssdp::GROUP, gateway.ssdp));
            }
        }
        let next = sends.peek().copied().unwrap_or(until).min(until);
        let wait = next.saturating_duration_since(now).clamp(LEAST, LOOK);
        socket.set_read_timeout(Some(wait)).ok()?;
        match socket.recv_from(&mut buffer) {
            Ok((length, from)) => {
                left = left.saturating_sub(1);
                if from.ip() != IpAddr::V4(gateway.address) {
                    continue;
                }
                let place = buffer.get(..length).and_then(ssdp::location);
                // Only the gateway is believed, about itself alone.
                if let Some(place) = place.filter(|place| *place.address.ip() == gateway.address) {
                    return Some(place);
                }
            }
            // A closed port of the gateway comes back as an error here; the group may still answer.
            Err(error) if is_wait(error.kind()) || error.kind() == ErrorKind::ConnectionRefused => {}
            Err(_) => return None,
        }
    }
    None
}

/// One request, one answer, in two seconds and 64 KiB.
fn fetch(place: &Place, request: &str, keeps: Keeps<'_>) -> Option<(u16, Vec<u8>)> {
    let until = time::now().checked_add(FETCH)?;
    let mut stream = TcpStream::connect_timeout(&place.address.into(), CONNECT).ok()?;
    stream.set_write_timeout(Some(FETCH)).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let now = time::now();
        if now >= until || !keeps() {
            return None;
        }
        stream.set_read_timeout(Some(until.saturating_duration_since(now).clamp(LEAST, LOOK))).ok()?;
        let is_over = match stream.read(&mut buffer) {
            Ok(0) => true,
            Ok(length) => {
                bytes.extend_from_slice(buffer.get(..length)?);
                false
            }
            Err(error) if is_wait(error.kind()) => continue,
            Err(_) => true,
        };
        match igd::page(&bytes, is_over) {
            Ok(None) if !is_over => {}
            Ok(found) => return found,
            Err(_) => return None,
        }
    }
}

/// Another outer port where one is taken, and another way where one is not known: each a few times.
const MOST_TRIES: usize = 6;
/// Out of the way of what a person has mapped by hand.
const HIGH_PORTS: u16 = 20_000;

const SEARCHES: [Duration; 2] = [Duration::ZERO, Duration::from_millis(400)];
/// MX is one second.
const SEARCH: Duration = Duration::from_millis(1300);
const MOST_ANSWERS: usize = 64;
const CONNECT: Duration = Duration::from_secs(1);
const FETCH: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(100);
const LEAST: Duration = Duration::from_millis(1);
