//! What takes several steps or moves megabytes, one after another on a thread of its own.

mod account;
mod message;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::command::{Outcome, Wanted};
use super::direct::Direct;
use super::session::Inner;
use super::tokens::{logged_out, with_access};
use super::trust::Keys;
use super::{CurrentProxies, PeopleConfig};
use crate::base::error::{Error, Kind, Result};
use crate::base::pipe::{PipeReceiver, PipeSender, Wake, pipe};
use crate::base::time::{self, Duration};
use crate::net::service::https::{Asked, Failure, Place};
use crate::proto::service::account::Secret;
use crate::proto::service::frame::{Ask, Reply};
use crate::proto::service::names::Person;
use crate::store::identity::Identity;
use crate::store::login::Logins;
use crate::store::mailbox::{Mailbox, Outgoing};

/// One errand; a ticket that is not 0 is told how it came out.
#[derive(Debug)]
pub enum Errand {
    Wanted { ticket: u64, wanted: Wanted },
    Deliver { ticket: u64, outgoing: Outgoing, at: Option<SocketAddr> },
}

pub struct Errands {
    data: PathBuf,
    has_channels: bool,
    identity: Identity,
    logins: Logins,
    jobs: PipeReceiver<Errand>,
    inner: PipeSender<Inner>,
    wake: Wake,
    quit: Arc<AtomicBool>,
    proxies: CurrentProxies,
    direct: Direct,
}

/// Whoever is logged in, and where.
struct At {
    place: Place,
    keys: Keys,
    mailbox: Mailbox,
}

impl Errand {
    pub const fn ticket(&self) -> u64 {
        match self {
            Self::Wanted { ticket, .. } | Self::Deliver { ticket, .. } => *ticket,
        }
    }
}

impl Errands {
    pub fn new(
        config: &PeopleConfig,
        proxies: CurrentProxies,
        jobs: PipeReceiver<Errand>,
        inner: PipeSender<Inner>,
        wake: Wake,
        quit: Arc<AtomicBool>,
    ) -> Result<Self> {
        let identity = Identity::load_or_create(&config.data, &config.name)?;
        let logins = Logins::new(&config.data);
        let (data, has_channels) = (config.data.clone(), config.channels);
        let direct = config.direct.clone();
        Ok(Self { data, has_channels, identity, logins, jobs, inner, wake, quit, proxies, direct })
    }

    /// Runs errands until nobody has any more.
    pub fn run(self) {
        while let Some(errand) = self.jobs.recv() {
            let ticket = errand.ticket();
            let outcome = match errand {
                Errand::Wanted { wanted, .. } => self.wanted(wanted),
                Errand::Deliver { outgoing, at, .. } => self.deliver(&outgoing, at),
            };
            if !self.tell(Inner::Done { ticket, outcome }) {
                return;
            }
        }
    }

    fn wanted(&self, wanted: Wanted) -> Asked<Outcome> {
        match wanted {
            Wanted::Fetch => self.fetch(),
            Wanted::Read { seq } => self.read(seq),
            Wanted::DeleteMessage { seq } => self.delete_message(seq),
            Wanted::Befriend { contact, note } => self.befriend(&contact, note),
            Wanted::Verify { name } => self.verify(&name),
            wanted => self.account(wanted),
        }
    }

    /// Whoever is logged in.
    fn at(&self) -> Asked<At> {
        let login = self.logins.load()?.ok_or_else(logged_out)?;
        let mut place = Place::new(login.service.parse()?, self.quit.clone(), self.proxies.get())?;
        place.door = login.door;
        let keys = Keys::new(&self.data, &place.link().host);
        let mailbox = Mailbox::new(&self.data, &login.person.key);
        Ok(At { place, keys, mailbox })
    }

    fn with_access<T>(&self, at: &At, ask: impl Fn(&Secret) -> Asked<T>) -> Asked<T> {
        with_access(&self.logins, &at.place, ask)
    }

    /// Asks on a channel, and waits for the answer.
    fn ask(&self, ask: Ask) -> Asked<Reply> {
        let (answer, answered) = pipe(1);
        let gone = || Failure::Broken(Error::new(Kind::Retry, "the session has ended"));
        if !self.tell(Inner::Ask { ask: Box::new(ask), answer }) {
            return Err(gone());
        }
        let until = time::now().checked_add(PATIENCE).unwrap_or_else(time::now);
        loop {
            let now = time::now();
            if let Some(result) = answered.recv_timeout(LOOK) {
                return result;
            }
            // Without waiting: nobody is left to answer.
            let is_gone = time::now().saturating_duration_since(now) < LOOK / 2;
            if is_gone || self.quit.load(Ordering::Relaxed) || now >= until {
                return Err(gone());
            }
        }
    }

    /// `false`: the session has ended.
    fn tell(&self, inner: Inner) -> bool {
        let told = self.inner.send(inner).is_ok();
        self.wake.wake();
        told
    }

    /// Whether the service's account has the key that this data folder has.
    fn is_own(&self, person: &Person) -> bool {
        person.key == self.identity.account()
    }
}

/// The kind of answer that a request has; another one is of another version.
fn unexpected() -> Failure {
    Failure::Broken(Error::new(
        Kind::Malformed,
        "the service's answer is not understood: one side is of another version",
    ))
}

/// The service may hash passwords and write to a slow disk first.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long an end of the program may go unnoticed.
const LOOK: Duration = Duration::from_millis(100);
