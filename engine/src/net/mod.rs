//! Sockets, timers and transports. Everything that arrives is stamped here and nowhere else.

pub mod datagram;
pub mod timer;
pub mod transport;
pub mod udp;
//! Sockets and transports.

pub mod bucket;
pub mod control;
pub mod link;
pub mod tcp;
pub mod tls;
