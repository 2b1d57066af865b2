//! A page of small letters, drawn into a window of an X11 display, and how many of its letters can be read in a picture of it.

use engine::media::marker::{self, Marker};
use engine::media::video::Picture;
use x11rb::COPY_DEPTH_FROM_PARENT;
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{
    ConnectionExt as _, CreateGCAux, CreateWindowAux, Gcontext, ImageFormat, Window, WindowClass,
};
use x11rb::rust_connection::RustConnection;

use crate::Outcome;
use crate::display::Display;

/// Letters and digits, seven rows of five pixels each: what a font of 9 pixels has of them.
const GLYPHS: [[u8; 7]; 36] = [
    [0x0e, 0x11, 0x11, 0x1f, 0x11, 0x11, 0x11],
    [0x1e, 0x11, 0x11, 0x1e, 0x11, 0x11, 0x1e],
    [0x0e, 0x11, 0x10, 0x10, 0x10, 0x11, 0x0e],
    [0x1e, 0x11, 0x11, 0x11, 0x11, 0x11, 0x1e],
    [0x1f, 0x10, 0x10, 0x1e, 0x10, 0x10, 0x1f],
    [0x1f, 0x10, 0x10, 0x1e, 0x10, 0x10, 0x10],
    [0x0e, 0x11, 0x10, 0x17, 0x11, 0x11, 0x0e],
    [0x11, 0x11, 0x11, 0x1f, 0x11, 0x11, 0x11],
    [0x0e, 0x04, 0x04, 0x04, 0x04, 0x04, 0x0e],
    [0x07, 0x02, 0x02, 0x02, 0x02, 0x12, 0x0c],
    [0x11, 0x12, 0x14, 0x18, 0x14, 0x12, 0x11],
    [0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x1f],
    [0x11, 0x1b, 0x15, 0x15, 0x11, 0x11, 0x11],
    [0x11, 0x19, 0x15, 0x13, 0x11, 0x11, 0x11],
    [0x0e, 0x11, 0x11, 0x11, 0x11, 0x11, 0x0e],
    [0x1e, 0x11, 0x11, 0x1e, 0x10, 0x10, 0x10],
    [0x0e, 0x11, 0x11, 0x11, 0x15, 0x12, 0x0d],
    [0x1e, 0x11, 0x11, 0x1e, 0x14, 0x12, 0x11],
    [0x0f, 0x10, 0x10, 0x0e, 0x01, 0x01, 0x1e],
    [0x1f, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04],
    [0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x0e],
    [0x11, 0x11, 0x11, 0x11, 0x11, 0x0a, 0x04],
    [0x11, 0x11, 0x11, 0x15, 0x15, 0x1b, 0x11],
    [0x11, 0x11, 0x0a, 0x04, 0x0a, 0x11, 0x11],
    [0x11, 0x11, 0x0a, 0x04, 0x04, 0x04, 0x04],
    [0x1f, 0x01, 0x02, 0x04, 0x08, 0x10, 0x1f],
    [0x0e, 0x11, 0x13, 0x15, 0x19, 0x11, 0x0e],
    [0x04, 0x0c, 0x04, 0x04, 0x04, 0x04, 0x0e],
    [0x0e, 0x11, 0x01, 0x06, 0x08, 0x10, 0x1f],
    [0x1f, 0x02, 0x04, 0x02, 0x01, 0x11, 0x0e],
    [0x02, 0x06, 0x0a, 0x12, 0x1f, 0x02, 0x02],
    [0x1f, 0x10, 0x1e, 0x01, 0x01, 0x11, 0x0e],
    [0x06, 0x08, 0x10, 0x1e, 0x11, 0x11, 0x0e],
    [0x1f, 0x01, 0x02, 0x04, 0x08, 0x08, 0x08],
    [0x0e, 0x11, 0x11, 0x0e, 0x11, 0x11, 0x0e],
    [0x0e, 0x11, 0x11, 0x0f, 0x01, 0x02, 0x0c],
];

/// From one letter, and one line, to the next.
const ACROSS: usize = 6;
const DOWN: usize = 12;
const MARGIN: usize = 40;
/// Black on white, as a picture in limited range has them.
const INK: u8 = 16;
const PAPER: u8 = 235;

/// The letters of a page that begins with line `first` of a long text: their number and where they stand.
fn letters(width: u32, height: u32, first: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let (_, top, _, tall) = marker::area(width, height);
    let (columns, from) = ((width as usize - 2 * MARGIN) / ACROSS, top + tall + MARGIN / 2);
    let lines = (height as usize).saturating_sub(from + MARGIN) / DOWN;
    (0..lines).flat_map(move |line| {
        let row = line + first;
        // Every eleventh line is empty, and lines end anywhere in their last third.
        let length = if row % 11 == 10 { 0 } else { columns - row * 7919 % (columns / 3 + 1) };
        // Words of two to nine letters.
        let is_gap = move |column: usize| (column * 31 + row * 17).is_multiple_of(7);
        let columns = (0..length).filter(move |column| !is_gap(*column));
        columns.map(move |column| {
            let mixed = (row * 0x9e37 + column * 0x79b9) ^ (column * column + row);
            (mixed % GLYPHS.len(), MARGIN + column * ACROSS, from + line * DOWN)
        })
    })
}

