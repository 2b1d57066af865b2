//! What each service tells the others, numbered: whoever has missed something asks for it again. A bus may lose what it
//! carries; nothing that matters depends on more than this, and the store knows what is true.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::base::time::Duration;

/// A running service, by a number that it has drawn at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PeerId(pub u64);

/// What goes over the bus.
#[derive(Debug, Serialize, Deserialize)]
struct Frame {
    from: PeerId,
    #[serde(rename = "type")]
    kind: Kind,
    /// Of `tell`: its number. Of `beat`: how much `from` has told. Of `lost`: what came before this is nowhere any more. Of
    /// `again`: the first that was missed.
    #[serde(default)]
    number: u64,
    /// Of `again`: the last that was missed.
    #[serde(default, skip_serializing_if = "is_zero")]
    last: u64,
    /// Of `again`: whose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    of: Option<PeerId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<Box<RawValue>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Tell,
    Beat,
    Again,
    Lost,
    Bye,
    #[serde(other)]
    Unknown,
}

/// What was heard of another service.
#[derive(Debug)]
pub enum Heard {
    /// It tells this.
    Told(PeerId, Box<RawValue>),
    /// It is new, or what it told was lost: all that is known of it is void, and it is asked to say it anew.
    Anew(PeerId),
    /// It has gone, or has not been heard for [`TTL`].
    Gone(PeerId),
    /// Somebody new needs to know all that holds at present.
    SayAll,
}

/// What was told, and what the others have told.
#[derive(Debug)]
pub struct Log {
    me: PeerId,
    told: u64,
    /// The newest things that were told, the last one with the number `told`.
    kept: VecDeque<Box<RawValue>>,
    kept_bytes: usize,
    peers: HashMap<PeerId, Peer>,
    beaten: Option<Instant>,
    said_all: Option<Instant>,
    counters: Counters,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub told: u64,
    pub heard: u64,
    /// Things that were missed, and asked for again.
    pub missed: u64,
    /// Times that something was missed for good.
    pub lost: u64,
    pub malformed: u64,
}

#[derive(Debug)]
struct Peer {
    heard: Instant,
    /// The number of the next thing.
    next: u64,
    /// What came before its turn.
    early: BTreeMap<u64, Box<RawValue>>,
    /// The last number that it has told, as far as is known.
    last: u64,
    asked: Option<Instant>,
}

impl Log {
    pub fn new(me: PeerId) -> Self {
        let (beaten, said_all, counters) = (None, None, Counters::default());
        Self { me, told: 0, kept: VecDeque::new(), kept_bytes: 0, peers: HashMap::new(), beaten, said_all, counters }
    }

    /// Tells something; the message for the bus.
    pub fn tell(&mut self, body: Box<RawValue>) -> String {
        self.told += 1;
        self.counters.told += 1;
        self.kept_bytes += body.get().len();
        let frame = self.frame(Kind::Tell, self.told, Some(body.clone()));
        self.kept.push_back(body);
        while self.kept.len() > KEPT || (self.kept_bytes > KEPT_BYTES && self.kept.len() > 1) {
            self.kept_bytes -= self.kept.pop_front().map_or(0, |body| body.get().len());
        }
        frame
    }

    /// Takes a message from the bus. What is to be answered goes into `out`.
    pub fn hear(&mut self, text: &[u8], now: Instant, out: &mut Vec<String>, heard: &mut Vec<Heard>) {
        let Ok(Frame { from, kind, number, last, of, body }) = serde_json::from_slice(text) else {
            self.counters.malformed += 1;
            return;
        };
        if from == self.me {
            return;
        }
        match kind {
            Kind::Bye => {
                if self.peers.remove(&from).is_some() {
                    heard.push(Heard::Gone(from));
                }
                return;
            }
            Kind::Again if of == Some(self.me) => return self.say_again(number, last, now, out, heard),
            Kind::Lost => return self.restart(from, number, now, heard),
            Kind::Again | Kind::Unknown => return,
            Kind::Tell | Kind::Beat => {}
        }
        if !self.peers.contains_key(&from) {
            if self.peers.len() >= MOST_PEERS {
                return;
            }
            // Whoever is new here has not heard of us either.
            out.push(self.beat(now));
            let next = number.saturating_add(u64::from(body.is_none()));
            self.peers.insert(from, Peer { heard: now, next, early: BTreeMap::new(), last: number, asked: None });
            heard.push(Heard::Anew(from));
            self.say_all(now, heard);
        }
        let Some(peer) = self.peers.get_mut(&from) else { return };
        peer.heard = now;
        peer.last = peer.last.max(number);
        if let Some(body) = body
            && number >= peer.next
            && peer.early.len() < KEPT
        {
            peer.early.insert(number, body);
        }
        while let Some(body) = peer.early.remove(&peer.next) {
            peer.next += 1;
            self.counters.heard += 1;
            heard.push(Heard::Told(from, body));
        }
        self.ask_again(from, now, out);
    }

