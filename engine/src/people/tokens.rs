//! An access token that is good, whoever of this data folder fetched it.

use crate::base::time::{WallTime, now};
use crate::net::service::https::{Asked, Failure, Place};
use crate::proto::service::account::{LoggedIn, Refresh, Request, Secret};
use crate::proto::service::names::Millis;
use crate::proto::service::refusal::{Code, Refusal};
use crate::store::login::{Logins, Tokens};

/// The time on the wall, as the service writes it.
pub fn wall() -> Millis {
    Millis(WallTime::of(now()).as_micros() / 1000)
}

/// An access token. With `stale` one that was found not to be good any more: another one then.
///
/// # Errors
/// Nobody is logged in, the session has ended ([`Code::Unauthorized`]), or the service cannot be reached.
pub fn access(logins: &Logins, place: &Place, stale: Option<&Secret>) -> Asked<Secret> {
    let is_good = |tokens: &Tokens| {
        let access = tokens.access_at(wall())?;
        (stale != Some(access)).then(|| access.clone())
    };
    if let Some(access) = logins.load()?.and_then(|login| is_good(&login.tokens?)) {
        return Ok(access);
    }
    // A refresh token is good once: of several programs one refreshes, and the others find what it brought.
    let held = logins.hold()?;
    let mut login = held.load()?.ok_or_else(logged_out)?;
    let tokens = login.tokens.clone().ok_or_else(logged_out)?;
    if let Some(access) = is_good(&tokens) {
        return Ok(access);
    }
    let request = Request::Refresh(Refresh { refresh: tokens.refresh });
    match place.account::<LoggedIn>(&request, None) {
        Ok(fresh) => {
            let access = fresh.access.clone();
            login.person = fresh.person.clone();
            login.tokens = Some(fresh.into());
            held.save(&login)?;
            Ok(access)
        }
        Err(Failure::Refused(refusal)) if refusal.code == Code::Unauthorized => {
            login.tokens = None;
            held.save(&login)?;
            Err(Failure::Refused(refusal))
        }
        Err(other) => Err(other),
    }
}

/// Runs `ask` with an access token, and once more with a fresh one where that is not good any more.
///
/// # Errors
/// As [`access`], and those of `ask`.
pub fn with_access<T>(logins: &Logins, place: &Place, ask: impl Fn(&Secret) -> Asked<T>) -> Asked<T> {
    let first = access(logins, place, None)?;
    match ask(&first) {
        Err(Failure::Refused(refusal)) if refusal.code == Code::Unauthorized => {
            ask(&access(logins, place, Some(&first))?)
        }
        other => other,
    }
}

/// Nobody is logged in here.
pub fn logged_out() -> Failure {
    Failure::Refused(Refusal::new(Code::Unauthorized, "log in first: visavis account login"))
}
