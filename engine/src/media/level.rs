//! Loudness of a block of samples as RFC 6464 carries it.

use crate::base::stereo::Stereo;

/// RFC 6464 §3: 0 (a full-scale square wave) to 127 (silence), in −dBov.
pub const SILENCE: u8 = 127;

/// The level of `samples` in −dBov.
pub fn level(samples: &[f32]) -> u8 {
    level_of(power(samples))
}

fn level_of(power: f32) -> u8 {
    if power <= 0.0 { SILENCE } else { (-10.0 * power.log10()).round().clamp(0.0, f32::from(SILENCE)) as u8 }
}

/// Mean square of `samples`; 0 for none.
pub fn power(samples: &[f32]) -> f32 {
    if samples.is_empty() { 0.0 } else { samples.iter().map(|x| x * x).sum::<f32>() / samples.len() as f32 }
}

/// Mean square of the samples of both sides; 0 for none.
pub fn power_of_two(samples: &[Stereo]) -> f32 {
    power(samples.as_flattened())
}

/// Whether a block is speech, for the voice bit of RFC 6464: above the slowly followed floor of the room.
#[derive(Clone, Copy, Debug)]
pub struct Loudness {
    floor: f32,
    level: u8,
}

impl Default for Loudness {
    fn default() -> Self {
        Self { floor: 1e-6, level: SILENCE }
    }
}

impl Loudness {
    /// Takes one block; true where somebody speaks.
    pub fn observe(&mut self, samples: &[Stereo]) -> bool {
        let power = power_of_two(samples);
        self.level = level_of(power);
        // Down at once, up by 1 dB in about 250 blocks: a vowel does not become the floor.
        self.floor = if power < self.floor { power.max(1e-9) } else { (self.floor * 1.001).max(1e-9) };
        // 9 dB above the floor and above −60 dBov.
        power > self.floor * 8.0 && power > 1e-6
    }

    /// −dBov of the newest block.
    pub const fn level(&self) -> u8 {
        self.level
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_scale_is_zero_a_sine_is_three_and_silence_is_127() {
        assert_eq!(level(&[1.0, -1.0, 1.0, -1.0]), 0);
        let sine: Vec<f32> = (0..480).map(|n| (n as f32 * std::f32::consts::TAU / 48.0).sin()).collect();
        assert_eq!(level(&sine), 3);
        assert_eq!(level(&[0.0; 10]), SILENCE);
        assert_eq!(level(&[]), SILENCE);
    }

    #[test]
    fn speech_is_what_rises_above_the_room() {
        let mut loudness = Loudness::default();
        let (room, voice) = ([[0.002f32; 2]; 240], [[0.1f32; 2]; 240]);
        for _ in 0..2000 {
            loudness.observe(&room);
        }
        assert!(!loudness.observe(&room));
        assert!(loudness.observe(&voice));
    }
}
