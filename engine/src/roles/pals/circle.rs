//! Who came and went, and what the other services tell of theirs.

use bevy_ecs::system::{Query, Res, ResMut};

use crate::base::id::AccountId;
use crate::service::between::{Between, Part};
use crate::service::bus::{OfPals, Overheard};
use crate::service::circles::Circles;
use crate::service::session::{Present, Session};
use crate::service::shared::{Changes, Now, Outbox, Storage};
use crate::store::op::pals::Op;
use crate::store::op::{By, Op as StoreOp};

/// Loads the circle of whoever came, and shows who went.
pub fn follow_sessions(
    sessions: Query<&Session>,
    mut circles: ResMut<Circles>,
    mut outbox: ResMut<Outbox>,
    changes: Res<Changes>,
    present: Res<Present>,
    storage: Res<Storage>,
    now: Res<Now>,
) {
    let mut changed = Vec::new();
    for (entity, session, _) in &changes.went {
        circles.forget(session.account, *entity, &present, &mut outbox);
        changed.push(session.account);
        // Of several that went in one tick the last one finds nobody left.
        if present.of(session.account).is_empty() {
            circles.remove(session.account);
        }
    }
    for entity in &changes.came {
        let Ok(session) = sessions.get(*entity) else { continue };
        changed.push(session.account);
        if circles.add(session.account, &session.person.name) {
            let by = By { account: session.account, at: now.wall() };
            let op = StoreOp::Pals(Box::new(Op::Circle(by)));
            // Refused where too much waits: the client's own requests are refused then too, and it comes again.
            if storage.submit(*entity, 0, op).is_err() {
                circles.remove(session.account);
            }
        }
    }
    for account in changed {
        match circles.part(account, &sessions, &present) {
            Some(part) => outbox.tell(Between::Here { parts: vec![part] }),
            None => outbox.tell(Between::Left { account }),
        }
    }
}

/// Takes what the other services tell of their accounts, and tells those that are new all of this one's.
pub fn take_overheard(
    sessions: Query<&Session>,
    mut circles: ResMut<Circles>,
    mut overheard: ResMut<Overheard>,
    mut outbox: ResMut<Outbox>,
    present: Res<Present>,
) {
    for (from, told) in overheard.pals.drain(..) {
        match told {
            OfPals::Here(part) => circles.set_elsewhere(from, part, &present, &mut outbox),
            OfPals::Left(account) => circles.left_elsewhere(from, account, &present, &mut outbox),
            OfPals::Void => circles.forget_elsewhere(from, &present, &mut outbox),
            OfPals::Paired { one, other, are_pals } => {
                circles.pair(one, other, are_pals);
                tell_parts(&[one, other], &circles, &sessions, &present, &mut outbox);
            }
            OfPals::Hidden { account, from: viewer, hidden } => {
                circles.hide(account, viewer, hidden, &present, &mut outbox);
                tell_parts(&[account], &circles, &sessions, &present, &mut outbox);
            }
        }
    }
    if overheard.say_all {
        let accounts: Vec<AccountId> = circles.accounts().collect();
        // A few at once, so that no message is too long: an account has a thousand pals at most.
        for accounts in accounts.chunks(50) {
            tell_parts(accounts, &circles, &sessions, &present, &mut outbox);
        }
    }
}

/// Tells the other services of this one's part of some accounts.
pub fn tell_parts(
    accounts: &[AccountId],
    circles: &Circles,
    sessions: &Query<&Session>,
    present: &Present,
    outbox: &mut Outbox,
) {
    let parts: Vec<Part> = accounts.iter().filter_map(|one| circles.part(*one, sessions, present)).collect();
    if !parts.is_empty() {
        outbox.tell(Between::Here { parts });
    }
}
