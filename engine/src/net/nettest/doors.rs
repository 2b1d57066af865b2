//! TCP out: which ports of the plan get an answer, and whether a proxy is near.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::base::time::{self, Duration};
use crate::proto::nettest::{Door, port_table};

/// Each port of the plan, at once.
pub fn try_all(ip: IpAddr, quit: &AtomicBool) -> Vec<Door> {
    let ports: Vec<u16> = port_table::doors().collect();
    let answers = connect(&ports.iter().map(|port| SocketAddr::new(ip, *port)).collect::<Vec<_>>(), quit);
    let door =
        |(port, answer): (u16, Option<Met>)| Door { port, passes: answer.is_some(), ms: answer.map(|met| met.ms) };
    ports.into_iter().zip(answers).map(door).collect()
}

/// Where something listens that may be a proxy: on the gateway, at the ports that they usually have.
pub fn proxy_near(gateway: Option<Ipv4Addr>, quit: &AtomicBool) -> Option<String> {
    let ip = IpAddr::V4(gateway?);
    let addresses = USUAL.map(|port| SocketAddr::new(ip, port));
    let answers = connect(&addresses, quit);
    let found = addresses.iter().zip(answers).find(|(_, met)| met.is_some_and(|met| met.is_open));
    found.map(|(address, _)| address.to_string())
}

/// Somebody answered.
#[derive(Clone, Copy, Debug)]
struct Met {
    ms: f64,
    /// Not only to say that nobody listens.
    is_open: bool,
}

fn connect(addresses: &[SocketAddr], quit: &AtomicBool) -> Vec<Option<Met>> {
    let mut met = vec![None; addresses.len()];
    let Ok(mut poll) = Poll::new() else { return met };
    let (begun, mut events) = (time::now(), Events::with_capacity(64));
    let mut open: Vec<Option<TcpStream>> = Vec::new();
    for (number, address) in addresses.iter().enumerate() {
        let socket = TcpStream::connect(*address).ok().and_then(|mut socket| {
            poll.registry().register(&mut socket, Token(number), Interest::WRITABLE).ok()?;
            Some(socket)
        });
        open.push(socket);
    }
    let until = begun.checked_add(PATIENCE).unwrap_or(begun);
    while open.iter().any(Option::is_some) && !quit.load(Ordering::Relaxed) {
        let now = time::now();
        if now >= until {
            break;
        }
        for (place, met) in open.iter_mut().zip(&mut met) {
            let Some(socket) = place else { continue };
            let ms = now.saturating_duration_since(begun).as_secs_f64() * 1000.0;
            let error = socket.take_error().ok().flatten();
            match (error.map(|error| error.kind()), socket.peer_addr()) {
                (None, Ok(_)) => *met = Some(Met { ms, is_open: true }),
                // RFC 9293 §3.10.7.1: the other end itself says so; a firewall that is silent says nothing.
                (Some(ErrorKind::ConnectionRefused), _) => *met = Some(Met { ms, is_open: false }),
                (None, Err(_)) => continue,
                (Some(_), _) => {}
            }
            *place = None;
        }
        let _ = poll.poll(&mut events, Some(until.saturating_duration_since(now).min(LOOK)));
    }
    met
}

/// Of HTTP and SOCKS proxies.
const USUAL: [u16; 3] = [3128, 8080, 1080];

/// A TCP handshake with one lost packet (RFC 6298 §2: the first is sent again after a second).
const PATIENCE: Duration = Duration::from_millis(2000);
const LOOK: Duration = Duration::from_millis(50);
