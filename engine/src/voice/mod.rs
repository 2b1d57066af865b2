//! The microphone's sound on its way to the encoder: echo cancelled, noise suppressed, speech brought to one level, and
//! where there is speech. Each can be turned on and off at any time; with all off samples pass untouched and at once.
//!
//! The work is done by parts of `sonora`, WebRTC's audio processing in Rust, put together for less delay than its own
//! outermost layer has, and the noise suppressor is our own. Echo and noise are taken out of the same bands in the same blocks of
//! 4 ms, which must be whole before they are worked on: splitting and joining make sound 1.2 ms late, the canceller 4 ms, the
//! suppressor 0.75, gain control nothing. All together that is 10 ms for the sample that waits longest.

mod bands;
mod cleaner;
mod echo;
mod far;
mod gain;
mod noise;
mod stage;

use std::fmt;

use crate::base::stereo::{Stereo, both, to_mono};
use crate::base::time::{Duration, Instant};
use crate::media::report::ProcessingReport;
use crate::media::switches::Switches;
use cleaner::Cleaner;
use gain::Gain;
use stage::Stage;

/// Sonora counts in the scale of 16-bit samples.
const FULL_SCALE: f32 = 32_768.0;

/// All that is done to the sound of one microphone: 48 kHz mono, from −1 to 1.
pub struct VoiceProcessor {
    switches: Switches,
    cleaner: Stage<Cleaner>,
    /// While any of the others works too: it knows where there is speech.
    gain: Option<Box<Gain>>,
    figures: ProcessingReport,
    heard: Vec<f32>,
    made: Vec<f32>,
}

impl VoiceProcessor {
    pub fn new(switches: Switches) -> Self {
        let mut processor = Self {
            switches: Switches::OFF,
            cleaner: Stage::new(),
            gain: None,
            figures: ProcessingReport::default(),
            heard: Vec::new(),
            made: Vec::new(),
        };
        processor.set(switches);
        processor
    }

    /// Turns each on or off, without a click.
    pub fn set(&mut self, switches: Switches) {
        self.switches = switches;
        let Switches { echo, noise, .. } = switches;
        self.cleaner.set(echo || noise, || Cleaner::new(echo, noise));
        // With both off the bands are left, and with them what still works on them.
        if let Some(cleaner) = self.cleaner.get_mut().filter(|_| echo || noise) {
            cleaner.set(echo, noise);
        }
        if switches != Switches::OFF && self.gain.is_none() {
            self.gain = Some(Box::new(Gain::new()));
        }
        if let Some(gain) = &mut self.gain {
            gain.set(switches.gain);
        }
    }

    pub const fn switches(&self) -> Switches {
        self.switches
    }

    /// Takes what a microphone of two channels heard: as [`Self::process`] the middle of it, and both channels as they are
    /// while there is nothing to do.
    pub fn take(&mut self, samples: &[Stereo], first: Instant, out: &mut Vec<Stereo>) -> Instant {
        if self.gain.is_none() && self.cleaner.is_idle() {
            out.extend_from_slice(samples);
            return first;
        }
        let (mut heard, mut made) = (std::mem::take(&mut self.heard), std::mem::take(&mut self.made));
        to_mono(samples, &mut heard);
        made.clear();
        let first = self.process(&heard, first, &mut made);
        out.extend(made.iter().copied().map(both));
        (self.heard, self.made) = (heard, made);
        first
    }

    /// `samples` begin to play at `plays`: what may be heard as an echo.
    pub fn play(&mut self, samples: &[f32], plays: Instant) {
        if let Some(echo) = self.cleaner.get_mut().and_then(Cleaner::echo_mut) {
            echo.play(samples, plays);
        }
    }

    /// Takes `samples`, the first of which was captured at `first`; appends what is ready to `out`, and returns when the
    /// first of that was captured (`first` where nothing is ready).
    pub fn process(&mut self, samples: &[f32], first: Instant, out: &mut Vec<f32>) -> Instant {
        let begun = out.len();
        let first = self.cleaner.run(samples, first, out);
        let Some(gain) = &mut self.gain else { return first };
        match self.cleaner.get_mut() {
            Some(cleaner) => {
                gain.hear(&cleaner.heard);
                cleaner.heard.clear();
                if let Some(noise) = cleaner.noise_mut() {
                    noise.is_voice = gain.is_voice();
                }
            }
            None => gain.hear(samples),
        }
        gain.run(&mut out[begun..]);
        if self.switches == Switches::OFF && gain.is_idle() {
            self.figures();
            self.gain = None;
        }
        first
    }

    /// Whether somebody speaks; `None` while all is off and nobody looks.
    pub fn is_voice(&self) -> Option<bool> {
        let gain = self.gain.as_ref().filter(|_| self.switches != Switches::OFF)?;
        Some(gain.is_voice())
    }

    /// What was measured until now. What was turned off keeps its last figures.
    pub fn figures(&mut self) -> ProcessingReport {
        let figures = &mut self.figures;
        if let Some(echo) = self.cleaner.get_mut().and_then(Cleaner::echo_mut) {
            echo.note(figures);
        }
        if let Some(noise) = self.cleaner.get_mut().and_then(Cleaner::noise_mut).filter(|noise| noise.made > 0.0) {
            figures.noise_reduction_db = Some(10.0 * (noise.given / noise.made).log10());
        }
        if let Some(gain) = self.gain.as_ref().filter(|gain| gain.frames > 0) {
            figures.gain_db = Some(f64::from(gain.gain_db())).filter(|_| self.switches.gain).or(figures.gain_db);
            figures.voice_ratio = Some(gain.voiced as f64 / gain.frames as f64);
        }
        *figures
    }
}

impl fmt::Debug for VoiceProcessor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VoiceProcessor").field("switches", &self.switches).finish_non_exhaustive()
    }
}

fn time_of(samples: usize) -> Duration {
    Duration::from_nanos(samples as u64 * 1_000_000_000 / 48_000)
}

#[cfg(test)]
mod tests;
