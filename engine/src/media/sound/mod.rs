//! How sound is sent: what the receiver reports of it, what that says about the path, and the frame length, bitrate and
//! copies that follow from it.

pub mod control;
pub mod framer;
pub mod plan;
pub mod report;
pub mod start;
