//! Digits of five by seven dots: all the lettering that the card needs.

use super::background::Rect;
use crate::media::video::Picture;

/// Rows top-down, the leftmost dot in bit 4.
const DIGITS: [[u8; 7]; 10] = [
    [0x0e, 0x11, 0x13, 0x15, 0x19, 0x11, 0x0e],
    [0x04, 0x0c, 0x04, 0x04, 0x04, 0x04, 0x0e],
    [0x0e, 0x11, 0x01, 0x02, 0x04, 0x08, 0x1f],
    [0x1f, 0x02, 0x04, 0x02, 0x01, 0x11, 0x0e],
    [0x02, 0x06, 0x0a, 0x12, 0x1f, 0x02, 0x02],
    [0x1f, 0x10, 0x1e, 0x01, 0x01, 0x11, 0x0e],
    [0x06, 0x08, 0x10, 0x1e, 0x11, 0x11, 0x0e],
    [0x1f, 0x01, 0x02, 0x04, 0x08, 0x08, 0x08],
    [0x0e, 0x11, 0x11, 0x0e, 0x11, 0x11, 0x0e],
    [0x0e, 0x11, 0x11, 0x0f, 0x01, 0x02, 0x0c],
];
const COLON: [u8; 7] = [0, 0x04, 0x04, 0, 0x04, 0x04, 0];
const TIMES: [u8; 7] = [0, 0, 0x11, 0x0a, 0x04, 0x0a, 0x11];
const BLANK: [u8; 7] = [0; 7];
const POINT: [u8; 7] = [0, 0, 0, 0, 0, 0x0c, 0x0c];
/// Dots per character, the gap included.
const ADVANCE: usize = 6;

/// Draws `text` (digits, ':', '.', 'x' and blanks) as large as it fits into the middle of `place`, in this luma.
pub(super) fn draw(picture: &mut Picture, place: Rect, text: &str, luma: u8) {
    let count = text.len().max(1) * ADVANCE;
    let dot = (place.width / count).min(place.height / 7).max(1);
    let left = place.x + place.width.saturating_sub(dot * count) / 2;
    let top = place.y + place.height.saturating_sub(dot * 7) / 2;
    for (index, character) in text.chars().enumerate() {
        let glyph = match character {
            '.' => &POINT,
            ':' => &COLON,
            'x' => &TIMES,
            digit => digit.to_digit(10).map_or(&BLANK, |digit| &DIGITS[digit as usize]),
        };
        for (row, bits) in glyph.iter().enumerate() {
            for column in (0..5).filter(|column| (bits >> (4 - column)) & 1 == 1) {
                let (x, y) = (left + (index * ADVANCE + column) * dot, top + row * dot);
                Rect { x, y, width: dot, height: dot }.fill_luma(picture, luma);
            }
        }
    }
}
