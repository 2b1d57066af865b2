//! What the loudspeaker plays, on the microphone's time: the echo canceller is given, with each block of the microphone,
//! what was played while it was captured. What it still has to find is the way through the air and what devices do not
//! say about themselves; another device, whose times are others, is no news to it.

use std::collections::VecDeque;

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Adjustable, Async, FixedAsync, PolynomialDegree, Resampler};

use super::bands::BLOCK;
use crate::base::time::Instant;

/// Two clocks in devices differ by less than this: 0.2 %.
const MOST_DRIFT: f64 = 0.002;
/// What is given is this much ahead of the microphone's time, where it is known by then: an echo that seems to come before
/// its sound, because a device claims to be later than it is, could not be cancelled.
const AHEAD: f64 = 240.0;
/// A device that claims less than this is not believed to be that late.
const LEAST_AHEAD: f64 = -960.0;
/// 10 ms beside its place: a device or its delay is another one.
const ASTRAY: f64 = 480.0;
/// For so many blocks (20 ms): one wrong time is not worth beginning anew.
const ASTRAY_FOR: u32 = 5;
/// Blocks between two looks at how the clocks differ: 1 s.
const LOOK_EVERY: u32 = 250;
/// As many looks as the drift is measured over.
const LOOKS: usize = 30;
/// Clocks that differ by less than this, and blocks no more samples beside their place (1 ms), are left alone: times from
/// devices waver, and a canceller that is led to and fro by them cancels less.
const STEADY: f64 = 30e-6;
const NEAR: f64 = 48.0;
/// A block that is beside its place is led back within so many samples (10 s).
const BACK: f64 = 480_000.0;
/// Played and not taken for so long (1 s), nobody captures.
const BOUND: usize = 48_000;

/// What was played, by when it plays.
pub struct FarLine {
    samples: VecDeque<f32>,
    /// The number of the sample behind the newest one.
    end: u64,
    /// A sample's number, and when it plays.
    anchor: Option<(u64, Instant)>,
    /// Where the next block begins, in samples; `None` before the first.
    next: Option<f64>,
    ahead: f64,
    /// How much faster than the microphone the loudspeaker takes samples.
    drift: f64,
    astray: u32,
    /// Blocks since the last look, and the sums of how far they were beside their place and of where that was, less the
    /// samples captured until then.
    blocks: u32,
    beside: f64,
    offset: f64,
    /// Means of the latter: the clocks differ by their slope.
    looks: VecDeque<f64>,
    captured: u64,
    leads_back: bool,
    resampler: Option<Async<f32>>,
    taken: Vec<f32>,
}

impl FarLine {
    pub fn new() -> Self {
        // What is drawn apart or together by less than 0.2 % needs no filter against folding.
        let resampler =
            Async::new_poly(1.0, 1.0 + MOST_DRIFT * 2.0, PolynomialDegree::Septic, BLOCK, 1, FixedAsync::Output);
        Self {
            samples: VecDeque::with_capacity(BOUND),
            end: 0,
            anchor: None,
            next: None,
            ahead: AHEAD,
            drift: 0.0,
            astray: 0,
            blocks: 0,
            beside: 0.0,
            offset: 0.0,
            looks: VecDeque::with_capacity(LOOKS),
            captured: 0,
            leads_back: false,
            resampler: resampler.ok(),
            taken: Vec::with_capacity(BLOCK * 2),
        }
    }

    /// `samples` begin to play at `plays`. What nobody takes is dropped after a second.
    pub fn push(&mut self, samples: &[f32], plays: Instant) {
        if samples.is_empty() {
            return;
        }
        self.anchor = Some((self.end, plays));
        let excess = (self.samples.len() + samples.len()).saturating_sub(BOUND);
        self.samples.drain(..excess.min(self.samples.len()));
        self.samples.extend(&samples[samples.len().saturating_sub(BOUND)..]);
        self.end += samples.len() as u64;
    }

