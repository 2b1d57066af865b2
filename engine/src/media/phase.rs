//! When a source should take its pictures so that they reach the other side's screen just before it is refreshed.
//!
//! A screen of 60 Hz shows a picture 0 to 16.7 ms after it is there, and as long as both clocks run at the same rate always
//! the same of it. Whoever watches sees how long its pictures wait, and asks the source to take them so much later. How
//! long drawing takes, and how long the screen's period is, need not be known: the source is moved on until a picture of
//! ten comes too late for its refresh and waits for the next one, and then back by a little.

/// How long pictures wait to be shown, and what the source is asked for.
#[derive(Clone, Debug, Default)]
pub struct PhaseMeter {
    /// Milliseconds, of pictures that were taken after the source has followed.
    waits: Vec<f32>,
    /// Pictures that are still to come before it has.
    skip: u8,
    /// What the source is asked for.
    later_micros: i32,
    state: State,
    /// Windows in a row whose pictures were shown at different refreshes.
    splits: u8,
    told: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum State {
    #[default]
    Begins,
    /// Pictures waited so long, and then the source was asked to take them so much later.
    Moved { before: f32, by: f32 },
    /// Pictures that are only just in time wait so long.
    Found { least: f32 },
    /// They do not wait for a refresh, or not longer than is worth moving for: how long they waited, windows looked at since.
    Settled { least: f32, windows: u16 },
}

/// Pictures looked at before each decision; a third of a second of them.
const WINDOW: usize = 10;
/// And left out after each, for the round trip; and one for each millisecond, which is how the source moves.
const SKIPPED: u8 = 5;
/// Pictures of one window that wait so differently (ms) are shown at different refreshes. No screen is faster than 144 Hz by
/// much, and on no machine that draws in time do two pictures differ by more.
const SPLIT: f32 = 5.0;
/// A first step; a screen of 60 Hz needs four at most.
const STEP: f32 = 4.0;
/// Kept between a picture and its refresh besides what the last ones differed by.
const MARGIN: f32 = 1.0;
/// No screen's after so many of them: it would be in step again.
const UNEVEN: u8 = 4;
/// Less than this is not worth moving for.
const SHORT: f32 = 3.0;
/// A window may be moved to another screen: after so many windows it is tried again (half a minute).
const AGAIN: u16 = 45;

impl PhaseMeter {
    /// A picture was shown `wait` milliseconds after it was published.
    pub fn on_presented(&mut self, wait: f64) {
        if self.skip > 0 {
            self.skip -= 1;
            return;
        }
        if self.waits.capacity() == 0 {
            self.waits.reserve_exact(WINDOW);
        }
        self.waits.push(wait as f32);
        if self.waits.len() < WINDOW {
            return;
        }
        self.waits.sort_unstable_by(f32::total_cmp);
        // One of ten may be anything: the machine's, not the screen's.
        let (least, most) = (self.waits[1], self.waits[WINDOW - 2]);
        self.waits.clear();
        let later = self.judge(least, most);
        if later != 0.0 {
            self.later_micros = self.later_micros.wrapping_add((later * 1e3) as i32);
            self.skip = SKIPPED + later.abs().ceil() as u8;
        }
        self.told = false;
    }

    /// What to tell the source, once a window: the whole move since the beginning, so that none is lost.
    pub fn take_report(&mut self) -> Option<PhaseReport> {
        let moved = self.later_micros != 0 && !std::mem::replace(&mut self.told, true);
        moved.then_some(PhaseReport { later_micros: self.later_micros })
    }

    /// By how many milliseconds the source should be later.
    fn judge(&mut self, least: f32, most: f32) -> f32 {
        let apart = most - least;
        self.splits = if apart > SPLIT { self.splits.saturating_add(1) } else { 0 };
        // A screen whose period does not go into the pictures': each waits as it comes.
        if self.splits > UNEVEN {
            return self.settle(least);
        }
        if apart > SPLIT {
            // Some are too late for their refresh.
            self.state = State::Found { least };
            return -(MARGIN + 1.0);
        }
        match self.state {
            State::Begins if least < SHORT => self.settle(least),
            State::Begins => self.step(least, STEP),
            State::Moved { before, by } => match before - least {
                gained if gained > by / 2.0 && least < SHORT => self.settle(least),
                gained if gained > by / 2.0 => self.step(least, STEP),
                // Past the refresh as a whole.
                gained if gained < -SPLIT => {
                    self.state = State::Found { least: (before - by).max(0.0) };
                    -by
                }
                _ => {
                    self.settle(before);
                    -by
                }
            },
            State::Found { least: floor } => {
                let wanted = floor + MARGIN + apart;
                let later = least - wanted;
                // Nothing waits less than what is only just in time.
                self.state = State::Found { least: floor.min(least) };
                if later.abs() > MARGIN / 4.0 { later.min(STEP) } else { 0.0 }
            }
            State::Settled { least: then, windows } if least < SHORT || (windows < AGAIN && least < then + SHORT) => {
                self.state = State::Settled { least: then, windows: windows.saturating_add(1) };
                0.0
            }
            State::Settled { .. } => self.step(least, STEP),
        }
    }

