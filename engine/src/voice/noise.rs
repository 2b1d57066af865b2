//! Noise suppression by a causal Wiener filter: in each block the one filter is computed that brings the lowest band nearest
//! to the speech in it, of all that look at past samples and at [`LATE`] to come. Gains in a spectrum, as is usual, would
//! need windows that overlap, and be late by the overlap; this is late by what it looks ahead.
//!
//! How much noise there is follows T. Gerkmann and R. C. Hendriks, "Unbiased MMSE-Based Noise Power Estimation with Low
//! Complexity and Low Tracking Delay", 2012; how much speech, Y. Ephraim and D. Malah, "Speech Enhancement Using a Minimum
//! Mean-Square Error Log-Spectral Amplitude Estimator", 1985, §V; the filter, N. Levinson, "The Wiener RMS Error Criterion
//! in Filter Design and Prediction", 1947.

use std::f32::consts::PI;

use sonora_fft::pffft::{FftType, Pffft, PffftBuffer};

use super::bands::{BAND, Bands, COUNT};

/// Samples of the lowest band that are seen before their turn: with the bands and the canceller's block 6 ms.
pub const LATE: usize = 12;
/// 32 ms of the lowest band: neighbouring overtones of a voice are told apart.
const WINDOW: usize = 512;
const BINS: usize = WINDOW / 2 + 1;
/// The newest samples are looked at through a slope of so many.
const FALL: usize = 32;
/// Of the filter, 8 ms: more cost more and are not better.
const TAPS: usize = 128;
/// Of the newest block in what is taken for noise.
const NEWS: f32 = 0.02;
/// How much of the last block's speech is expected in this one. Less lets single tones of noise through.
const KEPT: f32 = 0.95;
/// More noise is taken out than is there: what is left in speech is heard more than what is missing of it.
const OVER: f32 = 2.5;
/// This much of all is left (−26 dB): a dead line would be taken for one.
const FLOOR: f32 = 0.05;
/// Speech is never taken to be farther than 25 dB below the noise.
const LEAST_SPEECH: f32 = 0.003;
/// Where there is speech, it is taken to be 15 dB above the noise.
const SPEECH: f32 = 31.6;
/// Blocks from which the first noise is learned, 200 ms, whatever is in them.
const FIRST: u32 = 50;

/// Takes noise out of speech.
pub struct NoiseSuppressor {
    fft: Pffft,
    time: PffftBuffer,
    spectrum: PffftBuffer,
    window: [f32; WINDOW],
    past: [f32; WINDOW],
    bins: [Bin; BINS],
    blocks: u32,
    filter: [f32; TAPS],
    solver: Solver,
    upper: [Upper; COUNT - 1],
    /// Mean squares of what was given and of what was made: of the blocks in which nobody speaks.
    pub given: f64,
    pub made: f64,
    /// Somebody speaks.
    pub is_voice: bool,
}

/// One frequency of the lowest band: powers in the scale of 16 bits.
#[derive(Clone, Copy)]
struct Bin {
    noise: f32,
    /// What was left of the last block.
    speech: f32,
    /// Speech as a multiple of the noise.
    ratio: f32,
    /// How sure it was of late that there is speech.
    sure: f32,
}

/// One of the bands above 8 kHz: one gain for all of it.
#[derive(Clone, Copy)]
struct Upper {
    noise: f32,
    speech: f32,
    gain: f32,
    sure: f32,
    late: [f32; LATE],
}

impl NoiseSuppressor {
    pub fn new() -> Self {
        let fft = Pffft::new(WINDOW, FftType::Real);
        let (time, spectrum) = (fft.create_buffer(), fft.create_buffer());
        let mut filter = [0.0; TAPS];
        filter[LATE] = 1.0;
        Self {
            fft,
            time,
            spectrum,
            window: window(),
            past: [0.0; WINDOW],
            bins: [Bin { noise: 1.0, speech: 0.0, ratio: 1.0, sure: 0.5 }; BINS],
            blocks: 0,
            filter,
            solver: Solver::default(),
            upper: [Upper { noise: 1.0, speech: 0.0, gain: 1.0, sure: 0.5, late: [0.0; LATE] }; COUNT - 1],
            given: 0.0,
            made: 0.0,
            is_voice: false,
        }
    }

    /// Takes the noise out of a block in the scale of 16 bits.
    pub fn suppress(&mut self, bands: &mut Bands) {
        let given = power(bands);
        let [low, upper @ ..] = bands;
        self.past.copy_within(BAND.., 0);
        self.past[WINDOW - BAND..].copy_from_slice(low);
        self.blocks = self.blocks.saturating_add(1);
        self.look();
        let before = self.filter;
        self.shape();
        for (at, out) in low.iter_mut().enumerate() {
            let seen = &self.past[WINDOW - BAND + at + 1 - TAPS..][..TAPS];
            let (one, other) = (through(&before, seen), through(&self.filter, seen));
            *out = one + (other - one) * share(at);
        }
        let is_first = self.blocks <= FIRST;
        for (band, samples) in self.upper.iter_mut().zip(upper) {
            band.suppress(samples, is_first.then_some(self.blocks));
        }
        if !self.is_voice {
            self.given += given;
            self.made += power(bands);
        }
    }

