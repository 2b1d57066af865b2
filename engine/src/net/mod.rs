//! Sockets, timers, doors and transports. Everything that arrives is stamped here and nowhere else.

pub mod bucket;
pub mod control;
pub mod datagram;
pub mod door;
pub mod impair;
pub mod interfaces;
pub mod link;
pub mod paths;
pub mod service;
pub mod tcp;
pub mod timer;
pub mod tls;
pub mod transport;
pub mod turn;
pub mod udp;
pub mod web;
