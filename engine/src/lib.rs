//! The real-time media engine of Visavis.
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod base;
pub mod codec;
#[cfg(feature = "client")]
pub mod device;
pub mod engine;
pub mod handle;
pub mod layout;
pub mod media;
pub mod net;
pub mod proto;
#[cfg(feature = "client")]
pub mod render;
#[cfg(feature = "client")]
pub mod source;
pub mod roles;
pub mod store;
pub mod systems;
pub mod world;
