//! The receiver's view of the way: how much comes, and how much later than it could.

use super::spread::{Spread, SpreadMeter};
use crate::base::rate::Bitrate;
use crate::base::time::{Duration, Instant};

/// The receiver's count of one connection.
#[derive(Debug, Default)]
pub struct DelayMeter {
    sound: Base,
    pictures: Base,
    /// The least delay over its base since the last report, microseconds.
    queue: Option<i64>,
    bytes: u64,
    received: u64,
    lost: u64,
    highest: Option<u64>,
    newest: Option<u16>,
    spread: SpreadMeter,
    reported: Option<Instant>,
    /// When the last packet of pictures came.
    seen: Option<Instant>,
}

/// The least delay of the current and of the last window, microseconds on two unrelated clocks.
#[derive(Clone, Copy, Debug, Default)]
struct Base {
    least: Option<(i64, Option<i64>)>,
    began: Option<Instant>,
}

/// A route's base delay is forgotten after two of these.
const WINDOW: Duration = Duration::from_secs(15);
const EVERY: Duration = Duration::from_millis(50);
/// Without pictures the reports about sound say enough.
const IDLE: Duration = Duration::from_secs(1);
/// A number so far from the others is of another stream.
const JUMP: u64 = 3000;

impl Base {
    /// How much longer than the least it took.
    fn over(&mut self, delay: i64, now: Instant) -> i64 {
        let (current, last) = self.least.unwrap_or((delay, None));
        self.least = Some((current.min(delay), last));
        if self.began.is_none_or(|began| now.saturating_duration_since(began) > WINDOW) {
            self.least = Some((delay, Some(current.min(delay))));
            self.began = Some(now);
        }
        let base = self.least.map_or(delay, |(current, last)| current.min(last.unwrap_or(current)));
        // Both are the other side's word for it, and may be anything.
        delay.saturating_sub(base).max(0)
    }
}

impl DelayMeter {
    /// The first packet of a picture: how long it took by two clocks whose offset does not matter.
    pub fn observe_picture(&mut self, delay_micros: i64, now: Instant) {
        let over = self.pictures.over(delay_micros, now);
        self.note(over);
    }

    /// A packet of sound, likewise.
    pub fn observe_sound(&mut self, delay_micros: i64, now: Instant) {
        let over = self.sound.over(delay_micros, now);
        self.note(over);
    }

    fn note(&mut self, over: i64) {
        self.queue = Some(self.queue.map_or(over, |queue| queue.min(over)));
    }

    /// `bytes` came, with what is around them.
    pub const fn count(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// A packet of pictures came; `number`: of its unit, where it says so.
    pub fn count_picture(&mut self, sequence: u64, number: Option<u16>, now: Instant) {
        self.received += 1;
        self.seen = Some(now);
        if let Some(number) = number {
            // What is sent again does not make it older.
            let is_newer = |newest: u16| number.wrapping_sub(newest) < 1 << 15;
            self.newest = self.newest.filter(|newest| !is_newer(*newest)).or(Some(number));
        }
        match self.highest {
            Some(highest) if sequence.abs_diff(highest) > JUMP => self.highest = Some(sequence),
            Some(highest) if sequence > highest => {
                self.lost += sequence - highest - 1;
                self.highest = Some(sequence);
            }
            // It was sent again, or overtaken: the way lost it, or nearly so.
            Some(_) => {}
            None => self.highest = Some(sequence),
        }
    }

    /// And where in the stream it was: `timestamp` is that of its unit.
    pub fn observe_spread(&mut self, timestamp: u64, sequence: u64, bytes: usize, now: Instant) {
        self.spread.observe(timestamp, sequence, bytes, now);
    }

    /// Every 50 ms, while pictures come: what to report to the sender.
    pub fn report(&mut self, now: Instant) -> Option<DelayReport> {
        let since = self.reported.map(|at| now.saturating_duration_since(at));
        let is_idle = self.seen.is_none_or(|seen| now.saturating_duration_since(seen) > IDLE);
        if since.is_some_and(|since| since < EVERY) || is_idle || self.bytes == 0 {
            return None;
        }
        let report = DelayReport {
            queue: self.queue.map(|queue| Duration::from_micros(queue.unsigned_abs())),
            bytes: self.bytes,
            span: since.unwrap_or(EVERY).min(Duration::from_secs(1)),
            received: self.received.min(u64::from(u16::MAX)) as u16,
            lost: self.lost.min(u64::from(u16::MAX)) as u16,
            newest: self.newest.unwrap_or_default(),
            spread: self.spread.take(),
        };
        (self.queue, self.bytes, self.received, self.lost) = (None, 0, 0, 0);
        self.reported = Some(now);
        Some(report)
    }
}

/// What the receiver tells the sender every 50 ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DelayReport {
    /// Every packet in `span` was held up at least so long on the way; `None` where none says when it was sent.
    pub queue: Option<Duration>,
    /// What came in `span`, sound and pictures, with what is around them.
    pub bytes: u64,
    pub span: Duration,
    /// Packets of pictures that came, and gaps in their numbers.
    pub received: u16,
    pub lost: u16,
    /// The number of the newest unit of which something came.
    pub newest: u16,
    /// How fast they came within units.
    pub spread: Spread,
}

