//! The machine-readable strip of the test card: a frame counter and the moment of drawing, painted as black and white
//! cells large enough to survive low bitrates and scaling, found again in decoded pictures and window screenshots.
//!
//! The strip lies in the middle 60 % of the width, well inside the picture (tiles have rounded corners and labels).
//! It is a grid of 38 × 6 cells: a white border of one cell around four rows of
//! `B B W B W · 26 data cells · W B W B B`. The 104 data bits, row by row, are the counter (32), the drawing time in
//! microseconds (56) and a CRC-16 (CCITT, 16), most significant bit first, white is one.

use serde::Serialize;

use super::video::Picture;
use crate::base::time::WallTime;

/// What a test card paints and a reader finds: the frame counter and when the card was drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Counts up by one per drawn card, modulo 2³².
    pub counter: u32,
    /// Microseconds since 1970-01-01 00:00 UTC; the low 56 bits of it are painted, which last until the year 4253.
    pub drawn: WallTime,
}

/// A marker found somewhere in a larger picture, and the rectangle of its strip there, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    pub x: f32,
    pub y: f32,
    pub width: f32,
    pub height: f32,
    pub marker: Marker,
}

/// Where the cells are, for those who paint or read the strip in another language than this one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Layout {
    /// Cells across and down, border included.
    pub columns: usize,
    pub rows: usize,
    /// Of them those that carry data.
    pub data_rows: usize,
    pub data_columns: usize,
    /// The finder cells on the left, black is `true`; the right ones are its mirror image.
    pub finder: [bool; 5],
    /// The strip in shares of the picture.
    pub left: f32,
    pub top: f32,
    pub width: f32,
    pub height: f32,
    /// Of 255, between the finder's black and white.
    pub least_contrast: f32,
}

/// The one layout there is.
pub const LAYOUT: Layout = Layout {
    columns: COLUMNS,
    rows: ROWS,
    data_rows: DATA_ROWS,
    data_columns: DATA_COLUMNS,
    finder: FINDER,
    left: LEFT,
    top: TOP,
    width: WIDTH,
    height: HEIGHT,
    least_contrast: LEAST_CONTRAST,
};

/// Cells across, border included.
const COLUMNS: usize = 38;
/// Cells down, border included.
const ROWS: usize = 6;
const DATA_ROWS: usize = 4;
const DATA_COLUMNS: usize = 26;
/// The finder cells on the left, black is `true`; the right ones are its mirror image.
const FINDER: [bool; 5] = [true, true, false, true, false];
/// The strip in shares of the picture: 0.6 of the width; the height makes the cells square at 16:9.
const LEFT: f32 = 0.2;
const TOP: f32 = 0.08;
const WIDTH: f32 = 0.6;
const HEIGHT: f32 = 0.168;
const BLACK: u8 = 16;
const WHITE: u8 = 235;
/// Between the finder's black and white there must be this much: a washed-out misread is worse than none.
const LEAST_CONTRAST: f32 = 60.0;
/// Rows of a larger picture are looked at this far apart. The strip's rows are at least 8 pixels together where its
/// cells are 2 pixels, the smallest that can be read.
const SCAN_STEP: usize = 3;

/// Where the strip lies in a picture of `width × height`: x, y, width, height in whole pixels.
pub fn area(width: u32, height: u32) -> (usize, usize, usize, usize) {
    let strip = Strip::of(width, height);
    let (x, y) = (strip.x as usize, strip.y as usize);
    (x, y, (strip.x + strip.width).ceil() as usize - x, (strip.y + strip.height).ceil() as usize - y)
}

