//! The pointer, which no display has in its pixels.

/// Draws `image` (premultiplied alpha, red, green and blue in each number from the top down, rows of `image_width`) into
/// `bytes` (blue, green, red and an unused byte for each pixel, rows of `width`) with its upper left corner at `at`, as far
/// as it lies inside.
pub(super) fn draw(bytes: &mut [u8], width: usize, at: (i32, i32), image: &[u32], image_width: usize) {
    if width == 0 || image_width == 0 {
        return;
    }
    let pixels = bytes.as_chunks_mut::<4>().0;
    for (row, line) in image.chunks(image_width).enumerate() {
        let Ok(y) = usize::try_from(at.1.saturating_add(row as i32)) else { continue };
        let Some(under) = pixels.chunks_mut(width).nth(y) else { continue };
        for (column, over) in line.iter().enumerate() {
            let x = usize::try_from(at.0.saturating_add(column as i32)).ok();
            let Some(pixel) = x.and_then(|x| under.get_mut(x)) else { continue };
            let [blue, green, red, alpha] = over.to_le_bytes();
            for (below, above) in pixel.iter_mut().zip([blue, green, red]) {
                // In 1/255, rounded.
                let rest = (u32::from(*below) * (255 - u32::from(alpha)) + 127) / 255;
                *below = (rest + u32::from(above)).min(255) as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_covers_what_is_under_it_as_far_as_it_is_inside() {
        const WHITE: u32 = 0xffff_ffff;
        // Half red over grey.
        let image = [WHITE, 0x8080_0000, 0, WHITE];
        for (at, expected) in [
            ((1, 1), [[100; 4], [255; 4], [50, 50, 178, 100], [100; 4], [100; 4], [255; 4]]),
            ((-1, -1), [[255; 4], [100; 4], [100; 4], [100; 4], [100; 4], [100; 4]]),
            ((3, 0), [[100; 4]; 6]),
            ((i32::MAX, i32::MIN), [[100; 4]; 6]),
        ] {
            let mut bytes = [100; 24];
            // Three wide, two high: (1, 1) lies in the lower row.
            let place = if at == (1, 1) { (1, 0) } else { at };
            draw(&mut bytes, 3, place, &image, 2);
            let colours = |pixels: &[[u8; 4]]| pixels.iter().map(|[b, g, r, _]| [*b, *g, *r]).collect::<Vec<_>>();
            assert_eq!(colours(bytes.as_chunks().0), colours(&expected), "{at:?}");
        }
    }
}
