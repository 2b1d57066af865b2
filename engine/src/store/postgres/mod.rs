//! The store on PostgreSQL, or on CockroachDB, which speaks the same: each worker has a connection of its own and does
//! what concerns one room or one account in its order. Transactions are serialisable; one that was in another's way is
//! tried again. There is no LISTEN and there are no advisory locks.

mod connection;
mod schema;
#[cfg(test)]
mod tests;
pub mod url;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::base::error::Result;
use crate::base::time::{self, Duration, Instant};
use crate::proto::service::names::AccountName;
use crate::store::op::{Op, Ticket};
use crate::store::sql::value::Broken;
use crate::store::sql::{Answered, Database, Failed, perform, refusal_of};
use connection::{BACK, BEGIN, COMMIT, Connection, RELEASE, ROLLBACK, SAVEPOINT};
use url::StoreUrl;

/// One worker's way to the database.
#[derive(Debug)]
pub struct Postgres {
    url: StoreUrl,
    connection: Option<Connection>,
    /// Tries in vain since it was reached last, and when the next one is due.
    failed: u32,
    due: Option<Instant>,
    health: Arc<Health>,
}

/// How the database is, for the operator.
#[derive(Debug, Default)]
pub struct Health {
    unreachable: AtomicBool,
    /// Transactions that were tried again because another was in the way.
    pub retried: AtomicU64,
    /// Operations that were given up after all their tries.
    pub given_up: AtomicU64,
    /// Connections that were lost.
    pub lost: AtomicU64,
}

impl Health {
    /// Whether the last one who asked the database got an answer.
    pub fn is_reachable(&self) -> bool {
        !self.unreachable.load(Ordering::Relaxed)
    }
}

/// Why a batch was not done.
enum Ended {
    /// Nothing of it happened.
    Before(Broken),
    /// The connection was lost while it was committed: it happened, or it did not.
    Committing(Broken),
}

impl Postgres {
    /// A way to the database, which has been reached and whose tables are those of this program.
    ///
    /// # Errors
    /// A line for the operator: it cannot be reached, the password is wrong, or it was made by a newer program.
    pub fn open(url: &StoreUrl, health: &Arc<Health>) -> Result<Self> {
        let connection = schema::open(url)?;
        prefer_indexes(&connection);
        let (failed, due) = (0, None);
        Ok(Self { url: url.clone(), connection: Some(connection), failed, due, health: health.clone() })
    }

    /// How the database is.
    pub const fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Another worker's.
    pub fn another(&self) -> Self {
        Self { url: self.url.clone(), connection: None, failed: 0, due: None, health: self.health.clone() }
    }

    /// Does all of a batch in one transaction, or in several where others are in the way. Each either happens or does
    /// not; what is answered well is committed.
    pub fn run(&mut self, batch: &[(Ticket, Op)], commit_delay: Duration) -> Vec<Answered> {
        let mut answers = self.tried(batch, TOGETHER);
        if answers.is_none() {
            // One by one each is in fewer others' way.
            let alone = |one: &(Ticket, Op)| self.tried(std::slice::from_ref(one), ALONE)?.pop();
            answers = batch.iter().map(alone).collect();
        }
        if !commit_delay.is_zero() {
            std::thread::sleep(commit_delay);
        }
        answers.unwrap_or_default()
    }

    /// Says whether an account belongs to those who run the service.
    ///
    /// # Errors
    /// There is no such account, or the database cannot be reached.
    pub fn set_admin(url: &StoreUrl, name: &AccountName, admin: bool) -> Result<()> {
        let connection = schema::open(url)?;
        crate::store::sql::set_admin(&connection, name, admin)
    }

