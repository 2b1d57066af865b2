//! H.264 network abstraction layer: splitting an Annex B byte stream, and a parser in front of the decoder that
//! refuses what this program never sends before any C++ sees it (ITU-T H.264 §7.3, Annex A, B, E).

/// The largest unit that is taken: 100 ms of IDR at 40 Mbit/s is half of it.
pub const MAX_UNIT: usize = 1 << 20;
/// The largest NAL unit that is taken.
pub const MAX_NAL: usize = 512 << 10;
/// Sequence parameter sets of the profiles taken here are below 100 bytes; the bound keeps the copy small.
const MAX_SPS: usize = 1024;

/// NAL unit types, ITU-T H.264 table 7-1.
pub const TYPE_SLICE: u8 = 1;
pub const TYPE_IDR: u8 = 5;
pub const TYPE_SEI: u8 = 6;
pub const TYPE_SPS: u8 = 7;
pub const TYPE_PPS: u8 = 8;
pub const TYPE_AUD: u8 = 9;

/// The input is not of its form; the text says which rule it broke. Count it and drop it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed video: {0}")]
pub struct Malformed(pub &'static str);

/// What a unit contains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnitInfo {
    /// It holds an IDR picture: decoding can start here.
    pub is_keyframe: bool,
    /// It holds slices of a picture, not only parameter sets.
    pub has_slices: bool,
    pub sps: Option<SpsInfo>,
    pub has_pps: bool,
}

/// What a sequence parameter set says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpsInfo {
    /// `profile_idc`: 66 baseline, 77 main.
    pub profile: u8,
    /// `level_idc`: ten times the level.
    pub level: u8,
    /// Size after cropping.
    pub width: u32,
    pub height: u32,
    /// `video_full_range_flag`; `false` where the VUI does not say.
    pub full_range: bool,
    /// `matrix_coefficients` (ITU-T H.273 table 4): 1 is BT.709, 5 and 6 are BT.601; `None` where it does not say.
    pub matrix: Option<u8>,
}

/// The type of a NAL unit: the low five bits of its first byte, §7.3.1.
pub fn nal_type(nal: &[u8]) -> Option<u8> {
    nal.first().map(|byte| byte & 0x1f)
}

/// The NAL units of an Annex B byte stream, without start codes and trailing zeros. Empty ones are left out, and so
/// is what stands before the first start code.
pub fn split(unit: &[u8]) -> Nals<'_> {
    let rest = match start_code(unit) {
        Some(at) => unit.get(at.saturating_add(3)..).unwrap_or_default(),
        None => &[],
    };
    Nals { rest }
}

/// See [`split`].
#[derive(Clone, Debug)]
pub struct Nals<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Nals<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let (nal, rest) = match start_code(self.rest) {
                Some(at) => {
                    (self.rest.get(..at).unwrap_or_default(), self.rest.get(at.saturating_add(3)..).unwrap_or_default())
                }
                None => (self.rest, &[][..]),
            };
            self.rest = rest;
            // §B.1: trailing_zero_8bits and the zero_byte of the next start code belong to no NAL unit.
            let length = nal.iter().rposition(|byte| *byte != 0).map_or(0, |last| last.saturating_add(1));
            if let Some(nal) = nal.get(..length).filter(|nal| !nal.is_empty()) {
                return Some(nal);
            }
        }
        None
    }
}

