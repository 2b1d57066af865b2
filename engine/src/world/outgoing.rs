//! What goes out: one entity per local track and layer.

use std::collections::VecDeque;
use std::sync::Arc;

use bevy_ecs::component::Component;
use bevy_platform::cell::SyncCell;

use crate::base::id::UnitNumber;
use crate::base::rate::Bitrate;
use crate::base::stereo::Stereo;
use crate::base::time::{Duration, Instant};
use crate::codec::opus::OpusEncoders;
use crate::codec::video_encoder::VideoEncoder;
use crate::device::Microphone;
use crate::media::encoded::EncodedUnit;
use crate::media::frame_length::FrameLengths;
use crate::media::level::Loudness;
use crate::media::load::EncoderLoad;
use crate::media::parity::Blocks;
use crate::media::rate::{Allowed, KeyframeRequests, Lossy, PicturePlan, RateControl, UnitQueue};
use crate::media::report::ProcessingReport;
use crate::media::simulcast::{Audience, LAYERS};
use crate::media::sound::control::SoundControl;
use crate::media::sound::framer::Framer;
use crate::media::sound::plan::{Copies, SoundPlan};
use crate::media::still::Still;
use crate::media::video::{CapturedPicture, Picture};
use crate::proto::rtp_h264::Packets;
use crate::source::VideoSource;
use crate::voice::VoiceProcessor;

/// Where pictures come from; `None` while the camera is off.
#[derive(Component)]
pub struct Source(pub Option<VideoSource>);

/// The encoder's end of its pipe.
#[derive(Component)]
pub struct Encoder(pub VideoEncoder);

/// What the path leaves for video.
#[derive(Component)]
pub struct TargetRate(pub RateControl);

/// Encoded units not yet given to the transport, and the storage packets are made in.
#[derive(Component)]
pub struct VideoQueue {
    pub units: UnitQueue,
    /// The unit whose packets are leaving, they, and which of them is next.
    pub sending: Option<EncodedUnit>,
    pub packets: Packets,
    pub next: usize,
    pub repair: Repairing,
    /// The last unit that was sent and that others refer to, and how far the one that is leaving is from it.
    pub reference: Option<UnitNumber>,
    pub refers: u8,
    pub keyframes: KeyframeRequests,
    /// Whether they are lost on the way.
    pub lossy: Lossy,
    /// How pictures are encoded now.
    pub plan: Option<PicturePlan>,
    /// When they became smaller.
    pub shrunk: Option<Instant>,
    /// 90 kHz timestamps count from here.
    pub epoch: Instant,
    /// There is a path. The stream begins with the newest picture of before, as a keyframe.
    pub open: bool,
    /// That picture, until then.
    pub first: Option<CapturedPicture>,
    /// When its last picture is encoded again.
    pub still: Still,
    /// The part of what the path leaves for video that this source may take, in percent.
    pub share: u64,
    /// What the path leaves for all of them, as the first one's control has it; `None` for the first one itself.
    pub allowed: Option<Allowed>,
    /// Which layer of its source this is at present.
    pub layer: u8,
    /// Of that so much is this layer's, in percent.
    pub part: u64,
    /// The picture that just went to the encoder, for the smaller layers of it.
    pub handed: Option<Handed>,
    /// Who looks, what was said about that last, and the layer that was needed when the plan was made.
    pub audience: Audience,
    pub asked: Option<Audience>,
    pub wanted: usize,
    /// How busy the encoder is.
    pub load: EncoderLoad,
}

impl VideoQueue {
    /// Whether the next packet may leave now.
    pub fn may_leave(&mut self, allowed: &Allowed, now: Instant) -> bool {
        self.units.may_leave(self.pace(allowed), allowed.burst, now)
    }

    /// When the next packet may leave; `None` where none waits.
    pub fn next_due(&self, allowed: &Allowed, now: Instant) -> Option<Instant> {
        self.units.next_due(self.pace(allowed), now)
    }

    fn pace(&self, allowed: &Allowed) -> Bitrate {
        let is_keyframe = self.sending.as_ref().is_some_and(|unit| unit.keyframe);
        let pace = if is_keyframe { allowed.keyframe_pace } else { allowed.pace };
        pace.percent(self.share).percent(self.part)
    }
}

