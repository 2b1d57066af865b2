//! What a window shows of the people of a service, and what is remembered of it for when there is no network.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::command::State;
use super::trust::Trust;
use crate::base::time::{Duration, Instant};
use crate::proto::service::chat::{Entry, Push as ChatPush, Room, What};
use crate::proto::service::frame::Push;
use crate::proto::service::names::{AccountName, Person, RoomId, Seq};
use crate::proto::service::pals::{Asked, Call, Pal, Presence, Push as PalsPush};
use crate::store::mailbox::Received;

/// Everything there is to show.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct View {
    #[serde(skip)]
    pub state: State,
    /// The service's end of the session.
    #[serde(skip)]
    pub reached: Option<IpAddr>,
    /// The service's host.
    pub service: String,
    /// Who one is there.
    pub person: Option<Person>,
    pub presence: Presence,
    /// The service has said who one's pals are since the session began.
    #[serde(skip)]
    pub is_current: bool,
    /// By name.
    pub pals: Vec<PalView>,
    pub asked: Vec<Asked>,
    pub waiting: Vec<Person>,
    pub blocked: Vec<Person>,
    /// Newest first.
    pub calls: Vec<Call>,
    /// Those one belongs to.
    pub rooms: Vec<Room>,
    /// What is said in the rooms that were looked at, oldest first.
    pub talks: Vec<Talk>,
    /// Invitations that were not followed yet.
    pub invited: Vec<Room>,
    /// Where one was named and has not read it.
    pub named: Vec<Named>,
    /// Who is writing at the moment.
    #[serde(skip)]
    pub typing: Vec<Typing>,
    /// Where the files of messages lie.
    #[serde(skip)]
    pub folder: PathBuf,
    /// Oldest first.
    #[serde(skip)]
    pub inbox: Vec<Received>,
    /// How much waits to be sent.
    #[serde(skip)]
    pub outgoing: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PalView {
    #[serde(flatten)]
    pub pal: Pal,
    pub trust: Trust,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Talk {
    pub room: RoomId,
    pub entries: Vec<Entry>,
}

/// An entry with one's own name in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Named {
    pub room: RoomId,
    pub seq: Seq,
    pub by: Person,
}

/// A sign that somebody writes, good for [`TYPING`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typing {
    pub room: RoomId,
    pub name: AccountName,
    pub until: Instant,
}

impl View {
    pub fn pal(&self, name: &AccountName) -> Option<&PalView> {
        self.pals.iter().find(|pal| pal.pal.person.name == *name)
    }

    pub fn talk(&self, room: RoomId) -> Option<&Talk> {
        self.talks.iter().find(|talk| talk.room == room)
    }

    /// What a push changes; `trust` is that of the person it is about. Whether it changed anything.
    pub fn apply(&mut self, push: &Push, trust: Trust) -> bool {
        match push {
            Push::Pals(push) => self.apply_pals(push, trust),
            Push::Chat(push) => self.apply_chat(push),
            Push::Directory(_) | Push::Messages(_) => false,
        }
    }

    /// One's pals are these now; nobody knows how they are while there is no connection.
    pub fn disconnected(&mut self) {
        self.is_current = false;
        for pal in &mut self.pals {
            (pal.pal.presence, pal.pal.text) = (Presence::Offline, Default::default());
        }
    }

    pub fn set_pal(&mut self, pal: Pal, trust: Trust) {
        let name = pal.person.name.clone();
        self.asked.retain(|asked| asked.person.name != name);
        self.waiting.retain(|person| person.name != name);
        match self.pals.binary_search_by(|one| one.pal.person.name.cmp(&name)) {
            Ok(at) => self.pals[at] = PalView { pal, trust },
            Err(at) => self.pals.insert(at, PalView { pal, trust }),
        }
    }

    /// A room that one has joined, or that has changed.
    pub fn set_room(&mut self, room: Room) {
        self.invited.retain(|one| one.room != room.room);
        match self.rooms.iter_mut().find(|one| one.room == room.room) {
            Some(one) => *one = room,
            None => self.rooms.push(room),
        }
    }

    /// Somebody writes in a room.
    pub fn types(&mut self, room: RoomId, name: &AccountName, now: Instant) {
        self.typing.retain(|sign| sign.room != room || sign.name != *name);
        if self.typing.len() < MOST_TYPING
            && let Some(until) = now.checked_add(TYPING)
        {
            self.typing.push(Typing { room, name: name.clone(), until });
        }
    }

    /// Drops signs that are too old. Whether there were any.
    pub fn forget_typing(&mut self, now: Instant) -> bool {
        let before = self.typing.len();
        self.typing.retain(|sign| sign.until > now);
        self.typing.len() < before
    }

