//! The session with a service: kept open, opened again, and asked; on threads of its own, because it waits for the disk, for
//! names and for seals, which the engine's tick must not. Commands go in, notices and a view come out.
//!
//! | thread | what it does |
//! |---|---|
//! | `people` | the channels' socket, requests and pushes, the view and its cache |
//! | `people opener` | the way to an open session: name, door, TLS, token, channels |
//! | `message door`, `message` | messages of pals who reach us without a service, a thread each |
//! | `people errands` | what takes several steps or moves megabytes: accounts, photos, sealed messages |

mod cache;
pub mod command;
pub mod direct;
mod errands;
mod opener;
mod session;
mod tokens;
pub mod trust;
pub mod view;

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use mio::{Poll, Token, Waker};

use crate::base::error::{Error, Kind, Result};
use crate::base::pipe::{Latest, PipeReceiver, PipeSender, Refusal, Wake, pipe};
use crate::proto::proxy::choice::Proxies;
use crate::proto::service::pals::Presence;
use command::{Command, Notice, Wanted};
use direct::Direct;
use errands::Errands;
use opener::Opener;
use session::Session;
use view::View;

/// Called after each notice and each new view.
pub type Told = Arc<dyn Fn() + Send + Sync>;

/// How the session is kept.
#[derive(Clone, Debug)]
pub struct PeopleConfig {
    /// Identity, login, cache and messages live here.
    pub data: PathBuf,
    /// How one is called where there is no identity yet.
    pub name: String,
    /// Keep the channels open; else only what is asked for over HTTP is done.
    pub channels: bool,
    /// Be seen, and rung; `None`: appear to nobody.
    pub presence: Option<Presence>,
    /// Fetch messages as they come.
    pub receive: bool,
    /// Through which the service is reached.
    pub proxies: Arc<Proxies>,
    /// Whether messages go from program to program.
    pub direct: Direct,
}

/// The proxies of now: a person may choose others while the session stands.
#[derive(Clone, Debug)]
struct CurrentProxies(Arc<Mutex<Arc<Proxies>>>);

impl CurrentProxies {
    fn new(proxies: Arc<Proxies>) -> Self {
        Self(Arc::new(Mutex::new(proxies)))
    }

    fn get(&self) -> Arc<Proxies> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, proxies: Arc<Proxies>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = proxies;
    }
}

/// What its user holds. Dropping it ends the session and joins its threads.
pub struct People {
    commands: PipeSender<Command>,
    notices: PipeReceiver<Notice>,
    view: Arc<Latest<Arc<View>>>,
    proxies: CurrentProxies,
    wake: Wake,
    quit: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl People {
    /// Starts the session's threads. `told` is called from them.
    ///
    /// # Errors
    /// The identity or the login of the data folder cannot be read: a line for the person.
    pub fn start(config: PeopleConfig, told: Told) -> Result<Self> {
        let failed =
            |error: std::io::Error| Error::new(Kind::Retry, format!("the service cannot be talked to: {error}"));
        let poll = Poll::new().map_err(failed)?;
        let wake = Wake::new(Waker::new(poll.registry(), WAKER).map_err(failed)?);
        let quit = Arc::new(AtomicBool::new(false));
        let (commands, commands_in) = pipe(COMMANDS);
        let (notices_out, notices) = pipe(NOTICES);
        let (inner, inner_in) = pipe(INNER);
        let (jobs, jobs_in) = pipe(ERRANDS);
        let (openings, openings_in) = pipe(1);
        let view = Arc::new(Latest::default());
        let proxies = CurrentProxies::new(config.proxies.clone());
        let errands = Errands::new(&config, proxies.clone(), jobs_in, inner.clone(), wake.clone(), quit.clone())?;
        let opener =
            Opener::new(config.data.clone(), proxies.clone(), openings_in, inner.clone(), wake.clone(), quit.clone());
        let ends = session::Ends {
            poll,
            wake: wake.clone(),
            quit: quit.clone(),
            commands: commands_in,
            notices: notices_out,
            told,
            view: view.clone(),
            inner: inner_in,
            inner_out: inner,
            errands: jobs,
            openings,
        };
        let session = Session::new(config, ends)?;
        let start = |name: &str, run: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.into()).spawn(run).map_err(failed)
        };
        let mut people = Self { commands, notices, view, proxies, wake, quit, threads: Vec::new() };
        people.threads.push(start("people", Box::new(|| session.run()))?);
        people.threads.push(start("people opener", Box::new(|| opener.run()))?);
        people.threads.push(start("people errands", Box::new(|| errands.run()))?);
        Ok(people)
    }

    /// Asks for something; its outcome comes as a [`Notice::Done`] with the same ticket. `false`: more waits than is taken.
    pub fn send(&self, ticket: u64, wanted: Wanted) -> bool {
        match self.commands.try_send(Command { ticket, wanted }) {
            Ok(()) => {
                self.wake.wake();
                true
            }
            Err(Refusal::Full(_) | Refusal::Gone(_)) => false,
        }
    }

    /// From now on the service is reached through these; the session is made anew.
    pub fn set_proxies(&self, proxies: Arc<Proxies>) {
        self.proxies.set(proxies);
        self.send(0, Wanted::Reconnect);
    }

    pub const fn notices(&self) -> &PipeReceiver<Notice> {
        &self.notices
    }

    /// The newest view, where there is one that was not taken.
    pub fn view(&self) -> Option<Arc<View>> {
        self.view.take()
    }
}

impl Drop for People {
    fn drop(&mut self) {
        self.quit.store(true, Ordering::Relaxed);
        self.wake.wake();
        for thread in self.threads.drain(..) {
            // A panic in there has been reported by the hook.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for People {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("People")
    }
}

const WAKER: Token = Token(0);
const SOCKET: Token = Token(1);

/// What a person asks for in a second is far less; a call's envelopes are a dozen.
const COMMANDS: usize = 256;
/// When full, notices are dropped and counted; the view says the same a moment later.
const NOTICES: usize = 1024;
const INNER: usize = 64;
const ERRANDS: usize = 64;
