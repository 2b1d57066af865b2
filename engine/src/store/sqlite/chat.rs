//! What is said in rooms: one log for each, numbered here.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::accounts::{find, person, person_at};
use super::chat_rooms::{self as rooms, Belonging, belonging};
use super::directory::page;
use super::{Outcome, refuse};
use crate::base::id::AccountId;
use crate::proto::service::chat::{Entry, PAGE, Reply, Request, Role, What, Words};
use crate::proto::service::names::{AccountName, Key, Millis, RoomId, Seq};
use crate::proto::service::refusal::{Code, Refusal};
use crate::proto::signal::body::Line;
use crate::proto::text::{List, Prose};
use crate::store::op::By;
use crate::store::op::chat::{Answer, Op};

pub(super) fn perform(database: &Connection, op: &Op) -> Outcome<Answer> {
    match op {
        Op::Rooms(by) => rooms::of_account(database, by.account).map(Answer::Rooms),
        Op::Create { by, name, topic, private, password, key } => {
            rooms::create(database, *by, name, topic, *private, password.as_ref(), key)
        }
        Op::Join { by, room, password, checked } => {
            rooms::join(database, *by, *room, password.as_ref(), checked.as_ref())
        }
        Op::Ask { by, request } => ask(database, *by, request),
    }
}

fn ask(database: &Connection, by: By, request: &Request) -> Outcome<Answer> {
    match request {
        Request::Post { room, key, text } => post(database, by, *room, key, text),
        Request::Edit { room, key, seq, text } => {
            change(database, by, *room, key, *seq, &What::Edit { of: *seq, text: text.clone() })
        }
        Request::Delete { room, key, seq } => change(database, by, *room, key, *seq, &What::Delete { of: *seq }),
        Request::History { room, after, before, limit } => history(database, by, *room, *after, *before, *limit),
        Request::Typing { room } => {
            belonging(database, by, *room)?;
            let name = person(database, by.account)?.name;
            Ok(Answer::Typing { room: *room, account: by.account, name })
        }
        Request::Read { room, seq } => {
            let Belonging { last, .. } = belonging(database, by, *room)?;
            let seq = Seq(seq.0.min(last));
            let update = "UPDATE members SET read = max(read, ?3) WHERE room = ?1 AND account = ?2";
            database.prepare_cached(update)?.execute([room.0, by.account.0, seq.0])?;
            Ok(Answer::Read { account: by.account, room: *room, seq })
        }
        Request::Leave { .. }
        | Request::Invite { .. }
        | Request::Members { .. }
        | Request::SetTopic { .. }
        | Request::SetNotice { .. }
        | Request::Kick { .. }
        | Request::SetRole { .. }
        | Request::Slow { .. } => rooms::ask(database, by, request),
        Request::Rooms | Request::Create { .. } | Request::Join { .. } | Request::Unknown => {
            refuse(Code::NotFound, "this service knows no such request")
        }
    }
}

fn post(database: &Connection, by: By, room: RoomId, key: &Key, text: &Words) -> Outcome<Answer> {
    let belonging = belonging(database, by, room)?;
    if let Some(before) = posted(database, by, room, key)? {
        return Ok(before);
    }
    if text.trim().is_empty() {
        return refuse(Code::Malformed, "there is nothing to say");
    }
    let wait = (belonging.posted + belonging.slow * 1000).saturating_sub(by.at.0);
    if belonging.slow > 0 && belonging.role == Role::Member && wait > 0 {
        let wait = u32::try_from(wait).unwrap_or(u32::MAX);
        return Err(Refusal::retry_after(Code::TooOften, "this room is in slow mode: wait a little", wait).into());
    }
    let update = "UPDATE members SET posted = ?3 WHERE room = ?1 AND account = ?2";
    database.prepare_cached(update)?.execute([room.0, by.account.0, by.at.0])?;
    let mentions = mentioned(database, room, text)?;
    let what = What::Text { text: text.clone(), edited: false, deleted: false, mentions };
    let entry = append(database, by, room, Some(key), &what)?;
    Ok(said(room, entry))
}

