//! Registering, and sessions: tokens, their rotation, and what ends them.

use super::accounts::{Holder, holder, take_devices};
use super::value::{Row, params};
use super::{Db, Failed, Outcome, damaged, refuse};
use crate::base::id::AccountId;
use crate::proto::keys::{Digest, PublicKey};
use crate::proto::service::account::{LoggedIn, Login, Recover, Register, Registered, Secret};
use crate::proto::service::names::{Millis, Person};
use crate::proto::service::refusal::{Code, Refusal};
use crate::proto::signal::body::Name;
use crate::store::op::accounts::{Answer, NewTokens, Op, PasswordHash, hash_of};

pub(super) fn perform(database: Db<'_>, op: &Op) -> Outcome<Answer> {
    match op {
        Op::Register { request, password, recovery, needs_invite, tokens, at } => {
            let (account, person) = register(database, request, password, recovery, *needs_invite, *at)?;
            let login = open_session(database, account, person, &request.device, tokens, None)?;
            Ok(Answer::Registered(Box::new(Registered { login, recovery: recovery.clone() })))
        }
        Op::Find { login } => {
            let query = "SELECT password FROM accounts WHERE name = ?1 AND deleted = 0";
            let read = |row: &Row| row.get(0).map(PasswordHash);
            let hash = database.row(query, params![&*login.name], read)?;
            Ok(Answer::Found { login: login.clone(), hash })
        }
        Op::Login { login, seen, tokens, at } => log_in(database, login, seen, tokens, *at),
        Op::Refresh { refresh, tokens, at } => rotate(database, &hash_of(refresh), tokens, *at),
        Op::Logout { access, at } => {
            let Holder { account, device, .. } = holder(database, access, *at)?;
            let query = "DELETE FROM tokens WHERE family = (SELECT family FROM tokens WHERE access = ?1)";
            database.execute(query, params![access.0])?;
            Ok(Answer::LoggedOut(account, device))
        }
        Op::Check { access, at, then } => {
            let Holder { account, device, password, .. } = holder(database, access, *at)?;
            Ok(Answer::ToCheck { account, device, hash: PasswordHash(password), then: then.clone() })
        }
        Op::SetPassword { account, device, seen, password, tokens, .. } => {
            let update = "UPDATE accounts SET password = ?2 WHERE id = ?1 AND password = ?3 AND deleted = 0";
            if database.execute(update, params![account.0, password.0, seen.0])? == 0 {
                return refuse(Code::WrongPassword, "the password has changed meanwhile");
            }
            end_sessions(database, *account)?;
            let person = super::accounts::person(database, *account)?;
            let login = open_session(database, *account, person, device, tokens, None)?;
            Ok(Answer::LoggedInAlone(*account, Box::new(login)))
        }
        Op::CheckRecovery { request, .. } => match recoverable(database, request) {
            Ok(_) => Ok(Answer::RecoveryGood(request.clone())),
            Err(Failed::Refused(_)) => Ok(Answer::RecoveryWrong(request.name.clone())),
            Err(other) => Err(other),
        },
        Op::Recover { request, password, recovery, tokens, .. } => {
            let (account, person) = recoverable(database, request)?;
            let update = "UPDATE accounts SET password = ?2, recovery = ?3 WHERE id = ?1";
            database.execute(update, params![account.0, password.0, hash_of(recovery).0])?;
            end_sessions(database, account)?;
            let login = open_session(database, account, person, &request.device, tokens, None)?;
            let registered = Registered { login, recovery: recovery.clone() };
            Ok(Answer::Recovered(account, Box::new(registered)))
        }
        _ => Err(damaged("operation")),
    }
}

fn register(
    database: Db<'_>,
    request: &Register,
    password: &PasswordHash,
    recovery: &Secret,
    needs_invite: bool,
    at: Millis,
) -> Outcome<(AccountId, Person)> {
    if request.devices.verify(&request.device).is_err() {
        return refuse(Code::Forbidden, "the account's key did not sign this device");
    }
    if request.name.starts_with("deleted-") {
        return refuse(Code::Taken, "that name is taken: choose another");
    }
    // An invitation is used up even where none is needed: it was meant for one.
    let is_invited = match &request.invite {
        Some(code) => {
            let update = "UPDATE invites SET uses = uses - 1 WHERE code = ?1 AND uses > 0 AND until > ?2";
            database.execute(update, params![hash_of(code).0, at.0])? == 1
        }
        None => false,
    };
    if needs_invite && !is_invited {
        return refuse(Code::Closed, "one registers here by invitation: ask somebody for a link");
    }
    let devices = serde_json::to_string(&request.devices).map_err(|_| damaged("devices"))?;
    let display = match request.display.is_empty() {
        true => Name::cut(&request.name),
        false => request.display.clone(),
    };
    let insert = "INSERT INTO accounts(name, display, password, recovery, key, devices, serial, made) \
                  VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING RETURNING id";
    let key = request.devices.account;
    let values = params![
        &*request.name,
        &*display,
        password.0,
        hash_of(recovery).0,
        key.0,
        devices,
        request.devices.serial,
        at.0
    ];
    let Some(account) = database.row(insert, values, |row| row.get(0).map(AccountId))? else {
        let query = "SELECT EXISTS(SELECT 1 FROM accounts WHERE name = ?1)";
        let is_name = database.value(query, params![&*request.name])?;
        let text =
            if is_name { "that name is taken: choose another" } else { "this account key is registered already" };
        return refuse(Code::Taken, text);
    };
    Ok((account, Person { name: request.name.clone(), key, display }))
}

