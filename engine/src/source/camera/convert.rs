//! Pixels as cameras send them to planes. Both forms are BT.601, as their specifications say: USB Video Class payload
//! formats, "Uncompressed" §2.2 and "Motion-JPEG" (JFIF 1.02, which has the full range).

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::media::video::{Colour, Matrix, Picture, Range};

/// Longer sides than any camera's are a broken header.
const MOST_SIDE: usize = 8192;

/// Luma, blue difference, luma, red difference for each two pixels; a row begins each `stride` bytes. `None` where
/// `bytes` are too few: the picture is broken.
pub(super) fn from_yuyv(bytes: &[u8], stride: usize, width: u32, height: u32, picture: &mut Picture) -> Option<()> {
    picture.resize(width, height);
    picture.colour = Colour { matrix: Matrix::Bt601, range: Range::Limited };
    let (width, height) = (width as usize, height as usize);
    let chroma_width = width.div_ceil(2);
    // An odd width has the second luma of its last pair in padding.
    let row = |y: usize| Some(bytes.get(y.checked_mul(stride)?..)?.get(..chroma_width * 4)?.as_chunks::<4>().0);
    for (y, luma) in picture.y.chunks_exact_mut(width).enumerate() {
        for (luma, [first, _, second, _]) in luma.chunks_mut(2).zip(row(y)?) {
            luma.iter_mut().zip([first, second]).for_each(|(luma, value)| *luma = *value);
        }
    }
    let chroma = picture.u.chunks_exact_mut(chroma_width).zip(picture.v.chunks_exact_mut(chroma_width));
    for (y, (u, v)) in chroma.enumerate() {
        let (upper, lower) = (row(2 * y)?, row((2 * y + 1).min(height - 1))?);
        for ((u, v), (upper, lower)) in u.iter_mut().zip(v).zip(upper.iter().zip(lower)) {
            (*u, *v) = (upper[1].midpoint(lower[1]), upper[3].midpoint(lower[3]));
        }
    }
    Some(())
}

