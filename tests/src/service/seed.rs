//! A service's database with many people in it, made without asking the service.

use std::path::Path;
use std::sync::Arc;

use engine::base::id::AccountId;
use engine::base::time::Duration;
use engine::proto::service::account::{Register, Request, Secret};
use engine::proto::service::chat::Request as ChatRequest;
use engine::proto::service::names::{Key, Millis, RoomId};
use engine::proto::service::pals::Request as PalsRequest;
use engine::proto::text::Text;
use engine::store::backup::DATABASE;
use engine::store::op::accounts::{NewTokens, Op as AccountOp, PasswordHash};
use engine::store::op::chat::Op as ChatOp;
use engine::store::op::pals::Op as PalsOp;
use engine::store::op::{By, Op, Ticket};
use engine::store::postgres::Postgres;
use engine::store::postgres::url::StoreUrl;
use engine::store::sql::Answered;
use engine::store::sqlite::Sqlite;

use crate::Outcome;
use crate::service::people::Someone;

/// A database that is written before its service is started.
pub struct Seeding {
    database: Box<dyn FnMut(&[(Ticket, Op)]) -> Vec<Answered>>,
    made: usize,
}

impl Seeding {
    /// The one in `data`, or the PostgreSQL database `store`.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(data: &Path, store: Option<&str>) -> Outcome<Self> {
        let fail = |error: engine::base::error::Error| error.to_string();
        let database: Box<dyn FnMut(&[(Ticket, Op)]) -> Vec<Answered>> = match store {
            None => {
                let mut database = Sqlite::open(&data.join(DATABASE)).map_err(fail)?;
                Box::new(move |ops| database.run(ops, Duration::ZERO))
            }
            Some(url) => {
                let url = StoreUrl::parse(url).map_err(fail)?;
                let mut database = Postgres::open(&url, &Arc::default()).map_err(fail)?;
                Box::new(move |ops| database.run(ops, Duration::ZERO))
            }
        };
        Ok(Self { database, made: 0 })
    }

    /// Makes accounts, each with a session that lasts and without a password: their access tokens. The n-th account that
    /// is made is [`by`]`(n)`.
    ///
    /// # Errors
    /// The database refuses one.
    pub fn register(&mut self, people: &[Someone]) -> Outcome<Vec<Secret>> {
        let forever = Millis(4_000_000_000_000);
        let (first, at) = (self.made, Millis(1));
        let access: Vec<Secret> =
            (first..first + people.len()).map(|n| Secret::new(&format!("access-{n:060}"))).collect();
        let register = |(n, someone): (usize, &Someone)| {
            let Request::Register(request) = someone.registration() else { unreachable!("a registration") };
            let request: Box<Register> = request;
            let refresh = Secret::new(&format!("refresh-{:060}", first + n));
            let tokens =
                NewTokens { access: access[n].clone(), access_until: forever, refresh, refresh_until: forever };
            let (password, recovery) = (PasswordHash(String::new()), Secret::new(&format!("recovery {}", first + n)));
            Op::Accounts(Box::new(AccountOp::Register { request, password, recovery, needs_invite: false, tokens, at }))
        };
        self.run(people.iter().enumerate().map(register).collect())?;
        self.made += people.len();
        Ok(access)
    }

    /// Does operations, one after another.
    ///
    /// # Errors
    /// The database refuses one.
    pub fn run(&mut self, ops: Vec<Op>) -> Outcome<()> {
        let mut ops = ops.into_iter().map(|op| (Ticket::default(), op)).collect::<Vec<_>>();
        while !ops.is_empty() {
            let rest = ops.split_off(ops.len().min(500));
            for answered in (self.database)(&ops) {
                if let Answered::Refused(_, refusal) = answered {
                    return Err(format!("not filled: {}", &*refusal.text));
                }
            }
            ops = rest;
        }
        Ok(())
    }
}

/// Who the n-th account is.
pub const fn by(n: usize) -> By {
    By { account: AccountId(n as u64 + 1), at: Millis(1) }
}

/// The two become pals.
pub fn pair(one: (usize, &Someone), other: (usize, &Someone)) -> [Op; 2] {
    [(one.0, other.1), (other.0, one.1)].map(|(n, other)| {
        let request = Box::new(PalsRequest::Add { name: other.name.clone(), note: Default::default() });
        Op::Pals(Box::new(PalsOp::Ask { by: by(n), request }))
    })
}

/// Makes `people` accounts in `data`, or in the PostgreSQL database `store`, each with a session that lasts; the first
/// `in_rooms` of them in rooms of `room`, and everybody a pal of the next one. Their access tokens.
///
/// # Errors
/// The database cannot be written.
pub fn fill(data: &Path, store: Option<&str>, people: usize, in_rooms: usize, room: usize) -> Outcome<Vec<Secret>> {
    let mut seeding = Seeding::open(data, store)?;
    let someones: Vec<Someone> = (0..people).map(|n| Someone::new(&name(n))).collect();
    let access = seeding.register(&someones)?;
    let key = |n: usize| Key::try_from(format!("room-{n:08}"));
    let mut ops = Vec::new();
    for n in 0..in_rooms {
        let chat = if n % room == 0 {
            let (name, key) = (Text::cut(&format!("room {n}")), key(n)?);
            ChatOp::Create { by: by(n), name, topic: Default::default(), private: false, password: None, key }
        } else {
            ChatOp::Join { by: by(n), room: RoomId((n / room + 1) as u64), password: None, checked: None }
        };
        ops.push(Op::Chat(Box::new(chat)));
    }
    for n in 0..people {
        let next = (n + 1) % people;
        ops.extend(pair((n, &someones[n]), (next, &someones[next])));
    }
    seeding.run(ops)?;
    Ok(access)
}

/// The room of the n-th person.
pub fn room_of(n: usize, room: usize) -> RoomId {
    RoomId((n / room + 1) as u64)
}

fn name(n: usize) -> String {
    format!("person{n}")
}

/// The request that says something into a room.
pub fn post(n: usize, room: usize, count: u64) -> Outcome<ChatRequest> {
    let key = Key::try_from(format!("{n:05}-{count:010}"))?;
    let text = format!("person {n} says {count}, and some words more, as people do");
    Ok(ChatRequest::Post { room: room_of(n, room), key, text: engine::proto::text::Prose::cut(&text) })
}
