//! Which connections hear what is said in which room, and how far they have heard it: one order for all, whichever
//! service it was said at.

use std::collections::HashMap;

use bevy_ecs::entity::Entity;
use bevy_ecs::resource::Resource;
use bevy_ecs::system::{Local, Query, Res, ResMut};

use crate::base::id::AccountId;
use crate::base::time::{Duration, Instant};
use crate::proto::service::chat::{Entry, Push};
use crate::proto::service::frame::Push as AnyPush;
use crate::proto::service::names::{AccountName, RoomId, Seq};
use crate::service::between::Between;
use crate::service::bus::{Overheard, Peers};
use crate::service::session::{Present, Session};
use crate::service::shared::{Changes, Now, Outbox, Storage};
use crate::store::op::Op as StoreOp;
use crate::store::op::chat::Op;

/// Listeners by room, and rooms by listener.
#[derive(Resource, Debug, Default)]
pub struct Halls {
    by_room: HashMap<RoomId, Hall>,
    by_listener: HashMap<Entity, Vec<RoomId>>,
}

/// A room that somebody listens to.
#[derive(Debug)]
struct Hall {
    listeners: Vec<(AccountId, Entity)>,
    /// The newest entry that they have heard.
    told: Seq,
    /// The newest entry that is known to be there.
    newest: Seq,
    /// When the store was asked for what is between.
    asked: Option<Instant>,
    /// Whether the store was asked since somebody listens: what was said at another service just before may be missing.
    is_checked: bool,
}

impl Halls {
    /// A connection has asked for its rooms: from now on it hears what is said in them.
    pub fn open(&mut self, listener: Entity) {
        self.by_listener.entry(listener).or_default();
    }

    /// Adds a listener that has opened and knows the room's log up to `last`; how far the others have heard it.
    pub fn enter(&mut self, room: RoomId, account: AccountId, listener: Entity, last: Seq) -> Seq {
        let Some(rooms) = self.by_listener.get_mut(&listener) else { return last };
        let hall = self.by_room.entry(room).or_insert_with(|| Hall {
            listeners: Vec::new(),
            told: last,
            newest: last,
            asked: None,
            is_checked: false,
        });
        if !rooms.contains(&room) {
            rooms.push(room);
            hall.listeners.push((account, listener));
        }
        hall.told
    }

    /// All of an account's listeners are out of a room.
    pub fn leave(&mut self, room: RoomId, account: AccountId) {
        let Some(hall) = self.by_room.get_mut(&room) else { return };
        for (_, listener) in hall.listeners.iter().filter(|(one, _)| *one == account) {
            if let Some(rooms) = self.by_listener.get_mut(listener) {
                rooms.retain(|one| *one != room);
            }
        }
        hall.listeners.retain(|(one, _)| *one != account);
        if hall.listeners.is_empty() {
            self.by_room.remove(&room);
        }
    }

    pub fn listeners(&self, room: RoomId) -> impl Iterator<Item = (AccountId, Entity)> {
        self.by_room.get(&room).into_iter().flat_map(|hall| hall.listeners.iter().copied())
    }

    /// Whether an entry is the next one for those who listen. One that comes before its turn is asked for later, with
    /// what is missing before it.
    pub fn is_next(&mut self, room: RoomId, seq: Seq) -> bool {
        let Some(hall) = self.by_room.get_mut(&room) else { return false };
        hall.newest = hall.newest.max(seq);
        if seq.0 != hall.told.0 + 1 {
            return false;
        }
        hall.told = seq;
        true
    }

    /// The room's log goes up to there.
    pub fn note(&mut self, room: RoomId, seq: Seq) {
        if let Some(hall) = self.by_room.get_mut(&room) {
            hall.newest = hall.newest.max(seq);
        }
    }

    /// The store has said what is there of a room.
    pub fn answered(&mut self, room: RoomId) {
        if let Some(hall) = self.by_room.get_mut(&room) {
            (hall.asked, hall.is_checked) = (None, true);
        }
    }

