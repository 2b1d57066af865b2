//! A camera behind its driver: what is asked of it, and what becomes of its pictures.

use std::io;

use super::convert::{from_jpeg, from_yuyv};
use super::negotiate::{Form, Offer, choose};
use super::steady::Pictures;
use crate::base::error::{Error, Kind, Result};
use crate::base::pool::ArcPool;
use crate::base::time::now;
use crate::media::video::{CapturedPicture, Picture};

/// The questions that a camera's driver answers.
pub(super) trait Driver {
    /// The kinds of pictures that there are.
    fn offers(&mut self) -> io::Result<Vec<Offer>>;
    /// Asks for one of them; a driver may give another one.
    fn set(&mut self, offer: &Offer) -> io::Result<Given>;
    /// Begins to capture.
    fn begin(&mut self) -> io::Result<()>;
    /// Waits for the next picture. Its bytes are the driver's, until the next call.
    fn next(&mut self) -> io::Result<&[u8]>;
}

/// What a driver gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Given {
    pub(super) offer: Offer,
    /// Bytes from one row to the next, where the picture is not compressed.
    pub(super) stride: u32,
}

/// As many as a test card keeps.
const PICTURES: usize = 10;
/// Where a camera does not say.
const RATE: f32 = 30.0;
/// Single pictures break on the way; a camera of which a second is broken is.
const MOST_BROKEN: u32 = 30;

/// A camera that is read.
pub(super) struct Reader<D> {
    driver: D,
    name: String,
    form: Form,
    given: Given,
    scratch: Vec<u8>,
    pool: ArcPool<Picture>,
}

impl<D: Driver> Reader<D> {
    /// Asks the driver of the camera called `name` for the best that it has, and begins.
    ///
    /// # Errors
    /// `Reopen` where another program has it, or it fails; `Refused` where it has no form of picture that can be read.
    pub(super) fn begin(mut driver: D, name: String) -> Result<Self> {
        let failed = |what: &str, error: &io::Error| {
            let busy = error.raw_os_error() == Some(rustix::io::Errno::BUSY.raw_os_error());
            let hint = if busy { "another program has it" } else { what };
            Error::new(Kind::Reopen, format!("the camera {name} cannot be used: {hint} ({error})"))
        };
        let refused = |what: &str| Error::new(Kind::Refused, format!("the camera {name} has {what} to offer"));
        let offers = driver.offers().map_err(|error| failed("it lists no formats", &error))?;
        let none = || {
            let is_read = offers.iter().any(|offer| Form::of(offer.code).is_some());
            refused(if is_read { "no picture of up to 1920×1920" } else { "neither motion JPEG nor YUYV" })
        };
        let (offer, _) = choose(&offers).ok_or_else(none)?;
        let given = driver.set(&offer).map_err(|error| failed("it takes no format", &error))?;
        // Drivers may give another form or size than they were asked for, and say so.
        let (_, form) = choose(&[given.offer]).ok_or_else(|| refused("no picture of up to 1920×1920"))?;
        driver.begin().map_err(|error| failed("it gives no memory", &error))?;
        Ok(Self { driver, name, form, given, scratch: Vec::new(), pool: ArcPool::new(PICTURES) })
    }
}

impl<D: Driver> Pictures for Reader<D> {
    /// `captured` is when the driver had it. A broken one is left out.
    fn capture(&mut self) -> Result<CapturedPicture> {
        let Self { driver, name, form, given: Given { offer, stride }, scratch, pool } = self;
        for _ in 0..MOST_BROKEN {
            let bytes = driver.next().map_err(|error| {
                Error::new(Kind::Reopen, format!("the camera {name} gives no more pictures: {error}"))
            })?;
            let captured = now();
            let stride = (*stride).max(offer.width * 2) as usize;
            let mut whole = Ok(());
            let picture = pool.take(Picture::default, |picture| {
                whole = match form {
                    Form::Jpeg => from_jpeg(bytes, scratch, picture),
                    Form::Yuyv => {
                        from_yuyv(bytes, stride, offer.width, offer.height, picture).ok_or_else(|| "cut short".into())
                    }
                };
            });
            match whole {
                Ok(()) => return Ok(CapturedPicture { picture, captured }),
                Err(error) => tracing::debug!(error, "a broken picture"),
            }
        }
        Err(Error::new(Kind::Reopen, format!("the camera {name} gives broken pictures only")))
    }

    fn size(&self) -> (u32, u32) {
        (self.given.offer.width, self.given.offer.height)
    }

