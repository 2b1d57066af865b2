//! What the store has done for pals.

use bevy_ecs::entity::Entity;
use bevy_ecs::system::{Query, Res, ResMut};

use crate::base::id::AccountId;
use crate::proto::keys::PublicKey;
use crate::proto::service::frame::{Channel, Push as AnyPush, Reply as AnyReply};
use crate::proto::service::names::Person;
use crate::proto::service::pals::{Asked, Pal, Presence, Push, Reply};
use crate::proto::text::List;
use crate::roles::pals::circle::tell_parts;
use crate::service::between::Between;
use crate::service::bus::Elsewhere;
use crate::service::circles::Circles;
use crate::service::session::{Present, Session};
use crate::service::shared::{Collected, Now, Outbox, Storage, asker};
use crate::store::op::pals::{Answer, Op, Signal};
use crate::store::op::{By, Op as StoreOp};

pub fn take_done(
    sessions: Query<&Session>,
    mut collected: ResMut<Collected>,
    mut outbox: ResMut<Outbox>,
    mut circles: ResMut<Circles>,
    (present, elsewhere): (Res<Present>, Res<Elsewhere>),
    storage: Res<Storage>,
    now: Res<Now>,
) {
    for done in collected.0.pals.drain(..) {
        let from = asker(done.ticket);
        let account = from.and_then(|from| sessions.get(from).ok()).map(|session| session.account);
        let reply = match done.answer {
            Err(refusal) => {
                if let Some(from) = from {
                    outbox.refuse(from, done.ticket.id, Channel::Pals, &refusal);
                }
                continue;
            }
            Ok(Answer::Circle(_, links)) => {
                if let Some(account) = account {
                    circles.set_links(account, links, &present, &mut outbox);
                    tell_parts(&[account], &circles, &sessions, &present, &mut outbox);
                }
                continue;
            }
            Ok(Answer::Roster { pals, next, rest }) => {
                let Some(viewer) = account else { continue };
                roster(pals, next, *rest, viewer, &circles)
            }
            Ok(Answer::Reply(reply)) => reply,
            Ok(Answer::Paired { one, other }) => {
                circles.pair(one.0, other.0, true);
                outbox.tell(Between::Paired { one: one.0, other: other.0, are_pals: true });
                for (to, pal) in [(&one, &other), (&other, &one)] {
                    let push = Push::Added(pal_of(pal.0, pal.1.clone(), false, to.0, &circles));
                    outbox.push_to(to.0, None, &present, &AnyPush::Pals(push));
                }
                tell_parts(&[one.0, other.0], &circles, &sessions, &present, &mut outbox);
                Reply::Done
            }
            Ok(Answer::Asked { of, person, note }) => {
                let push = Push::Asked(Asked { person, note });
                outbox.push_to(of, None, &present, &AnyPush::Pals(push));
                Reply::Done
            }
            Ok(Answer::Parted { one, other }) => {
                circles.pair(one.0, other.0, false);
                outbox.tell(Between::Paired { one: one.0, other: other.0, are_pals: false });
                tell_parts(&[one.0, other.0], &circles, &sessions, &present, &mut outbox);
                for (to, gone) in [(&one, &other), (&other, &one)] {
                    let push = Push::Removed { name: gone.1.clone() };
                    outbox.push_to(to.0, None, &present, &AnyPush::Pals(push));
                }
                Reply::Done
            }
            Ok(Answer::Hidden { account, from: viewer, hidden, .. }) => {
                circles.hide(account, viewer, hidden, &present, &mut outbox);
                outbox.tell(Between::Hidden { account, from: viewer, hidden });
                tell_parts(&[account], &circles, &sessions, &present, &mut outbox);
                Reply::Done
            }
            Ok(Answer::MaySignal { to, from: person, signal }) => {
                let Some(caller) = account else { continue };
                let to_whom = (to, caller, person);
                let devices = pass_on(to_whom, &signal, &sessions, &circles, &present, &elsewhere, &mut outbox);
                if let Some(call) = signal.call {
                    let by = By { account: caller, at: now.wall() };
                    let op = Op::NoteCall { by, to, call, missed: devices == 0 };
                    storage.note(StoreOp::Pals(Box::new(op)));
                }
                Reply::Sent { devices }
            }
            Ok(Answer::Called { to, call, .. }) => {
                // One who appears offline is there, and sees at once whom they missed.
                if call.missed {
                    outbox.push_to(to, None, &present, &AnyPush::Pals(Push::Missed(call)));
                }
                continue;
            }
        };
        if let Some(from) = from {
            outbox.reply(from, done.ticket.id, &AnyReply::Pals(reply));
        }
    }
}

/// Gives an envelope to the devices of `to`; to how many. One who is not seen by the caller is not rung: the caller
/// finds no difference to one who is not there.
fn pass_on(
    (to, caller, person): (AccountId, AccountId, Person),
    signal: &Signal,
    sessions: &Query<&Session>,
    circles: &Circles,
    present: &Present,
    elsewhere: &Elsewhere,
    outbox: &mut Outbox,
) -> u16 {
    if circles.seen(to, caller).0 == Presence::Offline {
        return 0;
    }
    let is_meant = |one: PublicKey| signal.device.is_none_or(|device| one == device);
    let here = |entity: &&Entity| sessions.get(**entity).is_ok_and(|session| is_meant(session.device));
    let meant: Vec<Entity> = present.of(to).iter().filter(here).copied().collect();
    let others = elsewhere.devices(to).filter(|device| is_meant(*device)).count();
    let devices = u16::try_from(meant.len() + others).unwrap_or(u16::MAX);
    let push = AnyPush::Pals(Push::Signal { from: person, device: signal.from, envelope: signal.envelope.clone() });
    if others > 0 {
        outbox.tell(Between::Push { account: to, device: signal.device, text: push.to_text() });
    }
    outbox.push(meant, &push);
    devices
}

fn roster(
    pals: Vec<(AccountId, Person, bool)>,
    next: Option<crate::proto::service::names::AccountName>,
    rest: Reply,
    viewer: AccountId,
    circles: &Circles,
) -> Reply {
    let pals = pals.into_iter().map(|(account, person, hidden)| pal_of(account, person, hidden, viewer, circles));
    let pals = List::cut(pals.collect());
    match rest {
        Reply::Roster { asked, waiting, blocked, .. } => Reply::Roster { pals, next, asked, waiting, blocked },
        other => other,
    }
}

fn pal_of(account: AccountId, person: Person, hidden: bool, viewer: AccountId, circles: &Circles) -> Pal {
    let (presence, text) = circles.seen(account, viewer);
    Pal { person, presence, text, hidden }
}
