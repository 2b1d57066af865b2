//! Signalling: what two devices say to each other about a call, and the machine that decides what it means.

pub mod action;
pub mod body;
pub mod clock;
pub mod event;
pub mod incoming;
pub mod machine;
pub mod media;
pub mod outcome;
pub mod outgoing;
