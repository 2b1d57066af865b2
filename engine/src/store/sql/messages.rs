//! Sealed messages, and what they are sealed to.

use super::accounts::{are_pals, find, holder, person_at};
use super::directory::page;
use super::value::{Row, params};
use super::{Db, Outcome, damaged, refuse};
use crate::base::id::AccountId;
use crate::proto::devices::DeviceList;
use crate::proto::keys::{PublicKey, Purpose, Signature};
use crate::proto::service::messages::{Message, PAGE, Reply, Request, SealedKey, SealingKey};
use crate::proto::service::names::{AccountName, Bytes, Key, Millis, Seq};
use crate::proto::service::refusal::Code;
use crate::proto::text::{List, Text};
use crate::store::op::By;
use crate::store::op::messages::{Answer, Op};

pub(super) fn perform(database: Db<'_>, op: &Op) -> Outcome<Answer> {
    match op {
        Op::Ask { by, device, request } => ask(database, *by, device, request),
        Op::Upload { access, at, blob, bytes } => {
            let account = holder(database, access, *at)?.account;
            let query = "SELECT CAST(coalesce(sum(size), 0) AS BIGINT) FROM blobs WHERE account = ?1";
            let held: usize = database.value(query, params![account.0])?;
            if held.saturating_add(bytes.len()) > MOST_HELD {
                return refuse(Code::TooLarge, "256 MiB of yours wait to be fetched: wait until some are");
            }
            Ok(Answer::MayUpload { account, blob: blob.clone(), bytes: bytes.clone() })
        }
        Op::Keep { account, blob, size, at } => {
            let insert = "INSERT INTO blobs(id, account, size, at) VALUES(?1, ?2, ?3, ?4)";
            database.execute(insert, params![&**blob, account.0, size, at.0])?;
            Ok(Answer::Kept(blob.clone()))
        }
        Op::Fetch { access, at, blob } => {
            let account = holder(database, access, *at)?.account;
            let query = "SELECT EXISTS(SELECT 1 FROM blobs WHERE id = ?1 AND account = ?2) \
                         OR EXISTS(SELECT 1 FROM messages WHERE blob = ?1 AND account = ?2)";
            let may: bool = database.value(query, params![&**blob, account.0])?;
            if may { Ok(Answer::MayFetch(blob.clone())) } else { refuse(Code::NotFound, "there is no such message") }
        }
        Op::Sweep { before } => {
            let query = "SELECT id FROM blobs WHERE uses = 0 AND at < ?1 LIMIT 100";
            let read = |row: &Row| row.get::<String>(0);
            let old = database.rows(query, params![before.0], read)?;
            for id in &old {
                database.execute("DELETE FROM blobs WHERE id = ?1", params![id])?;
            }
            Ok(Answer::Swept(old.iter().map(|id| Text::cut(id)).collect()))
        }
    }
}

fn ask(database: Db<'_>, by: By, device: &PublicKey, request: &Request) -> Outcome<Answer> {
    let me = by.account;
    match request {
        Request::PublishKey { key } => {
            let is_own = key.device == *device && key.public.len() == 32;
            if !is_own || key.device.verify(Purpose::Sealing, &key.public, &key.signature).is_err() {
                return refuse(Code::Forbidden, "a device publishes its own key, signed by itself");
            }
            let insert = "INSERT INTO sealing(device, account, public, signature) VALUES(?1, ?2, ?3, ?4) \
                          ON CONFLICT(device) DO UPDATE SET public = excluded.public, signature = excluded.signature \
                          WHERE sealing.account = excluded.account";
            let values = params![key.device.0, me.0, &key.public[..], &key.signature.0[..]];
            database.execute(insert, values)?;
            Ok(Answer::Reply(Reply::Done))
        }
        Request::Keys { name } => keys(database, me, name),
        Request::Send { to, key, blob, sealed } => send(database, by, to, key, blob, sealed),
        Request::Inbox { after, limit } => {
            let limit = page(*limit, PAGE);
            let query = "SELECT a.id, a.name, a.key, a.display, m.seq, m.at, m.blob, m.size, m.sealed, m.read \
                         FROM messages m JOIN accounts a ON a.id = m.sender \
                         WHERE m.account = ?1 AND m.seq > ?2 AND m.read < 2 ORDER BY m.seq LIMIT ?3";
            let values = params![me.0, after.0, limit + 1];
            let mut messages = database.rows(query, values, message_of)?;
            let more = messages.len() > limit;
            messages.truncate(limit);
            Ok(Answer::Reply(Reply::Inbox { messages: List::cut(messages), more }))
        }
        Request::Read { seq } => {
            let update = "UPDATE messages SET read = 1 WHERE account = ?1 AND seq = ?2 AND read < 2";
            if database.execute(update, params![me.0, seq.0])? == 0 {
                return refuse(Code::NotFound, "there is no such message");
            }
            Ok(Answer::Read { account: me, seq: *seq })
        }
        Request::Delete { seq } => delete(database, me, *seq),
        Request::Unknown => refuse(Code::NotFound, "this service knows no such request"),
    }
}

