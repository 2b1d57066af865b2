//! Chirps that measure mouth to ear: one plays them, another finds them, and wall time pairs the two without a word.
//!
//! A chirp is four sweeps of 8 ms between 1 and 5.5 kHz (inside what Opus keeps even in wideband), each up or down.
//! Of the sixteen words the eight with an even number of downs are used: any two differ in at least two sweeps.
//! Variant `k` begins when the wall time in microseconds ≡ `k` · 500 000 modulo 4 000 000: whoever hears it knows when
//! it was played, as long as the delay stays below 3.8 s.

mod finder;
mod source;

pub use finder::{ChirpFinder, ChirpFound};
pub use source::ChirpSource;

use crate::base::time::WallTime;

/// How many different chirps there are.
pub const VARIANTS: u8 = 8;
/// From the start of one chirp to the start of the next, in microseconds.
pub const PERIOD_MICROS: u64 = 500_000;
/// Samples of one chirp at 48 kHz: 32 ms.
pub const CHIRP_SAMPLES: usize = SWEEPS * SWEEP_SAMPLES;

const SWEEPS: usize = 4;
const SWEEP_SAMPLES: usize = 384;
const CYCLE_MICROS: u64 = PERIOD_MICROS * VARIANTS as u64;
/// A clock error between two processes may make a chirp heard before it was played; so much of the cycle counts as
/// negative.
const NEGATIVE_MICROS: u64 = 200_000;

/// When `variant` was played if it was heard at `heard`, and the delay in microseconds (−200 ms to 3.8 s).
pub fn delay_of(variant: u8, heard: WallTime) -> (WallTime, i64) {
    let phase = u64::from(variant % VARIANTS) * PERIOD_MICROS;
    let since = (heard.as_micros() % CYCLE_MICROS + CYCLE_MICROS - phase) % CYCLE_MICROS;
    let delay = if since > CYCLE_MICROS - NEGATIVE_MICROS { since as i64 - CYCLE_MICROS as i64 } else { since as i64 };
    (WallTime::from_micros(heard.as_micros().saturating_add_signed(-delay)), delay)
}

/// Whether sweep `sweep` of `variant` goes down. The last sweep makes the number of downs even.
const fn is_down(variant: u8, sweep: usize) -> bool {
    match sweep {
        0..3 => variant >> sweep & 1 == 1,
        _ => variant.count_ones() % 2 == 1,
    }
}

/// One sweep of full scale, sampled every `step` samples of 48 kHz, with cosine flanks over a sixth at each end.
fn sweep(down: bool, step: usize) -> Vec<f32> {
    const LOW: f64 = 1_000.0;
    const HIGH: f64 = 5_500.0;
    let length = SWEEP_SAMPLES as f64 / 48_000.0;
    let (from, to) = if down { (HIGH, LOW) } else { (LOW, HIGH) };
    (0..SWEEP_SAMPLES / step)
        .map(|n| {
            let t = (n * step) as f64 / 48_000.0;
            let phase = std::f64::consts::TAU * (from * t + (to - from) * t * t / (2.0 * length));
            let edge = (t.min(length - t) / (length / 6.0)).min(1.0);
            (phase.sin() * (0.5 - 0.5 * (std::f64::consts::PI * edge).cos())) as f32
        })
        .collect()
}

#[cfg(test)]
mod tests;
