//! When the next picture is due.

use crate::base::time::{Duration, Instant};

/// Absolute deadlines: picture n is due at start + n / rate, however late the ones before it were.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    start: Instant,
    /// Infinite for a source that keeps a pace of its own: it is always due.
    frame_rate: f32,
    number: u64,
}

impl Pace {
    pub(super) const fn new(start: Instant, frame_rate: f32) -> Self {
        Self { start, frame_rate, number: 0 }
    }

    pub(super) fn due(&self) -> Instant {
        self.start + Duration::from_secs_f64(self.number as f64 / f64::from(self.frame_rate))
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
        let mut pace = Pace { start, frame_rate: 30.0, number: 0 };
        for _ in 0..3000 {
            pace.advance(pace.due() + Duration::from_millis(3));
        }
        assert!((pace.due() - start).abs_diff(Duration::from_secs(100)) < Duration::from_micros(1));
        pace.advance(start + Duration::from_millis(101_020));
        assert_eq!(pace.number, 3030);
    }
}
