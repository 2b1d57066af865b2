//! When the next picture is due.
//!
//! Absolute deadlines: of a source with a rate picture n is due at start + n / rate, of one whose pictures have times of
//! their own as long after the one before as they say, however late the ones before it were.

use crate::base::time::{Duration, Instant};
use crate::media::phase::PhaseMeter;

/// See the top of the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    start: Instant,
    /// Infinite for a source that keeps a pace of its own: it is always due.
    frame_rate: f32,
    number: u64,
    /// Of a source whose pictures have times of their own, once it has said one.
    own: Option<Instant>,
    /// Microseconds by which pictures are taken later than that, for whoever watches.
    shift: i64,
}

/// Microseconds that a picture is at most later or earlier after the one before than it would be.
const SLEW: i64 = PhaseMeter::SLEW.as_micros() as i64;

impl Pace {
    pub(super) const fn new(start: Instant, frame_rate: f32) -> Self {
        Self { start, frame_rate, number: 0, own: None, shift: 0 }
    }

    pub(super) fn due(&self) -> Instant {
        let by = Duration::from_micros(self.shift.unsigned_abs());
        if self.shift < 0 { self.unmoved().checked_sub(by).unwrap_or(self.start) } else { self.unmoved() + by }
    }

    fn unmoved(&self) -> Instant {
        let by_rate = || self.start + Duration::from_secs_f64(self.number as f64 / f64::from(self.frame_rate));
        self.own.unwrap_or_else(by_rate)
    }

    /// Pictures are to be taken `wanted` microseconds later. Called after each.
    pub(super) fn shift_towards(&mut self, wanted: i32) {
        self.shift += (i64::from(wanted) - self.shift).clamp(-SLEW, SLEW);
    }

    /// Goes on to the next deadline, which is `step` after this one where the source says so; those that a stall has passed
    /// are left out.
    pub(super) fn advance(&mut self, step: Option<Duration>, now: Instant) {
        if let Some(step) = step {
            let due = self.unmoved() + step;
            self.own = Some(now.checked_sub(step).map_or(due, |least| due.max(least)));
            return;
        }
        if self.frame_rate.is_infinite() {
            return;
        }
        let since = now.saturating_duration_since(self.start).as_micros() as i64;
        let passed = since.saturating_sub(self.shift).max(0) as f64 / 1e6 * f64::from(self.frame_rate);
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
            pace.advance(None, pace.due() + Duration::from_millis(3));
        }
        assert!((pace.due() - start).abs_diff(Duration::from_secs(100)) < Duration::from_micros(1));
        pace.advance(None, start + Duration::from_millis(101_020));
        assert_eq!(pace.number, 3030);
    }

    #[test]
    fn pictures_with_times_of_their_own_come_at_them() {
        let (start, ms) = (now(), Duration::from_millis);
        let mut pace = Pace::new(start, 30.0);
        let mut shown = Vec::new();
        for step in [40, 40, 1000, 20] {
            shown.push(pace.due() - start);
            pace.advance(Some(ms(step)), pace.due() + ms(3));
        }
        assert_eq!(shown, [0, 40, 80, 1080].map(ms));
        // A stall of a minute is no burst: one picture at once, and then as they say.
        let late = start + ms(61_000);
        pace.advance(Some(ms(20)), late);
        assert_eq!(pace.due(), late - ms(20));
        pace.advance(Some(ms(20)), late);
        assert_eq!(pace.due(), late);
    }

    #[test]
    fn pictures_are_moved_by_little_each_and_keep_their_rate() {
        let start = now();
        for wanted in [-7_000, 12_000, 50_000, 200_000] {
            let mut pace = Pace::new(start, 30.0);
            let mut taken = Vec::new();
            for _ in 0..300 {
                taken.push(pace.due());
                pace.advance(None, pace.due());
                pace.shift_towards(wanted);
            }
            let steps = taken.windows(2).map(|two| (two[1] - two[0]).as_micros());
            // One is left out where the move is longer than a picture.
            let uneven = steps.filter(|step| !(31_300..=35_400).contains(step)).count();
            assert_eq!(uneven, 0, "{wanted}");
            let phase = (taken[299] - start).as_micros() as i64 - i64::from(wanted);
            assert!((phase * 3 % 100_000).min(100_000 - phase * 3 % 100_000) < 10, "{wanted}: {phase}");
        }
    }
}
