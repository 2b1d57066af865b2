//! Noise suppression by `sonora-ns`, made for 16 kHz and frames of 10 ms and fed with 48 kHz here: so its frames are
//! 3.3 ms, its windows 5.3 ms, and speech 2 ms late instead of 6.

use sonora_ns::config::{NsConfig, OVERLAP_SIZE, SuppressionLevel};
use sonora_ns::noise_suppressor::NoiseSuppressor as Suppressor;

use super::FULL_SCALE;
use super::stage::Work;
use crate::base::foreign;
use crate::base::time::Instant;
use crate::media::level::power;

/// Takes noise out of speech.
pub struct NoiseSuppressor {
    suppressor: Suppressor,
    /// Mean squares of what was given and of what was made: of the blocks in which nobody speaks.
    pub given: f64,
    pub made: f64,
    /// Somebody speaks.
    pub is_voice: bool,
}

impl NoiseSuppressor {
    pub fn new() -> Self {
        let config = NsConfig { target_level: SuppressionLevel::K21dB };
        Self { suppressor: Suppressor::new(config), given: 0.0, made: 0.0, is_voice: false }
    }
}

impl Work for NoiseSuppressor {
    const BLOCK: usize = 160;
    const DELAY: usize = OVERLAP_SIZE;

    fn work(&mut self, block: &mut [f32], _: Instant) {
        let Some(block) = block.as_mut_array() else { return };
        let given = power(block);
        block.iter_mut().for_each(|sample| *sample *= FULL_SCALE);
        foreign::call(|| {
            self.suppressor.analyze(block);
            self.suppressor.process(block);
        });
        block.iter_mut().for_each(|sample| *sample /= FULL_SCALE);
        if !self.is_voice {
            self.given += f64::from(given);
            self.made += f64::from(power(block));
        }
    }
}
