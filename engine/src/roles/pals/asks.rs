//! What is asked on the pal channel.

use bevy_ecs::system::{Query, Res, ResMut};

use crate::proto::service::frame::{Channel, Reply as AnyReply};
use crate::proto::service::pals::{Reply, Request};
use crate::roles::pals::circle::Circles;
use crate::service::session::{Present, Session};
use crate::service::shared::{Asked, Desk};
use crate::store::op::Op as StoreOp;
use crate::store::op::pals::{Op, Signal};

pub fn take_asks(
    sessions: Query<&Session>,
    mut asked: ResMut<Asked>,
    mut circles: ResMut<Circles>,
    present: Res<Present>,
    mut desk: Desk,
) {
    for ask in asked.pals.drain(..) {
        let Ok(session) = sessions.get(ask.from) else { continue };
        let by = desk.by(session);
        let op = match ask.ask {
            Request::SetPresence { presence, text } => {
                circles.say(session.account, ask.from, presence, text);
                circles.refresh(session.account, &present, &mut desk.outbox);
                desk.outbox.reply(ask.from, ask.id, &AnyReply::Pals(Reply::Done));
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
