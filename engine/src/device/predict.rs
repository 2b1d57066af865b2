//! When will the device call next, and how late does it tend to be?

use std::time::Duration;

/// Follows the time line of a device from its callbacks. Callbacks come late, never early: the earliest ones are the
/// truth, and the line is bent towards later ones slowly, so that it follows the device's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallbackClock {
    /// Index and time (ns) on the line.
    base: Option<(u64, f64)>,
    /// Of the newest callback.
    next: u64,
    period: u32,
}

/// How far the line moves towards a late callback: 1500 ppm of 2.5 ms are 3.75 µs a callback, so the line lies at most
/// 0.4 ms before a device of the worst clock.
const BEND: f64 = 0.01;
/// A callback this far off the line means the device paused or jumped: begin anew.
const JUMP: f64 = 50e6;

impl CallbackClock {
    /// A callback at `at` (ns) moved `frames` frames from `index` on, at `rate`. Returns its lateness.
    pub fn observe(&mut self, at: u64, index: u64, frames: u32, rate: u32) -> Duration {
        self.next = index + u64::from(frames);
        // The longest of the last ones, forgotten within some seconds of shorter ones.
        self.period = frames.max(self.period - self.period / 512);
        let at = at as f64;
        let expected = self.time(index, rate);
        let late = expected.map_or(0.0, |expected| at - expected);
        let line = match expected {
            Some(expected) if late.abs() < JUMP => {
                if late < 0.0 {
                    at.max(expected - 250e3)
                } else {
                    expected + BEND * late
                }
            }
            _ => at,
        };
        self.base = Some((index, line));
        if late.abs() < JUMP { Duration::from_nanos(late.abs() as u64) } else { Duration::ZERO }
    }

    /// When (ns) the frame `index` is on the line; `None` before the first callback.
    pub fn time(&self, index: u64, rate: u32) -> Option<f64> {
        let (base, at) = self.base?;
        Some(at + (index as f64 - base as f64) * 1e9 / f64::from(rate.max(1)))
    }

    /// When (ns) the next callback comes.
    pub fn next(&self, rate: u32) -> Option<u64> {
        self.time(self.next, rate).map(|at| at.max(0.0) as u64)
    }

    /// Frames that came in all callbacks so far.
    pub const fn frames(&self) -> u64 {
        self.next
    }

    /// Frames of the longest recent callback.
    pub const fn period(&self) -> u32 {
        self.period
    }
}

/// The p99.9 of what was needed of the margin before a callback, slowly forgotten.
#[derive(Clone, Debug)]
pub struct Lateness {
    bins: [f32; 256],
    total: f32,
    seen: u32,
    pushed: Duration,
}

/// 256 bins of 125 µs reach 32 ms, twice what a loaded desktop's audio server is late.
const BIN: Duration = Duration::from_micros(125);
/// Two cells of the engine's time: what a tick needs that only now began.
const LEAST: Duration = Duration::from_micros(500);
/// Until a second of callbacks is known: the p99.9 of an idle desktop with room to spare.
const FIRST: Duration = Duration::from_millis(3);

impl Default for Lateness {
    fn default() -> Self {
        Self { bins: [0.0; 256], total: 0.0, seen: 0, pushed: Duration::ZERO }
    }
}

impl Lateness {
    /// One callback used so much.
    pub fn observe(&mut self, late: Duration) {
        let bin = (late.as_nanos() / BIN.as_nanos()).min(255) as usize;
        self.bins[bin] += 1.0;
        self.total += 1.0;
        self.seen = self.seen.saturating_add(1);
        // Half is forgotten in 17 s of callbacks each 2.5 ms.
        if self.seen.is_multiple_of(128) {
            self.bins.iter_mut().for_each(|bin| *bin *= 0.987);
            self.total *= 0.987;
        }
        self.pushed = self.pushed.mul_f32(0.9998);
    }

    /// The ring ran dry although the margin was kept: something else is late, ask for a millisecond more.
    pub fn ran_dry(&mut self) {
        self.pushed = (self.pushed + Duration::from_millis(1)).min(Duration::from_millis(20));
    }

    /// How long before a callback the ring must be filled.
    pub fn margin(&self) -> Duration {
        let mut above = 0.0;
        let mut quantile = Duration::ZERO;
        for (n, weight) in self.bins.iter().enumerate().rev() {
            above += weight;
            if above > self.total * 0.001 {
                quantile = BIN * (n as u32 + 1);
                break;
            }
        }
        let least = if self.seen < 400 { FIRST } else { LEAST };
        quantile.max(least) + self.pushed
    }
}
