//! What the service asks of its store: whole operations, each of which happens or does not. There are no getters of
//! rows: an operation says what the roles need to know, so that another database can do it in its own way.

use crate::base::id::AccountId;
use crate::proto::service::names::{Millis, RoomId};
use crate::proto::service::refusal::Refusal;

pub mod accounts;
pub mod chat;
pub mod directory;
mod key;
pub mod messages;
pub mod pals;

/// Comes back with the answer: who asked, and what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticket {
    /// The asking connection, as its owner numbers them.
    pub to: u64,
    /// The request's id on its channel.
    pub id: u64,
}

#[derive(Clone, Debug)]
pub enum Op {
    Accounts(Box<accounts::Op>),
    Directory(Box<directory::Op>),
    Pals(Box<pals::Op>),
    Chat(Box<chat::Op>),
    Messages(Box<messages::Op>),
}

/// Whose operation it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    Accounts,
    Directory,
    Pals,
    Chat,
    Messages,
}

impl Op {
    pub const fn whose(&self) -> Whose {
        match self {
            Self::Accounts(_) => Whose::Accounts,
            Self::Directory(_) => Whose::Directory,
            Self::Pals(_) => Whose::Pals,
            Self::Chat(_) => Whose::Chat,
            Self::Messages(_) => Whose::Messages,
        }
    }
}

#[derive(Clone, Debug)]
pub enum Answer {
    Accounts(accounts::Answer),
    Directory(directory::Answer),
    Pals(pals::Answer),
    Chat(chat::Answer),
    Messages(messages::Answer),
}

/// An operation that is done; what was answered well is on disk.
#[derive(Debug)]
pub struct Done<T> {
    pub ticket: Ticket,
    pub answer: Result<T, Refusal>,
}

/// What has been done, by whom it concerns.
#[derive(Debug, Default)]
pub struct Finished {
    pub accounts: Vec<Done<accounts::Answer>>,
    pub directory: Vec<Done<directory::Answer>>,
    pub pals: Vec<Done<pals::Answer>>,
    pub chat: Vec<Done<chat::Answer>>,
    pub messages: Vec<Done<messages::Answer>>,
}

/// Who does something, and when.
#[derive(Clone, Copy, Debug)]
pub struct By {
    pub account: AccountId,
    pub at: Millis,
}

/// Who does something in which room, and when.
#[derive(Clone, Copy, Debug)]
pub struct In {
    pub by: By,
    pub room: RoomId,
}
