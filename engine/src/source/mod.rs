//! Cameras, screens, cards and files: one folder and one enum arm each, each on a named thread that keeps its own pace.

pub mod camera;
pub mod file;
pub mod screen;
mod spec;
pub mod testcard;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use crate::base::error::{Error, Kind, Result};
use crate::base::pipe::{Latest, PipeReceiver, PipeSender, Wake, pipe};
use crate::base::time::{Duration, Instant, now};
use crate::media::video::CapturedPicture;
use camera::Camera;
use file::FileSource;
use screen::{Region, Screen};
pub use spec::SourceSpec;
use testcard::TestCard;

/// A source of pictures, on its own thread or asked in virtual time. Dropping it ends and joins the thread.
#[derive(Debug)]
pub struct VideoSource {
    running: Running,
    size: (u32, u32),
    frame_rate: f32,
    region: Option<Region>,
}

#[derive(Debug)]
enum Running {
    Thread {
        shared: Arc<Shared>,
        /// Closed to end the thread.
        stop: Option<PipeSender<()>>,
        thread: Option<JoinHandle<()>>,
    },
    Inline {
        feed: Feed,
        pace: Pace,
        captured: u64,
        failure: Option<Error>,
    },
}

#[derive(Debug, Default)]
struct Shared {
    latest: Latest<CapturedPicture>,
    captured: AtomicU64,
    failure: OnceLock<Error>,
}

/// The kinds of sources.
#[derive(Debug)]
enum Feed {
    TestCard(Box<TestCard>),
    File(Box<FileSource>),
    Screen(Box<Screen>),
    Camera(Box<Camera>),
}

impl Feed {
    /// The feed and its rate, which is the file's or the camera's where there is one.
    fn open(spec: SourceSpec) -> Result<(Self, f32)> {
        let (feed, frame_rate) = match spec {
            SourceSpec::TestCard { width, height, frame_rate } => {
                (Self::TestCard(Box::new(TestCard::new(width, height, frame_rate))), frame_rate)
            }
            SourceSpec::File(path) => {
                let file = FileSource::open(&path)?;
                let frame_rate = file.frame_rate();
                (Self::File(Box::new(file)), frame_rate)
            }
            SourceSpec::Screen { monitor, frame_rate } => (Self::Screen(Box::new(Screen::open(monitor)?)), frame_rate),
            SourceSpec::Camera(number) => {
                let camera = Camera::open(number)?;
                let frame_rate = camera.frame_rate();
                (Self::Camera(Box::new(camera)), frame_rate)
            }
        };
        // A rate outside of this is a broken file or a slip of the hand, and would spin or never draw.
        Ok((feed, frame_rate.clamp(1.0, 120.0)))
    }

    fn capture(&mut self, at: Instant) -> Result<CapturedPicture> {
        match self {
            Self::TestCard(card) => Ok(card.draw(at)),
            Self::File(file) => file.next(at),
            Self::Screen(screen) => screen.capture(at),
            Self::Camera(camera) => camera.capture(at),
        }
    }

    fn size(&self) -> (u32, u32) {
        match self {
            Self::TestCard(card) => card.size(),
            Self::File(file) => file.size(),
            Self::Screen(screen) => screen.size(),
            Self::Camera(camera) => camera.size(),
        }
    }

    fn region(&self) -> Option<Region> {
        match self {
            Self::Screen(screen) => Some(screen.region()),
            _ => None,
        }
    }

    /// A camera has a clock of its own: capturing waits for its next picture. Waiting before that as well would let a
    /// picture grow old.
    const fn keeps_own_pace(&self) -> bool {
        matches!(self, Self::Camera(_))
    }
}

