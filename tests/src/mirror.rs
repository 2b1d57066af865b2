//! Shows a part of a display again, elsewhere on it and late by a known time: a program under test that is known.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use engine::base::time::{Instant, now};
use x11rb::COPY_DEPTH_FROM_PARENT;
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{ConnectionExt, CreateGCAux, CreateWindowAux, ImageFormat, Rectangle, WindowClass};
use x11rb::rust_connection::RustConnection;

use crate::Outcome;
use crate::display::Display;

/// A window that mirrors. Dropping it closes it.
pub struct Mirror {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Outcome<()>>>,
}

/// How often it looks.
const PERIOD: Duration = Duration::from_millis(10);

impl Mirror {
    /// Shows what `part` of `display` shows, `delay` later, in a window with its corner at `to`.
    ///
    /// # Errors
    /// The display cannot be asked.
    pub fn start(display: &Display, part: Rectangle, to: (i16, i16), delay: Duration) -> Outcome<Self> {
        let (connection, screen) = RustConnection::connect(Some(display.name())).map_err(|error| error.to_string())?;
        let root = connection.setup().roots.get(screen).ok_or("no screen")?.root;
        let over = Arc::new(AtomicBool::new(false));
        let told = over.clone();
        let mirror = move || mirror(&connection, root, part, to, delay, &told).map_err(|error| error.to_string());
        let thread = std::thread::Builder::new().name("mirror".into()).spawn(mirror);
        Ok(Self { over, thread: Some(thread.map_err(|error| error.to_string())?) })
    }

    /// Closes the window.
    ///
    /// # Errors
    /// Why it has ended by itself.
    pub fn close(mut self) -> Outcome<()> {
        self.end()
    }

    fn end(&mut self) -> Outcome<()> {
        self.over.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().map_err(|_| "the mirror panicked".to_owned())?
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

fn mirror(
    connection: &RustConnection,
    root: u32,
    part: Rectangle,
    (x, y): (i16, i16),
    delay: Duration,
    over: &AtomicBool,
) -> Result<(), Box<dyn std::error::Error>> {
    let Rectangle { width, height, .. } = part;
    let (window, gc) = (connection.generate_id()?, connection.generate_id()?);
    let (depth, class) = (COPY_DEPTH_FROM_PARENT, WindowClass::INPUT_OUTPUT);
    let attributes = CreateWindowAux::new().override_redirect(1);
    connection.create_window(depth, window, root, x, y, width, height, 0, class, 0, &attributes)?;
    connection.create_gc(gc, window, &CreateGCAux::new())?;
    connection.map_window(window)?;
    let (mut waiting, mut next) = (VecDeque::<(Instant, u8, Vec<u8>)>::new(), now());
    while !over.load(Ordering::Relaxed) {
        let all = u32::MAX;
        let image = connection.get_image(ImageFormat::Z_PIXMAP, root, part.x, part.y, width, height, all)?.reply()?;
        waiting.push_back((now() + delay, image.depth, image.data));
        // Of several that are due the newest is what a late program would show.
        let mut due = None;
        while waiting.front().is_some_and(|(at, ..)| *at <= now()) {
            due = waiting.pop_front();
        }
        if let Some((_, depth, pixels)) = due {
            put(connection, window, gc, (width, height), depth, &pixels)?;
        }
        next = (next + PERIOD).max(now());
        std::thread::sleep(next.saturating_duration_since(now()));
    }
    Ok(())
}

/// In strips that fit into a request.
fn put(
    connection: &RustConnection,
    window: u32,
    gc: u32,
    (width, height): (u16, u16),
    depth: u8,
    pixels: &[u8],
) -> Result<(), Box<dyn std::error::Error>> {
    const ROWS: u16 = 16;
    let strips = pixels.chunks(usize::from(width) * 4 * usize::from(ROWS));
    for (strip, top) in strips.zip((0..height).step_by(usize::from(ROWS))) {
        let rows = ROWS.min(height - top);
        connection.put_image(ImageFormat::Z_PIXMAP, window, gc, width, rows, 0, top as i16, 0, depth, strip)?;
    }
    connection.flush()?;
    Ok(())
}
