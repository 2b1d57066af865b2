//! What is asked of a session, and what it tells.

use std::fmt;
use std::net::SocketAddr;

use crate::net::service::https::Failure;
use crate::proto::contact::Contact;
use crate::proto::quick::Quick;
use crate::proto::service::account::{Invitation, Report, Secret};
use crate::proto::service::frame::{Ask, Push, Reply};
use crate::proto::service::link::ServiceLink;
use crate::proto::service::names::{AccountName, Key, Person, RoomId, Seq};
use crate::proto::service::pals::Presence;
use crate::proto::service::profile::Profile;
use crate::proto::signal::body::{Line, Name};
use crate::proto::text::Prose;
use crate::store::mailbox::Received;

/// One wish; the ticket comes back with its outcome. 0: nobody waits for it.
#[derive(Clone, Debug)]
pub struct Command {
    pub ticket: u64,
    pub wanted: Wanted,
}

#[derive(Clone, PartialEq, Eq)]
pub enum Wanted {
    /// → [`Outcome::Registered`]
    Register { service: ServiceLink, name: AccountName, password: Secret, display: Name },
    /// → [`Outcome::LoggedIn`]
    LogIn { service: ServiceLink, name: AccountName, password: Secret },
    /// With the recovery code. → [`Outcome::Registered`], with a new one.
    Recover { service: ServiceLink, name: AccountName, code: Secret, new: Secret },
    /// → [`Outcome::Done`]; what is kept here of the account stays.
    LogOut,
    /// → [`Outcome::Done`]
    ChangePassword { old: Secret, new: Secret },
    /// → [`Outcome::Done`]
    Delete { password: Secret },
    /// → [`Outcome::Export`]
    Export,
    /// → [`Outcome::Profile`]
    Profile,
    /// → [`Outcome::Profile`]
    SetProfile(Box<Profile>),
    /// JPEG, PNG or WebP. → [`Outcome::Profile`]
    SetPhoto(Vec<u8>),
    /// → [`Outcome::Invitation`]
    Invite { uses: u16 },
    /// As one who runs the service: what was reported, after this number. → [`Outcome::Reports`]
    Reports { after: u64 },
    /// A report was dealt with. → [`Outcome::Done`]
    CloseReport { number: u64 },
    /// An account can log in no more, or again. → [`Outcome::Done`]
    Suspend { name: AccountName, suspended: bool },
    /// Any request of a channel. → [`Outcome::Reply`]
    Ask(Box<Ask>),
    /// Ask somebody to be a pal, or accept; by a link only whoever has its key. → [`Outcome::Befriended`]
    Befriend { contact: Contact, note: Line },
    /// The sixty digits were compared with them. → [`Outcome::Done`]
    Verify { name: AccountName },
    /// Said in a room: kept until it is there. → [`Outcome::Reply`] or [`Outcome::Queued`]
    Post { room: RoomId, text: Prose<4000> },
    /// A Quick Message: kept until it is there. `at`: where their program may take it. → [`Outcome::Sent`] or
    /// [`Outcome::Queued`]
    Message { to: AccountName, quick: Box<Quick>, at: Option<SocketAddr> },
    /// Fetches what has come. → [`Outcome::Fetched`]
    Fetch,
    /// Marks it as read, here and on one's other devices. → [`Outcome::Message`]
    Read { seq: Seq },
    /// → [`Outcome::Done`]
    DeleteMessage { seq: Seq },
    /// → [`Outcome::Done`]
    SetPresence { presence: Presence, text: Line },
    /// The network has changed: the connection is made anew. → [`Outcome::Done`]
    Reconnect,
    /// Keep what is said in this room in the view, from its newest entries on. → [`Outcome::Done`]
    Look { room: RoomId },
}

/// How a wish came out.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Done,
    Registered {
        person: Person,
        recovery: Secret,
    },
    LoggedIn {
        person: Person,
    },
    Export(Box<serde_json::Value>),
    Profile(Box<Profile>),
    Invitation(Box<Invitation>),
    Reports(Vec<Report>),
    Reply(Box<Reply>),
    /// The service says who that is; `pals`: they asked before, or were already.
    Befriended {
        person: Person,
        pals: bool,
        verified: bool,
    },
    /// `direct`: from program to program.
    Sent {
        key: Key,
        direct: bool,
    },
    /// It is kept and goes out when the service can be reached.
    Queued {
        key: Key,
        why: String,
    },
    Fetched {
        new: usize,
        waiting: usize,
    },
    Message(Box<Received>),
}

#[derive(Clone, Debug)]
pub enum Notice {
    Done {
        ticket: u64,
        outcome: Result<Outcome, Failure>,
    },
    State(State),
    /// From the service, as it came.
    Push(Box<Push>),
    /// A message is in the inbox.
    Arrived(Box<Received>),
    /// One line for the person.
    Trouble(String),
}

/// Where the session stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Nobody has logged in here.
    #[default]
    Nobody,
    /// The session has ended for good: log in again.
    LoggedOut,
    Connecting,
    Online,
    /// Tried again by itself, unless `why` needs a person.
    Offline {
        why: String,
    },
}

impl fmt::Debug for Wanted {
    /// Its name alone: what people say and show is nobody's but theirs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Register { .. } => "Register",
            Self::LogIn { .. } => "LogIn",
            Self::Recover { .. } => "Recover",
            Self::LogOut => "LogOut",
            Self::ChangePassword { .. } => "ChangePassword",
            Self::Delete { .. } => "Delete",
            Self::Export => "Export",
            Self::Profile => "Profile",
            Self::SetProfile(_) => "SetProfile",
            Self::SetPhoto(_) => "SetPhoto",
            Self::Invite { .. } => "Invite",
            Self::Reports { .. } => "Reports",
            Self::CloseReport { .. } => "CloseReport",
            Self::Suspend { .. } => "Suspend",
            Self::Ask(_) => "Ask",
            Self::Befriend { .. } => "Befriend",
            Self::Verify { .. } => "Verify",
            Self::Post { .. } => "Post",
            Self::Message { .. } => "Message",
            Self::Fetch => "Fetch",
            Self::Read { .. } => "Read",
            Self::DeleteMessage { .. } => "DeleteMessage",
            Self::SetPresence { .. } => "SetPresence",
            Self::Reconnect => "Reconnect",
            Self::Look { .. } => "Look",
        })
    }
}
