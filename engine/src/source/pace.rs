//! When the next picture is due.

use crate::base::time::{Duration, Instant};

/// Absolute deadlines: picture n is due at start + n / rate, however late the ones before it were.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    start: Instant,
    /// Infinite for a source that keeps a pace of its own: it is always due.
    frame_rate: f32,
    number: u64,
    /// Microseconds by which pictures are taken later than that, for whoever watches.
    shift: i64,
}

/// A picture is at most so much later or earlier after the one before than it would be (microseconds): nobody sees it.
const SLEW: i64 = 1_000;

impl Pace {
    pub(super) const fn new(start: Instant, frame_rate: f32) -> Self {
        Self { start, frame_rate, number: 0, shift: 0 }
    }

    pub(super) fn due(&self) -> Instant {
        let due = self.start + Duration::from_secs_f64(self.number as f64 / f64::from(self.frame_rate));
        let by = Duration::from_micros(self.shift.unsigned_abs());
        if self.shift < 0 { due.checked_sub(by).unwrap_or(self.start) } else { due + by }
    }

    /// Pictures are to be taken `wanted` microseconds later. Called after each.
    pub(super) fn shift_towards(&mut self, wanted: i32) {
        self.shift += (i64::from(wanted) - self.shift).clamp(-SLEW, SLEW);
    }

    /// Goes on to the next deadline; those that a stall has passed are left out.
    pub(super) fn advance(&mut self, now: Instant) {
        if self.frame_rate.is_infinite() {
            return;
        }
        let passed = now.saturating_duration_since(self.start).as_secs_f64() * f64::from(self.frame_rate);
        self.number = (self.number + 1).max(passed.floor() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::now;

    #[test]
    fn deadlines_do_not_drift_and_a_stall_is_no_burst() {
        let start = now();
        let mut pace = Pace::new(start, 30.0);
        for _ in 0..3000 {
            pace.advance(pace.due() + Duration::from_millis(3));
        }
        assert!((pace.due() - start).abs_diff(Duration::from_secs(100)) < Duration::from_micros(1));
        pace.advance(start + Duration::from_millis(101_020));
        assert_eq!(pace.number, 3030);
    }

    #[test]
    fn pictures_are_moved_by_little_each_and_keep_their_rate() {
        let start = now();
        for wanted in [-7_000, 12_000, 50_000] {
            let mut pace = Pace::new(start, 30.0);
            let mut taken = Vec::new();
            for _ in 0..300 {
                taken.push(pace.due());
                pace.advance(pace.due());
                pace.shift_towards(wanted);
            }
            let steps = taken.windows(2).map(|two| (two[1] - two[0]).as_micros());
            // One is left out where the move is longer than a picture.
            let uneven = steps.filter(|step| !(32_300..=34_400).contains(step)).count();
            assert!(uneven <= usize::from(wanted > 33_000), "{wanted}: {uneven}");
            let phase = (taken[299] - start).as_micros() as i64 - i64::from(wanted);
            assert!((phase * 3 % 100_000).min(100_000 - phase * 3 % 100_000) < 10, "{wanted}: {phase}");
        }
    }
}
