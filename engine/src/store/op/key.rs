//! Which operations have to be done in their order: those with the same key.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::base::id::AccountId;
use crate::proto::keys::Digest;
use crate::proto::service::chat::Request;
use crate::proto::service::messages::Request as MessageRequest;
use crate::proto::service::names::{AccountName, RoomId};
use crate::store::op::accounts::hash_of;
use crate::store::op::{Op, accounts, chat, messages, pals};

/// What an operation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key<'a> {
    Account(AccountId),
    Name(&'a AccountName),
    Room(RoomId),
    Token(Digest),
    All,
}

impl Op {
    /// Operations on one room, or of one account, have one key. Those that are in each other's way mostly have.
    pub fn key(&self) -> u64 {
        let key = match self {
            Self::Accounts(op) => of_accounts(op),
            Self::Directory(op) => Key::Account(op.by.account),
            Self::Pals(op) => Key::Account(match &**op {
                pals::Op::Circle(by)
                | pals::Op::Roster { by, .. }
                | pals::Op::Ask { by, .. }
                | pals::Op::MaySignal { by, .. }
                | pals::Op::NoteCall { by, .. } => by.account,
            }),
            Self::Chat(op) => match &**op {
                chat::Op::Rooms(by) | chat::Op::Create { by, .. } => Key::Account(by.account),
                chat::Op::Join { room, .. } => Key::Room(*room),
                chat::Op::Since(rooms) => match rooms.as_slice() {
                    [(room, _)] => Key::Room(*room),
                    _ => Key::All,
                },
                chat::Op::Ask { by, request } => room_of(request).map_or(Key::Account(by.account), Key::Room),
            },
            Self::Messages(op) => match &**op {
                // Their inbox is numbered.
                messages::Op::Ask { by, request, .. } => match &**request {
                    MessageRequest::Send { to, .. } => Key::Name(to),
                    _ => Key::Account(by.account),
                },
                messages::Op::Upload { access, .. } | messages::Op::Fetch { access, .. } => Key::Token(*access),
                messages::Op::Keep { account, .. } => Key::Account(*account),
                messages::Op::Sweep { .. } => Key::All,
            },
        };
        // This hasher has no secret: the same operation has the same key in every process.
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        hasher.finish()
    }
}

fn of_accounts(op: &accounts::Op) -> Key<'_> {
    use accounts::Op;
    match op {
        Op::Register { request, .. } => Key::Name(&request.name),
        Op::Find { login } | Op::Login { login, .. } => Key::Name(&login.name),
        Op::CheckRecovery { request, .. } | Op::Recover { request, .. } => Key::Name(&request.name),
        Op::Refresh { refresh, .. } => Key::Token(hash_of(refresh)),
        Op::SetPassword { account, .. } | Op::Delete { account, .. } | Op::SetPhoto { account, .. } => {
            Key::Account(*account)
        }
        Op::Page { name, .. } => Key::Name(name),
        Op::Photo { .. } => Key::All,
        Op::Logout { access, .. }
        | Op::Check { access, .. }
        | Op::Export { access, .. }
        | Op::SetDevices { access, .. }
        | Op::Profile { access, .. }
        | Op::SetProfile { access, .. }
        | Op::Invite { access, .. }
        | Op::Reports { access, .. }
        | Op::CloseReport { access, .. }
        | Op::Suspend { access, .. }
        | Op::Open { access, .. }
        | Op::Who { access, .. } => Key::Token(*access),
    }
}

const fn room_of(request: &Request) -> Option<RoomId> {
    match request {
        Request::Join { room, .. }
        | Request::Leave { room }
        | Request::Invite { room, .. }
        | Request::Post { room, .. }
        | Request::Edit { room, .. }
        | Request::Delete { room, .. }
        | Request::History { room, .. }
        | Request::Typing { room }
        | Request::Read { room, .. }
        | Request::Members { room }
        | Request::SetTopic { room, .. }
        | Request::SetNotice { room, .. }
        | Request::Kick { room, .. }
        | Request::SetRole { room, .. }
        | Request::Slow { room, .. } => Some(*room),
        Request::Rooms | Request::Create { .. } | Request::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::service::names::{Millis, Seq};
    use crate::store::op::By;

    #[test]
    fn what_is_said_in_one_room_has_one_key_whoever_says_it() {
        let said = |account, room, request: fn(RoomId) -> Request| {
            let by = By { account: AccountId(account), at: Millis(account) };
            Op::Chat(Box::new(chat::Op::Ask { by, request: Box::new(request(RoomId(room))) })).key()
        };
        let read: fn(RoomId) -> Request = |room| Request::Read { room, seq: Seq(1) };
        let typing: fn(RoomId) -> Request = |room| Request::Typing { room };
        assert_eq!(said(1, 7, read), said(2, 7, typing));
        assert_ne!(said(1, 7, read), said(1, 8, read));
        let keys: std::collections::HashSet<u64> = (0..1000).map(|room| said(1, room, read) % 8).collect();
        assert_eq!(keys.len(), 8, "rooms are spread over all workers");
    }
}