    /// Rooms of which something is known to be missing, or may be where others write as well, and was not asked for just
    /// now: noted as asked for.
    fn behind(&mut self, is_shared: bool, now: Instant) -> Vec<(RoomId, Seq)> {
        let is_due = |hall: &Hall| {
            (hall.newest > hall.told || (is_shared && !hall.is_checked))
                && hall.asked.is_none_or(|asked| now >= asked + ASK_AGAIN)
        };
        let due = self.by_room.iter_mut().filter(|(_, hall)| is_due(hall));
        let asked = due.map(|(room, hall)| {
            hall.asked = Some(now);
            // Where nothing is new no answer comes.
            hall.is_checked = true;
            (*room, hall.told)
        });
        asked.collect()
    }

    fn all(&self) -> Vec<(RoomId, Seq)> {
        self.by_room.iter().map(|(room, hall)| (*room, hall.told)).collect()
    }

    fn forget(&mut self, listener: Entity) {
        for room in self.by_listener.remove(&listener).unwrap_or_default() {
            if let Some(hall) = self.by_room.get_mut(&room) {
                hall.listeners.retain(|(_, one)| *one != listener);
                if hall.listeners.is_empty() {
                    self.by_room.remove(&room);
                }
            }
        }
    }
}

/// Whoever is gone hears nothing more.
pub fn forget_gone(mut halls: ResMut<Halls>, changes: Res<Changes>) {
    changes.went.iter().for_each(|(listener, ..)| halls.forget(*listener));
}

/// Takes what the other services tell of rooms.
pub fn take_overheard(
    sessions: Query<&Session>,
    mut halls: ResMut<Halls>,
    mut overheard: ResMut<Overheard>,
    mut outbox: ResMut<Outbox>,
    present: Res<Present>,
) {
    for told in overheard.chat.drain(..) {
        match told {
            Between::Room { room, seq } => halls.note(room, seq),
            Between::Member { room, account, last: Some(last) } => {
                let of_account = present.of(account).iter().filter(|one| sessions.contains(**one));
                for session in of_account {
                    halls.enter(room, account, *session, last);
                }
            }
            Between::Member { room, account, last: None } => halls.leave(room, account),
            Between::Typing { room, account, name, hidden_from } => {
                push_typing((room, account), &name, &hidden_from, &halls, &mut outbox);
            }
            Between::Settings { room, notice, slow_seconds } => {
                let listeners = halls.listeners(room).map(|(_, listener)| listener);
                outbox.push(listeners, &AnyPush::Chat(Push::Settings { room, notice, slow_seconds }));
            }
            _ => {}
        }
    }
}

/// Asks the store for what listeners miss: at once where something is known to be missing, and for all rooms now and then,
/// because a service that was killed has told nobody of the last thing that it stored.
pub fn catch_up(
    mut halls: ResMut<Halls>,
    mut swept: Local<Option<Instant>>,
    overheard: Res<Overheard>,
    peers: Res<Peers>,
    storage: Res<Storage>,
    now: Res<Now>,
) {
    let is_shared = storage.store.health().is_some();
    for behind in halls.behind(is_shared, now.0) {
        storage.note(StoreOp::Chat(Box::new(Op::Since(vec![behind]))));
    }
    // A database of one's own has no other services.
    if !is_shared {
        return;
    }
    let is_told = peers.bus.health().is_some_and(|health| health.is_connected());
    let every = if is_told { SWEEP } else { SWEEP_ALONE };
    if overheard.has_gone || swept.is_none_or(|swept| now.0 >= swept + every) {
        *swept = Some(now.0);
        for rooms in halls.all().chunks(AT_ONCE) {
            storage.note(StoreOp::Chat(Box::new(Op::Since(rooms.to_vec()))));
        }
    }
}

