//! A private X display without a screen, and what can be seen on it.

use std::io::{BufRead, BufReader, PipeReader};
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};

use x11rb::connection::Connection;
use x11rb::protocol::xproto::{ConnectionExt, ImageFormat};
use x11rb::rust_connection::RustConnection;

use crate::Outcome;

/// A running display. Dropping it ends it.
pub struct Display {
    child: Child,
    name: String,
}

/// What a display showed: RGBA rows, top down, without padding.
#[derive(Clone, Debug)]
pub struct Shot {
    pub width: u32,
    pub height: u32,
    pub rgba: Vec<u8>,
}

impl Display {
    /// A display of `width` × `height` pixels at 24 bits.
    ///
    /// # Errors
    /// There is no Xvfb, or it does not start.
    pub fn start(width: u32, height: u32) -> Outcome<Self> {
        Self::start_with(width, height, &[])
    }

    /// The same with more arguments for Xvfb.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(width: u32, height: u32, more: &[&str]) -> Outcome<Self> {
        let failed = |error: std::io::Error| format!("Xvfb: {error}");
        let (number, told) = std::io::pipe().map_err(failed)?;
        // It takes the first free number and writes it to this file, once it can be used.
        let inherited = rustix::io::fcntl_getfd(&told).map_err(|error| failed(error.into()))?;
        rustix::io::fcntl_setfd(&told, inherited.difference(rustix::io::FdFlags::CLOEXEC))
            .map_err(|error| failed(error.into()))?;
        let mut child = Command::new("Xvfb")
            .args(["-displayfd", &told.as_raw_fd().to_string(), "-screen", "0", &format!("{width}x{height}x24")])
            .args(["-nolisten", "tcp"])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        // Only its own end is open now: should it end, reading does.
        drop(told);
        match first_line(number) {
            Some(number) => Ok(Self { child, name: format!(":{number}") }),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                Err("Xvfb does not start".to_owned())
            }
        }
    }

    /// What `DISPLAY` has to be for a program to show itself here.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What a process needs in its environment to show itself here, and nowhere else.
    pub fn env(&self) -> Vec<(String, String)> {
        let pair = |key: &str, value: String| (key.to_owned(), value);
        // A graphics driver looks there for a Wayland display, and complains on the terminal where the folder has no name.
        let folder = std::env::temp_dir().display().to_string();
        vec![
            pair("DISPLAY", self.name.clone()),
            pair("WAYLAND_DISPLAY", String::new()),
            pair("XDG_RUNTIME_DIR", folder),
        ]
    }

    /// What is on the display now.
    ///
    /// # Errors
    /// The display cannot be asked, or has another pixel format than Xvfb gives at 24 bits.
    pub fn shot(&self) -> Outcome<Shot> {
        let failed = |error: &dyn std::fmt::Display| format!("display {}: {error}", self.name);
        let (connection, screen) = RustConnection::connect(Some(&self.name)).map_err(|error| failed(&error))?;
        let root = connection.setup().roots.get(screen).ok_or("no screen")?;
        let (width, height) = (root.width_in_pixels, root.height_in_pixels);
        let image = connection
            .get_image(ImageFormat::Z_PIXMAP, root.root, 0, 0, width, height, u32::MAX)
            .map_err(|error| failed(&error))?
            .reply()
            .map_err(|error| failed(&error))?;
        let mut rgba = image.data;
        if rgba.len() != usize::from(width) * usize::from(height) * 4 {
            return Err(failed(&"not four bytes a pixel"));
        }
        // Blue, green, red, unused.
        rgba.as_chunks_mut::<4>().0.iter_mut().for_each(|[blue, _, red, unused]| {
            std::mem::swap(blue, red);
            *unused = u8::MAX;
        });
        Ok(Shot { width: width.into(), height: height.into(), rgba })
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn first_line(from: PipeReader) -> Option<String> {
    let mut line = String::new();
    BufReader::new(from).read_line(&mut line).ok()?;
    let line = line.trim();
    (!line.is_empty()).then(|| line.to_owned())
}
