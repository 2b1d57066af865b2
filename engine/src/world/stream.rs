//! What comes in: one entity per incoming track.

use std::collections::VecDeque;

use bevy_ecs::component::Component;
use bevy_ecs::entity::Entity;
use bevy_platform::cell::SyncCell;

use crate::base::error::Result;
use crate::base::id::TileId;
use crate::base::stereo::Stereo;
use crate::base::time::Instant;
use crate::codec::opus::OpusDecoder;
use crate::codec::video_decoder::{DecodedFrame, VideoDecoder};
use crate::media::audible::Seat;
use crate::media::freeze::FreezeMeter;
use crate::media::jitter_audio::{Gaps, JitterBuffer};
use crate::media::jitter_video::VideoJitter;
use crate::media::level::Loudness;
use crate::media::lips::SoundDelay;
use crate::media::phase::PhaseMeter;
use crate::media::playout_clock::PlayoutClock;
use crate::media::policy::Policy;
use crate::media::sound::report::SoundMeter;
use crate::media::stretch::Stretcher;

/// The connection a stream comes in by; a connection's streams go when it goes.
#[derive(Component, Clone, Copy, Debug)]
#[relationship(relationship_target = Streams)]
pub struct StreamOf(pub Entity);

/// All streams of a connection.
#[derive(Component, Debug, Default)]
#[relationship_target(relationship = StreamOf, linked_spawn)]
pub struct Streams(Vec<Entity>);

/// Video packets on their way to being decodable units.
#[derive(Component)]
pub struct VideoJitterBuffer(pub VideoJitter);

/// The decoder's end of its pipe.
#[derive(Component)]
pub struct Decoder(pub VideoDecoder);

/// Decoded frames, and which of them is shown.
#[derive(Component)]
pub struct Frames {
    pub tile: TileId,
    /// Decoded and not yet due, oldest first. At most [`Frames::BOUND`]: past that the oldest goes.
    pub waiting: VecDeque<DecodedFrame>,
    pub shown: Option<DecodedFrame>,
    /// Counts up with each frame shown: the renderer uploads when it changes.
    pub frame: u64,
    pub clock: PlayoutClock,
    /// Decoded frames never shown because a newer one was due.
    pub skipped: u64,
    /// The size of its tile in pixels, none where it is hidden; `None` before the window says so, and where there is none.
    pub seen: Option<(u16, u16)>,
}

impl Frames {
    /// Half a second at 30 frames a second.
    pub const BOUND: usize = 15;

    pub const fn new(tile: TileId, clock: PlayoutClock) -> Self {
        Self { tile, waiting: VecDeque::new(), shown: None, frame: 0, clock, skipped: 0, seen: None }
    }
}

/// What of this stream was shown, and when.
#[derive(Component, Default)]
pub struct Ledger {
    /// Shown frames whose presentation is not yet reported, oldest first; at most [`Ledger::BOUND`].
    pub pending: VecDeque<(u64, crate::media::ledger::Stamps)>,
    pub freezes: FreezeMeter,
    pub presented: u64,
    /// How long they wait for the screen.
    pub phase: PhaseMeter,
    /// How long the sound took that is heard at the same time, milliseconds; `None` while there is none.
    pub sound_ms: Option<f64>,
    /// The last marker's counter, to count distinct ones.
    pub last_marker: Option<u32>,
    pub markers: u64,
}

impl Ledger {
    /// The renderer reports within a picture or two; 256 is what its ring holds.
    pub const BOUND: usize = 256;
}

/// Audio packets, their decoder, and what lies between it and the mix.
#[derive(Component)]
pub struct AudioStream {
    pub jitter: JitterBuffer,
    pub decoder: SyncCell<OpusDecoder>,
    pub stretcher: Stretcher,
    pub gaps: Gaps,
    /// Its place in the mix.
    pub seat: Seat,
    pub loudness: Loudness,
    /// What is reported to the sender.
    pub meter: SoundMeter,
    /// Decoded samples of one packet.
    pub scratch: Vec<Stereo>,
    /// The packet decoded last in this tick.
    pub heard: Option<Heard>,
    pub delay: SoundDelay,
    /// When the first decoded sample plays.
    pub first_played: Option<Instant>,
}

impl AudioStream {
    /// A stream of which nothing has come. Errors: `Refused` where the library has no memory.
    pub fn new(policy: &Policy) -> Result<Self> {
        Ok(Self {
            jitter: JitterBuffer::new(policy),
            decoder: SyncCell::new(OpusDecoder::new()?),
            stretcher: Stretcher::default(),
            gaps: Gaps::default(),
            seat: Seat::default(),
            loudness: Loudness::default(),
            meter: SoundMeter::default(),
            scratch: Vec::new(),
            heard: None,
            delay: SoundDelay::default(),
            first_played: None,
        })
    }
}

/// A packet that was decoded, for its delay.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    pub captured: Option<Instant>,
    pub arrived: Instant,
    /// Samples that play before its first one.
    pub before: usize,
}

/// What the peer said about its own microphone and camera.
#[derive(Component, Clone, Copy, Debug, Default)]
pub struct PeerMute {
    pub audio: bool,
    pub video: bool,
    /// The path carries no pictures to us beside sound.
    pub narrow: bool,
    /// Its pictures are of a screen: where nothing changes on it none come, and that is no freeze.
    pub screen: bool,
}
