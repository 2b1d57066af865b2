//! A voice without words: what both buffers have to stretch.

use std::f32::consts::TAU;
use std::sync::LazyLock;

/// Samples at 48 kHz; then it begins again.
const LENGTH: usize = 48_000 * 20;

static VOICE: LazyLock<Vec<f32>> = LazyLock::new(make);

/// `count` samples from sample `from` on.
pub fn samples(from: u64, count: usize) -> impl Iterator<Item = f32> {
    (from..from + count as u64).map(|n| VOICE[n as usize % LENGTH])
}

/// Syllables of 250 ms with a gliding pitch, every fourth a pause, over a quiet room.
fn make() -> Vec<f32> {
    let (mut phase, mut noise) = (0.0f32, 1u32);
    let sample = |n: usize| {
        let syllable = n / 12_000;
        let within = (n % 12_000) as f32 / 12_000.0;
        let pitch = 110.0 + 15.0 * (syllable % 5) as f32 + 20.0 * within;
        phase = (phase + pitch / 48_000.0).fract();
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let room = ((noise >> 8) as f32 / 8_388_608.0 - 1.0) * 0.001;
        let loud = if syllable % 4 == 3 { 0.0 } else { (within * TAU / 2.0).sin() };
        let tone: f32 = (1..=6).map(|h| (phase * TAU * h as f32).sin() / h as f32).sum();
        tone * loud * 0.2 + room
    };
    (0..LENGTH).map(sample).collect()
}
