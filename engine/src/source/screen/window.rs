//! One window of an X11 display: found by its title or number, followed while it is moved, resized, hidden and closed.

use x11rb::connection::Connection;
use x11rb::protocol::Event;
use x11rb::protocol::composite::{ConnectionExt as _, Redirect};
use x11rb::protocol::xproto::{
    Atom, AtomEnum, ChangeWindowAttributesAux, ConnectionExt as _, EventMask, MapState, Pixmap, Window,
};
use x11rb::rust_connection::RustConnection;

use super::Region;
use super::grab::Grabber;
use crate::base::error::{Error, Kind, Result};

/// A window that is being captured. The server keeps its pixels apart (Composite), so that what covers it is not in them.
pub(super) struct Watched {
    window: Window,
    pub(super) title: String,
    /// Its pixels; `None` while it is not shown. They are other ones after each change of size.
    pixels: Option<(Pixmap, Region)>,
}

/// How a window is at the moment.
pub(super) enum State {
    /// Its pixels, the part of them that is inside of its border, and where that is on the desktop.
    Shown(Pixmap, Region, Region),
    /// Minimised, or on another desktop.
    Hidden,
    Closed,
}

type Failed = Box<dyn std::error::Error>;

impl Watched {
    /// The window with that number (`0x…`), or with that title, or with that in its title.
    ///
    /// # Errors
    /// `Gone` where there is none (the text names those there are); `Refused` where the display has no Composite extension
    /// or the window another pixel format than eight bits a colour.
    pub(super) fn open(grabber: &Grabber, which: &str) -> Result<Self> {
        let connection = &grabber.connection;
        let refused = |error: &dyn std::fmt::Display| {
            Error::new(Kind::Refused, format!("the X11 display shows no single windows: {error}"))
        };
        let version = connection.composite_query_version(0, 4).map_err(|error| refused(&error))?;
        version.reply().map_err(|_| refused(&"it has no Composite extension"))?;
        let (window, title) = find(connection, grabber.root, which).map_err(|error| refused(&*error))??;
        let about = connection.get_geometry(window).map_err(|error| refused(&error))?.reply();
        let depth = about.map_err(|error| refused(&error))?.depth;
        if !grabber.is_readable(depth) {
            let text = format!("the window {title} has {depth} bits a pixel: only 24 can be captured");
            return Err(Error::new(Kind::Refused, text));
        }
        let wanted = ChangeWindowAttributesAux::new().event_mask(EventMask::STRUCTURE_NOTIFY);
        connection.change_window_attributes(window, &wanted).map_err(|error| refused(&error))?;
        let redirected =
            connection.composite_redirect_window(window, Redirect::AUTOMATIC).map_err(|error| refused(&error))?;
        redirected.check().map_err(|error| refused(&error))?;
        Ok(Self { window, title, pixels: None })
    }

    /// How the window is now.
    pub(super) fn look(&mut self, connection: &RustConnection, root: Window) -> Result<State, Failed> {
        while let Some(event) = connection.poll_for_event()? {
            match event {
                Event::DestroyNotify(event) if event.window == self.window => return Ok(State::Closed),
                Event::ConfigureNotify(_) | Event::MapNotify(_) | Event::UnmapNotify(_) => {
                    if let Some((pixmap, _)) = self.pixels.take() {
                        connection.free_pixmap(pixmap)?;
                    }
                }
                _ => {}
            }
        }
        let Ok(place) = connection.translate_coordinates(self.window, root, 0, 0)?.reply() else {
            return Ok(State::Closed);
        };
        let place = (i32::from(place.dst_x), i32::from(place.dst_y));
        let (pixmap, part) = match self.pixels {
            Some(pixels) => pixels,
            None => match self.name_pixels(connection)? {
                Some(pixels) => *self.pixels.insert(pixels),
                None => return Ok(State::Hidden),
            },
        };
        Ok(State::Shown(pixmap, part, Region { x: place.0, y: place.1, ..part }))
    }

    /// Takes the pixels that the window has since it was last shown or resized.
    fn name_pixels(&self, connection: &RustConnection) -> Result<Option<(Pixmap, Region)>, Failed> {
        let (shown, about) = (connection.get_window_attributes(self.window)?, connection.get_geometry(self.window)?);
        let (Ok(shown), Ok(about)) = (shown.reply(), about.reply()) else { return Ok(None) };
        if shown.map_state != MapState::VIEWABLE {
            return Ok(None);
        }
        let pixmap = connection.generate_id()?;
        if connection.composite_name_window_pixmap(self.window, pixmap)?.check().is_err() {
            // It was hidden in between: the next look sees it.
            return Ok(None);
        }
        let border = i32::from(about.border_width);
        let part = Region { x: border, y: border, width: about.width.into(), height: about.height.into() };
        Ok(Some((pixmap, part.even())))
    }
}

/// The windows that a person knows, and what they are called.
pub(super) fn list(connection: &RustConnection, root: Window) -> Result<Vec<(Window, String)>, Failed> {
    let atom = |name: &[u8]| -> Result<Atom, Failed> { Ok(connection.intern_atom(false, name)?.reply()?.atom) };
    let (clients, name, text) = (atom(b"_NET_CLIENT_LIST")?, atom(b"_NET_WM_NAME")?, atom(b"UTF8_STRING")?);
    let managed = connection.get_property(false, root, clients, AtomEnum::WINDOW, 0, 1024)?.reply()?;
    let windows: Vec<Window> = match managed.value32() {
        Some(windows) => windows.collect(),
        // Without a window manager those directly on the desktop are all there are.
        None => connection.query_tree(root)?.reply()?.children,
    };
    let property = |window, name: Atom, kind: Atom| -> Option<String> {
        let value = connection.get_property(false, window, name, kind, 0, 256).ok()?.reply().ok()?.value;
        Some(String::from_utf8_lossy(&value).into_owned()).filter(|value| !value.is_empty())
    };
    let title = |window| {
        property(window, name, text).or_else(|| property(window, AtomEnum::WM_NAME.into(), AtomEnum::ANY.into()))
    };
    Ok(windows.into_iter().filter_map(|window| Some((window, title(window)?))).collect())
}

fn find(connection: &RustConnection, root: Window, which: &str) -> Result<Result<(Window, String)>, Failed> {
    let number = which.strip_prefix("0x").and_then(|digits| u32::from_str_radix(digits, 16).ok());
    let windows = list(connection, root)?;
    if let Some(window) = number {
        let title = windows.iter().find(|(other, _)| *other == window).map(|(_, title)| title.clone());
        let is_there = connection.get_window_attributes(window)?.reply().is_ok();
        let gone = || Error::new(Kind::Gone, format!("no window {which}"));
        return Ok(if is_there { Ok((window, title.unwrap_or_else(|| which.into()))) } else { Err(gone()) });
    }
    let wanted = which.to_lowercase();
    let same = windows.iter().find(|(_, title)| title == which);
    let found = same.or_else(|| windows.iter().find(|(_, title)| title.to_lowercase().contains(&wanted)));
    Ok(found.cloned().ok_or_else(|| {
        let titles: Vec<&str> = windows.iter().map(|(_, title)| title.as_str()).collect();
        let there = if titles.is_empty() { "there is none with a title".into() } else { titles.join(", ") };
        Error::new(Kind::Gone, format!("no window with {which:?} in its title; there are: {there}"))
    }))
}
