//! How fast to send: the queue in front of the transport with its bucket and brake, the receiver's delay meter, and
//! the control that joins them. Pure functions over data; time comes in.

use std::collections::VecDeque;

use crate::base::rate::Bitrate;
use crate::base::time::{Duration, Instant};
use crate::media::encoded::EncodedUnit;

/// Encoded units waiting for their turn, oldest first.
#[derive(Debug, Default)]
pub struct UnitQueue {
    units: VecDeque<EncodedUnit>,
    /// Bytes that may leave now; negative after a unit larger than the bucket.
    credit: i64,
    refilled: Option<Instant>,
    braked: Option<Instant>,
    dropped: u64,
    /// Every unit waits at least so long: the laboratory's plant.
    least: Duration,
}

/// What the queue asks of the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brake {
    /// Nothing waits too long.
    Off,
    /// Skip pictures until the queue is short again.
    Skip,
    /// Skip, and lower the target: asked at most once per 200 ms.
    Cut,
}

impl UnitQueue {
    /// Units that may wait. At 30 a second the brake is long on by then; past it the oldest non-keyframe goes.
    pub const BOUND: usize = 16;

    /// A queue in which every unit waits at least `least`.
    pub fn with_least(least: Duration) -> Self {
        Self { least, ..Self::default() }
    }

    /// Adds a unit at the end. When full, everything older than it goes if it is a keyframe, else the unit itself,
    /// counted; true when something was lost that later units build on, so that a keyframe must follow.
    pub fn push(&mut self, unit: EncodedUnit) -> bool {
        if self.units.len() < Self::BOUND {
            self.units.push_back(unit);
            return false;
        }
        if unit.keyframe {
            self.dropped += self.units.len() as u64;
            self.units.clear();
            self.units.push_back(unit);
            return false;
        }
        self.dropped += 1;
        !unit.discardable
    }

    /// The next unit that may leave at `rate`. The bucket holds `burst` at that rate: as much as the path has shown
    /// to take without queueing.
    pub fn release(&mut self, rate: Bitrate, burst: Duration, now: Instant) -> Option<EncodedUnit> {
        let most = rate.bytes_in(burst) as i64;
        let since = self.refilled.map_or(burst, |at| now.saturating_duration_since(at));
        let earned = rate.bytes_in(since) as i64;
        if earned > 0 {
            self.credit = (self.credit + earned).min(most);
            self.refilled = Some(now);
        }
        if self.credit <= 0 {
            return None;
        }
        let unit = self.units.pop_front_if(|unit| unit.encoded + self.least <= now)?;
        self.credit -= unit.data.len() as i64;
        Some(unit)
    }

    /// When the next unit may leave; `None` when none waits.
    pub fn next_due(&self, rate: Bitrate, now: Instant) -> Option<Instant> {
        let may = self.units.front()?.encoded + self.least;
        if self.credit > 0 {
            return Some(may.max(now));
        }
        // One byte of credit is enough: the bucket may be overdrawn by one unit.
        Some(may.max(self.refilled.unwrap_or(now) + rate.time_for((1 - self.credit) as u64)))
    }

    /// The brake: on when the oldest waiting unit is older than 80 ms and the time that an IDR needs to drain.
    pub fn brake(&mut self, rate: Bitrate, largest: usize, now: Instant) -> Brake {
        let Some(oldest) = self.units.front() else { return Brake::Off };
        let patience = Duration::from_millis(80) + rate.time_for(largest as u64).min(Duration::from_millis(100));
        if now.saturating_duration_since(oldest.encoded) <= patience {
            return Brake::Off;
        }
        if self.braked.is_none_or(|at| now.saturating_duration_since(at) >= Duration::from_millis(200)) {
            self.braked = Some(now);
            return Brake::Cut;
        }
        Brake::Skip
    }

    pub fn len(&self) -> usize {
        self.units.len()
    }

