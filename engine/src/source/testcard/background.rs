//! What stands still on the card, and where the rest moves.

use crate::media::video::Picture;

/// A rectangle in luma pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rect {
    pub x: usize,
    pub y: usize,
    pub width: usize,
    pub height: usize,
}

/// A colour in limited range: luma, blue and red difference.
type Colour = (u8, u8, u8);

/// ITU-T BT.709 colour bars of 75 %: grey, yellow, cyan, green, magenta, red, blue.
const BARS: [Colour; 7] =
    [(180, 128, 128), (168, 44, 136), (145, 147, 44), (133, 63, 52), (63, 193, 204), (51, 109, 212), (28, 212, 120)];
const BALL: Colour = (200, 60, 150);
/// What the hand adds to the dial's luma.
const SWEEP: u32 = 150;

/// Where everything is, made of shares of the picture so that every size looks alike.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub dial: Rect,
    pub clock: Rect,
    pub track: Rect,
    pub caption: Rect,
    bars: Rect,
    ramp: Rect,
    /// For each pixel of the dial its angle clockwise from above in 1/65 536 of a turn, and whether it is inside.
    angles: Vec<Option<u16>>,
}

impl Scene {
    pub fn of(width: u32, height: u32) -> Self {
        // Even edges, so that luma and chroma agree.
        let rect = |x: f32, y: f32, w: f32, h: f32| {
            let even = |share: f32, size: u32| (share * size as f32) as usize & !1;
            Rect { x: even(x, width), y: even(y, height), width: even(w, width), height: even(h, height) }
        };
        let mut dial = rect(0.12, 0.32, 0.2, 0.3);
        dial.width = dial.width.min(dial.height);
        dial.height = dial.width;
        let radius = dial.width as f32 / 2.0;
        let angle = |index: usize| {
            let (x, y) = ((index % dial.width) as f32 + 0.5 - radius, (index / dial.width) as f32 + 0.5 - radius);
            let turn = x.atan2(-y) / std::f32::consts::TAU;
            (x.hypot(y) < radius * 0.94).then_some((turn.rem_euclid(1.0) * 65_536.0) as u16)
        };
        Self {
            dial,
            clock: rect(0.36, 0.32, 0.52, 0.14),
            caption: rect(0.36, 0.56, 0.52, 0.06),
            track: rect(0.36, 0.48, 0.52, 0.07),
            bars: rect(0.1, 0.66, 0.8, 0.18),
            ramp: rect(0.1, 0.84, 0.8, 0.06),
            angles: (0..dial.width * dial.height).map(angle).collect(),
        }
    }

    /// A hand that turns once in two seconds and leaves a fading trail.
    pub fn draw_sweep(&self, picture: &mut Picture, seconds: f32) {
        let hand = ((seconds / 2.0).fract() * 65_536.0) as u16;
        let (width, stride) = (self.dial.width, picture.width as usize);
        for (row, angles) in self.angles.chunks_exact(width).enumerate() {
            let start = (self.dial.y + row) * stride + self.dial.x;
            for (pixel, angle) in picture.y[start..start + width].iter_mut().zip(angles) {
                // A quarter of a turn of trail: 16 384 steps from bright to nothing.
                let behind = angle.map_or(u16::MAX, |angle| hand.wrapping_sub(angle));
                if behind < 16_384 {
                    let share = u32::from(16_384 - behind);
                    *pixel = (u32::from(*pixel) + ((SWEEP * share) >> 14)).min(225) as u8;
                }
            }
        }
    }

    /// A ball that runs to and fro, once in four seconds.
    pub fn draw_ball(&self, picture: &mut Picture, seconds: f32) {
        let radius = self.track.height as f32 / 2.0;
        let phase = (seconds / 4.0).fract() * 2.0;
        let share = if phase < 1.0 { phase } else { 2.0 - phase };
        let centre_x = self.track.x as f32 + radius + share * (self.track.width as f32 - 2.0 * radius);
        let centre_y = self.track.y as f32 + radius;
        let inside = |x: usize, y: usize, scale: usize| {
            let at = |value: usize| (value * scale) as f32 + scale as f32 / 2.0;
            (at(x) - centre_x).hypot(at(y) - centre_y) < radius
        };
        let (stride, chroma_stride) = (picture.width as usize, picture.width.div_ceil(2) as usize);
        let first = (centre_x - radius) as usize;
        let last = ((centre_x + radius) as usize + 1).min(self.track.x + self.track.width);
        for y in self.track.y..self.track.y + self.track.height {
            for x in (first..last).filter(|x| inside(*x, y, 1)) {
                picture.y[y * stride + x] = BALL.0;
            }
        }
        for y in self.track.y / 2..(self.track.y + self.track.height) / 2 {
            for x in (first / 2..last / 2).filter(|x| inside(*x, y, 2)) {
                picture.u[y * chroma_stride + x] = BALL.1;
                picture.v[y * chroma_stride + x] = BALL.2;
            }
        }
    }
}

