//! The way to an open session, on a thread of its own: the name service and the doors make one wait.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::CurrentProxies;
use super::session::Inner;
use super::tokens::{logged_out, with_access};
use crate::base::pipe::{PipeReceiver, PipeSender, Wake};
use crate::net::service::https::{Asked, Channels, Place};
use crate::store::login::Logins;

/// Asks for an open session.
#[derive(Clone, Copy, Debug)]
pub struct Open;

/// A session whose channels stand.
pub struct Opened {
    pub channels: Channels,
    /// The service's end of it.
    pub address: SocketAddr,
}

pub struct Opener {
    data: PathBuf,
    openings: PipeReceiver<Open>,
    inner: PipeSender<Inner>,
    wake: Wake,
    quit: Arc<AtomicBool>,
    proxies: CurrentProxies,
}

impl Opener {
    pub const fn new(
        data: PathBuf,
        proxies: CurrentProxies,
        openings: PipeReceiver<Open>,
        inner: PipeSender<Inner>,
        wake: Wake,
        quit: Arc<AtomicBool>,
    ) -> Self {
        Self { data, openings, inner, wake, quit, proxies }
    }

    /// Opens what is asked for until nobody asks any more.
    pub fn run(self) {
        while let Some(Open) = self.openings.recv() {
            let opened = self.open().map(Box::new);
            if self.inner.send(Inner::Opened(opened)).is_err() {
                return;
            }
            self.wake.wake();
        }
    }

    fn open(&self) -> Asked<Opened> {
        let logins = Logins::new(&self.data);
        let login = logins.load()?.ok_or_else(logged_out)?;
        let mut place = Place::new(login.service.parse()?, self.quit.clone(), self.proxies.get())?;
        place.door = login.door;
        let (channels, address) = with_access(&logins, &place, |access| place.connect()?.open(access))?;
        // One stays where one got in.
        if place.link().port.is_none() && login.door != Some(address.port()) {
            let held = logins.hold()?;
            if let Some(mut login) = held.load()? {
                login.door = Some(address.port());
                held.save(&login)?;
            }
        }
        Ok(Opened { channels, address })
    }
}