/// The page that begins with line `first`, with a marker above it.
pub fn page(width: u32, height: u32, first: usize, above: Marker) -> Picture {
    let mut picture = Picture::new(width, height);
    picture.y.fill(PAPER);
    for (glyph, x, y) in letters(width, height, first) {
        for (row, bits) in GLYPHS[glyph].iter().enumerate() {
            for column in (0..5).filter(|column| bits >> (4 - column) & 1 == 1) {
                picture.y[(y + row) * width as usize + x + column] = INK;
            }
        }
    }
    marker::paint(&mut picture, above);
    picture
}

/// The share of the letters of the page from line `first` on that are nearer to what stands in `picture` than any other
/// letter is.
pub fn legible(picture: &Picture, first: usize) -> f64 {
    let (mut all, mut right) = (0u32, 0u32);
    for (glyph, x, y) in letters(picture.width, picture.height, first) {
        let distance = |glyph: &[u8; 7]| -> u64 {
            let of = |row: usize, column: usize| {
                let wanted = if glyph[row] >> (4 - column) & 1 == 1 { INK } else { PAPER };
                let there = picture.y[(y + row) * picture.width as usize + x + column];
                u64::from(there.abs_diff(wanted)).pow(2)
            };
            (0..7).flat_map(|row| (0..5).map(move |column| (row, column))).map(|(row, column)| of(row, column)).sum()
        };
        let nearest = (0..GLYPHS.len()).min_by_key(|other| distance(&GLYPHS[*other]));
        all += 1;
        right += u32::from(nearest == Some(glyph));
    }
    f64::from(right) / f64::from(all.max(1))
}

/// A program that shows pages all over a display.
pub struct Reader {
    connection: RustConnection,
    window: Window,
    context: Gcontext,
    size: (u32, u32),
}

impl Reader {
    /// Opens its window on `display`, whose size is `width` × `height`.
    ///
    /// # Errors
    /// The display takes no window.
    pub fn open(display: &Display, width: u32, height: u32) -> Outcome<Self> {
        let failed = |error: &dyn std::fmt::Display| format!("display {}: {error}", display.name());
        let (connection, screen) = RustConnection::connect(Some(display.name())).map_err(|error| failed(&error))?;
        let root = connection.setup().roots.get(screen).ok_or("no screen")?.root;
        let window = connection.generate_id().map_err(|error| failed(&error))?;
        let context = connection.generate_id().map_err(|error| failed(&error))?;
        let look = CreateWindowAux::new().override_redirect(1);
        let (class, depth) = (WindowClass::INPUT_OUTPUT, COPY_DEPTH_FROM_PARENT);
        let size = (width as u16, height as u16);
        connection
            .create_window(depth, window, root, 0, 0, size.0, size.1, 0, class, 0, &look)
            .map_err(|error| failed(&error))?;
        connection.map_window(window).map_err(|error| failed(&error))?;
        connection.create_gc(context, window, &CreateGCAux::new()).map_err(|error| failed(&error))?;
        // Out of the way of the text.
        connection
            .warp_pointer(x11rb::NONE, root, 0, 0, 0, 0, size.0 as i16 - 1, size.1 as i16 - 1)
            .map_err(|error| failed(&error))?;
        connection.flush().map_err(|error| failed(&error))?;
        Ok(Self { connection, window, context, size: (width, height) })
    }

    /// Shows a picture, whose colours are left out.
    ///
    /// # Errors
    /// The display is gone.
    pub fn show(&self, picture: &Picture) -> Outcome<()> {
        const ROWS: usize = 32;
        let failed = |error: &dyn std::fmt::Display| format!("the page cannot be shown: {error}");
        let width = self.size.0 as usize;
        for (turn, rows) in picture.y.chunks(width * ROWS).enumerate() {
            // Limited range to what a display has.
            let grey = |luma: &u8| ((f32::from(*luma) - 16.0) * 255.0 / 219.0).round().clamp(0.0, 255.0) as u8;
            let bytes: Vec<u8> = rows.iter().map(grey).flat_map(|grey| [grey, grey, grey, 0]).collect();
            let (top, tall) = ((turn * ROWS) as i16, (rows.len() / width) as u16);
            let (form, wide) = (ImageFormat::Z_PIXMAP, self.size.0 as u16);
            self.connection
                .put_image(form, self.window, self.context, wide, tall, 0, top, 0, 24, &bytes)
                .map_err(|error| failed(&error))?;
        }
        // Answered when all of it is on the display.
        let asked = self.connection.get_input_focus().map_err(|error| failed(&error))?;
        asked.reply().map(drop).map_err(|error| failed(&error))
    }
}

#[cfg(test)]
mod tests {
    use engine::base::time::WallTime;

    use super::*;

    #[test]
    fn a_page_is_legible_and_another_or_a_blurred_one_is_not() {
        let above = Marker { counter: 1, drawn: WallTime::from_micros(1) };
        let mut picture = page(640, 360, 5, above);
        assert_eq!(legible(&picture, 5), 1.0);
        assert!(legible(&picture, 6) < 0.2, "{}", legible(&picture, 6));
        let sharp = picture.y.clone();
        let mean = |at: usize| (0..3).map(|n| u32::from(sharp[(at + n * 640).min(sharp.len() - 1)])).sum::<u32>() / 3;
        picture
            .y
            .iter_mut()
            .enumerate()
            .for_each(|(at, pixel)| *pixel = ((mean(at) + mean(at.saturating_sub(2))) / 2) as u8);
        assert!(legible(&picture, 5) < 0.8, "{}", legible(&picture, 5));
        assert_eq!(marker::read(&page(640, 360, 5, above).y, 640, 640, 360), Some(above));
    }
}
