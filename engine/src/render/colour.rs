//! The numbers that turn Y'CbCr into R'G'B'. The shader computes with these, and a reference in f64 stands beside.

use crate::media::video::{Colour, Matrix, Range};

/// What the shader needs for one matrix and range. Samples are 0.0 to 1.0 (a byte ÷ 255).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coefficients {
    /// Y' of black, gain of Y', the chroma's zero, unused.
    pub levels: [f32; 4],
    /// Cr to R', Cb to G', Cr to G', Cb to B'.
    pub chroma: [f32; 4],
}

/// Every combination, where [`index`] looks.
pub const ALL: [Colour; 4] = [
    Colour { matrix: Matrix::Bt601, range: Range::Limited },
    Colour { matrix: Matrix::Bt601, range: Range::Full },
    Colour { matrix: Matrix::Bt709, range: Range::Limited },
    Colour { matrix: Matrix::Bt709, range: Range::Full },
];

/// The place of `colour` in [`ALL`] and in the shader's tables.
pub const fn index(colour: Colour) -> u32 {
    let matrix = match colour.matrix {
        Matrix::Bt601 => 0,
        Matrix::Bt709 => 2,
    };
    matrix
        + match colour.range {
            Range::Limited => 0,
            Range::Full => 1,
        }
}

impl Coefficients {
    pub fn of(colour: Colour) -> Self {
        let (red, blue) = weights(colour.matrix);
        let green = 1.0 - red - blue;
        // BT.601-7 §2.5.3, BT.709-6 §3.4: 219 steps of luma above 16, 224 of chroma around 128.
        let (black, luma_gain, chroma_gain) = match colour.range {
            Range::Limited => (16.0, 255.0 / 219.0, 255.0 / 224.0),
            Range::Full => (0.0, 1.0, 1.0),
        };
        let cr_to_red = 2.0 * (1.0 - red) * chroma_gain;
        let cb_to_blue = 2.0 * (1.0 - blue) * chroma_gain;
        let cb_to_green = -cb_to_blue * blue / green;
        let cr_to_green = -cr_to_red * red / green;
        Self {
            levels: [(black / 255.0) as f32, luma_gain as f32, (128.0 / 255.0) as f32, 0.0],
            chroma: [cr_to_red as f32, cb_to_green as f32, cr_to_green as f32, cb_to_blue as f32],
        }
    }
}

/// Kr and Kb: BT.601-7 §2.5.1, BT.709-6 §3.2.
const fn weights(matrix: Matrix) -> (f64, f64) {
    match matrix {
        Matrix::Bt601 => (0.299, 0.114),
        Matrix::Bt709 => (0.2126, 0.0722),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// The definition, solved for R'G'B' in f64 and written without the table above: Y' = Kr R' + Kg G' + Kb B',
    /// Cb = (B' - Y') / (2 (1 - Kb)), Cr = (R' - Y') / (2 (1 - Kr)).
    pub fn reference([y, u, v]: [u8; 3], colour: Colour) -> [u8; 3] {
        let (kr, kb) = if colour.matrix == Matrix::Bt601 { (0.299, 0.114) } else { (0.2126, 0.0722) };
        let (y, u, v) = (f64::from(y), f64::from(u), f64::from(v));
        let (y, cb, cr) = if colour.range == Range::Limited {
            ((y - 16.0) / 219.0, (u - 128.0) / 224.0, (v - 128.0) / 224.0)
        } else {
            (y / 255.0, (u - 128.0) / 255.0, (v - 128.0) / 255.0)
        };
        let red = y + cr * 2.0 * (1.0 - kr);
        let blue = y + cb * 2.0 * (1.0 - kb);
        let green = (y - kr * red - kb * blue) / (1.0 - kr - kb);
        [red, green, blue].map(|part| (part * 255.0).round().clamp(0.0, 255.0) as u8)
    }

    #[test]
    fn the_index_of_each_colour_is_its_place() {
        for (place, colour) in ALL.into_iter().enumerate() {
            assert_eq!(index(colour), place as u32);
        }
    }

    #[test]
    fn the_known_numbers_of_bt_601_come_out() {
        // Rec. 601 full range as in JFIF 1.02: 1.402, -0.344136, -0.714136, 1.772.
        let chroma = Coefficients::of(ALL[1]).chroma;
        for (ours, known) in chroma.into_iter().zip([1.402, -0.344_136, -0.714_136, 1.772]) {
            assert!((ours - known).abs() < 1e-5, "{ours} is not {known}");
        }
    }

    #[test]
    fn white_is_white_in_both_ranges() {
        assert_eq!(reference([235, 128, 128], ALL[2]), [255; 3]);
        assert_eq!(reference([255, 128, 128], ALL[3]), [255; 3]);
    }
}
