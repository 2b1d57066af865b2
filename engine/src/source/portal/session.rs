//! The words with the desktop: over D-Bus, in three questions whose answers are signals.

use std::sync::{Arc, Mutex, PoisonError};

use dbus::Path;
use dbus::arg::{OwnedFd, PropMap, RefArg, Variant};
use dbus::blocking::stdintf::org_freedesktop_dbus::Properties;
use dbus::blocking::{Proxy, SyncConnection};
use dbus::message::MatchRule;

use crate::base::error::{Error, Kind, Result};
use crate::base::time::{Duration, now};

/// Sharing lasts as long as this connection.
pub(super) struct Session {
    bus: SyncConnection,
    path: Path<'static>,
}

const PORTAL: &str = "org.freedesktop.portal.Desktop";
const PORTAL_PATH: &str = "/org/freedesktop/portal/desktop";
const SCREEN_CAST: &str = "org.freedesktop.portal.ScreenCast";
/// A method is answered at once: what takes its time comes as a signal.
const ANSWERED: Duration = Duration::from_secs(10);
/// A person may take so long to choose.
const CHOSEN: Duration = Duration::from_secs(120);
/// Screens and windows (SourceType MONITOR and WINDOW).
const KINDS: u32 = 1 | 2;
/// CursorMode EMBEDDED: the pointer is in the picture.
const POINTER: u32 = 2;

impl Session {
    /// What PipeWire is to be reached by, and the number of the stream in it.
    pub(super) fn open() -> Result<(Self, std::os::fd::OwnedFd, u32)> {
        let bus = SyncConnection::new_session().map_err(|error| refused("there is no session bus", &error))?;
        let portal = Proxy::new(PORTAL, PORTAL_PATH, ANSWERED, &bus);
        let modes: u32 = portal
            .get(SCREEN_CAST, "AvailableCursorModes")
            .map_err(|error| refused("it has no portal for screens", &error))?;
        let created = ask(&bus, "created", |options| {
            options.insert("session_handle_token".into(), text("visavis"));
            call(&portal, "CreateSession", (options,))
        })?;
        let path = created.get("session_handle").and_then(|path| path.0.as_str());
        let path = path.and_then(|path| Path::new(path.to_owned()).ok()).ok_or_else(unclear)?;
        let session = || path.clone();
        ask(&bus, "selected", |options| {
            options.insert("types".into(), number(KINDS));
            if modes & POINTER != 0 {
                options.insert("cursor_mode".into(), number(POINTER));
            }
            call(&portal, "SelectSources", (session(), options))
        })?;
        let started = ask(&bus, "started", |options| call(&portal, "Start", (session(), "", options)))?;
        let node = first_stream(&started).ok_or_else(unclear)?;
        let (remote,): (OwnedFd,) = portal
            .method_call(SCREEN_CAST, "OpenPipeWireRemote", (session(), PropMap::new()))
            .map_err(|error| refused("it gives no pictures", &error))?;
        Ok((Self { path: session(), bus }, remote.into_std(), node))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let session = Proxy::new(PORTAL, self.path.clone(), Duration::from_secs(1), &self.bus);
        // A desktop that is gone shares nothing any more.
        let _: std::result::Result<(), _> = session.method_call("org.freedesktop.portal.Session", "Close", ());
    }
}

/// Asks with `token` and waits for the answer, which may be there before the question has been.
fn ask(bus: &SyncConnection, token: &str, question: impl FnOnce(PropMap) -> Result<()>) -> Result<PropMap> {
    let token = format!("visavis_{token}");
    let sender = bus.unique_name().trim_start_matches(':').replace('.', "_");
    let path = Path::new(format!("{PORTAL_PATH}/request/{sender}/{token}")).map_err(|_| unclear())?;
    let rule = MatchRule::new_signal("org.freedesktop.portal.Request", "Response").with_path(path);
    let answer: Arc<Mutex<Option<(u32, PropMap)>>> = Arc::default();
    let ours = answer.clone();
    let matching = bus
        .add_match(rule, move |told: (u32, PropMap), _, _| {
            *ours.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
            true
        })
        .map_err(|error| refused("it cannot be listened to", &error))?;
    let mut options = PropMap::new();
    options.insert("handle_token".into(), text(&token));
    question(options)?;
    let until = now() + CHOSEN;
    let told = loop {
        if let Some(told) = answer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            break Some(told);
        }
        if now() >= until || bus.process(Duration::from_millis(200)).is_err() {
            break None;
        }
    };
    // The connection is closed with the session; until then one signal more is heard in vain.
    let _ = bus.remove_match(matching);
    match told {
        Some((0, results)) => Ok(results),
        Some((1, _)) => Err(Error::new(Kind::Refused, "nothing was chosen to be shared")),
        _ => Err(Error::new(Kind::Refused, "the desktop does not share its screen")),
    }
}

fn call(portal: &Proxy<'_, &SyncConnection>, method: &str, arguments: impl dbus::arg::AppendAll) -> Result<()> {
    let answered: std::result::Result<(Path<'static>,), _> = portal.method_call(SCREEN_CAST, method, arguments);
    answered.map(drop).map_err(|error| refused("it refuses to share", &error))
}

/// The first of `streams`: an array of pairs of a number and properties.
fn first_stream(results: &PropMap) -> Option<u32> {
    let streams = &results.get("streams")?.0;
    let node = streams.as_iter()?.next()?.as_iter()?.next()?.as_u64()?;
    node.try_into().ok()
}

fn text(text: &str) -> Variant<Box<dyn RefArg>> {
    Variant(Box::new(text.to_owned()))
}

fn number(number: u32) -> Variant<Box<dyn RefArg>> {
    Variant(Box::new(number))
}

fn refused(what: &str, error: &dbus::Error) -> Error {
    let why = error.message().unwrap_or_default();
    Error::new(Kind::Refused, format!("the desktop cannot be asked to share its screen: {what} ({why})"))
}

fn unclear() -> Error {
    Error::new(Kind::Refused, "the desktop's answer is not understood")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_the_first_number_in_the_answer() {
        let stream = |node: u32| (node, PropMap::new());
        let mut results = PropMap::new();
        assert_eq!(first_stream(&results), None);
        results.insert("streams".into(), Variant(Box::new(Vec::<(u32, PropMap)>::new())));
        assert_eq!(first_stream(&results), None);
        results.insert("streams".into(), Variant(Box::new(vec![stream(42), stream(7)])));
        assert_eq!(first_stream(&results), Some(42));
        results.insert("streams".into(), text("none"));
        assert_eq!(first_stream(&results), None);
    }
}
