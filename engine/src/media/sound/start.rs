//! How sound begins on a path of which nothing is known: thin, and doubled with each report that tells of no queue. And how it
//! is known that a path has become another one.

use crate::base::time::{Duration, Instant};

use super::report::SoundReport;

/// A beginning.
#[derive(Clone, Copy, Debug, Default)]
pub struct Starting {
    /// The last report told of a queue that grows: one alone is a delay that wanders.
    is_doubted: bool,
    /// How often there were two.
    setbacks: u8,
}

/// What a report asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Hold,
    /// Twice as much.
    More,
    /// Less than what was carried before, so that what waits is gone soon.
    Less,
    /// The same, and the limit is known.
    Full,
}

/// So often it may seem full before it is believed to be.
const SETBACKS: u8 = 2;

impl Starting {
    /// `is_shown`: the report is of what was sent after the last step. A queue up to `clear` is none.
    pub fn step(&mut self, report: &SoundReport, clear: Duration, is_shown: bool) -> Step {
        let advance = report.advanced as f32 / 48_000.0 / report.span.as_secs_f32().max(1e-3);
        let grows = advance < 0.8 || (report.queue > clear && advance < 0.95);
        if grows {
            if !std::mem::replace(&mut self.is_doubted, true) {
                return Step::Hold;
            }
            self.is_doubted = false;
            self.setbacks += 1;
            return if self.setbacks == SETBACKS { Step::Full } else { Step::Less };
        }
        if !is_shown {
            return Step::Hold;
        }
        self.is_doubted = false;
        // What waits after a setback goes first.
        if self.setbacks == 0 || report.queue <= clear { Step::More } else { Step::Hold }
    }
}

/// The least round trip of the last ten to twenty seconds: what the path takes without its queues.
#[derive(Clone, Copy, Debug, Default)]
pub struct LeastTrip {
    current: Option<Duration>,
    last: Option<Duration>,
    began: Option<Instant>,
}

const WINDOW: Duration = Duration::from_secs(10);

impl LeastTrip {
    /// After so long it knows nothing any more of what was before.
    pub const KNOWN: Duration = Duration::from_secs(2 * WINDOW.as_secs());

    pub fn observe(&mut self, trip: Duration, now: Instant) {
        let began = *self.began.get_or_insert(now);
        if now.saturating_duration_since(began) >= WINDOW {
            (self.last, self.current, self.began) = (self.current, None, Some(now));
        }
        self.current = Some(self.current.map_or(trip, |least| least.min(trip)));
    }

    pub fn get(&self) -> Option<Duration> {
        [self.current, self.last].into_iter().flatten().min()
    }
}

/// Whether a path that took at least `before` is another one now that it takes `trip`.
pub fn is_another(before: Duration, trip: Duration) -> bool {
    /// Shorter ones vary by as much.
    const MARGIN: Duration = Duration::from_millis(20);
    trip * 2 + MARGIN < before
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::now;

    fn report(advance: f32, queue: u64) -> SoundReport {
        let (span, queue) = (Duration::from_millis(200), Duration::from_millis(queue));
        SoundReport { span, queue, advanced: (advance * 9600.0) as u32, ..SoundReport::default() }
    }

    #[test]
    fn one_bad_report_is_doubted_two_are_believed_and_the_second_time_it_is_full() {
        let (mut starting, clear) = (Starting::default(), Duration::from_millis(30));
        let mut step = |advance, queue, is_shown| starting.step(&report(advance, queue), clear, is_shown);
        assert_eq!(step(1.0, 0, true), Step::More);
        assert_eq!(step(1.0, 0, false), Step::Hold);
        assert_eq!(step(0.5, 100, true), Step::Hold);
        assert_eq!(step(1.0, 100, true), Step::More);
        assert_eq!((step(0.5, 100, true), step(0.5, 200, true)), (Step::Hold, Step::Less));
        assert_eq!((step(1.2, 100, true), step(1.2, 20, true)), (Step::Hold, Step::More));
        assert_eq!((step(0.9, 100, true), step(0.9, 100, true)), (Step::Hold, Step::Full));
    }

    #[test]
    fn the_least_trip_is_forgotten_after_a_while_and_a_much_shorter_one_is_another_path() {
        let (mut least, start) = (LeastTrip::default(), now());
        let ms = Duration::from_millis;
        (0..60).for_each(|second| {
            let trip = if second < 10 { ms(40) } else { ms(400 + second % 7) };
            least.observe(trip, start + Duration::from_secs(second));
        });
        assert!(least.get().is_some_and(|trip| trip >= ms(400)), "{least:?}");
        assert!(is_another(ms(400), ms(45)) && !is_another(ms(60), ms(25)) && !is_another(ms(100), ms(60)));
    }
}
