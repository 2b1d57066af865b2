//! Accounts, profiles and invitations.

use serde_json::json;

use super::accounts_admin as admin;
use super::accounts_login as login;
use super::value::{Row, Value, params};
use super::{Db, Failed, Outcome, damaged, refuse};
use crate::base::id::AccountId;
use crate::proto::devices::DeviceList;
use crate::proto::keys::{Digest, PublicKey};
use crate::proto::service::account::{Export, Secret};
use crate::proto::service::names::{AccountName, Millis, Person};
use crate::proto::service::profile::{Profile, Viewer, Visibility};
use crate::proto::service::refusal::{Code, Refusal};
use crate::store::op::accounts::{Answer, Op, Opened, hash_of};

pub(super) fn perform(database: Db<'_>, op: &Op) -> Outcome<Answer> {
    match op {
        Op::Register { .. }
        | Op::Find { .. }
        | Op::Login { .. }
        | Op::Refresh { .. }
        | Op::Logout { .. }
        | Op::Check { .. }
        | Op::SetPassword { .. }
        | Op::CheckRecovery { .. }
        | Op::Recover { .. } => login::perform(database, op),
        Op::Delete { account, seen } => delete(database, *account, &seen.0),
        Op::Export { access, at } => {
            let holder = holder(database, access, *at)?;
            export(database, holder.account).map(|export| Answer::Export(Box::new(export)))
        }
        Op::SetDevices { access, devices, at } => {
            let holder = holder(database, access, *at)?;
            take_devices(database, &holder, devices).map(|()| Answer::Done)
        }
        Op::Profile { access, at } => {
            let holder = holder(database, access, *at)?;
            profile(database, holder.account).map(|profile| Answer::Profile(Box::new(profile)))
        }
        Op::SetProfile { access, profile: wanted, at } => {
            let holder = holder(database, access, *at)?;
            let mut new = Profile::clone(wanted);
            new.photo.value = profile(database, holder.account)?.photo.value;
            save_profile(database, holder.account, &new)?;
            Ok(Answer::Profile(Box::new(new)))
        }
        Op::SetPhoto { account, photo } => {
            let mut new = profile(database, *account)?;
            let old = std::mem::replace(&mut new.photo.value, crate::proto::text::Text::cut(photo));
            save_profile(database, *account, &new)?;
            Ok(Answer::PhotoSet { profile: Box::new(new), old: old.to_string() })
        }
        Op::Invite { access, code, uses, at } => invite(database, access, code, *uses, *at),
        Op::Reports { access, after, at } => admin::reports(database, access, *after, *at),
        Op::CloseReport { access, number, at } => admin::close_report(database, access, *number, *at),
        Op::Suspend { access, name, suspended, at } => admin::suspend(database, access, name, *suspended, *at),
        Op::Open { access, key, at } => {
            let Holder { account, person, device, admin, .. } = holder(database, access, *at)?;
            Ok(Answer::Opened(Box::new(Opened { account, person, device, admin, key: key.clone() })))
        }
        Op::Page { name, access, at } => {
            let (account, person) = find(database, name)?;
            let viewer = viewer(database, access.as_ref(), account, *at)?;
            Ok(Answer::Page { person, profile: Box::new(profile(database, account)?.seen_by(viewer)), viewer })
        }
        Op::Photo { photo, access, at } => {
            let query = "SELECT id FROM accounts WHERE photo = ?1 AND photo <> ''";
            let owner: Option<u64> = database.row(query, params![photo], |row| row.get(0))?;
            // What may not be seen and what is not there look the same.
            let none = || Refusal::new(Code::NotFound, "there is no such photo");
            let owner = AccountId(owner.ok_or_else(none)?);
            let viewer = viewer(database, access.as_ref(), owner, *at)?;
            if !viewer.sees(profile(database, owner)?.photo.seen) {
                return Err(none().into());
            }
            Ok(Answer::Photo(photo.clone()))
        }
        Op::Who { access, at, then } => {
            let account = holder(database, access, *at)?.account;
            Ok(Answer::Holder { account, then: then.clone() })
        }
    }
}

/// Who holds a token.
pub(super) struct Holder {
    pub account: AccountId,
    pub person: Person,
    pub device: PublicKey,
    pub password: String,
    pub admin: bool,
}

/// The holder of an access token that is good at `at`.
pub(super) fn holder(database: Db<'_>, access: &Digest, at: Millis) -> Outcome<Holder> {
    let query = "SELECT a.id, a.name, a.key, a.display, t.device, a.password, a.admin FROM tokens t JOIN accounts a \
                 ON a.id = t.account WHERE t.access = ?1 AND t.access_until > ?2 AND t.used = 0 AND a.deleted = 0";
    let read = |row: &Row| {
        let device: [u8; 32] = row.get(4)?;
        let (account, person) = person_of(row)?;
        Ok(Holder { account, person, device: PublicKey(device), password: row.get(5)?, admin: row.get(6)? })
    };
    let found = database.row(query, params![access.0, at.0], read)?;
    found.ok_or_else(|| Refusal::new(Code::Unauthorized, "the session has ended: log in again").into())
}

