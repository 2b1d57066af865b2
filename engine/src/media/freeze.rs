//! Freezes, as WebRTC's statistics define them (webrtc-stats §freezeCount).

use crate::base::time::{Duration, Instant};

/// Watches when frames are presented and counts the gaps that a person sees as a freeze.
#[derive(Clone, Debug, Default)]
pub struct FreezeMeter {
    first: Option<Instant>,
    last: Option<Instant>,
    /// The last 30 gaps, newest last; the average is over these.
    gaps: std::collections::VecDeque<Duration>,
    freezes: u64,
    frozen: Duration,
    longest: Duration,
}

/// The definition averages over 30 frames.
const GAPS: usize = 30;
/// A gap is a freeze when it is longer than the average by this much, and than three times the average.
const BEYOND: Duration = Duration::from_millis(150);

impl FreezeMeter {
    /// A frame was presented at `at`.
    pub fn presented(&mut self, at: Instant) {
        let last = self.last.replace(at);
        let Some(last) = last else {
            self.first = Some(at);
            return;
        };
        let gap = at.saturating_duration_since(last);
        if self.is_freeze(gap) {
            self.freezes += 1;
            self.frozen += gap;
            self.longest = self.longest.max(gap);
        }
        if self.gaps.len() == GAPS {
            self.gaps.pop_front();
        }
        self.gaps.push_back(gap);
    }

    /// What was seen by the end at `at`: a picture that stood still until then counts.
    pub fn by_the_end(&self, at: Instant) -> Self {
        let mut whole = self.clone();
        if self.last.is_some_and(|last| self.is_freeze(at.saturating_duration_since(last))) {
            whole.presented(at);
        }
        whole
    }

    /// Forget the last frame: the camera was switched off, and what follows is no gap.
    pub const fn pause(&mut self) {
        self.last = None;
    }

    pub const fn freezes(&self) -> u64 {
        self.freezes
    }

    pub const fn longest(&self) -> Duration {
        self.longest
    }

    /// Time frozen divided by the time between the first and the last frame; 0.0 before two frames.
    pub fn ratio(&self) -> f64 {
        match (self.first, self.last) {
            (Some(first), Some(last)) if last > first => self.frozen.as_secs_f64() / (last - first).as_secs_f64(),
            _ => 0.0,
        }
    }

    fn is_freeze(&self, gap: Duration) -> bool {
        let Ok(count) = u32::try_from(self.gaps.len()) else { return false };
        if count == 0 {
            return false;
        }
        let average = self.gaps.iter().sum::<Duration>() / count;
        gap > (average * 3).max(average + BEYOND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::now;

    #[test]
    fn only_a_long_gap_is_a_freeze() {
        let mut meter = FreezeMeter::default();
        let mut at = now();
        for gap in [33; 40].into_iter().chain([170, 33, 33, 1000, 33]) {
            meter.presented(at);
            at += Duration::from_millis(gap);
        }
        meter.presented(at);
        assert_eq!(meter.freezes(), 1);
        assert_eq!(meter.longest(), Duration::from_secs(1));
        assert!((meter.ratio() - 1.0 / 2.589).abs() < 0.001, "{}", meter.ratio());
    }

    #[test]
    fn a_picture_that_stands_still_until_the_end_is_frozen() {
        let mut meter = FreezeMeter::default();
        let start = now();
        (0..30).for_each(|n| meter.presented(start + Duration::from_millis(n * 33)));
        let last = start + Duration::from_millis(29 * 33);
        assert_eq!(meter.by_the_end(last + Duration::from_millis(100)).freezes(), 0);
        let whole = meter.by_the_end(last + Duration::from_secs(2));
        assert_eq!((whole.freezes(), whole.longest()), (1, Duration::from_secs(2)));
        assert_eq!(meter.freezes(), 0, "the call may go on");
    }
}