/// Paints `marker` into its place. Below about 100 × 60 pixels it is painted but cannot be read any more.
pub fn paint(picture: &mut Picture, marker: Marker) {
    let (x, y, width, height) = area(picture.width, picture.height);
    let strip = Strip::of(picture.width, picture.height);
    let bits = to_bits(marker);
    let stride = picture.width as usize;
    let mut previous = None;
    for row in y..(y + height).min(picture.height as usize) {
        let cell_row = ((row as f32 + 0.5 - strip.y) / strip.height * ROWS as f32).floor().clamp(0.0, 5.0) as usize;
        let start = row * stride + x;
        // All pixel rows of one row of cells are alike.
        match previous {
            Some((same, from)) if same == cell_row => picture.y.copy_within(from..from + width, start),
            _ => {
                let pixels = picture.y.iter_mut().skip(start).take(width);
                for (column, pixel) in pixels.enumerate() {
                    let at = (x + column) as f32 + 0.5 - strip.x;
                    let cell = (at / strip.width * COLUMNS as f32).floor().clamp(0.0, 37.0) as usize;
                    *pixel = if is_black(cell, cell_row, bits) { BLACK } else { WHITE };
                }
            }
        }
        previous = Some((cell_row, start));
    }
    let chroma_width = picture.width.div_ceil(2) as usize;
    for row in y / 2..(y + height).div_ceil(2).min(picture.height.div_ceil(2) as usize) {
        let start = row * chroma_width + x / 2;
        let end = (start + width.div_ceil(2)).min((row + 1) * chroma_width);
        picture.u.get_mut(start..end).unwrap_or_default().fill(128);
        picture.v.get_mut(start..end).unwrap_or_default().fill(128);
    }
}

/// Reads the marker of a card that fills the whole picture. `None` where there is none or it is damaged.
pub fn read(luma: &[u8], stride: usize, width: u32, height: u32) -> Option<Marker> {
    let plane = Plane::new(luma, stride, width as usize, height as usize)?;
    Strip::of(width, height).decode(&plane)
}

/// [`read`] for pixels of four bytes (red, green, blue, anything).
pub fn read_rgba(rgba: &[u8], stride: usize, width: u32, height: u32) -> Option<Marker> {
    read(&luma_of(rgba, stride, width, height)?, width as usize, width, height)
}

/// Every marker in a larger picture (a window, a wall), whatever its place and scale, upright.
pub fn find(luma: &[u8], stride: usize, width: u32, height: u32) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    let Some(plane) = Plane::new(luma, stride, width as usize, height as usize) else { return found };
    let mut runs = Vec::new();
    for y in (1..plane.height).step_by(SCAN_STEP) {
        plane.runs(y, &mut runs);
        for (index, start, unit) in left_finders(&runs) {
            let inside = |f: &Found| {
                let (x, y) = (start + unit, y as f32);
                x > f.x && x < f.x + f.width && y > f.y && y < f.y + f.height
            };
            if found.iter().any(inside) {
                continue;
            }
            let Some(end) = right_finder(&runs, index, start, unit) else { continue };
            let cell = (end - start) / (COLUMNS - 2) as f32;
            let Some((top, bottom)) = plane.column_extent((start + cell) as usize, y) else { continue };
            let row = (bottom - top) / DATA_ROWS as f32;
            let strip =
                Strip { x: start - cell, y: top - row, width: cell * COLUMNS as f32, height: row * ROWS as f32 };
            if let Some(marker) = strip.decode(&plane) {
                found.push(Found { x: strip.x, y: strip.y, width: strip.width, height: strip.height, marker });
            }
        }
    }
    found
}

/// [`find`] for pixels of four bytes (red, green, blue, anything).
pub fn find_rgba(rgba: &[u8], stride: usize, width: u32, height: u32) -> Vec<Found> {
    luma_of(rgba, stride, width, height).map_or_else(Vec::new, |luma| find(&luma, width as usize, width, height))
}

/// A strip's place, in pixels, border included.
#[derive(Clone, Copy, Debug)]
struct Strip {
    x: f32,
    y: f32,
    width: f32,
    height: f32,
}

impl Strip {
    fn of(width: u32, height: u32) -> Self {
        let (width, height) = (width as f32, height as f32);
        Self { x: LEFT * width, y: TOP * height, width: WIDTH * width, height: HEIGHT * height }
    }

