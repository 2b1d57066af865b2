//! Photos that people send: painted anew, so that nothing goes along that they did not mean to show.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageDecoder, ImageReader, Limits};

/// The picture as a JPEG of at most `side` by `side` pixels, without anything else that was in the file; `None` for what is
/// no JPEG, PNG or WebP, or too large to look at.
pub fn repaint(bytes: &[u8], side: u32) -> Option<Vec<u8>> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok()?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(8192);
    limits.max_image_height = Some(8192);
    // Four bytes for each of 8192² pixels.
    limits.max_alloc = Some(256 * 1024 * 1024);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().ok()?;
    let orientation = decoder.orientation().ok()?;
    let mut picture = DynamicImage::from_decoder(decoder).ok()?;
    picture.apply_orientation(orientation);
    let picture = if picture.width().max(picture.height()) > side { picture.thumbnail(side, side) } else { picture };
    let mut out = Vec::new();
    picture.to_rgb8().write_with_encoder(JpegEncoder::new_with_quality(&mut out, 85)).ok()?;
    Some(out)
}

#[cfg(test)]
mod tests {
    use image::{ImageFormat, RgbImage};

    use super::*;

    #[test]
    fn a_photo_keeps_its_picture_and_nothing_else() {
        let mut file = Vec::new();
        let picture = RgbImage::from_pixel(1024, 256, image::Rgb([200, 10, 10]));
        picture.write_to(&mut Cursor::new(&mut file), ImageFormat::Png).expect("written");
        file.extend_from_slice(b"Taken at 52.5N 13.4E");
        let painted = repaint(&file, 512).expect("a picture");
        assert!(!painted.windows(5).any(|bytes| bytes == b"52.5N"));
        let again = image::load_from_memory(&painted).expect("a JPEG").to_rgb8();
        assert_eq!(again.dimensions(), (512, 128));
        assert!(again.get_pixel(9, 9).0[0] > 150);
    }

    #[test]
    fn what_is_no_picture_or_too_large_to_look_at_is_refused() {
        assert_eq!(repaint(b"<svg/>", 512), None);
        let mut file = Vec::new();
        RgbImage::new(9000, 2).write_to(&mut Cursor::new(&mut file), ImageFormat::Png).expect("written");
        assert_eq!(repaint(&file, 512), None);
    }
}
