//! Data only: components, resources and the steps of a tick. No behaviour beyond keeping itself consistent.

pub mod call;
pub mod config;
pub mod connection;
pub mod message;
pub mod outgoing;
pub mod shared;
pub mod stage;
pub mod stats;
pub mod stream;
pub mod tape;
