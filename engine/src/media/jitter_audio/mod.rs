//! The jitter buffer for sound: decides what the decoder does next, so that sound never waits longer than the path's
//! own jitter asks for. Plain data; time is an argument; nothing is decoded here.
//!
//! One axis for everything: the *lag* of a sample is a point in time minus its RTP timestamp. A packet's lag at arrival
//! varies with the path; its smallest recent value is the path's baseline. The lag at which samples are played is
//! wanted at baseline + target, where target is a high quantile of the lag's excess over the baseline. What is above is
//! cut out by stretching or, far above, dropped; what is below is put in. So the delay cannot creep, and a drift between
//! the two clocks moves baseline and playout alike.
//!
//! Small differences are mended by resampling ([`Drift`]), which nobody hears; larger ones by cutting and repeating whole
//! pitch periods ([`super::stretch`]).
//!
//! When a packet is late and none follows, sound is concealed and the packet still awaited: the delay grows by as much.
//! When one is missing and later ones are there, it is lost: concealed, or restored by FEC, once. A copy of it that a
//! later packet carried (RFC 2198) takes its place as long as it comes in time, and the delay covers the wait for copies
//! while there are losses.

mod decide;
mod drift;
mod estimate;

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::time::Duration;

pub use drift::Drift;
pub use estimate::LagEstimate;

use super::policy::Policy;
use super::stretch::Stretch;
use crate::base::slice::SharedSlice;
use crate::base::time::Instant;

/// RTP clock of Opus (RFC 7587 §4.1).
const RATE: u64 = 48_000;
/// Two seconds of packets at most: a peer that sends faster than real time costs no more memory than that.
const LONGEST: u64 = 2 * RATE;
/// Of the shortest packets (2.5 ms) two seconds are 800.
const MOST: usize = 800;
/// The shortest packet (RFC 6716 §2.1.4), and the step in which the decoder conceals.
const SHORTEST: usize = 120;
/// When nothing but late packets came for half a second, they are not late: the numbers began anew.
const REFUSED: i64 = RATE as i64 / 2;

/// One packet as it came off the path.
#[derive(Clone, Debug)]
pub struct AudioPacket {
    /// RTP sequence number, extended to 64 bits.
    pub sequence: u64,
    /// RTP timestamp (48 kHz), extended to 64 bits.
    pub timestamp: u64,
    pub arrival: Instant,
    /// How much sound it holds.
    pub samples: usize,
    /// The Opus packet, in the storage it came off the path in.
    pub payload: SharedSlice,
    /// RFC 6464, in −dBov.
    pub level: Option<i8>,
    /// When the sender's microphone took the first sample, in this machine's time.
    pub captured: Option<Instant>,
    /// Restored from a redundant block of a later packet (RFC 2198): its number is derived, and it came when its carrier
    /// came.
    pub copy: bool,
}

/// What the decoder does next.
#[derive(Clone, Debug)]
pub enum Next {
    /// Decode this packet.
    Decode(AudioPacket),
    /// The packet before `from` is lost: restore `samples` from the copy inside. `from` itself comes with a later call.
    DecodeFec { from: SharedSlice, samples: usize },
    /// Continue the sound without a packet.
    Conceal { samples: usize },
    /// The sender pauses (RFC 7587 §3.1.3): the noise of its room, as the decoder's concealment makes it after a packet
    /// that said so. Nothing is missing.
    Noise { samples: usize },
    /// There is nothing to continue.
    Silence { samples: usize },
}

impl Next {
    /// How many samples it makes, before stretching.
    pub const fn samples(&self) -> usize {
        match self {
            Self::Decode(packet) => packet.samples,
            Self::DecodeFec { samples, .. }
            | Self::Conceal { samples }
            | Self::Noise { samples }
            | Self::Silence { samples } => *samples,
        }
    }
}

