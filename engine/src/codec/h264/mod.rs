//! H.264 constrained baseline by OpenH264, one thread each way.

pub mod decoder;
pub mod encoder;
