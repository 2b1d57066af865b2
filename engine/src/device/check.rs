//! Bells: the settings panel's test tone, and what tells without words that a call has broken off and is back; and one's own
//! voice two seconds later.

use std::collections::VecDeque;
use std::f32::consts::TAU;

use super::RATE;
use crate::base::stereo::Stereo;

/// Two bell notes in 1.1 s.
#[derive(Clone, Copy, Debug)]
pub struct Tone {
    notes: [(f32, f32); 2],
    at: u32,
}

/// One's own voice, late.
#[derive(Debug)]
pub struct Echo {
    waiting: VecDeque<Stereo>,
}

/// When each note begins, in seconds, and its pitch in hertz. A, and D above it; falling; rising higher.
const TEST: [(f32, f32); 2] = [(0.0, 440.0), (0.22, 587.33)];
const LOST: [(f32, f32); 2] = [(0.0, 392.0), (0.16, 293.66)];
const BACK: [(f32, f32); 2] = [(0.0, 523.25), (0.12, 783.99)];
/// In seconds.
const LENGTH: f32 = 1.1;
/// Of full scale: −14 dB with both notes at their loudest.
const LOUD: f32 = 0.12;

impl Tone {
    pub const TEST: Self = Self { notes: TEST, at: 0 };
    /// Nothing comes any more.
    pub const LOST: Self = Self { notes: LOST, at: 0 };
    /// It comes again.
    pub const BACK: Self = Self { notes: BACK, at: 0 };

    /// Adds its next samples (48 kHz) to `out`. False when it is over.
    pub fn mix_into(&mut self, out: &mut [Stereo]) -> bool {
        for sample in &mut *out {
            let time = self.at as f32 / RATE as f32;
            let note = |(begins, pitch): (f32, f32)| {
                let time = time - begins;
                if time < 0.0 {
                    return 0.0;
                }
                // Struck within 4 ms, fading with 0.2 s; silent at the end. The octave makes it a bell.
                let envelope =
                    (time / 0.004).min(1.0) * (-time / 0.2).exp() * ((LENGTH - begins - time) / 0.1).clamp(0.0, 1.0);
                let phase = TAU * pitch * time;
                LOUD * envelope * (phase.sin() + 0.3 * (2.0 * phase).sin())
            };
            let tone = self.notes.into_iter().map(note).sum::<f32>();
            *sample = sample.map(|side| side + tone);
            self.at += 1;
        }
        (self.at as f32) < LENGTH * RATE as f32
    }
}

/// So late that nobody hears it while speaking one short sentence.
const DELAY: usize = 2 * RATE as usize;
/// The clocks of the two devices may drift apart so far.
const MOST: usize = DELAY + RATE as usize / 2;

impl Default for Echo {
    fn default() -> Self {
        let mut waiting = VecDeque::with_capacity(MOST);
        waiting.resize(DELAY, [0.0; 2]);
        Self { waiting }
    }
}

impl Echo {
    /// Takes what the microphone heard (48 kHz). What is more than half a second too much pushes the oldest out.
    pub fn push(&mut self, samples: &[Stereo]) {
        let samples = &samples[samples.len().saturating_sub(MOST)..];
        let excess = (self.waiting.len() + samples.len()).saturating_sub(MOST);
        self.waiting.drain(..excess.min(self.waiting.len()));
        self.waiting.extend(samples);
    }

    /// Adds what was heard two seconds ago to `out`.
    pub fn mix_into(&mut self, out: &mut [Stereo]) {
        let count = out.len().min(self.waiting.len());
        for (sample, heard) in out.iter_mut().zip(self.waiting.drain(..count)) {
            *sample = [sample[0] + heard[0], sample[1] + heard[1]];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tone_is_soft_begins_and_ends_in_silence_and_is_over() {
        let (mut tone, mut sound) = (Tone::TEST, Vec::new());
        loop {
            let mut piece = [[0.0; 2]; 480];
            let goes_on = tone.mix_into(&mut piece);
            sound.extend(piece.map(|sample| sample[0]));
            if !goes_on {
                break;
            }
        }
        assert_eq!(sound.len(), 52_800);
        let loudest = sound.iter().fold(0.0f32, |most, sample| most.max(sample.abs()));
        assert!((0.1..0.3).contains(&loudest), "{loudest}");
        assert!(sound[0].abs() < 1e-3 && sound[sound.len() - 1].abs() < 1e-3);
        let step = sound.windows(2).fold(0.0f32, |most, pair| most.max((pair[1] - pair[0]).abs()));
        assert!(step < 0.05, "a click of {step}");
    }

    #[test]
    fn what_is_said_is_heard_two_seconds_later() {
        let mut echo = Echo::default();
        let mut heard = Vec::new();
        for n in 0..300 {
            let mut piece = [[0.0; 2]; 480];
            echo.push(&[[0.0, if n == 10 { 0.5 } else { 0.0 }]; 480]);
            echo.mix_into(&mut piece);
            heard.extend_from_slice(&piece);
        }
        let first = heard.iter().position(|sample| sample[1] != 0.0);
        assert_eq!(first, Some(10 * 480 + DELAY));
    }

    #[test]
    fn a_microphone_that_is_quicker_than_the_loudspeaker_makes_no_queue() {
        let mut echo = Echo::default();
        for _ in 0..1000 {
            echo.push(&[[0.1; 2]; 4800]);
        }
        assert_eq!(echo.waiting.len(), MOST);
        echo.push(&vec![[0.2; 2]; 3 * MOST]);
        assert!(echo.waiting.len() == MOST && echo.waiting.iter().all(|sample| *sample == [0.2; 2]));
        let capacity = echo.waiting.capacity();
        echo.mix_into(&mut vec![[0.0; 2]; 2 * MOST]);
        assert_eq!((echo.waiting.len(), echo.waiting.capacity()), (0, capacity));
    }
}
