//! Codecs: one folder and one enum arm each.

pub mod opus;