    /// Tries a batch so often; `None` where others were in the way each time and there is a smaller way.
    fn tried(&mut self, batch: &[(Ticket, Op)], tries: u32) -> Option<Vec<Answered>> {
        let refused = |broken: &Broken| {
            let refusal = refusal_of(broken);
            batch.iter().map(|(_, op)| Answered::Refused(op.whose(), refusal.clone())).collect()
        };
        let mut last = Broken::Other(String::new());
        for attempt in 0..tries {
            match self.try_run(batch) {
                Ok(answers) => return Some(answers),
                Err(Ended::Before(Broken::Conflict(text))) => {
                    self.health.retried.fetch_add(1, Ordering::Relaxed);
                    last = Broken::Conflict(text);
                    // Two that met once meet again unless they part.
                    let longest = (1u64 << attempt.min(5)) * 1000;
                    std::thread::sleep(Duration::from_micros(fastrand::u64(..longest)));
                }
                // It is done on a new connection, where there is one.
                Err(Ended::Before(Broken::Gone(text)))
                    if attempt == 0 && self.connection.is_none() && self.failed == 0 =>
                {
                    last = Broken::Gone(text);
                }
                Err(Ended::Before(broken) | Ended::Committing(broken)) => {
                    if !matches!(broken, Broken::Gone(_)) {
                        tracing::error!(target: "storage", "nothing of {} operations was stored: {broken}", batch.len());
                    }
                    return Some(refused(&broken));
                }
            }
        }
        if batch.len() > 1 {
            return None;
        }
        self.health.given_up.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(target: "storage", "an operation was given up: {last}");
        Some(refused(&last))
    }

    fn try_run(&mut self, batch: &[(Ticket, Op)]) -> Result<Vec<Answered>, Ended> {
        let connection = self.reach().map_err(Ended::Before)?;
        let outcome = transact(&connection, batch);
        match &outcome {
            Err(Ended::Before(Broken::Gone(text)) | Ended::Committing(Broken::Gone(text))) => {
                self.health.lost.fetch_add(1, Ordering::Relaxed);
                tracing::error!(target: "storage", "the database's connection was lost: {text}");
            }
            Err(_) => {
                connection.forget();
                if connection.control(ROLLBACK).is_ok() {
                    self.connection = Some(connection);
                }
            }
            Ok(_) => self.connection = Some(connection),
        }
        outcome
    }

    /// The connection, or a new one, where one is due.
    fn reach(&mut self) -> Result<Connection, Broken> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        let now = time::now();
        if self.due.is_some_and(|due| now < due) {
            return Err(Broken::Gone("the database cannot be reached".into()));
        }
        match Connection::open(&self.url).inspect(prefer_indexes) {
            Ok(connection) => {
                if self.failed > 0 {
                    tracing::info!(target: "storage", "the database is reached again");
                }
                (self.failed, self.due) = (0, None);
                self.health.unreachable.store(false, Ordering::Relaxed);
                Ok(connection)
            }
            Err(broken) => {
                self.failed = self.failed.saturating_add(1);
                let wait = FIRST_WAIT.saturating_mul(1 << self.failed.min(10)).min(LONGEST_WAIT);
                // From a half to the whole, so that many do not come at once.
                self.due = Some(time::now() + wait.mul_f64(0.5 + fastrand::f64() / 2.0));
                self.health.unreachable.store(true, Ordering::Relaxed);
                tracing::error!(target: "storage", "the database cannot be reached: {broken}");
                Err(broken)
            }
        }
    }
}

/// A table that is read whole is in the way of whoever writes to any row of it. Where the database knows no such setting
/// it decides by itself.
fn prefer_indexes(connection: &Connection) {
    let _ = connection.batch("SET enable_seqscan = off");
}

fn transact(connection: &Connection, batch: &[(Ticket, Op)]) -> Result<Vec<Answered>, Ended> {
    connection.ahead(BEGIN);
    let mut answers = Vec::with_capacity(batch.len());
    for (_, op) in batch {
        // An operation that fails half-way leaves nothing.
        connection.ahead(SAVEPOINT);
        let database: &dyn Database = connection;
        match perform(database, op) {
            Ok(answer) => answers.push(Answered::Well(answer)),
            Err(Failed::Refused(refusal)) => {
                connection.ahead(BACK);
                answers.push(Answered::Refused(op.whose(), refusal));
            }
            Err(Failed::Database(broken @ (Broken::Conflict(_) | Broken::Gone(_) | Broken::Full(_)))) => {
                return Err(Ended::Before(broken));
            }
            Err(Failed::Database(broken)) => {
                tracing::warn!(target: "storage", "an operation failed: {broken}");
                connection.ahead(BACK);
                answers.push(Answered::Refused(op.whose(), refusal_of(&broken)));
            }
        }
        connection.ahead(RELEASE);
    }
    match connection.control(COMMIT) {
        Ok(()) => Ok(answers),
        Err(broken @ Broken::Gone(_)) => Err(Ended::Committing(broken)),
        Err(broken) => Err(Ended::Before(broken)),
    }
}

/// Tries of a batch, and of an operation that is tried alone: the last of them wait 32 ms.
const TOGETHER: u32 = 3;
const ALONE: u32 = 20;

const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
