//! The harness of the whole-call tests.

pub mod skip;
