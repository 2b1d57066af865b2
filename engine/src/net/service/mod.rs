//! The client's way to a service: which door is open, whose key is behind it, and what is asked there.
//!
//! All of it waits: it belongs on helper threads, never on the engine's.

pub mod dial;
pub mod https;
pub mod trust;
