//! X11: the desktop, a monitor of it, or one window, as pictures.

use std::fmt;

use x11rb::protocol::randr::ConnectionExt as _;
use x11rb::protocol::xproto::{ConnectionExt as _, Window};
use x11rb::rust_connection::RustConnection;

use super::convert::from_bgrx;
use super::grab::Grabber;
use super::window::{self, State, Watched};
use super::{Part, Region};
use crate::base::error::{Error, Kind, Result};
use crate::base::pool::ArcPool;
use crate::base::time::{Instant, now};
use crate::media::scale::Scaler;
use crate::media::video::{CapturedPicture, Picture};

/// A desktop is seldom rearranged: looking once a second costs a round trip to the display in thirty pictures.
const LOOK_EVERY: u32 = 30;
/// As many as a test card keeps.
const PICTURES: usize = 10;

/// A screen or a window that is being captured.
pub struct Screen {
    grabber: Grabber,
    shown: Shown,
    region: Region,
    size: (u32, u32),
    /// As it is on the screen, where that is larger than a picture may be.
    whole: Picture,
    scaler: Scaler,
    pool: ArcPool<Picture>,
}

enum Shown {
    /// A monitor or all, the whole desktop's size, and in how many pictures that is looked at again.
    Desktop {
        monitor: Option<u32>,
        desktop: (u16, u16),
        look_in: u32,
    },
    Window(Watched),
}

impl Screen {
    /// What `part` names on the display that `DISPLAY` names.
    ///
    /// # Errors
    /// `Refused` where there is no X11 display or it has another pixel format than eight bits a colour; `Gone` where
    /// there is no such monitor or window (the text names those there are).
    pub fn open(part: &Part) -> Result<Self> {
        Self::open_on(None, part)
    }

    /// The same of the display called `display`.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_on(display: Option<&str>, part: &Part) -> Result<Self> {
        let grabber = Grabber::open(display)?;
        let (connection, root) = (&grabber.connection, grabber.root);
        let (shown, region) = match part {
            Part::Monitor(monitor) => {
                let desktop = desktop(connection, root)?;
                let region = region(connection, root, *monitor, desktop)?.even();
                (Shown::Desktop { monitor: *monitor, desktop, look_in: LOOK_EVERY }, region)
            }
            Part::Window(which) => {
                let mut watched = Watched::open(&grabber, which)?;
                let region = match watched.look(connection, root).map_err(|error| failed(&error))? {
                    State::Shown(_, _, region) => region,
                    // The size comes with the first picture.
                    State::Hidden | State::Closed => Region { x: 0, y: 0, width: 2, height: 2 },
                };
                (Shown::Window(watched), region)
            }
        };
        let (size, pool) = (region.picture_size(), ArcPool::new(PICTURES));
        Ok(Self { grabber, shown, region, size, whole: Picture::default(), scaler: Scaler::default(), pool })
    }

    /// What is to be seen now, `None` where it is the same as before or hidden; `captured` is when the server had handed
    /// it over.
    ///
    /// # Errors
    /// `Reopen` where the display or the monitor is gone, or the window was closed.
    pub fn capture(&mut self, _: Instant) -> Result<Option<CapturedPicture>> {
        let (connection, root) = (&self.grabber.connection, self.grabber.root);
        let reopen = |error: &dyn fmt::Display| {
            Error::new(Kind::Reopen, format!("the screen cannot be captured any more: {error}"))
        };
        let (drawable, part) = match &mut self.shown {
            Shown::Desktop { monitor, desktop: before, look_in } => {
                *look_in -= 1;
                if *look_in == 0 {
                    *look_in = LOOK_EVERY;
                    let size = desktop(connection, root).map_err(|error| reopen(&error))?;
                    if size != *before {
                        *before = size;
                        let region = region(connection, root, *monitor, size);
                        self.region = region.map_err(|error| reopen(&error))?.even();
                    }
                }
                (root, self.region)
            }
            Shown::Window(watched) => match watched.look(connection, root).map_err(|error| reopen(&error))? {
                State::Shown(pixmap, part, region) => {
                    self.region = region;
                    (pixmap, part)
                }
                State::Hidden => return Ok(None),
                State::Closed => {
                    return Err(Error::new(Kind::Reopen, format!("the window {} was closed", watched.title)));
                }
            },
        };
        let bytes = match self.grabber.grab(drawable, part, self.region) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(None),
            Err(error) => match &mut self.shown {
                // The desktop was made smaller, or the window hidden, resized or closed, since it was looked at.
                Shown::Desktop { look_in, .. } if *look_in > 1 => {
                    *look_in = 1;
                    return Ok(None);
                }
                Shown::Window(_) if is_alive(&self.grabber) => return Ok(None),
                _ => return Err(reopen(&error)),
            },
        };
        let captured = now();
        let (whole, scaler) = (&mut self.whole, &mut self.scaler);
        self.size = part.picture_size();
        let (width, height) = self.size;
        let picture = self.pool.take(Picture::default, |picture| {
            if (part.width, part.height) == (width, height) {
                from_bgrx(bytes, width, height, picture);
            } else {
                from_bgrx(bytes, part.width, part.height, whole);
                picture.resize(width, height);
                scaler.scale(whole, picture);
            }
        });
        Ok(Some(CapturedPicture { picture, captured }))
    }

    /// The size of the pictures.
    pub const fn size(&self) -> (u32, u32) {
        self.size
    }

    /// The part of the desktop that the pictures show.
    pub const fn region(&self) -> Region {
        self.region
    }

    /// Whether the server writes into our memory instead of sending.
    pub const fn shares_memory(&self) -> bool {
        self.grabber.shares_memory()
    }
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Screen").field("region", &self.region).field("size", &self.size).finish_non_exhaustive()
    }
}

/// The titles of the windows there are; empty without an X11 display.
pub fn windows() -> Vec<String> {
    let Ok(grabber) = Grabber::open(None) else { return Vec::new() };
    let windows = window::list(&grabber.connection, grabber.root).unwrap_or_default();
    windows.into_iter().map(|(_, title)| title).collect()
}

/// The display still answers.
fn is_alive(grabber: &Grabber) -> bool {
    desktop(&grabber.connection, grabber.root).is_ok()
}

fn failed(error: &dyn fmt::Display) -> Error {
    Error::new(Kind::Refused, format!("the X11 display says no: {error}"))
}

/// The size of the desktop.
fn desktop(connection: &RustConnection, root: Window) -> Result<(u16, u16)> {
    let whole = connection.get_geometry(root).map_err(|error| failed(&error))?.reply();
    let whole = whole.map_err(|error| failed(&error))?;
    Ok((whole.width, whole.height))
}

/// The place of `monitor`, or of all.
fn region(
    connection: &RustConnection,
    root: Window,
    monitor: Option<u32>,
    (width, height): (u16, u16),
) -> Result<Region> {
    let Some(number) = monitor else {
        return Ok(Region { x: 0, y: 0, width: width.into(), height: height.into() });
    };
    let monitors = connection.randr_get_monitors(root, true).map_err(|error| failed(&error))?;
    let monitors = monitors.reply().map_err(|error| failed(&error))?.monitors;
    let found = monitors.get(number as usize).ok_or_else(|| {
        let names: Vec<String> = (0..monitors.len()).map(|n| format!("screen:{n}")).collect();
        Error::new(Kind::Gone, format!("no screen {number}; there are: screen (all), {}", names.join(", ")))
    })?;
    Ok(Region { x: found.x.into(), y: found.y.into(), width: found.width.into(), height: found.height.into() })
}
