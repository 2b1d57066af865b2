//! What people and the other threads want of the session.

use std::net::SocketAddr;

use super::{Asker, Inner, Session};
use crate::base::time::Instant;
use crate::net::service::https::Failure;
use crate::people::command::{Command, Notice, Outcome, State, Wanted};
use crate::people::errands::Errand;
use crate::people::tokens::{logged_out, wall};
use crate::proto::service::chat;
use crate::proto::service::frame::Ask;
use crate::proto::service::names::{RoomId, Seq};
use crate::proto::service::pals::Request;
use crate::proto::service::refusal::{Code, Refusal};
use crate::store::mailbox::{Outgoing, What};

impl Session {
    pub(super) fn take_inner(&mut self, now: Instant) {
        while let Some(inner) = self.ends.inner.try_recv() {
            match inner {
                Inner::Opened(opened) => self.opened(opened, now),
                Inner::Ask { ask, answer } => self.ask(Asker::Errand(answer), *ask, now),
                Inner::Done { ticket, outcome } => self.done(ticket, outcome),
                Inner::Arrived(message) => {
                    self.look_at_mail();
                    self.tell(Notice::Arrived(message));
                }
                Inner::Mail => self.look_at_mail(),
                Inner::Login => {
                    self.lost("you are somebody else now".into(), now);
                    self.attempts = 0;
                    if let Err(error) = self.take_login() {
                        self.tell(Notice::Trouble(error.text.into()));
                    }
                    let state = self.view.state.clone();
                    self.tell(Notice::State(state));
                }
            }
        }
    }

    pub(super) fn take_commands(&mut self, now: Instant) {
        while let Some(Command { ticket, wanted }) = self.ends.commands.try_recv() {
            match wanted {
                Wanted::Ask(ask) => self.ask(Asker::Ticket(ticket), *ask, now),
                Wanted::SetPresence { presence, text } => {
                    self.config.presence = Some(presence);
                    self.view.presence = presence;
                    self.is_changed = true;
                    self.ask(Asker::Ticket(ticket), Ask::Pals(Request::SetPresence { presence, text }), now);
                }
                Wanted::Reconnect => {
                    self.lost("the network has changed".into(), now);
                    (self.attempts, self.retry_at) = (0, Some(now));
                    self.done(ticket, Ok(Outcome::Done));
                }
                Wanted::Look { room } => {
                    self.view.add_entries(room, Vec::new());
                    self.catch_up(Asker::Ticket(ticket), room, now);
                }
                Wanted::Post { room, text } => {
                    self.queue(ticket, None, now, |mailbox, from| mailbox.queue_post(from, room, text, wall()))
                }
                Wanted::Message { to, quick, at } => {
                    self.queue(ticket, at, now, |mailbox, from| mailbox.queue_message(from, to, &quick, wall()))
                }
                wanted => self.run_errand(Errand::Wanted { ticket, wanted }),
            }
        }
    }

    /// Asks for what is not known of a room: its newest page, or what came after the newest that is here.
    pub(super) fn catch_up(&mut self, asker: Asker, room: RoomId, now: Instant) {
        let newest = self.view.talk(room).and_then(|talk| talk.entries.last()).map(|entry| entry.seq);
        let before = newest.is_none().then_some(Seq(i64::MAX as u64));
        let request = chat::Request::History { room, after: newest, before, limit: 0 };
        self.ask(asker, Ask::Chat(request), now);
    }

    /// Puts something on the disk that goes out as soon as it can.
    fn queue(
        &mut self,
        ticket: u64,
        at: Option<SocketAddr>,
        now: Instant,
        put: impl FnOnce(
            &crate::store::mailbox::Mailbox,
            &crate::proto::service::names::AccountName,
        ) -> crate::base::error::Result<Outgoing>,
    ) {
        let Some((mailbox, person)) = self.mailbox.as_ref().zip(self.view.person.as_ref()) else {
            return self.done(ticket, Err(logged_out()));
        };
        match put(mailbox, &person.name) {
            Ok(outgoing) => {
                self.look_at_mail();
                self.deliver(ticket, outgoing, at, now);
            }
            Err(error) => self.done(ticket, Err(error.into())),
        }
    }

    /// Sends what is queued, where there is a way.
    pub(super) fn deliver(&mut self, ticket: u64, outgoing: Outgoing, at: Option<SocketAddr>, now: Instant) {
        if matches!(outgoing.what, What::Message { .. }) {
            // There may be a way without the service.
            return self.run_errand(Errand::Deliver { ticket, outgoing, at });
        }
        match &self.view.state {
            State::Online | State::Connecting => {}
            State::Offline { why } => {
                let why = why.clone();
                return self.done(ticket, Ok(Outcome::Queued { key: outgoing.key, why }));
            }
            State::Nobody | State::LoggedOut => {
                let why = logged_out().to_string();
                return self.done(ticket, Ok(Outcome::Queued { key: outgoing.key, why }));
            }
        }
        self.posts.push_back((ticket, outgoing));
        self.post_next(now);
    }

    pub(super) fn run_errand(&mut self, errand: Errand) {
        if let Err(refused) = self.ends.errands.try_send(errand) {
            let (crate::base::pipe::Refusal::Full(errand) | crate::base::pipe::Refusal::Gone(errand)) = refused;
            let busy = Refusal::retry_after(Code::Busy, "too much is being done at once: try again in a moment", 1000);
            self.done(errand.ticket(), Err(Failure::Refused(busy)));
        }
    }

    pub(super) fn done(&mut self, ticket: u64, outcome: Result<Outcome, Failure>) {
        if ticket != 0 {
            self.tell(Notice::Done { ticket, outcome });
        }
    }
}