impl Rect {
    /// Copies this part of `from` into `to`, which has the same size.
    pub fn restore(self, from: &Picture, to: &mut Picture) {
        let copy = |from: &[u8], to: &mut [u8], stride: usize, divide: usize| {
            for row in self.y / divide..(self.y + self.height) / divide {
                let start = row * stride + self.x / divide;
                let end = start + self.width / divide;
                to[start..end].copy_from_slice(&from[start..end]);
            }
        };
        let (stride, chroma_stride) = (from.width as usize, from.width.div_ceil(2) as usize);
        copy(&from.y, &mut to.y, stride, 1);
        copy(&from.u, &mut to.u, chroma_stride, 2);
        copy(&from.v, &mut to.v, chroma_stride, 2);
    }

    /// Fills the luma only; what lies outside the picture is left out.
    pub fn fill_luma(self, picture: &mut Picture, luma: u8) {
        let stride = picture.width as usize;
        for row in picture.y.chunks_exact_mut(stride).skip(self.y).take(self.height) {
            row.iter_mut().skip(self.x).take(self.width).for_each(|pixel| *pixel = luma);
        }
    }

    fn fill(self, picture: &mut Picture, (luma, blue, red): Colour) {
        self.fill_luma(picture, luma);
        let stride = picture.width.div_ceil(2) as usize;
        for (plane, value) in [(&mut picture.u, blue), (&mut picture.v, red)] {
            for row in plane.chunks_exact_mut(stride).skip(self.y / 2).take(self.height / 2) {
                row.iter_mut().skip(self.x / 2).take(self.width / 2).for_each(|pixel| *pixel = value);
            }
        }
    }
}

/// Everything that stands still.
pub(super) fn draw(width: u32, height: u32, scene: &Scene) -> Picture {
    let mut picture = Picture::new(width, height);
    let (columns, rows) = (width as usize, height as usize);
    let grid = (rows / 12).max(8);
    for y in 0..rows {
        for x in 0..columns {
            // A dark slate, lighter towards the middle, with a fine grid.
            let (dx, dy) = (x as f32 / columns as f32 - 0.5, y as f32 / rows as f32 - 0.45);
            let glow = 30.0 * (1.0 - (dx * dx + dy * dy) * 2.2).max(0.0);
            let line = x % grid == grid / 2 || y % grid == grid / 2;
            picture.y[y * columns + x] = (28.0 + glow + if line { 14.0 } else { 0.0 }) as u8;
        }
    }
    picture.u.fill(138);
    picture.v.fill(122);
    scene.draw_dial(&mut picture);
    Rect { height: 2, y: (scene.track.y + scene.track.height / 2) & !1, ..scene.track }.fill_luma(&mut picture, 90);
    let step = (scene.bars.width / BARS.len()) & !1;
    for (index, colour) in BARS.iter().enumerate() {
        let last = index + 1 == BARS.len();
        let width = if last { scene.bars.width - step * index } else { step };
        Rect { x: scene.bars.x + step * index, width, ..scene.bars }.fill(&mut picture, *colour);
    }
    for column in (0..scene.ramp.width).step_by(2) {
        let luma = (16 + column * 219 / scene.ramp.width) as u8;
        Rect { x: scene.ramp.x + column, width: 2, ..scene.ramp }.fill(&mut picture, (luma, 128, 128));
    }
    picture
}

impl Scene {
    /// The dial's face: a disc with twelve marks and a rim.
    fn draw_dial(&self, picture: &mut Picture) {
        let (stride, radius) = (picture.width as usize, self.dial.width as f32 / 2.0);
        for row in 0..self.dial.height {
            for column in 0..self.dial.width {
                let (x, y) = (column as f32 + 0.5 - radius, row as f32 + 0.5 - radius);
                let distance = x.hypot(y) / radius;
                let hour = x.atan2(-y) / std::f32::consts::TAU * 12.0;
                let on_mark = (hour - hour.round()).abs() < 0.09 && (0.78..0.9).contains(&distance);
                let at = (self.dial.y + row) * stride + self.dial.x + column;
                if (0.94..1.0).contains(&distance) || on_mark {
                    picture.y[at] = 200;
                } else if distance < 0.94 {
                    picture.y[at] = 36;
                }
            }
        }
    }
}
