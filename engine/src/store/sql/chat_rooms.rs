//! Rooms and who belongs to them.

use super::accounts::{find, person, person_at};
use super::chat::append;
use super::value::{Row, params};
use super::{Db, Outcome, refuse};
use crate::base::id::AccountId;
use crate::proto::service::account::Secret;
use crate::proto::service::chat::{Member, Reply, Request, Role, Room, What};
use crate::proto::service::names::{AccountName, Key, RoomId, Seq};
use crate::proto::service::refusal::{Code, Refusal};
use crate::proto::signal::body::Line;
use crate::proto::text::{List, Prose, Text};
use crate::store::op::By;
use crate::store::op::accounts::PasswordHash;
use crate::store::op::chat::Answer;

/// How an account belongs to a room.
pub(super) struct Belonging {
    pub role: Role,
    /// When it last posted, in ms.
    pub posted: u64,
    pub last: u64,
    /// Seconds.
    pub slow: u64,
}

/// A room of others looks like one that is not there.
pub(super) fn belonging(database: Db<'_>, by: By, room: RoomId) -> Outcome<Belonging> {
    let query = "SELECT m.role, m.posted, r.last, r.slow FROM members m JOIN rooms r ON r.id = m.room \
                 WHERE m.room = ?1 AND m.account = ?2";
    let read = |row: &Row| {
        Ok(Belonging { role: role(row.get(0)?), posted: row.get(1)?, last: row.get(2)?, slow: row.get(3)? })
    };
    let found = database.row(query, params![room.0, by.account.0], read)?;
    found.ok_or_else(|| Refusal::new(Code::NotFound, "you belong to no such room").into())
}

pub(super) fn of_account(database: Db<'_>, account: AccountId) -> Outcome<Vec<Room>> {
    let query = format!("{ROOM} WHERE m.account = ?1 ORDER BY r.name, r.id LIMIT 256");
    database.rows(&query, params![account.0], room_of)
}

pub(super) fn create(
    database: Db<'_>,
    by: By,
    name: &Text<64>,
    topic: &Line,
    private: bool,
    password: Option<&PasswordHash>,
    key: &Key,
) -> Outcome<Answer> {
    if name.trim().is_empty() {
        return refuse(Code::Malformed, "a room has a name");
    }
    let query = "SELECT id FROM rooms WHERE maker = ?1 AND key = ?2";
    let before = database.row(query, params![by.account.0, &**key], |row| row.get(0).map(RoomId))?;
    if let Some(room) = before {
        let room = Box::new(room_for(database, by.account, room)?);
        return Ok(Answer::Joined { account: by.account, room, entry: None });
    }
    check_number_of_rooms(database, by.account)?;
    let insert = "INSERT INTO rooms(name, topic, private, password, maker, key, made) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING id";
    let hash = password.map_or("", |hash| hash.0.as_str());
    let values = params![name.trim(), &**topic, private, hash, by.account.0, &**key, by.at.0];
    let room = RoomId(database.value(insert, values)?);
    enter(database, by, room, Role::Host)
}

pub(super) fn join(
    database: Db<'_>,
    by: By,
    room: RoomId,
    password: Option<&Secret>,
    checked: Option<&PasswordHash>,
) -> Outcome<Answer> {
    let none = || Refusal::new(Code::NotFound, "there is no such room, or it is not open to you");
    if belonging(database, by, room).is_ok() {
        let room = Box::new(room_for(database, by.account, room)?);
        return Ok(Answer::Joined { account: by.account, room, entry: None });
    }
    let query = "SELECT r.private, r.password, g.banned FROM rooms r \
                 LEFT JOIN guests g ON g.room = r.id AND g.account = ?2 WHERE r.id = ?1";
    let read = |row: &Row| Ok((row.get::<bool>(0)?, row.get::<String>(1)?, row.get::<Option<bool>>(2)?));
    let found = database.row(query, params![room.0, by.account.0], read)?;
    let (is_private, hash, guest) = found.ok_or_else(none)?;
    match guest {
        Some(true) => return refuse(Code::Forbidden, "you were banned from this room"),
        // Who was invited needs no password.
        Some(false) => {}
        None if hash.is_empty() && is_private => return Err(none().into()),
        None if hash.is_empty() => {}
        None if checked.is_some_and(|checked| checked.0 == hash) => {}
        None => {
            return match password {
                Some(password) => {
                    Ok(Answer::NeedsPassword { by, room, password: password.clone(), hash: PasswordHash(hash) })
                }
                None if is_private => Err(none().into()),
                None => refuse(Code::PasswordNeeded, "this room has a password"),
            };
        }
    }
    check_number_of_rooms(database, by.account)?;
    enter(database, by, room, Role::Member)
}

