//! Media as data: pictures, units, stamps, and the pure functions over them. No threads, no clocks, no IO.

pub mod encoded;
pub mod ledger;
pub mod video;
