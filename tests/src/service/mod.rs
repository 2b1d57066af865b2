//! A small client of the service for tests: blocking, one thread, says what it sends byte by byte where that is wanted.

pub mod client;
pub mod cluster;
pub mod durability;
pub mod flood;
pub mod host;
pub mod people;
pub mod product;
pub mod relay;
pub mod seed;
pub mod shown;
pub mod swarm;
pub mod tap;
pub mod tls;
pub mod unseen;
