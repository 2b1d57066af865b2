//! Sockets and transports.

pub mod bucket;
pub mod control;
pub mod link;
pub mod tcp;
pub mod tls;
