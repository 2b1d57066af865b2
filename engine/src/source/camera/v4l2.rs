//! Video4Linux: two buffers that the driver fills, one picture after the other.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use v4l::buffer::Type;
use v4l::capability::Flags;
use v4l::io::mmap::Stream;
use v4l::io::traits::CaptureStream;
use v4l::video::Capture;
use v4l::video::capture::Parameters;
use v4l::{Device, Format, FourCC};

use super::convert::{from_jpeg, from_yuyv};
use crate::base::error::{Error, Kind, Result};
use crate::base::pool::ArcPool;
use crate::base::time::{Duration, Instant, now};
use crate::media::video::{CapturedPicture, Picture};

/// As many as a test card keeps.
const PICTURES: usize = 10;
/// One is filled while the other is read: a third would be a picture's time of delay after each stall.
const BUFFERS: u32 = 2;
/// What is asked for; the driver gives what it has nearest to it.
const SIZE: (u32, u32) = (1280, 720);
const FRAME_RATE: u32 = 30;
/// Motion JPEG first: over USB 2 uncompressed pictures of this size come ten times a second.
const FORMS: [(&[u8; 4], Form); 2] = [(b"MJPG", Form::Jpeg), (b"YUYV", Form::Yuyv)];
/// A camera takes up to some seconds to begin; after as long without a picture it hangs.
const PATIENCE: Duration = Duration::from_secs(5);
/// Single pictures break on the way; a camera of which a second is broken is.
const MOST_BROKEN: u32 = 30;

/// A camera that is read.
pub struct Camera {
    // Before the device: it is stopped while that is still open.
    stream: Stream<'static>,
    form: Form,
    size: (u32, u32),
    stride: usize,
    frame_rate: f32,
    scratch: Vec<u8>,
    pool: ArcPool<Picture>,
    path: PathBuf,
    _device: Device,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Jpeg,
    Yuyv,
}

/// The numbers of the cameras there are.
pub fn list() -> Vec<u32> {
    let folder = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    let number = |entry: std::fs::DirEntry| entry.file_name().to_str()?.strip_prefix("video")?.parse().ok();
    let mut numbers: Vec<u32> = folder.filter_map(number).filter(|number| device(&path_of(*number)).is_ok()).collect();
    numbers.sort_unstable();
    numbers
}

/// Whether there is a camera of that number, without using it.
///
/// # Errors
/// `Gone` where there is none.
pub fn find(number: u32) -> Result<()> {
    device(&path_of(number)).map(drop)
}

impl Camera {
    /// The camera `/dev/videoN`.
    ///
    /// # Errors
    /// `Gone` where there is none of that number or it captures no pictures (the text names those there are);
    /// `Reopen` where another program has it; `Refused` where it has no form of picture that can be read.
    pub fn open(number: u32) -> Result<Self> {
        Self::open_at(&path_of(number))
    }

