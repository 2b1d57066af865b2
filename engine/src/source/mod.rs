//! Cameras, screens, cards and files: one folder and one enum arm each, each on a named thread that keeps its own pace.

pub mod camera;
mod feed;
pub mod file;
mod pace;
#[cfg(all(feature = "wayland", target_os = "linux"))]
mod portal;
pub mod screen;
mod spec;
pub mod testcard;

use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use crate::base::error::{Error, Kind, Result};
use crate::base::pipe::{Latest, PipeReceiver, PipeSender, Wake, pipe};
use crate::base::time::{Duration, Instant, now};
use crate::media::video::{CapturedPicture, Content};
use feed::Feed;
use pace::Pace;
use screen::{Part, Region};
pub use spec::SourceSpec;

/// A source of pictures, on its own thread or asked in virtual time. Dropping it ends and joins the thread.
#[derive(Debug)]
pub struct VideoSource {
    running: Running,
    /// As a person asks for it.
    name: String,
    size: (u32, u32),
    frame_rate: f32,
    region: Option<Region>,
    content: Content,
    /// Microseconds by which who watches wants pictures taken later.
    shift: Arc<AtomicI32>,
}

#[derive(Debug)]
enum Running {
    Thread {
        shared: Arc<Shared>,
        /// Closed to end the thread.
        stop: Option<PipeSender<()>>,
        began: Instant,
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
    /// What is wrong at present and is waited for, told when that changes.
    trouble: Latest<Option<Error>>,
    /// When the source last answered, in microseconds since it was begun.
    answered: AtomicU64,
}

/// More windows than this nobody finds the right one among.
const MOST_WINDOWS: usize = 40;
/// Without an answer for so long a source stalls: a device or a disk that hangs.
const STALLED: Duration = Duration::from_secs(2);

impl VideoSource {
    /// Opens the source and starts its thread; `wake` is called after each picture.
    ///
    /// # Errors
    /// There is no such file, screen or camera (`Kind::Gone`), the file cannot be read (`Kind::Malformed`), the camera is
    /// taken (`Kind::Reopen`), this system has none (`Kind::Refused`), in one line for a person.
    pub fn spawn(spec: SourceSpec, wake: Wake) -> Result<Self> {
        let name = spec.to_string();
        let (feed, frame_rate) = Feed::open(spec)?;
        let (size, region, began) = (feed.size(), feed.region(), now());
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = pipe::<()>(1);
        let (ours, pace) = (shared.clone(), pace_of(&feed, began, frame_rate));
        let shift = Arc::new(AtomicI32::new(0));
        let wanted = shift.clone();
        let thread = std::thread::Builder::new()
            .name("video-source".to_owned())
            .spawn(move || run(feed, pace, &ours, &wanted, &stopped, &wake))
            .map_err(|error| Error::new(Kind::Retry, format!("cannot start the thread video-source: {error}")))?;
        let running = Running::Thread { shared, stop: Some(stop), began, thread: Some(thread) };
        Ok(Self { running, name, size, frame_rate, region, content: content_of(region), shift })
    }

    /// The same without a thread: [`Self::take`] captures what is due, and waits for a camera.
    ///
    /// # Errors
    /// As [`Self::spawn`].
    pub fn inline(spec: SourceSpec, now: Instant) -> Result<Self> {
        let name = spec.to_string();
        let (feed, frame_rate) = Feed::open(spec)?;
        let (size, region) = (feed.size(), feed.region());
        let running = Running::Inline { pace: pace_of(&feed, now, frame_rate), feed, captured: 0, failure: None };
        Ok(Self { running, name, size, frame_rate, region, content: content_of(region), shift: Arc::default() })
    }

    /// The names of the sources there are, as a person gives them.
    pub fn list() -> Vec<String> {
        let cameras = camera::list().into_iter().map(SourceSpec::Camera);
        let specs = cameras.chain([SourceSpec::TEST_CARD]).map(|spec| spec.to_string());
        let mut names: Vec<String> = specs.collect();
        // Before the card.
        let last = names.len() - 1;
        names.splice(last..last, screen_name().into_iter().chain(portal_name()));
        names
    }

