//! The encoder: one per outgoing track and frame length.

use std::fmt;
use std::time::Duration;

use audiopus::coder::Encoder;
use audiopus::{Application, Bitrate as OpusBitrate, Channels, SampleRate, Signal};

use super::{MAX_PACKET_BYTES, malformed, refused};
use crate::base::error::{Error, Kind, Result};
use crate::base::rate::Bitrate;

/// How long one packet is.
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

    /// Up to 10 ms the delay is what counts: restricted-lowdelay is CELT only, looks 4 ms less ahead, and has no
    /// in-band FEC. Above, speech coding (SILK) with FEC is worth more.
    const fn application(self) -> Application {
        match self {
            Self::Ms2_5 | Self::Ms5 | Self::Ms10 => Application::LowDelay,
            Self::Ms20 | Self::Ms40 | Self::Ms60 => Application::Voip,
        }
    }
}

/// Encodes 48 kHz mono.
pub struct OpusEncoder {
    encoder: Encoder,
    length: FrameLength,
    look_ahead: usize,
}

impl OpusEncoder {
    /// An encoder for frames of `length`. Opus refuses a change of application after the first frame, so another
    /// length needs another encoder.
    ///
    /// Errors: `Refused` where the library has no memory or takes the rate not.
    pub fn new(length: FrameLength, bitrate: Bitrate) -> Result<Self> {
        let mut encoder = Encoder::new(SampleRate::Hz48000, Channels::Mono, length.application()).map_err(refused)?;
        encoder.set_signal(Signal::Voice).map_err(refused)?;
        let look_ahead = encoder.lookahead().map_err(refused)? as usize;
        let mut this = Self { encoder, length, look_ahead };
        this.set_bitrate(bitrate)?;
        Ok(this)
    }

    /// The new bitrate, clamped to what Opus takes (6 to 510 kbit/s, RFC 6716 §2.1.1). Takes effect at once.
    pub fn set_bitrate(&mut self, bitrate: Bitrate) -> Result<()> {
        let bps = bitrate.as_bps().clamp(6_000, 510_000) as i32;
        self.encoder.set_bitrate(OpusBitrate::BitsPerSecond(bps)).map_err(refused)
    }

    /// 0 (least work) to 10 (best sound, the library's choice of 9 to 10 costs about twice what 5 does).
    pub fn set_complexity(&mut self, complexity: u8) -> Result<()> {
        self.encoder.set_complexity(complexity.min(10)).map_err(refused)
    }

    /// In-band forward error correction (RFC 6716 §2.1.7) for a path that loses `expected_loss_percent`.
    /// Only speech coding carries it: with frames of 10 ms and less the loss is noted and the FEC is not sent.
    pub fn set_fec(&mut self, on: bool, expected_loss_percent: u8) -> Result<()> {
        self.encoder.set_packet_loss_perc(expected_loss_percent.min(100)).map_err(refused)?;
        self.encoder.set_inband_fec(on && self.carries_fec()).map_err(refused)
    }

    /// Discontinuous transmission: in silence packets of at most 2 bytes, which need not be sent.
    pub fn set_dtx(&mut self, on: bool) -> Result<()> {
        self.encoder.set_dtx(on).map_err(refused)
    }

    /// Encodes exactly one frame of samples in −1…1; `out` is cleared and filled. Once `out` has its capacity nothing
    /// is allocated.
    ///
    /// Errors: `Malformed` where `pcm` is not one frame; the encoder goes on with the next.
    pub fn encode(&mut self, pcm: &[f32], out: &mut Vec<u8>) -> Result<()> {
        if pcm.len() != self.length.samples() {
            return Err(Error::new(
                Kind::Malformed,
                format!("a frame of {} samples where {} belong", pcm.len(), self.length.samples()),
            ));
        }
        out.clear();
        out.resize(MAX_PACKET_BYTES, 0);
        match self.encoder.encode_float(pcm, out.as_mut_slice()) {
            Ok(len) => {
                out.truncate(len);
                Ok(())
            }
            Err(error) => {
                out.clear();
                Err(malformed(error))
            }
        }
    }

    /// Samples that the decoded sound lies behind the input.
    pub const fn look_ahead(&self) -> usize {
        self.look_ahead
    }

    pub const fn length(&self) -> FrameLength {
        self.length
    }

    /// True where the frame length allows in-band FEC.
    pub const fn carries_fec(&self) -> bool {
        matches!(self.length, FrameLength::Ms20 | FrameLength::Ms40 | FrameLength::Ms60)
    }
}

impl fmt::Debug for OpusEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpusEncoder").field("length", &self.length).finish_non_exhaustive()
    }
}