    fn open_at(path: &Path) -> Result<Self> {
        let device = device(path)?;
        let failed = |what: &str, error: &io::Error| {
            let busy = error.raw_os_error() == Some(rustix::io::Errno::BUSY.raw_os_error());
            let hint = if busy { "another program has it" } else { what };
            Error::new(Kind::Reopen, format!("the camera {} cannot be used: {hint} ({error})", path.display()))
        };
        let offered = device.enum_formats().map_err(|error| failed("it lists no formats", &error))?;
        let form = FORMS.iter().find(|(code, _)| offered.iter().any(|offer| offer.fourcc == FourCC::new(code)));
        let (code, form) = *form.ok_or_else(|| {
            let text = format!("the camera {} has neither motion JPEG nor YUYV to offer", path.display());
            Error::new(Kind::Refused, text)
        })?;
        let format = Format::new(SIZE.0, SIZE.1, FourCC::new(code));
        let format = device.set_format(&format).map_err(|error| failed("it takes no format", &error))?;
        let usable = (16..=1920).contains(&format.width) && (16..=1920).contains(&format.height);
        if format.fourcc != FourCC::new(code) || !usable {
            let text = format!("the camera {} has no picture of up to 1920×1920 to offer", path.display());
            return Err(Error::new(Kind::Refused, text));
        }
        // Not every driver has rates to choose from.
        let rate = device.set_params(&Parameters::with_fps(FRAME_RATE)).ok().map(|set| set.interval);
        let rate = rate.filter(|interval| interval.numerator > 0 && interval.denominator > 0);
        let frame_rate =
            rate.map_or(FRAME_RATE as f32, |interval| interval.denominator as f32 / interval.numerator as f32);
        let stream = Stream::with_buffers(&device, Type::VideoCapture, BUFFERS);
        let mut stream = stream.map_err(|error| failed("it gives no memory", &error))?;
        stream.set_timeout(PATIENCE);
        Ok(Self {
            stream,
            form,
            size: (format.width, format.height),
            stride: format.stride.max(format.width * 2) as usize,
            frame_rate,
            scratch: Vec::new(),
            pool: ArcPool::new(PICTURES),
            path: path.to_owned(),
            _device: device,
        })
    }

    /// Waits for the next picture; `captured` is when the driver had it. A broken one is left out.
    ///
    /// # Errors
    /// `Reopen` where the camera is gone or gives nothing that can be read.
    pub fn capture(&mut self, _: Instant) -> Result<CapturedPicture> {
        let path = self.path.display();
        for _ in 0..MOST_BROKEN {
            let (bytes, about) = self.stream.next().map_err(|error| {
                Error::new(Kind::Reopen, format!("the camera {path} gives no more pictures: {error}"))
            })?;
            let captured = now();
            let bytes = bytes.get(..about.bytesused as usize).unwrap_or(bytes);
            let (form, (width, height), stride, scratch) = (self.form, self.size, self.stride, &mut self.scratch);
            let mut whole = Ok(());
            let picture = self.pool.take(Picture::default, |picture| {
                whole = match form {
                    Form::Jpeg => from_jpeg(bytes, scratch, picture),
                    Form::Yuyv => from_yuyv(bytes, stride, width, height, picture).ok_or_else(|| "cut short".into()),
                };
            });
            match whole {
                Ok(()) => return Ok(CapturedPicture { picture, captured }),
                Err(error) => tracing::debug!(error, "a broken picture"),
            }
        }
        Err(Error::new(Kind::Reopen, format!("the camera {path} gives broken pictures only")))
    }

    pub const fn size(&self) -> (u32, u32) {
        self.size
    }

    /// Pictures per second, as the camera says.
    pub const fn frame_rate(&self) -> f32 {
        self.frame_rate
    }
}

impl fmt::Debug for Camera {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Camera").field("path", &self.path).field("form", &self.form).field("size", &self.size).finish()
    }
}

fn path_of(number: u32) -> PathBuf {
    format!("/dev/video{number}").into()
}

/// Opens `path` where it is a camera.
fn device(path: &Path) -> Result<Device> {
    let name = path.display();
    let gone = |text: String| Error::new(Kind::Gone, text);
    let device = Device::with_path(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => gone(format!("no camera {name}; visavis devices lists those there are")),
        _ => gone(format!("the camera {name} cannot be opened: {error}")),
    })?;
    let needed = Flags::VIDEO_CAPTURE | Flags::STREAMING;
    match device.query_caps() {
        Ok(about) if about.capabilities.contains(needed) => Ok(device),
        _ => Err(gone(format!("{name} is no camera; visavis devices lists those there are"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_camera_is_said_in_one_line() {
        let error = Camera::open(4_000_000).expect_err("no such device");
        assert_eq!(error.kind, Kind::Gone);
        assert_eq!(error.text, "no camera /dev/video4000000; visavis devices lists those there are");
        let error = Camera::open_at(Path::new("/dev/null")).expect_err("no camera");
        assert_eq!(error.text, "/dev/null is no camera; visavis devices lists those there are");
    }
}