    pub fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    /// Units dropped because the queue was full.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// The receiver's view of queueing on the way: one-way delay over its own recent minimum.
#[derive(Debug, Default)]
pub struct DelayMeter {
    /// Minimum of the current and of the last window, microseconds on two unrelated clocks.
    least: Option<(i64, Option<i64>)>,
    window: Option<Instant>,
    smoothed: f64,
    bytes: u64,
    packets: u64,
    reported: Option<Instant>,
}

impl DelayMeter {
    /// A route's base delay is forgotten after two windows, so that a path change is not taken for a queue for ever.
    const WINDOW: Duration = Duration::from_secs(5);

    /// One unit's first packet: how long it took by two clocks whose offset does not matter.
    pub fn observe(&mut self, delay_micros: i64, now: Instant) {
        let (current, last) = self.least.unwrap_or((delay_micros, None));
        self.least = Some((current.min(delay_micros), last));
        if self.window.is_none_or(|began| now.saturating_duration_since(began) > Self::WINDOW) {
            self.least = Some((delay_micros, Some(current.min(delay_micros))));
            self.window = Some(now);
        }
        let base = self.least.map_or(delay_micros, |(a, b)| a.min(b.unwrap_or(a)));
        // Both are the other side's word for it, and may be anything.
        let queue = delay_micros.saturating_sub(base).max(0) as f64;
        self.smoothed += (queue - self.smoothed) / 4.0;
    }

    pub fn count(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.packets += 1;
    }

    /// The queueing that units have met lately.
    pub fn queue(&self) -> Duration {
        Duration::from_micros(self.smoothed as u64)
    }

    /// Every 50 ms, while packets come: what to report to the sender.
    pub fn report(&mut self, now: Instant) -> Option<DelayReport> {
        let since = self.reported.map(|at| now.saturating_duration_since(at));
        if since.is_some_and(|since| since < Duration::from_millis(50)) || self.packets == 0 {
            return None;
        }
        let span = since.unwrap_or(Duration::from_millis(50)).min(Duration::from_secs(1));
        let report = DelayReport { queue: self.queue(), received: self.bytes, span };
        (self.bytes, self.packets, self.reported) = (0, 0, Some(now));
        Some(report)
    }
}

/// What the receiver tells the sender every 50 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DelayReport {
    pub queue: Duration,
    /// Bytes received in `span`.
    pub received: u64,
    pub span: Duration,
}

impl DelayReport {
    /// Version 1: u8 version, u32 queue in µs, u32 bytes, u16 span in ms, big-endian, padded to 12 bytes.
    pub fn to_bytes(self) -> [u8; 12] {
        let mut out = [0; 12];
        out[0] = 1;
        out[1..5].copy_from_slice(&(self.queue.as_micros().min(u128::from(u32::MAX)) as u32).to_be_bytes());
        out[5..9].copy_from_slice(&(self.received.min(u64::from(u32::MAX)) as u32).to_be_bytes());
        out[9..11].copy_from_slice(&(self.span.as_millis().min(65_535) as u16).to_be_bytes());
        out
    }

    /// `None` for another version or length.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let [1, q0, q1, q2, q3, b0, b1, b2, b3, s0, s1, ..] = *bytes else { return None };
        Some(Self {
            queue: Duration::from_micros(u32::from_be_bytes([q0, q1, q2, q3]).into()),
            received: u32::from_be_bytes([b0, b1, b2, b3]).into(),
            span: Duration::from_millis(u16::from_be_bytes([s0, s1]).into()),
        })
    }
}

/// The sender's target for video.
#[derive(Clone, Debug)]
pub struct RateControl {
    target: Bitrate,
    most: Bitrate,
    changed: Option<Instant>,
    /// Since when no queue was seen.
    clear_since: Option<Instant>,
}

impl RateControl {
    /// Where a call starts on a path it does not know.
    pub const START: Bitrate = Bitrate::from_kbps(1000);
    /// Below this no picture is worth sending; sound has the path.
    pub const LEAST: Bitrate = Bitrate::from_kbps(100);

