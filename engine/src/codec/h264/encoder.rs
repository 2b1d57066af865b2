//! OpenH264's encoder, set up for calls: low complexity, rate control with skipped pictures, IDR only on request.
#![allow(unsafe_code, reason = "the bitrate is changed through the C interface; the crate has no call for it")]

use openh264::OpenH264API;
use openh264::encoder::{
    BitRate, Complexity, Encoder, EncoderConfig, FrameRate, FrameType, Profile, QpRange, RateControlMode, UsageType,
    VuiConfig,
};
use openh264::formats::YUVSlices;
use openh264::{Error as NativeError, Timestamp};
use openh264_sys2::{
    ENCODER_OPTION_BITRATE, ENCODER_OPTION_MAX_BITRATE, ENCODER_OPTION_SVC_ENCODE_PARAM_EXT, SBitrateInfo,
    SEncParamExt, SPATIAL_LAYER_ALL,
};

use crate::base::error::{Error, Kind, Result};
use crate::base::rate::Bitrate;
use crate::media::video::{Colour, Content, Matrix, Picture, Range};
use crate::proto::nal::split;

/// What became of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoded {
    Keyframe,
    Delta,
    /// A delta that no other unit refers to: of the upper one of two temporal layers.
    Discardable,
    /// Rate control left it out: nothing was written.
    Skipped,
}

/// An encoder that begins anew by itself when the size or the colour of the pictures changes.
pub struct H264Encoder {
    frame_rate: f32,
    content: Content,
    layers: u8,
    quantisers: (u8, u8),
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

impl H264Encoder {
    /// `frame_rate`: what rate control spreads the bits over, per second.
    pub const fn new(frame_rate: f32) -> Self {
        Self { frame_rate, content: Content::Motion, layers: 1, quantisers: (0, 51), running: None }
    }

    /// The least and the most that the quantiser may be, 0 to 51. Takes effect where it begins anew.
    pub const fn set_quantisers(&mut self, quantisers: (u8, u8)) {
        self.quantisers = quantisers;
    }

    /// Temporal layers, 1 or 2: with two every other unit may be left out alone. Takes effect with the next picture, which
    /// begins anew where it is another number.
    pub fn set_layers(&mut self, layers: u8) {
        if layers != self.layers {
            (self.layers, self.running) = (layers, None);
        }
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
            _ => self.running.insert(
                Running::new(picture, self.frame_rate, self.content, self.quantisers, bitrate).map_err(failed)?,
            ),
        };
        running.apply(bitrate).map_err(failed)?;
        if force && running.began {
            running.encoder.force_intra_frame();
        }
        let strides = (width, width / 2, width / 2);
        let source = YUVSlices::new((&picture.y, &picture.u, &picture.v), (width, height), strides);
        // Screens are pages: each of their few pictures is wanted.
        if !running.began && self.layers > 1 && self.content == Content::Motion {
            // Options reach it only behind a first picture, and this one makes it begin anew: that picture is not sent.
            running.encoder.encode_at(&source, Timestamp::from_millis(millis)).map_err(failed)?;
            running.set_layers(self.layers).map_err(failed)?;
        }
        let stream = running.encoder.encode_at(&source, Timestamp::from_millis(millis)).map_err(failed)?;
        let begins_at = out.len();
        stream.write_vec(out);
        running.began = true;
        Ok(match stream.frame_type() {
            _ if out.len() == begins_at => Encoded::Skipped,
            FrameType::IDR => Encoded::Keyframe,
            _ if is_discardable(out.get(begins_at..).unwrap_or_default()) => Encoded::Discardable,
            _ => Encoded::Delta,
        })
    }
}

