//! Echo cancellation by `sonora-aec3`, in its own steps of 4 ms: the crate's outermost layer would wait for 10.

use sonora_aec3::block::Block;
use sonora_aec3::block_processor::BlockProcessor;
use sonora_aec3::config::EchoCanceller3Config;

use super::FULL_SCALE;
use super::bands::{BAND, BLOCK, Bands, COUNT, Splitter};
use super::far::FarLine;
use crate::base::foreign;
use crate::base::time::Instant;
use crate::media::report::ProcessingReport;

/// The rate of sound that the canceller sees in three bands.
const RATE: usize = 48_000;

/// Takes what the loudspeaker plays out of what the microphone captures.
pub struct EchoCanceller {
    far: FarLine,
    canceller: BlockProcessor,
    split_far: Splitter,
    near: Block,
    played: Block,
}

impl EchoCanceller {
    pub fn new() -> Self {
        Self {
            far: FarLine::new(),
            canceller: BlockProcessor::new(&config(), RATE, 1, 1),
            split_far: Splitter::new(),
            near: Block::new(COUNT, 1),
            played: Block::new(COUNT, 1),
        }
    }

    /// `samples` begin to play at `plays`.
    pub fn play(&mut self, samples: &[f32], plays: Instant) {
        self.far.push(samples, plays);
    }

    /// What the canceller says about itself.
    pub fn note(&self, figures: &mut ProcessingReport) {
        let said = self.canceller.get_metrics();
        figures.echo_return_loss_db = Some(said.echo_return_loss);
        figures.echo_enhancement_db = Some(said.echo_return_loss_enhancement);
        figures.echo_delay_ms = Some(f64::from(said.delay_ms));
        figures.drift_ppm = Some(self.far.drift() * 1e6);
    }

    /// Takes the echo out of the block captured from `first` on, in the scale of 16 bits.
    pub fn cancel(&mut self, bands: &mut Bands, is_saturated: bool, first: Instant) {
        let mut far = [0.0; BLOCK];
        self.far.take(first, &mut far);
        fill(&mut self.played, &self.split_far.split(&far.map(|sample| sample * FULL_SCALE)));
        fill(&mut self.near, bands);
        foreign::call(|| {
            self.canceller.buffer_render(&self.played);
            self.canceller.process_capture(false, is_saturated, None, &mut self.near);
        });
        *bands = std::array::from_fn(|band| self.near.view(band, 0).try_into().unwrap_or([0.0; BAND]));
    }
}

fn fill(block: &mut Block, bands: &Bands) {
    bands.iter().enumerate().for_each(|(band, samples)| block.view_mut(band, 0).copy_from_slice(samples));
}

/// What differs from the default of the crate, chosen by `proof voice`.
fn config() -> EchoCanceller3Config {
    let mut config = EchoCanceller3Config::default();
    // 280 ms instead of 52: a living room sounds for 400, and what the filter does not reach the suppressor must take, and
    // with it the voice of who speaks at the same time.
    config.filter.refined.length_blocks = 70;
    config.filter.coarse.length_blocks = 70;
    // With so long a filter there is no tail to be guessed.
    config.ep_strength.use_conservative_tail_frequency_response = false;
    // The times of the devices are known already.
    config.delay.default_delay = 2;
    config
}
