//! What a window shows of the people of a service, and what is remembered of it for when there is no network.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::command::State;
use super::trust::Trust;
use crate::proto::service::chat::{Entry, Push as ChatPush, Room, What};
use crate::proto::service::frame::Push;
use crate::proto::service::names::{AccountName, Person, RoomId};
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

    /// Adds entries of a room that is looked at: each once, in their order.
    pub fn add_entries(&mut self, room: RoomId, entries: Vec<Entry>) {
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
                if let Some(known) = self.rooms.iter_mut().find(|one| one.room == *room) {
                    known.last = known.last.max(entry.seq);
                }
                if self.talk(*room).is_some() {
                    self.add_entries(*room, vec![Entry::clone(entry)]);
                }
            }
            ChatPush::Invited { room, .. } => {
                self.invited.retain(|one| one.room != room.room);
                self.invited.push(Room::clone(room));
            }
            ChatPush::Read { room, seq } => {
                let Some(known) = self.rooms.iter_mut().find(|one| one.room == *room) else { return false };
                known.read = known.read.max(*seq);
            }
            ChatPush::Out { room } => {
                self.rooms.retain(|one| one.room != *room);
                self.talks.retain(|talk| talk.room != *room);
            }
            ChatPush::Typing { .. } | ChatPush::Unknown => return false,
        }
        true
    }
}

/// Changes the text of an entry that is here: `None` takes it away.
fn amend(
    talk: &mut Talk,
    of: crate::proto::service::names::Seq,
    change: impl FnOnce(&mut Option<crate::proto::service::chat::Words>),
) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::keys::PublicKey;
    use crate::proto::service::names::{Millis, Seq};
    use crate::proto::text::Prose;

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
