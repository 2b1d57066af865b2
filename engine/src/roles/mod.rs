//! Roles: what a program does with the engine or with the service. Each installs its systems; they never import each
//! other.

pub mod accounts;
pub mod chat;
#[cfg(feature = "client")]
pub mod client;
pub mod directory;
pub mod messages;
pub mod nettest;
pub mod pals;
