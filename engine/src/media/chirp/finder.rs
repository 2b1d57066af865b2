//! The chirp finder: cheap enough to run on every sample that is heard.
//!
//! At 16 kHz two matched filters (one sweep up, one down) run over everything; a variant's correlation is the sum of
//! four of their outputs, 8 ms apart. That is two filters of 128 taps instead of eight of 512.

use std::collections::VecDeque;
use std::time::Duration;

use super::{CHIRP_SAMPLES, SWEEP_SAMPLES, SWEEPS, VARIANTS, is_down, sweep};
use crate::base::time::Instant;

/// 48 → 16 kHz: the chirp ends at 5.5 kHz, the anti-alias filter has until 8 kHz to close.
const STEP: usize = 3;
const SWEEP_TAPS: usize = SWEEP_SAMPLES / STEP;
const CHIRP_TAPS: usize = CHIRP_SAMPLES / STEP;
const FILTER_TAPS: usize = 33;
/// Cosine of the angle between what was heard and a chirp. Noise of any kind has a deviation of about 0.06 (288
/// degrees of freedom in 32 ms × 4.5 kHz); a chirp as loud as the noise around it scores 0.7.
const THRESHOLD: f32 = 0.5;
/// Below −70 dBFS nothing is looked for: rounding noise of a decoder is not a chirp.
const QUIET: f32 = 1e-7;
/// A found chirp is reported when nothing better came for this many steps (37 ms): half a chirp, before and after the
/// whole one is in the window, looks like half of another variant.
const PATIENCE: u64 = 600;

/// A chirp that was heard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChirpFound {
    pub variant: u8,
    /// When its first sample was heard; between samples, good to a few hundredths of a millisecond.
    pub at: Instant,
    /// 0.5 (barely) to 1 (undisturbed).
    pub score: f32,
}

/// Looks for chirps in 48 kHz mono.
#[derive(Debug)]
pub struct ChirpFinder {
    filter: [f32; FILTER_TAPS],
    up: Vec<f32>,
    down: Vec<f32>,
    /// Energy of a whole chirp of full scale at 16 kHz.
    energy: f32,
    /// The newest samples at 48 kHz, older first, as far as the filter reaches.
    input: Vec<f32>,
    /// The newest `CHIRP_TAPS` samples at 16 kHz.
    low: VecDeque<f32>,
    /// Output of the two matched filters, one per step, as long as a chirp less one sweep.
    ups: VecDeque<f32>,
    downs: VecDeque<f32>,
    window: Vec<f32>,
    low_energy: f64,
    /// Steps of 16 kHz done.
    steps: u64,
    samples: u64,
    times: VecDeque<(u64, Instant)>,
    /// Correlations of the last three steps, to find the top between steps.
    recent: [[f32; VARIANTS as usize]; 3],
    best: Option<Candidate>,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    variant: u8,
    score: f32,
    step: u64,
    /// The top lies this much beside the step, −0.5 to 0.5.
    beside: f32,
}

impl Default for ChirpFinder {
    fn default() -> Self {
        Self::new()
    }
}

impl ChirpFinder {
    pub fn new() -> Self {
        let (up, down) = (sweep(false, STEP), sweep(true, STEP));
        let energy = up.iter().map(|x| x * x).sum::<f32>() * SWEEPS as f32;
        Self {
            filter: low_pass(),
            up,
            down,
            energy,
            input: Vec::with_capacity(8192),
            low: VecDeque::from(vec![0.0; CHIRP_TAPS]),
            ups: VecDeque::from(vec![0.0; CHIRP_TAPS]),
            downs: VecDeque::from(vec![0.0; CHIRP_TAPS]),
            window: vec![0.0; SWEEP_TAPS],
            low_energy: 0.0,
            steps: 0,
            samples: 0,
            times: VecDeque::with_capacity(256),
            recent: [[0.0; VARIANTS as usize]; 3],
            best: None,
        }
    }

