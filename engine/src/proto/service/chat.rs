//! The chat channel: rooms and private chats. What is in a room has one order for all, given by the service; what was
//! answered is on disk. Text in rooms can be read by who runs the service.

use serde::{Deserialize, Serialize};

use super::account::Secret;
use super::names::{AccountName, Key, Millis, Person, RoomId, Seq};
use crate::proto::signal::body::Line;
use crate::proto::text::{List, Prose, Text};

/// Entries of a page of history.
pub const PAGE: usize = 100;

/// What fits into the channel's 8 KiB in most scripts.
pub type Words = Prose<4000>;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Request {
    /// The rooms one belongs to, with how far each was read. From then on their entries are pushed. → [`Reply::Rooms`]
    Rooms,
    /// → [`Reply::Room`]
    Create {
        name: Text<64>,
        #[serde(default)]
        topic: Line,
        /// Not listed; only who was invited, or who knows the password, gets in.
        #[serde(default)]
        private: bool,
        #[serde(default)]
        password: Option<Secret>,
        key: Key,
    },
    /// → [`Reply::Room`]
    Join {
        room: RoomId,
        #[serde(default)]
        password: Option<Secret>,
    },
    /// → [`Reply::Done`]
    Leave { room: RoomId },
    /// → [`Reply::Done`]
    Invite { room: RoomId, name: AccountName },
    /// → [`Reply::Posted`]: it is on disk.
    Post { room: RoomId, key: Key, text: Words },
    /// One's own, or any as a moderator (only to delete). → [`Reply::Posted`]
    Edit { room: RoomId, key: Key, seq: Seq, text: Words },
    /// → [`Reply::Posted`]
    Delete { room: RoomId, key: Key, seq: Seq },
    /// What came after `after` (oldest first), or before `before` (newest first). → [`Reply::History`]
    History {
        room: RoomId,
        #[serde(default)]
        after: Option<Seq>,
        #[serde(default)]
        before: Option<Seq>,
        #[serde(default)]
        limit: u16,
    },
    /// Passed on to who is there, kept nowhere. → [`Reply::Done`]
    Typing { room: RoomId },
    /// How far one has read, on all of one's devices. → [`Reply::Done`]
    Read { room: RoomId, seq: Seq },
    /// → [`Reply::Members`]
    Members { room: RoomId },
    /// As a moderator. → [`Reply::Done`]
    SetTopic { room: RoomId, topic: Line },
    /// As a moderator: what everybody who comes in is shown. → [`Reply::Done`]
    SetNotice { room: RoomId, notice: Prose<1000> },
    /// As a moderator: out, and with `ban` out for good; `ban: false` for somebody who was banned lets them in again.
    /// → [`Reply::Done`]
    Kick {
        room: RoomId,
        name: AccountName,
        #[serde(default)]
        ban: Option<bool>,
    },
    /// As the host. → [`Reply::Done`]
    SetRole { room: RoomId, name: AccountName, role: Role },
    /// As a moderator: everybody else may post once in so many seconds; 0 ends it. → [`Reply::Done`]
    Slow { room: RoomId, seconds: u16 },
    #[serde(other)]
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Reply {
    Done,
    Rooms {
        rooms: List<Room, 256>,
    },
    Room(Box<Room>),
    Posted {
        room: RoomId,
        seq: Seq,
        at: Millis,
    },
    History {
        room: RoomId,
        entries: List<Entry, PAGE>,
        #[serde(default)]
        more: bool,
    },
    Members {
        room: RoomId,
        members: List<Member, 1000>,
    },
    #[serde(other)]
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Push {
    /// The next entry of a room. A gap in the numbers is filled by [`Request::History`].
    Entry {
        room: RoomId,
        entry: Box<Entry>,
    },
    Typing {
        room: RoomId,
        name: AccountName,
    },
    /// Somebody lets one into a room: [`Request::Join`] accepts.
    Invited {
        room: Box<Room>,
        by: Person,
    },
    /// One has read so far, on another of one's devices.
    Read {
        room: RoomId,
        seq: Seq,
    },
    /// One is out of a room.
    Out {
        room: RoomId,
    },
    /// The moderators have set these anew.
    Settings {
        room: RoomId,
        #[serde(default)]
        notice: Prose<1000>,
        #[serde(default)]
        slow_seconds: u16,
    },
    /// One has this much to say there from now on.
    Role {
        room: RoomId,
        role: Role,
    },
    #[serde(other)]
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    pub room: RoomId,
    pub name: Text<64>,
    #[serde(default)]
    pub topic: Line,
    /// The message of the day.
    #[serde(default)]
    pub notice: Prose<1000>,
    #[serde(default)]
    pub private: bool,
    #[serde(default)]
    pub locked: bool,
    #[serde(default)]
    pub role: Role,
    /// Its newest entry.
    pub last: Seq,
    /// How far one has read.
    #[serde(default)]
    pub read: Seq,
    pub members: u32,
    #[serde(default)]
    pub slow_seconds: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    #[serde(flatten)]
    pub person: Person,
    #[serde(default)]
    pub role: Role,
}

/// One entry of a room's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub seq: Seq,
    pub at: Millis,
    pub by: Person,
    #[serde(flatten)]
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum What {
    /// A message. In history it has its newest text; of a deleted one nothing is left but this.
    Text {
        #[serde(default)]
        text: Words,
        #[serde(default)]
        edited: bool,
        #[serde(default)]
        deleted: bool,
        /// Who is named in it by `@name` and belongs to the room.
        #[serde(default)]
        mentions: List<AccountName, 16>,
    },
    Edit {
        of: Seq,
        text: Words,
    },
    Delete {
        of: Seq,
    },
    Joined,
    Left,
    Topic {
        topic: Line,
    },
    #[serde(other)]
    Unknown,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Who made the room: may do everything, and name moderators.
    Host,
    /// May delete, kick, ban, slow down and set the topic.
    Moderator,
    /// Also what a newer side may say.
    #[default]
    #[serde(other)]
    Member,
}
