//! The jitter buffer for sound: decides what the decoder does next, so that sound never waits longer than the path's
//! own jitter asks for. Plain data; time is an argument; nothing is decoded here.
//!
//! One axis for everything: the *lag* of a sample is a point in time minus its RTP timestamp. A packet's lag at arrival
//! varies with the path; its smallest recent value is the path's baseline. The lag at which samples are played is
//! wanted at baseline + target, where target is a high quantile of the lag's excess over the baseline. What is above is
//! cut out by stretching or, far above, dropped; what is below is put in. So the delay cannot creep, and a drift between
//! the two clocks moves baseline and playout alike.
//!
//! When a packet is late and none follows, sound is concealed and the packet still awaited: the delay grows by as much.
//! When one is missing and later ones are there, it is lost: concealed, or restored by FEC, once.

mod estimate;

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::time::Duration;

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
/// Lag above the wanted one that is left alone: a pull and a packet may lie so far apart (5 ms) without any fault.
const SLACK: i64 = 240;
/// Lag below the wanted one that is left alone (0.5 ms).
const BELOW: i64 = 24;
/// This far above the wanted lag (120 ms), packets are dropped rather than played faster.
const FAR: i64 = 5_760;
/// What is left above the wanted lag after dropping (20 ms): stretching does the rest.
const NEAR: i64 = 960;
/// After so much concealment (120 ms) the decoder has faded out; go on with silence.
const FADED: u64 = 5_760;

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
    /// It came in a later packet, as a copy (RFC 2198): its number is derived, its arrival is that packet's.
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
    /// There is nothing to continue.
    Silence { samples: usize },
}

impl Next {
    /// How many samples it makes, before stretching.
    pub const fn samples(&self) -> usize {
        match self {
            Self::Decode(packet) => packet.samples,
            Self::DecodeFec { samples, .. } | Self::Conceal { samples } | Self::Silence { samples } => *samples,
        }
    }
}

/// One step: what to make, and what to do about the delay while handing it on.
#[derive(Clone, Debug)]
pub struct Decision {
    pub next: Next,
    pub stretch: Stretch,
}