/// A JPEG picture, with or without its Huffman tables, which cameras leave out. `scratch` is used again.
///
/// # Errors
/// The picture is broken: why.
pub(super) fn from_jpeg(bytes: &[u8], scratch: &mut Vec<u8>, picture: &mut Picture) -> Result<(), String> {
    let options = DecoderOptions::default()
        .jpeg_set_out_colorspace(ColorSpace::YCbCr)
        .set_max_width(MOST_SIDE)
        .set_max_height(MOST_SIDE);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|error| format!("{error:?}"))?;
    let (width, height) = decoder.dimensions().ok_or("no size")?;
    let length = decoder.output_buffer_size().ok_or("no size")?;
    if length != width * height * 3 {
        return Err("not three colours".into());
    }
    scratch.resize(length, 0);
    decoder.decode_into(scratch).map_err(|error| format!("{error:?}"))?;
    picture.resize(width as u32, height as u32);
    picture.colour = Colour { matrix: Matrix::Bt601, range: Range::Full };
    let pixels = scratch.as_chunks::<3>().0;
    picture.y.iter_mut().zip(pixels).for_each(|(luma, pixel)| *luma = pixel[0]);
    let chroma_width = width.div_ceil(2);
    let chroma = picture.u.chunks_exact_mut(chroma_width).zip(picture.v.chunks_exact_mut(chroma_width));
    for (rows, (u, v)) in pixels.chunks(2 * width).zip(chroma) {
        let (upper, lower) = rows.split_at(width);
        let lower = if lower.is_empty() { upper } else { lower };
        let squares = upper.chunks(2).zip(lower.chunks(2));
        for ((u, v), (upper, lower)) in u.iter_mut().zip(v).zip(squares) {
            let mean = |part: usize| {
                let sum: u32 = upper.iter().chain(lower).map(|pixel| u32::from(pixel[part])).sum();
                (sum / (upper.len() + lower.len()) as u32) as u8
            };
            (*u, *v) = (mean(1), mean(2));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use image::codecs::jpeg::JpegEncoder;

    use super::*;

    #[test]
    fn pairs_of_pixels_land_in_their_places() {
        // Two rows of 4 pixels with 3 bytes of padding.
        let rows = [[10, 100, 20, 200, 30, 110, 40, 210, 0, 0, 0], [50, 102, 60, 202, 70, 112, 80, 212, 0, 0, 0]];
        let mut picture = Picture::default();
        from_yuyv(&rows.concat(), 11, 4, 2, &mut picture).expect("whole");
        assert_eq!(picture.y, [10, 20, 30, 40, 50, 60, 70, 80]);
        assert_eq!((&picture.u[..], &picture.v[..]), (&[101, 111][..], &[201, 211][..]));
        assert_eq!(picture.colour, Colour { matrix: Matrix::Bt601, range: Range::Limited });
        from_yuyv(&rows[0], 11, 3, 1, &mut picture).expect("whole");
        assert_eq!((&picture.y[..], &picture.u[..]), (&[10, 20, 30][..], &[100, 110][..]));
    }

    #[test]
    fn a_cut_picture_is_broken() {
        let mut picture = Picture::default();
        assert!(from_yuyv(&[128; 63], 16, 8, 4, &mut picture).is_none());
        assert!(from_yuyv(&[128; 64], 16, 8, 4, &mut picture).is_some());
        let jpeg = jpeg();
        for length in [0, 1, 20, 300] {
            assert!(from_jpeg(&jpeg[..length], &mut Vec::new(), &mut picture).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn a_picture_of_a_camera_has_its_colours() {
        let (mut picture, mut scratch) = (Picture::default(), Vec::new());
        from_jpeg(&jpeg(), &mut scratch, &mut picture).expect("whole");
        check(&picture);
    }

    #[test]
    fn a_picture_without_huffman_tables_is_read_as_motion_jpeg() {
        let (mut picture, mut scratch) = (Picture::default(), Vec::new());
        from_jpeg(&as_a_camera_sends_it(&jpeg()), &mut scratch, &mut picture).expect("whole");
        check(&picture);
    }

    /// Left half red, right half grey of 128: 50 × 31, so that both sides are no whole blocks.
    fn jpeg() -> Vec<u8> {
        let pixels: Vec<u8> =
            (0..31 * 50).flat_map(|n| if n % 50 < 25 { [255, 0, 0] } else { [128, 128, 128] }).collect();
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, 95)
            .encode(&pixels, 50, 31, image::ExtendedColorType::Rgb8)
            .expect("encoded");
        bytes
    }

    /// Without the tables (DHT), which are those of the standard's annex K, and with the mark AVI1 of motion JPEG.
    fn as_a_camera_sends_it(jpeg: &[u8]) -> Vec<u8> {
        let mut sent = jpeg[..2].to_vec();
        sent.extend([0xff, 0xe0, 0, 16]);
        sent.extend(*b"AVI1\0\0\0\0\0\0\0\0\0\0");
        let (mut at, mut tables) = (2, 0);
        while jpeg[at + 1] != 0xda {
            let length = usize::from(jpeg[at + 2]) << 8 | usize::from(jpeg[at + 3]);
            let segment = &jpeg[at..at + 2 + length];
            match jpeg[at + 1] {
                0xc4 => tables += 1,
                0xe0 => {}
                _ => sent.extend_from_slice(segment),
            }
            at += 2 + length;
        }
        assert!(tables > 0, "there was nothing to leave out");
        sent.extend_from_slice(&jpeg[at..]);
        sent
    }

    /// BT.601 in full range: red is 76, 85, 255.
    fn check(picture: &Picture) {
        assert_eq!((picture.width, picture.height), (50, 31));
        assert_eq!(picture.colour, Colour { matrix: Matrix::Bt601, range: Range::Full });
        for (left, right, name, plane, width) in
            [(76, 128, "y", &picture.y, 50), (85, 128, "u", &picture.u, 25), (255, 128, "v", &picture.v, 25)]
        {
            for row in plane.chunks(width) {
                assert!(row[width / 4].abs_diff(left) <= 4, "{name}: {}", row[width / 4]);
                assert!(row[width * 3 / 4].abs_diff(right) <= 4, "{name}: {}", row[width * 3 / 4]);
            }
        }
    }
}
