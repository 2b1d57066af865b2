//! The lowest floor: time, names, rates, pools, pipes, errors and whose code runs. Imports nothing of ours.

pub mod axis;
pub mod error;
pub mod foreign;
pub mod id;
pub mod pipe;
pub mod pool;
pub mod rate;
pub mod slice;
pub mod stereo;
pub mod thread;
pub mod time;