impl Running {
    fn new(
        picture: &Picture,
        frame_rate: f32,
        content: Content,
        (least, most): (u8, u8),
        bitrate: Bitrate,
    ) -> Result<Self, NativeError> {
        let vui = match picture.colour.matrix {
            Matrix::Bt709 => VuiConfig::bt709(),
            Matrix::Bt601 => VuiConfig::bt601(),
        };
        // For screens it finds what was scrolled, and sharp edges: a twentieth of the bits for the same text.
        let is_text = content == Content::Text;
        let usage = match content {
            Content::Motion => UsageType::CameraVideoRealTime,
            Content::Text => UsageType::ScreenContentRealTime,
        };
        let config = EncoderConfig::new()
            .usage_type(usage)
            .qp(QpRange::new(least, most))
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

    fn set_layers(&mut self, layers: u8) -> Result<(), NativeError> {
        let mut parameters = SEncParamExt::default();
        let option = ENCODER_OPTION_SVC_ENCODE_PARAM_EXT;
        // SAFETY: the option takes a pointer to an SEncParamExt, which lives until the calls return; it is copied in both
        // directions (welsEncoderExt.cpp, GetOption and SetOption). The encoder has been initialised: it encoded.
        let status = unsafe {
            self.encoder.raw_api().get_option(option, (&raw mut parameters).cast());
            parameters.iTemporalLayerNum = layers.into();
            self.encoder.raw_api().set_option(option, (&raw mut parameters).cast())
        };
        if status == 0 { Ok(()) } else { Err(NativeError::msg("the temporal layers were refused")) }
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

/// H.264 §7.4.1: nal_ref_idc is 0 in every slice of a picture that no other refers to.
fn is_discardable(unit: &[u8]) -> bool {
    let mut slices = split(unit).filter_map(|nal| nal.first()).filter(|header| **header & 0x1f == 1).peekable();
    slices.peek().is_some() && slices.all(|header| header & 0x60 == 0)
}

fn failed(error: NativeError) -> Error {
    Error::new(Kind::Reopen, format!("the H.264 encoder failed: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::WallTime;
    use crate::codec::h264::decoder::H264Decoder;
    use crate::media::marker::{self, Marker};

    /// Sixty pictures in `layers`: each unit and what became of its picture.
    fn encode(layers: u8) -> Vec<(Encoded, Vec<u8>)> {
        let mut encoder = H264Encoder::new(30.0);
        encoder.set_layers(layers);
        let mut picture = Picture::new(320, 180);
        let one = |n: u32| {
            marker::paint(&mut picture, Marker { counter: n, drawn: WallTime::from_micros(1) });
            let mut unit = Vec::new();
            let encoded = encoder.encode(&picture, Bitrate::from_kbps(400), n == 31, u64::from(n) * 33, &mut unit);
            (encoded.expect("a picture of this size"), unit)
        };
        (0..60).map(one).filter(|(encoded, _)| *encoded != Encoded::Skipped).collect()
    }

    #[test]
    fn of_two_temporal_layers_the_upper_one_can_be_left_out_and_with_one_nothing_can() {
        assert!(encode(1).iter().all(|(encoded, _)| *encoded != Encoded::Discardable));
        let units = encode(2);
        let discardable = units.iter().filter(|(encoded, _)| *encoded == Encoded::Discardable).count();
        let keyframes = units.iter().filter(|(encoded, _)| *encoded == Encoded::Keyframe).count();
        assert!((25..=30).contains(&discardable) && keyframes == 2, "{discardable} of {}", units.len());
        let mut decoder = H264Decoder::default();
        let mut shown = Vec::new();
        for (_, unit) in units.iter().filter(|(encoded, _)| *encoded != Encoded::Discardable) {
            let mut picture = Picture::default();
            decoder.decode(unit, |decoded| decoded.copy_to(&mut picture)).expect("nothing it refers to is missing");
            let found = marker::read(&picture.y, 320, 320, 180).expect("a marker that was painted");
            shown.push(found.counter);
        }
        assert!(shown.len() >= 28 && shown.is_sorted(), "{shown:?}");
    }
}