    /// How far one has read in a room.
    pub fn set_read(&mut self, room: RoomId, seq: Seq) -> bool {
        let Some(known) = self.rooms.iter_mut().find(|one| one.room == room) else { return false };
        // The newest may be newer than what is known of.
        known.read = known.read.max(seq.min(known.last));
        self.named.retain(|named| named.room != room || named.seq > seq);
        true
    }

    /// Rooms are known anew: what was read on another device, and where one is no more, names one no more.
    pub fn forget_read(&mut self) {
        let rooms = &self.rooms;
        self.named.retain(|named| rooms.iter().any(|room| room.room == named.room && room.read < named.seq));
    }

    /// Whether an entry has one's own name in it, and somebody else said it.
    pub fn names_me(&self, entry: &Entry) -> bool {
        let Some(me) = self.person.as_ref().map(|person| &person.name) else { return false };
        matches!(&entry.what, What::Text { mentions, deleted: false, .. } if mentions.contains(me))
            && entry.by.name != *me
    }

    fn note_named(&mut self, room: RoomId, entry: &Entry) {
        let read = self.rooms.iter().find(|one| one.room == room).map_or(Seq(0), |one| one.read);
        let is_new = entry.seq > read && !self.named.iter().any(|one| one.room == room && one.seq == entry.seq);
        if is_new && self.names_me(entry) {
            self.named.push(Named { room, seq: entry.seq, by: entry.by.clone() });
            let over = self.named.len().saturating_sub(MOST_NAMED);
            self.named.drain(..over);
        }
        if let What::Delete { of } = entry.what {
            self.named.retain(|one| one.room != room || one.seq != of);
        }
    }

    /// One belongs to a room no more.
    pub fn out_of(&mut self, room: RoomId) {
        self.rooms.retain(|one| one.room != room);
        self.talks.retain(|talk| talk.room != room);
        self.named.retain(|named| named.room != room);
        self.typing.retain(|sign| sign.room != room);
    }

    /// Adds entries of a room that is looked at: each once, in their order.
    pub fn add_entries(&mut self, room: RoomId, entries: Vec<Entry>) {
        entries.iter().for_each(|entry| self.note_named(room, entry));
        let at = match self.talks.iter().position(|talk| talk.room == room) {
            Some(at) => at,
            None => {
                if self.talks.len() >= MOST_TALKS {
                    self.talks.remove(0);
                }
                self.talks.push(Talk { room, entries: Vec::new() });
                self.talks.len() - 1
            }
        };
        let talk = &mut self.talks[at];
        for entry in entries {
            match &entry.what {
                What::Edit { of, text } => {
                    amend(talk, *of, |what| *what = Some(text.clone()));
                }
                What::Delete { of } => {
                    amend(talk, *of, |what| *what = None);
                }
                _ => {}
            }
            match talk.entries.binary_search_by_key(&entry.seq, |one| one.seq) {
                Ok(at) => talk.entries[at] = entry,
                Err(at) => talk.entries.insert(at, entry),
            }
        }
        let over = talk.entries.len().saturating_sub(MOST_ENTRIES);
        talk.entries.drain(..over);
    }

    fn apply_pals(&mut self, push: &PalsPush, trust: Trust) -> bool {
        match push {
            PalsPush::Asked(asked) => {
                self.asked.retain(|one| one.person.name != asked.person.name);
                self.asked.insert(0, asked.clone());
            }
            PalsPush::Added(pal) => self.set_pal(pal.clone(), trust),
            PalsPush::Removed { name } => {
                self.pals.retain(|pal| pal.pal.person.name != *name);
                self.asked.retain(|asked| asked.person.name != *name);
            }
            PalsPush::Presence { name, presence, text } => {
                let Some(pal) = self.pals.iter_mut().find(|pal| pal.pal.person.name == *name) else { return false };
                (pal.pal.presence, pal.pal.text) = (*presence, text.clone());
            }
            PalsPush::Missed(call) => {
                self.calls.insert(0, call.clone());
                self.calls.truncate(MOST_CALLS);
            }
            PalsPush::Signal { .. } | PalsPush::Unknown => return false,
        }
        true
    }

