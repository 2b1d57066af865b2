//! Adding streams, and keeping the sum from clipping.

use crate::base::stereo::Stereo;

/// Adds `samples` times `gain` onto `sum`; the shorter length counts.
pub fn mix_into(sum: &mut [Stereo], samples: &[Stereo], gain: f32) {
    for (sum, sample) in sum.as_flattened_mut().iter_mut().zip(samples.as_flattened()) {
        *sum += sample * gain;
    }
}

/// The same with a gain that goes from one value to another in a straight line.
pub fn mix_ramp(sum: &mut [Stereo], samples: &[Stereo], from: f32, to: f32) {
    if from == to {
        return mix_into(sum, samples, to);
    }
    let step = (to - from) / samples.len().max(1) as f32;
    for (n, (sum, sample)) in sum.iter_mut().zip(samples).enumerate() {
        let gain = from + step * (n + 1) as f32;
        sum[0] += sample[0] * gain;
        sum[1] += sample[1] * gain;
    }
}

/// Where the limiter begins: −1 dBFS.
const CEILING: f32 = 0.891;

/// A limiter without look-ahead, hence without delay: the gain drops at once where a sample would pass the ceiling, and
/// comes back within about 100 ms, on both sides alike. The sum never passes ±1 and below the ceiling nothing is changed.
#[derive(Clone, Copy, Debug)]
pub struct Limiter {
    gain: f32,
}

impl Default for Limiter {
    fn default() -> Self {
        Self { gain: 1.0 }
    }
}

impl Limiter {
    /// Any number of channels.
    pub fn apply<const CHANNELS: usize>(&mut self, samples: &mut [[f32; CHANNELS]]) {
        for sample in samples {
            *sample = sample.map(|side| if side.is_finite() { side } else { 0.0 });
            let peak = sample.iter().fold(0.0, |peak: f32, side| peak.max(side.abs()));
            if peak * self.gain > CEILING {
                self.gain = CEILING / peak;
            }
            *sample = sample.map(|side| side * self.gain);
            // 1 − e^(−1/4800): 63 % of the way back in 100 ms at 48 kHz.
            self.gain += (1.0 - self.gain) * 0.000_208;
        }
    }

    /// 1 where nothing is limited.
    pub const fn gain(&self) -> f32 {
        self.gain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_sound_passes_unchanged_and_loud_sound_never_clips() {
        let mut limiter = Limiter::default();
        let mut quiet = [[0.5, -0.25], [0.8, 0.0]];
        limiter.apply(&mut quiet);
        assert_eq!(quiet, [[0.5, -0.25], [0.8, 0.0]]);
        let mut loud: Vec<Stereo> = (0..4800).map(|n| [0.1, 3.0 * (n as f32 * 0.05).sin()]).collect();
        loud[100][0] = f32::NAN;
        loud[101][1] = f32::INFINITY;
        limiter.apply(&mut loud);
        assert!(loud.as_flattened().iter().all(|sample| sample.abs() <= 1.0));
        assert!(loud[4000][0] < 0.1, "both sides alike");
        let mut rest = vec![[0.0; 2]; 48_000];
        limiter.apply(&mut rest);
        assert!(limiter.gain() > 0.99);
    }

    #[test]
    fn streams_add_with_their_gains() {
        let mut sum = [[1.0; 2]; 3];
        mix_into(&mut sum, &[[0.5, 0.0], [-0.5, 1.0]], 0.5);
        assert_eq!(sum, [[1.25, 1.0], [0.75, 1.5], [1.0, 1.0]]);
    }
}
