//! Pals, blocks, reports and calls.

use super::accounts::{are_pals, find, person, person_at};
use super::directory::{cut_page, page};
use super::value::{Row, params};
use super::{Db, Outcome, damaged, refuse};
use crate::base::id::AccountId;
use crate::proto::service::names::{AccountName, Millis, Person};
use crate::proto::service::pals::{Asked, Call, MOST_PALS, PAGE, Reply, Request};
use crate::proto::service::refusal::Code;
use crate::proto::signal::body::Line;
use crate::proto::text::List;
use crate::store::op::By;
use crate::store::op::pals::{Answer, Link, Op};

pub(super) fn perform(database: Db<'_>, op: &Op) -> Outcome<Answer> {
    match op {
        Op::Circle(by) => {
            let query = "SELECT a.id, a.name, p.hidden FROM pals p JOIN accounts a ON a.id = p.other \
                         WHERE p.account = ?1 AND p.paired = 1";
            let read = |row: &Row| {
                let name: String = row.get(1)?;
                let name = AccountName::new(&name).map_err(|_| damaged("name"))?;
                Ok(Link { account: AccountId(row.get(0)?), name, hidden: row.get(2)? })
            };
            let links = database.rows(query, params![by.account.0], read)?;
            Ok(Answer::Circle(person(database, by.account)?.name, links))
        }
        Op::Roster { by, after } => roster(database, *by, after.as_ref()),
        Op::Ask { by, request } => ask(database, *by, request),
        Op::MaySignal { by, to, signal } => {
            let (to, _) = find(database, to)?;
            // One who is blocked is told the same as one who is no pal.
            if !are_pals(database, to, by.account)? || is_blocked(database, to, by.account)? {
                return refuse(Code::NotFound, "that is none of your pals");
            }
            Ok(Answer::MaySignal { to, from: person(database, by.account)?, signal: signal.clone() })
        }
        Op::NoteCall { by, to, call, missed } => {
            let insert = "INSERT INTO calls(account, at, call, other, incoming, missed) \
                          VALUES(?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING";
            database.execute(insert, params![by.account.0, by.at.0, call.0, to.0, false, missed])?;
            database.execute(insert, params![to.0, by.at.0, call.0, by.account.0, true, missed])?;
            let person = person(database, by.account)?;
            let call = Call { person, at: by.at, incoming: true, missed: *missed };
            Ok(Answer::Called { to: *to, at: by.at, call })
        }
    }
}

fn ask(database: Db<'_>, by: By, request: &Request) -> Outcome<Answer> {
    let me = by.account;
    match request {
        Request::Add { name, note } => add(database, by, name, note),
        Request::Decline { name } => {
            let (other, _) = find(database, name)?;
            let delete = "DELETE FROM pals WHERE account = ?1 AND other = ?2 AND paired = 0";
            database.execute(delete, params![other.0, me.0])?;
            Ok(Answer::Reply(Reply::Done))
        }
        Request::Remove { name } => {
            let (other, _) = find(database, name)?;
            part(database, me, other)
        }
        Request::Hide { name, hidden } => {
            let (other, _) = find(database, name)?;
            let update = "UPDATE pals SET hidden = ?3 WHERE account = ?1 AND other = ?2 AND paired = 1";
            if database.execute(update, params![me.0, other.0, hidden])? == 0 {
                return refuse(Code::NotFound, "that is none of your pals");
            }
            let name = person(database, me)?.name;
            Ok(Answer::Hidden { account: me, name, from: other, hidden: *hidden })
        }
        Request::Block { name, blocked: true } => {
            let (other, _) = find(database, name)?;
            if other == me {
                return refuse(Code::Forbidden, "that is yourself");
            }
            let insert = "INSERT INTO blocks(account, other) VALUES(?1, ?2) ON CONFLICT DO NOTHING";
            database.execute(insert, params![me.0, other.0])?;
            part(database, me, other)
        }
        Request::Block { name, blocked: false } => {
            let (other, _) = find(database, name)?;
            database.execute("DELETE FROM blocks WHERE account = ?1 AND other = ?2", params![me.0, other.0])?;
            Ok(Answer::Reply(Reply::Done))
        }
        Request::Report { name, text } => {
            let (other, _) = find(database, name)?;
            let insert = "INSERT INTO reports(account, about, text, at) VALUES(?1, ?2, ?3, ?4)";
            database.execute(insert, params![me.0, other.0, &**text, by.at.0])?;
            Ok(Answer::Reply(Reply::Done))
        }
        Request::Devices { name } => {
            let (other, _) = find(database, name)?;
            if other != me && !are_pals(database, other, me)? {
                return refuse(Code::NotFound, "that is none of your pals");
            }
            let query = "SELECT devices FROM accounts WHERE id = ?1";
            let json: String = database.value(query, params![other.0])?;
            let devices = serde_json::from_str(&json).map_err(|_| damaged("devices"))?;
            Ok(Answer::Reply(Reply::Devices { devices }))
        }
        Request::Calls { before, limit } => {
            let query = "SELECT a.id, a.name, a.key, a.display, c.at, c.incoming, c.missed FROM calls c \
                JOIN accounts a ON a.id = c.other WHERE c.account = ?1 AND c.at < ?2 ORDER BY c.at DESC LIMIT ?3";
            let before = before.map_or(i64::MAX.unsigned_abs(), |before| before.0);
            let read = |row: &Row| {
                let person = person_at(row, 0)?.1;
                Ok(Call { person, at: Millis(row.get(4)?), incoming: row.get(5)?, missed: row.get(6)? })
            };
            let values = params![me.0, before, page(*limit, 100)];
            let calls = database.rows(query, values, read)?;
            Ok(Answer::Reply(Reply::Calls { calls: List::cut(calls) }))
        }
        Request::Relays
        | Request::Roster { .. }
        | Request::SetPresence { .. }
        | Request::Signal { .. }
        | Request::Unknown => refuse(Code::NotFound, "this service knows no such request"),
    }
}

