//! What the store has done for rooms.

use bevy_ecs::system::{Query, Res, ResMut};

use crate::proto::service::chat::{Push, Reply};
use crate::proto::service::frame::{Channel, Push as AnyPush, Reply as AnyReply};
use crate::proto::service::names::Seq;
use crate::proto::text::List;
use crate::roles::chat::RoomHashers;
use crate::roles::chat::asks::Then;
use crate::roles::chat::halls::{Halls, push_entries, push_typing};
use crate::service::between::Between;
use crate::service::circles::Circles;
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
    circles: Res<Circles>,
    hashers: Res<RoomHashers>,
) {
    // Whoever waits for an answer has it before it is told to all.
    let mut told = Vec::new();
    for mut done in collected.0.chat.drain(..) {
        if let Ok(Answer::Since(news)) = &mut done.answer {
            for (room, entries, newest) in news.drain(..) {
                halls.answered(room);
                halls.note(room, newest);
                push_entries(room, entries, &mut halls, &mut outbox);
            }
        }
        let Some(from) = asker(done.ticket) else { continue };
        let id = done.ticket.id;
        let mut said = None;
        let reply = match done.answer {
            Err(refusal) => {
                outbox.refuse(from, id, Channel::Chat, &refusal);
                continue;
            }
            Ok(Answer::Rooms(mut rooms)) => {
                if let Ok(session) = sessions.get(from) {
                    for room in &mut rooms {
                        // What the others have heard meanwhile is fetched by whoever knows that it is there.
                        room.last = room.last.max(halls.enter(room.room, session.account, from, room.last));
                    }
                }
                Reply::Rooms { rooms: List::cut(rooms) }
            }
            Ok(Answer::Joined { account, room, entry }) => {
                let last = entry.as_ref().map_or(room.last, |entry| Seq(entry.seq.0.saturating_sub(1)));
                for session in present.of(account) {
                    halls.enter(room.room, account, *session, last);
                }
                outbox.tell(Between::Member { room: room.room, account, last: Some(last) });
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
                outbox.tell(Between::Member { room, account, last: None });
                outbox.push_to(account, by_oneself.then_some(from), &present, &AnyPush::Chat(Push::Out { room }));
                Reply::Done
            }
            Ok(Answer::Invited { account, room, by }) => {
                let push = AnyPush::Chat(Push::Invited { room, by });
                outbox.push_to(account, None, &present, &push);
                Reply::Done
            }
            Ok(Answer::Typing { room, account, name }) => {
                if let Some(hidden_from) = circles.hides_from(account) {
                    push_typing((room, account), &name, &hidden_from, &halls, &mut outbox);
                    outbox.tell(Between::Typing { room, account, name, hidden_from });
                }
                Reply::Done
            }
            Ok(Answer::Read { account, room, seq }) => {
                outbox.push_to(account, Some(from), &present, &AnyPush::Chat(Push::Read { room, seq }));
                Reply::Done
            }
            Ok(Answer::Settings { room, notice, slow_seconds }) => {
                let push = AnyPush::Chat(Push::Settings { room, notice: notice.clone(), slow_seconds });
                outbox.push(halls.listeners(room).map(|(_, listener)| listener), &push);
                outbox.tell(Between::Settings { room, notice, slow_seconds });
                Reply::Done
            }
            Ok(Answer::Role { account, room, role }) => {
                outbox.push_to(account, None, &present, &AnyPush::Chat(Push::Role { room, role }));
                Reply::Done
            }
            Ok(Answer::Reply(reply)) => reply,
            Ok(Answer::Since(_)) => continue,
        };
        outbox.reply(from, id, &AnyReply::Chat(reply));
        told.extend(said);
    }
    for (room, entry) in told {
        outbox.tell(Between::Room { room, seq: entry.seq });
        push_entries(room, vec![*entry], &mut halls, &mut outbox);
    }
}