    /// What time alone brings: signs of life, what is asked for once more, and who has gone.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Vec<String>, heard: &mut Vec<Heard>) {
        if self.beaten.is_none_or(|beaten| now >= beaten + BEAT) {
            out.push(self.beat(now));
        }
        let gone: Vec<PeerId> =
            self.peers.iter().filter(|(_, peer)| now >= peer.heard + TTL).map(|(id, _)| *id).collect();
        for id in gone {
            self.peers.remove(&id);
            heard.push(Heard::Gone(id));
        }
        let waiting: Vec<PeerId> =
            self.peers.iter().filter(|(_, peer)| peer.next <= peer.last).map(|(id, _)| *id).collect();
        for id in waiting {
            self.ask_again(id, now, out);
        }
    }

    /// The message of one who goes.
    pub fn bye(&self) -> String {
        self.frame(Kind::Bye, 0, None)
    }

    /// How many others there are.
    pub fn peers(&self) -> usize {
        self.peers.len()
    }

    pub const fn counters(&self) -> Counters {
        self.counters
    }

    fn beat(&mut self, now: Instant) -> String {
        self.beaten = Some(now);
        self.frame(Kind::Beat, self.told, None)
    }

    /// Asks a peer for what was missed, at most once in a while.
    fn ask_again(&mut self, of: PeerId, now: Instant, out: &mut Vec<String>) {
        let Some(peer) = self.peers.get_mut(&of) else { return };
        if peer.next > peer.last || peer.asked.is_some_and(|asked| now < asked + ASK) {
            return;
        }
        peer.asked = Some(now);
        // Each gap between what is there.
        let (mut first, mut gaps) = (peer.next, Vec::new());
        for early in peer.early.keys().copied().chain([peer.last.saturating_add(1)]) {
            if early > first {
                gaps.push((first, early - 1));
            }
            first = early.saturating_add(1);
            if gaps.len() >= GAPS {
                break;
            }
        }
        for (first, last) in gaps {
            self.counters.missed += last - first + 1;
            let again = Frame { from: self.me, kind: Kind::Again, number: first, last, of: Some(of), body: None };
            out.push(text(&again));
        }
    }

    fn say_again(&mut self, first: u64, last: u64, now: Instant, out: &mut Vec<String>, heard: &mut Vec<Heard>) {
        let oldest = (self.told + 1).saturating_sub(self.kept.len() as u64);
        if first < oldest {
            // For all: who has it anyway passes it over.
            out.push(self.frame(Kind::Lost, oldest, None));
            self.say_all(now, heard);
        }
        for number in (first.max(oldest)..=last.min(self.told)).take(AT_ONCE) {
            let at = usize::try_from(number - oldest).unwrap_or(usize::MAX);
            if let Some(body) = self.kept.get(at).cloned() {
                out.push(self.frame(Kind::Tell, number, Some(body)));
            }
        }
    }

    /// Somebody knows nothing of us.
    fn say_all(&mut self, now: Instant, heard: &mut Vec<Heard>) {
        if self.said_all.is_none_or(|said| now >= said + SAY_ALL) {
            self.said_all = Some(now);
            heard.push(Heard::SayAll);
        }
    }

    /// What a peer has told before `first` is lost, where it is missed here.
    fn restart(&mut self, from: PeerId, first: u64, now: Instant, heard: &mut Vec<Heard>) {
        let Some(peer) = self.peers.get_mut(&from) else { return };
        if peer.next >= first {
            return;
        }
        peer.next = first;
        peer.early = peer.early.split_off(&first);
        peer.heard = now;
        self.counters.lost += 1;
        heard.push(Heard::Anew(from));
    }

    fn frame(&self, kind: Kind, number: u64, body: Option<Box<RawValue>>) -> String {
        text(&Frame { from: self.me, kind, number, last: 0, of: None, body })
    }
}

