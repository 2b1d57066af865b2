//! The marker rig: shows markers in a window and finds them in what a source sees.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::Receiver;
use engine::base::error::{Error, Kind, Result};
use engine::base::time::{Duration, WallTime, now};
use engine::media::marker;
use engine::source::screen::Region;
use engine::source::{SourceSpec, VideoSource};

use super::places::{Area, Painted, Seen};
use super::window;

/// What to measure.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What sees the markers.
    pub source: SourceSpec,
    /// Ends when so many were seen at one place outside of the own window, …
    pub count: u64,
    /// … or after this long.
    pub patience: Duration,
}

/// A screen is looked at as often as a source can be: how late a look comes is part of what is measured.
const LOOKS: f32 = 120.0;

/// Shows and looks until the plan is over, the window is closed or `stop` is told. `progress` is called now and then. Has
/// to be called on the main thread.
///
/// # Errors
/// `Gone` where there is no such source; `Reopen` and `Refused` where it cannot be used, or a window cannot be shown.
pub fn measure(plan: &Plan, stop: &Receiver<()>, progress: impl FnMut(&Seen)) -> Result<Seen> {
    let mut spec = plan.source.clone();
    if let SourceSpec::Screen { frame_rate, .. } = &mut spec {
        *frame_rate = LOOKS;
    }
    let source = VideoSource::inline(spec, now())?;
    let shared = Arc::new(Shared::default());
    let needs_place = source.region().is_some();
    let watcher = watch(source, shared.clone())?;
    let shown = window::show(plan, &shared, needs_place, stop, progress);
    shared.over.store(true, Ordering::Relaxed);
    watcher.join().map_err(|_| Error::new(Kind::Gone, "the watcher of the source panicked"))?;
    shown?;
    let mut state = shared.lock();
    match state.failure.take() {
        Some(error) => Err(error),
        None => Ok(std::mem::take(&mut state.seen)),
    }
}

/// What the window and the watcher tell each other.
#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// The watcher has to end.
    over: AtomicBool,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) painted: Painted,
    /// Where the window's content is, in pixels of the desktop.
    pub(super) window: Area,
    pub(super) seen: Seen,
    /// Why the source has ended.
    pub(super) failure: Option<Error>,
}

impl Shared {
    /// Whoever panicked has left whole figures behind.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn watch(mut source: VideoSource, shared: Arc<Shared>) -> Result<JoinHandle<()>> {
    let look = move || {
        while !shared.over.load(Ordering::Relaxed) {
            if let Some(due) = source.next_due() {
                std::thread::sleep(due.saturating_duration_since(now()));
            }
            let picture = source.take(now());
            if let Some(error) = source.failure() {
                shared.lock().failure = Some(error.clone());
                return;
            }
            let Some(captured) = picture else { continue };
            let picture = &captured.picture;
            let found = marker::find(&picture.y, picture.width as usize, picture.width, picture.height);
            let mut state = shared.lock();
            let State { painted, window, seen, .. } = &mut *state;
            let own = source.region().map(|region| in_picture(*window, region, (picture.width, picture.height)));
            seen.look(&found, WallTime::of(captured.captured), painted, own);
        }
    };
    let thread = std::thread::Builder::new().name("watcher".into()).spawn(look);
    thread.map_err(|error| Error::new(Kind::Retry, format!("cannot start the thread watcher: {error}")))
}

/// Where an area of the desktop is in the picture of a part of it.
fn in_picture(area: Area, region: Region, (width, height): (u32, u32)) -> Area {
    let across = width as f32 / region.width.max(1) as f32;
    let down = height as f32 / region.height.max(1) as f32;
    Area {
        x: (area.x - region.x as f32) * across,
        y: (area.y - region.y as f32) * down,
        width: area.width * across,
        height: area.height * down,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_found_in_a_scaled_picture_of_its_monitor() {
        let window = Area { x: 2000.0, y: 100.0, width: 400.0, height: 200.0 };
        let monitor = Region { x: 1920, y: 0, width: 3840, height: 2160 };
        let place = in_picture(window, monitor, (1920, 1080));
        assert_eq!(place, Area { x: 40.0, y: 50.0, width: 200.0, height: 100.0 });
    }
}
