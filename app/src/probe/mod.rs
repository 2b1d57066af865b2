//! Measuring other programs from outside.

pub mod audio;