/// Whoever is called so. What is deleted is not there.
pub(super) fn find(database: Db<'_>, name: &AccountName) -> Outcome<(AccountId, Person)> {
    let query = "SELECT id, name, key, display FROM accounts WHERE name = ?1 AND deleted = 0";
    let found = database.row(query, params![&**name], person_of)?;
    found.ok_or_else(|| Refusal::new(Code::NotFound, "nobody here has that name").into())
}

pub(super) fn person(database: Db<'_>, account: AccountId) -> Outcome<Person> {
    let query = "SELECT id, name, key, display FROM accounts WHERE id = ?1";
    let found = database.row(query, params![account.0], person_of)?;
    Ok(found.ok_or_else(|| damaged("account"))?.1)
}

/// The first four columns: id, name, key, display.
pub(super) fn person_of(row: &Row) -> Outcome<(AccountId, Person)> {
    person_at(row, 0)
}

/// Four columns from `at` on: id, name, key, display.
pub(super) fn person_at(row: &Row, at: usize) -> Outcome<(AccountId, Person)> {
    let (id, name, key, display): (u64, String, [u8; 32], String) =
        (row.get(at)?, row.get(at + 1)?, row.get(at + 2)?, row.get(at + 3)?);
    let name = AccountName::new(&name).map_err(|_| damaged("name"))?;
    Ok((AccountId(id), Person { name, key: PublicKey(key), display: crate::proto::signal::body::Name::cut(&display) }))
}

/// Takes a list of devices of the account's own key that is newer than the one there is.
pub(super) fn take_devices(database: Db<'_>, holder: &Holder, devices: &DeviceList) -> Outcome<()> {
    let is_signed = devices.devices.first().is_some_and(|device| devices.verify(device).is_ok());
    if devices.account != holder.person.key || !is_signed {
        return refuse(Code::Forbidden, "the list of devices is not signed by the account's key");
    }
    let json = serde_json::to_string(devices).map_err(|_| damaged("devices"))?;
    let update = "UPDATE accounts SET devices = ?2, serial = ?3 WHERE id = ?1 AND serial < ?3";
    let changed = database.execute(update, params![holder.account.0, json, devices.serial])?;
    if changed == 0 {
        let query = "SELECT devices = ?2 FROM accounts WHERE id = ?1";
        let is_same: bool = database.value(query, params![holder.account.0, json])?;
        if !is_same {
            return refuse(Code::Taken, "there is a newer list of devices: fetch it first");
        }
    }
    Ok(())
}

pub(super) fn are_pals(database: Db<'_>, one: AccountId, other: AccountId) -> Outcome<bool> {
    let query = "SELECT EXISTS(SELECT 1 FROM pals WHERE account = ?1 AND other = ?2 AND paired = 1)";
    database.value(query, params![one.0, other.0])
}

fn viewer(database: Db<'_>, access: Option<&Digest>, of: AccountId, at: Millis) -> Outcome<Viewer> {
    let Some(access) = access else { return Ok(Viewer::Anyone) };
    let account = holder(database, access, at)?.account;
    Ok(match account == of {
        true => Viewer::Oneself,
        false if are_pals(database, of, account)? => Viewer::Pal,
        false => Viewer::Anyone,
    })
}

pub(super) fn profile(database: Db<'_>, account: AccountId) -> Outcome<Profile> {
    let query = "SELECT profile, display FROM accounts WHERE id = ?1";
    let read = |row: &Row| Ok((row.get::<String>(0)?, row.get::<String>(1)?));
    let (json, display) = database.one(query, params![account.0], read)?;
    let mut profile: Profile = serde_json::from_str(&json).map_err(|_| damaged("profile"))?;
    profile.display = crate::proto::signal::body::Name::cut(&display);
    Ok(profile)
}

fn save_profile(database: Db<'_>, account: AccountId, profile: &Profile) -> Outcome<()> {
    let json = serde_json::to_string(profile).map_err(|_| damaged("profile"))?;
    // Only what all may see can be searched for.
    let is_open = |seen| seen == Visibility::All;
    let place = if is_open(profile.location.seen) { profile.location.value.to_lowercase() } else { String::new() };
    let languages: String = match is_open(profile.languages.seen) {
        true => profile.languages.value.iter().map(|language| format!(" {} ", language.to_lowercase())).collect(),
        false => String::new(),
    };
    let update = "UPDATE accounts SET profile = ?2, display = ?3, photo = ?4, place = ?5, languages = ?6 WHERE id = ?1";
    database.execute(update, params![account.0, json, &*profile.display, &*profile.photo.value, place, languages])?;
    Ok(())
}