    fn decode(&self, plane: &Plane<'_>) -> Option<Marker> {
        let cell = |column: usize, row: usize| self.sample(plane, column, row);
        let (mut black, mut white, mut blacks, mut whites) = (0.0, 0.0, 0.0f32, 0.0f32);
        for row in 1..=DATA_ROWS {
            for (index, is_black) in FINDER.iter().enumerate() {
                for column in [1 + index, COLUMNS - 2 - index] {
                    let value = cell(column, row)?;
                    if *is_black {
                        (black, blacks) = (black + value, blacks + 1.0);
                    } else {
                        (white, whites) = (white + value, whites + 1.0);
                    }
                }
            }
        }
        let (black, white) = (black / blacks, white / whites);
        if white - black < LEAST_CONTRAST {
            return None;
        }
        let middle = (black + white) / 2.0;
        for row in 1..=DATA_ROWS {
            for (index, is_black) in FINDER.iter().enumerate() {
                if [1 + index, COLUMNS - 2 - index]
                    .iter()
                    .any(|c| cell(*c, row).is_none_or(|v| (v < middle) != *is_black))
                {
                    return None;
                }
            }
        }
        let mut bits = 0u128;
        for row in 0..DATA_ROWS {
            for column in 0..DATA_COLUMNS {
                bits = (bits << 1) | u128::from(cell(column + 6, row + 1)? > middle);
            }
        }
        from_bits(bits)
    }

    /// The mean of the inner half of a cell.
    fn sample(&self, plane: &Plane<'_>, column: usize, row: usize) -> Option<f32> {
        let (cell_width, cell_height) = (self.width / COLUMNS as f32, self.height / ROWS as f32);
        let (x, y) = (self.x + column as f32 * cell_width, self.y + row as f32 * cell_height);
        let range = |from: f32, size: f32| {
            let (first, last) = ((from + size * 0.25).round(), (from + size * 0.75).round());
            // A cell of two pixels has no inner half: its middle pixel is taken.
            if last > first {
                (first as usize, last as usize)
            } else {
                ((from + size * 0.5) as usize, (from + size * 0.5) as usize + 1)
            }
        };
        let ((left, right), (top, bottom)) = (range(x, cell_width), range(y, cell_height));
        let mut sum = 0u32;
        for line in top..bottom {
            let row = plane.row(line)?.get(left..right)?;
            sum += row.iter().map(|value| u32::from(*value)).sum::<u32>();
        }
        Some(sum as f32 / ((right - left) * (bottom - top)) as f32)
    }
}

/// A luma plane whose bounds have been checked.
struct Plane<'a> {
    luma: &'a [u8],
    stride: usize,
    width: usize,
    height: usize,
}

/// A stretch of one colour in a row: where it begins (to a fraction of a pixel) and whether it is black.
type Run = (f32, bool);

impl<'a> Plane<'a> {
    fn new(luma: &'a [u8], stride: usize, width: usize, height: usize) -> Option<Self> {
        let needed = stride.checked_mul(height.checked_sub(1)?)?.checked_add(width)?;
        (width > 0 && stride >= width && luma.len() >= needed).then_some(Self { luma, stride, width, height })
    }

    fn row(&self, y: usize) -> Option<&'a [u8]> {
        (y < self.height).then(|| self.luma.get(y * self.stride..)?.get(..self.width)).flatten()
    }

    /// The runs of a row; the last one is the row's end.
    fn runs(&self, y: usize, runs: &mut Vec<Run>) {
        runs.clear();
        let Some(row) = self.row(y) else { return };
        let mut before = row.first().copied().unwrap_or_default();
        runs.push((0.0, before < 128));
        for (x, value) in row.iter().copied().enumerate().skip(1) {
            if (value < 128) != (before < 128) {
                // The edge lies where the line between the two pixel centres crosses the middle.
                let share = (127.5 - f32::from(before)) / (f32::from(value) - f32::from(before));
                runs.push((x as f32 - 0.5 + share, value < 128));
            }
            before = value;
        }
        runs.push((self.width as f32, before >= 128));
    }

    /// How far the black around (x, y) reaches up and down.
    fn column_extent(&self, x: usize, y: usize) -> Option<(f32, f32)> {
        let value = |y: usize| self.row(y).and_then(|row| row.get(x)).copied();
        let black = |y: usize| value(y).is_some_and(|value| value < 128);
        if !black(y) {
            return None;
        }
        let top = (0..=y).rev().take_while(|y| black(*y)).last()?;
        let bottom = (y..self.height).take_while(|y| black(*y)).last()?;
        // Pixel centres are at halves: the edge lies between the centre outside and the centre inside.
        let share = |outside: usize, inside: usize| {
            let (outside, inside) = (f32::from(value(outside)?), f32::from(value(inside)?));
            Some((outside - 127.5) / (outside - inside))
        };
        let above = top.checked_sub(1)?;
        let top = above as f32 + 0.5 + share(above, top)?;
        let bottom = bottom as f32 + 1.5 - share(bottom + 1, bottom)?;
        Some((top, bottom))
    }
}

