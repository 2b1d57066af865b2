//! Sockets and transports.
