//! Sockets, timers, doors and transports. Everything that arrives is stamped here and nowhere else.

pub mod bucket;
pub mod control;
pub mod datagram;
pub mod dialback;
pub mod door;
pub mod impair;
pub mod interfaces;
#[cfg(feature = "client")]
pub mod lan;
pub mod link;
pub mod mapping;
#[cfg(feature = "client")]
pub mod nettest;
pub mod paths;
pub mod proxy;
pub mod service;
pub mod tcp;
pub mod timer;
pub mod tls;
pub mod transport;
pub mod turn;
pub mod udp;
pub mod web;
