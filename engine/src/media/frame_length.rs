//! How long one packet of sound is.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The lengths that are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FrameLength {
    Ms2_5,
    #[default]
    Ms5,
    Ms10,
    Ms20,
    Ms40,
    Ms60,
}

/// Some of the lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FrameLengths(u8);

impl Default for FrameLengths {
    fn default() -> Self {
        Self::ALL
    }
}

impl FrameLengths {
    pub const ALL: Self = Self(u8::MAX);

    /// Those of `micros`; other lengths are none that are sent.
    pub fn of_micros(micros: &[u32]) -> Self {
        let is_there = |length: &FrameLength| micros.iter().any(|us| u128::from(*us) == length.duration().as_micros());
        Self(FrameLength::ALL.into_iter().filter(is_there).fold(0, |bits, length| bits | 1 << length as u8))
    }

    pub const fn has(self, length: FrameLength) -> bool {
        self.0 & 1 << length as u8 != 0
    }
}

/// How Opus works on a frame. It refuses a change of this after the first frame, so each has an encoder of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// Restricted low delay: CELT only (RFC 6716 §4.3), looks 120 samples ahead, has no in-band FEC.
    LowDelay,
    /// Voice: SILK and both (RFC 6716 §4.2), looks 312 samples ahead, carries in-band FEC.
    Speech,
}

impl Coding {
    /// How many samples further ahead than low delay it looks: what lies between a sample's place in the input and in the
    /// decoder's output would change by so much from one coding to the other.
    pub const fn shift(self) -> u64 {
        match self {
            Self::LowDelay => 0,
            Self::Speech => 192,
        }
    }
}

impl FrameLength {
    /// All lengths, shortest first.
    pub const ALL: [Self; 6] = [Self::Ms2_5, Self::Ms5, Self::Ms10, Self::Ms20, Self::Ms40, Self::Ms60];

    /// Samples at 48 kHz.
    pub const fn samples(self) -> usize {
        match self {
            Self::Ms2_5 => 120,
            Self::Ms5 => 240,
            Self::Ms10 => 480,
            Self::Ms20 => 960,
            Self::Ms40 => 1920,
            Self::Ms60 => 2880,
        }
    }

    pub const fn duration(self) -> Duration {
        Duration::from_micros(self.samples() as u64 * 1000 / 48)
    }

    /// The frame length of `samples` samples at 48 kHz; `None` for any other number.
    pub fn of_samples(samples: usize) -> Option<Self> {
        Self::ALL.into_iter().find(|length| length.samples() == samples)
    }

    /// Up to 10 ms the delay is what counts; above, speech coding with FEC is worth more.
    pub const fn coding(self) -> Coding {
        match self {
            Self::Ms2_5 | Self::Ms5 | Self::Ms10 => Coding::LowDelay,
            Self::Ms20 | Self::Ms40 | Self::Ms60 => Coding::Speech,
        }
    }
}

impl std::fmt::Display for FrameLength {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.duration().as_secs_f64() * 1e3)
    }
}
