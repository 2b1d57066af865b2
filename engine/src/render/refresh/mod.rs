//! When a screen is refreshed: what is presented before a refresh is seen at it, and who sends pictures is asked to take them
//! so that they come just before one ([`crate::media::phase`]). X11 tells of refreshes by their numbers (the extension
//! Present); elsewhere they are not known, and nothing is asked for.

#[cfg(target_os = "linux")]
mod x11;

use std::collections::VecDeque;

#[cfg(not(target_os = "linux"))]
pub use elsewhere::RefreshWatcher;
#[cfg(target_os = "linux")]
pub use x11::RefreshWatcher;

use crate::base::time::{Duration, Instant};
use crate::media::phase::Refresh;

/// A screen's refreshes, from some that it told of.
#[derive(Clone, Debug, Default)]
pub struct Refreshes {
    /// Their numbers and when they were, oldest first.
    told: VecDeque<(u64, Instant)>,
}

/// At ten a second six seconds of them: a clock that is off by a millionth is not seen, and a window on another screen soon is.
const KEPT: usize = 64;
/// Fewer say nothing.
const LEAST: usize = 6;
/// From the slowest screen to the fastest one.
const PERIODS: std::ops::Range<f64> = 2e-3..0.1;

impl Refreshes {
    /// Refresh number `number` was at `at`, or a little before: nobody is told early.
    pub fn observe(&mut self, number: u64, at: Instant) {
        let is_other = |(last, before): &(u64, Instant)| number <= *last || at <= *before;
        if self.told.back().is_some_and(is_other) || self.line().is_some_and(|line| line.misses(number, at)) {
            // Another screen, or another mode of the same.
            self.told.clear();
        }
        if self.told.len() == KEPT {
            self.told.pop_front();
        }
        self.told.push_back((number, at));
    }

    /// The refresh at which what is presented at `at` is seen; `None` while they are not known.
    pub fn after(&self, at: Instant) -> Option<Refresh> {
        let line = self.line()?;
        let since = seconds(line.origin, at) - line.first;
        let early = line.period - since.rem_euclid(line.period);
        Some(Refresh { early: Duration::from_secs_f64(early), period: Duration::from_secs_f64(line.period) })
    }

    /// The straight line by least squares, moved down to the earliest: some are told late.
    fn line(&self) -> Option<Line> {
        let &(number, origin) = self.told.front().filter(|_| self.told.len() >= LEAST)?;
        let points = || self.told.iter().map(|(other, at)| ((other - number) as f64, seconds(origin, *at)));
        let count = self.told.len() as f64;
        let (numbers, times) = points().fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
        let (number_mean, time_mean) = (numbers / count, times / count);
        let (above, below) = points().fold((0.0, 0.0), |(above, below), (x, y)| {
            (above + (x - number_mean) * (y - time_mean), below + (x - number_mean).powi(2))
        });
        let period = above / below;
        let first = points().map(|(x, y)| y - x * period).min_by(f64::total_cmp)?;
        PERIODS.contains(&period).then_some(Line { number, origin, first, period })
    }
}

/// Seconds inside.
struct Line {
    number: u64,
    origin: Instant,
    /// When the refresh of that number was, counted from `origin`.
    first: f64,
    period: f64,
}

impl Line {
    /// That refresh was nowhere near where it should have been.
    fn misses(&self, number: u64, at: Instant) -> bool {
        let expected = self.first + number.wrapping_sub(self.number) as f64 * self.period;
        (seconds(self.origin, at) - expected).abs() > self.period
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use crate::base::time::Instant;
    use crate::media::phase::Refresh;

    /// Nothing tells of refreshes on this system yet.
    #[derive(Debug)]
    pub enum RefreshWatcher {}

    impl RefreshWatcher {
        /// Always `None`.
        pub const fn open(_: Option<&str>, _: u32) -> Option<Self> {
            None
        }

        pub fn after(&mut self, _: Instant) -> Option<Refresh> {
            match *self {}
        }
    }
}

fn seconds(from: Instant, to: Instant) -> f64 {
    let after = to.saturating_duration_since(from).as_secs_f64();
    if after > 0.0 { after } else { -from.saturating_duration_since(to).as_secs_f64() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::now;

    const PERIOD: Duration = Duration::from_micros(16_683);

    /// Told of every sixth refresh of a screen of 59.94 Hz, each up to two milliseconds late.
    fn told(start: Instant, count: u64) -> Refreshes {
        let mut refreshes = Refreshes::default();
        for n in (0..count).map(|n| n * 6) {
            let late = Duration::from_micros(n.wrapping_mul(2_654_435_761) % 2000);
            refreshes.observe(1000 + n, start + PERIOD * n as u32 + late);
        }
        refreshes
    }

    #[test]
    fn the_next_refresh_is_known_from_some_that_were_told_late() {
        let start = now();
        let refreshes = told(start, 60);
        for (after, early) in [(Duration::ZERO, PERIOD), (Duration::from_millis(5), PERIOD - Duration::from_millis(5))]
        {
            let refresh = refreshes.after(start + PERIOD * 400 + after + Duration::from_micros(400)).expect("known");
            assert!(refresh.early.abs_diff(early) < Duration::from_micros(700), "{refresh:?}");
            assert!(refresh.period.abs_diff(PERIOD) < Duration::from_micros(5), "{refresh:?}");
        }
    }

    #[test]
    fn of_few_nothing_is_said_and_another_screen_is_learnt_anew() {
        let start = now();
        assert_eq!(told(start, 5).after(start), None);
        let mut refreshes = told(start, 60);
        // The same number a second later, and then a screen of 120 Hz.
        let begin = start + PERIOD * 360 + Duration::from_secs(1);
        refreshes.observe(1360, begin);
        assert_eq!(refreshes.after(begin), None);
        (1..10u32).for_each(|n| refreshes.observe(1360 + u64::from(n) * 12, begin + PERIOD * 6 * n));
        let refresh = refreshes.after(begin).expect("known");
        assert!(refresh.period.abs_diff(PERIOD / 2) < Duration::from_micros(5), "{refresh:?}");
    }

    #[test]
    fn numbers_that_stand_still_or_race_are_no_screen() {
        let (mut refreshes, start) = (Refreshes::default(), now());
        for n in 0..20u64 {
            refreshes.observe(n * 1000, start + Duration::from_millis(n * 10));
        }
        assert_eq!(refreshes.after(start), None);
        (0..20).for_each(|_| refreshes.observe(7, start));
        assert_eq!(refreshes.after(start), None);
    }
}
