//! One port: what is known of it and when to ask again.

use std::net::SocketAddr;

use super::{MappingState, Method, Protocol};
use crate::base::time::{Duration, Instant};
use crate::proto::mapping::is_public;
use crate::proto::mapping::pcp::Nonce;

/// A port that is kept.
#[derive(Clone, Debug)]
pub struct Held {
    pub protocol: Protocol,
    pub port: u16,
    pub nonce: Nonce,
    /// The outer address, while there is one.
    pub external: Option<SocketAddr>,
    /// When the mapping ends by itself.
    until: Instant,
    pub next_at: Instant,
    was_refused: bool,
}

/// What one round of asking came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Mapped {
        external: SocketAddr,
        lifetime: Duration,
    },
    Refused {
        why: &'static str,
        again: Duration,
    },
    /// Nobody answers, or not in this protocol.
    Silent,
}

impl Held {
    pub const fn new(protocol: Protocol, port: u16, nonce: Nonce, now: Instant) -> Self {
        Self { protocol, port, nonce, external: None, until: now, next_at: now, was_refused: false }
    }

    /// Takes what a round came to; what there is to say of it.
    pub fn take(&mut self, outcome: &Outcome, by: Option<Method>, now: Instant) -> Option<MappingState> {
        let later = |time: Duration| now.checked_add(time).unwrap_or(now);
        if let (Outcome::Mapped { external, lifetime }, Some(by)) = (outcome, by) {
            let lifetime = (*lifetime).clamp(SHORTEST, LONGEST);
            self.until = later(lifetime);
            // RFC 6887 §11.2.1 and RFC 6886 §3.3: at half of its life.
            self.next_at = later(lifetime / 2);
            self.was_refused = false;
            let is_new = self.external.replace(*external) != Some(*external);
            let is_public = is_public(external.ip());
            return is_new.then_some(MappingState::Mapped { external: *external, by, is_public });
        }
        let left = self.until.saturating_duration_since(now);
        if self.external.is_some() && left > Duration::ZERO {
            // RFC 6887 §11.2.1: at half of what is left, and no oftener than every four seconds.
            self.next_at = later((left / 2).max(Duration::from_secs(4)).min(left));
            return None;
        }
        let (why, again) = match outcome {
            Outcome::Refused { why, again } => (*why, (*again).clamp(SHORTEST, LONGEST)),
            _ => ("no router here answers to PCP, NAT-PMP or UPnP", SILENT_AGAIN),
        };
        self.next_at = later(again);
        if self.external.take().is_some() {
            return Some(MappingState::Lost);
        }
        let is_new = !self.was_refused;
        self.was_refused = true;
        is_new.then(|| MappingState::Refused { why: why.to_owned() })
    }

    /// The router is another one, or none: what there was is gone.
    pub fn forget(&mut self, now: Instant) -> Option<MappingState> {
        (self.next_at, self.was_refused) = (now, false);
        self.external.take().map(|_| MappingState::Lost)
    }
}

/// Seconds that a mapping is asked for: what a program leaves behind that was killed is gone after this.
pub const LIFETIME: u32 = 1200;

/// What a router says is believed between these: a life of no time would be asked for without end.
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// A router that knows no mappings seldom learns it.
const SILENT_AGAIN: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time;

    const BY: Option<Method> = Some(Method::Pcp);

    fn mapped(text: &str, seconds: u64) -> Outcome {
        Outcome::Mapped { external: text.parse().expect("an address"), lifetime: Duration::from_secs(seconds) }
    }

    fn after(held: &Held, since: Instant) -> u64 {
        held.next_at.saturating_duration_since(since).as_secs()
    }

    #[test]
    fn a_mapping_is_renewed_at_half_life_and_said_once() {
        let start = time::now();
        let mut held = Held::new(Protocol::Udp, 2000, [0; 12], start);
        let said = held.take(&mapped("203.0.113.1:2000", 1200), BY, start);
        assert!(matches!(said, Some(MappingState::Mapped { is_public: true, .. })), "{said:?}");
        assert_eq!(after(&held, start), 600);
        let later = start + Duration::from_secs(600);
        assert_eq!(held.take(&mapped("203.0.113.1:2000", 1200), BY, later), None);
        assert_eq!(after(&held, later), 600);
        let said = held.take(&mapped("10.0.0.1:2000", 1200), BY, later);
        assert!(matches!(said, Some(MappingState::Mapped { is_public: false, .. })), "{said:?}");
    }

    #[test]
    fn a_router_that_falls_silent_is_asked_until_the_mapping_ends() {
        let start = time::now();
        let mut held = Held::new(Protocol::Udp, 2000, [0; 12], start);
        held.take(&mapped("203.0.113.1:2000", 1200), BY, start);
        let mut asked = 0;
        let lost = loop {
            asked += 1;
            let at = held.next_at;
            if let Some(said) = held.take(&Outcome::Silent, None, at) {
                break (said, at);
            }
            assert!(asked < 20);
        };
        assert_eq!(lost, (MappingState::Lost, start + Duration::from_secs(1200)));
        assert!(asked > 4, "{asked}");
        assert_eq!(held.external, None);
    }

    #[test]
    fn a_refusal_is_said_once_and_no_answer_makes_it_hurry() {
        let start = time::now();
        let mut held = Held::new(Protocol::Tcp, 2001, [0; 12], start);
        let no = Outcome::Refused { why: "the router does not allow it", again: Duration::ZERO };
        assert!(matches!(held.take(&no, BY, start), Some(MappingState::Refused { .. })));
        assert_eq!(after(&held, start), 60);
        assert_eq!(held.take(&no, BY, start), None);
        held.take(&mapped("203.0.113.1:2001", 0), BY, start);
        assert_eq!(after(&held, start), 30);
        assert_eq!(held.forget(start), Some(MappingState::Lost));
        assert_eq!(after(&held, start), 0);
    }
}