/// Looks through a unit before a decoder gets it.
///
/// # Errors
/// Anything larger than [`MAX_UNIT`] or [`MAX_NAL`], a profile other than baseline and main, a level above 4.1, a
/// picture above 1920×1088, interlaced coding, data partitions and scalable extensions: drop the unit and ask for a
/// keyframe.
pub fn inspect(unit: &[u8]) -> Result<UnitInfo, Malformed> {
    if unit.len() > MAX_UNIT {
        return Err(Malformed("a unit above 1 MiB"));
    }
    let mut info = UnitInfo::default();
    let mut other_slices = false;
    for nal in split(unit) {
        if nal.len() > MAX_NAL {
            return Err(Malformed("a NAL unit above 512 KiB"));
        }
        // §7.4.1: forbidden_zero_bit.
        if nal.first().is_none_or(|byte| byte & 0x80 != 0) {
            return Err(Malformed("the forbidden bit is set"));
        }
        match nal_type(nal).unwrap_or_default() {
            TYPE_SLICE => other_slices = true,
            TYPE_IDR => info.is_keyframe = true,
            TYPE_SPS => {
                let sps = parse_sps(nal)?;
                // Nothing sends that, and a decoder that is told of two sizes at once holds memory for both.
                if info.sps.is_some_and(|other| (other.width, other.height) != (sps.width, sps.height)) {
                    return Err(Malformed("parameter sets of two sizes"));
                }
                info.sps = Some(sps);
            }
            TYPE_PPS => info.has_pps = true,
            // Supplemental information, delimiters, ends, filler, and the prefix of temporal layers: harmless.
            TYPE_SEI | TYPE_AUD | 10 | 11 | 12 | 14 => {}
            _ => return Err(Malformed("a NAL unit type that is not taken")),
        }
    }
    // §7.4.1.2.4: the slices of one picture are all IDR or none is.
    if info.is_keyframe && other_slices {
        return Err(Malformed("IDR and other slices in one unit"));
    }
    info.has_slices = info.is_keyframe || other_slices;
    Ok(info)
}

/// Reads a sequence parameter set (a whole NAL unit of type 7), §7.3.2.1.1 and Annex E up to the colour description.
///
/// # Errors
/// See [`inspect`].
pub fn parse_sps(nal: &[u8]) -> Result<SpsInfo, Malformed> {
    if nal.len() > MAX_SPS {
        return Err(Malformed("a parameter set above 1 KiB"));
    }
    let mut bits = Bits::new(nal.get(1..).unwrap_or_default());
    let profile = bits.take(8)? as u8;
    let constraints = bits.take(8)?;
    let level = bits.take(8)? as u8;
    // Annex A.2: 66 baseline (constrained: set 1), 77 main; 88 extended passes where it is also baseline or main.
    let known = matches!(profile, 66 | 77) || (profile == 88 && constraints & 0xc0 != 0);
    if !known {
        return Err(Malformed("a profile other than baseline and main"));
    }
    if level > 41 {
        return Err(Malformed("a level above 4.1"));
    }
    bits.ue_up_to(31)?; // seq_parameter_set_id
    bits.ue_up_to(12)?; // log2_max_frame_num_minus4
    match bits.ue_up_to(2)? {
        0 => {
            bits.ue_up_to(12)?; // log2_max_pic_order_cnt_lsb_minus4
        }
        1 => {
            bits.take(1)?; // delta_pic_order_always_zero_flag
            bits.ue()?; // offset_for_non_ref_pic: se(v) has the same length as ue(v)
            bits.ue()?; // offset_for_top_to_bottom_field
            for _ in 0..bits.ue_up_to(255)? {
                bits.ue()?; // offset_for_ref_frame
            }
        }
        _ => {}
    }
    let references = bits.ue_up_to(16)?;
    bits.take(1)?; // gaps_in_frame_num_value_allowed_flag
    // 120 × 68 macroblocks are 1920 × 1088; a picture may also stand upright, so either side has the longer bound.
    let columns = bits.ue_up_to(119)?.saturating_add(1);
    let rows = bits.ue_up_to(119)?.saturating_add(1);
    // Annex A.3.1: MaxFS of level 4.1.
    if columns.saturating_mul(rows) > 8192 {
        return Err(Malformed("a picture above 1920×1088"));
    }
    // Annex A.3.1: MaxDpbMbs of level 4.1. A decoder takes memory for all of them.
    if columns.saturating_mul(rows).saturating_mul(references) > 32_768 {
        return Err(Malformed("more pictures to refer to than level 4.1 has"));
    }
    if bits.take(1)? == 0 {
        return Err(Malformed("interlaced coding"));
    }
    bits.take(1)?; // direct_8x8_inference_flag
    let (mut width, mut height) = (columns.saturating_mul(16), rows.saturating_mul(16));
    if bits.take(1)? == 1 {
        // Table 6-1: CropUnitX and CropUnitY are 2 for 4:2:0 frames.
        let [left, right, top, bottom] = [bits.ue()?, bits.ue()?, bits.ue()?, bits.ue()?];
        width = width.saturating_sub(left.saturating_add(right).saturating_mul(2));
        height = height.saturating_sub(top.saturating_add(bottom).saturating_mul(2));
        if width == 0 || height == 0 {
            return Err(Malformed("nothing is left after cropping"));
        }
    }
    let (full_range, matrix) = if bits.take(1)? == 1 { parse_colour(&mut bits)? } else { (false, None) };
    Ok(SpsInfo { profile, level, width, height, full_range, matrix })
}