/// What happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JitterCounters {
    pub received: u64,
    /// Never came, or came too late.
    pub lost: u64,
    /// Came after its time; also counted as lost.
    pub late: u64,
    pub duplicate: u64,
    /// Given up unheard because the delay was far too long or the buffer full.
    pub dropped: u64,
    /// Lost ones restored from a later packet.
    pub restored: u64,
    pub concealed_samples: u64,
    pub total_samples: u64,
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
    /// Concealed since the last packet without the timeline having moved.
    ahead: u64,
    /// Timestamp and length of the newest packet's end that was ever inserted.
    newest: u64,
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
            ahead: 0,
            newest: 0,
            lag: None,
            fec: false,
            expecting: true,
            counters: JitterCounters::default(),
        }
    }

    /// Files `packet`. Late, double and boundless ones are counted and dropped.
    pub fn insert(&mut self, packet: AudioPacket) {
        if packet.copy {
            let is_played = self.next.is_none_or(|(sequence, _)| packet.sequence < sequence);
            if is_played || self.packets.iter().any(|other| other.sequence == packet.sequence) {
                return;
            }
            self.counters.restored += 1;
        } else {
            self.counters.received += 1;
        }
        let epoch = *self.epoch.get_or_insert(packet.arrival);
        // A timestamp more than ten seconds away from what is played is another stream: begin anew.
        if self.next.is_some_and(|(_, next)| next.abs_diff(packet.timestamp) > 10 * RATE) {
            self.restart();
        }
        let arrival = samples_between(epoch, packet.arrival);
        self.estimate.observe(arrival, arrival - packet.timestamp as i64, packet.samples);
        if self.next.is_some_and(|(sequence, _)| packet.sequence < sequence) {
            self.counters.late += 1;
            return;
        }
        let place = self.packets.partition_point(|other| other.sequence < packet.sequence);
        if self.packets.get(place).is_some_and(|other| other.sequence == packet.sequence) {
            self.counters.duplicate += 1;
            return;
        }
        self.newest = self.newest.max(packet.timestamp.saturating_add(packet.samples as u64));
        self.packets.insert(place, packet);
        while self.packets.len() > MOST || self.span() > LONGEST {
            self.drop_oldest();
        }
    }

    /// What makes the next samples. `held` samples that were made before still wait to be played, and `wanted` more
    /// are needed now; a packet may make more than that. Call until enough is there.
    pub fn next(&mut self, now: Instant, held: usize, wanted: usize) -> Decision {
        let decision = self.decide(now, held, wanted.max(1));
        let made = decision.next.samples() as u64;
        if let Next::Conceal { .. } = decision.next {
            self.counters.concealed_samples += made;
        }
        self.counters.total_samples += made;
        decision
    }

    /// Whether lost packets may be restored from the one after: true where the sender's frames are above 10 ms.
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

    /// What to do about the delay if the next packet is decoded at `now` with `held` samples before it: for
    /// [`super::stretch::Stretcher::appetite`].
    pub fn wish(&self, now: Instant, held: usize) -> Stretch {
        let excess = self.next.and_then(|(_, timestamp)| self.excess(now, held, timestamp));
        excess.map_or(Stretch::None, stretch_for)
    }

    fn decide(&mut self, now: Instant, held: usize, wanted: usize) -> Decision {
        let plain = |next| Decision { next, stretch: Stretch::None };
        if let Some(front) = self.packets.front()
            && let Some(excess) = self.excess(now, held, front.timestamp)
            && excess > FAR
        {
            self.skip(excess - NEAR);
        }
        let Some(front) = self.packets.front() else { return plain(self.without(wanted)) };
        let (sequence, timestamp, samples) = (front.sequence, front.timestamp, front.samples);
        let Some((due_sequence, due)) = self.next else { return self.take(now, held) };
        let gap = timestamp.saturating_sub(due);
        // Consecutive numbers, later timestamp: the sender was silent in between (RFC 7587 §3.1.3), nothing is lost.
        if sequence == due_sequence || gap == 0 || !self.expecting {
            return self.take(now, held);
        }
        // Below the wanted lag the missing one may still come: waiting for it is what the delay is short of.
        // (Asked for at `now`, not when it will be played: what is held back then is not yet the path's fault.)
        if self.ahead < FADED && self.excess(now, 0, due).is_some_and(|excess| excess < 0) {
            return plain(self.without(wanted));
        }
        // What was concealed while waiting has already filled this gap, or a part of it.
        let left = gap - gap.min(self.ahead);
        let missing = sequence - due_sequence;
        self.ahead = self.ahead.saturating_sub(gap);
        if left == 0 || left > FADED {
            self.counters.lost += missing;
            self.next = Some((sequence, timestamp));
            return self.take(now, held);
        }
        // One packet of the gap at a time, so that others of it may still come.
        let step = (left / missing.max(1)).clamp(1, FADED) as usize;
        self.counters.lost += 1;
        self.next = Some((due_sequence + 1, timestamp - (left - step as u64)));
        if let Some(front) = self.packets.front()
            && missing == 1
            && self.fec
            && samples > 480
            && step == samples
        {
            let from = front.payload.clone();
            self.counters.restored += 1;
            return plain(Next::DecodeFec { from, samples: step });
        }
        plain(Next::Conceal { samples: step })
    }

    /// Nothing is there to decode.
    fn without(&mut self, wanted: usize) -> Next {
        if self.next.is_none() || !self.expecting || self.ahead >= FADED {
            self.ahead = self.ahead.saturating_add(wanted as u64);
            return Next::Silence { samples: wanted };
        }
        self.ahead += wanted as u64;
        Next::Conceal { samples: wanted }
    }

    fn take(&mut self, now: Instant, held: usize) -> Decision {
        let Some(packet) = self.packets.pop_front() else {
            return Decision { next: self.without(1), stretch: Stretch::None };
        };
        self.ahead = 0;
        self.next = Some((packet.sequence + 1, packet.timestamp.saturating_add(packet.samples as u64)));
        let excess = self.excess(now, held, packet.timestamp);
        self.lag = excess.zip(self.estimate.baseline()).map(|(excess, base)| excess + base + self.estimate.target());
        Decision { next: Next::Decode(packet), stretch: excess.map_or(Stretch::None, stretch_for) }
    }

    /// How far above the wanted lag `timestamp` is if it is played `held` samples after `now`.
    fn excess(&self, now: Instant, held: usize, timestamp: u64) -> Option<i64> {
        let lag = samples_between(self.epoch?, now) + held as i64 - timestamp as i64;
        Some(lag - self.estimate.baseline()? - self.estimate.target())
    }

    /// Drops packets worth at most `samples`, the last one never.
    fn skip(&mut self, samples: i64) {
        let mut left = samples;
        while let Some(front) = self.packets.front()
            && front.samples as i64 <= left
            && self.packets.len() > 1
        {
            left -= front.samples as i64;
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(packet) = self.packets.pop_front() {
            self.counters.dropped += 1;
            self.next = Some((packet.sequence + 1, packet.timestamp.saturating_add(packet.samples as u64)));
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
        self.estimate = LagEstimate::new(&self.policy);
        self.lag = None;
    }
}

/// What to do about an excess: above, a pull and a packet may lie `SLACK` apart; below, the quantile is to be kept, and
/// a whole pitch period has to fit in.
fn stretch_for(excess: i64) -> Stretch {
    match excess {
        excess if excess > SLACK => Stretch::Shorten(excess as usize),
        excess if excess < -BELOW => Stretch::Lengthen((SLACK - excess) as usize),
        _ => Stretch::None,
    }
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
