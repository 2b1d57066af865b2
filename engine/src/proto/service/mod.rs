//! What a client and the service say to each other.
//!
//! Accounts speak JSON over HTTP ([`account`]); the rest are channels of one WebSocket ([`frame`]). Unknown fields and
//! unknown kinds of message are ignored, so that a newer side can say more to an older one.

pub mod account;
pub mod chat;
pub mod directory;
pub mod frame;
pub mod link;
pub mod messages;
pub mod names;
pub mod pals;
pub mod profile;
pub mod refusal;
