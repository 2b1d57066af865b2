//! The store on SQLite: one file, in WAL mode, with `synchronous=FULL`: what was committed survives the machine.

use std::path::Path;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, ToSql, TransactionBehavior};

use crate::base::error::{Error, Kind, Result};
use crate::base::time::Duration;
use crate::proto::service::names::AccountName;
use crate::store::op::{Op, Ticket};
use crate::store::sql::value::{Broken, Param, Row, Table, ToParam, Value};
use crate::store::sql::{self, Answered, Database, Failed, perform, refusal_of, schema};

/// The database.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
}

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
        prepare(&mut connection).map_err(|error| refused(&error))?;
        bring_up(&mut connection).map_err(|error| refused(&error.text))?;
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
            let refusal = refusal_of(&broken(error));
            batch.iter().map(|(_, op)| Answered::Refused(op.whose(), refusal.clone())).collect()
        })
    }

    /// Says whether an account belongs to those who run the service.
    ///
    /// # Errors
    /// There is no such account.
    pub fn set_admin(&self, name: &AccountName, admin: bool) -> Result<()> {
        sql::set_admin(&self.connection, name, admin)
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
            match perform(&*savepoint, op) {
                Ok(answer) => {
                    savepoint.commit()?;
                    answers.push(Answered::Well(answer));
                }
                Err(Failed::Refused(refusal)) => {
                    savepoint.finish()?;
                    answers.push(Answered::Refused(op.whose(), refusal));
                }
                // A full disk and the like end the whole transaction (SQLite's "automatic rollback").
                Err(Failed::Database(error)) if savepoint.is_autocommit() => return Err(ended(&error)),
                Err(Failed::Database(error)) => {
                    tracing::warn!(target: "storage", "an operation failed: {error}");
                    savepoint.finish()?;
                    answers.push(Answered::Refused(op.whose(), refusal_of(&error)));
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

impl Database for Connection {
    fn run(&self, sql: &str, params: &[&dyn ToParam]) -> std::result::Result<Table, Broken> {
        run(self, sql, params).map_err(broken)
    }
}

fn run(database: &Connection, sql: &str, params: &[&dyn ToParam]) -> rusqlite::Result<Table> {
    let mut statement = database.prepare_cached(sql)?;
    for (at, param) in params.iter().enumerate() {
        statement.raw_bind_parameter(at + 1, param.to_param())?;
    }
    let columns = statement.column_count();
    if columns == 0 {
        return Ok(Table { rows: Vec::new(), changed: statement.raw_execute()? });
    }
    let (mut rows, mut list) = (statement.raw_query(), Vec::new());
    while let Some(row) = rows.next()? {
        let values = (0..columns).map(|at| row.get_ref(at).map(value_of));
        list.push(Row(values.collect::<rusqlite::Result<_>>()?));
    }
    Ok(Table { changed: list.len(), rows: list })
}

fn value_of(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
        // No column of ours holds fractions.
        ValueRef::Real(_) | ValueRef::Null => Value::Null,
    }
}

impl ToSql for Param<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match *self {
            Param::Null => ValueRef::Null,
            Param::Integer(number) => ValueRef::Integer(number),
            Param::Text(text) => ValueRef::Text(text.as_bytes()),
            Param::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn broken(error: rusqlite::Error) -> Broken {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Broken::Full(error.to_string()),
        _ => Broken::Other(error.to_string()),
    }
}

/// The error that has ended a transaction, for whoever asks what kind it was.
fn ended(broken: &Broken) -> rusqlite::Error {
    let code = match broken {
        Broken::Full(_) => rusqlite::ffi::SQLITE_FULL,
        _ => rusqlite::ffi::SQLITE_IOERR,
    };
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), Some(broken.to_string()))
}

/// Sets the connection up.
fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // The log is written back beside the writing ([`Checkpoints`]); only where that does not keep up, within it.
    connection.pragma_update_and_check(None, "wal_autocheckpoint", LONGEST_LOG, |_| Ok(()))?;
    // Two hundred statements with all their roles.
    connection.set_prepared_statement_cache_capacity(256);
    Ok(())
}

/// Brings the tables up to date, each step whole or not at all.
fn bring_up(connection: &mut Connection) -> Result<()> {
    let fail = |error: rusqlite::Error| Error::new(Kind::Refused, error.to_string());
    let version = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(fail)?;
    for (number, step) in schema::steps(version)? {
        let transaction = connection.transaction().map_err(fail)?;
        transaction.execute_batch(step).map_err(fail)?;
        transaction.pragma_update(None, "user_version", number).map_err(fail)?;
        transaction.commit().map_err(fail)?;
    }
    Ok(())
}

/// Pages of 4 KiB: 64 MiB.
const LONGEST_LOG: u32 = 16_384;

#[cfg(test)]
mod tests;
