//! Codecs: one folder and one enum arm each.

pub mod h264;
pub mod opus;
pub mod photo;
pub mod plain;
pub mod pool;
pub mod video_decoder;
pub mod video_encoder;
pub mod worker;

/// The video codecs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VideoCodec {
    /// H.264 constrained baseline by OpenH264.
    H264,
    /// A model of a codec's unit sizes, for tests in virtual time: see [`plain`].
    Plain,
    /// Decodes every unit to a picture without pixels, for replays that ask about time alone.
    Blank,
}