pub(super) fn ask(database: Db<'_>, by: By, request: &Request) -> Outcome<Answer> {
    match request {
        Request::Leave { room } => {
            belonging(database, by, *room)?;
            leave(database, by, *room, by.account, true)
        }
        Request::Invite { room, name } => {
            belonging(database, by, *room)?;
            let (other, _) = find(database, name)?;
            let blocked = "SELECT EXISTS(SELECT 1 FROM blocks WHERE account = ?1 AND other = ?2)";
            if database.value(blocked, params![other.0, by.account.0])? {
                return Ok(Answer::Reply(Reply::Done));
            }
            let insert = "INSERT INTO guests(room, account, banned) VALUES(?1, ?2, 0) ON CONFLICT DO NOTHING";
            if database.execute(insert, params![room.0, other.0])? == 0 {
                return Ok(Answer::Reply(Reply::Done));
            }
            let mut shown = room_for(database, by.account, *room)?;
            (shown.role, shown.read) = (Role::Member, Seq(0));
            let by = person(database, by.account)?;
            Ok(Answer::Invited { account: other, room: Box::new(shown), by })
        }
        Request::Members { room } => {
            belonging(database, by, *room)?;
            let query = "SELECT a.id, a.name, a.key, a.display, m.role FROM members m \
                         JOIN accounts a ON a.id = m.account WHERE m.room = ?1 ORDER BY m.role DESC, a.name LIMIT 1000";
            let read = |row: &Row| Ok(Member { person: person_at(row, 0)?.1, role: role(row.get(4)?) });
            let members = database.rows(query, params![room.0], read)?;
            Ok(Answer::Reply(Reply::Members { room: *room, members: List::cut(members) }))
        }
        Request::SetTopic { room, topic } => {
            moderating(database, by, *room)?;
            let update = "UPDATE rooms SET topic = ?2 WHERE id = ?1";
            database.execute(update, params![room.0, &**topic])?;
            let entry = append(database, by, *room, None, &What::Topic { topic: topic.clone() })?;
            Ok(Answer::Posted { room: *room, reply: Reply::Done, entry: Some(Box::new(entry)) })
        }
        Request::SetNotice { room, notice } => {
            moderating(database, by, *room)?;
            let update = "UPDATE rooms SET notice = ?2 WHERE id = ?1 RETURNING slow";
            let slow_seconds = database.value(update, params![room.0, &**notice])?;
            Ok(Answer::Settings { room: *room, notice: notice.clone(), slow_seconds })
        }
        Request::Slow { room, seconds } => {
            moderating(database, by, *room)?;
            let update = "UPDATE rooms SET slow = ?2 WHERE id = ?1 RETURNING notice";
            let notice: String = database.value(update, params![room.0, seconds])?;
            Ok(Answer::Settings { room: *room, notice: Prose::cut(&notice), slow_seconds: *seconds })
        }
        Request::SetRole { room, name, role } => {
            if belonging(database, by, *room)?.role != Role::Host {
                return refuse(Code::Forbidden, "only the room's host may do that");
            }
            let (other, _) = find(database, name)?;
            let update = "UPDATE members SET role = ?3 WHERE room = ?1 AND account = ?2";
            if database.execute(update, params![room.0, other.0, rank(*role)])? == 0 {
                return refuse(Code::NotFound, "they do not belong to this room");
            }
            Ok(Answer::Role { account: other, room: *room, role: *role })
        }
        Request::Kick { room, name, ban } => kick(database, by, *room, name, *ban),
        _ => refuse(Code::NotFound, "this service knows no such request"),
    }
}