    pub fn new(most: Bitrate) -> Self {
        Self { target: Self::START.min(most), most, changed: None, clear_since: None }
    }

    pub const fn target(&self) -> Bitrate {
        self.target
    }

    /// What the unit queue's bucket is filled with: an encoder that spends all of its target would wait for ever behind
    /// its own keyframe in a bucket that is filled no faster (28 ms at the median, measured).
    pub fn pace(&self) -> Bitrate {
        self.target.percent(200)
    }

    /// The size of picture that the target is good for, given the source's.
    pub fn size(&self, source: (u32, u32), current: (u32, u32)) -> (u32, u32) {
        let full = source.0 * source.1;
        // A step up needs 20 % more than the step down, so that the size does not flap.
        let margin = |bits: u64| if current.0 * current.1 >= full { bits } else { bits * 6 / 5 };
        let bps = self.target.as_bps();
        // 0.04 bit per pixel and picture at 30 a second is where H.264 stops looking torn.
        let enough = |pixels: u32| bps >= margin(u64::from(pixels) * 30 * 4 / 100);
        let part = |n: u32| ((source.0 / n).max(16) & !1, (source.1 / n).max(16) & !1);
        match () {
            () if enough(full) => (source.0 & !1, source.1 & !1),
            () if enough(full / 4) || full <= 640 * 360 => {
                part(2).max((source.0.min(320) & !1, source.1.min(180) & !1))
            }
            () => part(4),
        }
    }

    /// What the receiver reports. Grows by half per 200 ms while the path shows no queue; falls below what arrives
    /// as soon as it does.
    pub fn on_report(&mut self, report: &DelayReport, sending: bool, now: Instant) {
        // A path without a queue still varies by the scheduler's and the radio's milliseconds.
        const CLEAR: Duration = Duration::from_millis(15);
        const QUEUED: Duration = Duration::from_millis(40);
        let idle = |since: Option<Instant>, time| since.is_none_or(|at| now.saturating_duration_since(at) >= time);
        if report.queue > QUEUED {
            self.clear_since = None;
            if idle(self.changed, Duration::from_millis(200)) {
                let micros = report.span.as_micros().max(1) as u64;
                let arrives = Bitrate::from_bps(report.received * 8_000_000 / micros);
                self.set(arrives.percent(85).min(self.target.percent(85)), now);
            }
        } else if report.queue < CLEAR && sending {
            let since = *self.clear_since.get_or_insert(now);
            let is_clear = now.saturating_duration_since(since) >= Duration::from_millis(200);
            if is_clear && idle(self.changed, Duration::from_millis(200)) && self.target < self.most {
                self.set(self.target.percent(150), now);
            }
        }
    }

    /// The queue's brake asks for less.
    pub fn cut(&mut self, now: Instant) {
        self.clear_since = None;
        self.set(self.target.percent(85), now);
    }

