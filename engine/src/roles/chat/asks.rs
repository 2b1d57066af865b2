//! What is asked on the chat channel.

use bevy_ecs::entity::Entity;
use bevy_ecs::system::{Query, Res, ResMut};

use crate::proto::service::chat::Request;
use crate::proto::service::frame::Channel;
use crate::proto::service::names::{Key, RoomId};
use crate::proto::service::refusal::{Code, Refusal};
use crate::proto::signal::body::Line;
use crate::proto::text::Text;
use crate::roles::chat::RoomHashers;
use crate::roles::chat::halls::Halls;
use crate::service::session::Session;
use crate::service::shared::{Asked, Counters, Desk};
use crate::store::op::accounts::PasswordHash;
use crate::store::op::chat::Op;
use crate::store::op::{By, Op as StoreOp};
use crate::store::passwords::{Outcome, Work};

/// What a room's password was hashed or checked for.
#[derive(Debug)]
pub enum Then {
    Create { from: Entity, id: u64, by: By, name: Text<64>, topic: Line, private: bool, key: Key },
    Join { from: Entity, id: u64, by: By, room: RoomId, hash: PasswordHash },
}

pub fn take_asks(
    sessions: Query<&Session>,
    mut asked: ResMut<Asked>,
    mut halls: ResMut<Halls>,
    mut counters: ResMut<Counters>,
    hashers: Res<RoomHashers>,
    mut desk: Desk,
) {
    for ask in asked.chat.drain(..) {
        let (from, id) = (ask.from, ask.id);
        let Ok(session) = sessions.get(from) else { continue };
        let by = desk.by(session);
        let op = match ask.ask {
            Request::Rooms => {
                halls.open(from);
                Ok(Op::Rooms(by))
            }
            Request::Create { name, topic, private, password: None, key } => {
                Ok(Op::Create { by, name, topic, private, password: None, key })
            }
            Request::Create { name, topic, private, password: Some(password), key } => {
                Err((Work::Hash(password), Then::Create { from, id, by, name, topic, private, key }))
            }
            Request::Join { room, password } => Ok(Op::Join { by, room, password, checked: None }),
            other => {
                counters.posts += u64::from(matches!(other, Request::Post { .. }));
                Ok(Op::Ask { by, request: Box::new(other) })
            }
        };
        let taken = match op {
            Ok(op) => desk.storage.submit(from, id, StoreOp::Chat(Box::new(op))),
            Err((work, then)) => hashers.0.submit(work, then),
        };
        desk.refuse_unless(taken, from, id, Channel::Chat);
    }
}

pub fn take_hashed(hashers: Res<RoomHashers>, mut desk: Desk) {
    while let Some((outcome, then)) = hashers.0.poll() {
        let (from, id, op) = match (outcome, then) {
            (Outcome::Hashed(password), Then::Create { from, id, by, name, topic, private, key }) => {
                (from, id, Ok(Op::Create { by, name, topic, private, password: Some(password), key }))
            }
            (Outcome::Right, Then::Join { from, id, by, room, hash }) => {
                (from, id, Ok(Op::Join { by, room, password: None, checked: Some(hash) }))
            }
            (_, Then::Join { from, id, .. }) => {
                (from, id, Err(Refusal::new(Code::WrongPassword, "that is not the room's password")))
            }
            (_, Then::Create { from, id, .. }) => {
                let text = "the service cannot hash a password at the moment";
                (from, id, Err(Refusal::retry_after(Code::Busy, text, 1000)))
            }
        };
        let taken = op.and_then(|op| desk.storage.submit(from, id, StoreOp::Chat(Box::new(op))));
        desk.refuse_unless(taken, from, id, Channel::Chat);
    }
}