    fn frame_rate(&self) -> f32 {
        self.given.offer.rate.unwrap_or(RATE)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// What was asked of a driver and what it said, in order. Another question than the next one ends the test.
    struct Exchange(VecDeque<Step>, Vec<u8>);

    enum Step {
        Offers(Vec<Offer>),
        Set(Offer, io::Result<Given>),
        Begin(io::Result<()>),
        Next(io::Result<Vec<u8>>),
    }

    impl Driver for Exchange {
        fn offers(&mut self) -> io::Result<Vec<Offer>> {
            match self.0.pop_front() {
                Some(Step::Offers(offers)) => Ok(offers),
                _ => panic!("offers were not asked for then"),
            }
        }

        fn set(&mut self, offer: &Offer) -> io::Result<Given> {
            match self.0.pop_front() {
                Some(Step::Set(asked, answer)) => {
                    assert_eq!(*offer, asked);
                    answer
                }
                _ => panic!("nothing was set then"),
            }
        }

        fn begin(&mut self) -> io::Result<()> {
            match self.0.pop_front() {
                Some(Step::Begin(answer)) => answer,
                _ => panic!("it did not begin then"),
            }
        }

        fn next(&mut self) -> io::Result<&[u8]> {
            match self.0.pop_front() {
                Some(Step::Next(answer)) => {
                    self.1 = answer?;
                    Ok(&self.1)
                }
                _ => panic!("no picture was taken then"),
            }
        }
    }

    const fn offer(code: &[u8; 4], width: u32, height: u32, rate: Option<f32>) -> Offer {
        Offer { code: *code, width, height, rate }
    }

    fn system(errno: rustix::io::Errno) -> io::Error {
        io::Error::from_raw_os_error(errno.raw_os_error())
    }

    fn begin(steps: Vec<Step>) -> Result<Reader<Exchange>> {
        Reader::begin(Exchange(steps.into(), Vec::new()), "/dev/video0".into())
    }

    #[test]
    fn a_camera_is_asked_and_read_as_its_driver_answers() {
        let yuyv = offer(b"YUYV", 32, 16, Some(30.0));
        // Rows with padding behind them; then one cut short, as after a lost USB packet; then the end.
        let row = [[90, 128, 91, 128].repeat(16), vec![0; 8]].concat();
        let mut camera = begin(vec![
            Step::Offers(vec![offer(b"H264", 1920, 1080, Some(30.0)), yuyv]),
            Step::Set(yuyv, Ok(Given { offer: offer(b"YUYV", 32, 16, Some(25.0)), stride: 72 })),
            Step::Begin(Ok(())),
            Step::Next(Ok(row.repeat(16))),
            Step::Next(Ok(row.repeat(3))),
            Step::Next(Ok(row.repeat(16))),
            Step::Next(Err(system(rustix::io::Errno::NODEV))),
        ])
        .expect("a camera");
        assert_eq!((camera.size(), camera.frame_rate()), ((32, 16), 25.0));
        for _ in 0..2 {
            let captured = camera.capture().expect("a whole picture");
            assert_eq!((captured.picture.y[0], captured.picture.y[31], captured.picture.u[0]), (90, 91, 128));
        }
        let error = camera.capture().expect_err("unplugged");
        assert_eq!(error.kind, Kind::Reopen);
        assert!(error.text.starts_with("the camera /dev/video0 gives no more pictures: "), "{error}");
        assert!(camera.driver.0.is_empty());
    }

    #[test]
    fn what_a_driver_refuses_is_said_in_one_line() {
        let jpeg = offer(b"MJPG", 1280, 720, Some(30.0));
        let set = |answer| vec![Step::Offers(vec![jpeg]), Step::Set(jpeg, answer)];
        let given = |offer| Given { offer, stride: 0 };
        for (steps, kind, text) in [
            (vec![Step::Offers(vec![])], Kind::Refused, "neither motion JPEG nor YUYV"),
            (vec![Step::Offers(vec![offer(b"MJPG", 3840, 2160, None)])], Kind::Refused, "no picture of up to"),
            (set(Err(system(rustix::io::Errno::BUSY))), Kind::Reopen, "another program has it"),
            (set(Ok(given(offer(b"NV12", 640, 480, None)))), Kind::Refused, "no picture of up to"),
            (
                [set(Ok(given(jpeg))), vec![Step::Begin(Err(system(rustix::io::Errno::NOMEM)))]]
                    .into_iter()
                    .flatten()
                    .collect(),
                Kind::Reopen,
                "it gives no memory",
            ),
        ] {
            let error = begin(steps).err().expect(text);
            assert!(error.kind == kind && error.text.contains(text) && !error.text.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_camera_that_only_sends_broken_pictures_is_given_up() {
        let jpeg = offer(b"MJPG", 1280, 720, None);
        let mut steps =
            vec![Step::Offers(vec![jpeg]), Step::Set(jpeg, Ok(Given { offer: jpeg, stride: 0 })), Step::Begin(Ok(()))];
        steps.extend((0..MOST_BROKEN).map(|_| Step::Next(Ok(vec![0xff, 0xd8, 0xff]))));
        let mut camera = begin(steps).expect("a camera");
        assert_eq!(camera.frame_rate(), RATE, "it said nothing of rates");
        assert!(camera.capture().expect_err("broken").text.contains("broken pictures only"));
    }
}
