//! Opus (RFC 6716) as RFC 7587 carries it: RTP clock 48 kHz whatever the packet's bandwidth, one Opus packet per
//! RTP packet, 2.5 to 120 ms. The decoder takes every mode a peer may send; the encoder sends mono, or stereo of music.
//!
//! Delay: [`OpusEncoder::look_ahead`] samples lie between a sample's place in the input and its place in the
//! decoder's output: 120 (2.5 ms) up to 10 ms frames, 312 (6.5 ms) above. The decoder adds none of its own.

pub mod clip;
mod decoder;
mod encoder;

pub use decoder::{LOUDEST, OpusDecoder, packet_samples};
pub use encoder::{OpusEncoder, OpusEncoders};

pub use crate::media::frame_length::{Coding, FrameLength};

use crate::base::error::{Error, Kind};

/// RFC 6716 §3.2.5: a packet holds at most 120 ms.
pub const MAX_PACKET_SAMPLES: usize = 5760;

/// RFC 6716 §3.4: a frame is at most 1275 bytes; with a one-byte table of contents the longest packet we write.
const MAX_PACKET_BYTES: usize = 1276;

fn malformed(error: audiopus::Error) -> Error {
    Error::new(Kind::Malformed, format!("not an Opus packet that can be decoded: {error}"))
}

fn refused(error: audiopus::Error) -> Error {
    Error::new(Kind::Refused, format!("the Opus codec refused its settings: {error}"))
}

#[cfg(test)]
mod switch_tests;
#[cfg(test)]
mod tests;
