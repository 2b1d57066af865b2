//! PCP and NAT-PMP with the gateway: a question, asked again while nothing comes back.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};

use super::gateway::Gateway;
use super::held::{Held, LIFETIME, Outcome};
use crate::base::time::{self, Duration, Instant};
use crate::proto::mapping::{natpmp, pcp};

/// What a question to the gateway came to, with the router's count of seconds where it said it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Outcome(Outcome, Option<u32>),
    /// It speaks the other protocol.
    OtherVersion,
}

/// Whether waiting makes sense any more.
pub type Keeps<'a> = &'a dyn Fn() -> bool;

/// A socket that hears the gateway alone.
#[derive(Debug)]
pub struct Line(UdpSocket);

impl Line {
    /// `None`: the network is gone.
    pub fn open(gateway: Gateway) -> Option<Self> {
        let socket = UdpSocket::bind((gateway.own, 0)).ok()?;
        // Connected: the system drops what comes from elsewhere (RFC 6887 §8.3, RFC 6886 §3.1).
        socket.connect((gateway.address, gateway.pcp)).ok()?;
        Some(Self(socket))
    }

    /// PCP (RFC 6887 §11.2).
    pub fn pcp(&self, gateway: Gateway, held: &Held, lifetime: u32, keeps: Keeps<'_>) -> Said {
        let request = pcp::Request {
            nonce: held.nonce,
            client: gateway.own.into(),
            protocol: held.protocol,
            internal: held.port,
            suggested: held.external.filter(|_| lifetime > 0),
            lifetime,
        };
        // RFC 6887 §11.4: an answer that is not about this very mapping is dropped.
        let is_ours = |answer: &pcp::Answer| {
            let of_this = |map: &pcp::Map| {
                map.nonce == held.nonce && map.protocol == held.protocol.number() && map.internal == held.port
            };
            answer.result == pcp::UNSUPPORTED_VERSION || answer.map.as_ref().is_some_and(of_this)
        };
        let read = |bytes: &[u8]| {
            // RFC 6887 Appendix A: a router of the older protocol answers in its own form.
            let old = || matches!(natpmp::Answer::parse(bytes), Some(natpmp::Answer::Failed { result: 1, .. }));
            match pcp::Answer::parse(bytes).filter(is_ours) {
                Some(answer) => Some(Some(answer)),
                None => old().then_some(None),
            }
        };
        let Some(answer) = self.exchange(&request.to_bytes(), read, keeps) else {
            return Said::Outcome(Outcome::Silent, None);
        };
        let Some(answer) = answer.filter(|answer| answer.result != pcp::UNSUPPORTED_VERSION) else {
            return Said::OtherVersion;
        };
        let lifetime = Duration::from_secs(answer.lifetime.into());
        let outcome = match answer.map.filter(|_| answer.result == pcp::SUCCESS) {
            Some(map) if map.external.port() != 0 => Outcome::Mapped { external: map.external, lifetime },
            _ => Outcome::Refused { why: pcp::why(answer.result), again: lifetime },
        };
        Said::Outcome(outcome, Some(answer.epoch))
    }

    /// NAT-PMP (RFC 6886 §3.3).
    pub fn natpmp(&self, held: &Held, lifetime: u32, keeps: Keeps<'_>) -> Said {
        let silent = Said::Outcome(Outcome::Silent, None);
        let refused = |result| Said::Outcome(Outcome::Refused { why: natpmp::why(result), again: LATER }, None);
        let suggested = if lifetime == 0 { 0 } else { held.external.map_or(held.port, |outer| outer.port()) };
        let opcode = held.protocol.number();
        let mine = |answer: &natpmp::Answer| match *answer {
            natpmp::Answer::Mapped { protocol, internal, .. } => (protocol, internal) == (held.protocol, held.port),
            natpmp::Answer::Failed { opcode: of, .. } => of == if opcode == 17 { 1 } else { 2 },
            natpmp::Answer::External { .. } => false,
        };
        let request = natpmp::map(held.protocol, held.port, suggested, lifetime);
        let answer = self.exchange(&request, |bytes| natpmp::Answer::parse(bytes).filter(mine), keeps);
        let (external, seconds, epoch) = match answer {
            Some(natpmp::Answer::Mapped { external, lifetime, epoch, .. }) => (external, lifetime, epoch),
            Some(natpmp::Answer::Failed { result, .. }) => return refused(result),
            _ => return silent,
        };
        if lifetime == 0 {
            return silent;
        }
        let is_address = |answer: &natpmp::Answer| {
            matches!(answer, natpmp::Answer::External { .. } | natpmp::Answer::Failed { opcode: 0, .. })
        };
        match self.exchange(&natpmp::EXTERNAL, |bytes| natpmp::Answer::parse(bytes).filter(is_address), keeps) {
            Some(natpmp::Answer::External { ip, .. }) => {
                let external = SocketAddr::new(ip.into(), external);
                let lifetime = Duration::from_secs(seconds.into());
                Said::Outcome(Outcome::Mapped { external, lifetime }, Some(epoch))
            }
            Some(natpmp::Answer::Failed { result, .. }) => refused(result),
            _ => silent,
        }
    }

    /// The first answer that `read` takes.
    fn exchange<T>(&self, request: &[u8], read: impl Fn(&[u8]) -> Option<T>, keeps: Keeps<'_>) -> Option<T> {
        let start = time::now();
        let after = |wait: Duration| start.checked_add(wait).unwrap_or(start);
        let mut again = TRIES.into_iter().map(after);
        let (mut next, until) = (again.next(), after(PATIENCE));
        let mut buffer = [0; 1500];
        loop {
            let now = time::now();
            if now >= until || !keeps() {
                return None;
            }
            if next.is_some_and(|at| at <= now) {
                next = again.next();
                if self.0.send(request).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused) {
                    return None;
                }
            }
            let wait = next.unwrap_or(until).min(until).saturating_duration_since(now).clamp(LEAST, LOOK);
            // Zero would be no limit at all; `LEAST` keeps off it.
            self.0.set_read_timeout(Some(wait)).ok()?;
            match self.0.recv(&mut buffer) {
                Ok(length) => {
                    if let Some(found) = buffer.get(..length).and_then(&read) {
                        return Some(found);
                    }
                }
                Err(error) if is_wait(error.kind()) => {}
                // Nothing listens there.
                Err(_) => return None,
            }
        }
    }
}

pub const fn is_wait(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// A lifetime for `held`, or its end.
pub const fn lifetime(keep: bool) -> u32 {
    if keep { LIFETIME } else { 0 }
}

/// The gateway is one hop away and answers within milliseconds; the three seconds of RFC 6887 §8.1.1 are for a network that
/// loses datagrams, and another protocol is waiting for its turn.
const TRIES: [Duration; 3] = [Duration::ZERO, Duration::from_millis(200), Duration::from_millis(500)];
const PATIENCE: Duration = Duration::from_millis(1000);

/// How long an end of the program may go unnoticed.
const LOOK: Duration = Duration::from_millis(100);
const LEAST: Duration = Duration::from_millis(1);

const LATER: Duration = Duration::from_secs(600);

/// When `keeps` has to say no at the latest.
pub fn until(deadline: Instant) -> impl Fn() -> bool {
    move || time::now() < deadline
}
