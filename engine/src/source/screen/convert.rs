//! Pixels as a display has them to planes.

use crate::media::video::{Colour, Matrix, Picture, Range};

/// Blue, green, red and an unused byte for each pixel, rows tightly packed, to BT.709 in limited range. `bytes` has at
/// least `width × height × 4`; what is missing stays as it was.
pub(in crate::source) fn from_bgrx(bytes: &[u8], width: u32, height: u32, picture: &mut Picture) {
    picture.resize(width, height);
    picture.colour = Colour { matrix: Matrix::Bt709, range: Range::Limited };
    let (width, chroma_width) = (width as usize, width.div_ceil(2) as usize);
    let pixels = bytes.as_chunks::<4>().0;
    let rows = pixels.chunks_exact(2 * width).chain(std::iter::once(pixels.chunks_exact(2 * width).remainder()));
    let luma = picture.y.chunks_mut(2 * width);
    let chroma = picture.u.chunks_exact_mut(chroma_width).zip(picture.v.chunks_exact_mut(chroma_width));
    for ((rows, luma), (u, v)) in rows.zip(luma).zip(chroma) {
        for (luma, pixel) in luma.iter_mut().zip(rows) {
            *luma = luma_of(*pixel);
        }
        // The last row of an odd height stands for the missing one as well.
        let (upper, lower) = rows.split_at(width.min(rows.len()));
        let lower = if lower.len() == upper.len() { lower } else { upper };
        let squares = upper.chunks(2).zip(lower.chunks(2));
        for ((upper, lower), (u, v)) in squares.zip(u.iter_mut().zip(v)) {
            let (mut sum, mut count) = ([0i32; 3], 0);
            for [blue, green, red, _] in upper.iter().chain(lower) {
                sum = [sum[0] + i32::from(*red), sum[1] + i32::from(*green), sum[2] + i32::from(*blue)];
                count += 1;
            }
            let [red, green, blue] = sum.map(|part| part / count.max(1));
            *u = (((-26 * red - 86 * green + 112 * blue + 128) >> 8) + 128) as u8;
            *v = (((112 * red - 102 * green - 10 * blue + 128) >> 8) + 128) as u8;
        }
    }
}

/// ITU-R BT.709 item 3.2, in 1/256 and scaled from 0…255 to 16…235.
const fn luma_of([blue, green, red, _]: [u8; 4]) -> u8 {
    (((47 * red as u32 + 157 * green as u32 + 16 * blue as u32 + 128) >> 8) + 16) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red, green, blue and what BT.709 makes of them, computed with the standard's own numbers.
    fn expected([red, green, blue]: [u8; 3]) -> [f64; 3] {
        let [red, green, blue] = [red, green, blue].map(|part| f64::from(part) / 255.0);
        let luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
        let (u, v) = ((blue - luma) / 1.8556, (red - luma) / 1.5748);
        [16.0 + 219.0 * luma, 128.0 + 224.0 * u, 128.0 + 224.0 * v]
    }

    #[test]
    fn colours_are_those_of_the_standard() {
        const VALUES: [u8; 6] = [0, 1, 64, 128, 200, 255];
        for n in 0..VALUES.len().pow(3) {
            let [red, green, blue] = [n / 36, n / 6 % 6, n % 6].map(|index| VALUES[index]);
            let mut picture = Picture::default();
            from_bgrx(&[blue, green, red, 0].repeat(4), 2, 2, &mut picture);
            let made = [picture.y[3], picture.u[0], picture.v[0]].map(f64::from);
            for (made, expected) in made.iter().zip(expected([red, green, blue])) {
                assert!((made - expected).abs() < 1.6, "{red} {green} {blue}: {made} {expected}");
            }
        }
    }

    #[test]
    fn each_pixel_lands_in_its_place_whatever_the_size() {
        for (width, height) in [(2u32, 2u32), (6, 4), (5, 3), (1, 1), (4, 1)] {
            let count = (width * height) as usize;
            let bytes: Vec<u8> = (0..count).flat_map(|n| [n as u8 * 9; 4]).collect();
            let mut picture = Picture::default();
            from_bgrx(&bytes, width, height, &mut picture);
            let luma: Vec<u8> = (0..count).map(|n| luma_of([n as u8 * 9; 4])).collect();
            assert_eq!(picture.y, luma, "{width}×{height}");
            assert!(picture.u.iter().chain(&picture.v).all(|value| *value == 128), "grey has no colour");
        }
        let mut picture = Picture::default();
        let (red, blue) = ([0, 0, 255, 0], [255, 0, 0, 0]);
        from_bgrx(&[red, red, blue, blue, red, red, blue, blue].concat(), 4, 2, &mut picture);
        assert!(picture.v[0] > 200 && picture.v[1] < 128, "{:?}", picture.v);
        assert!(picture.u[0] < 128 && picture.u[1] > 200, "{:?}", picture.u);
    }
}
