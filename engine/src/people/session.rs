//! The channels' socket: requests and their answers, pushes, and coming back when it breaks.

mod asks;
mod inner;
mod post;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mio::{Events, Interest, Poll};
use tungstenite::{Bytes, Message};

use self::post::Post;
use super::cache::Cache;
use super::command::{Command, Notice, Outcome, State};
use super::errands::Errand;
use super::opener::{Open, Opened};
use super::trust::Keys;
use super::view::View;
use super::{PeopleConfig, SOCKET, Told};
use crate::base::error::{Error, Kind, Result};
use crate::base::pipe::{Latest, PipeReceiver, PipeSender, Wake};
use crate::base::time::{self, Duration, Instant};
use crate::net::service::https::{Asked, Channels, Failure};
use crate::proto::service::frame::{Ask, Reply, Said};
use crate::proto::service::refusal::Code;
use crate::store::identity::Identity;
use crate::store::login::Logins;
use crate::store::mailbox::{Mailbox, Outgoing, Received};

/// What the other threads tell the session's.
pub enum Inner {
    Opened(Asked<Box<Opened>>),
    /// An errand asks on a channel.
    Ask {
        ask: Box<Ask>,
        answer: PipeSender<Asked<Reply>>,
    },
    Done {
        ticket: u64,
        outcome: Asked<Outcome>,
    },
    Arrived(Box<Received>),
    /// What lies in the inbox or waits to be sent has changed.
    Mail,
    /// Somebody has logged in, or out.
    Login,
}

/// The session's ends of everything.
pub struct Ends {
    pub poll: Poll,
    pub wake: Wake,
    pub quit: Arc<AtomicBool>,
    pub commands: PipeReceiver<Command>,
    pub notices: PipeSender<Notice>,
    pub told: Told,
    pub view: Arc<Latest<Arc<View>>>,
    pub inner: PipeReceiver<Inner>,
    /// For those who are started later.
    pub inner_out: PipeSender<Inner>,
    pub errands: PipeSender<Errand>,
    pub openings: PipeSender<Open>,
}

pub struct Session {
    config: PeopleConfig,
    ends: Ends,
    logins: Logins,
    identity: Identity,
    cache: Cache,
    /// Of whoever is logged in.
    keys: Option<Keys>,
    mailbox: Option<Mailbox>,
    post: Post,
    link: Option<Link>,
    is_opening: bool,
    attempts: u32,
    retry_at: Option<Instant>,
    next: u64,
    asked: HashMap<u64, Waiting>,
    /// Asked before the first connection stood, or failed.
    held: VecDeque<(Asker, Ask)>,
    /// The service asked to wait with these.
    later: Vec<(Instant, Asker, Ask)>,
    /// What is said in rooms goes out one after another: it stands there in this order.
    posts: VecDeque<(u64, Outgoing)>,
    is_posting: bool,
    view: View,
    is_changed: bool,
    is_unsaved: bool,
    save_at: Option<Instant>,
}

/// An open session.
struct Link {
    socket: Channels,
    since: Instant,
    heard: Instant,
    is_pinged: bool,
}

struct Waiting {
    asker: Asker,
    ask: Ask,
}

/// Who wants to know.
enum Asker {
    Ticket(u64),
    Errand(PipeSender<Asked<Reply>>),
    Post(u64, Outgoing),
    /// The session itself, for its view.
    Own,
}

impl Session {
    pub fn new(config: PeopleConfig, ends: Ends) -> Result<Self> {
        let identity = Identity::load_or_create(&config.data, &config.name)?;
        let (logins, cache) = (Logins::new(&config.data), Cache::new(&config.data));
        let mut session = Self {
            config,
            ends,
            logins,
            identity,
            cache,
            keys: None,
            mailbox: None,
            post: Post::default(),
            link: None,
            is_opening: false,
            attempts: 0,
            retry_at: None,
            next: 1,
            asked: HashMap::new(),
            held: VecDeque::new(),
            later: Vec::new(),
            posts: VecDeque::new(),
            is_posting: false,
            view: View::default(),
            is_changed: true,
            is_unsaved: false,
            save_at: None,
        };
        session.take_login()?;
        session.show();
        Ok(session)
    }

