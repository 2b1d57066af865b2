//! What stays on disk: the identity and the keys of others.

pub mod file;
pub mod identity;
pub mod known;
