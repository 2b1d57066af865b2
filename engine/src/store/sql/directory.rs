//! Who is listed, and which rooms are open to all.

use super::accounts::{person_of, profile};
use super::value::{Row, params};
use super::{Db, Outcome, refuse};
use crate::proto::service::directory::{Listing, PAGE, Reply, Request, RoomListing};
use crate::proto::service::names::RoomId;
use crate::proto::service::profile::Viewer;
use crate::proto::service::refusal::Code;
use crate::proto::signal::body::Line;
use crate::proto::text::{List, Text};
use crate::store::op::directory::{Answer, Op};

pub(super) fn perform(database: Db<'_>, op: &Op) -> Outcome<Answer> {
    let account = op.by.account.0;
    let reply = match &op.request {
        Request::List { listed, comment } => {
            let update = "UPDATE accounts SET listed = ?2, comment = ?3 WHERE id = ?1";
            database.execute(update, params![account, listed, &**comment])?;
            Reply::Listed { listed: *listed }
        }
        Request::Search { text, place, language, after, limit } => {
            // Nobody finds one who has blocked them.
            let query = "SELECT id, name, key, display, comment FROM accounts a WHERE listed = 1 AND name > ?2 \
                AND (?3 = '' OR instr(name, ?3) > 0 OR instr(lower(display), ?3) > 0 OR instr(lower(comment), ?3) > 0) \
                AND (?4 = '' OR instr(place, ?4) > 0) AND (?5 = '' OR instr(languages, ?5) > 0) \
                AND NOT EXISTS(SELECT 1 FROM blocks b WHERE b.account = a.id AND b.other = ?1) ORDER BY name LIMIT ?6";
            let language = match language.is_empty() {
                true => String::new(),
                false => format!(" {} ", language.to_lowercase()),
            };
            let limit = page(*limit, PAGE);
            let values =
                params![account, cursor(after), text.to_lowercase(), place.to_lowercase(), language, limit + 1];
            let read = |row: &Row| Ok((person_of(row)?, row.get::<String>(4)?));
            let found = database.rows(query, values, read)?;
            let mut people = Vec::new();
            for ((account, person), comment) in found {
                let seen = profile(database, account)?.seen_by(Viewer::Anyone);
                let (location, languages) = (seen.location.value, seen.languages.value);
                people.push(Listing { person, location, languages, comment: Line::cut(&comment) });
            }
            let next = cut_page(&mut people, limit).map(|last| Text::cut(&last.person.name));
            Reply::People { people: List::cut(people), next }
        }
        Request::Rooms { text, after, limit } => {
            let query = "SELECT id, name, topic, members, password <> '' FROM rooms WHERE private = 0 \
                AND (?1 = '' OR instr(lower(name), ?1) > 0 OR instr(lower(topic), ?1) > 0) \
                AND (name, id) > (?2, ?3) ORDER BY name, id LIMIT ?4";
            let after = cursor(after);
            let (id, name) = after.split_once(' ').unwrap_or(("0", ""));
            let id: u64 = id.parse().unwrap_or(0);
            let limit = page(*limit, PAGE);
            let read = |row: &Row| {
                let (name, topic): (String, String) = (row.get(1)?, row.get(2)?);
                let (name, topic) = (Text::cut(&name), Line::cut(&topic));
                Ok(RoomListing { room: RoomId(row.get(0)?), name, topic, members: row.get(3)?, locked: row.get(4)? })
            };
            let values = params![text.to_lowercase(), name, id, limit + 1];
            let mut rooms = database.rows(query, values, read)?;
            let next = cut_page(&mut rooms, limit).map(|last| Text::cut(&format!("{} {}", last.room.0, &*last.name)));
            Reply::Rooms { rooms: List::cut(rooms), next }
        }
        Request::Unknown => return refuse(Code::NotFound, "this service knows no such request"),
    };
    Ok(Answer(reply))
}

/// How many entries of a page: as many as were asked for, and no more than there may be.
pub(super) fn page(limit: u16, most: usize) -> usize {
    match usize::from(limit) {
        0 => most,
        limit => limit.min(most),
    }
}

/// Cuts a page that was read with one entry too many; the last entry where there was one.
pub(super) fn cut_page<T>(entries: &mut Vec<T>, limit: usize) -> Option<&T> {
    if entries.len() <= limit {
        return None;
    }
    entries.truncate(limit);
    entries.last()
}

fn cursor(after: &Option<Text<64>>) -> &str {
    after.as_deref().unwrap_or_default()
}
