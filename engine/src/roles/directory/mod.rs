//! The directory: people who let themselves be found, and rooms that are open to all.

use bevy_ecs::schedule::{IntoScheduleConfigs, Schedule};
use bevy_ecs::system::{Query, ResMut};

use crate::proto::service::frame::{Channel, Reply};
use crate::service::Role;
use crate::service::session::Session;
use crate::service::shared::{Asked, Collected, Desk, Outbox, asker};
use crate::store::op::{Op, directory};

/// Adds the role's systems to the tick.
pub fn install(schedule: &mut Schedule) {
    schedule.add_systems((take_asks, take_done).chain().in_set(Role::Directory));
}

fn take_asks(sessions: Query<&Session>, mut asked: ResMut<Asked>, mut desk: Desk) {
    for ask in asked.directory.drain(..) {
        let Ok(session) = sessions.get(ask.from) else { continue };
        let op = directory::Op { by: desk.by(session), request: ask.ask };
        desk.submit(ask.from, ask.id, Channel::Directory, Op::Directory(Box::new(op)));
    }
}

fn take_done(mut collected: ResMut<Collected>, mut outbox: ResMut<Outbox>) {
    for done in collected.0.directory.drain(..) {
        let Some(to) = asker(done.ticket) else { continue };
        match done.answer {
            Ok(directory::Answer(reply)) => outbox.reply(to, done.ticket.id, &Reply::Directory(reply)),
            Err(refusal) => outbox.refuse(to, done.ticket.id, Channel::Directory, &refusal),
        }
    }
}
