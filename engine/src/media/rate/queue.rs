//! The queue in front of the transport, with its bucket and its brake.

use std::collections::VecDeque;

use crate::base::rate::Bitrate;
use crate::base::time::{Duration, Instant};
use crate::media::encoded::EncodedUnit;

/// What waits longer is late: the next two pictures are there by then.
const LATE: Duration = Duration::from_millis(80);

/// Encoded units waiting for their turn, oldest first.
#[derive(Debug, Default)]
pub struct UnitQueue {
    units: VecDeque<EncodedUnit>,
    /// When the unit was encoded whose packets are leaving.
    leaving: Option<Instant>,
    /// What of it is still here, bytes.
    rest: usize,
    /// Bytes that may leave now; negative after a packet larger than what was left.
    credit: i64,
    refilled: Option<Instant>,
    dropped: u64,
    /// Every unit waits at least so long: the laboratory's plant.
    least: Duration,
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

    /// Drops everything that waits: what it builds on was lost, or it is too late. The unit that is leaving goes on.
    pub fn clear(&mut self) {
        self.dropped += self.units.len() as u64;
        self.units.clear();
    }

    /// Whether a packet may leave at `rate`. The bucket holds `burst` at that rate: as much as the path has shown to take
    /// without queueing.
    pub fn may_leave(&mut self, rate: Bitrate, burst: Duration, now: Instant) -> bool {
        let most = rate.bytes_in(burst) as i64;
        let since = self.refilled.map_or(burst, |at| now.saturating_duration_since(at));
        let earned = rate.bytes_in(since) as i64;
        if earned > 0 {
            self.credit = (self.credit + earned).min(most);
            self.refilled = Some(now);
        }
        self.credit > 0
    }

    /// The next unit, whose packets leave from now on, each when [`Self::may_leave`] says so. One that nothing refers to and
    /// that is late already makes room for the one behind it.
    pub fn take(&mut self, now: Instant) -> Option<EncodedUnit> {
        let is_late = |unit: &EncodedUnit| unit.discardable && now.saturating_duration_since(unit.encoded) > LATE;
        while self.units.len() > 1 && self.units.front().is_some_and(is_late) {
            self.units.pop_front();
            self.dropped += 1;
        }
        let unit = self.units.pop_front_if(|unit| unit.encoded + self.least <= now)?;
        (self.leaving, self.rest) = (Some(unit.encoded), unit.data.len());
        Some(unit)
    }

    /// A packet of `bytes` has left; `last`: of its unit.
    pub const fn left(&mut self, bytes: usize, last: bool) {
        self.credit -= bytes as i64;
        self.rest = self.rest.saturating_sub(bytes);
        if last {
            (self.leaving, self.rest) = (None, 0);
        }
    }

    /// When the next packet may leave; `None` when none waits.
    pub fn next_due(&self, rate: Bitrate, now: Instant) -> Option<Instant> {
        let may = match self.leaving {
            Some(_) => now,
            None => self.units.front()?.encoded + self.least,
        };
        if self.credit > 0 {
            return Some(may.max(now));
        }
        // One byte of credit is enough: the bucket may be overdrawn by one packet.
        Some(may.max(self.refilled.unwrap_or(now) + rate.time_for((1 - self.credit) as u64)))
    }

    /// The brake: pictures are skipped while the oldest waiting unit is older than 80 ms and the time that an IDR needs to drain.
    pub fn is_braked(&self, rate: Bitrate, largest: usize, now: Instant) -> bool {
        let oldest = self.leaving.or_else(|| self.units.front().map(|unit| unit.encoded));
        let patience = LATE + rate.time_for(largest as u64).min(Duration::from_millis(100));
        oldest.is_some_and(|oldest| now.saturating_duration_since(oldest) > patience)
    }