/// One step: what to make, and what to do about the delay while handing it on.
#[derive(Clone, Debug)]
pub struct Decision {
    pub next: Next,
    pub stretch: Stretch,
    /// By how many samples in a million it is to be longer, for the two clocks' difference.
    pub ppm: i32,
}

/// What happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JitterCounters {
    pub received: u64,
    /// Never came, or came too late.
    pub lost: u64,
    /// Came after its time; also counted as lost.
    pub late: u64,
    /// Came again; also the original of a copy that was there before.
    pub duplicate: u64,
    /// Given up unheard because the delay was far too long or the buffer full.
    pub dropped: u64,
    /// Lost ones restored from a later packet, by FEC or as a copy; also counted as lost.
    pub restored: u64,
    /// Made up, or silence, where the sender's sound belonged.
    pub concealed_samples: u64,
    pub total_samples: u64,
}

/// How long sound was made up without a break.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gaps {
    current: u64,
    longest: u64,
}

impl Gaps {
    /// What was made next. Silence after sound is a pause of the speaker's; after concealment it is a part of the gap.
    pub fn note(&mut self, next: &Next) {
        let made = next.samples() as u64;
        self.current = match next {
            Next::Conceal { .. } => self.current + made,
            Next::Silence { .. } if self.current > 0 => self.current + made,
            _ => 0,
        };
        self.longest = self.longest.max(self.current);
    }

    pub fn longest(&self) -> Duration {
        duration(self.longest)
    }
}

/// The packets of one stream and the thoughts about them.
#[derive(Debug)]
pub struct JitterBuffer {
    /// In order of sequence numbers, each once.
    packets: VecDeque<AudioPacket>,
    /// Sequence number and timestamp that come next.
    next: Option<(u64, u64)>,
    policy: Policy,
    estimate: LagEstimate,
    /// Time 0 of the lag axis.
    epoch: Option<Instant>,
    /// Which of the numbers before `next` were played: bit 0 is the one just before.
    played: u128,
    /// The first number of this numbering: what lies before was never missing.
    first: u64,
    /// Number and timestamp of the newest packet that was filed.
    newest: Option<(u64, u64)>,
    /// Since when only late packets came.
    refused: Option<i64>,
    /// Concealed since the last packet without the timeline having moved.
    ahead: u64,
    /// The sender said that it pauses.
    pausing: bool,
    /// Noise made since then.
    noise: u64,
    drift: Drift,
    /// How many samples the loudspeaker takes at a time.
    pull: usize,
    lag: Option<i64>,
    fec: bool,
    expecting: bool,
    counters: JitterCounters,
}

impl Default for JitterBuffer {
    fn default() -> Self {
        Self::new(&Policy::default())
    }
}

impl JitterBuffer {
    pub fn new(policy: &Policy) -> Self {
        Self {
            policy: *policy,
            packets: VecDeque::with_capacity(64),
            next: None,
            estimate: LagEstimate::new(policy),
            epoch: None,
            played: 0,
            first: 0,
            newest: None,
            refused: None,
            ahead: 0,
            pausing: false,
            noise: 0,
            drift: Drift::default(),
            pull: 0,
            lag: None,
            fec: true,
            expecting: true,
            counters: JitterCounters::default(),
        }
    }

    /// Files `packet`. Late, double and boundless ones are counted and dropped; copies that are not needed, without
    /// being counted.
    pub fn insert(&mut self, packet: AudioPacket) {
        if packet.copy {
            self.insert_copy(packet);
            return;
        }
        self.counters.received += 1;
        let epoch = *self.epoch.get_or_insert(packet.arrival);
        let arrival = samples_between(epoch, packet.arrival);
        if self.begins_anew(&packet) {
            self.restart();
        }
        if self.was_played(packet.sequence) {
            self.counters.duplicate += 1;
            return;
        }
        if self.next.is_some_and(|(sequence, _)| packet.sequence < sequence) {
            if arrival - *self.refused.get_or_insert(arrival) < REFUSED {
                self.estimate.observe(arrival, lag(arrival, &packet), spare(&packet));
                self.counters.late += 1;
                return;
            }
            self.restart();
        }
        if self.newest.is_none() {
            self.first = packet.sequence;
        }
        if self.file(packet, arrival).is_none() {
            self.counters.duplicate += 1;
        }
    }

