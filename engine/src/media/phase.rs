//! When a source should take its pictures so that they reach the other side's screen just before it is refreshed.
//!
//! A screen of 60 Hz shows a picture 0 to 16.7 ms after it was drawn, and as long as both clocks run at the same rate always
//! the same of it. Who draws knows by how much its pictures are too early; from a few of them it is known where in the
//! screen's period they come, and the source is asked to take them so much later, or earlier, that nearly all are only just
//! in time. Where the screen's refreshes are not known nothing is asked for.

use std::collections::VecDeque;

use crate::base::time::{Duration, Instant};

/// The refresh of a screen at which a picture was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refresh {
    /// The picture was drawn so long before it.
    pub early: Duration,
    /// From one refresh to the next.
    pub period: Duration,
}

/// How early pictures are, and what the source is asked for. Milliseconds inside.
#[derive(Clone, Debug, Default)]
pub struct PhaseMeter {
    /// How early the last ones were, or would have been with what was asked for since.
    early: VecDeque<f32>,
    period: f32,
    /// So many of them came since the last decision.
    new: usize,
    /// Pictures taken before then were taken as before.
    asked: Option<Instant>,
    /// Pictures after that until the source has followed.
    skip: usize,
    /// What the source is asked for.
    later_micros: i32,
    told: bool,
    /// Where in the period they came before the last move, and how far that was.
    moved: Option<(f32, f32)>,
    /// Moves in a row that it did not follow.
    unheard: u8,
    /// Decisions left out until it is asked again.
    rests: u16,
}

/// Pictures looked at: two thirds of a second of them.
const KEPT: usize = 20;
/// Of so many one may be too late.
const TOO_LATE: usize = 6;
/// Pictures before the first decision, and between two later on.
const FIRST: usize = 4;
const WINDOW: usize = 6;
/// Kept between the latest of them and the refresh.
const MARGIN: f32 = 1.5;
/// Less is not worth moving for.
const LEAST_MOVE: f32 = 0.5;
/// What comes at any time, as to a screen whose period does not go into the pictures', has no gap of this part of the period.
const GAP: f32 = 0.25;
/// Of few pictures chance leaves such a gap as well; this one it does not. And so many of the newest are believed against those
/// before them: a call begins with pictures that take longer.
const WIDE_GAP: f32 = 0.75;
const FEW: usize = 8;
/// A camera keeps its own pace: after so many moves that it did not follow it is left in peace for so many decisions (a minute).
const UNHEARD: u8 = 3;
const REST: u16 = 300;
/// A shorter move is not told from chance.
const CLEAR: f32 = 2.0;

impl PhaseMeter {
    /// So far a source is moved from one picture to the next, at most: nobody sees it.
    pub const SLEW: Duration = Duration::from_millis(2);

    /// A picture that was taken at `captured` was shown. A word takes `round_trip` to the source and back.
    pub fn on_presented(&mut self, refresh: Refresh, captured: Instant, round_trip: Duration, now: Instant) {
        let [early, period] = [refresh.early, refresh.period].map(|time| time.as_secs_f32() * 1e3);
        if (period - self.period).abs() > period / 100.0 {
            // Another screen.
            *self = Self { period, later_micros: self.later_micros, told: true, ..Self::default() };
        }
        if period <= 0.0 || self.asked.is_some_and(|asked| captured < asked) {
            return;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return;
        }
        if self.early.len() == KEPT {
            self.early.pop_front();
        }
        self.early.push_back(early);
        self.new += 1;
        if self.new < if self.early.len() < KEPT / 2 { FIRST } else { WINDOW } {
            return;
        }
        let later = self.judge();
        self.new = 0;
        if later.abs() >= LEAST_MOVE {
            self.later_micros = self.later_micros.wrapping_add((later * 1e3) as i32);
            self.early.iter_mut().for_each(|early| *early -= later);
            self.asked = Some(now + round_trip);
            self.skip = (later.abs() / (Self::SLEW.as_secs_f32() * 1e3)).ceil() as usize;
            self.told = false;
        }
    }

    /// What to tell the source, once after each move: the whole way since the beginning, so that none is lost.
    pub fn take_report(&mut self) -> Option<PhaseReport> {
        let is_new = self.later_micros != 0 && !std::mem::replace(&mut self.told, true);
        is_new.then_some(PhaseReport { later_micros: self.later_micros })
    }

    /// By how many milliseconds the source should be later.
    fn judge(&mut self) -> f32 {
        if self.rests > 0 {
            self.rests -= 1;
            return 0.0;
        }
        let new = self.early.len() - self.new;
        let came = in_order(self.early.iter().skip(new), self.period, 0.0).map(|new| new[new.len() / 2]);
        if let (Some((before, by)), Some(came)) = (self.moved.take(), came) {
            let far = |place: f32| wrapped(came - place, self.period).abs();
            let is_unheard = by.abs() >= CLEAR && far(before) < far(before - by);
            self.unheard = if is_unheard { self.unheard + 1 } else { 0 };
            if is_unheard {
                self.early.drain(..new);
            }
            if self.unheard >= UNHEARD {
                (self.unheard, self.rests) = (0, REST);
                return 0.0;
            }
        }
        let gap = if self.early.len() > FEW { GAP } else { WIDE_GAP };
        let older = self.early.len().saturating_sub(FEW);
        let all = in_order(self.early.iter(), self.period, gap).or_else(|| {
            let newest = in_order(self.early.iter().skip(older), self.period, WIDE_GAP)?;
            self.early.drain(..older);
            Some(newest)
        });
        let Some(all) = all else { return 0.0 };
        let later = wrapped(just_in_time(&all, self.period) - MARGIN, self.period);
        self.moved = came.filter(|_| later.abs() >= LEAST_MOVE).map(|came| (came, later));
        later
    }
}

/// The places in the period, from the one that is drawn last to the one that is drawn first; `None` where they come at any
/// time, without a gap of the part `least` of the period.
fn in_order<'a>(early: impl Iterator<Item = &'a f32>, period: f32, least: f32) -> Option<Vec<f32>> {
    let mut places: Vec<f32> = early.map(|early| early.rem_euclid(period)).collect();
    places.sort_unstable_by(f32::total_cmp);
    let (first, last) = (*places.first()?, *places.last()?);
    // A circle is cut where it is emptiest.
    let gaps = places.windows(2).map(|two| two[1] - two[0]).chain([first + period - last]);
    let (at, gap) = gaps.enumerate().max_by(|a, b| a.1.total_cmp(&b.1))?;
    if gap < period * least {
        return None;
    }
    let begin = (at + 1) % places.len();
    places.iter_mut().skip(begin).for_each(|place| *place -= if begin > 0 { period } else { 0.0 });
    places.rotate_left(begin);
    Some(places)
}

/// Which of the places, from the latest on, is best the last one in time: who is later waits for a whole period, and who is
/// earlier for the last one.
fn just_in_time(places: &[f32], period: f32) -> f32 {
    let most = (places.len() / TOO_LATE).max(1);
    let cost = |late: usize| late as f32 / places.len() as f32 * period - places[late];
    let best = (0..=most.min(places.len() - 1)).min_by(|a, b| cost(*a).total_cmp(&cost(*b)));
    places[best.unwrap_or(0)]
}

/// The shortest way round.
fn wrapped(way: f32, period: f32) -> f32 {
    let way = way.rem_euclid(period);
    if way > period / 2.0 { way - period } else { way }
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
mod tests;
