//! What each operation is in SQL: statements that SQLite, PostgreSQL and CockroachDB understand alike. Parameters are
//! `?1`, truth is 0 and 1, and a database says itself how it takes them.

mod accounts;
mod accounts_admin;
mod accounts_login;
mod chat;
mod chat_rooms;
mod directory;
mod messages;
mod pals;
pub mod schema;
#[cfg(test)]
pub mod suite;
pub mod value;

use crate::base::error::{Error, Kind};
use crate::proto::service::names::AccountName;
use crate::proto::service::refusal::{Code, Refusal};
use crate::store::op::{Answer, Op, Whose};
use value::{Broken, FromValue, Row, Table, ToParam, params};

/// A connection that takes statements, within a transaction that its owner begins and ends.
pub trait Database {
    /// Runs one statement.
    ///
    /// # Errors
    /// See [`Broken`]; the transaction is to be rolled back.
    fn run(&self, sql: &str, params: &[&dyn ToParam]) -> Result<Table, Broken>;
}

pub(crate) type Db<'a> = &'a dyn Database;

impl<'a> dyn Database + 'a {
    /// How many rows were changed.
    pub(crate) fn execute(&self, sql: &str, params: &[&dyn ToParam]) -> Outcome<usize> {
        Ok(self.run(sql, params)?.changed)
    }

    /// The first row, where there is one.
    pub(crate) fn row<T>(
        &self,
        sql: &str,
        params: &[&dyn ToParam],
        read: impl FnOnce(&Row) -> Outcome<T>,
    ) -> Outcome<Option<T>> {
        self.run(sql, params)?.rows.first().map(read).transpose()
    }

    /// The first row, which there is.
    pub(crate) fn one<T>(
        &self,
        sql: &str,
        params: &[&dyn ToParam],
        read: impl FnOnce(&Row) -> Outcome<T>,
    ) -> Outcome<T> {
        self.row(sql, params, read)?.ok_or_else(|| damaged("row"))
    }

    /// The first column of the first row, which there is.
    pub(crate) fn value<T: FromValue>(&self, sql: &str, params: &[&dyn ToParam]) -> Outcome<T> {
        self.one(sql, params, |row| row.get(0))
    }

    /// All rows.
    pub(crate) fn rows<T>(
        &self,
        sql: &str,
        params: &[&dyn ToParam],
        read: impl FnMut(&Row) -> Outcome<T>,
    ) -> Outcome<Vec<T>> {
        self.run(sql, params)?.rows.iter().map(read).collect()
    }
}

/// Why an operation did not happen.
#[derive(Debug)]
pub enum Failed {
    /// It was not allowed, or what it is about is not there.
    Refused(Refusal),
    Database(Broken),
}

pub type Outcome<T> = Result<T, Failed>;

/// How an operation ended.
#[derive(Debug)]
pub enum Answered {
    Well(Answer),
    Refused(Whose, Refusal),
}

/// Does one operation. What has failed half-way is to be rolled back.
pub fn perform(database: Db<'_>, op: &Op) -> Outcome<Answer> {
    match op {
        Op::Accounts(op) => accounts::perform(database, op).map(Answer::Accounts),
        Op::Directory(op) => directory::perform(database, op).map(Answer::Directory),
        Op::Pals(op) => pals::perform(database, op).map(Answer::Pals),
        Op::Chat(op) => chat::perform(database, op).map(Answer::Chat),
        Op::Messages(op) => messages::perform(database, op).map(Answer::Messages),
    }
}

/// Says whether an account belongs to those who run the service.
///
/// # Errors
/// There is no such account.
pub fn set_admin(database: Db<'_>, name: &AccountName, admin: bool) -> Result<(), Error> {
    let update = "UPDATE accounts SET admin = ?2 WHERE name = ?1 AND deleted = 0";
    let text = match database.execute(update, params![&**name, admin]) {
        Ok(0) => format!("nobody here is called {name}"),
        Ok(_) => return Ok(()),
        Err(Failed::Database(broken)) => format!("not noted: {broken}"),
        Err(Failed::Refused(refusal)) => format!("not noted: {}", &*refusal.text),
    };
    Err(Error::new(Kind::Refused, text))
}

/// What the person is told: what is wrong with the database concerns the operator, who finds it in the log.
pub fn refusal_of(broken: &Broken) -> Refusal {
    match broken {
        Broken::Full(_) => Refusal::new(Code::Full, "the service's disk is full: try again later"),
        Broken::Gone(_) => {
            Refusal::retry_after(Code::Busy, "the service cannot reach its database at the moment: try again", 1000)
        }
        _ => Refusal::retry_after(Code::Busy, "the service cannot store anything at the moment: try again", 1000),
    }
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

fn refuse<T>(code: Code, text: &str) -> Outcome<T> {
    Err(Refusal::new(code, text).into())
}

/// Stored JSON and names are our own; what does not read as such is a damaged database.
fn damaged(what: &str) -> Failed {
    Failed::Database(Broken::Other(format!("the stored {what} cannot be read")))
}