const VERSION: u8 = 3;
const LENGTH: usize = 20;
/// The rate within units is told in steps of this.
const SPREAD_STEP: u64 = 10_000;
/// No packet says when it was sent.
const UNKNOWN: u32 = u32::MAX;

impl DelayReport {
    /// Version 3: u8 version, u32 queue in µs (all ones: unknown), u32 bytes, u16 span in ms, u16 received, u16 lost, u16
    /// newest unit, u16 rate within units in 10 kbit/s, u8 how many of them, big-endian.
    pub fn to_bytes(self) -> [u8; LENGTH] {
        let mut out = [0; LENGTH];
        let queue = self.queue.map_or(UNKNOWN, |queue| queue.as_micros().min(u128::from(UNKNOWN - 1)) as u32);
        out[0] = VERSION;
        out[1..5].copy_from_slice(&queue.to_be_bytes());
        out[5..9].copy_from_slice(&(self.bytes.min(u64::from(u32::MAX)) as u32).to_be_bytes());
        out[9..11].copy_from_slice(&(self.span.as_millis().min(u128::from(u16::MAX)) as u16).to_be_bytes());
        out[11..13].copy_from_slice(&self.received.to_be_bytes());
        out[13..15].copy_from_slice(&self.lost.to_be_bytes());
        out[15..17].copy_from_slice(&self.newest.to_be_bytes());
        let steps = (self.spread.rate.as_bps() / SPREAD_STEP).min(u64::from(u16::MAX)) as u16;
        out[17..19].copy_from_slice(&steps.to_be_bytes());
        out[19] = self.spread.units;
        out
    }

    /// `None` for another version or length.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let [VERSION, q0, q1, q2, q3, b0, b1, b2, b3, s0, s1, r0, r1, l0, l1, n0, n1, p0, p1, units, ..] = *bytes
        else {
            return None;
        };
        let rate = Bitrate::from_bps(u64::from(u16::from_be_bytes([p0, p1])) * SPREAD_STEP);
        let queue = Some(u32::from_be_bytes([q0, q1, q2, q3])).filter(|queue| *queue != UNKNOWN);
        Some(Self {
            queue: queue.map(|queue| Duration::from_micros(queue.into())),
            bytes: u32::from_be_bytes([b0, b1, b2, b3]).into(),
            span: Duration::from_millis(u16::from_be_bytes([s0, s1]).into()),
            received: u16::from_be_bytes([r0, r1]),
            lost: u16::from_be_bytes([l0, l1]),
            newest: u16::from_be_bytes([n0, n1]),
            spread: Spread { rate, units },
        })
    }

    /// How fast it came.
    pub fn arrives(&self) -> Bitrate {
        Bitrate::from_bps(self.bytes * 8_000_000 / (self.span.as_micros().max(1) as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::now;

    #[test]
    fn a_queue_on_the_way_is_seen_over_any_clock_offset_in_either_medium() {
        let start = now();
        let mut meter = DelayMeter::default();
        let mut told = Vec::new();
        for n in 0..40i64 {
            let at = start + Duration::from_millis(33 * n as u64);
            let queue = if n < 20 { 0 } else { 50_000 };
            meter.observe_picture(-7_000_000 + queue, at);
            meter.observe_sound(9_000_000 + queue, at);
            meter.count(1000);
            meter.count_picture(n as u64, None, at);
            told.extend(meter.report(at).map(|report| report.queue));
        }
        assert_eq!(told[5], Some(Duration::ZERO));
        assert_eq!(told.last(), Some(&Some(Duration::from_millis(50))));
    }

    #[test]
    fn gaps_are_counted_once_and_without_pictures_nothing_is_reported() {
        let start = now();
        let mut meter = DelayMeter::default();
        for sequence in [10, 11, 15, 12, 16] {
            meter.count(100);
            meter.count_picture(sequence, Some(sequence as u16), start);
        }
        let report = meter.report(start).expect("the first");
        assert_eq!((report.received, report.lost, report.bytes, report.queue), (5, 3, 500, None));
        assert_eq!(report.newest, 16);
        let later = start + Duration::from_secs(2);
        meter.count(100);
        assert_eq!(meter.report(later), None);
    }

    #[test]
    fn reports_survive_the_wire() {
        let report = DelayReport {
            queue: Some(Duration::from_micros(1234)),
            bytes: 70_000,
            span: Duration::from_millis(51),
            received: 60,
            lost: 2,
            newest: 65_000,
            spread: Spread { rate: Bitrate::from_kbps(1230), units: 2 },
        };
        assert_eq!(DelayReport::parse(&report.to_bytes()), Some(report));
        let unknown = DelayReport { queue: None, ..report };
        assert_eq!(DelayReport::parse(&unknown.to_bytes()), Some(unknown));
        assert_eq!(DelayReport::parse(&[2; 20]), None);
        assert_eq!(DelayReport::parse(&[3; 5]), None);
    }
}