    /// What plays while the block captured from `first` on is captured; silence where nothing does.
    pub fn take(&mut self, first: Instant, out: &mut [f32; BLOCK]) {
        out.fill(0.0);
        let Some((number, plays)) = self.anchor else { return };
        let since = |from: Instant, to: Instant| to.saturating_duration_since(from).as_secs_f64() * 48_000.0;
        let place = number as f64 + since(plays, first) - since(first, plays) + self.ahead;
        let next = *self.next.get_or_insert(place.round());
        self.captured += BLOCK as u64;
        self.follow(place, place - next);
        let next = self.next.unwrap_or(next);
        self.read(next, out);
        let needed = self.next.unwrap_or(next);
        // Not known yet: from now on less is asked for, once.
        let missing = needed - self.end as f64;
        if missing > 0.0 && missing < AHEAD * 2.0 && self.ahead > LEAST_AHEAD {
            self.ahead -= missing + NEAR / 2.0;
            self.jump(needed - missing - NEAR / 2.0);
        }
    }

    /// How much faster the loudspeaker takes samples than the microphone gives them.
    pub const fn drift(&self) -> f64 {
        self.drift
    }

    /// Keeps to the time: a block belongs to `place` and lies `beside` it.
    fn follow(&mut self, place: f64, beside: f64) {
        self.astray = if beside.abs() > ASTRAY { self.astray + 1 } else { 0 };
        if self.astray > ASTRAY_FOR {
            // How far ahead the last one let itself be known says nothing about this one.
            let place = place + AHEAD - std::mem::replace(&mut self.ahead, AHEAD);
            return self.jump(place.round());
        }
        if self.astray > 0 {
            return;
        }
        self.blocks += 1;
        self.beside += beside;
        self.offset += place - self.captured as f64;
        if self.blocks < LOOK_EVERY {
            return;
        }
        let blocks = f64::from(std::mem::take(&mut self.blocks));
        let beside = std::mem::take(&mut self.beside) / blocks;
        if self.looks.len() == LOOKS {
            self.looks.pop_front();
        }
        self.looks.push_back(std::mem::take(&mut self.offset) / blocks);
        let span = (self.looks.len() - 1) as f64 * blocks * BLOCK as f64;
        let rise = self.looks.back().zip(self.looks.front()).map_or(0.0, |(last, first)| last - first);
        let slope = Some(rise / span).filter(|slope| slope.abs() > STEADY && span > 0.0).unwrap_or_default();
        if (slope - self.drift).abs() > 2.0 * STEADY {
            // Found out, or another one: led back slowly, the echo would move for many seconds.
            self.drift = slope.clamp(-MOST_DRIFT, MOST_DRIFT);
            return self.read_from(place.round());
        }
        self.leads_back = slope != 0.0 || beside.abs() > if self.leads_back { NEAR / 4.0 } else { NEAR };
        let back = if self.leads_back { beside / BACK } else { 0.0 };
        self.drift = (slope + back).clamp(-MOST_DRIFT, MOST_DRIFT);
    }

    /// The next block is read at `to`.
    fn jump(&mut self, to: f64) {
        self.read_from(to);
        (self.astray, self.blocks, self.beside, self.offset) = (0, 0, 0.0, 0.0);
        self.looks.clear();
    }

    /// What the resampler holds was before another place.
    fn read_from(&mut self, to: f64) {
        self.next = Some(to);
        if let Some(resampler) = &mut self.resampler {
            resampler.reset();
        }
    }

