//! Shortens and lengthens sound by whole pitch periods, without a change of pitch: where the jitter buffer holds too
//! much, a period is cut out; where too little, one is played twice. In quiet passages any length is cut.
//!
//! A difference of the two clocks is mended before that by single samples, left out or put in under a cross-fade.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Adjustable, FixedAsync, Resampler, Resizable, Slip};

use super::level::power_of_two;
use crate::base::stereo::Stereo;

/// What the jitter buffer wants done, and at most by how many samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stretch {
    #[default]
    None,
    Shorten(usize),
    Lengthen(usize),
}

/// 2.5 ms: the pitch period of a 400 Hz voice, and the length of the cross-fade.
const SHORTEST: usize = 120;
/// 15 ms: the pitch period of a 66 Hz voice.
const LONGEST: usize = 720;
/// Between two cuts at least this much is played as it is (20 ms), so that cuts are not heard as roughness.
const REST: usize = 960;
/// Below −50 dBFS nobody hears a cut.
const QUIET: f32 = 1e-5;
/// Periods less alike than this are not cut unless the excess is large (cosine).
const ALIKE: f32 = 0.5;
/// Above this excess (60 ms) the delay is worse than a rough cut.
const LARGE: usize = 2_880;

/// A block in which one sample is left out or put in at most: 5 ms, with a cross-fade of 119 samples. Of the shortest
/// packets (2.5 ms) the block is one, its cross-fade half as long.
const BLOCK: usize = 240;

/// Decoded samples on their way to the mixer.
#[derive(Debug)]
pub struct Stretcher {
    /// The last 15 ms that were popped, then what waits.
    samples: Vec<Stereo>,
    slip: Slip<f32>,
    played: usize,
    since_cut: usize,
    removed: u64,
    added: u64,
}

impl Default for Stretcher {
    fn default() -> Self {
        let slip = Slip::new(BLOCK, 2, FixedAsync::Input).expect("a block holds a cross-fade");
        Self { samples: Vec::with_capacity(16_384), slip, played: 0, since_cut: REST, removed: 0, added: 0 }
    }
}

impl Stretcher {
    /// Appends decoded samples, `ppm` in a million more of them, and, where it can be done well, shortens or lengthens
    /// what waits.
    pub fn push(&mut self, samples: &[Stereo], stretch: Stretch, ppm: i32) {
        if ppm == 0 {
            self.samples.extend_from_slice(samples);
        } else {
            samples.chunks(BLOCK).for_each(|block| self.resample(block, ppm));
        }
        match stretch {
            Stretch::None => {}
            Stretch::Shorten(most) => self.shorten(most),
            Stretch::Lengthen(most) => self.lengthen(most),
        }
    }

    /// Moves exactly `out.len()` samples out; what is missing is silence, and their number comes back.
    pub fn pop(&mut self, out: &mut [Stereo]) -> usize {
        let count = out.len().min(self.len());
        let (filled, missing) = out.split_at_mut(count);
        filled.copy_from_slice(&self.samples[self.played..self.played + count]);
        missing.fill([0.0; 2]);
        self.played += count;
        self.since_cut = self.since_cut.saturating_add(count);
        if self.played > LONGEST {
            self.samples.drain(..self.played - LONGEST);
            self.played = LONGEST;
        }
        missing.len()
    }

    /// Makes it hold so many samples, by silence at the end or by leaving out there: for a replay, which knows how many
    /// there were and not which.
    pub fn set_len(&mut self, len: usize) {
        self.samples.resize(self.played + len, [0.0; 2]);
    }