    fn apply_chat(&mut self, push: &ChatPush) -> bool {
        match push {
            ChatPush::Entry { room, entry } => {
                self.typing.retain(|sign| sign.room != *room || sign.name != entry.by.name);
                if let Some(known) = self.rooms.iter_mut().find(|one| one.room == *room) {
                    known.last = known.last.max(entry.seq);
                    if let What::Topic { topic } = &entry.what {
                        known.topic = topic.clone();
                    }
                }
                if self.talk(*room).is_some() {
                    self.add_entries(*room, vec![Entry::clone(entry)]);
                } else {
                    self.note_named(*room, entry);
                }
            }
            ChatPush::Invited { room, .. } => {
                self.invited.retain(|one| one.room != room.room);
                self.invited.push(Room::clone(room));
            }
            ChatPush::Read { room, seq } => return self.set_read(*room, *seq),
            ChatPush::Out { room } => self.out_of(*room),
            ChatPush::Settings { room, notice, slow_seconds } => {
                let Some(known) = self.rooms.iter_mut().find(|one| one.room == *room) else { return false };
                (known.notice, known.slow_seconds) = (notice.clone(), *slow_seconds);
            }
            ChatPush::Role { room, role } => {
                let Some(known) = self.rooms.iter_mut().find(|one| one.room == *room) else { return false };
                known.role = *role;
            }
            ChatPush::Typing { .. } | ChatPush::Unknown => return false,
        }
        true
    }
}

/// Changes the text of an entry that is here: `None` takes it away.
fn amend(talk: &mut Talk, of: Seq, change: impl FnOnce(&mut Option<crate::proto::service::chat::Words>)) {
    let Some(entry) = talk.entries.iter_mut().find(|entry| entry.seq == of) else { return };
    if let What::Text { text, edited, deleted, .. } = &mut entry.what {
        let mut new = Some(text.clone());
        change(&mut new);
        (*edited, *deleted) = (new.is_some(), new.is_none());
        *text = new.unwrap_or_default();
    }
}

/// Rooms whose talk is kept, and what of each: a few screens.
const MOST_TALKS: usize = 32;
const MOST_ENTRIES: usize = 200;
const MOST_CALLS: usize = 100;
const MOST_NAMED: usize = 100;
const MOST_TYPING: usize = 64;

