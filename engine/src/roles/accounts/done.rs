//! What the store has done for accounts.

use bevy_ecs::entity::Entity;
use bevy_ecs::system::{Commands, Query, Res, ResMut};
use serde::Serialize;

use crate::base::id::AccountId;
use crate::net::web::connection::{Close, Response};
use crate::proto::keys::PublicKey;
use crate::proto::service::account::{Invitation, Nothing};
use crate::proto::service::link::ServiceLink;
use crate::proto::service::refusal::{Code, Refusal};
use crate::roles::accounts::backoff::Backoff;
use crate::roles::accounts::hashed::Then;
use crate::roles::accounts::photo::Painters;
use crate::roles::accounts::{Hashers, pages};
use crate::service::between::Between;
use crate::service::files::{Files, Wanted};
use crate::service::session::{Connection, Present, Session, Strangers};
use crate::service::shared::{Changes, Collected, Now, Out, Outbox, Rules, asker};
use crate::store::op::accounts::{Answer, Checked, Holder, Opened};
use crate::store::passwords::Work;

pub fn take_done(
    connections: Query<&Connection>,
    sessions: Query<&Session>,
    mut collected: ResMut<Collected>,
    mut outbox: ResMut<Outbox>,
    mut present: ResMut<Present>,
    mut strangers: ResMut<Strangers>,
    mut changes: ResMut<Changes>,
    mut backoff: ResMut<Backoff>,
    hashers: Res<Hashers>,
    painters: Res<Painters>,
    files: Res<Files>,
    rules: Res<Rules>,
    now: Res<Now>,
    mut commands: Commands,
) {
    for done in collected.0.accounts.drain(..) {
        // Nobody waits for what follows from something else.
        let from = asker(done.ticket);
        let address = from.and_then(|from| connections.get(from).ok()).map(|connection| connection.web.peer().ip());
        let close = |outbox: &mut Outbox, account: AccountId, device: Option<PublicKey>| {
            outbox.tell(Between::Close { account, device });
            for entity in present.of(account) {
                if device.is_none_or(|device| sessions.get(*entity).is_ok_and(|session| session.device == device)) {
                    outbox.close(*entity, Close::Ended);
                }
            }
        };
        let answer = match done.answer {
            Ok(Answer::Opened(opened)) => {
                // Whoever asked may have gone meanwhile.
                if let (Some(from), Some(address)) = (from, address) {
                    strangers.remove(address.to_canonical(), from);
                    open(from, *opened, &mut present, &mut changes, &mut outbox, *now, &mut commands);
                }
                continue;
            }
            Ok(Answer::Found { login, hash }) => {
                let Some(from) = from else { continue };
                let work = Work::Verify(login.password.clone(), hash.clone());
                hashers.0.submit(work, Then::Login { from, login, seen: hash }).map(|()| None)
            }
            Ok(Answer::ToCheck { account, device, hash, then }) => {
                let Some(from) = from else { continue };
                match then {
                    Checked::ChangePassword { old, new } => {
                        let work = Work::Replace { old, seen: hash.clone(), new };
                        hashers.0.submit(work, Then::ChangePassword { from, account, device, seen: hash })
                    }
                    Checked::Delete { password } => {
                        let work = Work::Verify(password, Some(hash.clone()));
                        hashers.0.submit(work, Then::Delete { from, account, seen: hash })
                    }
                }
                .map(|()| None)
            }
            Ok(Answer::RecoveryGood(request)) => {
                let Some(from) = from else { continue };
                hashers.0.submit(Work::Hash(request.new.clone()), Then::Recover(from, request)).map(|()| None)
            }
            Ok(Answer::RecoveryWrong(name)) => {
                if let Some(address) = address {
                    backoff.failed(&name, address, now.0);
                }
                Err(Refusal::new(Code::WrongPassword, "name or recovery code are wrong"))
            }
            Ok(Answer::Holder { account, then: Holder::Photo(bytes) }) => {
                let Some(from) = from else { continue };
                painters.submit(from, account, bytes).map(|()| None)
            }
            Ok(Answer::Registered(registered)) => Ok(Some(json(&registered))),
            Ok(Answer::LoggedIn(login)) => Ok(Some(json(&login))),
            Ok(Answer::LoggedInAlone(account, login)) => {
                close(&mut outbox, account, None);
                Ok(Some(json(&login)))
            }
            Ok(Answer::Recovered(account, registered)) => {
                if let Some(address) = address {
                    backoff.succeeded(&registered.login.person.name, address);
                }
                close(&mut outbox, account, None);
                Ok(Some(json(&registered)))
            }
            Ok(Answer::LoggedOut(account, device)) => {
                close(&mut outbox, account, Some(device));
                Ok(Some(json(&Nothing {})))
            }
            Ok(Answer::Reused(account, device)) => {
                close(&mut outbox, account, Some(device));
                Err(Refusal::new(Code::Unauthorized, "the session has ended: log in again"))
            }
            Ok(Answer::Deleted(account)) => {
                close(&mut outbox, account, None);
                Ok(Some(json(&Nothing {})))
            }
            Ok(Answer::Reports(reports)) => Ok(Some(json(&reports))),
            Ok(Answer::Suspended(account)) => {
                close(&mut outbox, account, None);
                Ok(Some(json(&Nothing {})))
            }
            Ok(Answer::Export(export)) => Ok(Some(json(&export))),
            Ok(Answer::Done) => Ok(Some(json(&Nothing {}))),
            Ok(Answer::Profile(profile)) => Ok(Some(json(&profile))),
            Ok(Answer::PhotoSet { profile, old }) => {
                files.remove(&old);
                Ok(Some(json(&profile)))
            }
            Ok(Answer::Invited(code)) => {
                let host = if rules.host.is_empty() { "localhost".to_owned() } else { rules.host.clone() };
                let pin = Some(rules.pin);
                let link = ServiceLink { host, port: ServiceLink::named(rules.port), pin, invite: Some(code.clone()) }
                    .to_string();
                Ok(Some(json(&Invitation { invite: code, link })))
            }
            Ok(Answer::Page { person, profile, viewer: _ }) => Ok(Some(pages::profile(&person, &profile))),
            Ok(Answer::Photo(name)) => {
                let Some(from) = from else { continue };
                let wanted = Wanted { from, name, content_type: "image/jpeg", none: "there is no such photo" };
                files.read(wanted).map(|()| None)
            }
            Err(refusal) => Err(refusal),
        };
        let Some(from) = from else { continue };
        match answer {
            Ok(Some(response)) => outbox.answer(from, response),
            Ok(None) => {}
            Err(refusal) => outbox.refuse_http(from, &refusal),
        }
    }
}

fn open(
    from: Entity,
    opened: Opened,
    present: &mut Present,
    changes: &mut Changes,
    outbox: &mut Outbox,
    now: Now,
    commands: &mut Commands,
) {
    let Opened { account, person, device, admin, key } = opened;
    // A person has so many devices at most: the one that has been there longest makes room.
    if let Some(oldest) = present.of(account).first().filter(|_| present.of(account).len() >= MOST_SESSIONS) {
        outbox.close(*oldest, Close::Crowded);
    }
    commands.entity(from).try_insert(Session::new(account, person, device, admin, now.0));
    present.add(account, from);
    tracing::info!(target: "session", account = account.0, "opened");
    changes.came.push(from);
    outbox.0.push((from, Out::Upgrade(key)));
}

fn json<T: Serialize>(answer: &T) -> Response {
    // These types have no map with keys that are not text, which is all that can fail.
    Response::json(200, serde_json::to_vec(answer).unwrap_or_default())
}

const MOST_SESSIONS: usize = 16;
