//! Wire formats and state machines without IO. Network input never panics here.

pub mod authority;
pub mod blank;
pub mod contact;
pub mod dedup;
pub mod devices;
pub mod envelope;
pub mod frame;
pub mod hex;
pub mod http;
pub mod http_client;
pub mod keys;
pub mod nal;
pub mod ogg;
pub mod quick;
pub mod red;
pub mod repair;
pub mod rtp_h264;
pub mod seal;
pub mod service;
pub mod signal;
pub mod target;
pub mod text;
pub mod turn;
pub mod unit_ext;