    /// Of them those that show what is on the screen: all of it, and each of its windows, whose display is asked.
    pub fn screens() -> Vec<String> {
        let name = |part| SourceSpec::Screen { part, frame_rate: 0.0 }.to_string();
        let titles = if has_screen() { screen::windows() } else { Vec::new() };
        let windows = titles.into_iter().take(MOST_WINDOWS).map(|title| name(Part::Window(title)));
        let mut names: Vec<String> = screen_name().into_iter().chain(portal_name()).chain(windows).collect();
        // Of windows with the same title the first one is meant.
        let mut seen = std::collections::HashSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names
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
                *captured += u64::from(picture.is_some());
                pace.advance(feed.step(), now);
                pace.shift_towards(self.shift.load(Ordering::Relaxed));
                picture
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

    /// What is wrong with the source and is waited for, and `None` when it is right again; said once when it changes.
    pub fn trouble(&self) -> Option<Option<Error>> {
        match &self.running {
            Running::Thread { shared, .. } => shared.trouble.take(),
            Running::Inline { .. } => None,
        }
    }

    /// The source has not answered for two seconds: a device or a disk hangs.
    pub fn is_stalled(&self, now: Instant) -> bool {
        let Running::Thread { shared, began, .. } = &self.running else { return false };
        let answered = *began + Duration::from_micros(shared.answered.load(Ordering::Relaxed));
        shared.failure.get().is_none() && now.saturating_duration_since(answered) > STALLED
    }

    /// Pictures are to be taken so much later than they would be by themselves, microseconds; a source that keeps a pace of its
    /// own does not follow.
    pub fn set_shift(&self, later_micros: i32) {
        self.shift.store(later_micros, Ordering::Relaxed);
    }

    /// What its pictures are of.
    pub const fn content(&self) -> Content {
        self.content
    }

    /// Its pictures are taken for those of another content: a screen on which a film plays, a source in a call that is replayed.
    pub const fn set_content(&mut self, content: Content) {
        self.content = content;
    }

    /// As a person asks for it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The size of the first picture; later ones may have another.
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

/// A display is named; one that does not answer is said when it is asked for.
fn has_screen() -> bool {
    cfg!(target_os = "linux") && std::env::var_os("DISPLAY").is_some_and(|name| !name.is_empty())
}

/// The whole screen, where there is one.
fn screen_name() -> Option<String> {
    let spec = SourceSpec::Screen { part: Part::Monitor(None), frame_rate: 0.0 };
    has_screen().then(|| spec.to_string())
}

/// What a Wayland desktop lets the person choose, where there is one and this build can ask it.
fn portal_name() -> Option<String> {
    let is_there = std::env::var_os("WAYLAND_DISPLAY").is_some_and(|name| !name.is_empty());
    let spec = SourceSpec::Portal { frame_rate: 0.0 };
    (cfg!(all(feature = "wayland", target_os = "linux")) && is_there).then(|| spec.to_string())
}

/// Screens are read, the rest is watched.
const fn content_of(region: Option<Region>) -> Content {
    if region.is_some() { Content::Text } else { Content::Motion }
}

/// A source that keeps a pace of its own is always due.
fn pace_of(feed: &Feed, start: Instant, frame_rate: f32) -> Pace {
    Pace::new(start, if feed.keeps_own_pace() { f32::INFINITY } else { frame_rate })
}

fn run(mut feed: Feed, mut pace: Pace, shared: &Shared, shift: &AtomicI32, stopped: &PipeReceiver<()>, wake: &Wake) {
    let (began, mut in_trouble) = (now(), false);
    loop {
        let due = feed.not_before().map_or(pace.due(), |at| at.max(pace.due()));
        // Waiting for a picture's time is no stall.
        shared.answered.fetch_max(due.saturating_duration_since(began).as_micros() as u64, Ordering::Relaxed);
        // Nothing is ever sent: the wait ends by time, or at once when the other end is gone.
        let _ = stopped.recv_timeout(due.saturating_duration_since(now()));
        if stopped.is_gone() {
            return;
        }
        let at = now();
        if at < due {
            continue;
        }
        let captured = feed.capture(at);
        pace.shift_towards(shift.load(Ordering::Relaxed));
        shared.answered.fetch_max((now() - began).as_micros() as u64, Ordering::Relaxed);
        if feed.trouble().is_some() != in_trouble {
            in_trouble = !in_trouble;
            shared.trouble.put(feed.trouble().cloned());
        }
        match captured {
            Ok(Some(picture)) => {
                shared.latest.put(picture);
                shared.captured.fetch_add(1, Ordering::Relaxed);
            }
            // Nothing has changed: nobody is woken.
            Ok(None) => {
                pace.advance(feed.step(), at);
                continue;
            }
            Err(error) => {
                let _ = shared.failure.set(error);
                wake.wake();
                return;
            }
        }
        wake.wake();
        pace.advance(feed.step(), at);
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