    /// What the next picture may take of `rate` so that what waits is sent as well: otherwise a keyframe is a queue for as long
    /// as all of the rate is spent.
    pub fn left_of(&self, rate: Bitrate) -> Bitrate {
        /// So soon it is to be gone, and the least that is left for pictures, in percent.
        const WITHIN: Duration = Duration::from_millis(300);
        const LEAST: u64 = 50;
        let waiting = self.units.iter().map(|unit| unit.data.len()).sum::<usize>() + self.rest;
        let owed = waiting as u64 * 8_000 / WITHIN.as_millis() as u64;
        Bitrate::from_bps(rate.as_bps().saturating_sub(owed)).max(rate.percent(LEAST))
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
        for packet in 0..5 {
            assert!(queue.may_leave(Bitrate::from_kbps(1000), Duration::from_millis(100), start));
            assert!(packet > 0 || queue.take(start).is_some());
            queue.left(1000, packet == 4);
        }
        assert_eq!(queue.next_due(Bitrate::from_kbps(1000), start), None);
    }

    #[test]
    fn an_overdrawn_bucket_waits_for_its_rate_between_the_packets_of_a_unit() {
        let (mut queue, start, rate) = (UnitQueue::default(), now(), Bitrate::from_kbps(800));
        let burst = Duration::from_millis(10);
        queue.push(unit(15_000, true, start));
        assert!(queue.may_leave(rate, burst, start) && queue.take(start).is_some());
        queue.left(1200, false);
        assert!(!queue.may_leave(rate, burst, start));
        // 1 kB of credit was there, 1.2 kB left: 200 bytes at 100 bytes per ms.
        let due = queue.next_due(rate, start).expect("one is leaving");
        assert!(due > start + Duration::from_millis(1) && due < start + Duration::from_millis(3), "{:?}", due - start);
        assert!(queue.may_leave(rate, burst, due + Duration::from_millis(1)));
    }

    #[test]
    fn the_brake_is_on_while_something_waits_too_long() {
        let (mut queue, start, rate) = (UnitQueue::default(), now(), Bitrate::from_kbps(800));
        let is_braked = |queue: &UnitQueue, ms| queue.is_braked(rate, 5000, start + Duration::from_millis(ms));
        queue.push(unit(1000, false, start));
        assert!(!is_braked(&queue, 50) && is_braked(&queue, 200));
        // Also while its packets are leaving.
        assert!(queue.take(start + Duration::from_millis(250)).is_some());
        assert!(is_braked(&queue, 300));
        queue.left(1000, true);
        assert!(!is_braked(&queue, 500));
    }

    #[test]
    fn the_next_pictures_are_smaller_by_what_waits() {
        let (mut queue, start, rate) = (UnitQueue::default(), now(), Bitrate::from_kbps(800));
        assert_eq!(queue.left_of(rate), rate);
        queue.push(unit(3000, true, start));
        queue.push(unit(3000, false, start));
        assert_eq!(queue.left_of(rate), Bitrate::from_kbps(640));
        // Likewise while its packets are leaving, and less by each of them.
        assert!(queue.take(start).is_some());
        assert_eq!(queue.left_of(rate), Bitrate::from_kbps(640));
        queue.left(1500, false);
        assert_eq!(queue.left_of(rate), Bitrate::from_kbps(680));
        queue.left(1500, true);
        assert_eq!(queue.left_of(rate), Bitrate::from_kbps(720));
        assert!(!queue.push(unit(300_000, false, start)));
        assert_eq!(queue.left_of(rate), Bitrate::from_kbps(400));
    }

    #[test]
    fn a_late_unit_that_nothing_refers_to_makes_room_and_another_does_not() {
        let start = now();
        for (discardable, ms, expected) in [(true, 100, 1), (true, 50, 0), (false, 100, 0)] {
            let mut queue = UnitQueue::default();
            queue.push(EncodedUnit { discardable, ..unit(1000, false, start) });
            queue.push(EncodedUnit { number: UnitNumber(1), ..unit(1000, false, start) });
            let taken = queue.take(start + Duration::from_millis(ms)).expect("two wait");
            assert_eq!((taken.number.0, queue.dropped()), (expected, u64::from(expected)));
        }
        // Alone it is better than nothing.
        let mut queue = UnitQueue::default();
        queue.push(EncodedUnit { discardable: true, ..unit(1000, false, start) });
        assert!(queue.take(start + Duration::from_secs(1)).is_some());
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
}
