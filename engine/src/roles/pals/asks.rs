//! What is asked on the pal channel.

use bevy_ecs::system::{Query, Res, ResMut};

use crate::base::time::Duration;
use crate::proto::service::frame::{Channel, Reply as AnyReply};
use crate::proto::service::names::{AccountName, Millis};
use crate::proto::service::pals::{Relays, Reply, Request};
use crate::proto::text::{List, Text};
use crate::roles::pals::circle::tell_parts;
use crate::service::circles::Circles;
use crate::service::session::{Present, Session};
use crate::service::shared::{Asked, Desk, Relays as Servers};
use crate::store::op::Op as StoreOp;
use crate::store::op::pals::{Op, Signal};

pub fn take_asks(
    sessions: Query<&Session>,
    mut asked: ResMut<Asked>,
    mut circles: ResMut<Circles>,
    present: Res<Present>,
    relays: Res<Servers>,
    mut desk: Desk,
) {
    for ask in asked.pals.drain(..) {
        let Ok(session) = sessions.get(ask.from) else { continue };
        let by = desk.by(session);
        let op = match ask.ask {
            Request::SetPresence { presence, text } => {
                circles.say((session.account, ask.from), (presence, text), &present, &mut desk.outbox);
                tell_parts(&[session.account], &circles, &sessions, &present, &mut desk.outbox);
                desk.outbox.reply(ask.from, ask.id, &AnyReply::Pals(Reply::Done));
                continue;
            }
            Request::Relays => {
                let reply = Reply::Relays(credentials(&relays, &session.person.name, by.at));
                desk.outbox.reply(ask.from, ask.id, &AnyReply::Pals(reply));
                continue;
            }
            Request::Roster { after } => Op::Roster { by, after },
            Request::Signal { to, device, envelope, call } => {
                let signal = Box::new(Signal { from: session.device, device, envelope, call });
                Op::MaySignal { by, to, signal }
            }
            other => Op::Ask { by, request: Box::new(other) },
        };
        desk.submit(ask.from, ask.id, Channel::Pals, StoreOp::Pals(Box::new(op)));
    }
}

/// What a client needs to have its media relayed for [`GOOD_FOR`].
fn credentials(servers: &Servers, name: &AccountName, now: Millis) -> Relays {
    let uris = servers.uris.iter().map(|uri| Text::cut(uri)).collect();
    let until = now.0 / 1000 + GOOD_FOR.as_secs();
    let (user, password) = servers.secret.as_ref().map(|secret| secret.credentials(&name.to_string(), until)).unzip();
    if let (Some(turn), Some(user)) = (&servers.turn, &user) {
        turn.expect(user);
    }
    Relays {
        uris: List::cut(uris),
        user: Text::cut(&user.unwrap_or_default()),
        password: Text::cut(&password.unwrap_or_default()),
        until: Millis(until * 1000),
    }
}

/// Longer than any call; whoever is suspended relays no longer than that.
const GOOD_FOR: Duration = Duration::from_secs(12 * 3600);
