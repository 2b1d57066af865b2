//! Adding streams, and keeping the sum from clipping.

/// Adds `samples` times `gain` onto `sum`; the shorter length counts.
pub fn mix_into(sum: &mut [f32], samples: &[f32], gain: f32) {
    for (sum, sample) in sum.iter_mut().zip(samples) {
        *sum += sample * gain;
    }
}

/// The same with a gain that goes from one value to another in a straight line.
pub fn mix_ramp(sum: &mut [f32], samples: &[f32], from: f32, to: f32) {
    if from == to {
        return mix_into(sum, samples, to);
    }
    let step = (to - from) / samples.len().max(1) as f32;
    for (n, (sum, sample)) in sum.iter_mut().zip(samples).enumerate() {
        *sum += sample * (from + step * (n + 1) as f32);
    }
}

/// Where the limiter begins: −1 dBFS.
const CEILING: f32 = 0.891;

/// A limiter without look-ahead, hence without delay: the gain drops at once where a sample would pass the ceiling, and
/// comes back within about 100 ms. The sum never passes ±1 and below the ceiling nothing is changed.
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
    pub fn apply(&mut self, samples: &mut [f32]) {
        for sample in samples {
            if !sample.is_finite() {
                *sample = 0.0;
            }
            let peak = sample.abs();
            if peak * self.gain > CEILING {
                self.gain = CEILING / peak;
            }
            *sample *= self.gain;
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
        let mut quiet = [0.5, -0.25, 0.8];
        limiter.apply(&mut quiet);
        assert_eq!(quiet, [0.5, -0.25, 0.8]);
        let mut loud: Vec<f32> = (0..4800).map(|n| 3.0 * (n as f32 * 0.05).sin()).collect();
        loud[100] = f32::NAN;
        loud[101] = f32::INFINITY;
        limiter.apply(&mut loud);
        assert!(loud.iter().all(|sample| sample.abs() <= 1.0));
        let mut rest = vec![0.0; 48_000];
        limiter.apply(&mut rest);
        assert!(limiter.gain() > 0.99);
    }

    #[test]
    fn streams_add_with_their_gains() {
        let mut sum = [1.0, 1.0, 1.0];
        mix_into(&mut sum, &[0.5, -0.5], 0.5);
        assert_eq!(sum, [1.25, 0.75, 1.0]);
    }
}
