//! What a Wayland desktop shows of itself: a screen or a window that the person chooses in a dialogue of the desktop
//! (xdg-desktop-portal's ScreenCast, version 1), whose pictures come through PipeWire. Only with the feature `wayland`.

mod session;
mod stream;

use std::fmt;
use std::thread::JoinHandle;

use session::Session;
use stream::Stopper;

use super::screen::Region;
use crate::base::error::{Error, Kind, Result};
use crate::base::time::{Duration, Instant};
use crate::media::video::CapturedPicture;

/// What the person chose, while it is shared.
pub struct Portal {
    shared: std::sync::Arc<stream::Shared>,
    stopper: Stopper,
    thread: Option<JoinHandle<()>>,
    /// Sharing ends with it.
    _session: Session,
    region: Region,
}

/// The first picture comes at once; a desktop without one has not begun.
const FIRST: Duration = Duration::from_secs(10);

impl Portal {
    /// Asks the desktop, which asks the person, and waits for both.
    ///
    /// # Errors
    /// `Refused` where there is no such desktop, or the person says no; `Reopen` where its pictures do not come.
    pub fn open() -> Result<Self> {
        let (session, remote, node) = Session::open()?;
        let (shared, stopper, thread) = stream::spawn(remote, node)?;
        let mut portal = Self { shared, stopper, thread: Some(thread), _session: session, region: Region::default() };
        let size = portal.shared.wait_for_size(FIRST);
        let (width, height) = size.ok_or_else(|| {
            portal.failure().unwrap_or_else(|| Error::new(Kind::Reopen, "the desktop shares no pictures"))
        })?;
        portal.region = Region { x: 0, y: 0, width, height };
        Ok(portal)
    }

    /// The newest picture that was not taken yet: a desktop gives one where something has changed.
    ///
    /// # Errors
    /// `Reopen` where the desktop or the person has ended it.
    pub fn capture(&mut self, _: Instant) -> Result<Option<CapturedPicture>> {
        if let Some(error) = self.failure() {
            return Err(error);
        }
        let captured = self.shared.latest.take();
        if let Some((width, height)) = self.shared.size() {
            self.region = Region { width, height, ..self.region };
        }
        Ok(captured)
    }

    /// The size of the pictures.
    pub fn size(&self) -> (u32, u32) {
        self.region.picture_size()
    }

    /// What they show, as large as it is there.
    pub const fn region(&self) -> Region {
        self.region
    }

    fn failure(&self) -> Option<Error> {
        self.shared.failure.get().cloned()
    }
}

impl Drop for Portal {
    fn drop(&mut self) {
        self.stopper.stop();
        if let Some(thread) = self.thread.take() {
            // A panic in there has been reported by the hook.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Portal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Portal").field("region", &self.region).finish_non_exhaustive()
    }
}
