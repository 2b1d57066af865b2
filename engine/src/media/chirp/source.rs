//! The chirp player.

use super::{CHIRP_SAMPLES, PERIOD_MICROS, SWEEPS, VARIANTS, is_down, sweep};
use crate::base::time::WallTime;

/// A quarter of full scale: clear of the limiter, 12 dB below clipping.
const LOUDNESS: f32 = 0.25;

/// An endless signal at 48 kHz: silence with a chirp every 500 ms of wall time.
#[derive(Clone, Debug)]
pub struct ChirpSource {
    up: Vec<f32>,
    down: Vec<f32>,
    /// Wall time of sample 0.
    start: WallTime,
    next_sample: u64,
}

impl ChirpSource {
    /// A source whose sample 0 is captured at `start`.
    pub fn new(start: WallTime) -> Self {
        Self { up: sweep(false, 1), down: sweep(true, 1), start, next_sample: 0 }
    }

    /// Overwrites `out` with the next samples.
    pub fn fill(&mut self, out: &mut [f32]) {
        out.fill(0.0);
        let end = self.next_sample + out.len() as u64;
        // A chirp that began before these samples may still sound in them.
        let mut number = self.first_chirp_after(self.next_sample.saturating_sub(CHIRP_SAMPLES as u64));
        loop {
            let (variant, begins) = self.chirp(number);
            if begins >= end as i64 {
                break;
            }
            // One that began before sample 0 would be cut, and a cut chirp may be taken for another.
            let whole = begins >= 0;
            for n in (0..CHIRP_SAMPLES).filter(|_| whole) {
                let place = begins + n as i64 - self.next_sample as i64;
                if let Some(sample) = usize::try_from(place).ok().and_then(|place| out.get_mut(place)) {
                    *sample = self.sample(variant, n);
                }
            }
            number += 1;
        }
        self.next_sample = end;
    }

    /// The first chirp that begins at or after `sample`: its variant and the sample it begins at.
    pub fn next_after(&self, sample: u64) -> (u8, u64) {
        let mut number = self.first_chirp_after(sample);
        loop {
            let (variant, begins) = self.chirp(number);
            if begins >= sample as i64 {
                return (variant, begins as u64);
            }
            number += 1;
        }
    }

    /// The chirp's number since 1970, at most one too early.
    fn first_chirp_after(&self, sample: u64) -> u64 {
        (self.start.as_micros() + sample * 125 / 6) / PERIOD_MICROS
    }

    /// Variant and first sample (relative to sample 0) of chirp `number`.
    fn chirp(&self, number: u64) -> (u8, i64) {
        let micros = (number * PERIOD_MICROS) as i64 - self.start.as_micros() as i64;
        ((number % u64::from(VARIANTS)) as u8, (micros * 6 + 62).div_euclid(125))
    }

    fn sample(&self, variant: u8, n: usize) -> f32 {
        let length = CHIRP_SAMPLES / SWEEPS;
        let sweep = if is_down(variant, n / length) { &self.down } else { &self.up };
        sweep[n % length] * LOUDNESS
    }
}