/// That somebody types is told to all who listen, but to those they hide from.
pub fn push_typing(
    (room, account): (RoomId, AccountId),
    name: &AccountName,
    hidden_from: &[AccountId],
    halls: &Halls,
    outbox: &mut Outbox,
) {
    let is_told = |one: AccountId| one != account && !hidden_from.contains(&one);
    let told = halls.listeners(room).filter(|(one, _)| is_told(*one)).map(|(_, listener)| listener);
    outbox.push(told, &AnyPush::Chat(Push::Typing { room, name: name.clone() }));
}

/// Entries that are next are pushed to all who listen.
pub fn push_entries(room: RoomId, entries: Vec<Entry>, halls: &mut Halls, outbox: &mut Outbox) {
    for entry in entries {
        if halls.is_next(room, entry.seq) {
            let listeners = halls.listeners(room).map(|(_, listener)| listener);
            outbox.push(listeners, &AnyPush::Chat(Push::Entry { room, entry: Box::new(entry) }));
        }
    }
}

/// An answer that does not come, because too much waited.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Between two looks at all rooms, while the other services tell of theirs, and while they cannot.
const SWEEP: Duration = Duration::from_secs(5);
const SWEEP_ALONE: Duration = Duration::from_millis(500);

/// Rooms of one question.
const AT_ONCE: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::now;

    fn listener(n: u32) -> Entity {
        Entity::from_raw_u32(n).expect("an entity")
    }

    #[test]
    fn one_hears_the_rooms_one_is_in_until_one_leaves_or_goes() {
        let mut halls = Halls::default();
        let (room, other) = (RoomId(1), RoomId(2));
        halls.enter(room, AccountId(1), listener(1), Seq(0));
        assert_eq!(halls.listeners(room).count(), 0, "it has not asked for its rooms");
        for n in [1, 2, 3] {
            halls.open(listener(n));
        }
        for (room, account, n) in [(room, 1, 1), (room, 1, 2), (room, 1, 2), (room, 2, 3), (other, 2, 3)] {
            halls.enter(room, AccountId(account), listener(n), Seq(0));
        }
        assert_eq!(halls.listeners(room).count(), 3);
        halls.leave(room, AccountId(1));
        assert_eq!(halls.listeners(room).collect::<Vec<_>>(), [(AccountId(2), listener(3))]);
        halls.forget(listener(3));
        assert!(halls.by_room.is_empty() && halls.listeners(other).count() == 0);
    }

    #[test]
    fn what_comes_before_its_turn_is_asked_for_and_heard_once() {
        let (mut halls, room, at) = (Halls::default(), RoomId(1), now());
        halls.open(listener(1));
        assert_eq!(halls.enter(room, AccountId(1), listener(1), Seq(5)), Seq(5));
        assert_eq!(
            halls.behind(true, at),
            [(room, Seq(5))],
            "whoever is first does not know what was said just before"
        );
        halls.answered(room);
        assert!(halls.behind(true, at).is_empty());
        assert!(halls.is_next(room, Seq(6)) && !halls.is_next(room, Seq(6)), "once");
        assert!(!halls.is_next(room, Seq(8)), "7 was said elsewhere");
        assert_eq!(halls.behind(true, at), [(room, Seq(6))]);
        assert!(halls.behind(true, at).is_empty(), "asked for already");
        assert_eq!(halls.behind(true, at + ASK_AGAIN).len(), 1, "no answer has come");
        assert!(halls.is_next(room, Seq(7)) && halls.is_next(room, Seq(8)));
        halls.answered(room);
        assert!(halls.behind(true, at).is_empty());
        halls.note(room, Seq(9));
        assert_eq!(halls.behind(true, at), [(room, Seq(8))]);
        halls.open(listener(2));
        assert_eq!(halls.enter(room, AccountId(2), listener(2), Seq(3)), Seq(8), "the store's answer was older");
    }
}