fn kick(database: Db<'_>, by: By, room: RoomId, name: &AccountName, ban: Option<bool>) -> Outcome<Answer> {
    let own = moderating(database, by, room)?;
    let (other, _) = find(database, name)?;
    let theirs = belonging(database, By { account: other, ..by }, room).ok();
    if theirs.as_ref().is_some_and(|theirs| rank(theirs.role) >= rank(own)) {
        return refuse(Code::Forbidden, "they have as much to say here as you");
    }
    database.execute("DELETE FROM guests WHERE room = ?1 AND account = ?2", params![room.0, other.0])?;
    match ban {
        Some(true) => {
            let insert = "INSERT INTO guests(room, account, banned) VALUES(?1, ?2, 1)";
            database.execute(insert, params![room.0, other.0])?;
        }
        Some(false) => return Ok(Answer::Reply(Reply::Done)),
        None => {}
    }
    if theirs.is_none() {
        return Ok(Answer::Reply(Reply::Done));
    }
    leave(database, by, room, other, false)
}

fn moderating(database: Db<'_>, by: By, room: RoomId) -> Outcome<Role> {
    match belonging(database, by, room)?.role {
        Role::Member => refuse(Code::Forbidden, "only the room's moderators may do that"),
        role => Ok(role),
    }
}

fn enter(database: Db<'_>, by: By, room: RoomId, role: Role) -> Outcome<Answer> {
    let insert = "INSERT INTO members(room, account, role) VALUES(?1, ?2, ?3)";
    database.execute(insert, params![room.0, by.account.0, rank(role)])?;
    database.execute("UPDATE rooms SET members = members + 1 WHERE id = ?1", params![room.0])?;
    let delete = "DELETE FROM guests WHERE room = ?1 AND account = ?2";
    database.execute(delete, params![room.0, by.account.0])?;
    let entry = append(database, by, room, None, &What::Joined)?;
    let room = Box::new(room_for(database, by.account, room)?);
    Ok(Answer::Joined { account: by.account, room, entry: Some(Box::new(entry)) })
}

fn leave(database: Db<'_>, by: By, room: RoomId, who: AccountId, by_oneself: bool) -> Outcome<Answer> {
    let entry = append(database, By { account: who, ..by }, room, None, &What::Left)?;
    database.execute("DELETE FROM members WHERE room = ?1 AND account = ?2", params![room.0, who.0])?;
    database.execute("UPDATE rooms SET members = members - 1 WHERE id = ?1", params![room.0])?;
    // A room without a host gets the one who has been there longest with the most to say.
    let heir = "UPDATE members SET role = 2 WHERE room = ?1 AND account = (SELECT account FROM members WHERE room = ?1 \
                ORDER BY role DESC, account LIMIT 1) AND NOT EXISTS(SELECT 1 FROM members WHERE room = ?1 AND role = 2)";
    database.execute(heir, params![room.0])?;
    Ok(Answer::Left { account: who, room, entry: Some(Box::new(entry)), by_oneself })
}

fn check_number_of_rooms(database: Db<'_>, account: AccountId) -> Outcome<()> {
    let query = "SELECT count(*) FROM members WHERE account = ?1";
    let rooms: usize = database.value(query, params![account.0])?;
    if rooms >= 256 { refuse(Code::TooLarge, "you belong to 256 rooms: leave one first") } else { Ok(()) }
}

fn room_for(database: Db<'_>, account: AccountId, room: RoomId) -> Outcome<Room> {
    let query = format!("{ROOM} WHERE m.account = ?1 AND m.room = ?2");
    database.one(&query, params![account.0, room.0], room_of)
}

const ROOM: &str = "SELECT r.id, r.name, r.topic, r.private, r.password <> '', m.role, r.last, m.read, r.members, r.slow, r.notice \
                    FROM members m JOIN rooms r ON r.id = m.room";

fn room_of(row: &Row) -> Outcome<Room> {
    let (name, topic): (String, String) = (row.get(1)?, row.get(2)?);
    Ok(Room {
        room: RoomId(row.get(0)?),
        name: Text::cut(&name),
        topic: Line::cut(&topic),
        private: row.get(3)?,
        locked: row.get(4)?,
        role: role(row.get(5)?),
        last: Seq(row.get(6)?),
        read: Seq(row.get(7)?),
        members: row.get(8)?,
        slow_seconds: row.get(9)?,
        notice: Prose::cut(&row.get::<String>(10)?),
    })
}

const fn rank(role: Role) -> u8 {
    match role {
        Role::Member => 0,
        Role::Moderator => 1,
        Role::Host => 2,
    }
}

const fn role(rank: u8) -> Role {
    match rank {
        2 => Role::Host,
        1 => Role::Moderator,
        _ => Role::Member,
    }
}
