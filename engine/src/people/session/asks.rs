//! Requests on the channels, their answers, and what is pushed.

use super::{Asker, Session, Waiting};
use crate::base::error::{Error, Kind};
use crate::base::time::{Duration, Instant};
use crate::net::service::https::{Asked, Failure};
use crate::people::command::{Notice, Outcome, State};
use crate::people::errands::Errand;
use crate::people::tokens::logged_out;
use crate::people::trust::Trust;
use crate::proto::service::frame::{Ask, Push, Reply, Said};
use crate::proto::service::names::Person;
use crate::proto::service::pals::{Pal, Request as PalsRequest};
use crate::proto::service::refusal::{Code, Refusal};
use crate::proto::service::{chat, messages, pals};
use crate::store::mailbox::What;

impl Session {
    /// The session stands: what is to be known is asked for, what waits goes out.
    pub(super) fn begin(&mut self, now: Instant) {
        if let Some(presence) = self.config.presence {
            let text = Default::default();
            self.ask(Asker::Own, Ask::Pals(PalsRequest::SetPresence { presence, text }), now);
        }
        for (asker, ask) in std::mem::take(&mut self.held) {
            self.ask(asker, ask, now);
        }
        if self.config.receive {
            self.publish_key(now);
            self.ask(Asker::Own, Ask::Pals(PalsRequest::Roster { after: None }), now);
            self.ask(Asker::Own, Ask::Chat(chat::Request::Rooms), now);
            self.ask(Asker::Own, Ask::Pals(PalsRequest::Calls { before: None, limit: 0 }), now);
            self.run_errand(Errand::Wanted { ticket: 0, wanted: crate::people::command::Wanted::Fetch });
        }
        let waiting = self.mailbox.as_ref().map(|mailbox| mailbox.outgoing()).unwrap_or_default();
        for outgoing in waiting {
            let is_ours = self.view.person.as_ref().is_some_and(|person| person.name == outgoing.from);
            if is_ours && !self.posts.iter().any(|(_, one)| one.key == outgoing.key) {
                self.deliver(0, outgoing, None, now);
            }
        }
        self.post_next(now);
    }

    /// What messages to this device are sealed to: only where the account's list has it.
    fn publish_key(&mut self, now: Instant) {
        let is_ours = self.view.person.as_ref().is_some_and(|person| person.key == self.identity.account());
        match self.logins.sealing_pair() {
            Ok(pair) if is_ours => {
                let key = pair.signed(self.identity.device());
                self.ask(Asker::Own, Ask::Messages(messages::Request::PublishKey { key }), now);
            }
            Ok(_) => {}
            Err(error) => self.tell(Notice::Trouble(error.text.into())),
        }
    }

    pub(super) fn ask(&mut self, asker: Asker, ask: Ask, now: Instant) {
        if self.link.is_some() {
            if self.asked.len() >= MOST_ASKED {
                let busy = Refusal::retry_after(Code::Busy, "the service has not answered what was asked before", 1000);
                return self.answer(asker, ask, Err(Failure::Refused(busy)), now);
            }
            let id = self.next;
            self.next = self.next.wrapping_add(1);
            let text = ask.to_text(id);
            self.asked.insert(id, Waiting { asker, ask });
            return self.send_text(text, now);
        }
        let failure = match &self.view.state {
            State::Connecting | State::Online if self.config.channels && self.held.len() < MOST_ASKED => {
                self.held.push_back((asker, ask));
                return;
            }
            State::Nobody | State::LoggedOut => logged_out(),
            State::Offline { why } => Error::new(Kind::Retry, why.clone()).into(),
            _ => Error::new(Kind::Retry, "the service is not connected yet").into(),
        };
        self.answer(asker, ask, Err(failure), now);
    }

    /// Asks again what the service had no time for.
    pub(super) fn ask_later(&mut self, now: Instant) {
        let (due, later) = std::mem::take(&mut self.later).into_iter().partition(|(at, ..)| *at <= now);
        self.later = later;
        let due: Vec<(Instant, Asker, Ask)> = due;
        due.into_iter().for_each(|(_, asker, ask)| self.ask(asker, ask, now));
    }

