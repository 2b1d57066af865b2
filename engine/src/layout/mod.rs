//! Where tiles stand, and the description of one picture. Pure functions and data.

pub mod grid;
pub mod snapshot;
