//! What is said in rooms: one log for each, numbered here.

use super::accounts::{find, person, person_at};
use super::chat_rooms::{self as rooms, Belonging, belonging};
use super::directory::page;
use super::value::{Row, params};
use super::{Db, Outcome, damaged, refuse};
use crate::base::id::AccountId;
use crate::proto::service::chat::{Entry, PAGE, Reply, Request, Role, What, Words};
use crate::proto::service::names::{AccountName, Key, Millis, RoomId, Seq};
use crate::proto::service::refusal::{Code, Refusal};
use crate::proto::signal::body::Line;
use crate::proto::text::{List, Prose};
use crate::store::op::By;
use crate::store::op::chat::{Answer, Op};

pub(super) fn perform(database: Db<'_>, op: &Op) -> Outcome<Answer> {
    match op {
        Op::Rooms(by) => rooms::of_account(database, by.account).map(Answer::Rooms),
        Op::Create { by, name, topic, private, password, key } => {
            rooms::create(database, *by, name, topic, *private, password.as_ref(), key)
        }
        Op::Join { by, room, password, checked } => {
            rooms::join(database, *by, *room, password.as_ref(), checked.as_ref())
        }
        Op::Since(rooms) => since(database, rooms).map(Answer::Since),
        Op::Ask { by, request } => ask(database, *by, request),
    }
}

