//! Tables, and how those of older versions become today's.

use crate::base::error::{Error, Kind, Result};

/// Each step brings the version before it up by one; a new database takes them all. Steps are never changed once a
/// version with them has been given out. They are written for SQLite; another database translates the types.
pub const STEPS: [&str; 1] = [FIRST];

/// The steps that a database of `version` needs.
///
/// # Errors
/// It was made by a newer program.
pub fn steps(version: usize) -> Result<impl Iterator<Item = (usize, &'static str)>> {
    if version > STEPS.len() {
        let text = format!("it is of version {version} and this program knows {}: use a newer program", STEPS.len());
        return Err(Error::new(Kind::Refused, text));
    }
    Ok(STEPS.iter().copied().enumerate().skip(version).map(|(number, step)| (number + 1, step)))
}

const FIRST: &str = "
CREATE TABLE accounts(
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, display TEXT NOT NULL,
    password TEXT NOT NULL, recovery BLOB NOT NULL, key BLOB NOT NULL UNIQUE, devices TEXT NOT NULL,
    serial INTEGER NOT NULL, profile TEXT NOT NULL DEFAULT '{}', photo TEXT NOT NULL DEFAULT '',
    place TEXT NOT NULL DEFAULT '', languages TEXT NOT NULL DEFAULT '',
    listed INTEGER NOT NULL DEFAULT 0, comment TEXT NOT NULL DEFAULT '',
    admin INTEGER NOT NULL DEFAULT 0, deleted INTEGER NOT NULL DEFAULT 0, suspended INTEGER NOT NULL DEFAULT 0, made INTEGER NOT NULL);
CREATE INDEX accounts_listed ON accounts(name) WHERE listed = 1;
CREATE INDEX accounts_photo ON accounts(photo) WHERE photo <> '';
CREATE TABLE tokens(
    refresh BLOB PRIMARY KEY, access BLOB NOT NULL UNIQUE, family BLOB NOT NULL,
    account INTEGER NOT NULL REFERENCES accounts(id) ON DELETE CASCADE, device BLOB NOT NULL,
    access_until INTEGER NOT NULL, refresh_until INTEGER NOT NULL, used INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE INDEX tokens_family ON tokens(family);
CREATE INDEX tokens_account ON tokens(account);
CREATE TABLE invites(code BLOB PRIMARY KEY, account INTEGER NOT NULL, uses INTEGER NOT NULL, until INTEGER NOT NULL)
    WITHOUT ROWID;
CREATE TABLE pals(
    account INTEGER NOT NULL, other INTEGER NOT NULL, paired INTEGER NOT NULL, hidden INTEGER NOT NULL DEFAULT 0,
    note TEXT NOT NULL DEFAULT '', at INTEGER NOT NULL, PRIMARY KEY(account, other)) WITHOUT ROWID;
CREATE INDEX pals_other ON pals(other, paired);
CREATE TABLE blocks(account INTEGER NOT NULL, other INTEGER NOT NULL, PRIMARY KEY(account, other)) WITHOUT ROWID;
CREATE TABLE reports(
    id INTEGER PRIMARY KEY, account INTEGER NOT NULL, about INTEGER NOT NULL, text TEXT NOT NULL, at INTEGER NOT NULL,
    done INTEGER NOT NULL DEFAULT 0);
CREATE TABLE calls(
    account INTEGER NOT NULL, at INTEGER NOT NULL, call BLOB NOT NULL, other INTEGER NOT NULL,
    incoming INTEGER NOT NULL, missed INTEGER NOT NULL, PRIMARY KEY(account, at, call)) WITHOUT ROWID;
CREATE TABLE rooms(
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, topic TEXT NOT NULL, notice TEXT NOT NULL DEFAULT '', private INTEGER NOT NULL,
    password TEXT NOT NULL, last INTEGER NOT NULL DEFAULT 0, slow INTEGER NOT NULL DEFAULT 0, maker INTEGER NOT NULL,
    key TEXT NOT NULL, members INTEGER NOT NULL DEFAULT 0, made INTEGER NOT NULL, UNIQUE(maker, key));
CREATE INDEX rooms_open ON rooms(name, id) WHERE private = 0;
CREATE TABLE members(
    room INTEGER NOT NULL, account INTEGER NOT NULL, role INTEGER NOT NULL, read INTEGER NOT NULL DEFAULT 0,
    posted INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(room, account)) WITHOUT ROWID;
CREATE INDEX members_account ON members(account);
CREATE TABLE guests(
    room INTEGER NOT NULL, account INTEGER NOT NULL, banned INTEGER NOT NULL, PRIMARY KEY(room, account)) WITHOUT ROWID;
CREATE TABLE entries(
    room INTEGER NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL, account INTEGER NOT NULL, what INTEGER NOT NULL,
    text TEXT NOT NULL DEFAULT '', target INTEGER NOT NULL DEFAULT 0, state INTEGER NOT NULL DEFAULT 0,
    key TEXT, PRIMARY KEY(room, seq)) WITHOUT ROWID;
CREATE UNIQUE INDEX entries_key ON entries(room, account, key) WHERE key IS NOT NULL;
CREATE INDEX entries_account ON entries(account);
CREATE TABLE sealing(
    device BLOB PRIMARY KEY, account INTEGER NOT NULL, public BLOB NOT NULL, signature BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX sealing_account ON sealing(account);
CREATE TABLE blobs(
    id TEXT PRIMARY KEY, account INTEGER NOT NULL, size INTEGER NOT NULL, at INTEGER NOT NULL,
    uses INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE messages(
    account INTEGER NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL, sender INTEGER NOT NULL, key TEXT NOT NULL,
    blob TEXT NOT NULL, size INTEGER NOT NULL, sealed TEXT NOT NULL, read INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY(account, seq)) WITHOUT ROWID;
CREATE UNIQUE INDEX messages_key ON messages(sender, key);
CREATE INDEX messages_blob ON messages(blob);
CREATE TABLE inboxes(account INTEGER PRIMARY KEY, last INTEGER NOT NULL);
";
