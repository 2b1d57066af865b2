//! Video4Linux: two buffers that the driver fills, one picture after the other.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use v4l::buffer::Type;
use v4l::capability::Flags;
use v4l::frameinterval::FrameIntervalEnum;
use v4l::framesize::{FrameSizeEnum, Stepwise};
use v4l::io::mmap::Stream;
use v4l::io::traits::CaptureStream;
use v4l::video::Capture;
use v4l::video::capture::Parameters;
use v4l::{Device, Format, FourCC};

use super::negotiate::{Form, Offer};
use super::reader::{Driver, Given, Reader};
use super::steady::Steady;
use crate::base::error::{Error, Kind, Result};
use crate::base::time::{Duration, Instant};
use crate::media::video::CapturedPicture;

/// One is filled while the other is read: a third would be a picture's time of delay after each stall.
const BUFFERS: u32 = 2;
/// What is asked for where any size and rate can be had.
const SIZE: (u32, u32) = (1280, 720);
const FRAME_RATE: u32 = 30;
/// A camera takes up to some seconds to begin; after as long without a picture it hangs.
const PATIENCE: Duration = Duration::from_secs(5);

/// A camera that is read, and looked for again when it was unplugged.
pub struct Camera(Steady<Reader<V4l2>>);

/// A driver of Video4Linux.
struct V4l2 {
    // Before the device: it is stopped while that is still open.
    stream: Option<Stream<'static>>,
    device: Device,
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
    /// The camera `/dev/videoN`. Unplugged, it is used again when it is back, under whichever number.
    ///
    /// # Errors
    /// `Gone` where there is none of that number or it captures no pictures (the text names those there are);
    /// `Reopen` where another program has it; `Refused` where it has no form of picture that can be read.
    pub fn open(number: u32) -> Result<Self> {
        let mut called = None::<String>;
        let open = move || {
            let (number, device) = match &called {
                None => (number, device(&path_of(number))?),
                Some(name) => same(name, number)?,
            };
            let name = device.query_caps().map(|about| about.card).unwrap_or_default();
            let reader = Reader::begin(V4l2 { stream: None, device }, path_of(number).display().to_string())?;
            called = Some(name);
            Ok(reader)
        };
        Steady::new(open).map(Self)
    }

    /// Waits for the next picture.
    pub fn capture(&mut self, now: Instant) -> CapturedPicture {
        self.0.capture(now)
    }

    /// Why there are no pictures of the camera at present: it is looked for.
    pub const fn lost(&self) -> Option<&Error> {
        self.0.lost()
    }

    /// There is nothing new before this.
    pub const fn not_before(&self) -> Option<Instant> {
        self.0.not_before()
    }

    pub const fn size(&self) -> (u32, u32) {
        self.0.size()
    }

    /// Pictures per second, as the camera says.
    pub const fn frame_rate(&self) -> f32 {
        self.0.frame_rate()
    }
}

impl fmt::Debug for Camera {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Camera").field("size", &self.size()).finish_non_exhaustive()
    }
}

/// The camera that calls itself `name`, at its old number if it is there.
fn same(name: &str, before: u32) -> Result<(u32, Device)> {
    let numbers = std::iter::once(before).chain(list());
    let mut found = numbers.filter_map(|number| Some((number, device(&path_of(number)).ok()?)));
    let is_it = |device: &Device| device.query_caps().is_ok_and(|about| about.card == name);
    found.find(|(_, device)| is_it(device)).ok_or_else(|| Error::new(Kind::Gone, format!("{name} is not plugged in")))
}

impl Driver for V4l2 {
    fn offers(&mut self) -> io::Result<Vec<Offer>> {
        let mut offers = Vec::new();
        for format in self.device.enum_formats()? {
            let code = format.fourcc.repr;
            if Form::of(code).is_none() {
                continue;
            }
            let mut sizes: Vec<(u32, u32)> = Vec::new();
            // Not every driver lists its sizes: then it is asked for the usual one, and says what it has near to it.
            for size in self.device.enum_framesizes(format.fourcc).unwrap_or_default() {
                match size.size {
                    FrameSizeEnum::Discrete(size) => sizes.push((size.width, size.height)),
                    FrameSizeEnum::Stepwise(range) => sizes.push(within(&range)),
                }
            }
            if sizes.is_empty() {
                sizes.push(SIZE);
            }
            for (width, height) in sizes {
                let intervals = self.device.enum_frameintervals(format.fourcc, width, height).unwrap_or_default();
                let shortest = |interval: FrameIntervalEnum| match interval {
                    FrameIntervalEnum::Discrete(time) => time,
                    FrameIntervalEnum::Stepwise(range) => range.min,
                };
                let rates = intervals.into_iter().map(|interval| shortest(interval.interval));
                let rates = rates.filter(|time| time.numerator > 0);
                let rate = rates.map(|time| time.denominator as f32 / time.numerator as f32).reduce(f32::max);
                offers.push(Offer { code, width, height, rate });
            }
        }
        Ok(offers)
    }

    fn set(&mut self, offer: &Offer) -> io::Result<Given> {
        let format = Format::new(offer.width, offer.height, FourCC::new(&offer.code));
        let format = self.device.set_format(&format)?;
        // Not every driver has rates to choose from.
        let rate = self.device.set_params(&Parameters::with_fps(FRAME_RATE)).ok().map(|set| set.interval);
        let rate = rate.filter(|interval| interval.numerator > 0 && interval.denominator > 0);
        let rate = rate.map(|interval| interval.denominator as f32 / interval.numerator as f32);
        let Format { width, height, fourcc, stride, .. } = format;
        Ok(Given { offer: Offer { code: fourcc.repr, width, height, rate }, stride })
    }

    fn begin(&mut self) -> io::Result<()> {
        let mut stream = Stream::with_buffers(&self.device, Type::VideoCapture, BUFFERS)?;
        stream.set_timeout(PATIENCE);
        self.stream = Some(stream);
        Ok(())
    }

    fn next(&mut self) -> io::Result<&[u8]> {
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let (bytes, about) = stream.next()?;
        Ok(bytes.get(..about.bytesused as usize).unwrap_or(bytes))
    }
}

/// The wanted size, as near as the steps come to it.
fn within(range: &Stepwise) -> (u32, u32) {
    let near = |wanted: u32, least: u32, most: u32, step: u32| {
        let wanted = wanted.clamp(least, most.max(least));
        least + (wanted - least) / step.max(1) * step.max(1)
    };
    (
        near(SIZE.0, range.min_width, range.max_width, range.step_width),
        near(SIZE.1, range.min_height, range.max_height, range.step_height),
    )
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
        let error = device(Path::new("/dev/null")).err().expect("no camera");
        assert_eq!(error.text, "/dev/null is no camera; visavis devices lists those there are");
    }

    #[test]
    fn of_any_size_the_wanted_one_is_taken_as_near_as_it_goes() {
        let range = |min_width, max_width, step_width| Stepwise {
            min_width,
            max_width,
            step_width,
            min_height: 16,
            max_height: 480,
            step_height: 16,
        };
        assert_eq!(within(&range(16, 4096, 1)), (1280, 480));
        assert_eq!(within(&range(100, 4096, 500)), (1100, 480));
        assert_eq!(within(&range(2000, 4096, 0)), (2000, 480));
    }
}
