//! What is made next: a packet, its replacement, or nothing; and what is done about the delay.

use super::{Decision, JitterBuffer, Next, SHORTEST, end, samples_between};
use crate::base::time::Instant;
use crate::media::stretch::Stretch;

/// Lag above the wanted one and a pull that is not cut (2.5 ms): resampling brings it down.
const SLACK: i64 = 120;
/// Lag below the wanted one and a pull that is left to resampling (3 ms).
const BELOW: i64 = 144;
/// A path whose target is above this (10 ms) has jitter.
const JITTERY: i64 = 480;
/// This far above the wanted lag (500 ms), packets are dropped rather than played faster.
const FAR: i64 = 24_000;
/// What is left above the wanted lag after dropping (20 ms): stretching does the rest.
const NEAR: i64 = 960;
/// After so much concealment (120 ms) the decoder has faded into the noise of the room: nothing is waited for any more.
const FADED: u64 = 5_760;
/// A sender that pauses says so again every 400 ms; after two seconds without, it is gone, and its room with it.
const GONE: u64 = 96_000;
/// RFC 6716 §3.1 and the reference encoder: a packet of at most two bytes says that a pause begins or goes on.
const PAUSE: usize = 2;

impl JitterBuffer {
    /// What to do about the delay if the next packet is decoded at `now` with `held` samples before it, where the
    /// loudspeaker takes `pull` at a time: for [`crate::media::stretch::Stretcher::appetite`].
    pub fn wish(&mut self, now: Instant, held: usize, pull: usize) -> Stretch {
        // A pull that was longer than usual is forgotten after a few hundred.
        self.pull = pull.max(self.pull - self.pull / 128);
        let above = self.next.and_then(|(_, timestamp)| self.above(now, held, timestamp));
        above.map_or(Stretch::None, stretch_for)
    }

    pub(super) fn decide(&mut self, now: Instant, held: usize, wanted: usize) -> Decision {
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
        let missing = sequence.saturating_sub(due_sequence);
        // Consecutive numbers, later timestamp: the sender paused (RFC 7587 §3.1.3), nothing is lost. What follows the
        // pause waits for its time as everything does.
        if missing == 0 && gap > 0 && self.expecting && self.noise < GONE {
            let early = self.above(now, held, timestamp).map_or(0, |above| -above);
            if early > BELOW {
                return plain(self.pause(wanted.min(early as usize)));
            }
        }
        // More numbers than can have been in the gap: the sender began to count elsewhere.
        if missing == 0 || gap == 0 || missing > gap / SHORTEST as u64 || !self.expecting {
            return self.take(now, held);
        }
        // Below the wanted lag the missing one may still come: waiting for it is what the delay is short of.
        // (Asked for at `now`, not when it will be played: what is held back then is not yet the path's fault.)
        if self.ahead < FADED && self.excess(now, 0, due).is_some_and(|excess| excess < 0) {
            return plain(self.without(wanted));
        }
        // It may have been overtaken: made up in small steps, so that the rest of it is heard if it still comes.
        let part = gap / missing;
        let restored = missing == 1 && self.fec && gap == samples as u64 && carries_fec(&front.payload, samples);
        if self.ahead < part && !restored {
            return plain(self.without(wanted.min((part - self.ahead) as usize)));
        }
        // What was concealed while waiting has already filled this gap, or a part of it.
        let left = gap - gap.min(self.ahead);
        self.ahead = self.ahead.saturating_sub(gap);
        if left == 0 || left > FADED {
            self.counters.lost += missing;
            self.advance(sequence, timestamp, false);
            return self.take(now, held);
        }
        // One packet of the gap at a time, so that others of it may still come.
        let step = (left / missing).clamp(1, FADED) as usize;
        self.counters.lost += 1;
        self.advance(due_sequence + 1, timestamp - (left - step as u64), false);
        if let Some(front) = self.packets.front()
            && missing == 1
            && self.fec
            && step == samples
            && carries_fec(&front.payload, samples)
        {
            let from = front.payload.clone();
            self.counters.restored += 1;
            return plain(Next::DecodeFec { from, samples: step });
        }
        plain(Next::Conceal { samples: step })
    }