impl VideoSource {
    /// Opens the source and starts its thread; `wake` is called after each picture.
    ///
    /// # Errors
    /// There is no such file, screen or camera (`Kind::Gone`), the file cannot be read (`Kind::Malformed`), the camera is
    /// taken (`Kind::Reopen`), this system has none (`Kind::Refused`), in one line for a person.
    pub fn spawn(spec: SourceSpec, wake: Wake) -> Result<Self> {
        let (feed, frame_rate) = Feed::open(spec)?;
        let (size, region) = (feed.size(), feed.region());
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = pipe::<()>(1);
        let (ours, pace) = (shared.clone(), Pace::new(&feed, now(), frame_rate));
        let thread = std::thread::Builder::new()
            .name("video-source".to_owned())
            .spawn(move || run(feed, pace, &ours, &stopped, &wake))
            .map_err(|error| Error::new(Kind::Retry, format!("cannot start the thread video-source: {error}")))?;
        let running = Running::Thread { shared, stop: Some(stop), thread: Some(thread) };
        Ok(Self { running, size, frame_rate, region })
    }

    /// The same without a thread: [`Self::take`] captures what is due, and waits for a camera.
    ///
    /// # Errors
    /// As [`Self::spawn`].
    pub fn inline(spec: SourceSpec, now: Instant) -> Result<Self> {
        let (feed, frame_rate) = Feed::open(spec)?;
        let (size, region) = (feed.size(), feed.region());
        let pace = Pace::new(&feed, now, frame_rate);
        Ok(Self { running: Running::Inline { feed, pace, captured: 0, failure: None }, size, frame_rate, region })
    }

    /// The names of the sources there are, as a person gives them.
    pub fn list() -> Vec<String> {
        let cameras = camera::list().into_iter().map(SourceSpec::Camera);
        let screen = SourceSpec::Screen { monitor: None, frame_rate: 0.0 };
        // A display that is named and does not answer is said when it is asked for.
        let has_screen = cfg!(target_os = "linux") && std::env::var_os("DISPLAY").is_some_and(|name| !name.is_empty());
        let specs = cameras.chain(has_screen.then_some(screen)).chain([SourceSpec::TEST_CARD]);
        specs.map(|spec| spec.to_string()).collect()
    }

    /// The newest picture that was not taken yet.
    pub fn take(&mut self, now: Instant) -> Option<CapturedPicture> {
        match &mut self.running {
            Running::Thread { shared, .. } => shared.latest.take(),
            Running::Inline { feed, pace, captured, failure } => {
                if failure.is_some() || now < pace.due() {
                    return None;
                }
                let picture = feed.capture(now).map_err(|error| *failure = Some(error)).ok()?;
                *captured += 1;
                pace.advance(now);
                Some(picture)
            }
        }
    }

    /// When the next picture is due, in virtual time; `None` where a thread's wake says so.
    pub fn next_due(&self) -> Option<Instant> {
        match &self.running {
            Running::Thread { .. } => None,
            Running::Inline { pace, failure, .. } => failure.is_none().then(|| pace.due()),
        }
    }

    /// Pictures captured so far.
    pub fn captured_count(&self) -> u64 {
        match &self.running {
            Running::Thread { shared, .. } => shared.captured.load(Ordering::Relaxed),
            Running::Inline { captured, .. } => *captured,
        }
    }

    /// Why the source ended by itself; `None` while it runs.
    pub fn failure(&self) -> Option<&Error> {
        match &self.running {
            Running::Thread { shared, .. } => shared.failure.get(),
            Running::Inline { failure, .. } => failure.as_ref(),
        }
    }

    pub const fn size(&self) -> (u32, u32) {
        self.size
    }

    pub const fn frame_rate(&self) -> f32 {
        self.frame_rate
    }

    /// The part of the desktop that a screen's pictures show; `None` for other sources.
    pub const fn region(&self) -> Option<Region> {
        self.region
    }
}

impl Drop for VideoSource {
    fn drop(&mut self) {
        let Running::Thread { stop, thread, .. } = &mut self.running else { return };
        *stop = None;
        if let Some(thread) = thread.take() {
            // A panic in there has been reported by the hook; the source is gone either way.
            let _ = thread.join();
        }
    }
}

/// Absolute deadlines: picture n is due at start + n / rate, however late the ones before it were.
#[derive(Clone, Copy, Debug)]
struct Pace {
    start: Instant,
    /// Infinite for a source that keeps a pace of its own: it is always due.
    frame_rate: f32,
    number: u64,
}

