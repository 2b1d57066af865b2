//! The store on SQLite: one file, in WAL mode, with `synchronous=FULL`: what was committed survives the machine.

mod accounts;
mod accounts_admin;
mod accounts_login;
mod chat;
mod chat_rooms;
mod directory;
mod messages;
mod pals;
mod schema;

use std::path::Path;

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use crate::base::error::{Error, Kind, Result};
use crate::base::time::Duration;
use crate::proto::service::names::AccountName;
use crate::proto::service::refusal::{Code, Refusal};
use crate::store::op::{Answer, Op, Ticket};

/// The database.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
}

/// How an operation ended.
#[derive(Debug)]
pub enum Answered {
    Well(Answer),
    Refused(Whose, Refusal),
}

/// Whose operation it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    Accounts,
    Directory,
    Pals,
    Chat,
    Messages,
}

/// Why an operation did not happen.
#[derive(Debug)]
enum Failed {
    /// It was not allowed, or what it is about is not there.
    Refused(Refusal),
    Database(rusqlite::Error),
}

type Outcome<T> = std::result::Result<T, Failed>;

impl Sqlite {
    /// Opens the database in the file `path`, makes it where there is none, and brings an older one up to date.
    ///
    /// # Errors
    /// [`Kind::Refused`]: not readable, or of a newer version; the text says what to do.
    pub fn open(path: &Path) -> Result<Self> {
        let refused = |error: &dyn std::fmt::Display| {
            Error::new(Kind::Refused, format!("the database {} cannot be opened: {error}", path.display()))
        };
        let mut connection = Connection::open(path).map_err(|error| refused(&error))?;
        schema::prepare(&mut connection).map_err(|error| refused(&error))?;
        Ok(Self { connection })
    }

    /// Does all of a batch in one transaction. Each either happens or does not; what is answered well is on disk.
    pub fn run(&mut self, batch: &[(Ticket, Op)], commit_delay: Duration) -> Vec<Answered> {
        let done = self.try_run(batch).inspect_err(|error| {
            tracing::error!(target: "storage", "nothing of {} operations was stored: {error}", batch.len());
        });
        if !commit_delay.is_zero() {
            std::thread::sleep(commit_delay);
        }
        // Nothing of it happened where the commit failed.
        done.unwrap_or_else(|error| {
            batch.iter().map(|(_, op)| Answered::Refused(whose(op), refusal_of(&error))).collect()
        })
    }

    /// Says whether an account belongs to those who run the service.
    ///
    /// # Errors
    /// There is no such account.
    pub fn set_admin(&self, name: &AccountName, admin: bool) -> Result<()> {
        let update = "UPDATE accounts SET admin = ?2 WHERE name = ?1 AND deleted = 0";
        let fail = |error: rusqlite::Error| Error::new(Kind::Refused, format!("not noted: {error}"));
        match self.connection.execute(update, rusqlite::params![&**name, admin]).map_err(fail)? {
            0 => Err(Error::new(Kind::Refused, format!("nobody here is called {name}"))),
            _ => Ok(()),
        }
    }

    /// What writes the log of this database back.
    ///
    /// # Errors
    /// The database cannot be opened once more.
    pub fn checkpoints(&self) -> Result<Checkpoints> {
        let refused = |error: rusqlite::Error| Error::new(Kind::Refused, format!("no checkpoints: {error}"));
        let connection = Connection::open(self.connection.path().unwrap_or_default()).map_err(refused)?;
        connection.pragma_update(None, "synchronous", "full").map_err(refused)?;
        Ok(Checkpoints { connection })
    }

    /// Copies the database as it is now.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn backup(&self, to: &Path) -> Result<()> {
        let fail = |error: rusqlite::Error| Error::new(Kind::Refused, format!("no backup: {error}"));
        self.connection.backup("main", to, None::<fn(rusqlite::backup::Progress)>).map_err(fail)
    }

    fn try_run(&mut self, batch: &[(Ticket, Op)]) -> rusqlite::Result<Vec<Answered>> {
        let mut transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut answers = Vec::with_capacity(batch.len());
        for (_, op) in batch {
            // An operation that fails half-way leaves nothing.
            let savepoint = transaction.savepoint()?;
            match perform(&savepoint, op) {
                Ok(answer) => {
                    savepoint.commit()?;
                    answers.push(Answered::Well(answer));
                }
                Err(Failed::Refused(refusal)) => {
                    savepoint.finish()?;
                    answers.push(Answered::Refused(whose(op), refusal));
                }
                // A full disk and the like end the whole transaction (SQLite's "automatic rollback").
                Err(Failed::Database(error)) if savepoint.is_autocommit() => return Err(error),
                Err(Failed::Database(error)) => {
                    tracing::warn!(target: "storage", "an operation failed: {error}");
                    savepoint.finish()?;
                    answers.push(Answered::Refused(whose(op), refusal_of(&error)));
                }
            }
        }
        transaction.commit()?;
        Ok(answers)
    }
}

/// Writes the log back into the database, beside the connection that writes: a transaction that had to do so itself would
/// take many times as long, and all that wait for it.
#[derive(Debug)]
pub struct Checkpoints {
    connection: Connection,
}

impl Checkpoints {
    /// Writes back what can be without waiting for anybody.
    pub fn run(&self) {
        let ran = self.connection.pragma_query(None, "wal_checkpoint", |_| Ok(()));
        if let Err(error) = ran {
            // The writer does it when the log is long enough.
            tracing::warn!(target: "storage", "the log was not written back: {error}");
        }
    }
}

fn perform(database: &Connection, op: &Op) -> Outcome<Answer> {
    match op {
        Op::Accounts(op) => accounts::perform(database, op).map(Answer::Accounts),
        Op::Directory(op) => directory::perform(database, op).map(Answer::Directory),
        Op::Pals(op) => pals::perform(database, op).map(Answer::Pals),
        Op::Chat(op) => chat::perform(database, op).map(Answer::Chat),
        Op::Messages(op) => messages::perform(database, op).map(Answer::Messages),
    }
}

const fn whose(op: &Op) -> Whose {
    match op {
        Op::Accounts(_) => Whose::Accounts,
        Op::Directory(_) => Whose::Directory,
        Op::Pals(_) => Whose::Pals,
        Op::Chat(_) => Whose::Chat,
        Op::Messages(_) => Whose::Messages,
    }
}

/// What the person is told: what is wrong with the disk concerns the operator, who finds it in the log.
fn refusal_of(error: &rusqlite::Error) -> Refusal {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Refusal::new(Code::Full, "the service's disk is full: try again later"),
        _ => Refusal::retry_after(Code::Busy, "the service cannot store anything at the moment: try again", 1000),
    }
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
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
    Failed::Database(rusqlite::Error::InvalidColumnName(what.to_owned()))
}

#[cfg(test)]
mod tests;