fn log_in(database: Db<'_>, login: &Login, seen: &PasswordHash, tokens: &NewTokens, at: Millis) -> Outcome<Answer> {
    let (account, person) = super::accounts::find(database, &login.name)?;
    let query = "SELECT password = ?2 FROM accounts WHERE id = ?1";
    let is_same: bool = database.value(query, params![account.0, seen.0])?;
    if !is_same {
        return refuse(Code::WrongPassword, "name or password are wrong");
    }
    let query = "SELECT suspended FROM accounts WHERE id = ?1";
    if database.value(query, params![account.0])? {
        return refuse(Code::Forbidden, "this account was suspended by those who run the service");
    }
    if let Some(devices) = &login.devices {
        let (password, admin) = (String::new(), false);
        let holder = Holder { account, person: person.clone(), device: login.device, password, admin };
        take_devices(database, &holder, devices)?;
    }
    database.execute("DELETE FROM tokens WHERE account = ?1 AND refresh_until <= ?2", params![account.0, at.0])?;
    let login = open_session(database, account, person, &login.device, tokens, None)?;
    Ok(Answer::LoggedIn(Box::new(login)))
}

/// RFC 9700 §4.14.2: a refresh token is good once; one that comes again was stolen from one of two, so both are out.
fn rotate(database: Db<'_>, refresh: &Digest, tokens: &NewTokens, at: Millis) -> Outcome<Answer> {
    let gone = || Failed::from(Refusal::new(Code::Unauthorized, "the session has ended: log in again"));
    let query = "SELECT family, account, device, used, refresh_until FROM tokens WHERE refresh = ?1";
    type Found = ([u8; 32], u64, [u8; 32], bool, u64);
    let read = |row: &Row| -> Outcome<Found> { Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)) };
    let found = database.row(query, params![refresh.0], read)?;
    let (family, account, device, used, until) = found.ok_or_else(gone)?;
    let account = AccountId(account);
    if used {
        database.execute("DELETE FROM tokens WHERE family = ?1", params![family])?;
        // An answer, not a refusal: the deletion is to stay.
        return Ok(Answer::Reused(account, PublicKey(device)));
    }
    if until <= at.0 {
        return Err(gone());
    }
    database.execute("UPDATE tokens SET used = 1 WHERE refresh = ?1", params![refresh.0])?;
    let person = super::accounts::person(database, account)?;
    let login = open_session(database, account, person, &PublicKey(device), tokens, Some(family))?;
    Ok(Answer::LoggedIn(Box::new(login)))
}

fn recoverable(database: Db<'_>, request: &Recover) -> Outcome<(AccountId, Person)> {
    let wrong = || Failed::from(Refusal::new(Code::WrongPassword, "name or recovery code are wrong"));
    let query = "SELECT id, name, key, display FROM accounts WHERE name = ?1 AND recovery = ?2 AND deleted = 0 AND suspended = 0";
    let code = Secret::new(&plain_code(request.code.expose()));
    let values = params![&*request.name, hash_of(&code).0];
    let found = database.row(query, values, super::accounts::person_of)?;
    found.ok_or_else(wrong)
}

/// A code as it was given, however it was written down.
fn plain_code(code: &str) -> String {
    let letters: Vec<char> = code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect();
    letters.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join("-")
}

fn end_sessions(database: Db<'_>, account: AccountId) -> Outcome<()> {
    database.execute("DELETE FROM tokens WHERE account = ?1", params![account.0])?;
    Ok(())
}

fn open_session(
    database: Db<'_>,
    account: AccountId,
    person: Person,
    device: &PublicKey,
    tokens: &NewTokens,
    family: Option<[u8; 32]>,
) -> Outcome<LoggedIn> {
    let NewTokens { access, access_until, refresh, refresh_until } = tokens.clone();
    let refresh_hash = hash_of(&refresh).0;
    let insert = "INSERT INTO tokens(refresh, access, family, account, device, access_until, refresh_until) \
                  VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    database.execute(
        insert,
        params![
            refresh_hash,
            hash_of(&access).0,
            family.unwrap_or(refresh_hash),
            account.0,
            device.0,
            access_until.0,
            refresh_until.0
        ],
    )?;
    Ok(LoggedIn { person, access, access_until, refresh, refresh_until })
}
