//! Going from one frame length to another under speech: no gap and no click.

use std::f32::consts::TAU;

use super::{FrameLength, OpusDecoder, OpusEncoders};
use crate::base::rate::Bitrate;
use crate::base::stereo::middle;
use crate::media::sound::framer::Framer;

/// A voice of 140 Hz whose harmonics come and go, as vowels do.
fn voice(samples: usize) -> Vec<f32> {
    let vowel = |n: usize, h: usize| 0.5 + 0.5 * (n as f32 / 48_000.0 * TAU * (1.0 + h as f32 * 0.37)).sin();
    (0..samples)
        .map(|n| {
            (1..12).map(|h| vowel(n, h) * (TAU * 140.0 * h as f32 * n as f32 / 48_000.0).sin() / h as f32).sum::<f32>()
                * 0.2
        })
        .collect()
}

/// A fault to be found.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Plant {
    None,
    /// The other encoder has heard nothing before its first frame.
    Cold,
    /// Its first frame builds on others that were never sent.
    Dependent,
    /// It takes its frames where the first one did, and looks further ahead.
    Unshifted,
}

/// What is heard of `sound` when the length changes every second, and where (in the output) it changed.
fn heard(sound: &[f32], lengths: [FrameLength; 2], plant: Plant) -> (Vec<f32>, Vec<usize>) {
    let mut framer = Framer::new(lengths[0]);
    let mut encoders = OpusEncoders::new(Bitrate::from_kbps(64)).expect("encoders");
    let mut decoder = OpusDecoder::new().expect("a decoder");
    let (mut out, mut changes, mut gone, mut packet) = (Vec::new(), Vec::new(), 0, Vec::new());
    let mut last = lengths[0];
    for (pull, samples) in sound.chunks_exact(120).enumerate() {
        if pull.is_multiple_of(400) {
            framer.set_length(lengths[pull / 400 % 2]);
        }
        framer.add(samples.len());
        while let Some(step) = framer.next_step() {
            let shift = step.length.coding().shift() as usize;
            let from = gone + step.from - if plant == Plant::Unshifted { shift } else { 0 };
            let encoder = encoders.of(step.length.coding());
            let frame = &sound[from..from + step.length.samples()];
            if step.timestamp.is_none() {
                if step.first {
                    encoder.reset().expect("it can be reset");
                }
                if plant != Plant::Cold {
                    encoder.encode(frame, &mut packet).expect("a frame");
                }
                continue;
            }
            match step.first && plant != Plant::Dependent {
                true => encoder.encode_alone(frame, &mut packet).expect("a frame"),
                false => encoder.encode(frame, &mut packet).expect("a frame"),
            }
            if step.length != last {
                changes.push(out.len());
                last = step.length;
            }
            decoder.decode(&packet, &mut out).expect("a packet");
        }
        gone += framer.take_spare();
    }
    (out.into_iter().map(middle).collect(), changes)
}

/// How a stretch of the output differs from the original, which lies 120 samples before it whatever the coding.
#[derive(Debug, Default)]
struct Worst {
    /// Loudness of 5 ms, in dB.
    louder: f32,
    softer: f32,
    /// How far the output is out of step, in samples.
    step: i32,
    /// The sharpest bend of the curve, where a sample lies off the line through its neighbours, over the original's.
    click: f32,
}

fn compare(sound: &[f32], out: &[f32], places: &[usize]) -> Worst {
    let power = |samples: &[f32]| samples.iter().map(|x| x * x).sum::<f32>().max(1e-6);
    let bend = |samples: &[f32]| samples.windows(3).map(|w| (w[0] - 2.0 * w[1] + w[2]).abs()).fold(0.0, f32::max);
    let mut worst = Worst::default();
    for at in places.iter().flat_map(|at| (at - 960..at + 2880).step_by(120)) {
        let ours = &out[at..at + 240];
        let theirs = |late: i32| &sound[(at as i32 - 120 - late) as usize..][..240];
        let level = 10.0 * (power(ours) / power(theirs(0))).log10();
        (worst.louder, worst.softer) = (worst.louder.max(level), worst.softer.min(level));
        let wide = &out[at..at + 480];
        let alike = |late: i32| {
            let other = &sound[(at as i32 - 120 - late) as usize..][..480];
            wide.iter().zip(other).map(|(a, b)| a * b).sum::<f32>() / power(other).sqrt()
        };
        // Half a period of the voice to either side.
        let step = (-170..170).max_by(|a, b| alike(*a).total_cmp(&alike(*b))).unwrap_or_default();
        worst.step = worst.step.max(step.abs());
        worst.click = worst.click.max(bend(ours) / bend(&sound[at - 360..at + 120]).max(1e-3));
    }
    worst
}

impl Worst {
    /// A gap, a click, or out of step. (The voice coding keeps loudness to 2 dB and phase to 40 samples in steady speech.)
    fn is_heard(&self) -> bool {
        self.softer < -6.0 || self.louder > 3.0 || self.step > 60 || self.click > 2.0
    }
}

#[test]
fn the_sound_goes_on_in_phase_when_the_frame_length_changes() {
    let sound = voice(48_000 * 8);
    for lengths in [[FrameLength::Ms5, FrameLength::Ms20], [FrameLength::Ms10, FrameLength::Ms60]] {
        for plant in [Plant::None, Plant::Cold, Plant::Dependent, Plant::Unshifted] {
            let (out, changes) = heard(&sound, lengths, plant);
            assert_eq!(changes.len(), 7);
            let worst = compare(&sound, &out, &changes);
            assert_eq!(worst.is_heard(), plant != Plant::None, "{lengths:?} {plant:?}: {worst:?}");
        }
    }
}