/// The parity that goes behind a unit's packets.
#[derive(Default)]
pub struct Repairing {
    /// The other side reads it.
    pub is_read: bool,
    pub blocks: Blocks,
    /// The number of the unit's first packet.
    pub first: u64,
    /// A row, and the payload it goes in.
    pub row: Vec<u8>,
    pub payload: Vec<u8>,
}

/// A picture for the smaller layers, and what each of them may take: nothing where nobody looks at it.
#[derive(Clone, Debug)]
pub struct Handed {
    pub captured: CapturedPicture,
    pub rates: [Bitrate; LAYERS],
}

/// The local picture, for our own tile.
#[derive(Component, Default)]
pub struct LocalView {
    pub picture: Option<Arc<Picture>>,
    pub frame: u64,
    /// A further source, which has no tile of its own here: a screen that shows itself in itself has no end.
    pub hidden: bool,
}

/// Counters of the video that goes out.
#[derive(Component, Clone, Copy, Debug, Default)]
pub struct VideoSent {
    pub captured: u64,
    pub sent: u64,
    pub packets: u64,
    pub bytes: u64,
    /// Pictures not encoded because the encoder was behind or the brake was on.
    pub skipped: u64,
}

/// The microphone's way out.
#[derive(Component)]
pub struct Voice {
    pub microphone: Option<SyncCell<Microphone>>,
    pub processor: SyncCell<VoiceProcessor>,
    pub figures: ProcessingReport,
    pub encoders: SyncCell<OpusEncoders>,
    pub framer: Framer,
    pub control: SoundControl,
    /// The plan that the encoders are set to.
    pub applied: Option<SoundPlan>,
    pub muted: bool,
    /// Stereo, unprocessed, in short frames; the microphone is opened for that.
    pub music: bool,
    pub loudness: Loudness,
    /// Samples as they were captured.
    pub raw: Vec<Stereo>,
    /// Processed samples not yet in a frame.
    pub samples: Vec<Stereo>,
    /// When the first of them was captured.
    pub first: Option<Instant>,
    /// Encoded frames not yet given to the transport.
    pub frames: Vec<VoiceFrame>,
    /// The last frames that were sent, newest last: copies of them go along. At most [`Voice::COPIED`].
    pub sent: VecDeque<VoiceFrame>,
    /// A packet with its copies.
    pub packet: Vec<u8>,
    pub spare: Vec<Vec<u8>>,
    pub packets: u64,
    pub bytes: u64,
}

impl Voice {
    pub const COPIED: usize = Copies::FARTHEST;

    /// The other side reads copies of earlier frames, or does not, and frames of these lengths. What nothing was sent of yet
    /// begins as is planned then.
    pub fn set_reader(&mut self, copies: bool, lengths: FrameLengths) {
        self.control.set_lengths(lengths);
        self.control.set_copies(copies);
        if self.packets == 0 && self.framer.is_new() {
            self.framer = Framer::new(self.control.plan().length);
        }
    }

    /// One voice, or music, from the next frame on; at most `most` on the wire.
    pub fn set_music(&mut self, music: bool, most: Bitrate) {
        if self.music != music {
            self.control.set_music(music, most);
            self.music = music;
        }
    }

    /// The newest samples begin at `first`, after `waiting` that were there already. Where they do not follow on the ones
    /// before, because another device was opened or the engine stood still, the timestamps have a gap as long as the one
    /// in time (RFC 3550 §5.1: a timestamp is the sampling instant). Otherwise all that follows would sound late.
    pub fn skip_to(&mut self, first: Instant, waiting: Duration) {
        /// Two devices' estimates of their own delay differ by less, and so does a clock that is bent.
        const GAP: Duration = Duration::from_millis(40);
        let gap = self.first.map_or(Duration::ZERO, |before| first.saturating_duration_since(before + waiting));
        if gap > GAP {
            let samples = gap.as_nanos() * u128::from(crate::device::RATE) / 1_000_000_000;
            self.framer.skip(samples as u64);
            // RFC 2198 §3: a copy is at most 341 ms before what it goes along with.
            self.spare.extend(self.sent.drain(..).map(|frame| frame.data));
        }
    }
}

/// One encoded frame of speech.
#[derive(Clone, Debug)]
pub struct VoiceFrame {
    pub data: Vec<u8>,
    /// 48 kHz, extended.
    pub timestamp: u64,
    /// How long it is, in samples.
    pub samples: u32,
    pub captured: Instant,
    /// −dBov with its sign, and whether somebody speaks (RFC 6464).
    pub level: i8,
    pub voice: bool,
}
