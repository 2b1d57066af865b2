//! The encoders of one outgoing track.

use std::fmt;

use audiopus::coder::{Encoder, GenericCtl};
use audiopus::{Application, Bitrate as OpusBitrate, Channels, SampleRate, Signal};

use super::{MAX_PACKET_BYTES, malformed, refused};
use crate::base::error::{Error, Kind, Result};
use crate::base::rate::Bitrate;
use crate::base::stereo::{Stereo, to_mono};
use crate::media::frame_length::{Coding, FrameLength};

/// Encodes 48 kHz, mono or stereo.
pub struct OpusEncoder {
    encoder: Encoder,
    coding: Coding,
    channels: usize,
    look_ahead: usize,
}

impl OpusEncoder {
    /// An encoder for frames of `length`, and others of the same coding. Opus refuses a change of application after the first
    /// frame, so the other coding needs another encoder.
    ///
    /// Errors: `Refused` where the library has no memory or takes the rate not.
    pub fn new(length: FrameLength, bitrate: Bitrate) -> Result<Self> {
        Self::of(length.coding(), false, bitrate)
    }

    /// An encoder of stereo sound that is not speech, for frames of up to 10 ms.
    ///
    /// Errors: as [`Self::new`].
    pub fn music(bitrate: Bitrate) -> Result<Self> {
        Self::of(Coding::LowDelay, true, bitrate)
    }

    fn of(coding: Coding, stereo: bool, bitrate: Bitrate) -> Result<Self> {
        let application = match coding {
            Coding::LowDelay => Application::LowDelay,
            Coding::Speech => Application::Voip,
        };
        let (channels, signal) =
            if stereo { (Channels::Stereo, Signal::Music) } else { (Channels::Mono, Signal::Voice) };
        let mut encoder = Encoder::new(SampleRate::Hz48000, channels, application).map_err(refused)?;
        encoder.set_signal(signal).map_err(refused)?;
        let look_ahead = encoder.lookahead().map_err(refused)? as usize;
        let mut this = Self { encoder, coding, channels: if stereo { 2 } else { 1 }, look_ahead };
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

    /// Encodes exactly one frame of samples in −1…1, left and right in turn where it is stereo; `out` is cleared and filled. Once `out` has its capacity nothing
    /// is allocated.
    ///
    /// Errors: `Malformed` where `pcm` is not one frame; the encoder goes on with the next.
    pub fn encode(&mut self, pcm: &[f32], out: &mut Vec<u8>) -> Result<()> {
        if FrameLength::of_samples(pcm.len() / self.channels).is_none_or(|length| length.coding() != self.coding) {
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

/// An encoder for each coding, and one for music, of which one is listened to.
#[derive(Debug)]
pub struct OpusEncoders {
    low_delay: OpusEncoder,
    speech: OpusEncoder,
    music: OpusEncoder,
    is_music: bool,
    /// The last frame, and one as its encoder takes it.
    last: Vec<Stereo>,
    pcm: Vec<f32>,
}

impl OpusEncoders {
    /// Errors: as [`OpusEncoder::new`].
    pub fn new(bitrate: Bitrate) -> Result<Self> {
        Ok(Self {
            low_delay: OpusEncoder::of(Coding::LowDelay, false, bitrate)?,
            speech: OpusEncoder::of(Coding::Speech, false, bitrate)?,
            music: OpusEncoder::music(bitrate)?,
            is_music: false,
            last: Vec::new(),
            pcm: Vec::new(),
        })
    }

    /// The one for frames of this coding.
    pub const fn of(&mut self, coding: Coding) -> &mut OpusEncoder {
        match coding {
            Coding::LowDelay => &mut self.low_delay,
            Coding::Speech => &mut self.speech,
        }
    }

    /// Encodes a frame: in stereo, where it is `music` in frames of up to 10 ms, else the middle of it. `alone` as in
    /// [`OpusEncoder::encode_alone`]; between a voice and music it is done unasked.
    ///
    /// Errors: as [`OpusEncoder::encode`].
    pub fn encode(&mut self, frame: &[Stereo], music: bool, alone: bool, out: &mut Vec<u8>) -> Result<()> {
        let is_short = coding_of(frame)? == Coding::LowDelay;
        let changes = is_short && self.is_music != music;
        if changes {
            self.is_music = music;
            // What the other one sent last: else the first frame would begin in silence.
            let last = std::mem::take(&mut self.last);
            let _ = self.hear(&last, music, true, out);
            self.last = last;
        }
        self.last.clear();
        self.last.extend_from_slice(frame);
        let (encoder, pcm) = self.prepare(frame, music)?;
        if alone || changes { encoder.encode_alone(pcm, out) } else { encoder.encode(pcm, out) }
    }

    /// A frame that is only heard, not sent: `first`, what was heard before is forgotten.
    ///
    /// Errors: as [`OpusEncoder::encode`].
    pub fn hear(&mut self, frame: &[Stereo], music: bool, first: bool, out: &mut Vec<u8>) -> Result<()> {
        let (encoder, pcm) = self.prepare(frame, music)?;
        if first {
            encoder.reset()?;
        }
        encoder.encode(pcm, out)
    }

    /// The encoder of a frame, and the frame as it takes it.
    fn prepare(&mut self, frame: &[Stereo], music: bool) -> Result<(&mut OpusEncoder, &[f32])> {
        let coding = coding_of(frame)?;
        if music && coding == Coding::LowDelay {
            self.pcm.clear();
            self.pcm.extend_from_slice(frame.as_flattened());
            return Ok((&mut self.music, &self.pcm));
        }
        to_mono(frame, &mut self.pcm);
        let encoder = match coding {
            Coding::LowDelay => &mut self.low_delay,
            Coding::Speech => &mut self.speech,
        };
        Ok((encoder, &self.pcm))
    }

    /// All from now on: the bitrate, and in-band FEC for a loss of so many percent.
    pub fn set(&mut self, bitrate: Bitrate, fec: Option<u8>) -> Result<()> {
        for encoder in [&mut self.low_delay, &mut self.speech, &mut self.music] {
            encoder.set_bitrate(bitrate)?;
            encoder.set_fec(fec.is_some(), fec.unwrap_or(0))?;
        }
        Ok(())
    }

    /// As [`OpusEncoder::set_complexity`].
    pub fn set_complexity(&mut self, complexity: u8) -> Result<()> {
        self.low_delay.set_complexity(complexity)?;
        self.speech.set_complexity(complexity)?;
        self.music.set_complexity(complexity)
    }
}

fn coding_of(frame: &[Stereo]) -> Result<Coding> {
    let length = FrameLength::of_samples(frame.len());
    length.map(FrameLength::coding).ok_or_else(|| Error::new(Kind::Malformed, "a frame of no known length"))
}

impl fmt::Debug for OpusEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpusEncoder").field("coding", &self.coding).finish_non_exhaustive()
    }
}