/// The head of the video usability information, §E.1.1: range and matrix.
fn parse_colour(bits: &mut Bits<'_>) -> Result<(bool, Option<u8>), Malformed> {
    // aspect_ratio_idc 255 is Extended_SAR: two more numbers of 16 bits.
    if bits.take(1)? == 1 && bits.take(8)? == 255 {
        bits.take(32)?;
    }
    if bits.take(1)? == 1 {
        bits.take(1)?; // overscan_appropriate_flag
    }
    if bits.take(1)? == 0 {
        return Ok((false, None));
    }
    bits.take(3)?; // video_format
    let full_range = bits.take(1)? == 1;
    if bits.take(1)? == 0 {
        return Ok((full_range, None));
    }
    bits.take(16)?; // colour_primaries, transfer_characteristics
    // 2 is "unspecified".
    let matrix = Some(bits.take(8)? as u8).filter(|matrix| *matrix != 2);
    Ok((full_range, matrix))
}

/// Where the next 00 00 01 begins.
fn start_code(bytes: &[u8]) -> Option<usize> {
    let mut at = 0usize;
    // The third byte of a window says how far the window may jump: above 1, no start code touches it.
    while let Some(window) = bytes.get(at..at.saturating_add(3)) {
        match window {
            [0, 0, 1] => return Some(at),
            [_, _, third] if *third > 1 => at = at.saturating_add(3),
            [_, second, _] if *second > 0 => at = at.saturating_add(2),
            _ => at = at.saturating_add(1),
        }
    }
    None
}

/// Bits of a raw byte sequence payload, with emulation_prevention_three_byte left out (§7.4.1).
struct Bits<'a> {
    bytes: &'a [u8],
    zeros: u8,
    current: u8,
    left: u8,
}

