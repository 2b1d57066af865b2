//! OpenH264's encoder, set up for calls: low complexity, rate control with skipped pictures, IDR only on request.
#![allow(unsafe_code, reason = "the bitrate is changed through the C interface; the crate has no call for it")]

use openh264::OpenH264API;
use openh264::encoder::{
    BitRate, Complexity, Encoder, EncoderConfig, FrameRate, FrameType, Profile, QpRange, RateControlMode, UsageType,
    VuiConfig,
};
use openh264::formats::YUVSlices;
use openh264::{Error as NativeError, Timestamp};
use openh264_sys2::{ENCODER_OPTION_BITRATE, ENCODER_OPTION_MAX_BITRATE, SBitrateInfo, SPATIAL_LAYER_ALL};

use crate::base::error::{Error, Kind, Result};
use crate::base::rate::Bitrate;
use crate::media::video::{Colour, Content, Matrix, Picture, Range};

/// What became of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoded {
    Keyframe,
    Delta,
    /// Rate control left it out: nothing was written.
    Skipped,
}

/// An encoder that begins anew by itself when the size or the colour of the pictures changes.
pub struct H264Encoder {
    frame_rate: f32,
    content: Content,
    running: Option<Running>,
}

struct Running {
    encoder: Encoder,
    width: u32,
    height: u32,
    colour: Colour,
    /// The bitrate the encoder works with.
    applied: Bitrate,
    /// Options reach the encoder only after its first picture.
    began: bool,
}

/// The least rate OpenH264 works with, and the most that a level 4.1 stream has.
const BITRATES: (u64, u64) = (10_000, 50_000_000);

/// Quantisers of text: below the one nobody sees a difference, above the other letters of 9 pixels are not read any more.
const SHARP: u8 = 22;
const READABLE: u8 = 38;

impl H264Encoder {
    /// `frame_rate`: what rate control spreads the bits over, per second.
    pub const fn new(frame_rate: f32) -> Self {
        Self { frame_rate, content: Content::Motion, running: None }
    }

    /// What the pictures are of: takes effect with the next one, which begins anew where it is another.
    pub fn set_content(&mut self, content: Content) {
        if content != self.content {
            (self.content, self.running) = (content, None);
        }
    }

    /// Appends the unit of `picture` to `out`. The first one, the first after a change of size, and one with `force`
    /// is an IDR with parameter sets in front. `millis`: the picture's time, from any origin.
    ///
    /// # Errors
    /// The picture's size is not even and at least 16, or the encoder failed (`Kind::Reopen`): the next picture
    /// begins with a fresh one.
    pub fn encode(
        &mut self,
        picture: &Picture,
        bitrate: Bitrate,
        force: bool,
        millis: u64,
        out: &mut Vec<u8>,
    ) -> Result<Encoded> {
        let result = self.try_encode(picture, bitrate, force, millis, out);
        if result.is_err() {
            self.running = None;
        }
        result
    }

    fn try_encode(
        &mut self,
        picture: &Picture,
        bitrate: Bitrate,
        force: bool,
        millis: u64,
        out: &mut Vec<u8>,
    ) -> Result<Encoded> {
        let (width, height) = (picture.width as usize, picture.height as usize);
        if width < 16 || height < 16 || width % 2 != 0 || height % 2 != 0 {
            return Err(Error::new(Kind::Refused, format!("a picture of {width}×{height} cannot be encoded")));
        }
        let bitrate = Bitrate::from_bps(bitrate.as_bps().clamp(BITRATES.0, BITRATES.1));
        let same = |running: &Running| {
            (running.width, running.height, running.colour) == (picture.width, picture.height, picture.colour)
        };
        let running = match self.running.take() {
            Some(running) if same(&running) => self.running.insert(running),
            _ => self.running.insert(Running::new(picture, self.frame_rate, self.content, bitrate).map_err(failed)?),
        };
        running.apply(bitrate).map_err(failed)?;
        if force && running.began {
            running.encoder.force_intra_frame();
        }
        let strides = (width, width / 2, width / 2);
        let source = YUVSlices::new((&picture.y, &picture.u, &picture.v), (width, height), strides);
        let stream = running.encoder.encode_at(&source, Timestamp::from_millis(millis)).map_err(failed)?;
        let begins_at = out.len();
        stream.write_vec(out);
        running.began = true;
        Ok(match stream.frame_type() {
            _ if out.len() == begins_at => Encoded::Skipped,
            FrameType::IDR => Encoded::Keyframe,
            _ => Encoded::Delta,
        })
    }
}

impl Running {
    fn new(picture: &Picture, frame_rate: f32, content: Content, bitrate: Bitrate) -> Result<Self, NativeError> {
        let vui = match picture.colour.matrix {
            Matrix::Bt709 => VuiConfig::bt709(),
            Matrix::Bt601 => VuiConfig::bt601(),
        };
        // For screens it finds what was scrolled, and sharp edges: a twentieth of the bits for the same text.
        let is_text = content == Content::Text;
        let (usage, quantisers) = match content {
            Content::Motion => (UsageType::CameraVideoRealTime, QpRange::default()),
            Content::Text => (UsageType::ScreenContentRealTime, QpRange::new(SHARP, READABLE)),
        };
        let config = EncoderConfig::new()
            .usage_type(usage)
            .qp(quantisers)
            .profile(Profile::Baseline)
            // Medium looks the same and costs 10 to 18 % more.
            .complexity(Complexity::Low)
            // With skipping off OpenH264 turns rate control off.
            .rate_control_mode(RateControlMode::Bitrate)
            .skip_frames(true)
            .bitrate(BitRate::from_bps(bitrate.as_bps() as u32))
            .max_frame_rate(FrameRate::from_hz(frame_rate))
            // An IDR is six times a delta: only a receiver that needs one is worth it. For screens OpenH264 insists on
            // looking for changes of scene, and has neither of the two others.
            .scene_change_detect(is_text)
            .adaptive_quantization(!is_text)
            .background_detection(!is_text)
            .num_threads(1)
            .vui(vui.full_range(picture.colour.range == Range::Full));
        let encoder = Encoder::with_api_config(OpenH264API::from_source(), config)?;
        let Picture { width, height, colour, .. } = *picture;
        Ok(Self { encoder, width, height, colour, applied: bitrate, began: false })
    }

    fn apply(&mut self, bitrate: Bitrate) -> Result<(), NativeError> {
        if bitrate == self.applied || !self.began {
            return Ok(());
        }
        let bps = i32::try_from(bitrate.as_bps()).unwrap_or(i32::MAX);
        let mut info = SBitrateInfo { iLayer: SPATIAL_LAYER_ALL, iBitrate: bps };
        // The ceiling is moved first where the rate rises, last where it falls: the rate must never be above it.
        let mut options = [ENCODER_OPTION_MAX_BITRATE, ENCODER_OPTION_BITRATE];
        if bitrate < self.applied {
            options.reverse();
        }
        for option in options {
            // SAFETY: both options take a pointer to an SBitrateInfo, which lives until the call returns and of which
            // the encoder keeps no pointer (welsEncoderExt.cpp, SetOption). It has been initialised: it encoded.
            let status = unsafe { self.encoder.raw_api().set_option(option, (&raw mut info).cast()) };
            if status != 0 {
                return Err(NativeError::msg("the bitrate was refused"));
            }
        }
        self.applied = bitrate;
        Ok(())
    }
}

fn failed(error: NativeError) -> Error {
    Error::new(Kind::Reopen, format!("the H.264 encoder failed: {error}"))
}
