//! Video files as sources: Y4M, MP4 and raw H.264, over and over.

pub mod h264;
pub mod mp4;
pub mod recorder;
pub mod y4m;

use std::path::Path;
use std::sync::Arc;

use crate::base::error::{Error, Kind, Result};
use crate::base::pool::ArcPool;
use crate::base::time::{Duration, Instant};
use crate::media::video::{CapturedPicture, Picture};
use h264::H264File;
use y4m::Y4mReader;

/// As many as a test card keeps.
const PICTURES: usize = 10;

/// A file that gives pictures without end.
#[derive(Debug)]
pub struct FileSource {
    format: Format,
    pool: ArcPool<Picture>,
}

#[derive(Debug)]
enum Format {
    Y4m(Y4mReader),
    H264(H264File),
}

impl FileSource {
    /// Opens a file; what it is shows in its first bytes.
    ///
    /// # Errors
    /// It cannot be opened (`Kind::Gone`), or is no Y4M, MP4 or raw H.264 that can be played (`Kind::Malformed`).
    pub fn open(path: &Path) -> Result<Self> {
        let about = std::fs::metadata(path).map_err(|error| cannot_open(path, &error))?;
        if !about.is_file() {
            return Err(Error::new(Kind::Malformed, format!("{} is not a file", path.display())));
        }
        let format = if mp4::looks_like(path)? {
            Format::H264(H264File::open_mp4(path)?)
        } else if h264::looks_like(path)? {
            Format::H264(H264File::open(path)?)
        } else {
            Format::Y4m(Y4mReader::open(path)?)
        };
        Ok(Self { format, pool: ArcPool::new(PICTURES) })
    }

    /// The next picture, captured at `now`; after the last one the first.
    ///
    /// # Errors
    /// The file broke off or changed (`Kind::Malformed`): the source ends.
    pub fn next(&mut self, now: Instant) -> Result<CapturedPicture> {
        let mut result = Ok(());
        let format = &mut self.format;
        let picture: Arc<Picture> = self.pool.take(Picture::default, |place| {
            result = match format {
                Format::Y4m(file) => file.read(place),
                Format::H264(file) => file.read(place),
            };
        });
        result.map(|()| CapturedPicture { picture, captured: now })
    }

    /// How long the picture that came last is shown, where the file says so of each.
    pub fn step(&self) -> Option<Duration> {
        match &self.format {
            Format::Y4m(_) => None,
            Format::H264(file) => file.step(),
        }
    }

    pub const fn size(&self) -> (u32, u32) {
        match &self.format {
            Format::Y4m(file) => file.size(),
            Format::H264(file) => file.size(),
        }
    }

    /// Pictures per second.
    pub const fn frame_rate(&self) -> f32 {
        match &self.format {
            Format::Y4m(file) => file.frame_rate(),
            Format::H264(file) => file.frame_rate(),
        }
    }
}

/// `cannot open PATH: why`.
fn cannot_open(path: &Path, error: &std::io::Error) -> Error {
    Error::new(Kind::Gone, format!("cannot open {}: {error}", path.display()))
}
