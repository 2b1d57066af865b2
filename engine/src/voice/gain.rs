//! Gain control and voice activity by `sonora-agc2`. Both look at frames of 10 ms; the gain that they find is used for
//! what comes next, so that nothing waits for a frame.

use sonora_agc2::adaptive_digital_gain_controller::{AdaptiveDigitalGainController, FrameInfo};
use sonora_agc2::common::{
    ADJACENT_SPEECH_FRAMES_THRESHOLD, SATURATION_PROTECTOR_INITIAL_HEADROOM_DB, VAD_RESET_PERIOD_MS, float_s16_to_dbfs,
};
use sonora_agc2::noise_level_estimator::NoiseLevelEstimator;
use sonora_agc2::saturation_protector::SaturationProtector;
use sonora_agc2::speech_level_estimator::{AdaptiveDigitalConfig, SpeechLevelEstimator};
use sonora_agc2::vad_wrapper::VoiceActivityDetectorWrapper;
use sonora_simd::detect_backend;

use super::FULL_SCALE;
use crate::base::foreign;
use crate::media::level::power;
use crate::media::mix::Limiter;

/// 10 ms.
const FRAME: usize = 480;
/// From this probability on a frame is speech; below, it still is for `HOLD` frames: the end of a word is quiet.
const VOICE: f32 = 0.5;
const HOLD: u32 = 20;

/// Brings speech to one level, and says where it is.
pub struct Gain {
    voice: VoiceActivityDetectorWrapper,
    speech: SpeechLevelEstimator,
    noise: NoiseLevelEstimator,
    headroom: SaturationProtector,
    controller: AdaptiveDigitalGainController,
    limiter: Limiter,
    /// Samples in the scale of 16 bits: those that the gain is used on, and those in which speech is looked for.
    frame: Vec<f32>,
    heard: Vec<f32>,
    /// Of the newest whole frame that was heard.
    probability: f32,
    /// What the controller makes of ones: the gain.
    ones: Vec<f32>,
    is_on: bool,
    gain: f32,
    wanted: f32,
    hold: u32,
    /// Frames, and those with speech.
    pub frames: u64,
    pub voiced: u64,
}

impl Gain {
    pub fn new() -> Self {
        let config = AdaptiveDigitalConfig {
            headroom_db: 5.0,
            max_gain_db: 30.0,
            // Speech at a usual level begins as it is; the default would begin 15 dB louder.
            initial_gain_db: 0.0,
            max_gain_change_db_per_second: 6.0,
            max_output_noise_level_dbfs: -50.0,
        };
        let adjacent = ADJACENT_SPEECH_FRAMES_THRESHOLD;
        Self {
            voice: VoiceActivityDetectorWrapper::with_reset_period(VAD_RESET_PERIOD_MS, detect_backend(), 48_000),
            speech: SpeechLevelEstimator::new(&config, adjacent),
            noise: NoiseLevelEstimator::default(),
            headroom: SaturationProtector::new(SATURATION_PROTECTOR_INITIAL_HEADROOM_DB, adjacent),
            controller: AdaptiveDigitalGainController::new(config, adjacent),
            limiter: Limiter::default(),
            frame: Vec::with_capacity(FRAME),
            heard: Vec::with_capacity(FRAME),
            probability: 0.0,
            ones: Vec::with_capacity(FRAME),
            is_on: false,
            gain: 1.0,
            wanted: 1.0,
            hold: 0,
            frames: 0,
            voiced: 0,
        }
    }

    /// Whether the gain is used. It comes and goes within 10 ms.
    pub const fn set(&mut self, on: bool) {
        self.is_on = on;
    }

    /// Looks for speech in `samples`: before noise is suppressed, for what is left of noise warbles as speech does.
    pub fn hear(&mut self, samples: &[f32]) {
        let mut rest = samples;
        while !rest.is_empty() {
            let (part, other) = rest.split_at(rest.len().min(FRAME - self.heard.len()));
            rest = other;
            self.heard.extend(part.iter().map(|sample| sample * FULL_SCALE));
            if self.heard.len() < FRAME {
                continue;
            }
            self.probability = foreign::call(|| self.voice.analyze(&self.heard));
            self.heard.clear();
            self.hold = if self.probability >= VOICE { HOLD } else { self.hold.saturating_sub(1) };
            self.frames += 1;
            self.voiced += u64::from(self.is_voice());
        }
    }

    /// Brings `samples` to the level.
    pub fn run(&mut self, samples: &mut [f32]) {
        let mut rest = samples;
        while !rest.is_empty() {
            let (part, other) = rest.split_at_mut(rest.len().min(FRAME - self.frame.len()));
            rest = other;
            self.frame.extend(part.iter().map(|sample| sample * FULL_SCALE));
            self.apply(part);
            if self.frame.len() == FRAME {
                if self.is_on {
                    foreign::call(|| self.look());
                }
                self.frame.clear();
            }
        }
    }

    /// Somebody speaks.
    pub const fn is_voice(&self) -> bool {
        self.hold > 0
    }

    /// Nothing is done to the sound.
    pub const fn is_idle(&self) -> bool {
        !self.is_on && self.gain == 1.0
    }

    /// The gain at present, in decibels.
    pub fn gain_db(&self) -> f32 {
        20.0 * self.gain.log10()
    }

    fn apply(&mut self, samples: &mut [f32]) {
        let wanted = if self.is_on { self.wanted } else { 1.0 };
        if wanted == 1.0 && self.gain == 1.0 {
            return;
        }
        for sample in &mut *samples {
            // 1 − e^(−1/100): there within 10 ms.
            self.gain += (wanted - self.gain) * 0.01;
            *sample *= self.gain;
        }
        if (self.gain - wanted).abs() < 1e-4 {
            self.gain = wanted;
        }
        self.limiter.apply(samples.as_chunks_mut::<1>().0);
    }

    /// Takes in a whole frame, in the order of sonora's own `GainController2`.
    fn look(&mut self) {
        let rms = float_s16_to_dbfs(power(&self.frame).sqrt());
        let peak = float_s16_to_dbfs(self.frame.iter().fold(0.0, |peak, sample| sample.abs().max(peak)));
        let noise_rms_dbfs = self.noise.analyze(&[&self.frame]);
        self.speech.update(rms, self.probability);
        let speech_level_dbfs = self.speech.level_dbfs();
        self.headroom.analyze(self.probability, peak, speech_level_dbfs);
        let info = FrameInfo {
            speech_probability: self.probability,
            speech_level_dbfs,
            speech_level_reliable: self.speech.is_confident(),
            noise_rms_dbfs,
            headroom_db: self.headroom.headroom_db(),
            // −1 dBFS, where the limiter begins, and what it takes away.
            limiter_envelope_dbfs: peak + self.gain_db(),
        };
        self.ones.clear();
        self.ones.resize(FRAME, 1.0);
        self.controller.process(&info, &mut [&mut self.ones]);
        self.wanted = self.ones.last().copied().unwrap_or(1.0);
    }
}