fn ask(database: Db<'_>, by: By, request: &Request) -> Outcome<Answer> {
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
            let update =
                "UPDATE members SET read = CASE WHEN read < ?3 THEN ?3 ELSE read END WHERE room = ?1 AND account = ?2";
            database.execute(update, params![room.0, by.account.0, seq.0])?;
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

fn post(database: Db<'_>, by: By, room: RoomId, key: &Key, text: &Words) -> Outcome<Answer> {
    let belonging = belonging(database, by, room)?;
    if text.trim().is_empty() {
        return refuse(Code::Malformed, "there is nothing to say");
    }
    let wait = (belonging.posted + belonging.slow * 1000).saturating_sub(by.at.0);
    if belonging.slow > 0 && belonging.role == Role::Member && wait > 0 {
        // What was said already was in time.
        if let Some(before) = posted(database, by, room, key)? {
            return Ok(before);
        }
        let wait = u32::try_from(wait).unwrap_or(u32::MAX);
        return Err(Refusal::retry_after(Code::TooOften, "this room is in slow mode: wait a little", wait).into());
    }
    let mentions = mentioned(database, room, text)?;
    let what = What::Text { text: text.clone(), edited: false, deleted: false, mentions };
    // Whether the key was used is not asked before: serialisable transactions that look at the same page of an index, and
    // then write to it, are in each other's way, though they are about different rooms.
    let Some(entry) = append_once(database, by, room, Some(key), &what)? else {
        return posted(database, by, room, key)?.ok_or_else(|| damaged("entry"));
    };
    let update = "UPDATE members SET posted = ?3 WHERE room = ?1 AND account = ?2";
    database.execute(update, params![room.0, by.account.0, by.at.0])?;
    Ok(said(room, entry))
}

/// An edit or a deletion: an entry of its own, and the one it is about has the new text.
fn change(database: Db<'_>, by: By, room: RoomId, key: &Key, of: Seq, what: &What) -> Outcome<Answer> {
    let belonging = belonging(database, by, room)?;
    if let Some(before) = posted(database, by, room, key)? {
        return Ok(before);
    }
    let query = "SELECT account, state FROM entries WHERE room = ?1 AND seq = ?2 AND what = 0";
    let read = |row: &Row| Ok((AccountId(row.get(0)?), row.get::<u8>(1)?));
    let found = database.row(query, params![room.0, of.0], read)?;
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
    database.execute(update, params![room.0, of.0, text, state])?;
    if state == DELETED {
        // Nor do the edits keep what was said.
        let update = "UPDATE entries SET text = '' WHERE room = ?1 AND target = ?2 AND what = 1";
        database.execute(update, params![room.0, of.0])?;
    }
    let entry = append(database, by, room, Some(key), what)?;
    Ok(said(room, entry))
}

/// The answer that was given before, where this key was used in this room.
fn posted(database: Db<'_>, by: By, room: RoomId, key: &Key) -> Outcome<Option<Answer>> {
    let query = "SELECT seq, at FROM entries WHERE room = ?1 AND account = ?2 AND key = ?3";
    let read = |row: &Row| Ok((Seq(row.get(0)?), Millis(row.get(1)?)));
    let values = params![room.0, by.account.0, &**key];
    let found = database.row(query, values, read)?;
    Ok(found.map(|(seq, at)| Answer::Posted { room, reply: Reply::Posted { room, seq, at }, entry: None }))
}

fn said(room: RoomId, entry: Entry) -> Answer {
    let reply = Reply::Posted { room, seq: entry.seq, at: entry.at };
    Answer::Posted { room, reply, entry: Some(Box::new(entry)) }
}

/// Puts the next entry into a room's log.
pub(super) fn append(database: Db<'_>, by: By, room: RoomId, key: Option<&Key>, what: &What) -> Outcome<Entry> {
    append_once(database, by, room, key, what)?.ok_or_else(|| damaged("entry"))
}

/// The same; `None` where the account has used this key in this room before: nothing has changed then.
fn append_once(database: Db<'_>, by: By, room: RoomId, key: Option<&Key>, what: &What) -> Outcome<Option<Entry>> {
    let next = "UPDATE rooms SET last = last + 1 WHERE id = ?1 RETURNING last";
    let seq: u64 = database.value(next, params![room.0])?;
    let (kind, text, target) = match what {
        What::Text { text, .. } => (TEXT, &**text, 0),
        What::Edit { of, text } => (EDIT, &**text, of.0),
        What::Delete { of } => (DELETE, "", of.0),
        What::Joined => (JOINED, "", 0),
        What::Left | What::Unknown => (LEFT, "", 0),
        What::Topic { topic } => (TOPIC, &**topic, 0),
    };
    let insert = "INSERT INTO entries(room, seq, at, account, what, text, target, key) \
                  VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING";
    let key = key.map(|key| &**key);
    let values = params![room.0, seq, by.at.0, by.account.0, kind, text, target, key];
    if database.execute(insert, values)? == 0 {
        database.execute("UPDATE rooms SET last = last - 1 WHERE id = ?1", params![room.0])?;
        return Ok(None);
    }
    Ok(Some(Entry { seq: Seq(seq), at: by.at, by: person(database, by.account)?, what: what.clone() }))
}

fn history(
    database: Db<'_>,
    by: By,
    room: RoomId,
    after: Option<Seq>,
    before: Option<Seq>,
    limit: u16,
) -> Outcome<Answer> {
    belonging(database, by, room)?;
    let limit = page(limit, PAGE);
    let (query, bound) = match (after, before) {
        (Some(after), _) => (format!("{ENTRY} WHERE room = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3"), after.0),
        (None, before) => {
            let query = format!("{ENTRY} WHERE room = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT ?3");
            (query, before.map_or(i64::MAX.unsigned_abs(), |before| before.0))
        }
    };
    let found = database.rows(&query, params![room.0, bound, limit + 1], entry_of)?;
    let (mut entries, mut bytes, mut more) = (Vec::new(), 0, false);
    for entry in found {
        let length = match &entry.what {
            What::Text { text, .. } | What::Edit { text, .. } => text.len(),
            _ => 0,
        };
        // Each letter may take six in JSON.
        bytes += 400 + length + length / 2;
        if entries.len() == limit || (bytes > LARGEST_PAGE && !entries.is_empty()) {
            more = true;
            break;
        }
        entries.push(entry);
    }
    find_mentions(database, room, &mut entries)?;
    Ok(Answer::Reply(Reply::History { room, entries: List::cut(entries), more }))
}

/// What is new in each of many rooms: a few entries of each, and the number of its newest.
fn since(database: Db<'_>, rooms: &[(RoomId, Seq)]) -> Outcome<Vec<(RoomId, Vec<Entry>, Seq)>> {
    let mut news = Vec::new();
    for some in rooms.chunks(TOGETHER) {
        let query = "SELECT id, last FROM rooms WHERE id IN (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        // Where there are fewer the first one is asked for more than once.
        let of = |at: usize| some.get(at).or(some.first()).map_or(0, |(room, _)| room.0);
        let values = params![of(0), of(1), of(2), of(3), of(4), of(5), of(6), of(7)];
        let read = |row: &Row| Ok((RoomId(row.get(0)?), Seq(row.get(1)?)));
        for (room, last) in database.rows(query, values, read)? {
            // Whoever asks for one room alone waits for an answer.
            let is_wanted = |known: Seq| known < last || rooms.len() == 1;
            let Some((_, known)) = some.iter().find(|(one, known)| *one == room && is_wanted(*known)) else { continue };
            let query = format!("{ENTRY} WHERE room = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3");
            let mut entries = database.rows(&query, params![room.0, known.0, MOST_NEWS], entry_of)?;
            find_mentions(database, room, &mut entries)?;
            news.push((room, entries, last));
        }
    }
    Ok(news)
}

const ENTRY: &str = "SELECT a.id, a.name, a.key, a.display, e.seq, e.at, e.what, e.text, e.target, e.state FROM entries e \
                     JOIN accounts a ON a.id = e.account";

fn find_mentions(database: Db<'_>, room: RoomId, entries: &mut [Entry]) -> Outcome<()> {
    for entry in entries {
        if let What::Text { text, mentions, .. } = &mut entry.what
            && text.contains('@')
        {
            *mentions = mentioned(database, room, text)?;
        }
    }
    Ok(())
}

fn entry_of(row: &Row) -> Outcome<Entry> {
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
fn mentioned(database: Db<'_>, room: RoomId, text: &str) -> Outcome<List<AccountName, 16>> {
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
        if database.value(query, params![room.0, account.0])? {
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

/// Rooms that are asked for with one statement.
const TOGETHER: usize = 8;

/// Of each room at once: whoever has missed more than that asks again.
const MOST_NEWS: u32 = 100;

/// Bytes of a page: it has to fit into a client's write queue.
const LARGEST_PAGE: usize = 128 * 1024;
