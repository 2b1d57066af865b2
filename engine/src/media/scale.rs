//! Scaling pictures: area average for exactly 2:1 and 4:1, a triangle filter otherwise (bilinear
//! whose support grows with the ratio, so that nothing aliases).

use super::video::Picture;

/// Scales pictures; keeps its storage between calls.
#[derive(Debug, Default)]
pub struct Scaler {
    rows: Vec<u8>,
    half: Vec<u8>,
    horizontal: Taps,
    vertical: Taps,
}

/// Weights are in 1/256: the error is below half a step of 8-bit video.
const ONE: u32 = 256;

/// For each output sample the first input sample and `count` weights.
#[derive(Debug, Default)]
struct Taps {
    from: usize,
    to: usize,
    count: usize,
    starts: Vec<u32>,
    weights: Vec<u16>,
}

impl Scaler {
    /// Scales `from` into `to`, which has the wanted size already; the colour meaning goes along.
    pub fn scale(&mut self, from: &Picture, to: &mut Picture) {
        to.colour = from.colour;
        let size = |width: u32, height: u32| (width as usize, height as usize);
        let chroma = |picture: &Picture| {
            let (width, height) = picture.chroma_size();
            size(width, height)
        };
        let (from_chroma, to_chroma) = (chroma(from), chroma(to));
        self.plane(&from.y, size(from.width, from.height), &mut to.y, size(to.width, to.height));
        self.plane(&from.u, from_chroma, &mut to.u, to_chroma);
        self.plane(&from.v, from_chroma, &mut to.v, to_chroma);
    }

    fn plane(&mut self, from: &[u8], from_size: (usize, usize), to: &mut [u8], to_size: (usize, usize)) {
        if from_size == to_size {
            to.copy_from_slice(from);
            return;
        }
        if from_size == (to_size.0 * 2, to_size.1 * 2) {
            halve(from, from_size.0, to, to_size.0);
            return;
        }
        if from_size == (to_size.0 * 4, to_size.1 * 4) {
            self.half.resize(from.len() / 4, 0);
            halve(from, from_size.0, &mut self.half, from_size.0 / 2);
            halve(&self.half, from_size.0 / 2, to, to_size.0);
            return;
        }
        self.horizontal.set(from_size.0, to_size.0);
        self.vertical.set(from_size.1, to_size.1);
        let (width, height) = to_size;
        self.rows.resize(width * from_size.1, 0);
        for (row, line) in from.chunks_exact(from_size.0).zip(self.rows.chunks_exact_mut(width)) {
            let taps = self.horizontal.starts.iter().zip(self.horizontal.weights.chunks_exact(self.horizontal.count));
            for (pixel, (start, weights)) in line.iter_mut().zip(taps) {
                let inputs = &row[*start as usize..][..weights.len()];
                let sum: u32 =
                    inputs.iter().zip(weights).map(|(value, weight)| u32::from(*value) * u32::from(*weight)).sum();
                *pixel = ((sum + ONE / 2) / ONE) as u8;
            }
        }
        let mut sums = vec![0u32; width];
        for (y, line) in to.chunks_exact_mut(width).take(height).enumerate() {
            sums.fill(ONE / 2);
            let start = self.vertical.starts[y] as usize;
            let weights = &self.vertical.weights[y * self.vertical.count..][..self.vertical.count];
            for (tap, weight) in weights.iter().enumerate() {
                let row = &self.rows[(start + tap) * width..][..width];
                sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += u32::from(*value) * u32::from(*weight));
            }
            line.iter_mut().zip(&sums).for_each(|(pixel, sum)| *pixel = (sum / ONE) as u8);
        }
    }
}

impl Taps {
    fn set(&mut self, from: usize, to: usize) {
        if (self.from, self.to) == (from, to) {
            return;
        }
        let ratio = from as f32 / to as f32;
        // Scaling up is plain bilinear: the support never falls below one input sample on either side.
        let support = ratio.max(1.0);
        let count = ((support * 2.0).ceil() as usize + 1).min(from);
        (self.from, self.to, self.count) = (from, to, count);
        self.starts.clear();
        self.weights.clear();
        for index in 0..to {
            let centre = (index as f32 + 0.5) * ratio - 0.5;
            let start = ((centre - support).ceil().max(0.0) as usize).min(from - count);
            let weight = |tap: usize| (1.0 - ((start + tap) as f32 - centre).abs() / support).max(0.0);
            let sum: f32 = (0..count).map(weight).sum();
            let begin = self.weights.len();
            self.weights.extend((0..count).map(|tap| (weight(tap) / sum * ONE as f32).round() as u16));
            // Rounding must not change the brightness: the largest weight takes the rest.
            let weights = &mut self.weights[begin..];
            let rest = ONE as i32 - weights.iter().map(|weight| i32::from(*weight)).sum::<i32>();
            if let Some(largest) = weights.iter_mut().max() {
                *largest = (i32::from(*largest) + rest) as u16;
            }
            self.starts.push(start as u32);
        }
    }
}

fn halve(from: &[u8], from_width: usize, to: &mut [u8], to_width: usize) {
    for (rows, line) in from.chunks_exact(from_width * 2).zip(to.chunks_exact_mut(to_width)) {
        let (above, below) = rows.split_at(from_width);
        for ((pixel, above), below) in line.iter_mut().zip(above.chunks_exact(2)).zip(below.chunks_exact(2)) {
            let sum = u16::from(above[0]) + u16::from(above[1]) + u16::from(below[0]) + u16::from(below[1]);
            *pixel = ((sum + 2) / 4) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brightness_and_gradients_survive_every_ratio() {
        let mut scaler = Scaler::default();
        let mut from = Picture::new(640, 360);
        let ramp = |x: usize, width: u32| 20.0 + 200.0 * (x as f32 + 0.5) / width as f32;
        for row in from.y.chunks_exact_mut(640) {
            row.iter_mut().enumerate().for_each(|(x, pixel)| *pixel = ramp(x, 640).round() as u8);
        }
        from.u.fill(77);
        for (width, height) in [(320, 180), (480, 270), (426, 240), (160, 90), (214, 120), (640, 360), (960, 540)] {
            let mut to = Picture::new(width, height);
            scaler.scale(&from, &mut to);
            for row in to.y.chunks_exact(width as usize) {
                // The outermost samples have less to average over.
                for (x, pixel) in row.iter().enumerate().skip(2).take(width as usize - 4) {
                    assert!((f32::from(*pixel) - ramp(x, width)).abs() < 2.0, "{width}: {x} is {pixel}");
                }
            }
            assert!(to.u.iter().all(|value| *value == 77) && to.v.iter().all(|value| *value == 128));
        }
    }

    #[test]
    fn fine_stripes_become_grey_not_stripes() {
        let mut from = Picture::new(600, 300);
        from.y.iter_mut().enumerate().for_each(|(at, pixel)| *pixel = if at % 2 == 0 { 0 } else { 200 });
        let mut to = Picture::new(200, 100);
        Scaler::default().scale(&from, &mut to);
        let (least, most) = (to.y.iter().min().copied(), to.y.iter().max().copied());
        assert!(least >= Some(60) && most <= Some(140), "{least:?} {most:?}");
    }
}