    pub(super) fn take_said(&mut self, said: Said, now: Instant) {
        match said {
            Said::Reply { id, reply } => {
                if let Some(Waiting { asker, ask }) = self.asked.remove(&id) {
                    self.note(&ask, &reply, now);
                    self.answer(asker, ask, Ok(reply), now);
                }
            }
            Said::Refused { id, refusal } => {
                let Some(Waiting { asker, ask }) = self.asked.remove(&id) else { return };
                let wait = refusal.retry_after_ms.filter(|_| refusal.code == Code::TooOften);
                // One behind the other: all at once they would be too often again.
                let last = self.later.iter().map(|(at, ..)| *at).max().unwrap_or(now).max(now);
                match wait.and_then(|wait| last.checked_add(Duration::from_millis(wait.into()))) {
                    Some(at) if self.later.len() < MOST_ASKED => self.later.push((at, asker, ask)),
                    _ => self.answer(asker, ask, Err(Failure::Refused(refusal)), now),
                }
            }
            Said::Push(push) => {
                let trust = match &push {
                    Push::Pals(pals::Push::Added(pal)) => self.trust([&pal.person]).pop().unwrap_or_default(),
                    _ => Trust::default(),
                };
                self.is_changed |= self.view.apply(&push, trust);
                if let Push::Chat(chat::Push::Typing { room, name }) = &push {
                    self.view.types(*room, name, now);
                    self.is_changed = true;
                }
                match &push {
                    Push::Messages(messages::Push::Arrived(_)) if self.config.receive => {
                        self.run_errand(Errand::Wanted { ticket: 0, wanted: crate::people::command::Wanted::Fetch });
                    }
                    Push::Messages(messages::Push::Read { seq }) => {
                        let marked = self.mailbox.as_ref().map(|mailbox| mailbox.read(*seq));
                        if let Some(Err(error)) = marked {
                            self.tell(Notice::Trouble(error.text.into()));
                        }
                        self.look_at_mail();
                    }
                    _ => {}
                }
                self.tell(Notice::Push(Box::new(push)));
            }
            Said::Unknown => {}
        }
    }

    pub(super) fn answer(&mut self, asker: Asker, ask: Ask, result: Asked<Reply>, now: Instant) {
        match asker {
            Asker::Ticket(ticket) => self.done(ticket, result.map(|reply| Outcome::Reply(Box::new(reply)))),
            // An errand that has given up waits no more.
            Asker::Errand(answer) => drop(answer.try_send(result)),
            Asker::Post(ticket, outgoing) => {
                self.is_posting = false;
                match result {
                    Ok(reply) => {
                        self.forget(&outgoing);
                        self.done(ticket, Ok(Outcome::Reply(Box::new(reply))));
                    }
                    // It stays in the queue and goes out at the next session.
                    Err(failure) if failure.is_passing() => {
                        let why = failure.to_string();
                        self.done(ticket, Ok(Outcome::Queued { key: outgoing.key, why }));
                    }
                    Err(failure) => {
                        self.forget(&outgoing);
                        if ticket == 0 {
                            self.tell(Notice::Trouble(format!("what was said in a room was not taken: {failure}")));
                        }
                        self.done(ticket, Err(failure));
                    }
                }
                self.post_next(now);
            }
            Asker::Own => {
                if let (Err(failure), Ask::Messages(messages::Request::PublishKey { .. })) = (&result, &ask)
                    && !failure.is_passing()
                {
                    self.tell(Notice::Trouble(format!("nobody can seal messages to this device: {failure}")));
                }
            }
        }
    }

    /// One after another, so that they stand in the room as they were said.
    pub(super) fn post_next(&mut self, now: Instant) {
        if self.is_posting || self.link.is_none() {
            return;
        }
        let Some((ticket, outgoing)) = self.posts.pop_front() else { return };
        let What::Post { room, text } = &outgoing.what else { return };
        let request = chat::Request::Post { room: *room, key: outgoing.key.clone(), text: text.clone() };
        self.is_posting = true;
        self.ask(Asker::Post(ticket, outgoing), Ask::Chat(request), now);
    }

    fn forget(&mut self, outgoing: &crate::store::mailbox::Outgoing) {
        if let Some(mailbox) = &self.mailbox {
            mailbox.sent(outgoing);
        }
        self.look_at_mail();
    }

