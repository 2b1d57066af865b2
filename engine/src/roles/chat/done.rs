//! What the store has done for rooms.

use bevy_ecs::entity::Entity;
use bevy_ecs::system::{Query, Res, ResMut};

use crate::proto::service::chat::{Entry, Push, Reply};
use crate::proto::service::frame::{Channel, Push as AnyPush, Reply as AnyReply};
use crate::proto::service::names::RoomId;
use crate::proto::text::List;
use crate::roles::chat::RoomHashers;
use crate::roles::chat::asks::Then;
use crate::roles::chat::halls::Halls;
use crate::service::session::{Present, Session};
use crate::service::shared::{Collected, Outbox, asker};
use crate::store::op::chat::Answer;
use crate::store::passwords::Work;

pub fn take_done(
    sessions: Query<&Session>,
    mut collected: ResMut<Collected>,
    mut outbox: ResMut<Outbox>,
    mut halls: ResMut<Halls>,
    present: Res<Present>,
    hashers: Res<RoomHashers>,
) {
    // Whoever waits for an answer has it before it is told to all.
    let mut told = Vec::new();
    for done in collected.0.chat.drain(..) {
        let Some(from) = asker(done.ticket) else { continue };
        let id = done.ticket.id;
        let mut said = None;
        let reply = match done.answer {
            Err(refusal) => {
                outbox.refuse(from, id, Channel::Chat, &refusal);
                continue;
            }
            Ok(Answer::Rooms(rooms)) => {
                if let Ok(session) = sessions.get(from) {
                    rooms.iter().for_each(|room| halls.enter(room.room, session.account, from));
                }
                Reply::Rooms { rooms: List::cut(rooms) }
            }
            Ok(Answer::Joined { account, room, entry }) => {
                present.of(account).iter().for_each(|session| halls.enter(room.room, account, *session));
                said = entry.map(|entry| (room.room, entry));
                Reply::Room(room)
            }
            Ok(Answer::NeedsPassword { by, room, password, hash }) => {
                let work = Work::Verify(password, Some(hash.clone()));
                if let Err(refusal) = hashers.0.submit(work, Then::Join { from, id, by, room, hash }) {
                    outbox.refuse(from, id, Channel::Chat, &refusal);
                }
                continue;
            }
            Ok(Answer::Posted { room, reply, entry }) => {
                said = entry.map(|entry| (room, entry));
                reply
            }
            Ok(Answer::Left { account, room, entry, by_oneself }) => {
                halls.leave(room, account);
                said = entry.map(|entry| (room, entry));
                let others = present.of(account).iter().copied().filter(|one| !by_oneself || *one != from);
                outbox.push(others, &AnyPush::Chat(Push::Out { room }));
                Reply::Done
            }
            Ok(Answer::Invited { account, room, by }) => {
                let push = AnyPush::Chat(Push::Invited { room, by });
                outbox.push(present.of(account).iter().copied(), &push);
                Reply::Done
            }
            Ok(Answer::Typing { room, account, name }) => {
                let others = halls.listeners(room).filter(|(one, _)| *one != account).map(|(_, listener)| listener);
                outbox.push(others, &AnyPush::Chat(Push::Typing { room, name }));
                Reply::Done
            }
            Ok(Answer::Read { account, room, seq }) => {
                let others = present.of(account).iter().copied().filter(|one| *one != from);
                outbox.push(others, &AnyPush::Chat(Push::Read { room, seq }));
                Reply::Done
            }
            Ok(Answer::Reply(reply)) => reply,
        };
        outbox.reply(from, id, &AnyReply::Chat(reply));
        told.extend(said.map(|(room, entry)| to_all(room, entry, &halls)));
    }
    for (listeners, push) in told {
        outbox.push(listeners, &push);
    }
}

/// To everybody who is in the room now, whoever said it included: the number says what they have already.
fn to_all(room: RoomId, entry: Box<Entry>, halls: &Halls) -> (Vec<Entity>, AnyPush) {
    let listeners = halls.listeners(room).map(|(_, listener)| listener);
    (listeners.collect(), AnyPush::Chat(Push::Entry { room, entry }))
}