    /// Reads a block at `next` and moves behind it.
    fn read(&mut self, next: f64, out: &mut [f32; BLOCK]) {
        let Some(resampler) = &mut self.resampler else { return };
        // Faster taken than captured: more of what was played belongs to a block.
        let _ = resampler.set_resample_ratio(1.0 / (1.0 + self.drift), true);
        let count = resampler.input_frames_next();
        let from = next as i64 - (self.end as i64 - self.samples.len() as i64);
        self.taken.clear();
        let sample =
            |at: i64| usize::try_from(at).ok().and_then(|at| self.samples.get(at)).copied().unwrap_or_default();
        self.taken.extend((from..from + count as i64).map(sample));
        if let (Ok(input), Ok(mut output)) =
            (InterleavedSlice::new(&self.taken, 1, count), InterleavedSlice::new_mut(out, 1, BLOCK))
        {
            // Sizes are right by construction; were one not, a block of silence cancels nothing and harms nothing.
            let _ = resampler.process_into_buffer(&input, &mut output, None);
        }
        self.next = Some(next + count as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::super::time_of;
    use super::*;
    use crate::base::time::{Duration, now};

    /// Three turns in a block.
    const TONE: f64 = std::f64::consts::TAU * 3.0 / BLOCK as f64;

    /// Plays a tone on a clock that is `ppm` faster, `jump` samples later from the sixth second on. Of each second from the
    /// third on how many samples the tone is beside its place, at its end.
    fn run(ppm: f64, jump: usize) -> (Vec<f64>, f64) {
        let (mut far, start, mut pushed) = (FarLine::new(), now(), 0);
        let ratio = 1.0 + ppm * 1e-6;
        let mut beside = Vec::new();
        for block in 0..250 * 10 {
            let at = block * BLOCK;
            let moved = if at >= 288_000 { jump } else { 0 };
            let plays = |sample: usize| sample as f64 / ratio + moved as f64;
            while plays(pushed) < (at + 960) as f64 {
                let tone: Vec<f32> = (pushed..pushed + 240).map(|at| (at as f64 * TONE).sin() as f32).collect();
                far.push(&tone, start + Duration::from_secs_f64(plays(pushed) / 48_000.0));
                pushed += 240;
            }
            let mut out = [0.0; BLOCK];
            far.take(start + time_of(at), &mut out);
            if block % 250 == 249 && block > 500 {
                let place = |n: usize| ((at + n - moved) as f64 * ratio + AHEAD) * TONE;
                let parts = out.iter().enumerate().fold((0.0, 0.0), |(sine, cosine), (n, sample)| {
                    (sine + f64::from(*sample) * place(n).sin(), cosine + f64::from(*sample) * place(n).cos())
                });
                beside.push(parts.1.atan2(parts.0) / TONE);
            }
        }
        (beside, far.drift() * 1e6)
    }

    #[test]
    fn a_block_is_given_what_plays_while_it_is_captured() {
        let (beside, drift) = run(0.0, 0);
        assert!(drift == 0.0 && beside.iter().all(|beside| beside.abs() < 12.0), "{beside:?}");
    }

    #[test]
    fn a_clock_that_drifts_is_followed() {
        for ppm in [-1000.0, 100.0, 1000.0] {
            let (beside, drift) = run(ppm, 0);
            assert!((drift - ppm).abs() < 10.0, "{drift} ppm");
            let (first, last) = (beside[0], beside[beside.len() - 1]);
            assert!(last.abs() < 24.0 && (last - first).abs() < 8.0, "{ppm} ppm: {beside:?}");
        }
    }

    #[test]
    fn a_device_that_is_later_is_followed_at_once() {
        let (beside, drift) = run(0.0, 4800);
        assert!(drift == 0.0 && beside.iter().all(|beside| beside.abs() < 12.0), "{beside:?}");
    }

    #[test]
    fn nothing_played_is_silence_and_too_much_is_dropped() {
        let (mut far, start, mut out) = (FarLine::new(), now(), [1.0; BLOCK]);
        far.take(start, &mut out);
        assert_eq!(out, [0.0; BLOCK]);
        far.push(&vec![0.5; 3 * BOUND], start);
        assert_eq!(far.samples.len(), BOUND);
    }
}