/// Left finders in a row: index of their first run, where it begins, and the size of a cell.
fn left_finders(runs: &[Run]) -> impl Iterator<Item = (usize, f32, f32)> {
    runs.windows(6).enumerate().filter_map(|(index, window)| {
        let &[(quiet, quiet_black), (a, _), (b, _), (c, _), (d, _), (e, _)] = window else { return None };
        let unit = (d - a) / 4.0;
        let near = |length: f32, cells: f32| (length - cells * unit).abs() <= 0.4 * unit + 0.5;
        let fits = !quiet_black
            && unit >= 1.5
            && a - quiet >= 0.5 * unit
            && near(b - a, 2.0)
            && near(c - b, 1.0)
            && near(d - c, 1.0)
            && e - d >= 0.5 * unit;
        fits.then_some((index + 1, a, unit))
    })
}

/// Where the right finder that belongs to a left one ends.
fn right_finder(runs: &[Run], index: usize, start: f32, unit: f32) -> Option<f32> {
    let distance = (COLUMNS - 2) as f32 * unit;
    runs.get(index..)?.windows(5).find_map(|window| {
        let &[(a, black), (b, _), (c, _), (d, _), (end, _)] = window else { return None };
        let near = |length: f32, cells: f32| (length - cells * unit).abs() <= 0.4 * unit + 0.5;
        // B W BB, then the border: the runs are black, white, black, white.
        let fits = black
            && (d - start - distance).abs() <= 0.15 * distance
            && near(b - a, 1.0)
            && near(c - b, 1.0)
            && near(d - c, 2.0)
            && end - d >= 0.5 * unit;
        fits.then_some(d)
    })
}

fn is_black(column: usize, row: usize, bits: u128) -> bool {
    if !(1..=DATA_ROWS).contains(&row) || column == 0 || column == COLUMNS - 1 {
        return false;
    }
    match column {
        1..=5 => FINDER[column - 1],
        32..=36 => FINDER[36 - column],
        _ => {
            let index = (row - 1) * DATA_COLUMNS + column - 6;
            (bits >> (DATA_ROWS * DATA_COLUMNS - 1 - index)) & 1 == 0
        }
    }
}

fn to_bits(marker: Marker) -> u128 {
    let payload = (u128::from(marker.counter) << 56) | u128::from(marker.drawn.as_micros() & ((1 << 56) - 1));
    (payload << 16) | u128::from(crc16(payload))
}

fn from_bits(bits: u128) -> Option<Marker> {
    let payload = bits >> 16;
    let drawn = WallTime::from_micros(payload as u64 & ((1 << 56) - 1));
    (crc16(payload) == bits as u16).then_some(Marker { counter: (payload >> 56) as u32, drawn })
}

/// CRC-16/CCITT-FALSE over the 11 bytes of a payload: no misread passes more often than once in 65 536.
fn crc16(payload: u128) -> u16 {
    let [_, _, _, _, _, bytes @ ..] = payload.to_be_bytes();
    bytes.iter().fold(0xffff, |crc, byte| {
        (0..8).fold(
            crc ^ (u16::from(*byte) << 8),
            |crc, _| if crc & 0x8000 != 0 { (crc << 1) ^ 0x1021 } else { crc << 1 },
        )
    })
}

/// The full-range BT.709 luma of RGB pixels, tightly packed.
fn luma_of(rgba: &[u8], stride: usize, width: u32, height: u32) -> Option<Vec<u8>> {
    let (width, height) = (width as usize, height as usize);
    let mut luma = Vec::with_capacity(width.checked_mul(height)?);
    for y in 0..height {
        let row = rgba.get(y.checked_mul(stride)?..)?.get(..width.checked_mul(4)?)?;
        luma.extend(row.chunks_exact(4).map(|pixel| {
            let [red, green, blue, _] = [pixel[0], pixel[1], pixel[2], pixel[3]].map(u32::from);
            ((54 * red + 183 * green + 19 * blue) >> 8) as u8
        }));
    }
    Some(luma)
}

#[cfg(test)]
mod tests;
