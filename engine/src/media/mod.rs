//! Media as data: pictures, units, stamps, and the pure functions over them. No threads, no clocks, no IO.

pub mod chirp;
pub mod encoded;
pub mod jitter_audio;
pub mod ledger;
pub mod level;
pub mod mix;
pub mod stretch;
pub mod video;
