//! A model of a codec: units of the size that the bitrate gives, whose only content is the picture's marker. Whole
//! calls in virtual time run on it in a fraction of the time, with the same bytes on every machine.
//!
//! A unit looks like Annex B (one NAL unit of type 5 or 1), so that the same packets carry it. Every byte behind the
//! header has its top bit set: no start code can appear in it. Fields are written as nibbles.

use super::h264::encoder::Encoded;
use crate::base::rate::Bitrate;
use crate::base::time::{Duration, WallTime};
use crate::media::marker::{self, Marker};
use crate::media::video::Picture;
use crate::proto::nal::split;

/// A keyframe is this many times as large as another unit, as measured with the real codec on a call's pictures.
pub const KEYFRAME_FACTOR: u64 = 6;
const KEYFRAME: u8 = 0x65;
const DELTA: u8 = 0x41;
/// As H.264 has it (§7.4.1): nothing refers to it.
const DISCARDABLE: u8 = 0x01;
/// Magic 8, width 16, height 16, chain 16, counter 32, drawn 64, marker there 8: nibbles.
const FIELDS: [usize; 7] = [2, 4, 4, 4, 8, 16, 2];
const MAGIC: u64 = 0x56;

/// See the top of the file.
#[derive(Debug)]
pub struct PlainEncoder {
    frame_time: Duration,
    /// Units so far that others refer to, since the keyframe.
    chain: u16,
    layers: u8,
    /// The last unit was of the lower one of two temporal layers.
    is_lower: bool,
    began: bool,
    seed: u64,
}

impl PlainEncoder {
    pub fn new(frame_rate: f32) -> Self {
        let frame_time = Duration::from_secs_f32(1.0 / frame_rate.max(1.0));
        Self { frame_time, chain: 0, layers: 1, is_lower: false, began: false, seed: 1 }
    }

    /// Temporal layers, 1 or 2; the next unit is a keyframe where it is another number, as with the real codec.
    pub const fn set_layers(&mut self, layers: u8) {
        if layers != self.layers {
            (self.layers, self.began) = (layers, false);
        }
    }

    /// Appends the unit of `picture` to `out`: a keyframe where it is the first one, or with `force`.
    pub fn encode(&mut self, picture: &Picture, bitrate: Bitrate, force: bool, out: &mut Vec<u8>) -> Encoded {
        let keyframe = force || !self.began;
        self.began = true;
        let discardable = !keyframe && self.layers > 1 && self.is_lower;
        self.is_lower = !discardable;
        let chain = if keyframe { 0 } else { self.chain.wrapping_add(1) };
        if !discardable {
            self.chain = chain;
        }
        let found = marker::read(&picture.y, picture.width as usize, picture.width, picture.height);
        let shown = found.unwrap_or(Marker { counter: 0, drawn: WallTime::from_micros(0) });
        let values = [
            MAGIC,
            u64::from(picture.width),
            u64::from(picture.height),
            u64::from(chain),
            u64::from(shown.counter),
            shown.drawn.as_micros(),
            u64::from(found.is_some()),
        ];
        let begins_at = out.len();
        let (header, encoded) = match () {
            () if keyframe => (KEYFRAME, Encoded::Keyframe),
            () if discardable => (DISCARDABLE, Encoded::Discardable),
            () => (DELTA, Encoded::Delta),
        };
        out.extend([0, 0, 0, 1, header]);
        for (value, nibbles) in values.into_iter().zip(FIELDS) {
            out.extend((0..nibbles).rev().map(|nibble| 0x80 | ((value >> (nibble * 4)) & 15) as u8));
        }
        let factor = if keyframe { KEYFRAME_FACTOR } else { 1 };
        // The decoder's bounds hold for this codec too.
        let size = (bitrate.bytes_in(self.frame_time) * factor).min(500_000) as usize;
        while out.len() < begins_at + size {
            self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            out.push(0x80 | (self.seed >> 57) as u8);
        }
        encoded
    }
}

/// See the top of the file.
#[derive(Debug, Default)]
pub struct PlainDecoder {
    /// The number of the last unit that others refer to since its keyframe; `None` while a keyframe is awaited.
    chain: Option<u16>,
}

impl PlainDecoder {
    /// Draws what the unit says into `picture`; `Some(true)` for a keyframe. `None` where the unit is not of this
    /// codec or does not follow the last one: only a keyframe is taken then.
    pub fn decode(&mut self, unit: &[u8], picture: &mut Picture) -> Option<bool> {
        let decoded = self.try_decode(unit, picture);
        if decoded.is_none() {
            self.chain = None;
        }
        decoded
    }