impl<'a> Bits<'a> {
    const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, zeros: 0, current: 0, left: 0 }
    }

    /// The next `count` (at most 32) bits as a number.
    fn take(&mut self, count: u32) -> Result<u32, Malformed> {
        let mut value = 0u32;
        for _ in 0..count {
            if self.left == 0 {
                self.current = self.byte()?;
                self.left = 8;
            }
            self.left = self.left.saturating_sub(1);
            value = (value << 1) | u32::from((self.current >> self.left) & 1);
        }
        Ok(value)
    }

    /// ue(v), §9.1.
    fn ue(&mut self) -> Result<u32, Malformed> {
        let mut zeros = 0u32;
        while self.take(1)? == 0 {
            zeros = zeros.saturating_add(1);
            if zeros > 31 {
                return Err(Malformed("a number above 32 bits"));
            }
        }
        Ok((1u32 << zeros).wrapping_sub(1).wrapping_add(self.take(zeros)?))
    }

    fn ue_up_to(&mut self, most: u32) -> Result<u32, Malformed> {
        self.ue().and_then(|value| if value <= most { Ok(value) } else { Err(Malformed("a number out of its range")) })
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        loop {
            let (byte, rest) = self.bytes.split_first().ok_or(Malformed("a parameter set ends too early"))?;
            self.bytes = rest;
            if *byte == 3 && self.zeros >= 2 {
                self.zeros = 0;
                continue;
            }
            self.zeros = if *byte == 0 { self.zeros.saturating_add(1) } else { 0 };
            return Ok(*byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop};
    use proptest::{prop_assert_eq, proptest};

    use super::*;

    /// Writes a parameter set bit by bit.
    fn sps(profile: u32, level: u32, columns: u32, rows: u32, crop_bottom: u32) -> Vec<u8> {
        sps_with(1, profile, level, columns, rows, crop_bottom)
    }

    fn sps_with(references: u32, profile: u32, level: u32, columns: u32, rows: u32, crop_bottom: u32) -> Vec<u8> {
        let mut bits = Vec::new();
        let put = |bits: &mut Vec<u8>, value: u32, count: u32| {
            bits.extend((0..count).rev().map(|bit| ((value >> bit) & 1) as u8));
        };
        let ue = |bits: &mut Vec<u8>, value: u32| {
            let length = 32 - (value + 1).leading_zeros();
            put(bits, value + 1, 2 * length - 1);
        };
        put(&mut bits, 0x67, 8);
        put(&mut bits, profile, 8);
        put(&mut bits, 0xc0, 8);
        put(&mut bits, level, 8);
        [0, 0, 2, references].iter().for_each(|value| ue(&mut bits, *value));
        put(&mut bits, 0, 1);
        ue(&mut bits, columns - 1);
        ue(&mut bits, rows - 1);
        put(&mut bits, 0b11, 2);
        put(&mut bits, 1, 1);
        [0, 0, 0, crop_bottom].iter().for_each(|value| ue(&mut bits, *value));
        // VUI: no aspect, no overscan, signal type with full range and matrix 6.
        put(&mut bits, 0b1001, 4);
        put(&mut bits, 0b1_0111, 5);
        put(&mut bits, 0x06_0106, 24);
        put(&mut bits, 1, 1);
        bits.chunks(8).map(|byte| byte.iter().fold(0, |sum, bit| (sum << 1) | bit) << (8 - byte.len())).collect()
    }

    #[test]
    fn a_parameter_set_gives_the_cropped_size_and_the_colour() {
        let info = parse_sps(&sps(66, 40, 120, 68, 4)).expect("1080p baseline");
        assert_eq!((info.width, info.height), (1920, 1080));
        assert_eq!((info.profile, info.level), (66, 40));
        assert_eq!((info.full_range, info.matrix), (true, Some(6)));
    }

    #[test]
    fn what_is_not_taken_is_refused() {
        assert_eq!(parse_sps(&sps(100, 40, 80, 45, 0)), Err(Malformed("a profile other than baseline and main")));
        assert_eq!(parse_sps(&sps(66, 50, 80, 45, 0)), Err(Malformed("a level above 4.1")));
        assert_eq!(parse_sps(&sps(66, 41, 119, 90, 0)), Err(Malformed("a picture above 1920×1088")));
        assert_eq!(parse_sps(&sps(66, 41, 130, 10, 0)), Err(Malformed("a number out of its range")));
        assert_eq!(parse_sps(&sps(66, 30, 1, 1, 8)), Err(Malformed("nothing is left after cropping")));
        assert!(
            parse_sps(&sps_with(4, 66, 41, 120, 68, 4)).is_ok() && parse_sps(&sps_with(16, 66, 30, 40, 23, 4)).is_ok()
        );
        let many = Malformed("more pictures to refer to than level 4.1 has");
        assert_eq!(parse_sps(&sps_with(5, 66, 41, 120, 68, 4)), Err(many));
        let sizes = [&[0, 0, 1][..], &sps(66, 30, 20, 12, 0), &[0, 0, 1], &sps(66, 30, 40, 23, 0)].concat();
        assert_eq!(inspect(&sizes), Err(Malformed("parameter sets of two sizes")));
        assert_eq!(inspect(&[0, 0, 1, 0x22, 1]), Err(Malformed("a NAL unit type that is not taken")));
        assert_eq!(inspect(&vec![1; MAX_UNIT + 1]), Err(Malformed("a unit above 1 MiB")));
        assert!(inspect(&[0, 0, 1, 0x65, 0x88, 0, 0, 1, 0x41, 0x9a]).is_err());
    }

    #[test]
    fn start_codes_of_both_lengths_split() {
        let stream = [0, 0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x68, 3, 0, 0, 0, 0, 1, 0, 0, 1, 0x65, 0x80, 0, 0, 2];
        let nals: Vec<&[u8]> = split(&stream).collect();
        assert_eq!(nals, [&[0x67, 1, 2][..], &[0x68, 3], &[0x65, 0x80, 0, 0, 2]]);
        assert_eq!(split(&[1, 2, 3, 4]).count(), 0);
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = inspect(&bytes);
            let _ = parse_sps(&bytes);
            let mut unit = vec![0, 0, 1, 0x67, 66, 0xc0, 30];
            unit.extend(&bytes);
            let _ = inspect(&unit);
        }

        #[test]
        fn splitting_finds_what_was_joined(nals in prop::collection::vec(prop::collection::vec(2u8.., 1..40), 0..8)) {
            let mut unit = Vec::new();
            for nal in &nals {
                unit.extend([0, 0, 0, 1]);
                unit.extend(nal);
            }
            let found: Vec<Vec<u8>> = split(&unit).map(<[u8]>::to_vec).collect();
            prop_assert_eq!(found, nals);
        }
    }
}