    const fn settle(&mut self, least: f32) -> f32 {
        self.state = State::Settled { least, windows: 0 };
        0.0
    }

    const fn step(&mut self, before: f32, by: f32) -> f32 {
        self.state = State::Moved { before, by };
        by
    }
}

/// What who watches asks the source for: to take its pictures so much later than it would by itself, microseconds; negative:
/// earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhaseReport {
    pub later_micros: i32,
}

const VERSION: u8 = 5;

impl PhaseReport {
    /// u8 version, three zeros, i32 microseconds, big-endian.
    pub fn to_bytes(self) -> [u8; 8] {
        let mut out = [VERSION, 0, 0, 0, 0, 0, 0, 0];
        out[4..].copy_from_slice(&self.later_micros.to_be_bytes());
        out
    }

    /// `None` for another version or length.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let [VERSION, _, _, _, a, b, c, d, ..] = *bytes else { return None };
        Some(Self { later_micros: i32::from_be_bytes([a, b, c, d]) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pictures every 33.3 ms to a screen that refreshes every `period` milliseconds, the first one `phase` before a refresh.
    /// What each waited, with `draw` for drawing; `jitter` is of the way.
    fn watch(period: Option<f64>, phase: f64, jitter: f64, seconds: u64, follows: bool) -> Vec<f64> {
        let mut random = fastrand::Rng::with_seed(phase.to_bits());
        let (mut meter, mut shift, mut waits) = (PhaseMeter::default(), 0.0f64, Vec::new());
        for n in 0..seconds * 30 {
            let wanted = f64::from(meter.later_micros) / 1e3;
            if follows {
                shift += (wanted - shift).clamp(-1.0, 1.0);
            }
            let published = n as f64 * 100.0 / 3.0 + shift + random.f64() * jitter + 1000.0 - phase;
            let draw = 1.2 + random.f64() * 0.5;
            let wait = period.map_or(0.0, |period| period - published.rem_euclid(period)) + draw;
            waits.push(wait);
            meter.on_presented(wait);
            meter.take_report();
        }
        waits
    }

    fn quantile(waits: &[f64], share: f64) -> f64 {
        let mut waits = waits.to_vec();
        waits.sort_unstable_by(f64::total_cmp);
        waits[((waits.len() - 1) as f64 * share) as usize]
    }

    #[test]
    fn whatever_the_phase_pictures_come_just_before_the_refresh() {
        for (period, name) in [(50.0 / 3.0, "60 Hz"), (1000.0 / 59.94, "59.94 Hz"), (1000.0 / 120.0, "120 Hz")] {
            let mut alone = Vec::new();
            for phase in 0..17 {
                let waits = watch(Some(period), f64::from(phase), 1.0, 60, true);
                let settled = &waits[5 * 30..];
                let (middle, most) = (quantile(settled, 0.5), quantile(settled, 0.95));
                assert!(middle < 5.0 && most < 6.0, "{name}, {phase} ms: {middle} {most}");
                alone.push(quantile(&watch(Some(period), f64::from(phase), 1.0, 60, false), 0.5));
            }
            // And without it they wait for half a period.
            let mean = alone.iter().sum::<f64>() / alone.len() as f64;
            assert!(mean > period / 2.0, "{name}: {mean}");
        }
        // 75 Hz: every other picture waits for half a period longer, wherever the source is.
        let (moved, still) =
            [true, false].map(|follows| quantile(&watch(Some(40.0 / 3.0), 5.0, 1.0, 60, follows), 0.5)).into();
        assert!(moved < still + 2.5, "{moved} {still}");
    }

    #[test]
    fn where_nothing_waits_for_a_refresh_the_source_stays_where_it_is() {
        for draw in [0.0, 6.0] {
            let mut meter = PhaseMeter::default();
            let mut moved = Vec::new();
            for n in 0..600 {
                meter.on_presented(draw + f64::from(n % 3) * 0.3);
                moved.extend(meter.take_report().map(|report| report.later_micros));
            }
            assert_eq!(meter.later_micros, 0, "{draw}");
            // It was tried once where there seemed to be something to gain.
            assert_eq!(moved.len() > 1, draw > SHORT.into(), "{moved:?}");
        }
    }

    #[test]
    fn requests_survive_the_wire() {
        for later_micros in [0, -1, 12_345, i32::MIN] {
            let report = PhaseReport { later_micros };
            assert_eq!(PhaseReport::parse(&report.to_bytes()), Some(report));
        }
        assert_eq!((PhaseReport::parse(&[4; 8]), PhaseReport::parse(&[5; 7])), (None, None));
    }
}