    fn try_decode(&mut self, unit: &[u8], picture: &mut Picture) -> Option<bool> {
        let mut bytes = split(unit).next()?.iter().copied();
        let header = bytes.next().filter(|header| [KEYFRAME, DELTA, DISCARDABLE].contains(header))?;
        let keyframe = header == KEYFRAME;
        let mut values = [0u64; FIELDS.len()];
        for (value, nibbles) in values.iter_mut().zip(FIELDS) {
            for _ in 0..nibbles {
                *value = (*value << 4) | u64::from(bytes.next().filter(|byte| byte & 0xf0 == 0x80)? & 15);
            }
        }
        let [magic, width, height, chain, counter, drawn, has_marker] = values;
        let follows = keyframe || self.chain.is_some_and(|last| u64::from(last.wrapping_add(1)) == chain);
        if magic != MAGIC || !follows || !(16..=1920).contains(&width) || !(16..=1920).contains(&height) {
            return None;
        }
        if header != DISCARDABLE {
            self.chain = Some(chain as u16);
        }
        // Grey but for the strip, which every marker paints over whole: storage of this size is grey already.
        if (u64::from(picture.width), u64::from(picture.height)) != (width, height) || has_marker == 0 {
            picture.resize(width as u32, height as u32);
            picture.y.fill(110);
            picture.u.fill(128);
            picture.v.fill(128);
        }
        if has_marker == 1 {
            marker::paint(picture, Marker { counter: counter as u32, drawn: WallTime::from_micros(drawn) });
        }
        Some(keyframe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::nal::inspect;

    #[test]
    fn a_unit_has_the_size_of_its_bitrate_and_carries_the_marker() {
        let marker = Marker { counter: 7, drawn: WallTime::from_micros(1_795_000_000_000_000) };
        let mut picture = Picture::new(640, 360);
        marker::paint(&mut picture, marker);
        let mut encoder = PlainEncoder::new(30.0);
        let mut decoder = PlainDecoder::default();
        let mut sizes = Vec::new();
        for turn in 0..3 {
            let mut unit = Vec::new();
            let encoded = encoder.encode(&picture, Bitrate::from_kbps(600), turn == 2, &mut unit);
            let keyframe = encoded == Encoded::Keyframe;
            assert_eq!(inspect(&unit).map(|info| info.is_keyframe), Ok(keyframe));
            let mut decoded = Picture::default();
            assert_eq!(decoder.decode(&unit, &mut decoded), Some(keyframe));
            assert_eq!(marker::read(&decoded.y, 640, 640, 360), Some(marker));
            sizes.push(unit.len());
        }
        assert_eq!(sizes, [14_994, 2499, 14_994]);
    }

    #[test]
    fn the_upper_temporal_layer_can_be_left_out() {
        let (picture, mut encoder) = (Picture::new(64, 64), PlainEncoder::new(30.0));
        encoder.set_layers(2);
        let mut decoder = PlainDecoder::default();
        let mut out = Picture::default();
        let mut encoded = Vec::new();
        for turn in 0..9 {
            let mut unit = Vec::new();
            encoded.push(encoder.encode(&picture, Bitrate::from_kbps(100), turn == 6, &mut unit));
            if encoded.last() != Some(&Encoded::Discardable) || turn == 3 {
                assert!(decoder.decode(&unit, &mut out).is_some(), "{turn}");
            }
        }
        let [k, d, u] = [Encoded::Keyframe, Encoded::Delta, Encoded::Discardable];
        assert_eq!(encoded, [k, u, d, u, d, u, k, u, d]);
    }

    #[test]
    fn a_missing_unit_breaks_the_chain_until_a_keyframe() {
        let picture = Picture::new(64, 64);
        let mut encoder = PlainEncoder::new(30.0);
        let mut units: Vec<Vec<u8>> = vec![Vec::new(); 5];
        for (turn, unit) in units.iter_mut().enumerate() {
            encoder.encode(&picture, Bitrate::from_kbps(100), turn == 4, unit);
        }
        let mut decoder = PlainDecoder::default();
        let mut out = Picture::default();
        let decoded: Vec<Option<bool>> = [0, 1, 3, 4].map(|at| decoder.decode(&units[at], &mut out)).into();
        assert_eq!(decoded, [Some(true), Some(false), None, Some(true)]);
    }
}