    /// Learns how much noise and speech there is at each frequency.
    fn look(&mut self) {
        let windowed = self.past.iter().zip(&self.window).map(|(sample, window)| sample * window);
        self.time.as_mut_slice().iter_mut().zip(windowed).for_each(|(to, from)| *to = from);
        self.fft.forward(&self.time, &mut self.spectrum, false);
        let spectrum = self.spectrum.as_slice();
        for (k, bin) in self.bins.iter_mut().enumerate() {
            // Real and imaginary parts in turn; the first and the last have only one.
            let parts = spectrum.get((2 * k).saturating_sub(1)..=(2 * k).min(WINDOW - 1)).unwrap_or_default();
            bin.look(parts.iter().map(|part| part * part).sum::<f32>() + 1.0, self.blocks);
        }
    }

    /// Computes the filter.
    fn shape(&mut self) {
        self.correlate(|bin| bin.ratio * bin.noise * OVER);
        for (to, lag) in self.solver.wanted.iter_mut().zip((0..TAPS).map(|tap| tap.abs_diff(LATE))) {
            *to = f64::from(self.time.as_slice()[lag]);
        }
        self.correlate(|bin| (1.0 + bin.ratio) * bin.noise * OVER);
        self.solver.seen.iter_mut().zip(self.time.as_slice()).for_each(|(to, from)| *to = f64::from(*from));
        self.solver.solve();
        for (tap, solved) in self.filter.iter_mut().zip(&self.solver.taps) {
            *tap = *solved as f32 * (1.0 - FLOOR);
        }
        self.filter[LATE] += FLOOR;
    }

    /// What correlation over time has sound of these powers? It lies in `time`.
    fn correlate(&mut self, power: impl Fn(&Bin) -> f32) {
        let spectrum = self.spectrum.as_mut_slice();
        spectrum.fill(0.0);
        for (k, bin) in self.bins.iter().enumerate() {
            spectrum[(2 * k).saturating_sub(1)] = power(bin);
        }
        self.fft.backward(&self.spectrum, &mut self.time, false);
    }
}

impl Bin {
    /// Takes in the power of the newest window.
    fn look(&mut self, power: f32, blocks: u32) {
        if blocks <= FIRST {
            self.noise += (power - self.noise) / blocks as f32;
        } else {
            let above = (power / self.noise * SPEECH / (1.0 + SPEECH)).min(80.0);
            let is_speech = 1.0 / (1.0 + (1.0 + SPEECH) * (-above).exp());
            self.sure += (is_speech - self.sure) * 0.03;
            // Sure for too long, it was noise that has become louder.
            let is_speech = if self.sure > 0.99 { is_speech.min(0.99) } else { is_speech };
            self.noise += (power - self.noise) * (1.0 - is_speech) * NEWS;
        }
        let noise = self.noise * OVER;
        let above = (power / noise).min(1e4);
        self.ratio = (KEPT * self.speech / noise + (1.0 - KEPT) * (above - 1.0).max(0.0)).max(LEAST_SPEECH);
        let share = self.ratio / (1.0 + self.ratio);
        let gain = (share * (0.5 * integral(share * above)).exp()).min(1.0);
        self.speech = gain * gain * power;
    }
}

impl Upper {
    fn suppress(&mut self, samples: &mut [f32; BAND], first: Option<u32>) {
        let power = samples.iter().map(|sample| sample * sample).sum::<f32>() / BAND as f32 + 1e-3;
        let above = power / self.noise;
        // A block of noise alone is hardly ever twice as loud as the next.
        let is_speech = above > 2.0;
        self.sure += (f32::from(u8::from(is_speech)) - self.sure) * 0.01;
        let news = match first {
            Some(blocks) => 1.0 / blocks as f32,
            None if !is_speech => 0.02,
            // So loud for a second, it may be another noise.
            None if self.sure > 0.9 => 0.005,
            None => 0.0005,
        };
        self.noise += (power - self.noise) * news;
        let ratio = 0.8 * self.speech / self.noise + 0.2 * (above - 1.0).max(0.0);
        let before = std::mem::replace(&mut self.gain, (ratio / (1.0 + ratio)).max(FLOOR));
        self.speech = self.gain * self.gain * power;
        samples.rotate_right(LATE);
        samples[..LATE].swap_with_slice(&mut self.late);
        samples.iter_mut().enumerate().for_each(|(at, sample)| *sample *= before + (self.gain - before) * share(at));
    }
}

/// Finds the filter: Levinson's recursion, with as many steps as there are taps.
struct Solver {
    /// Correlation of what is seen, by lag, and of the speech in it with what is to come out.
    seen: [f64; TAPS],
    wanted: [f64; TAPS],
    taps: [f64; TAPS],
    /// Predicts what is seen.
    predictor: [f64; TAPS],
}

impl Default for Solver {
    fn default() -> Self {
        Self { seen: [0.0; TAPS], wanted: [0.0; TAPS], taps: [0.0; TAPS], predictor: [0.0; TAPS] }
    }
}