    /// Nothing is there to decode.
    fn without(&mut self, wanted: usize) -> Next {
        if self.next.is_none() || !self.expecting {
            return Next::Silence { samples: wanted };
        }
        if self.pausing && self.noise < GONE {
            return self.pause(wanted);
        }
        // In the decoder's steps: what is cut off the end of one would be missing in the sound.
        let samples = wanted.next_multiple_of(SHORTEST);
        let next = if self.ahead < GONE { Next::Conceal { samples } } else { Next::Silence { samples } };
        self.ahead = self.ahead.saturating_add(samples as u64);
        next
    }

    fn pause(&mut self, wanted: usize) -> Next {
        let samples = wanted.next_multiple_of(SHORTEST);
        self.noise += samples as u64;
        Next::Noise { samples }
    }

    fn take(&mut self, now: Instant, held: usize) -> Decision {
        let Some(packet) = self.packets.pop_front() else { return plain(self.without(1)) };
        self.ahead = 0;
        self.noise = 0;
        self.pausing = packet.payload.len() <= PAUSE;
        if packet.copy {
            self.counters.lost += 1;
            self.counters.restored += 1;
        }
        self.advance(packet.sequence.saturating_add(1), end(&packet), true);
        let excess = self.excess(now, held, packet.timestamp);
        self.lag = excess.zip(self.estimate.baseline()).map(|(excess, base)| excess + base + self.estimate.target());
        let above = self.above(now, held, packet.timestamp);
        if let Some(above) = above {
            self.drift.observe(above, packet.samples);
            self.estimate.set_drift(self.drift.learnt());
        }
        let stretch = above.map_or(Stretch::None, stretch_for);
        Decision { next: Next::Decode(packet), stretch, ppm: self.drift.ppm() }
    }

    /// How far `timestamp` is above the earliest lag at which it is never asked for too early: a pull takes what plays up
    /// to its own length later. Where packets come at any time, what comes last of all seldom meets the earliest pull.
    fn above(&self, now: Instant, held: usize, timestamp: u64) -> Option<i64> {
        let pull = self.pull as i64;
        let apart = pull - (self.estimate.target() - JITTERY).clamp(0, pull) * 2 / 5;
        Some(self.excess(now, held, timestamp)?.saturating_sub(apart))
    }

    /// How far above the wanted lag `timestamp` is if it is played `held` samples after `now`.
    fn excess(&self, now: Instant, held: usize, timestamp: u64) -> Option<i64> {
        let at = samples_between(self.epoch?, now).saturating_add(held as i64);
        let lag = at.wrapping_sub(timestamp as i64);
        Some(lag.saturating_sub(self.estimate.baseline()?).saturating_sub(self.estimate.target()))
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
}

/// Whether a packet of so many samples has a copy of the one before in it: a flag behind those of voice activity, which
/// only SILK has (RFC 6716 §4.2.3 and §4.2.4; the coding by §3.1).
fn carries_fec(packet: &[u8], samples: usize) -> bool {
    let [contents, first, ..] = *packet else { return false };
    let (has_silk, is_one_frame) = (contents >> 3 < 16, contents & 3 == 0);
    let frames = (samples / 960).clamp(1, 3);
    has_silk && is_one_frame && first >> (7 - frames) & 1 == 1
}

const fn plain(next: Next) -> Decision {
    Decision { next, stretch: Stretch::None, ppm: 0 }
}

/// What to do about a lag `above` the wanted one: cut where resampling would take too long; put in where what is worth
/// waiting for is not waited for, and then a whole pitch period has to fit in.
fn stretch_for(above: i64) -> Stretch {
    match above {
        above if above > SLACK => Stretch::Shorten(above as usize),
        above if above < -BELOW => Stretch::Lengthen((SLACK - above) as usize),
        _ => Stretch::None,
    }
}