    /// Takes the next samples, the first of which is heard at `first`, and calls `found` for each chirp that is
    /// complete (about 38 ms after its end).
    pub fn push(&mut self, samples: &[f32], first: Instant, mut found: impl FnMut(ChirpFound)) {
        // 256 pushes of 2.5 ms are 640 ms, twenty times a chirp.
        if self.times.len() == 256 {
            self.times.pop_front();
        }
        self.times.push_back((self.samples, first));
        self.samples += samples.len() as u64;
        self.input.extend_from_slice(samples);
        let mut start = 0;
        while let Some(window) = self.input.get(start..start + FILTER_TAPS) {
            let low = dot(window, &self.filter);
            self.step(low);
            start += STEP;
            if let Some(chirp) = self.ripe() {
                found(chirp);
            }
        }
        self.input.drain(..start);
    }

    fn step(&mut self, low: f32) {
        let oldest = self.low.pop_front().unwrap_or(0.0);
        self.low.push_back(low);
        self.low_energy += f64::from(low * low) - f64::from(oldest * oldest);
        // The difference of large sums drifts; silence starts it anew.
        self.low_energy = self.low_energy.max(0.0);
        for (slot, value) in self.window.iter_mut().zip(self.low.iter().skip(CHIRP_TAPS - SWEEP_TAPS)) {
            *slot = *value;
        }
        let (up, down) = (dot(&self.up, &self.window), dot(&self.down, &self.window));
        self.ups.pop_front();
        self.ups.push_back(up);
        self.downs.pop_front();
        self.downs.push_back(down);
        self.steps += 1;

        let power = self.low_energy as f32 / CHIRP_TAPS as f32;
        let mut scores = [0.0f32; VARIANTS as usize];
        if power > QUIET {
            let scale = 1.0 / (self.low_energy as f32 * self.energy).sqrt();
            for (variant, score) in scores.iter_mut().enumerate() {
                let sum: f32 = (0..SWEEPS)
                    .map(|n| {
                        let side = if is_down(variant as u8, n) { &self.downs } else { &self.ups };
                        side[CHIRP_TAPS - 1 - (SWEEPS - 1 - n) * SWEEP_TAPS]
                    })
                    .sum();
                *score = sum.abs() * scale;
            }
        }
        self.recent = [self.recent[1], self.recent[2], scores];
        self.judge();
    }

    /// Is there a top at the middle one of the last three steps?
    fn judge(&mut self) {
        for variant in 0..VARIANTS {
            let [before, top, after] = self.recent.map(|scores| scores[usize::from(variant)]);
            if top < THRESHOLD || top < before || top <= after || self.best.is_some_and(|best| best.score >= top) {
                continue;
            }
            let bend = before - 2.0 * top + after;
            let beside = if bend < 0.0 { (0.5 * (before - after) / bend).clamp(-0.5, 0.5) } else { 0.0 };
            self.best = Some(Candidate { variant, score: top.min(1.0), step: self.steps - 2, beside });
        }
    }

    fn ripe(&mut self) -> Option<ChirpFound> {
        let best = self.best.filter(|best| self.steps > best.step + PATIENCE)?;
        self.best = None;
        // Step k is the filter's middle at sample 3k + 16; the chirp ends with it and began 511 steps before.
        let end = (best.step as f64 + f64::from(best.beside)) * STEP as f64 + (FILTER_TAPS / 2) as f64;
        let begin = end - ((CHIRP_TAPS - 1) * STEP) as f64;
        let (index, time) =
            *self.times.iter().rev().find(|(index, _)| *index as f64 <= begin).or(self.times.front())?;
        let beside = (begin - index as f64) / 48_000.0;
        let at = if beside >= 0.0 {
            time + Duration::from_secs_f64(beside)
        } else {
            time.checked_sub(Duration::from_secs_f64(-beside))?
        };
        Some(ChirpFound { variant: best.variant, at, score: best.score })
    }
}

/// Eight sums side by side, which the compiler turns into vector instructions; one sum it must not reorder.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a.iter().zip(b) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// Windowed sinc (Hamming), −6 dB at 6.75 kHz.
fn low_pass() -> [f32; FILTER_TAPS] {
    let cutoff = 6_750.0 / 48_000.0;
    let middle = (FILTER_TAPS / 2) as f64;
    std::array::from_fn(|n| {
        let x = n as f64 - middle;
        let sinc = if x == 0.0 {
            2.0 * cutoff
        } else {
            (std::f64::consts::TAU * cutoff * x).sin() / (std::f64::consts::PI * x)
        };
        (sinc * (0.54 + 0.46 * (std::f64::consts::PI * x / (middle + 1.0)).cos())) as f32
    })
}
