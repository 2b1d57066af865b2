//! What stays on disk: the identity, the keys of others, the choices of a person, and recordings of calls; and the
//! service's database, with the threads that work for it.

pub mod backup;
pub mod blob;
pub mod file;
pub mod identity;
pub mod known;
pub mod login;
pub mod mailbox;
pub mod op;
pub mod passwords;
pub mod postgres;
pub mod recording;
pub mod settings;
pub mod sql;
pub mod sqlite;
pub mod transfer;
mod wire;
pub mod worker;