/// An edit or a deletion: an entry of its own, and the one it is about has the new text.
fn change(database: &Connection, by: By, room: RoomId, key: &Key, of: Seq, what: &What) -> Outcome<Answer> {
    let belonging = belonging(database, by, room)?;
    if let Some(before) = posted(database, by, room, key)? {
        return Ok(before);
    }
    let query = "SELECT account, state FROM entries WHERE room = ?1 AND seq = ?2 AND what = 0";
    let read = |row: &Row<'_>| Ok((AccountId(row.get(0)?), row.get::<_, u8>(1)?));
    let found = database.prepare_cached(query)?.query_row([room.0, of.0], read).optional()?;
    let is_own = |author| author == by.account;
    match found {
        Some((_, DELETED)) | None => return refuse(Code::NotFound, "there is no such message"),
        Some((author, _)) if is_own(author) => {}
        Some(_) if matches!(what, What::Delete { .. }) && belonging.role != Role::Member => {}
        Some(_) => return refuse(Code::Forbidden, "that is somebody else's message"),
    }
    let (text, state) = match what {
        What::Edit { text, .. } => (&**text, EDITED),
        _ => ("", DELETED),
    };
    let update = "UPDATE entries SET text = ?3, state = ?4 WHERE room = ?1 AND seq = ?2";
    database.prepare_cached(update)?.execute(params![room.0, of.0, text, state])?;
    if state == DELETED {
        // Nor do the edits keep what was said.
        let update = "UPDATE entries SET text = '' WHERE room = ?1 AND target = ?2 AND what = 1";
        database.prepare_cached(update)?.execute([room.0, of.0])?;
    }
    let entry = append(database, by, room, Some(key), what)?;
    Ok(said(room, entry))
}

/// The answer that was given before, where this key was used in this room.
fn posted(database: &Connection, by: By, room: RoomId, key: &Key) -> Outcome<Option<Answer>> {
    let query = "SELECT seq, at FROM entries WHERE room = ?1 AND account = ?2 AND key = ?3";
    let read = |row: &Row<'_>| Ok((Seq(row.get(0)?), Millis(row.get(1)?)));
    let values = params![room.0, by.account.0, &**key];
    let found = database.prepare_cached(query)?.query_row(values, read).optional()?;
    Ok(found.map(|(seq, at)| Answer::Posted { room, reply: Reply::Posted { room, seq, at }, entry: None }))
}

fn said(room: RoomId, entry: Entry) -> Answer {
    let reply = Reply::Posted { room, seq: entry.seq, at: entry.at };
    Answer::Posted { room, reply, entry: Some(Box::new(entry)) }
}

/// Puts the next entry into a room's log.
pub(super) fn append(database: &Connection, by: By, room: RoomId, key: Option<&Key>, what: &What) -> Outcome<Entry> {
    let next = "UPDATE rooms SET last = last + 1 WHERE id = ?1 RETURNING last";
    let seq: u64 = database.prepare_cached(next)?.query_row([room.0], |row| row.get(0))?;
    let (kind, text, target) = match what {
        What::Text { text, .. } => (TEXT, &**text, 0),
        What::Edit { of, text } => (EDIT, &**text, of.0),
        What::Delete { of } => (DELETE, "", of.0),
        What::Joined => (JOINED, "", 0),
        What::Left | What::Unknown => (LEFT, "", 0),
        What::Topic { topic } => (TOPIC, &**topic, 0),
    };
    let insert = "INSERT INTO entries(room, seq, at, account, what, text, target, key) \
                  VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let key = key.map(|key| &**key);
    let values = params![room.0, seq, by.at.0, by.account.0, kind, text, target, key];
    database.prepare_cached(insert)?.execute(values)?;
    Ok(Entry { seq: Seq(seq), at: by.at, by: person(database, by.account)?, what: what.clone() })
}