    /// What an answer says about what is shown.
    fn note(&mut self, ask: &Ask, reply: &Reply, now: Instant) {
        match (ask, reply) {
            (Ask::Pals(request), Reply::Pals(reply)) => self.note_pals(request, reply, now),
            (Ask::Chat(request), Reply::Chat(reply)) => self.note_chat(request, reply, now),
            _ => return,
        }
        self.is_changed = true;
    }

    fn note_pals(&mut self, request: &PalsRequest, reply: &pals::Reply, now: Instant) {
        match (request, reply) {
            (PalsRequest::Roster { after }, pals::Reply::Roster { pals, next, asked, waiting, blocked }) => {
                if after.is_none() {
                    self.view.pals.clear();
                    self.view.asked = asked.to_vec();
                    (self.view.waiting, self.view.blocked) = (waiting.to_vec(), blocked.to_vec());
                }
                self.set_pals(pals);
                self.view.is_current = next.is_none();
                if next.is_some() {
                    self.ask(Asker::Own, Ask::Pals(PalsRequest::Roster { after: next.clone() }), now);
                }
            }
            (PalsRequest::Calls { before: None, .. }, pals::Reply::Calls { calls }) => {
                self.view.calls = calls.to_vec();
            }
            (PalsRequest::Remove { name }, pals::Reply::Done) => {
                self.view.pals.retain(|pal| pal.pal.person.name != *name);
                self.view.waiting.retain(|person| person.name != *name);
            }
            (PalsRequest::Decline { name }, pals::Reply::Done) => {
                self.view.asked.retain(|asked| asked.person.name != *name);
            }
            // Whom it concerns stands on the roster alone.
            (PalsRequest::Add { .. } | PalsRequest::Block { .. } | PalsRequest::Hide { .. }, pals::Reply::Done)
                if self.config.receive =>
            {
                self.ask(Asker::Own, Ask::Pals(PalsRequest::Roster { after: None }), now);
            }
            _ => {}
        }
    }

    fn note_chat(&mut self, request: &chat::Request, reply: &chat::Reply, now: Instant) {
        match (request, reply) {
            (chat::Request::Rooms, chat::Reply::Rooms { rooms }) => {
                self.view.rooms = rooms.to_vec();
                self.view.forget_read();
                // What was said while there was no connection.
                let is_behind = |room: &&chat::Room| {
                    let newest = self.view.talk(room.room).and_then(|talk| talk.entries.last());
                    newest.is_some_and(|entry| entry.seq < room.last)
                };
                let behind: Vec<_> = rooms.iter().filter(is_behind).map(|room| room.room).collect();
                behind.into_iter().for_each(|room| self.catch_up(Asker::Own, room, now));
            }
            (_, chat::Reply::Room(room)) => self.view.set_room(chat::Room::clone(room)),
            (chat::Request::Leave { room }, chat::Reply::Done) => self.view.out_of(*room),
            (chat::Request::Read { room, seq }, chat::Reply::Done) => {
                self.view.set_read(*room, *seq);
            }
            (chat::Request::History { after, .. }, chat::Reply::History { room, entries, more })
                if self.view.talk(*room).is_some() =>
            {
                self.view.add_entries(*room, entries.to_vec());
                if after.is_some() && *more {
                    self.catch_up(Asker::Own, *room, now);
                }
            }
            _ => {}
        }
    }

    fn set_pals(&mut self, pals: &[Pal]) {
        let trusts = self.trust(pals.iter().map(|pal| &pal.person));
        for (pal, trust) in pals.iter().zip(trusts) {
            if trust == Trust::Changed {
                let name = &pal.person.name;
                self.tell(Notice::Trouble(format!(
                    "the service shows another key for {name} than before: {name} is neither rung nor written to. Compare the \
                     safety number."
                )));
            }
            self.view.set_pal(pal.clone(), trust);
        }
    }

    /// How far the keys of these people are known; unverified where that cannot be read.
    fn trust<'a>(&mut self, people: impl IntoIterator<Item = &'a Person> + Clone) -> Vec<Trust> {
        let count = people.clone().into_iter().count();
        let met = self.keys.as_ref().map(|keys| keys.meet(people));
        match met {
            Some(Ok(trusts)) => trusts,
            Some(Err(error)) => {
                self.tell(Notice::Trouble(error.text.into()));
                vec![Trust::Changed; count]
            }
            None => vec![Trust::Unverified; count],
        }
    }
}

/// What may wait for its answer: a person asks for a handful at a time.
const MOST_ASKED: usize = 256;