fn text(frame: &Frame) -> String {
    // These types have no map with keys that are not text, which is all that can fail.
    serde_json::to_string(frame).unwrap_or_default()
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands references over")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// How often each service gives a sign of life.
pub const BEAT: Duration = Duration::from_millis(500);

/// After so long without one it has gone.
pub const TTL: Duration = Duration::from_secs(3);

/// Between two requests for the same thing.
const ASK: Duration = Duration::from_millis(100);

/// However many new services come at once.
const SAY_ALL: Duration = Duration::from_millis(200);

/// What is kept for those who have missed it: some seconds of a busy service.
const KEPT: usize = 8192;
const KEPT_BYTES: usize = 8 * 1024 * 1024;

/// Gaps that are asked for at once, and what is said again for each.
const GAPS: usize = 32;
const AT_ONCE: usize = 512;

/// Services on one bus.
const MOST_PEERS: usize = 64;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::base::time::now;

    fn body(number: usize) -> Box<RawValue> {
        RawValue::from_string(format!("{{\"n\":{number}}}")).expect("JSON")
    }

    /// Services on a bus that loses a share of what it carries.
    struct Bus {
        logs: Vec<Log>,
        heard: Vec<Vec<String>>,
        anew: usize,
        gone: usize,
        carried: usize,
        loss: f64,
        chance: fastrand::Rng,
        at: Instant,
    }

    impl Bus {
        fn new(count: u64, loss: f64) -> Self {
            let logs = (1..=count).map(|id| Log::new(PeerId(id))).collect();
            let heard = (0..count).map(|_| Vec::new()).collect();
            Self { logs, heard, anew: 0, gone: 0, carried: 0, loss, chance: fastrand::Rng::with_seed(7), at: now() }
        }

        fn carry(&mut self, messages: Vec<String>) {
            let mut waiting = VecDeque::from(messages);
            while let Some(message) = waiting.pop_front() {
                self.carried += 1;
                for n in 0..self.logs.len() {
                    if self.chance.f64() < self.loss {
                        continue;
                    }
                    let (mut out, mut heard) = (Vec::new(), Vec::new());
                    self.logs[n].hear(message.as_bytes(), self.at, &mut out, &mut heard);
                    waiting.extend(out);
                    self.note(n, heard);
                }
            }
        }

        fn note(&mut self, n: usize, heard: Vec<Heard>) {
            for heard in heard {
                match heard {
                    Heard::Told(from, body) => self.heard[n].push(format!("{} {}", from.0, body.get())),
                    Heard::Anew(_) => self.anew += 1,
                    Heard::Gone(_) => self.gone += 1,
                    Heard::SayAll => {}
                }
            }
        }

        fn pass(&mut self, time: Duration) {
            let until = self.at + time;
            while self.at < until {
                self.at += Duration::from_millis(50);
                for n in 0..self.logs.len() {
                    let (mut out, mut heard) = (Vec::new(), Vec::new());
                    self.logs[n].handle_timeout(self.at, &mut out, &mut heard);
                    self.note(n, heard);
                    self.carry(out);
                }
            }
        }

        fn tell(&mut self, n: usize, number: usize) {
            let message = self.logs[n].tell(body(number));
            self.carry(vec![message]);
        }
    }

    #[test]
    fn what_a_bus_loses_is_asked_for_again_and_comes_once_and_in_order() {
        let mut bus = Bus::new(3, 0.3);
        bus.pass(Duration::from_secs(2));
        for number in 0..500 {
            bus.tell(0, number);
        }
        bus.pass(Duration::from_secs(10));
        let expected: Vec<String> = (0..500).map(|number| format!("1 {}", body(number).get())).collect();
        for heard in &bus.heard[1..] {
            assert!(*heard == expected, "{} heard", heard.len());
        }
        assert!(bus.logs[1].counters().missed > 50 && bus.logs[1].counters().lost == 0);
        assert!(bus.heard[0].is_empty(), "nobody hears themselves");
        assert!(bus.carried < 3000, "asking again costs {} messages", bus.carried);
    }

    #[test]
    fn what_is_kept_nowhere_any_more_is_said_anew() {
        let mut bus = Bus::new(2, 0.0);
        bus.pass(Duration::from_secs(1));
        let anew = bus.anew;
        bus.loss = 1.0;
        (0..KEPT + 100).for_each(|number| bus.tell(0, number));
        bus.loss = 0.0;
        bus.pass(Duration::from_secs(4));
        assert_eq!(bus.anew, anew + 1, "it is told that it knows nothing any more");
        assert!(bus.carried < 3 * KEPT, "asking again costs {} messages", bus.carried);
        bus.tell(0, 1_000_000);
        assert_eq!(bus.heard[1].last().expect("heard"), &format!("1 {}", body(1_000_000).get()));
        let all: HashSet<&String> = bus.heard[1].iter().collect();
        assert_eq!(all.len(), bus.heard[1].len(), "nothing twice");
    }

    #[test]
    fn one_that_falls_silent_or_says_goodbye_is_gone() {
        let mut bus = Bus::new(3, 0.0);
        bus.pass(Duration::from_secs(1));
        assert!(bus.logs.iter().all(|log| log.peers() == 2));
        let bye = bus.logs[2].bye();
        bus.carry(vec![bye]);
        assert_eq!(bus.gone, 2);
        bus.logs.truncate(2);
        bus.pass(Duration::from_secs(1));
        let silent = bus.logs.remove(1);
        bus.pass(TTL - BEAT);
        assert_eq!((bus.logs[0].peers(), silent.peers()), (1, 1));
        bus.pass(BEAT * 2);
        assert_eq!(bus.logs[0].peers(), 0);
    }

    #[test]
    fn what_is_no_message_of_ours_is_counted_and_passed_over() {
        let (mut log, mut out, mut heard) = (Log::new(PeerId(1)), Vec::new(), Vec::new());
        for wrong in [&b"hello"[..], b"{}", b"{\"from\":2}", b"{\"from\":-1,\"type\":\"beat\"}"] {
            log.hear(wrong, now(), &mut out, &mut heard);
        }
        assert!(out.is_empty() && heard.is_empty());
        assert_eq!(log.counters().malformed, 4);
        log.hear(b"{\"from\":2,\"type\":\"of a later version\"}", now(), &mut out, &mut heard);
        assert!(out.is_empty() && heard.is_empty());
    }
}