/// How long somebody who types is shown to; whoever goes on says so again before.
pub const TYPING: Duration = Duration::from_secs(6);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::now;
    use crate::proto::keys::PublicKey;
    use crate::proto::service::chat::Role;
    use crate::proto::service::names::Millis;
    use crate::proto::text::{List, Prose};

    fn person(name: &str) -> Person {
        let name = AccountName::new(name).expect("a name");
        Person { name, key: PublicKey([1; 32]), display: Default::default() }
    }

    fn entry(seq: u64, what: What) -> Entry {
        Entry { seq: Seq(seq), at: Millis(seq), by: person("ada"), what }
    }

    fn text(text: &str) -> What {
        What::Text { text: Prose::cut(text), edited: false, deleted: false, mentions: Default::default() }
    }

    fn texts(view: &View, room: RoomId) -> Vec<String> {
        let shown = |entry: &Entry| match &entry.what {
            What::Text { text, deleted: false, .. } => Some(text.to_string()),
            _ => None,
        };
        view.talk(room).expect("looked at").entries.iter().filter_map(shown).collect()
    }

    #[test]
    fn what_is_said_stands_once_and_in_its_order_whichever_way_it_came() {
        let (mut view, room) = (View::default(), RoomId(7));
        let push = |entry: Entry| Push::Chat(ChatPush::Entry { room, entry: Box::new(entry) });
        view.apply(&push(entry(9, text("not looked at"))), Trust::Unverified);
        assert!(view.talk(room).is_none());
        view.add_entries(room, vec![entry(3, text("three")), entry(1, text("one"))]);
        view.apply(&push(entry(4, text("four"))), Trust::Unverified);
        view.apply(&push(entry(3, text("three"))), Trust::Unverified);
        assert_eq!(texts(&view, room), ["one", "three", "four"]);
        view.apply(&push(entry(5, What::Edit { of: Seq(1), text: Prose::cut("ONE") })), Trust::Unverified);
        view.apply(&push(entry(6, What::Delete { of: Seq(3) })), Trust::Unverified);
        assert_eq!(texts(&view, room), ["ONE", "four"]);
        view.add_entries(room, (10..500).map(|n| entry(n, text("more"))).collect());
        assert_eq!(view.talk(room).expect("there").entries.len(), MOST_ENTRIES);
    }

    fn room(room: RoomId) -> Room {
        Room {
            room,
            name: Default::default(),
            topic: Default::default(),
            notice: Default::default(),
            private: false,
            locked: false,
            role: Role::Member,
            last: Seq(0),
            read: Seq(0),
            members: 2,
            slow_seconds: 0,
        }
    }

    #[test]
    fn one_is_told_of_ones_name_until_it_was_read_or_is_gone() {
        let mut view = View { person: Some(person("ben")), ..View::default() };
        view.set_room(room(RoomId(1)));
        let naming = |seq, by: &str, whom: &str| {
            let mentions = List::cut(vec![person(whom).name]);
            let what = What::Text { text: Prose::cut("@"), edited: false, deleted: false, mentions };
            let entry = Box::new(Entry { by: person(by), ..entry(seq, what) });
            Push::Chat(ChatPush::Entry { room: RoomId(1), entry })
        };
        for (seq, by, whom) in
            [(1, "ada", "eve"), (2, "ada", "ben"), (2, "ada", "ben"), (3, "ben", "ben"), (4, "ada", "ben")]
        {
            view.apply(&naming(seq, by, whom), Trust::Unverified);
        }
        let seqs = |view: &View| view.named.iter().map(|named| named.seq.0).collect::<Vec<_>>();
        assert_eq!(seqs(&view), [2, 4]);
        let delete = entry(5, What::Delete { of: Seq(4) });
        view.apply(&Push::Chat(ChatPush::Entry { room: RoomId(1), entry: Box::new(delete) }), Trust::Unverified);
        assert_eq!(seqs(&view), [2]);
        assert!(view.apply(&Push::Chat(ChatPush::Read { room: RoomId(1), seq: Seq(2) }), Trust::Unverified));
        assert_eq!(seqs(&view), [0; 0]);
    }

    #[test]
    fn who_types_is_shown_for_a_moment_and_until_they_have_said_it() {
        let (mut view, at) = (View::default(), now());
        view.types(RoomId(1), &person("ada").name, at);
        view.types(RoomId(1), &person("ada").name, at + Duration::from_secs(3));
        view.types(RoomId(1), &person("ben").name, at);
        assert_eq!(view.typing.len(), 2);
        assert!(!view.forget_typing(at + Duration::from_secs(5)));
        assert!(view.forget_typing(at + TYPING));
        assert_eq!(view.typing.iter().map(|sign| &*sign.name).collect::<Vec<_>>(), ["ada"]);
        let said = ChatPush::Entry { room: RoomId(1), entry: Box::new(entry(1, text("there"))) };
        view.apply(&Push::Chat(said), Trust::Unverified);
        assert!(view.typing.is_empty());
    }

    #[test]
    fn what_moderators_set_shows_with_everybody() {
        let mut view = View::default();
        view.set_room(room(RoomId(1)));
        let notice = Prose::cut("be kind");
        let set = ChatPush::Settings { room: RoomId(1), notice, slow_seconds: 30 };
        assert!(view.apply(&Push::Chat(set.clone()), Trust::Unverified));
        assert!(view.apply(&Push::Chat(ChatPush::Role { room: RoomId(1), role: Role::Moderator }), Trust::Unverified));
        let topic = entry(1, What::Topic { topic: crate::proto::signal::body::Line::cut("bridges") });
        view.apply(&Push::Chat(ChatPush::Entry { room: RoomId(1), entry: Box::new(topic) }), Trust::Unverified);
        let known = &view.rooms[0];
        assert_eq!((&*known.notice, known.slow_seconds, known.role), ("be kind", 30, Role::Moderator));
        assert_eq!(&*known.topic, "bridges");
        view.apply(&Push::Chat(ChatPush::Out { room: RoomId(1) }), Trust::Unverified);
        assert!(!view.apply(&Push::Chat(set), Trust::Unverified), "one is out of it");
    }

    #[test]
    fn who_asks_becomes_a_pal_who_is_seen_and_goes() {
        let mut view = View::default();
        let name = person("ben").name;
        let asked = Asked { person: person("ben"), note: Default::default() };
        view.apply(&Push::Pals(PalsPush::Asked(asked)), Trust::Unverified);
        assert_eq!(view.asked.len(), 1);
        let pal = Pal { person: person("ben"), presence: Presence::Offline, text: Default::default(), hidden: false };
        view.apply(&Push::Pals(PalsPush::Added(pal)), Trust::Verified);
        assert!(view.asked.is_empty());
        let there = PalsPush::Presence { name: name.clone(), presence: Presence::Away, text: Default::default() };
        assert!(view.apply(&Push::Pals(there), Trust::Unverified));
        let pal = view.pal(&name).expect("a pal");
        assert_eq!((pal.pal.presence, pal.trust), (Presence::Away, Trust::Verified));
        view.disconnected();
        assert_eq!(view.pal(&name).expect("a pal").pal.presence, Presence::Offline);
        view.apply(&Push::Pals(PalsPush::Removed { name: name.clone() }), Trust::Unverified);
        assert!(view.pal(&name).is_none());
    }

    #[test]
    fn the_cache_holds_it_without_the_state_of_the_moment() {
        let mut view = View { state: State::Online, service: "chat.example".into(), ..View::default() };
        view.add_entries(RoomId(1), vec![entry(1, text("hello"))]);
        let read: View = serde_json::from_str(&serde_json::to_string(&view).expect("written")).expect("read");
        assert_eq!(read, View { state: State::Nobody, ..view });
    }
}
