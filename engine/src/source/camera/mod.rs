//! Cameras: Video4Linux on Linux. One that is unplugged during a call is replaced by a picture that says so until it is back.

#[cfg(any(target_os = "linux", test))]
mod convert;
#[cfg(target_os = "linux")]
mod negotiate;
#[cfg(target_os = "linux")]
mod reader;
#[cfg(target_os = "linux")]
mod steady;
#[cfg(target_os = "linux")]
mod v4l2;

#[cfg(not(target_os = "linux"))]
pub use elsewhere::{Camera, find, list};
#[cfg(target_os = "linux")]
pub use v4l2::{Camera, find, list};

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use crate::base::error::{Error, Kind, Result};
    use crate::base::time::Instant;
    use crate::media::video::CapturedPicture;

    /// A camera, which cannot be read on this system yet.
    #[derive(Debug)]
    pub enum Camera {}

    /// The numbers of the cameras there are.
    pub fn list() -> Vec<u32> {
        Vec::new()
    }

    /// # Errors
    /// Always `Refused`.
    pub fn find(number: u32) -> Result<()> {
        Err(nothing(number))
    }

    fn nothing(number: u32) -> Error {
        Error::new(Kind::Refused, format!("camera {number}: cameras can be read on Linux only so far"))
    }

    impl Camera {
        /// # Errors
        /// Always `Refused`.
        pub fn open(number: u32) -> Result<Self> {
            Err(nothing(number))
        }

        pub fn capture(&mut self, _: Instant) -> CapturedPicture {
            match *self {}
        }

        pub const fn lost(&self) -> Option<&Error> {
            match *self {}
        }

        pub const fn not_before(&self) -> Option<Instant> {
            match *self {}
        }

        pub const fn size(&self) -> (u32, u32) {
            match *self {}
        }

        pub const fn frame_rate(&self) -> f32 {
            match *self {}
        }
    }
}
