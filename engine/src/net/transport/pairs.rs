//! Which pairs of addresses carry, and which would: seen from the datagrams that go and come, because the ICE agent tells
//! only once a second, and gives a pair up only after many checks.

use std::net::SocketAddr;

use crate::base::time::{Duration, Instant};
use crate::net::paths::Found;
use crate::proto::signal::media::{Candidate, CandidateKind};

/// Where a pair leads along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PathKind {
    Direct,
    Relay,
    /// A TCP connection between the two sides.
    Tcp,
}

impl PathKind {
    /// As reports say it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Relay => "relay",
            Self::Tcp => "tcp",
        }
    }
}

/// A pair as datagrams show it: our end and theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub tcp: bool,
}

#[derive(Clone, Copy, Debug)]
struct Heard {
    pair: Pair,
    /// Anything at all.
    any: Instant,
    /// An answer to a check of ours.
    answer: Option<Instant>,
}

/// The pairs of one connection.
#[derive(Debug, Default)]
pub struct Pairs {
    /// What media leaves by, and since when.
    used: Option<(Pair, Instant)>,
    heard: Vec<Heard>,
    /// Addresses of relays, ours and theirs.
    relayed: Vec<SocketAddr>,
    changes: u32,
    /// When one was left last: the next one has to come up.
    left: Option<Instant>,
    /// Whether this side chooses among pairs that work.
    controlling: bool,
}

/// Silence on the used pair while another one answers: four of the 250 ms signs of life. Whether a call is said to have broken
/// off takes five.
const SILENCE: Duration = Duration::from_secs(1);
/// It answers by itself: a sign of life later than the last one that came by the used pair.
const LATER: Duration = Duration::from_millis(250);
/// Another pair that answered a check within this time works: every pair is checked once a second.
const ALIVE: Duration = Duration::from_millis(1300);
/// Checks of a pair, and its nomination: some round trips.
const STRANDED: Duration = Duration::from_millis(1500);
/// Both sides leave a path at nearly the same time, and tell each other.
const SETTLED: Duration = Duration::from_secs(3);
/// More than the checks of a call's candidates make.
const MOST: usize = 128;

impl Pairs {
    pub const fn set_controlling(&mut self, controlling: bool) {
        self.controlling = controlling;
    }

    pub fn on_local(&mut self, found: &Found) {
        self.note_relay(&found.candidate);
    }

    pub fn on_remote(&mut self, candidate: &Candidate) {
        self.note_relay(candidate);
    }

    fn note_relay(&mut self, candidate: &Candidate) {
        if candidate.typ == CandidateKind::Relayed
            && !self.relayed.contains(&candidate.address)
            && self.relayed.len() < MOST
        {
            self.relayed.push(candidate.address);
        }
    }

    /// A datagram left. Media and its handshake show which pair is used; checks go everywhere.
    pub fn on_sent(&mut self, pair: Pair, datagram: &[u8], now: Instant) {
        if is_check(datagram) || self.used.is_some_and(|(used, _)| used == pair) {
            return;
        }
        self.changes += u32::from(self.used.is_some());
        self.used = Some((pair, now));
    }

    /// A datagram that the agent took came in.
    pub fn on_received(&mut self, pair: Pair, datagram: &[u8], at: Instant) {
        let answer = is_answer(datagram).then_some(at);
        if let Some(heard) = self.heard.iter_mut().find(|heard| heard.pair == pair) {
            heard.any = at;
            heard.answer = answer.or(heard.answer);
        } else if self.heard.len() < MOST {
            self.heard.push(Heard { pair, any: at, answer });
        }
    }

    pub fn used(&self) -> Option<Pair> {
        self.used.map(|(pair, _)| pair)
    }

    pub const fn changes(&self) -> u32 {
        self.changes
    }

    pub fn kind(&self) -> Option<PathKind> {
        let (pair, _) = self.used?;
        let is_relay = self.relayed.contains(&pair.local) || self.relayed.contains(&pair.remote);
        Some(match (pair.tcp, is_relay) {
            (true, _) => PathKind::Tcp,
            (false, true) => PathKind::Relay,
            (false, false) => PathKind::Direct,
        })
    }

