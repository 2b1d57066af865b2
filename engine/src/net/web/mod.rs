//! The service's doors: TLS 1.3 on every port, HTTP inside, a WebSocket where one is asked for.

pub mod certificate;
pub mod connection;
pub mod doors;
pub mod forwarded;
mod http;
pub mod stream;
