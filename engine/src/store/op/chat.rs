//! Operations on rooms.

use crate::base::id::AccountId;
use crate::proto::service::account::Secret;
use crate::proto::service::chat::{Entry, Reply, Request, Role, Room};
use crate::proto::service::names::{AccountName, Person, Seq};
use crate::proto::service::names::{Key, RoomId};
use crate::proto::signal::body::Line;
use crate::proto::text::{Prose, Text};
use crate::store::op::By;
use crate::store::op::accounts::PasswordHash;

#[derive(Clone, Debug)]
pub enum Op {
    /// The rooms of an account: with them its connection hears what is said in them.
    Rooms(By),
    Create {
        by: By,
        name: Text<64>,
        topic: Line,
        private: bool,
        password: Option<PasswordHash>,
        key: Key,
    },
    /// `password` is what was said with it; where the room has one it is checked before the join is tried again, with
    /// `checked`.
    Join {
        by: By,
        room: RoomId,
        password: Option<Secret>,
        checked: Option<PasswordHash>,
    },
    /// What was said in these rooms after what is known already: at other services, too.
    Since(Vec<(RoomId, Seq)>),
    /// Everything else, as the client asks it.
    Ask {
        by: By,
        request: Box<Request>,
    },
}

#[derive(Clone, Debug)]
pub enum Answer {
    Rooms(Vec<Room>),
    /// The account belongs to the room; with an entry where it did not before.
    Joined {
        account: AccountId,
        room: Box<Room>,
        entry: Option<Box<Entry>>,
    },
    NeedsPassword {
        by: By,
        room: RoomId,
        password: Secret,
        hash: PasswordHash,
    },
    /// It is in the room's log; `None` for the entry: it was there before, under this key.
    Posted {
        room: RoomId,
        reply: Reply,
        entry: Option<Box<Entry>>,
    },
    /// The account is out.
    Left {
        account: AccountId,
        room: RoomId,
        entry: Option<Box<Entry>>,
        by_oneself: bool,
    },
    Invited {
        account: AccountId,
        room: Box<Room>,
        by: Person,
    },
    Typing {
        room: RoomId,
        account: AccountId,
        name: AccountName,
    },
    Read {
        account: AccountId,
        room: RoomId,
        seq: Seq,
    },
    /// What everybody in the room is to know.
    Settings {
        room: RoomId,
        notice: Prose<1000>,
        slow_seconds: u16,
    },
    Role {
        account: AccountId,
        room: RoomId,
        role: Role,
    },
    Reply(Reply),
    /// Rooms in which there is more, with the first of it and their newest entry.
    Since(Vec<(RoomId, Vec<Entry>, Seq)>),
}