    /// The used pair and one that works, where the used one has fallen silent and the other has answered since. `told`: the
    /// other side says that it hears nothing. Never where there is no other: the last pair is kept, whatever comes.
    ///
    /// Both sides leave at nearly the same time, and one must not give up what the other's choice needs: where there are
    /// several, both take the relay of the side that chooses (RFC 8445 §6.1.1).
    pub fn failed(&self, told: bool, now: Instant) -> Option<(Pair, Pair)> {
        let (used, since) = self.used?;
        let heard = self.heard.iter().find(|heard| heard.pair == used).map_or(since, |heard| heard.any.max(since));
        let is_silent = now.saturating_duration_since(heard) >= SILENCE;
        if self.left.is_some_and(|at| now.saturating_duration_since(at) < SETTLED) {
            return None;
        }
        // What the other side says may be about the path that was left just now.
        let told = told && now.saturating_duration_since(since) >= SETTLED;
        if !is_silent && !told {
            return None;
        }
        // Where all fall silent together, the answers of just before say nothing.
        let later = heard + LATER;
        let is_alive = |heard: &&Heard| {
            let is_new = |at| now.saturating_duration_since(at) <= ALIVE && (!is_silent || at >= later);
            heard.pair != used && heard.answer.is_some_and(is_new)
        };
        let best = |heard: &&Heard| (self.is_of_who_chooses(used, heard.pair), heard.answer);
        let other = self.heard.iter().filter(is_alive).max_by_key(best)?;
        Some((used, other.pair))
    }

    /// Whether `other` differs from `used` by the relay of the controlling side alone.
    fn is_of_who_chooses(&self, used: Pair, other: Pair) -> bool {
        if self.controlling {
            other.remote == used.remote && self.relayed.contains(&other.local)
        } else {
            other.local == used.local && self.relayed.contains(&other.remote)
        }
    }

    /// Nothing has come since a pair was left, for longer than another one needs to come up.
    pub fn is_stranded(&self, heard: Instant, now: Instant) -> bool {
        self.left.is_some_and(|at| heard < at && now.saturating_duration_since(at) >= STRANDED)
    }

    /// A pair is given up.
    pub fn leave(&mut self, pair: Pair, now: Instant) {
        self.left = Some(now);
        self.heard.retain(|heard| heard.pair != pair);
    }
}

/// RFC 7983 §7.
fn is_check(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(0..=3))
}