fn invite(database: Db<'_>, access: &Digest, code: &Secret, uses: u16, at: Millis) -> Outcome<Answer> {
    const WEEK: u64 = 7 * 24 * 3600 * 1000;
    let holder = holder(database, access, at)?;
    if uses == 0 || (uses > 20 && !holder.admin) {
        return refuse(Code::Forbidden, "an invitation is for 1 to 20 people");
    }
    database.execute("DELETE FROM invites WHERE until <= ?1", params![at.0])?;
    let query = "SELECT count(*) FROM invites WHERE account = ?1";
    let open: u64 = database.value(query, params![holder.account.0])?;
    if open >= 50 && !holder.admin {
        return refuse(Code::TooOften, "fifty invitations of yours are open: wait until they are used or a week old");
    }
    let insert = "INSERT INTO invites(code, account, uses, until) VALUES(?1, ?2, ?3, ?4)";
    let until = at.0.saturating_add(WEEK);
    database.execute(insert, params![hash_of(code).0, holder.account.0, uses, until])?;
    Ok(Answer::Invited(code.clone()))
}

/// What an account owns goes; what it said in rooms loses its words, because the rooms' order is everybody's.
fn delete(database: Db<'_>, account: AccountId, seen: &str) -> Outcome<Answer> {
    let update = "UPDATE accounts SET name = 'deleted-' || id, display = '', password = '', recovery = ?4, \
                  key = ?3, devices = '', serial = 0, profile = '{}', \
                  photo = '', place = '', languages = '', listed = 0, comment = '', admin = 0, deleted = 1 \
                  WHERE id = ?1 AND password = ?2 AND deleted = 0";
    // No key of a person: an Ed25519 key of all zeros is of small order and verifies nothing here.
    let mut key = [0; 32];
    key[24..].copy_from_slice(&account.0.to_be_bytes());
    if database.execute(update, params![account.0, seen, key, [0u8; 0]])? == 0 {
        return refuse(Code::WrongPassword, "the password has changed meanwhile");
    }
    for statement in [
        "UPDATE rooms SET members = members - 1 WHERE id IN (SELECT room FROM members WHERE account = ?1)",
        "DELETE FROM tokens WHERE account = ?1",
        "DELETE FROM invites WHERE account = ?1",
        "DELETE FROM pals WHERE account = ?1 OR other = ?1",
        "DELETE FROM blocks WHERE account = ?1 OR other = ?1",
        "DELETE FROM calls WHERE account = ?1 OR other = ?1",
        "DELETE FROM members WHERE account = ?1",
        "DELETE FROM guests WHERE account = ?1",
        "UPDATE entries SET text = '', state = 2 WHERE account = ?1 AND what < 2",
        "DELETE FROM sealing WHERE account = ?1",
        "UPDATE blobs SET uses = 0 WHERE id IN (SELECT blob FROM messages WHERE account = ?1)",
        "DELETE FROM messages WHERE account = ?1",
        "UPDATE reports SET text = '' WHERE account = ?1",
    ] {
        database.execute(statement, params![account.0])?;
    }
    Ok(Answer::Deleted(account))
}

fn export(database: Db<'_>, account: AccountId) -> Outcome<Export> {
    let rows = |query: &str, columns: &[&str]| -> Result<Vec<serde_json::Value>, Failed> {
        let shown = |value: &Value| match value {
            Value::Integer(number) => json!(number),
            Value::Text(text) => json!(text),
            Value::Bytes(_) | Value::Null => json!(null),
        };
        database.rows(query, params![account.0], |row| {
            let values = columns.iter().enumerate();
            let object: serde_json::Map<_, _> =
                values.map(|(at, column)| ((*column).to_owned(), shown(row.value(at)))).collect();
            Ok(object.into())
        })
    };
    let person = person(database, account)?;
    let export = json!({
        "account": person,
        "profile": profile(database, account)?,
        "made": rows("SELECT made FROM accounts WHERE id = ?1", &["at"])?,
        "pals": rows("SELECT a.name, p.paired, p.at FROM pals p JOIN accounts a ON a.id = p.other WHERE p.account = ?1",
            &["name", "paired", "at"])?,
        "blocked": rows("SELECT a.name FROM blocks b JOIN accounts a ON a.id = b.other WHERE b.account = ?1", &["name"])?,
        "calls": rows("SELECT a.name, c.at, c.incoming, c.missed FROM calls c JOIN accounts a ON a.id = c.other \
            WHERE c.account = ?1", &["name", "at", "incoming", "missed"])?,
        "rooms": rows("SELECT r.id, r.name, m.role FROM members m JOIN rooms r ON r.id = m.room WHERE m.account = ?1",
            &["room", "name", "role"])?,
        // A hundred thousand lines: what one who is done in minutes writes in years.
        "said": rows("SELECT room, seq, at, text FROM entries WHERE account = ?1 AND what = 0 AND state < 2 \
            ORDER BY at DESC LIMIT 100000", &["room", "seq", "at", "text"])?,
        "reports": rows("SELECT a.name, r.text, r.at FROM reports r JOIN accounts a ON a.id = r.about \
            WHERE r.account = ?1", &["about", "text", "at"])?,
        "messages": rows("SELECT seq, at, blob, size FROM messages WHERE account = ?1", &["seq", "at", "blob", "size"])?,
    });
    Ok(Export { export })
}
