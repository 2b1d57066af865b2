//! The encoders of one outgoing track.

use std::fmt;

use audiopus::coder::{Encoder, GenericCtl};
use audiopus::{Application, Bitrate as OpusBitrate, Channels, SampleRate, Signal};

use super::{MAX_PACKET_BYTES, malformed, refused};
use crate::base::error::{Error, Kind, Result};
use crate::base::rate::Bitrate;
use crate::media::frame_length::{Coding, FrameLength};

/// Encodes 48 kHz mono.
pub struct OpusEncoder {
    encoder: Encoder,
    coding: Coding,
    look_ahead: usize,
}

impl OpusEncoder {
    /// An encoder for frames of `length`, and others of the same coding. Opus refuses a change of application after the first
    /// frame, so the other coding needs another encoder.
    ///
    /// Errors: `Refused` where the library has no memory or takes the rate not.
    pub fn new(length: FrameLength, bitrate: Bitrate) -> Result<Self> {
        Self::of(length.coding(), bitrate)
    }

    fn of(coding: Coding, bitrate: Bitrate) -> Result<Self> {
        let application = match coding {
            Coding::LowDelay => Application::LowDelay,
            Coding::Speech => Application::Voip,
        };
        let mut encoder = Encoder::new(SampleRate::Hz48000, Channels::Mono, application).map_err(refused)?;
        encoder.set_signal(Signal::Voice).map_err(refused)?;
        let look_ahead = encoder.lookahead().map_err(refused)? as usize;
        let mut this = Self { encoder, coding, look_ahead };
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

    /// Forgets all that was encoded: the next frame is as the first one.
    pub fn reset(&mut self) -> Result<()> {
        self.encoder.reset_state().map_err(refused)
    }

    /// Encodes exactly one frame of samples in −1…1; `out` is cleared and filled. Once `out` has its capacity nothing
    /// is allocated.
    ///
    /// Errors: `Malformed` where `pcm` is not one frame; the encoder goes on with the next.
    pub fn encode(&mut self, pcm: &[f32], out: &mut Vec<u8>) -> Result<()> {
        if FrameLength::of_samples(pcm.len()).is_none_or(|length| length.coding() != self.coding) {
            return Err(Error::new(Kind::Malformed, format!("a frame of {} samples does not belong here", pcm.len())));
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

    /// As [`Self::encode`], a frame that is understood without those before it.
    pub fn encode_alone(&mut self, pcm: &[f32], out: &mut Vec<u8>) -> Result<()> {
        self.encoder.set_prediction_disabled(true).map_err(refused)?;
        let encoded = self.encode(pcm, out);
        self.encoder.set_prediction_disabled(false).map_err(refused)?;
        encoded
    }

    /// Samples that the decoded sound lies behind the input.
    pub const fn look_ahead(&self) -> usize {
        self.look_ahead
    }

    /// True where the coding allows in-band FEC.
    pub const fn carries_fec(&self) -> bool {
        matches!(self.coding, Coding::Speech)
    }
}

/// An encoder for each coding, of which one is listened to.
#[derive(Debug)]
pub struct OpusEncoders {
    low_delay: OpusEncoder,
    speech: OpusEncoder,
}

impl OpusEncoders {
    /// Errors: as [`OpusEncoder::new`].
    pub fn new(bitrate: Bitrate) -> Result<Self> {
        Ok(Self {
            low_delay: OpusEncoder::of(Coding::LowDelay, bitrate)?,
            speech: OpusEncoder::of(Coding::Speech, bitrate)?,
        })
    }

    /// The one for frames of this coding.
    pub const fn of(&mut self, coding: Coding) -> &mut OpusEncoder {
        match coding {
            Coding::LowDelay => &mut self.low_delay,
            Coding::Speech => &mut self.speech,
        }
    }

    /// Both from now on: the bitrate, and in-band FEC for a loss of so many percent.
    pub fn set(&mut self, bitrate: Bitrate, fec: Option<u8>) -> Result<()> {
        for encoder in [&mut self.low_delay, &mut self.speech] {
            encoder.set_bitrate(bitrate)?;
            encoder.set_fec(fec.is_some(), fec.unwrap_or(0))?;
        }
        Ok(())
    }

    /// As [`OpusEncoder::set_complexity`].
    pub fn set_complexity(&mut self, complexity: u8) -> Result<()> {
        self.low_delay.set_complexity(complexity)?;
        self.speech.set_complexity(complexity)
    }
}

impl fmt::Debug for OpusEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpusEncoder").field("coding", &self.coding).finish_non_exhaustive()
    }
}
