//! What comes back from the hashers.

use bevy_ecs::entity::Entity;
use bevy_ecs::system::{Query, Res, ResMut};

use crate::base::id::AccountId;
use crate::proto::keys::PublicKey;
use crate::proto::service::account::{Login, Recover, Register};
use crate::proto::service::names::AccountName;
use crate::proto::service::refusal::{Code, Refusal};
use crate::roles::accounts::Hashers;
use crate::roles::accounts::backoff::Backoff;
use crate::roles::accounts::requests::{new_recovery_code, new_tokens};
use crate::service::session::Connection;
use crate::service::shared::{Now, Outbox, Registration, Rules, Storage};
use crate::store::op::Op as StoreOp;
use crate::store::op::accounts::{Op, PasswordHash};
use crate::store::passwords::Outcome;

/// What a password was hashed or checked for.
#[derive(Debug)]
pub enum Then {
    Register(Entity, Box<Register>),
    Login { from: Entity, login: Box<Login>, seen: Option<PasswordHash> },
    ChangePassword { from: Entity, account: AccountId, device: PublicKey, seen: PasswordHash },
    Delete { from: Entity, account: AccountId, seen: PasswordHash },
    Recover(Entity, Box<Recover>),
}

pub fn take_hashed(
    connections: Query<&Connection>,
    hashers: Res<Hashers>,
    mut backoff: ResMut<Backoff>,
    mut outbox: ResMut<Outbox>,
    storage: Res<Storage>,
    rules: Res<Rules>,
    now: Res<Now>,
) {
    while let Some((outcome, then)) = hashers.0.poll() {
        let from = then.from();
        let address = connections.get(from).ok().map(|connection| connection.web.peer().ip().to_canonical());
        if let (Some(name), Some(address)) = (then.name(), address) {
            match outcome {
                Outcome::Wrong => backoff.failed(name, address, now.0),
                _ => backoff.succeeded(name, address),
            }
        }
        let submitted =
            next(outcome, then, &rules, *now).and_then(|op| storage.submit(from, 0, StoreOp::Accounts(Box::new(op))));
        if let Err(refusal) = submitted {
            outbox.refuse_http(from, &refusal);
        }
    }
}

/// The operation that an outcome permits.
fn next(outcome: Outcome, then: Then, rules: &Rules, now: Now) -> Result<Op, Refusal> {
    let at = now.wall();
    match (outcome, then) {
        (Outcome::Hashed(password), Then::Register(_, request)) => {
            let needs_invite = rules.registration == Registration::Invite;
            Ok(Op::Register {
                request,
                password,
                recovery: new_recovery_code()?,
                needs_invite,
                tokens: new_tokens(at)?,
                at,
            })
        }
        (Outcome::Right, Then::Login { login, seen: Some(seen), .. }) => {
            Ok(Op::Login { login, seen, tokens: new_tokens(at)?, at })
        }
        (Outcome::Hashed(password), Then::ChangePassword { account, device, seen, .. }) => {
            Ok(Op::SetPassword { account, device, seen, password, tokens: new_tokens(at)?, at })
        }
        (Outcome::Right, Then::Delete { account, seen, .. }) => Ok(Op::Delete { account, seen }),
        (Outcome::Hashed(password), Then::Recover(_, request)) => {
            Ok(Op::Recover { request, password, recovery: new_recovery_code()?, tokens: new_tokens(at)?, at })
        }
        (_, Then::Login { .. }) => Err(Refusal::new(Code::WrongPassword, "name or password are wrong")),
        (_, Then::ChangePassword { .. } | Then::Delete { .. }) => {
            Err(Refusal::new(Code::WrongPassword, "the password is wrong"))
        }
        (_, Then::Register(..) | Then::Recover(..)) => {
            Err(Refusal::retry_after(Code::Busy, "the service cannot hash a password at the moment", 1000))
        }
    }
}

impl Then {
    const fn from(&self) -> Entity {
        match self {
            Self::Register(from, _) | Self::Recover(from, _) => *from,
            Self::Login { from, .. } | Self::ChangePassword { from, .. } | Self::Delete { from, .. } => *from,
        }
    }

    /// Whose password was said.
    const fn name(&self) -> Option<&AccountName> {
        match self {
            Self::Login { login, .. } => Some(&login.name),
            _ => None,
        }
    }
}