/// Both have to want it: the second one to ask accepts.
fn add(database: Db<'_>, by: By, name: &AccountName, note: &Line) -> Outcome<Answer> {
    let (me, (other, person)) = (by.account, find(database, name)?);
    if me == other {
        return refuse(Code::Forbidden, "that is yourself");
    }
    if are_pals(database, me, other)? || is_blocked(database, other, me)? {
        return Ok(Answer::Reply(Reply::Done));
    }
    let count = "SELECT count(*) FROM pals WHERE account = ?1";
    for one in [me, other] {
        let pals: usize = database.value(count, params![one.0])?;
        if pals >= MOST_PALS {
            let text = if one == me { "you have a thousand pals: remove one first" } else { "they have too many pals" };
            return refuse(Code::TooLarge, text);
        }
    }
    database.execute("DELETE FROM blocks WHERE account = ?1 AND other = ?2", params![me.0, other.0])?;
    let accept = "UPDATE pals SET paired = 1, at = ?3 WHERE account = ?1 AND other = ?2 AND paired = 0";
    let is_mutual = database.execute(accept, params![other.0, me.0, by.at.0])? == 1;
    let insert = "INSERT INTO pals(account, other, paired, note, at) VALUES(?1, ?2, ?3, ?4, ?5) \
                  ON CONFLICT(account, other) DO UPDATE SET paired = CASE WHEN excluded.paired > pals.paired THEN excluded.paired \
                  ELSE pals.paired END, note = excluded.note";
    database.execute(insert, params![me.0, other.0, is_mutual, &**note, by.at.0])?;
    let myself = super::accounts::person(database, me)?;
    if is_mutual {
        return Ok(Answer::Paired { one: (me, myself), other: (other, person) });
    }
    Ok(Answer::Asked { of: other, person: myself, note: note.clone() })
}

fn part(database: Db<'_>, me: AccountId, other: AccountId) -> Outcome<Answer> {
    let were_pals = are_pals(database, me, other)?;
    let delete = "DELETE FROM pals WHERE (account = ?1 AND other = ?2) OR (account = ?2 AND other = ?1)";
    database.execute(delete, params![me.0, other.0])?;
    if !were_pals {
        return Ok(Answer::Reply(Reply::Done));
    }
    let name = |account| person(database, account).map(|person| person.name);
    Ok(Answer::Parted { one: (me, name(me)?), other: (other, name(other)?) })
}

fn is_blocked(database: Db<'_>, by: AccountId, other: AccountId) -> Outcome<bool> {
    let query = "SELECT 1 FROM blocks WHERE account = ?1 AND other = ?2";
    let found: Option<u8> = database.row(query, params![by.0, other.0], |row| row.get(0))?;
    Ok(found.is_some())
}

fn roster(database: Db<'_>, by: By, after: Option<&AccountName>) -> Outcome<Answer> {
    let me = by.account.0;
    let query = "SELECT a.id, a.name, a.key, a.display, p.hidden FROM pals p JOIN accounts a ON a.id = p.other \
                 WHERE p.account = ?1 AND p.paired = 1 AND a.name > ?2 ORDER BY a.name LIMIT ?3";
    let read = |row: &Row| {
        let (account, person) = person_at(row, 0)?;
        Ok((account, person, row.get(4)?))
    };
    let values = params![me, after.map_or("", |name| name), PAGE + 1];
    let mut pals: Vec<(AccountId, Person, bool)> = database.rows(query, values, read)?;
    let next = cut_page(&mut pals, PAGE).map(|(_, person, _)| person.name.clone());
    let people = |query: &str| -> Outcome<Vec<(Person, String)>> {
        let read = |row: &Row| Ok((person_at(row, 0)?.1, row.get(4)?));
        database.rows(query, params![me], read)
    };
    let (mut asked, mut waiting, mut blocked) = (Vec::new(), Vec::new(), Vec::new());
    if after.is_none() {
        asked = people(
            "SELECT a.id, a.name, a.key, a.display, p.note FROM pals p JOIN accounts a ON a.id = p.account \
             WHERE p.other = ?1 AND p.paired = 0 ORDER BY p.at DESC LIMIT 100",
        )?;
        waiting = people(
            "SELECT a.id, a.name, a.key, a.display, '' FROM pals p JOIN accounts a ON a.id = p.other \
             WHERE p.account = ?1 AND p.paired = 0 ORDER BY p.at DESC LIMIT 100",
        )?;
        blocked = people(
            "SELECT a.id, a.name, a.key, a.display, '' FROM blocks b JOIN accounts a ON a.id = b.other \
             WHERE b.account = ?1 ORDER BY a.name LIMIT 100",
        )?;
    }
    let asked = asked.into_iter().map(|(person, note)| Asked { person, note: Line::cut(&note) }).collect();
    let plain = |list: Vec<(Person, String)>| List::cut(list.into_iter().map(|(person, _)| person).collect());
    let rest = Reply::Roster {
        pals: List::default(),
        next: next.clone(),
        asked: List::cut(asked),
        waiting: plain(waiting),
        blocked: plain(blocked),
    };
    Ok(Answer::Roster { pals, next, rest: Box::new(rest) })
}
