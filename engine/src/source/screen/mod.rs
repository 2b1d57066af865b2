//! What is on the screen with the pointer: X11's desktop, one monitor of it, or one window. A screen that stands still gives
//! no pictures.

#[cfg(any(target_os = "linux", test))]
mod convert;
#[cfg(any(target_os = "linux", test))]
mod cursor;
#[cfg(target_os = "linux")]
mod grab;
#[cfg(target_os = "linux")]
mod window;
#[cfg(target_os = "linux")]
mod x11;

#[cfg(all(feature = "wayland", target_os = "linux"))]
pub(super) use convert::from_bgrx;
#[cfg(not(target_os = "linux"))]
pub use elsewhere::{Screen, windows};
#[cfg(target_os = "linux")]
pub use x11::{Screen, windows};

/// What of the screen is captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Counted from 0; `None`: all of them, as they stand side by side.
    Monitor(Option<u32>),
    /// The window with this title, or with this in its title, or with this number (`0x…`).
    Window(String),
}

/// A part of the desktop, in pixels from its upper left corner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Region {
    pub x: i32,
    pub y: i32,
    pub width: u32,
    pub height: u32,
}

#[cfg(any(target_os = "linux", test))]
impl Region {
    /// Without the last row or column that is one too many: pictures are coded in pairs of them. One alone stays.
    pub(super) fn even(self) -> Self {
        let even = |side: u32| if side < 2 { 1 } else { side & !1 };
        Self { width: even(self.width), height: even(self.height), ..self }
    }

    /// The size of the picture of it: no longer on a side than calls can carry, even, in the same proportion.
    pub(super) fn picture_size(self) -> (u32, u32) {
        const MOST: u32 = 1920;
        let longer = self.width.max(self.height);
        if longer <= MOST {
            return (self.width, self.height);
        }
        let fitted = |side: u32| ((u64::from(side) * u64::from(MOST) / u64::from(longer)) as u32 & !1).max(2);
        (fitted(self.width), fitted(self.height))
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use super::{Part, Region};
    use crate::base::error::{Error, Kind, Result};
    use crate::base::time::Instant;
    use crate::media::video::CapturedPicture;

    /// The titles of the windows there are.
    pub fn windows() -> Vec<String> {
        Vec::new()
    }

    /// A screen that cannot be captured on this system yet.
    #[derive(Debug)]
    pub enum Screen {}

    impl Screen {
        /// # Errors
        /// Always `Refused`.
        pub fn open(_: &Part) -> Result<Self> {
            Err(Error::new(Kind::Refused, "the screen can be captured on X11 only, not on this system"))
        }

        pub fn capture(&mut self, _: Instant) -> Result<Option<CapturedPicture>> {
            match *self {}
        }

        pub const fn size(&self) -> (u32, u32) {
            match *self {}
        }

        pub const fn region(&self) -> Region {
            match *self {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_screen_is_scaled_to_what_a_call_carries() {
        let size = |width, height| Region { x: 0, y: 0, width, height }.even().picture_size();
        assert_eq!(size(1280, 800), (1280, 800));
        assert_eq!(size(1367, 767), (1366, 766));
        assert_eq!(size(3840, 2160), (1920, 1080));
        assert_eq!(size(1080, 2400), (864, 1920));
        assert_eq!((size(1, 1), size(3, 1)), ((1, 1), (2, 1)));
    }
}
