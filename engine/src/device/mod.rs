//! Microphones and loudspeakers: devices through cpal, files, chirps, and nothing at all. 48 kHz stereo inside.

mod backend;
mod callback;
mod check;
mod choose;
mod convert;
mod follow;
mod list;
mod loudspeaker;
mod microphone;
mod predict;
mod quiet;
mod watch;
mod wav;

use std::path::PathBuf;

pub use backend::Backend;
pub use callback::{Mark, MicrophoneCallback, SpeakerCallback, microphone_pair, speaker_pair};
pub use check::{Echo, Tone};
pub use convert::Converter;
pub use follow::{Follow, News, Seen};
pub use list::{AudioDevices, DeviceEntry, DeviceList, Side};
pub use loudspeaker::Loudspeaker;
pub use microphone::Microphone;
pub use predict::{CallbackClock, Lateness};
pub use watch::DeviceWatch;
pub use wav::read as read_wav;

/// The rate of all sound inside the engine.
pub const RATE: u32 = 48_000;

/// Where sound comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum MicrophoneSpec {
    /// What the system says is the default.
    #[default]
    Default,
    /// By name or id, or a part of the name that fits only once.
    Named(String),
    /// A WAV file, again and again.
    Wav(PathBuf),
    /// The chirps of `media::chirp`, aligned to wall time.
    Chirp,
    None,
}

/// Where sound goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SpeakerSpec {
    #[default]
    Default,
    Named(String),
    /// A WAV file, written as it is played.
    Wav(PathBuf),
    /// Played in time and thrown away.
    None,
}

/// Samples at 48 kHz that fit into `time`.
fn samples_in(time: std::time::Duration) -> u64 {
    (time.as_nanos() * u128::from(RATE) / 1_000_000_000) as u64
}

/// The time that `samples` at `rate` take.
fn time_of(samples: u64, rate: u32) -> std::time::Duration {
    std::time::Duration::from_nanos((u128::from(samples) * 1_000_000_000 / u128::from(rate.max(1))) as u64)
}

#[cfg(test)]
mod tests;
