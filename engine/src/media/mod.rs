//! Media as data: pictures, units, stamps, and the pure functions over them. No threads, no clocks, no IO.

pub mod encoded;
pub mod freeze;
pub mod jitter_video;
pub mod ledger;
pub mod marker;
pub mod playout_clock;
pub mod scale;
pub mod video;
