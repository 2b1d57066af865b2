//! Operations on pals.

use crate::base::id::{AccountId, CallId};
use crate::proto::keys::PublicKey;
use crate::proto::service::names::{AccountName, Bytes, Millis, Person};
use crate::proto::service::pals::{Call, LARGEST_ENVELOPE, Reply, Request};
use crate::proto::signal::body::Line;
use crate::store::op::By;

#[derive(Clone, Debug)]
pub enum Op {
    /// Who has to hear of an account's presence: at the opening of its channels.
    Circle(By),
    /// A page of the roster; whoever asks adds the presences.
    Roster { by: By, after: Option<AccountName> },
    /// Everything that changes or reads only what is stored: as the client asks it.
    Ask { by: By, request: Box<Request> },
    /// Whether an envelope may go from one to the other.
    MaySignal { by: By, to: AccountName, signal: Box<Signal> },
    /// A call that was rung for, or that nobody was there for.
    NoteCall { by: By, to: AccountId, call: CallId, missed: bool },
}

/// An envelope on its way.
#[derive(Clone, Debug)]
pub struct Signal {
    /// The device that sends it.
    pub from: PublicKey,
    /// The only one it is for.
    pub device: Option<PublicKey>,
    pub envelope: Bytes<LARGEST_ENVELOPE>,
    pub call: Option<CallId>,
}

/// One whom an account sees or is seen by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub account: AccountId,
    pub name: AccountName,
    /// The account appears offline to this one.
    pub hidden: bool,
}

#[derive(Clone, Debug)]
pub enum Answer {
    Circle(AccountName, Vec<Link>),
    Roster {
        pals: Vec<(AccountId, Person, bool)>,
        next: Option<AccountName>,
        rest: Box<Reply>,
    },
    Reply(Reply),
    /// They are pals from now on, each other's.
    Paired {
        one: (AccountId, Person),
        other: (AccountId, Person),
    },
    /// The other one is asked.
    Asked {
        of: AccountId,
        person: Person,
        note: Line,
    },
    /// They are none from now on.
    Parted {
        one: (AccountId, AccountName),
        other: (AccountId, AccountName),
    },
    /// The account appears offline to the other one from now on, or not any more.
    Hidden {
        account: AccountId,
        name: AccountName,
        from: AccountId,
        hidden: bool,
    },
    MaySignal {
        to: AccountId,
        from: Person,
        signal: Box<Signal>,
    },
    Called {
        to: AccountId,
        at: Millis,
        call: Call,
    },
}
