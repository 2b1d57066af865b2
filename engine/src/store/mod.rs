//! What stays on disk: the identity, the keys of others, the choices of a person, and recordings of calls.

pub mod file;
pub mod identity;
pub mod known;
pub mod recording;
pub mod settings;