/// A binding success response (RFC 8489 §5).
fn is_answer(datagram: &[u8]) -> bool {
    datagram.starts_with(&[0x01, 0x01])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::now;

    const CHECK: [u8; 2] = [0x00, 0x01];
    const ANSWER: [u8; 2] = [0x01, 0x01];
    const MEDIA: [u8; 2] = [0x80, 111];

    fn pair(local: &str, remote: &str) -> Pair {
        Pair { local: local.parse().expect("an address"), remote: remote.parse().expect("an address"), tcp: false }
    }

    fn at(ms: u64, start: Instant) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn a_silent_pair_is_left_for_one_that_answers() {
        let (direct, relay, start) = (pair("10.0.0.1:1", "10.0.0.2:1"), pair("5.5.5.5:9", "10.0.0.2:1"), now());
        let mut pairs = Pairs::default();
        pairs.on_sent(direct, &MEDIA, start);
        pairs.on_received(direct, &MEDIA, at(1000, start));
        pairs.on_received(relay, &ANSWER, at(1800, start));
        assert_eq!(pairs.failed(false, at(1900, start)), None, "not silent for long enough");
        assert_eq!(pairs.failed(true, at(1900, start)), None, "it was told of the path before this one");
        pairs.on_received(direct, &MEDIA, at(3900, start));
        pairs.on_received(relay, &ANSWER, at(4000, start));
        assert_eq!(pairs.failed(true, at(4100, start)), Some((direct, relay)), "the other side hears nothing");
        assert_eq!(pairs.failed(false, at(4100, start)), None, "it was heard just now");
        assert_eq!(pairs.failed(false, at(5000, start)), None, "both fell silent together");
        pairs.on_received(relay, &ANSWER, at(4200, start));
        assert_eq!(pairs.failed(false, at(5200, start)), Some((direct, relay)));
        assert_eq!(pairs.failed(false, at(5600, start)), None, "nothing answers any more");
    }

    #[test]
    fn what_was_left_is_not_left_again_and_nothing_for_too_long_is_seen() {
        let (direct, relay, start) = (pair("10.0.0.1:1", "10.0.0.2:1"), pair("5.5.5.5:9", "10.0.0.2:1"), now());
        let mut pairs = Pairs::default();
        pairs.on_sent(direct, &MEDIA, start);
        pairs.on_received(relay, &ANSWER, at(5000, start));
        assert_eq!(pairs.failed(false, at(5000, start)), Some((direct, relay)));
        pairs.leave(direct, at(5000, start));
        pairs.on_received(relay, &ANSWER, at(5100, start));
        assert_eq!(pairs.failed(true, at(5200, start)), None);
        assert!(!pairs.is_stranded(at(1000, start), at(6400, start)));
        assert!(pairs.is_stranded(at(1000, start), at(6500, start)));
        assert!(!pairs.is_stranded(at(5100, start), at(6500, start)), "it carries");
    }

    #[test]
    fn both_sides_leave_for_the_relay_of_the_side_that_chooses() {
        let [ada, ben, of_ada, of_ben] = ["10.0.0.1:1", "10.0.0.2:1", "5.5.5.5:9", "5.5.5.5:8"];
        let start = now();
        for (controlling, own, theirs) in [(true, [ada, of_ada], [ben, of_ben]), (false, [ben, of_ben], [ada, of_ada])]
        {
            let mut pairs = Pairs::default();
            pairs.set_controlling(controlling);
            let relayed = |address: &str| Candidate {
                address: address.parse().expect("an address"),
                typ: CandidateKind::Relayed,
                priority: 0,
                tcp: false,
            };
            pairs.on_local(&Found { candidate: relayed(own[1]), base: own[0].parse().expect("an address") });
            pairs.on_remote(&relayed(theirs[1]));
            let direct = pair(own[0], theirs[0]);
            pairs.on_sent(direct, &MEDIA, start);
            let wanted = if controlling { pair(own[1], theirs[0]) } else { pair(own[0], theirs[1]) };
            pairs.on_received(wanted, &ANSWER, at(4000, start));
            // Heard of later, and all the same not taken.
            for (ms, other) in
                [(4100, pair(own[0], theirs[1])), (4200, pair(own[1], theirs[0])), (4300, pair(own[1], theirs[1]))]
            {
                if other != wanted {
                    pairs.on_received(other, &ANSWER, at(ms, start));
                }
            }
            assert_eq!(pairs.failed(false, at(5000, start)), Some((direct, wanted)), "controlling: {controlling}");
        }
    }

    #[test]
    fn the_only_pair_is_never_left_and_a_check_of_theirs_is_no_answer() {
        let (direct, relay, start) = (pair("10.0.0.1:1", "10.0.0.2:1"), pair("5.5.5.5:9", "10.0.0.2:1"), now());
        let mut pairs = Pairs::default();
        pairs.on_sent(direct, &MEDIA, start);
        assert_eq!(pairs.failed(true, at(60_000, start)), None);
        pairs.on_received(relay, &CHECK, at(59_900, start));
        assert_eq!(pairs.failed(false, at(60_000, start)), None);
    }

    #[test]
    fn what_media_leaves_by_is_used_and_its_kind_is_known() {
        let (direct, start) = (pair("10.0.0.1:1", "10.0.0.2:1"), now());
        let relay = pair("5.5.5.5:9", "10.0.0.2:1");
        let mut pairs = Pairs::default();
        pairs.on_sent(direct, &CHECK, start);
        assert_eq!(pairs.kind(), None);
        pairs.on_sent(direct, &MEDIA, start);
        assert_eq!(pairs.kind(), Some(PathKind::Direct));
        let candidate = Candidate { address: relay.local, typ: CandidateKind::Relayed, priority: 0, tcp: false };
        pairs.on_local(&Found { candidate, base: direct.local });
        pairs.on_sent(relay, &MEDIA, start);
        assert_eq!((pairs.kind(), pairs.changes()), (Some(PathKind::Relay), 1));
        pairs.on_sent(Pair { tcp: true, ..direct }, &MEDIA, start);
        assert_eq!(pairs.kind(), Some(PathKind::Tcp));
    }
}
