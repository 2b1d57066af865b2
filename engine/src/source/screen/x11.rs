//! X11: the server writes the picture into memory that both see (MIT-SHM), or sends it where it cannot.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use x11rb::connection::Connection;
use x11rb::protocol::randr::ConnectionExt as _;
use x11rb::protocol::shm::{ConnectionExt as _, Seg};
use x11rb::protocol::xproto::{ConnectionExt as _, ImageFormat, ImageOrder, Window};
use x11rb::rust_connection::RustConnection;

use super::Region;
use super::convert::from_bgrx;
use crate::base::error::{Error, Kind, Result};
use crate::base::pool::ArcPool;
use crate::base::time::{Instant, now};
use crate::media::scale::Scaler;
use crate::media::video::{CapturedPicture, Picture};

/// A desktop is seldom rearranged: looking once a second costs a round trip to the display in thirty pictures.
const LOOK_EVERY: u32 = 30;
/// As many as a test card keeps.
const PICTURES: usize = 10;

/// A screen that is being captured.
pub struct Screen {
    connection: RustConnection,
    root: Window,
    region: Region,
    /// The whole desktop's size, and in how many pictures it is looked at again.
    desktop: (u16, u16),
    look_in: u32,
    size: (u32, u32),
    memory: Option<Memory>,
    bytes: Vec<u8>,
    /// As it is on the screen, where that is larger than a picture may be.
    whole: Picture,
    scaler: Scaler,
    pool: ArcPool<Picture>,
}

/// Memory that the server writes into. It is read as a file: mapping it would need memory that another process may
/// change under us, and the copy costs less than a millisecond.
struct Memory {
    file: File,
    segment: Seg,
}

impl Screen {
    /// All of the desktop that `DISPLAY` names, or its monitor of that number.
    ///
    /// # Errors
    /// `Refused` where there is no X11 display or it has another pixel format than eight bits a colour; `Gone` where
    /// there is no such monitor (the text names those there are).
    pub fn open(monitor: Option<u32>) -> Result<Self> {
        Self::open_on(None, monitor)
    }

    /// The same of the display called `display`.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_on(display: Option<&str>, monitor: Option<u32>) -> Result<Self> {
        let (connection, root) = connect(display)?;
        let desktop = desktop(&connection, root)?;
        let region = region(&connection, root, monitor, desktop)?.even();
        let bytes = region.width as usize * region.height as usize * 4;
        // A connection on which sharing has failed may not be in order.
        let shared = share(&connection, bytes);
        let (connection, memory) = match shared {
            Ok(memory) => (connection, Some(memory)),
            Err(error) => {
                tracing::debug!(error, "the display shares no memory");
                (connect(display)?.0, None)
            }
        };
        Ok(Self {
            connection,
            root,
            region,
            desktop,
            look_in: LOOK_EVERY,
            size: region.picture_size(),
            memory,
            bytes: vec![0; bytes],
            whole: Picture::default(),
            scaler: Scaler::default(),
            pool: ArcPool::new(PICTURES),
        })
    }

    /// What is on the screen now; `captured` is when the server had handed it over.
    ///
    /// # Errors
    /// `Reopen` where the display is gone or has another size now.
    pub fn capture(&mut self, _: Instant) -> Result<CapturedPicture> {
        self.grab().map_err(|error| {
            Error::new(Kind::Reopen, format!("the screen cannot be captured any more, or has another size: {error}"))
        })?;
        let captured = now();
        let (bytes, whole, scaler, region) = (&self.bytes, &mut self.whole, &mut self.scaler, self.region);
        let (width, height) = self.size;
        let picture = self.pool.take(Picture::default, |picture| {
            if (region.width, region.height) == (width, height) {
                from_bgrx(bytes, width, height, picture);
            } else {
                from_bgrx(bytes, region.width, region.height, whole);
                picture.resize(width, height);
                scaler.scale(whole, picture);
            }
        });
        Ok(CapturedPicture { picture, captured })
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
        self.memory.is_some()
    }

    fn grab(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        self.look_in -= 1;
        if self.look_in == 0 {
            self.look_in = LOOK_EVERY;
            if desktop(&self.connection, self.root)? != self.desktop {
                return Err("the desktop was rearranged".into());
            }
        }
        let Region { x, y, width, height } = self.region;
        let (x, y, width, height) = (x as i16, y as i16, width as u16, height as u16);
        match &self.memory {
            Some(Memory { file, segment }) => {
                let format = u8::from(ImageFormat::Z_PIXMAP);
                let (all, start) = (u32::MAX, 0);
                let image = self
                    .connection
                    .shm_get_image(self.root, x, y, width, height, all, format, *segment, start)?
                    .reply()?;
                let length = self.bytes.len().min(image.size as usize);
                file.read_exact_at(&mut self.bytes[..length], 0)?;
            }
            None => {
                let image =
                    self.connection.get_image(ImageFormat::Z_PIXMAP, self.root, x, y, width, height, u32::MAX)?;
                self.bytes = image.reply()?.data;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Screen").field("region", &self.region).field("size", &self.size).finish()
    }
}

fn connect(display: Option<&str>) -> Result<(RustConnection, Window)> {
    let (connection, number) = RustConnection::connect(display).map_err(|error| {
        Error::new(
            Kind::Refused,
            format!("the screen can be captured on X11 only, and no X11 display answers: {error}"),
        )
    })?;
    let setup = connection.setup();
    let screen = setup.roots.get(number).ok_or_else(|| Error::new(Kind::Refused, "the X11 display has no screen"))?;
    let format = setup.pixmap_formats.iter().find(|format| format.depth == screen.root_depth);
    let fits = |format: &x11rb::protocol::xproto::Format| format.bits_per_pixel == 32 && format.scanline_pad <= 32;
    if screen.root_depth < 24 || !format.is_some_and(fits) || setup.image_byte_order != ImageOrder::LSB_FIRST {
        let text = format!("the screen has {} bits a pixel: only 24 can be captured", screen.root_depth);
        return Err(Error::new(Kind::Refused, text));
    }
    let root = screen.root;
    Ok((connection, root))
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

/// Makes memory of `length` bytes and hands it to the server (MIT-SHM 1.2).
fn share(connection: &RustConnection, length: usize) -> Result<Memory, String> {
    let failed = |error: &dyn fmt::Display| error.to_string();
    let version = connection.shm_query_version().map_err(|error| failed(&error))?;
    let version = version.reply().map_err(|error| failed(&error))?;
    if (version.major_version, version.minor_version) < (1, 2) {
        return Err("MIT-SHM is older than 1.2".into());
    }
    let memory = memfd_create("visavis-screen", MemfdFlags::CLOEXEC).map_err(|error| failed(&error))?;
    ftruncate(&memory, length as u64).map_err(|error| failed(&error))?;
    let theirs = memory.try_clone().map_err(|error| failed(&error))?;
    let segment = connection.generate_id().map_err(|error| failed(&error))?;
    let attached = connection.shm_attach_fd(segment, theirs, false).map_err(|error| failed(&error))?;
    attached.check().map_err(|error| failed(&error))?;
    Ok(Memory { file: memory.into(), segment })
}