    /// A copy stands for a packet that is missing, and comes as late as it comes.
    fn insert_copy(&mut self, packet: AudioPacket) {
        let Some(epoch) = self.epoch.filter(|_| self.newest.is_some()) else { return };
        if packet.sequence < self.first || self.was_played(packet.sequence) || self.begins_anew(&packet) {
            return;
        }
        let arrival = samples_between(epoch, packet.arrival);
        match self.next {
            // Its place is concealed already: the next ones are to be waited for.
            Some((sequence, _)) if packet.sequence < sequence => {
                self.estimate.observe(arrival, lag(arrival, &packet), 0)
            }
            _ => _ = self.file(packet, arrival),
        }
    }

    /// Puts `packet` in its place, from where it is played; `None` where there is one already.
    fn file(&mut self, packet: AudioPacket, arrival: i64) -> Option<()> {
        let place = self.packets.partition_point(|other| other.sequence < packet.sequence);
        if self.packets.get(place).is_some_and(|other| other.sequence == packet.sequence) {
            return None;
        }
        let overtaken = self.newest.is_some_and(|(newest, _)| packet.sequence < newest) && !packet.copy;
        self.estimate.observe(arrival, lag(arrival, &packet), if overtaken { spare(&packet) } else { 0 });
        self.refused = None;
        let number = (packet.sequence, packet.timestamp);
        self.newest = Some(self.newest.map_or(number, |newest| newest.max(number)));
        self.packets.insert(place, packet);
        while self.packets.len() > MOST || self.span() > LONGEST {
            self.drop_oldest();
        }
        Some(())
    }

    /// What makes the next samples. `held` samples that were made before still wait to be played, and `wanted` more
    /// are needed now; a packet may make more than that. Call until enough is there.
    pub fn next(&mut self, now: Instant, held: usize, wanted: usize) -> Decision {
        let decision = self.decide(now, held, wanted.max(1));
        let made = decision.next.samples() as u64;
        match decision.next {
            Next::Conceal { .. } => self.counters.concealed_samples += made,
            Next::Silence { .. } if self.expecting && self.next.is_some() => self.counters.concealed_samples += made,
            _ => {}
        }
        self.counters.total_samples += made;
        decision
    }

    /// Between the least delay (0) and the least concealment (100), for what is heard from now on. 50 is usual.
    pub fn set_safety(&mut self, safety: u8) {
        self.policy.sound_safety = safety.min(100);
        self.estimate.set_policy(&self.policy);
    }

    /// Whether lost packets may be restored from the one after, where that one carries a copy (usually so).
    pub fn set_fec(&mut self, on: bool) {
        self.fec = on;
    }

    /// A sender that said it is muted or away is not missing: false makes silence of it, not loss.
    pub fn set_expecting(&mut self, expecting: bool) {
        self.expecting = expecting;
    }

    /// Samples that can be decoded at once, without a gap.
    pub fn ready(&self) -> usize {
        let mut sequence = self.next.map(|(sequence, _)| sequence);
        let mut ready = 0;
        for packet in &self.packets {
            if sequence.is_some_and(|sequence| sequence != packet.sequence) {
                break;
            }
            sequence = Some(packet.sequence + 1);
            ready += packet.samples;
        }
        ready
    }

    /// How much longer than on the quickest recent packet's way sound now takes, because of this buffer.
    pub fn delay(&self) -> Duration {
        let excess = self.lag.zip(self.estimate.baseline()).map_or(0, |(lag, base)| (lag - base).max(0));
        duration(excess as u64)
    }

    /// The delay this path's jitter asks for.
    pub fn target(&self) -> Duration {
        duration(self.estimate.target() as u64)
    }

