//! Media as data: pictures, units, stamps, and the pure functions over them. No threads, no clocks, no IO.

pub mod audible;
pub mod chirp;
pub mod encoded;
pub mod frame_length;
pub mod freeze;
pub mod jitter_audio;
pub mod jitter_video;
pub mod ledger;
pub mod level;
pub mod lips;
pub mod marker;
pub mod mix;
pub mod parity;
pub mod phase;
pub mod playout_clock;
pub mod policy;
pub mod rate;
pub mod report;
pub mod scale;
pub mod simulcast;
pub mod sound;
pub mod still;
pub mod stretch;
pub mod summary;
pub mod switches;
pub mod video;