    /// Runs until the program ends.
    pub fn run(mut self) {
        let mut events = Events::with_capacity(16);
        self.publish(time::now());
        while !self.ends.quit.load(Ordering::Relaxed) {
            let now = time::now();
            let wait = self.due(now).map(|due| due.saturating_duration_since(now));
            if let Err(error) = self.ends.poll.poll(&mut events, wait)
                && error.kind() != std::io::ErrorKind::Interrupted
            {
                break;
            }
            self.ends.wake.heard();
            let now = time::now();
            self.take_inner(now);
            self.take_commands(now);
            self.read(now);
            self.keep_alive(now);
            self.ask_later(now);
            self.is_changed |= self.view.forget_typing(now);
            self.open(now);
            self.publish(now);
        }
        // What was asked for before the end goes out: a call's goodbye is among it.
        self.take_commands(time::now());
        self.await_answers(&mut events);
        if let Some(mut link) = self.link.take() {
            let _ = link.socket.close(None);
            let _ = link.socket.flush();
        }
        if self.save_at.is_some() || self.is_unsaved {
            self.cache.save(&self.view);
        }
    }

    /// The service does what was asked for those who are there: one stays a moment for it.
    fn await_answers(&mut self, events: &mut Events) {
        let until = time::now().checked_add(FAREWELL);
        while self.link.is_some() && !(self.asked.is_empty() && self.later.is_empty()) {
            let now = time::now();
            self.ask_later(now);
            let later = self.later.iter().map(|(at, ..)| at.saturating_duration_since(now)).min().unwrap_or(FAREWELL);
            let Some(left) = until.map(|until| until.saturating_duration_since(now)).filter(|left| !left.is_zero())
            else {
                return;
            };
            // An error is an interruption: the loop looks again.
            let _ = self.ends.poll.poll(events, Some(left.min(later)));
            self.ends.wake.heard();
            self.read(time::now());
        }
    }

    fn due(&self, now: Instant) -> Option<Instant> {
        let alive =
            self.link.as_ref().and_then(|link| link.heard.checked_add(if link.is_pinged { SILENCE } else { QUIET }));
        let later = self.later.iter().map(|(at, ..)| *at).min();
        let retry = self.retry_at.filter(|_| self.may_open());
        let typing = self.view.typing.iter().map(|sign| sign.until).min();
        [alive, later, retry, typing, self.save_at].into_iter().flatten().min().map(|due| due.max(now))
    }

    /// Who is logged in, from the disk.
    fn take_login(&mut self) -> Result<()> {
        let login = self.logins.load()?;
        self.is_changed = true;
        let Some(login) = login else {
            (self.keys, self.mailbox) = (None, None);
            self.view = View::default();
            return Ok(());
        };
        let host = login.service.parse::<crate::proto::service::link::ServiceLink>()?.host;
        self.keys = Some(Keys::new(&self.config.data, &host));
        self.mailbox = Some(Mailbox::new(&self.config.data, &login.person.key));
        self.view = self.cache.load(&host, &login.person.name);
        self.view.disconnected();
        (self.view.service, self.view.person) = (host, Some(login.person));
        self.view.presence = self.config.presence.unwrap_or_default();
        self.view.state = match login.tokens {
            Some(_) => State::Connecting,
            None => State::LoggedOut,
        };
        self.look_at_mail();
        self.posts.clear();
        self.is_posting = false;
        self.retry_at = Some(time::now());
        Ok(())
    }

    fn may_open(&self) -> bool {
        let has_login = !matches!(self.view.state, State::Nobody | State::LoggedOut);
        self.config.channels && has_login && self.link.is_none() && !self.is_opening
    }

    fn open(&mut self, now: Instant) {
        if self.may_open() && self.retry_at.is_some_and(|at| at <= now) && self.ends.openings.try_send(Open).is_ok() {
            self.is_opening = true;
        }
    }

