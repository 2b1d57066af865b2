//! The lowest floor: time, names, rates, pools, pipes and errors. Imports nothing of ours.

pub mod axis;
pub mod error;
pub mod id;
pub mod pipe;
pub mod pool;
pub mod rate;
pub mod thread;
pub mod time;