impl Pace {
    fn new(feed: &Feed, start: Instant, frame_rate: f32) -> Self {
        Self { start, frame_rate: if feed.keeps_own_pace() { f32::INFINITY } else { frame_rate }, number: 0 }
    }

    fn due(&self) -> Instant {
        self.start + Duration::from_secs_f64(self.number as f64 / f64::from(self.frame_rate))
    }

    /// Goes on to the next deadline; those that a stall has passed are left out.
    fn advance(&mut self, now: Instant) {
        if self.frame_rate.is_infinite() {
            return;
        }
        let passed = now.saturating_duration_since(self.start).as_secs_f64() * f64::from(self.frame_rate);
        self.number = (self.number + 1).max(passed.floor() as u64);
    }
}

fn run(mut feed: Feed, mut pace: Pace, shared: &Shared, stopped: &PipeReceiver<()>, wake: &Wake) {
    loop {
        // Nothing is ever sent: the wait ends by time, or at once when the other end is gone.
        let _ = stopped.recv_timeout(pace.due().saturating_duration_since(now()));
        if stopped.is_gone() {
            return;
        }
        let at = now();
        if at < pace.due() {
            continue;
        }
        match feed.capture(at) {
            Ok(picture) => {
                shared.latest.put(picture);
                shared.captured.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                let _ = shared.failure.set(error);
                wake.wake();
                return;
            }
        }
        wake.wake();
        pace.advance(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::marker;

    #[test]
    fn cards_come_at_their_rate_stamped_as_painted() {
        let card = SourceSpec::TestCard { width: 320, height: 180, frame_rate: 100.0 };
        let mut source = VideoSource::spawn(card, Wake::none()).expect("a card");
        let deadline = now() + Duration::from_secs(20);
        let mut taken: Vec<CapturedPicture> = Vec::new();
        while taken.len() < 10 {
            assert!(now() < deadline, "{} pictures", taken.len());
            match source.take(now()) {
                Some(picture) => taken.push(picture),
                None => std::thread::yield_now(),
            }
        }
        for card in &taken {
            let found = marker::read(&card.picture.y, 320, 320, 180).expect("readable");
            assert_eq!(found.drawn, crate::base::time::WallTime::of(card.captured));
        }
        let shown = taken[9].captured - taken[0].captured;
        assert!(shown >= Duration::from_millis(80), "nine gaps of 10 ms: {shown:?}");
        assert!(source.captured_count() >= 10);
        assert!(source.failure().is_none());
    }

    #[test]
    fn deadlines_do_not_drift_and_a_stall_is_no_burst() {
        let start = now();
        let mut pace = Pace { start, frame_rate: 30.0, number: 0 };
        for _ in 0..3000 {
            pace.advance(pace.due() + Duration::from_millis(3));
        }
        assert!((pace.due() - start).abs_diff(Duration::from_secs(100)) < Duration::from_micros(1));
        pace.advance(start + Duration::from_millis(101_020));
        assert_eq!(pace.number, 3030);
    }

    #[test]
    fn in_virtual_time_a_picture_comes_when_it_is_due() {
        let start = now();
        let card = SourceSpec::TestCard { width: 320, height: 180, frame_rate: 50.0 };
        let mut source = VideoSource::inline(card, start).expect("a card");
        assert_eq!(source.next_due(), Some(start));
        assert_eq!(source.take(start).map(|picture| picture.captured), Some(start));
        assert!(source.take(start).is_none());
        let due = source.next_due().expect("another one");
        assert!((due - start).abs_diff(Duration::from_millis(20)) < Duration::from_micros(1));
        assert!(source.take(due - Duration::from_micros(1)).is_none());
        assert!(source.take(due).is_some());
        assert_eq!(source.captured_count(), 2);
    }

    #[test]
    fn a_missing_file_is_said_in_one_line() {
        let error = VideoSource::spawn(SourceSpec::File("/nowhere/a.y4m".into()), Wake::none()).expect_err("not there");
        assert_eq!(error.kind, Kind::Gone);
        assert!(error.text.starts_with("cannot open /nowhere/a.y4m: "), "{error}");
    }
}
