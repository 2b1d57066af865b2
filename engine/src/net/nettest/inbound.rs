//! From outside to here: what the router maps when it is asked, and which of our ports the service reaches.

use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};

use super::run::{Run, Service};
use crate::base::pipe::Wake;
use crate::base::time::{self, Duration, Instant};
use crate::net::mapping::{Mapper, MappingState, Protocol};
use crate::proto::keys::random;
use crate::proto::nettest::service::{DIAL, Dial};
use crate::proto::nettest::{Inbound, Mapping, Step};

/// The mapping lasts while the service calls back, and goes with the end of this.
pub fn try_all(run: &Run, service: &Service) {
    let ports = Ports::open(run.base());
    let mapper = map(run, &ports);
    if run.goes_on()
        && let Some(inbound) = call_back(run, service, ports)
    {
        run.done(Step::Inbound, |found| found.inbound = Some(inbound));
    }
    drop(mapper);
}

/// Those of our ports that no program has.
struct Ports {
    base: u16,
    udp: Option<UdpSocket>,
    tcp: [Option<TcpListener>; 3],
}

impl Ports {
    fn open(base: u16) -> Self {
        let listen = |port: u16| {
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).ok()?;
            listener.set_nonblocking(true).ok().map(|()| listener)
        };
        let udp = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, base)).ok();
        let udp = udp.filter(|socket| socket.set_nonblocking(true).is_ok());
        Self { base, udp, tcp: [0, 1, 2].map(|offset| listen(base.saturating_add(offset))) }
    }

    /// What is asked of the router: never a port that a program has, whose mapping is its own.
    fn wanted(&self) -> Vec<(Protocol, u16)> {
        let udp = self.udp.iter().map(|_| (Protocol::Udp, self.base));
        let tcp = (0u16..).zip(&self.tcp).filter(|(_, listener)| listener.is_some());
        udp.chain(tcp.map(|(offset, _)| (Protocol::Tcp, self.base.saturating_add(offset)))).collect()
    }
}

fn map(run: &Run, ports: &Ports) -> Option<Mapper> {
    let mapper = Mapper::start(Wake::none()).ok()?;
    let mut wanted = ports.wanted();
    // Whether the router maps at all is seen with any port.
    let spare = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok();
    if wanted.is_empty() {
        wanted.extend(spare.iter().filter_map(|socket| Some((Protocol::Udp, socket.local_addr().ok()?.port()))));
    }
    for (protocol, port) in &wanted {
        mapper.ask(*protocol, *port).ok()?;
    }
    let until = time::now().checked_add(MAPPED)?;
    let (mut said, mut best) = (0, None);
    while said < wanted.len() && time::now() < until && run.goes_on() {
        let Some(event) = mapper.poll_event() else {
            std::thread::sleep(LOOK);
            continue;
        };
        said = said.saturating_add(1);
        match event.state {
            MappingState::Mapped { external, by, is_public } => {
                let found = Mapping::Mapped { by: by.to_string(), external, is_public };
                if !matches!(best, Some(Mapping::Mapped { .. })) {
                    best = Some(found);
                }
            }
            MappingState::Refused { why } => {
                best.get_or_insert(Mapping::Refused(why));
                // No router that maps: the others would be told the same.
                break;
            }
            MappingState::Lost => {}
        }
    }
    run.done(Step::PortMapping, |found| found.mapping = best);
    Some(mapper)
}

fn call_back(run: &Run, service: &Service, mut ports: Ports) -> Option<Inbound> {
    // Behind a proxy it would be the proxy that is called.
    run.found().public?;
    let place = service.place.as_ref().filter(|_| service.about.is_some())?;
    let dial = Dial { base: ports.base, cookie: u64::from_be_bytes(random().ok()?) };
    let body = serde_json::to_vec(&dial).ok()?;
    let begun = time::now();
    let until = begun.checked_add(CALLED)?;
    let answer = place.connect().ok()?.request_until(until, "POST", DIAL, None, Some(("application/json", &body)));
    if answer.ok()?.status != 200 {
        return None;
    }
    let mut inbound = Inbound {
        base: ports.base,
        udp: ports.udp.as_ref().map(|_| false),
        tcp: [0, 1, 2].map(|n: usize| ports.tcp.get(n).and_then(Option::as_ref).map(|_| false)),
    };
    let is_missing = |inbound: &Inbound| inbound.udp == Some(false) || inbound.tcp.contains(&Some(false));
    while is_missing(&inbound) && run.goes_on() && time::now() < until {
        if let Some(socket) = &ports.udp
            && heard(socket, dial)
        {
            inbound.udp = Some(true);
        }
        let own = (0u16..).zip(&mut ports.tcp).zip(&mut inbound.tcp);
        for ((offset, listener), reached) in own {
            let Some(Ok((stream, _))) = listener.as_ref().map(TcpListener::accept) else { continue };
            if says(stream, &dial.token(ports.base.saturating_add(offset)), until) {
                *reached = Some(true);
            }
        }
        std::thread::sleep(LOOK);
    }
    Some(inbound)
}

/// Whether a datagram is here that knows our cookie.
fn heard(socket: &UdpSocket, dial: Dial) -> bool {
    let mut buffer = [0; 128];
    // Others may send here too: a few at a time are looked at.
    (0..16).any(|_| match socket.recv_from(&mut buffer) {
        Ok((length, _)) => buffer.get(..length) == Some(dial.token(dial.base).as_bytes()),
        Err(_) => false,
    })
}

fn says(mut stream: TcpStream, token: &str, until: Instant) -> bool {
    let mut said = Vec::new();
    let mut buffer = [0; 128];
    if stream.set_nonblocking(false).is_err() {
        return false;
    }
    while said.len() < token.len() {
        // Whoever connects and is silent must not hold the others up.
        let left = until.saturating_duration_since(time::now()).min(SILENT);
        if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
            return false;
        }
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => said.extend_from_slice(buffer.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    said == token.as_bytes()
}

/// PCP and NAT-PMP take a second each to be found missing, UPnP a little more.
const MAPPED: Duration = Duration::from_millis(3600);
/// The service tries for two seconds.
const CALLED: Duration = Duration::from_millis(2600);
const SILENT: Duration = Duration::from_millis(300);
const LOOK: Duration = Duration::from_millis(5);
