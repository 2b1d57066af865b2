//! What runs inside the device's callbacks: move samples, bump atomics, leave a mark. No lock, no allocation, no log,
//! no system call. Plain structs, so that tests can call them under a watching allocator.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rtrb::{Consumer, Producer, RingBuffer};

use crate::base::stereo::{Stereo, both, middle};

/// One callback: what it moved, and when it ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Nanoseconds since the device was opened.
    pub at: u64,
    /// Frames before this callback since the device was opened, those that found no room included.
    pub index: u64,
    pub frames: u32,
    /// Between callback and loudspeaker (or capture and callback) as the host says, in nanoseconds.
    pub latency: u64,
}

/// What both sides of a ring count.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) underruns: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) lost: AtomicBool,
}

/// The engine's end of a microphone's ring.
#[derive(Debug)]
pub struct MicrophoneEnd {
    pub(super) samples: Consumer<Stereo>,
    pub(super) marks: Consumer<Mark>,
    pub(super) shared: Arc<Shared>,
}

/// The engine's end of a loudspeaker's ring.
#[derive(Debug)]
pub struct SpeakerEnd {
    pub(super) samples: Producer<Stereo>,
    pub(super) marks: Consumer<Mark>,
    pub(super) shared: Arc<Shared>,
}

/// The device's end of a microphone's ring.
#[derive(Debug)]
pub struct MicrophoneCallback {
    samples: Producer<Stereo>,
    marks: Producer<Mark>,
    shared: Arc<Shared>,
    channels: usize,
    index: u64,
}

/// The device's end of a loudspeaker's ring.
#[derive(Debug)]
pub struct SpeakerCallback {
    samples: Consumer<Stereo>,
    marks: Producer<Mark>,
    shared: Arc<Shared>,
    channels: usize,
    index: u64,
    /// Set by the first sample: before it silence is no underrun.
    started: bool,
}

/// 256 callbacks of 2.5 ms are 640 ms: more than the sample rings hold.
const MARKS: usize = 256;

/// Both ends of a microphone's ring of `capacity` samples, for a device of `channels`.
pub fn microphone_pair(capacity: usize, channels: u16) -> (MicrophoneCallback, MicrophoneEnd) {
    let (samples, taken) = RingBuffer::new(capacity);
    let (marks, read) = RingBuffer::new(MARKS);
    let shared = Arc::new(Shared::default());
    let channels = usize::from(channels.max(1));
    (
        MicrophoneCallback { samples, marks, shared: shared.clone(), channels, index: 0 },
        MicrophoneEnd { samples: taken, marks: read, shared },
    )
}

/// Both ends of a loudspeaker's ring of `capacity` samples, for a device of `channels`.
pub fn speaker_pair(capacity: usize, channels: u16) -> (SpeakerCallback, SpeakerEnd) {
    let (given, samples) = RingBuffer::new(capacity);
    let (marks, read) = RingBuffer::new(MARKS);
    let shared = Arc::new(Shared::default());
    let channels = usize::from(channels.max(1));
    (
        SpeakerCallback { samples, marks, shared: shared.clone(), channels, index: 0, started: false },
        SpeakerEnd { samples: given, marks: read, shared },
    )
}

impl MicrophoneCallback {
    /// Takes interleaved samples that the device delivered at `at`. What finds no room is counted and lost; a mark
    /// that finds none is left out, the next one tells as much.
    pub fn on_data(&mut self, data: &[f32], at: u64, latency: u64) {
        let frames = data.len() / self.channels;
        let _ = self.marks.push(Mark { at, index: self.index, frames: frames as u32, latency });
        self.index += frames as u64;
        let scale = 1.0 / self.channels as f32;
        for frame in data.chunks_exact(self.channels) {
            let sample = match *frame {
                [one] => both(one),
                [left, right] => [left, right],
                // Which of them hear a side nobody says.
                _ => both(frame.iter().sum::<f32>() * scale),
            };
            if self.samples.push(sample).is_err() {
                self.shared.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl SpeakerCallback {
    /// Fills interleaved `data` that the device asked for at `at`. What is missing is silence and one underrun.
    pub fn on_data(&mut self, data: &mut [f32], at: u64, latency: u64) {
        let frames = data.len() / self.channels;
        let _ = self.marks.push(Mark { at, index: self.index, frames: frames as u32, latency });
        self.index += frames as u64;
        let have = self.samples.slots();
        self.started |= have > 0;
        if have < frames && self.started {
            self.shared.underruns.fetch_add(1, Ordering::Relaxed);
        }
        for frame in data.chunks_mut(self.channels) {
            let sample = self.samples.pop().unwrap_or_default();
            match frame {
                [one] => *one = middle(sample),
                // Left and right come first wherever there are more.
                [left, right, rest @ ..] => {
                    [*left, *right] = sample;
                    rest.fill(0.0);
                }
                [] => {}
            }
        }
    }
}
