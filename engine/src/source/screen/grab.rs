//! Pixels from an X11 display: the server writes them into memory that both see (MIT-SHM), or sends them where it cannot.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use x11rb::connection::Connection;
use x11rb::protocol::shm::{ConnectionExt as _, Seg};
use x11rb::protocol::xfixes::{ConnectionExt as _, GetCursorImageReply};
use x11rb::protocol::xproto::{ConnectionExt as _, Drawable, Format, ImageFormat, ImageOrder, Window};
use x11rb::rust_connection::RustConnection;

use super::Region;
use super::cursor;
use crate::base::error::{Error, Kind, Result};

/// A connection to a display and what was last on a part of it.
pub(super) struct Grabber {
    pub(super) connection: RustConnection,
    pub(super) root: Window,
    memory: Option<Memory>,
    /// The server says where its pointer is.
    has_cursor: bool,
    bytes: Vec<u8>,
    before: Vec<u8>,
}

/// Memory that the server writes into. It is read as a file, which copies it: mapping it would need memory that another
/// process may change under us, and the copy costs less than a millisecond. What was read is compared with the picture
/// before, so that a screen on which nothing happens costs no more than that.
struct Memory {
    file: File,
    segment: Seg,
    length: usize,
}

type Failed = Box<dyn std::error::Error>;

impl Grabber {
    /// Connects to the display called `display`, or to the one in the environment.
    ///
    /// # Errors
    /// `Refused` where none answers, or it has another pixel format than eight bits a colour.
    pub(super) fn open(display: Option<&str>) -> Result<Self> {
        let (connection, root) = connect(display)?;
        // A connection on which sharing has failed may not be in order.
        let (connection, memory) = match share(&connection, 4) {
            Ok(memory) => (connection, Some(memory)),
            Err(error) => {
                tracing::debug!(error, "the display shares no memory");
                (connect(display)?.0, None)
            }
        };
        let version = connection.xfixes_query_version(4, 0).ok().and_then(|cookie| cookie.reply().ok());
        let has_cursor = version.is_some_and(|version| version.major_version >= 1);
        Ok(Self { connection, root, memory, has_cursor, bytes: Vec::new(), before: Vec::new() })
    }

    pub(super) const fn shares_memory(&self) -> bool {
        self.memory.is_some()
    }

    /// What `drawable` shows at `part` of it, with the pointer, which is drawn where that part of it lies on the desktop.
    /// Blue, green, red and an unused byte for each pixel. `None` where it is the same as before.
    pub(super) fn grab(&mut self, drawable: Drawable, part: Region, place: Region) -> Result<Option<&[u8]>, Failed> {
        let length = part.width as usize * part.height as usize * 4;
        std::mem::swap(&mut self.bytes, &mut self.before);
        self.bytes.resize(length, 0);
        if self.memory.as_ref().is_some_and(|memory| memory.length < length) {
            let larger = share(&self.connection, length)?;
            if let Some(before) = self.memory.replace(larger) {
                self.connection.shm_detach(before.segment)?;
            }
        }
        let (x, y, width, height) = (part.x as i16, part.y as i16, part.width as u16, part.height as u16);
        // Both questions go out before an answer is waited for.
        let cursor = if self.has_cursor { Some(self.connection.xfixes_get_cursor_image()?) } else { None };
        match &self.memory {
            Some(Memory { file, segment, .. }) => {
                let (format, all, start) = (u8::from(ImageFormat::Z_PIXMAP), u32::MAX, 0);
                let image =
                    self.connection.shm_get_image(drawable, x, y, width, height, all, format, *segment, start)?;
                let length = self.bytes.len().min(image.reply()?.size as usize);
                file.read_exact_at(&mut self.bytes[..length], 0)?;
            }
            None => {
                let image =
                    self.connection.get_image(ImageFormat::Z_PIXMAP, drawable, x, y, width, height, u32::MAX)?;
                self.bytes = image.reply()?.data;
                self.bytes.resize(length, 0);
            }
        }
        if let Some(GetCursorImageReply { x, y, width, xhot, yhot, cursor_image, .. }) =
            cursor.and_then(|cookie| cookie.reply().ok())
        {
            let at = (i32::from(x) - i32::from(xhot) - place.x, i32::from(y) - i32::from(yhot) - place.y);
            cursor::draw(&mut self.bytes, part.width as usize, at, &cursor_image, width.into());
        }
        Ok((self.bytes != self.before).then_some(&self.bytes[..]))
    }

    /// Whether pixels of `depth` bits lie in four bytes.
    pub(super) fn is_readable(&self, depth: u8) -> bool {
        is_readable(&self.connection, depth)
    }
}

fn is_readable(connection: &RustConnection, depth: u8) -> bool {
    let setup = connection.setup();
    let fits = |format: &Format| format.depth == depth && format.bits_per_pixel == 32 && format.scanline_pad <= 32;
    depth >= 24 && setup.pixmap_formats.iter().any(fits) && setup.image_byte_order == ImageOrder::LSB_FIRST
}

fn connect(display: Option<&str>) -> Result<(RustConnection, Window)> {
    let (connection, number) = RustConnection::connect(display).map_err(|error| {
        Error::new(
            Kind::Refused,
            format!("the screen can be captured on X11 only, and no X11 display answers: {error}"),
        )
    })?;
    let screen = connection.setup().roots.get(number);
    let screen = screen.ok_or_else(|| Error::new(Kind::Refused, "the X11 display has no screen"))?;
    let (root, depth) = (screen.root, screen.root_depth);
    if !is_readable(&connection, depth) {
        let text = format!("the screen has {depth} bits a pixel: only 24 can be captured");
        return Err(Error::new(Kind::Refused, text));
    }
    Ok((connection, root))
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
    Ok(Memory { file: memory.into(), segment, length })
}
