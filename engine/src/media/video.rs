//! Pictures: raw I420 planes.

use std::sync::Arc;

use crate::base::time::Instant;

/// The matrix that turns Y'CbCr into R'G'B'.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Matrix {
    /// ITU-R BT.601, the default of RFC 6184 streams without VUI at standard definition.
    Bt601,
    /// ITU-R BT.709.
    #[default]
    Bt709,
}

/// The numbers that black and white have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Range {
    /// 16 to 235 (luma), 16 to 240 (chroma).
    #[default]
    Limited,
    /// 0 to 255.
    Full,
}

/// How the numbers in the planes are meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Colour {
    pub matrix: Matrix,
    pub range: Range,
}

/// One raw picture. Planes are tightly packed: `y` is `width × height` bytes, `u` and `v` are
/// `⌈width/2⌉ × ⌈height/2⌉` bytes each, rows top-down without padding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    pub width: u32,
    pub height: u32,
    pub colour: Colour,
    pub y: Vec<u8>,
    pub u: Vec<u8>,
    pub v: Vec<u8>,
}

impl Picture {
    /// A black picture.
    pub fn new(width: u32, height: u32) -> Self {
        let mut picture = Self::default();
        picture.resize(width, height);
        picture.y.fill(16);
        picture.u.fill(128);
        picture.v.fill(128);
        picture
    }

    /// Gives the planes the size of `width × height`, keeping their storage. What they hold is undefined after.
    pub fn resize(&mut self, width: u32, height: u32) {
        (self.width, self.height) = (width, height);
        let (chroma_width, chroma_height) = self.chroma_size();
        self.y.resize(width as usize * height as usize, 0);
        self.u.resize(chroma_width as usize * chroma_height as usize, 0);
        self.v.resize(chroma_width as usize * chroma_height as usize, 0);
    }

    /// Width and height of the chroma planes.
    pub const fn chroma_size(&self) -> (u32, u32) {
        (self.width.div_ceil(2), self.height.div_ceil(2))
    }
}

/// What pictures are of, which decides what is given up first where there is little room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// People and things that move: fewer lines before fewer pictures.
    #[default]
    Motion,
    /// Screens: fewer pictures before fewer lines.
    Text,
}

/// A picture a source took, and when.
#[derive(Clone, Debug)]
pub struct CapturedPicture {
    pub picture: Arc<Picture>,
    /// When the source drew or took it: the first of the nine stamps.
    pub captured: Instant,
}