    /// Samples that wait.
    pub fn len(&self) -> usize {
        self.samples.len() - self.played
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many samples should wait before the next `wanted` are popped: more than `wanted` while there is something
    /// to cut, as a cut needs a pitch period and a half to look at; never more than `wanted` plus what lies `ready`.
    pub fn appetite(&self, wanted: usize, stretch: Stretch, ready: usize) -> usize {
        match stretch {
            Stretch::Shorten(most) => wanted + (most.min(LONGEST) + SHORTEST).min(ready),
            _ => wanted,
        }
    }

    /// Samples cut out and put in since the beginning.
    pub const fn changed(&self) -> (u64, u64) {
        (self.removed, self.added)
    }

    /// Each block stands for itself, so one that is too short for it goes as it is, and nothing is delayed.
    fn resample(&mut self, block: &[Stereo], ppm: i32) {
        let start = self.samples.len();
        let ready = block.len() >= SHORTEST
            && self.slip.set_chunk_size(block.len()).is_ok()
            && self.slip.set_resample_ratio(1.0 + f64::from(ppm) / 1e6, false).is_ok();
        let made = if ready { self.slip.output_frames_next() } else { 0 };
        self.samples.resize(start + made, [0.0; 2]);
        let done = InterleavedSlice::new(block.as_flattened(), 2, block.len()).ok().and_then(|block| {
            let mut out = InterleavedSlice::new_mut(self.samples[start..].as_flattened_mut(), 2, made).ok()?;
            (made > 0).then(|| self.slip.process_into_buffer(&block, &mut out, None))?.ok()
        });
        if done.is_none() {
            self.samples.truncate(start);
            self.samples.extend_from_slice(block);
        }
    }

    fn shorten(&mut self, most: usize) {
        let waiting = &self.samples[self.played..];
        let limit = most.min(LONGEST).min(waiting.len().saturating_sub(SHORTEST));
        if limit < SHORTEST {
            return;
        }
        let quiet = power_of_two(waiting) < QUIET;
        if !quiet && most < LARGE && self.since_cut < REST {
            return;
        }
        let (head, tail) = (&waiting[..SHORTEST], waiting);
        let best = if quiet { Some(limit) } else { best_lag(head, tail, limit, most >= LARGE) };
        let Some(lag) = best else { return };
        let start = self.played;
        for n in 0..SHORTEST {
            let fade = (n + 1) as f32 / (SHORTEST + 1) as f32;
            self.samples[start + n + lag] = crossed(self.samples[start + n], self.samples[start + n + lag], fade);
        }
        self.samples.drain(start..start + lag);
        self.since_cut = 0;
        self.removed += lag as u64;
    }

    fn lengthen(&mut self, most: usize) {
        let limit = most.min(LONGEST).min(self.played);
        if limit < SHORTEST || self.len() < SHORTEST || self.since_cut < REST {
            return;
        }
        // The best place to jump back to: where the past looks like what comes next.
        let start = self.played;
        let head = &self.samples[start..start + SHORTEST];
        let mut best: Option<(usize, f32)> = None;
        for lag in (SHORTEST..=limit).step_by(2) {
            let score = alike(head, &self.samples[start - lag..start - lag + SHORTEST]);
            if best.is_none_or(|(_, top)| score > top) {
                best = Some((lag, score));
            }
        }
        let quiet = power_of_two(head) < QUIET;
        let Some((lag, _)) = best.filter(|(_, score)| quiet || *score > ALIKE) else { return };
        let mut inserted = [[0.0f32; 2]; LONGEST];
        inserted[..lag].copy_from_slice(&self.samples[start - lag..start]);
        let played = self.samples[start..start + SHORTEST].iter();
        for (n, (sample, played)) in inserted.iter_mut().zip(played).enumerate() {
            let fade = (n + 1) as f32 / (SHORTEST + 1) as f32;
            *sample = crossed(*played, *sample, fade);
        }
        self.samples.splice(start..start, inserted[..lag].iter().copied());
        self.since_cut = 0;
        self.added += lag as u64;
    }
}

/// The lag of 2.5 to 15 ms at which `samples` looks most like `head`; of equally good ones the longest, as it cuts more.
fn best_lag(head: &[Stereo], samples: &[Stereo], limit: usize, any: bool) -> Option<usize> {
    let mut best: Option<(usize, f32)> = None;
    for lag in (SHORTEST..=limit).step_by(2) {
        let score = alike(head, &samples[lag..lag + SHORTEST]);
        if best.is_none_or(|(_, top)| score >= top) {
            best = Some((lag, score));
        }
    }
    best.filter(|(_, score)| any || *score > ALIKE).map(|(lag, _)| lag)
}

/// On the way from one sample to another.
fn crossed(from: Stereo, to: Stereo, fade: f32) -> Stereo {
    [0, 1].map(|side| from[side] * (1.0 - fade) + to[side] * fade)
}

/// Cosine of the angle between two blocks, less where their loudness differs.
fn alike(a: &[Stereo], b: &[Stereo]) -> f32 {
    let (mut product, mut one, mut other) = (0.0f32, 1e-12f32, 1e-12f32);
    for (a, b) in a.as_flattened().iter().zip(b.as_flattened()) {
        product += a * b;
        one += a * a;
        other += b * b;
    }
    product / one.max(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Softer on the right, and behind the left one by a part of its period.
    fn voice(from: usize, count: usize, hz: f32) -> Vec<Stereo> {
        one_side(from, count, hz).into_iter().zip(one_side(from + 60, count, hz)).map(|(l, r)| [l, r * 0.5]).collect()
    }

    fn one_side(from: usize, count: usize, hz: f32) -> Vec<f32> {
        (from..from + count)
            .map(|n| {
                let t = n as f32 / 48_000.0;
                (1..6).map(|h| (std::f32::consts::TAU * hz * h as f32 * t).sin() / h as f32).sum::<f32>() * 0.2
            })
            .collect()
    }

    /// Zero crossings of the fundamental would count harmonics: compare with the signal one period later instead.
    fn periodicity(samples: &[Stereo], period: usize) -> f32 {
        alike(&samples[..samples.len() - period], &samples[period..])
    }

    fn run(stretch: Stretch) -> (Vec<Stereo>, Stretcher) {
        let mut stretcher = Stretcher::default();
        let mut out = Vec::new();
        for block in voice(0, 48_000, 120.0).chunks(960) {
            stretcher.push(block, stretch, 0);
            let mut popped = vec![[0.0; 2]; stretcher.len()];
            assert_eq!(stretcher.pop(&mut popped), 0);
            out.extend(popped);
        }
        (out, stretcher)
    }

    #[test]
    fn shortening_cuts_time_and_keeps_the_pitch() {
        let (out, stretcher) = run(Stretch::Shorten(720));
        assert!(out.len() < 40_000, "{}", out.len());
        assert_eq!(out.len() as u64 + stretcher.changed().0, 48_000);
        assert!(periodicity(&out, 400) > 0.97, "{}", periodicity(&out, 400));
    }

    #[test]
    fn lengthening_adds_time_and_keeps_the_pitch() {
        let (out, stretcher) = run(Stretch::Lengthen(720));
        assert!(out.len() > 58_000, "{}", out.len());
        assert_eq!(out.len() as u64, 48_000 + stretcher.changed().1);
        assert!(periodicity(&out, 400) > 0.97, "{}", periodicity(&out, 400));
    }

    #[test]
    fn silence_is_cut_without_looking_for_a_pitch() {
        let mut stretcher = Stretcher::default();
        stretcher.push(&[[0.0; 2]; 960], Stretch::Shorten(500), 0);
        assert_eq!(stretcher.len(), 460);
    }

    #[test]
    fn a_drift_is_mended_by_single_samples_and_without_a_click() {
        for (ppm, block) in [(1500, 240), (-1500, 240), (-700, 120), (1000, 960), (1000, 17)] {
            let (mut stretcher, mut out) = (Stretcher::default(), Vec::new());
            let sound = voice(0, 48_000 * 4, 120.0);
            for block in sound.chunks(block) {
                stretcher.push(block, Stretch::None, ppm);
                let mut popped = vec![[0.0; 2]; stretcher.len()];
                stretcher.pop(&mut popped);
                out.extend(popped);
            }
            // Blocks shorter than a cross-fade go as they are.
            let expected = if block < SHORTEST { 0 } else { 48_000 * 4 * i64::from(ppm) / 1_000_000 };
            let more = out.len() as i64 - sound.len() as i64;
            assert!((more - expected).abs() <= 1, "{ppm} ppm in {block}: {more}");
            let steepest = |sound: &[Stereo]| {
                let step = |two: &[Stereo]| (two[1][0] - two[0][0]).abs().max((two[1][1] - two[0][1]).abs());
                sound.windows(2).map(step).fold(0.0, f32::max)
            };
            assert!(steepest(&out) < steepest(&sound) * 1.02, "{} {}", steepest(&out), steepest(&sound));
            assert!(periodicity(&out, 400) > 0.999, "{}", periodicity(&out, 400));
        }
    }

    #[test]
    fn what_is_missing_is_silence() {
        let mut stretcher = Stretcher::default();
        stretcher.push(&[[0.5, -0.5]; 10], Stretch::None, 0);
        let mut out = [[1.0; 2]; 16];
        assert_eq!(stretcher.pop(&mut out), 6);
        assert_eq!(out[9..11], [[0.5, -0.5], [0.0; 2]]);
    }
}