    fn set(&mut self, target: Bitrate, now: Instant) {
        self.target = target.clamp(Self::LEAST.min(self.most), self.most);
        self.changed = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::UnitNumber;
    use crate::base::time::now;

    fn unit(bytes: usize, keyframe: bool, at: Instant) -> EncodedUnit {
        EncodedUnit {
            data: vec![0; bytes],
            keyframe,
            temporal_id: 0,
            discardable: false,
            width: 1280,
            height: 720,
            number: UnitNumber(0),
            captured: at,
            encoded: at,
        }
    }

    #[test]
    fn a_unit_that_fits_the_bucket_leaves_at_once() {
        let (mut queue, start) = (UnitQueue::default(), now());
        queue.push(unit(5000, false, start));
        assert!(queue.release(Bitrate::from_kbps(1000), Duration::from_millis(100), start).is_some());
    }

    #[test]
    fn an_overdrawn_bucket_waits_for_its_rate() {
        let (mut queue, start, rate) = (UnitQueue::default(), now(), Bitrate::from_kbps(800));
        let burst = Duration::from_millis(50);
        queue.push(unit(15_000, true, start));
        queue.push(unit(1000, false, start));
        assert!(queue.release(rate, burst, start).is_some());
        assert!(queue.release(rate, burst, start).is_none());
        // 5 kB of credit were there, 15 kB left: 10 kB at 100 bytes per ms.
        let due = queue.next_due(rate, start).expect("one waits");
        assert!(due > start + Duration::from_millis(99) && due < start + Duration::from_millis(102));
        assert!(queue.release(rate, burst, due + Duration::from_millis(1)).is_some());
    }

    #[test]
    fn the_brake_goes_on_with_age_and_cuts_once_per_200_ms() {
        let (mut queue, start, rate) = (UnitQueue::default(), now(), Bitrate::from_kbps(800));
        let at = |ms| start + Duration::from_millis(ms);
        queue.push(unit(1000, false, start));
        assert_eq!(queue.brake(rate, 5000, at(50)), Brake::Off);
        assert_eq!(queue.brake(rate, 5000, at(200)), Brake::Cut);
        assert_eq!(queue.brake(rate, 5000, at(300)), Brake::Skip);
        assert_eq!(queue.brake(rate, 5000, at(400)), Brake::Cut);
    }

    #[test]
    fn a_full_queue_says_when_a_keyframe_must_follow() {
        let (mut queue, start) = (UnitQueue::default(), now());
        for _ in 0..UnitQueue::BOUND {
            assert!(!queue.push(unit(100, false, start)));
        }
        assert!(queue.push(unit(100, false, start)));
        assert!(!queue.push(unit(100, true, start)));
        assert_eq!((queue.len(), queue.dropped()), (1, UnitQueue::BOUND as u64 + 1));
    }

    #[test]
    fn the_target_rises_on_a_clear_path_and_falls_below_what_arrives() {
        let start = now();
        let mut rate = RateControl::new(Bitrate::from_kbps(4000));
        let clear = DelayReport { queue: Duration::ZERO, received: 6250, span: Duration::from_millis(50) };
        for n in 0..40 {
            rate.on_report(&clear, true, start + Duration::from_millis(50 * n));
        }
        assert_eq!(rate.target(), Bitrate::from_kbps(4000));
        let queued = DelayReport { queue: Duration::from_millis(90), ..clear };
        rate.on_report(&queued, true, start + Duration::from_secs(3));
        assert_eq!(rate.target(), Bitrate::from_kbps(850));
    }

    #[test]
    fn size_follows_the_target_without_flapping() {
        let mut rate = RateControl::new(Bitrate::from_kbps(8000));
        assert_eq!(rate.size((1280, 720), (640, 360)), (640, 360));
        rate.set(Bitrate::from_kbps(1200), now());
        assert_eq!(rate.size((1280, 720), (640, 360)), (640, 360));
        assert_eq!(rate.size((1280, 720), (1280, 720)), (1280, 720));
        rate.set(Bitrate::from_kbps(200), now());
        assert_eq!(rate.size((1280, 720), (640, 360)), (320, 180));
    }

    #[test]
    fn a_queue_on_the_way_is_seen_over_any_clock_offset() {
        let start = now();
        let mut meter = DelayMeter::default();
        for n in 0..40i64 {
            let queue = if n < 20 { 0 } else { 50_000 };
            meter.observe(-7_000_000 + queue, start + Duration::from_millis(33 * n as u64));
        }
        assert!(meter.queue() > Duration::from_millis(45), "{:?}", meter.queue());
    }

    #[test]
    fn reports_survive_the_wire() {
        let report =
            DelayReport { queue: Duration::from_micros(1234), received: 70_000, span: Duration::from_millis(51) };
        assert_eq!(DelayReport::parse(&report.to_bytes()), Some(report));
        assert_eq!(DelayReport::parse(&[2; 12]), None);
        assert_eq!(DelayReport::parse(&[1; 5]), None);
    }
}
