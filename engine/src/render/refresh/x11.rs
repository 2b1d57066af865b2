//! Refreshes as an X11 display tells of them (the extension Present, version 1.0: NotifyMSC).

use std::fmt;

use x11rb::connection::{Connection, RequestConnection};
use x11rb::protocol::Event;
use x11rb::protocol::present::{self, CompleteKind, ConnectionExt as _, EventMask};
use x11rb::protocol::xproto::Window;
use x11rb::rust_connection::RustConnection;

use super::Refreshes;
use crate::base::time::{Duration, Instant, of_monotonic};
use crate::media::phase::Refresh;

/// Asks the display for the refreshes of the screen that a window is on, over a connection of its own and without waiting.
pub struct RefreshWatcher {
    connection: RustConnection,
    window: Window,
    /// When it was asked last, and whether the answer is still to come.
    asked: Option<Instant>,
    waiting: bool,
    refreshes: Refreshes,
}

/// The display is asked ten times a second.
const APART: Duration = Duration::from_millis(100);
/// An answer that has not come by then does not come any more.
const LOST: Duration = Duration::from_secs(2);

impl RefreshWatcher {
    /// Watches the screen of `window` on the display called `display`, or on the one in the environment. `None` where none
    /// answers, or it does not tell of refreshes.
    pub fn open(display: Option<&str>, window: Window) -> Option<Self> {
        let connection = match RustConnection::connect(display) {
            Ok((connection, _)) => connection,
            Err(error) => {
                tracing::debug!(%error, "no X11 display tells of its refreshes");
                return None;
            }
        };
        connection.extension_information(present::X11_EXTENSION_NAME).ok().flatten()?;
        connection.present_query_version(1, 0).ok()?.reply().ok()?;
        let events = connection.generate_id().ok()?;
        let selected = connection.present_select_input(events, window, EventMask::COMPLETE_NOTIFY).ok()?;
        selected.check().ok()?;
        Some(Self { connection, window, asked: None, waiting: false, refreshes: Refreshes::default() })
    }

    /// The refresh at which what is presented at `at` is seen, as far as they are known; asks for further ones.
    pub fn after(&mut self, at: Instant) -> Option<Refresh> {
        // An answer is a moment on the machine's clock, by which it is told as late as anybody looks.
        while let Ok(Some(event)) = self.connection.poll_for_event() {
            if let Event::PresentCompleteNotify(event) = event
                && event.kind == CompleteKind::NOTIFY_MSC
            {
                self.waiting = false;
                if let Some(told) = of_monotonic(event.ust) {
                    self.refreshes.observe(event.msc, told);
                }
            }
        }
        let since = self.asked.map_or(Duration::MAX, |asked| at.saturating_duration_since(asked));
        if since >= if self.waiting { LOST } else { APART } {
            // At the next refresh. A display that is gone takes the window with it: nothing is to be done about that here.
            let asked = self.connection.present_notify_msc(self.window, 0, 0, 1, 0).is_ok();
            self.waiting = asked && self.connection.flush().is_ok();
            self.asked = Some(at);
        }
        self.refreshes.after(at)
    }
}

impl fmt::Debug for RefreshWatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshWatcher").field("window", &self.window).finish_non_exhaustive()
    }
}
