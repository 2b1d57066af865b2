//! What of the delay is a queue. A path whose delay wanders (radio, other people's bursts) is now quick, now slow; a queue
//! that we fill is met by every packet. So the delay of the quickest packets over a time counts, and that time is the longer
//! the more the path wanders: 100 ms on a steady one, a second where the delay changes by 60 ms in every tenth of a second.

use std::collections::VecDeque;

use crate::base::time::{Duration, Instant};

/// Follows the delay over its base, report by report. Milliseconds inside.
#[derive(Clone, Debug)]
pub struct DelayTrend {
    /// When it was told, and the delay.
    samples: VecDeque<(Instant, f64)>,
    /// How much the delay changes in 100 ms without our doing.
    noise: f64,
    /// Moves that `noise` is the mean of, as far as they are remembered.
    moves: f64,
    /// Where the last move ended, and how far it went.
    moved: Option<(Instant, f64, f64)>,
    /// A queue that is not ours: it stayed when we sent less.
    foreign: f64,
}

/// A move takes this time.
const APART: Duration = Duration::from_millis(95);
/// So many moves are remembered: four seconds of them.
const REMEMBERED: f64 = 40.0;
/// Before anything was measured, a path is taken to wander by so much.
const FIRST_NOISE: f64 = 2.0;
const SHORTEST: f64 = 100.0;
const LONGEST: f64 = 1000.0;
/// Samples of the longest window at one report in 50 ms, and some more where they come closer.
const MOST: usize = 32;

impl Default for DelayTrend {
    fn default() -> Self {
        Self { samples: VecDeque::with_capacity(MOST), noise: FIRST_NOISE, moves: 3.0, moved: None, foreign: 0.0 }
    }
}

impl DelayTrend {
    /// The quickest packet of a report came `queue` later than the quickest ever. `emptying`: a queue is
    /// known to be there, and says nothing about how the path wanders.
    pub fn observe(&mut self, queue: Duration, emptying: bool, now: Instant) {
        let queue = queue.as_secs_f64() * 1e3;
        let (at, ended, before) = *self.moved.get_or_insert((now, queue, 0.0));
        if now.saturating_duration_since(at) >= APART {
            let moved = queue - ended;
            // A queue fills and empties; a path that wanders turns round all the time.
            let turned = if moved * before < 0.0 { 3.5 * moved.abs().min(before.abs()) } else { 0.0 };
            if !emptying {
                self.moves = (self.moves + 1.0).min(REMEMBERED);
                self.noise += (turned - self.noise) / self.moves;
            }
            self.moved = Some((now, queue, if emptying { 0.0 } else { moved }));
        }
        if self.samples.len() == MOST {
            self.samples.pop_front();
        }
        self.samples.push_back((now, queue));
        self.foreign = self.foreign.min(self.least(Duration::from_millis(LONGEST as u64)).unwrap_or(0.0));
    }

    /// The queue that every packet met lately; `None` before there are reports enough to say.
    pub fn standing(&self) -> Option<Duration> {
        let least = self.least(self.window())?;
        // Who shares a queue makes it longer and shorter by turns.
        Some(Duration::from_secs_f64((least - 1.5 * self.foreign).max(0.0) / 1e3))
    }

    /// How long a delay has to stay to be called a queue.
    pub fn window(&self) -> Duration {
        Duration::from_secs_f64((SHORTEST + 16.0 * (self.noise - FIRST_NOISE).max(0.0)).clamp(SHORTEST, LONGEST) / 1e3)
    }

    /// Less than this is no queue.
    pub fn threshold(&self) -> Duration {
        Duration::from_secs_f64((12.0 + 1.2 * self.noise) / 1e3)
    }

    /// How much the delay changes in 100 ms without our doing.
    pub fn noise(&self) -> Duration {
        Duration::from_secs_f64(self.noise / 1e3)
    }

    /// Part of the queue is not ours.
    pub fn is_shared(&self) -> bool {
        self.foreign > 0.0
    }

    /// What stands now stays whatever we send: others' queue, or a longer way.
    pub fn disown(&mut self) {
        if let Some(least) = self.least(self.window()) {
            self.foreign = least;
        }
    }

    fn least(&self, window: Duration) -> Option<f64> {
        let (newest, _) = self.samples.back()?;
        let (oldest, _) = self.samples.front()?;
        if newest.saturating_duration_since(*oldest) + Duration::from_millis(50) < window {
            return None;
        }
        let recent = self.samples.iter().rev().take_while(|(at, _)| newest.saturating_duration_since(*at) < window);
        recent.map(|(_, queue)| *queue).min_by(f64::total_cmp)
    }
}