fn history(
    database: &Connection,
    by: By,
    room: RoomId,
    after: Option<Seq>,
    before: Option<Seq>,
    limit: u16,
) -> Outcome<Answer> {
    belonging(database, by, room)?;
    let limit = page(limit, PAGE);
    let columns = "SELECT a.id, a.name, a.key, a.display, e.seq, e.at, e.what, e.text, e.target, e.state FROM entries e \
                   JOIN accounts a ON a.id = e.account";
    let (query, bound) = match (after, before) {
        (Some(after), _) => (format!("{columns} WHERE room = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3"), after.0),
        (None, before) => {
            let query = format!("{columns} WHERE room = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT ?3");
            (query, before.map_or(i64::MAX.unsigned_abs(), |before| before.0))
        }
    };
    let mut statement = database.prepare_cached(&query)?;
    let mut rows = statement.query(params![room.0, bound, limit + 1])?;
    let (mut entries, mut bytes, mut more) = (Vec::new(), 0, false);
    while let Some(row) = rows.next()? {
        let entry = entry_of(row)?;
        let text: &str = row.get_ref(7)?.as_str().unwrap_or_default();
        // Each letter may take six in JSON.
        bytes += 400 + text.len() + text.len() / 2;
        if entries.len() == limit || (bytes > LARGEST_PAGE && !entries.is_empty()) {
            more = true;
            break;
        }
        entries.push(entry);
    }
    for entry in &mut entries {
        if let What::Text { text, mentions, .. } = &mut entry.what
            && text.contains('@')
        {
            *mentions = mentioned(database, room, text)?;
        }
    }
    Ok(Answer::Reply(Reply::History { room, entries: List::cut(entries), more }))
}

fn entry_of(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let (kind, text, state): (u8, String, u8) = (row.get(6)?, row.get(7)?, row.get(9)?);
    let of = Seq(row.get(8)?);
    let what = match kind {
        TEXT => What::Text {
            text: Prose::cut(&text),
            edited: state == EDITED,
            deleted: state == DELETED,
            mentions: List::default(),
        },
        EDIT => What::Edit { of, text: Prose::cut(&text) },
        DELETE => What::Delete { of },
        JOINED => What::Joined,
        TOPIC => What::Topic { topic: Line::cut(&text) },
        _ => What::Left,
    };
    Ok(Entry { seq: Seq(row.get(4)?), at: Millis(row.get(5)?), by: person_at(row, 0)?.1, what })
}

/// Members of the room that are named in a text by `@name`.
fn mentioned(database: &Connection, room: RoomId, text: &str) -> Outcome<List<AccountName, 16>> {
    let mut mentions: Vec<AccountName> = Vec::new();
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    for part in text.split('@').skip(1).take(32) {
        let word: String = part.chars().take_while(|c| is_part(*c)).collect();
        let Ok(name) = AccountName::new(word.trim_end_matches(['.', '-', '_'])) else { continue };
        if mentions.contains(&name) {
            continue;
        }
        let Ok((account, _)) = find(database, &name) else { continue };
        let query = "SELECT EXISTS(SELECT 1 FROM members WHERE room = ?1 AND account = ?2)";
        if database.prepare_cached(query)?.query_row([room.0, account.0], |row| row.get(0))? {
            mentions.push(name);
        }
    }
    Ok(List::cut(mentions))
}

const TEXT: u8 = 0;
const EDIT: u8 = 1;
const DELETE: u8 = 2;
const JOINED: u8 = 3;
const LEFT: u8 = 4;
const TOPIC: u8 = 5;

const EDITED: u8 = 1;
const DELETED: u8 = 2;

/// Bytes of a page: it has to fit into a client's write queue.
const LARGEST_PAGE: usize = 128 * 1024;
