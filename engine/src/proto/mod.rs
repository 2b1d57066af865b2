//! Wire formats and state machines without IO. Network input never panics here.

pub mod nal;
pub mod rtp_h264;
pub mod unit_ext;