    fn opened(&mut self, opened: Asked<Box<Opened>>, now: Instant) {
        self.is_opening = false;
        match opened {
            // Logged out meanwhile: the socket is closed by being dropped.
            Ok(_) if !self.may_open() => {}
            Ok(opened) => {
                let Opened { mut channels, address } = *opened;
                let socket = channels.get_mut().socket_mut();
                let interest = Interest::READABLE | Interest::WRITABLE;
                if let Err(error) = self.ends.poll.registry().register(socket, SOCKET, interest) {
                    return self.failed(Error::new(Kind::Retry, error.to_string()).into(), now);
                }
                self.link = Some(Link { socket: channels, since: now, heard: now, is_pinged: false });
                self.view.reached = Some(address.ip().to_canonical());
                self.set_state(State::Online);
                self.begin(now);
            }
            Err(failure) => self.failed(failure, now),
        }
    }

    /// No session could be opened.
    fn failed(&mut self, failure: Failure, now: Instant) {
        let mut wait = backoff(self.attempts, fastrand::f64());
        self.attempts = self.attempts.saturating_add(1);
        match &failure {
            Failure::Refused(refusal) if refusal.code == Code::Unauthorized => self.set_state(State::LoggedOut),
            Failure::Refused(refusal) => {
                wait = wait.max(Duration::from_millis(refusal.retry_after_ms.unwrap_or(0).into()));
                self.set_state(State::Offline { why: failure.to_string() });
            }
            Failure::Broken(error) => {
                // What needs a person is asked about again now and then: they may have seen to it.
                wait = if error.kind == Kind::Retry { wait } else { LONGEST };
                self.set_state(State::Offline { why: failure.to_string() });
            }
        }
        self.retry_at = now.checked_add(wait);
        for (asker, ask) in std::mem::take(&mut self.held) {
            self.answer(asker, ask, Err(failure.clone()), now);
        }
        self.leave_queued(&failure);
    }

    /// The connection is over.
    fn lost(&mut self, why: String, now: Instant) {
        let Some(link) = self.link.take() else { return };
        // One that is closed as soon as it is opened is not asked for at once again.
        if now.saturating_duration_since(link.since) >= STABLE {
            self.attempts = 0;
        }
        self.retry_at = now.checked_add(backoff(self.attempts, fastrand::f64()));
        self.attempts = self.attempts.saturating_add(1);
        drop(link);
        self.view.reached = None;
        self.view.disconnected();
        self.is_posting = false;
        if matches!(self.view.state, State::Online) {
            self.set_state(State::Offline { why: why.clone() });
        }
        let failure = Failure::Broken(Error::new(Kind::Retry, why));
        for (_, Waiting { asker, ask }) in std::mem::take(&mut self.asked) {
            self.answer(asker, ask, Err(failure.clone()), now);
        }
        for (_, asker, ask) in std::mem::take(&mut self.later) {
            self.answer(asker, ask, Err(failure.clone()), now);
        }
        self.leave_queued(&failure);
    }

    /// What was to be said in rooms stays on the disk.
    fn leave_queued(&mut self, failure: &Failure) {
        for (ticket, outgoing) in std::mem::take(&mut self.posts) {
            self.done(ticket, Ok(Outcome::Queued { key: outgoing.key, why: failure.to_string() }));
        }
    }