    /// What it holds and what it will do, without the sound in it: for telling two runs apart.
    pub fn fingerprint(&self, hash: &mut impl Hasher) {
        (self.next, self.ahead, self.newest, self.lag, self.estimate.target(), self.expecting).hash(hash);
        (self.played, self.first, self.refused, self.pausing, self.noise, self.drift.ppm(), self.pull).hash(hash);
        for packet in &self.packets {
            (packet.sequence, packet.timestamp, packet.samples, packet.payload.len()).hash(hash);
        }
        let JitterCounters { received, lost, late, duplicate, dropped, restored, .. } = self.counters;
        (received, lost, late, duplicate, dropped, restored).hash(hash);
        (self.counters.concealed_samples, self.counters.total_samples).hash(hash);
    }

    pub const fn counters(&self) -> JitterCounters {
        self.counters
    }

    pub fn len(&self) -> usize {
        self.packets.len()
    }

    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Whether `packet` cannot belong to the numbers so far: more than ten seconds from what is played, or sequence and
    /// timestamp go different ways.
    fn begins_anew(&self, packet: &AudioPacket) -> bool {
        let far = self.next.is_some_and(|(_, next)| next.abs_diff(packet.timestamp) > 10 * RATE);
        let askew = self.newest.is_some_and(|(sequence, timestamp)| {
            (packet.sequence > sequence && packet.timestamp < timestamp)
                || (packet.sequence < sequence && packet.timestamp > timestamp)
        });
        far || askew
    }

    fn was_played(&self, sequence: u64) -> bool {
        let back = self.next.and_then(|(next, _)| next.checked_sub(sequence)?.checked_sub(1));
        back.is_some_and(|back| back < 128 && self.played >> back & 1 == 1)
    }

    /// The next packet is `sequence` at `timestamp`; the one just before it was `played` or was not.
    fn advance(&mut self, sequence: u64, timestamp: u64, played: bool) {
        let by = self.next.map_or(128, |(next, _)| sequence.saturating_sub(next));
        self.played = if by < 128 { self.played << by } else { 0 } | u128::from(played);
        self.next = Some((sequence, timestamp));
    }

    fn drop_oldest(&mut self) {
        if let Some(packet) = self.packets.pop_front() {
            self.counters.dropped += 1;
            self.advance(packet.sequence.saturating_add(1), end(&packet), false);
        }
    }

    fn span(&self) -> u64 {
        match (self.packets.front(), self.packets.back()) {
            (Some(front), Some(back)) => back.timestamp.saturating_sub(front.timestamp),
            _ => 0,
        }
    }

    fn restart(&mut self) {
        self.counters.dropped += self.packets.len() as u64;
        self.packets.clear();
        self.next = None;
        self.played = 0;
        self.newest = None;
        self.refused = None;
        self.estimate = LagEstimate::new(&self.policy);
        self.drift = Drift::default();
        self.lag = None;
    }
}

/// The timestamp behind the last sample.
const fn end(packet: &AudioPacket) -> u64 {
    packet.timestamp.saturating_add(packet.samples as u64)
}

const fn lag(at: i64, packet: &AudioPacket) -> i64 {
    at.wrapping_sub(packet.timestamp as i64)
}

/// What an overtaken packet may be late by: most of its length is made up before it is given up.
const fn spare(packet: &AudioPacket) -> i64 {
    packet.samples as i64 * 3 / 4
}

/// 48 kHz samples from `start` to `end`; negative where `end` is earlier.
fn samples_between(start: Instant, end: Instant) -> i64 {
    let samples = |time: Duration| (time.as_nanos() * u128::from(RATE) / 1_000_000_000) as i64;
    if end >= start { samples(end - start) } else { -samples(start - end) }
}

fn duration(samples: u64) -> Duration {
    Duration::from_nanos(samples * 1_000_000 / 48)
}

#[cfg(test)]
mod tests;