impl Solver {
    fn solve(&mut self) {
        let Self { seen, wanted, taps, predictor } = self;
        // As if there were white noise 50 dB below all else: nothing is then so predictable that it cannot be counted with.
        seen[0] *= 1.00001;
        let mut error = seen[0];
        predictor.fill(0.0);
        taps.fill(0.0);
        (predictor[0], taps[0]) = (1.0, wanted[0] / error);
        for order in 1..TAPS {
            let against = |known: &[f64; TAPS]| -> f64 {
                known[..order].iter().zip(seen[1..=order].iter().rev()).map(|(known, seen)| known * seen).sum()
            };
            let step = -against(predictor) / error;
            let rest = wanted[order] - against(taps);
            for low in 0..=order / 2 {
                let (one, other) = (predictor[low], predictor[order - low]);
                predictor[low] = one + step * other;
                predictor[order - low] = other + step * one;
            }
            error *= 1.0 - step * step;
            let step = rest / error;
            taps[..=order].iter_mut().zip(predictor[..=order].iter().rev()).for_each(|(tap, back)| *tap += step * back);
        }
    }
}

/// A long rise and a short fall, of the power of one sample.
fn window() -> [f32; WINDOW] {
    let slope = |at: usize, length: usize| 0.5 - 0.5 * (PI * (at as f32 + 0.5) / length as f32).cos();
    let window: [f32; WINDOW] = std::array::from_fn(|at| match at < WINDOW - FALL {
        true => slope(at, WINDOW - FALL),
        false => slope(WINDOW - 1 - at, FALL),
    });
    let power: f32 = window.iter().map(|x| x * x).sum();
    window.map(|x| x / power.sqrt())
}

/// How far the block's sample is on the way from the last gain to this one.
fn share(at: usize) -> f32 {
    (at + 1) as f32 / BAND as f32
}

fn through(filter: &[f32; TAPS], seen: &[f32]) -> f32 {
    // In lanes, so that the compiler may add several at a time.
    let mut sums = [0.0; 8];
    for (taps, samples) in filter.as_chunks::<8>().0.iter().rev().zip(seen.as_chunks::<8>().0) {
        (0..8).for_each(|lane| sums[lane] += taps[7 - lane] * samples[lane]);
    }
    sums.iter().sum()
}

/// Mean square of all bands.
fn power(bands: &Bands) -> f64 {
    bands.as_flattened().iter().map(|sample| f64::from(sample * sample)).sum::<f64>() / (BAND * COUNT) as f64
}

/// The exponential integral E₁ (M. Abramowitz and I. A. Stegun, "Handbook of Mathematical Functions", 5.1.53 and 5.1.54).
fn integral(x: f32) -> f32 {
    if x < 1.0 {
        let x = x.max(1e-6);
        let terms = [-0.577_215_7, 0.999_991_9, -0.249_910_55, 0.055_199_68, -0.009_760_04, 0.001_078_57];
        return terms.iter().rev().fold(0.0, |sum, term| sum * x + term) - x.ln();
    }
    let above = 0.250_621 + x * (2.334_733 + x);
    let below = 1.681_534 + x * (3.330_657 + x);
    above / below * (-x).exp() / x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_solves_its_equations() {
        let mut solver = Solver {
            seen: std::array::from_fn(|lag| 0.9f64.powi(lag as i32) + if lag == 0 { 0.5 } else { 0.0 }),
            wanted: std::array::from_fn(|tap| 0.9f64.powi(tap.abs_diff(LATE) as i32)),
            ..Solver::default()
        };
        let before = solver.seen;
        solver.solve();
        for row in 0..TAPS {
            let sum: f64 = (0..TAPS).map(|tap| solver.taps[tap] * before[row.abs_diff(tap)]).sum();
            assert!((sum - solver.wanted[row]).abs() < 1e-4, "{row}: {sum}");
        }
    }

    #[test]
    fn without_noise_a_voice_passes_as_it_is_and_late() {
        let mut suppressor = NoiseSuppressor::new();
        let (mut given, mut made) = (Vec::new(), Vec::new());
        for block in 0..500 {
            let mut bands = [[0.0; BAND]; COUNT];
            let voice = |at: usize| (1..10).map(|n| (at as f32 * 0.05 * n as f32).sin() * 1000.0 / n as f32).sum();
            if block > 100 && block / 50 % 2 == 0 {
                bands[0] = std::array::from_fn(|at| voice(block * BAND + at));
            }
            given.extend(bands[0]);
            suppressor.suppress(&mut bands);
            made.extend(bands[0]);
        }
        let wrong: f32 = given.iter().zip(&made[LATE..]).map(|(a, b)| (a - b).powi(2)).sum();
        let all: f32 = given.iter().map(|x| x * x).sum();
        assert!(wrong < all * 0.01, "{} dB", 10.0 * (wrong / all).log10());
    }

    #[test]
    fn the_integral_is_as_in_the_tables() {
        for (x, known) in [(0.1, 1.822_924), (0.5, 0.559_774), (1.0, 0.219_384), (2.0, 0.048_901)] {
            assert!((integral(x) - known).abs() < 1e-4, "{x}: {}", integral(x));
        }
    }
}