    fn read(&mut self, now: Instant) {
        while let Some(link) = &mut self.link {
            match link.socket.read() {
                Ok(Message::Text(text)) => {
                    (link.heard, link.is_pinged) = (now, false);
                    match Said::parse(text.as_str()) {
                        Ok(said) => self.take_said(said, now),
                        Err(_) => return self.lost("the service says what is not understood".into(), now),
                    }
                }
                Ok(Message::Close(_)) => return self.lost("the service closed the session".into(), now),
                Ok(_) => (link.heard, link.is_pinged) = (now, false),
                Err(tungstenite::Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => return self.lost(format!("the connection to the service broke: {error}"), now),
            }
        }
        // Answers to the service's own signs of life, and what did not go before.
        let flushed = self.link.as_mut().map(|link| link.socket.flush());
        if let Some(Err(error)) = flushed.filter(|flushed| !is_blocked(flushed)) {
            self.lost(format!("the connection to the service broke: {error}"), now);
        }
    }

    fn keep_alive(&mut self, now: Instant) {
        let Some(link) = &mut self.link else { return };
        let silent = now.saturating_duration_since(link.heard);
        if silent >= SILENCE {
            return self.lost("the service is silent".into(), now);
        }
        if silent >= QUIET && !link.is_pinged {
            link.is_pinged = true;
            // A failure shows itself at the next read.
            let _ = link.socket.send(Message::Ping(Bytes::new()));
        }
    }

    fn send_text(&mut self, text: String, now: Instant) {
        let Some(link) = &mut self.link else { return };
        let written = link.socket.write(Message::text(text));
        if !is_blocked(&written)
            && let Err(error) = written
        {
            self.lost(format!("the connection to the service broke: {error}"), now);
        }
    }

    fn set_state(&mut self, state: State) {
        if self.view.state != state {
            self.view.state = state.clone();
            self.is_changed = true;
            self.tell(Notice::State(state));
        }
    }

    fn look_at_mail(&mut self) {
        if let Some(mailbox) = &self.mailbox {
            (self.view.inbox, self.view.outgoing) = (mailbox.inbox(), mailbox.outgoing().len());
            self.view.folder = mailbox.folder().to_path_buf();
            self.is_changed = true;
        }
    }

    /// Tells what happened. A full pipe means a user that does not read: the view says the same.
    fn tell(&mut self, notice: Notice) {
        // Whoever hears of it finds it in the view.
        self.show();
        let _ = self.ends.notices.try_send(notice);
        (self.ends.told)();
    }

    /// Puts the view out where it has changed.
    fn show(&mut self) {
        if std::mem::take(&mut self.is_changed) {
            self.see_to_door();
            self.is_unsaved = self.view.person.is_some();
            self.ends.view.put(Arc::new(self.view.clone()));
            (self.ends.told)();
        }
    }

    fn publish(&mut self, now: Instant) {
        self.show();
        if std::mem::take(&mut self.is_unsaved) {
            self.save_at = self.save_at.or_else(|| now.checked_add(SAVE_AFTER));
        }
        if self.save_at.is_some_and(|at| at <= now) {
            self.save_at = None;
            self.cache.save(&self.view);
        }
    }
}

/// How long to wait before the next try: twice as long each time, up to a minute, and by `random` (0…1) not the same for all who
/// lost their connection at the same moment.
fn backoff(attempts: u32, random: f64) -> Duration {
    let most = FIRST.saturating_mul(1 << attempts.min(10)).min(LONGEST);
    most.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
}

fn is_blocked<T>(result: &Result<T, tungstenite::Error>) -> bool {
    matches!(result, Err(tungstenite::Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock)
}

/// A service that was restarted is back in less.
const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(60);

/// A session that lasted so long was no accident.
const STABLE: Duration = Duration::from_secs(10);

/// How long the end of the program waits for what was asked last.
const FAREWELL: Duration = Duration::from_secs(1);

/// Without a word for so long the service is asked for a sign of life, and after so long given up.
const QUIET: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_secs(40);

/// A cache that is a second old is as good.
const SAVE_AFTER: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_come_ever_later_and_not_at_the_same_moment_for_all() {
        assert_eq!((backoff(0, 0.0), backoff(0, 1.0)), (FIRST / 2, FIRST));
        assert_eq!(backoff(4, 1.0), Duration::from_secs(4));
        assert_eq!(backoff(40, 1.0), LONGEST);
        // After a restart that takes two seconds everybody is back within ten.
        let within: Duration = (0..5).map(|attempt| backoff(attempt, 1.0)).sum();
        assert!(within > Duration::from_secs(2) && within < Duration::from_secs(10), "{within:?}");
    }
}