fn keys(database: Db<'_>, me: AccountId, name: &AccountName) -> Outcome<Answer> {
    let (other, _) = find(database, name)?;
    if other != me && !are_pals(database, other, me)? {
        return refuse(Code::NotFound, "that is none of your pals");
    }
    let query = "SELECT devices FROM accounts WHERE id = ?1";
    let json: String = database.value(query, params![other.0])?;
    let devices: DeviceList = serde_json::from_str(&json).map_err(|_| damaged("devices"))?;
    let read = |row: &Row| {
        let bad = || damaged("sealing");
        let (device, public, signature): ([u8; 32], Vec<u8>, [u8; 64]) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let public = Bytes::new(public).ok_or_else(bad)?;
        Ok(SealingKey { device: PublicKey(device), public, signature: Signature(signature) })
    };
    let query = "SELECT device, public, signature FROM sealing WHERE account = ?1 LIMIT 64";
    let keys = database.rows(query, params![other.0], read)?;
    // Devices that were struck off the list get nothing any more.
    let keys = keys.into_iter().filter(|key| devices.devices.contains(&key.device)).collect();
    Ok(Answer::Reply(Reply::Keys { devices, keys: List::cut(keys) }))
}

fn send(
    database: Db<'_>,
    by: By,
    to: &AccountName,
    key: &Key,
    blob: &Text<64>,
    sealed: &List<SealedKey, 16>,
) -> Outcome<Answer> {
    let sent = "SELECT at FROM messages WHERE sender = ?1 AND key = ?2";
    let before: Option<u64> = database.row(sent, params![by.account.0, &**key], |row| row.get(0))?;
    let (other, _) = find(database, to)?;
    if let Some(at) = before {
        return Ok(Answer::Sent { reply: Reply::Sent { at: Millis(at) }, to: other, message: None });
    }
    let blocked = "SELECT EXISTS(SELECT 1 FROM blocks WHERE account = ?1 AND other = ?2)";
    let is_blocked: bool = database.value(blocked, params![other.0, by.account.0])?;
    if is_blocked || (other != by.account && !are_pals(database, other, by.account)?) {
        return refuse(Code::NotFound, "that is none of your pals");
    }
    let update = "UPDATE blobs SET uses = uses + 1 WHERE id = ?1 AND account = ?2";
    if database.execute(update, params![&**blob, by.account.0])? == 0 {
        return refuse(Code::NotFound, "upload the message first");
    }
    let next = "INSERT INTO inboxes(account, last) VALUES(?1, 1) \
                ON CONFLICT(account) DO UPDATE SET last = inboxes.last + 1 RETURNING last";
    let seq: u64 = database.value(next, params![other.0])?;
    let json = serde_json::to_string(sealed).map_err(|_| damaged("sealed"))?;
    let insert = "INSERT INTO messages(account, seq, at, sender, key, blob, size, sealed) \
                  SELECT ?1, ?2, ?3, ?4, ?5, ?6, size, ?7 FROM blobs WHERE id = ?6";
    let values = params![other.0, seq, by.at.0, by.account.0, &**key, &**blob, json];
    database.execute(insert, values)?;
    let query = "SELECT a.id, a.name, a.key, a.display, m.seq, m.at, m.blob, m.size, m.sealed, m.read \
                 FROM messages m JOIN accounts a ON a.id = m.sender WHERE m.account = ?1 AND m.seq = ?2";
    let message = database.one(query, params![other.0, seq], message_of)?;
    Ok(Answer::Sent { reply: Reply::Sent { at: by.at }, to: other, message: Some(Box::new(message)) })
}

fn delete(database: Db<'_>, me: AccountId, seq: Seq) -> Outcome<Answer> {
    let query = "SELECT blob FROM messages WHERE account = ?1 AND seq = ?2 AND read < 2";
    let blob: Option<String> = database.row(query, params![me.0, seq.0], |row| row.get(0))?;
    let Some(blob) = blob else { return refuse(Code::NotFound, "there is no such message") };
    // Its key stays: the same message sent once more is not delivered once more.
    let update = "UPDATE messages SET blob = '', sealed = '[]', size = 0, read = 2 WHERE account = ?1 AND seq = ?2";
    database.execute(update, params![me.0, seq.0])?;
    let update = "UPDATE blobs SET uses = uses - 1 WHERE id = ?1 AND uses > 0 RETURNING uses";
    let uses: Option<u64> = database.row(update, params![&blob], |row| row.get(0))?;
    if uses == Some(0) {
        database.execute("DELETE FROM blobs WHERE id = ?1", params![&blob])?;
        return Ok(Answer::Deleted { blob: Some(Text::cut(&blob)) });
    }
    Ok(Answer::Deleted { blob: None })
}

fn message_of(row: &Row) -> Outcome<Message> {
    let (blob, sealed): (String, String) = (row.get(6)?, row.get(8)?);
    let sealed = serde_json::from_str(&sealed).map_err(|_| damaged("sealed"))?;
    Ok(Message {
        seq: Seq(row.get(4)?),
        at: Millis(row.get(5)?),
        from: person_at(row, 0)?.1,
        blob: Text::cut(&blob),
        size: row.get(7)?,
        sealed,
        read: row.get::<u8>(9)? > 0,
    })
}

/// Sixty-four messages of the largest kind.
const MOST_HELD: usize = 256 * 1024 * 1024;
