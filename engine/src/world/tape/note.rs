//! What a recording says: one note for each thing that came from outside. Moments are counted on the recording's
//! [`Axis`], so that no date and no clock of a machine stands in it.

use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::axis::Axis;
use crate::base::id::{TileId, UnitNumber};
use crate::base::time::{Duration, Instant};
use crate::codec::video_decoder::DecodedFrame;
use crate::layout::snapshot::Presented;
use crate::media::encoded::EncodedUnit;
use crate::media::frame_length::FrameLengths;
use crate::media::jitter_video::Restored;
use crate::media::ledger::Stamps;
use crate::media::marker::Marker;
use crate::media::phase::Refresh;
use crate::media::policy::Policy;
use crate::media::simulcast::{Audience, LAYERS};
use crate::media::video::{CapturedPicture, Picture};
use crate::net::transport::{ArrivedPacket, Drained, Track, TransportEvent};
use crate::proto::blank;
use crate::proto::unit_ext::UnitExt;

/// What a replay must know before the first tick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// The program's version, for the person.
    pub program: String,
    /// The length that frames of sound were forced to, microseconds.
    pub audio_frame: Option<u32>,
    /// The most for the sound itself and for all of it on the wire, bits per second.
    pub audio_rate: u64,
    pub audio_most: u64,
    pub music_most: u64,
    /// Bits per second.
    pub most: u64,
    /// Bytes on the wire around a packet's payload.
    pub around: u64,
    pub policy: Policy,
}

/// One tick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TickNote {
    /// From 0 on.
    pub number: u64,
    /// Nanoseconds on the axis.
    pub now: i64,
    pub entries: Vec<Entry>,
    /// What the tick decided, as one number.
    pub decisions: u64,
}

/// One thing that came, and for whom: the number of who was enrolled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub of: u8,
    pub note: Note,
}

/// How things stand with a call's devices and its other side, as the signalling left them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Situation {
    pub microphone: bool,
    pub camera: bool,
    pub loudspeaker: bool,
    /// Our microphone is muted.
    pub muted: bool,
    /// It is sent as music.
    pub music: bool,
    pub peer_muted: bool,
    pub peer_camera_off: bool,
    /// Which of the further sources are on, ours and theirs, and which of all are screens; bits as in the message.
    pub further: u8,
    pub screens: u8,
    pub peer_further: u8,
    pub peer_screens: u8,
    /// The other side reads copies of earlier frames of sound.
    pub peer_reads_copies: bool,
    /// And frames of these lengths.
    pub peer_reads_lengths: FrameLengths,
    /// And parity of pictures' packets.
    pub peer_reads_repair: bool,
    /// Bytes that the transport puts around a frame of sound.
    pub around_sound: u64,
    /// The other side's clock minus ours and how wrong that may be, microseconds.
    pub clock: Option<(i64, u64)>,
}

/// One thing that came. Times are nanoseconds on the axis, wall times microseconds on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Note {
    Situation(Option<Situation>),
    Path(PathNote),
    Unit(UnitNote),
    Frame(FrameNote),
    Presented {
        tile: u64,
        frame: u64,
        at: i64,
        marker: Option<(u32, i64)>,
        /// How early it was drawn, and the screen's period, microseconds.
        refresh: Option<(u32, u32)>,
    },
    KeyframeWanted,
    Picture {
        width: u32,
        height: u32,
        captured: i64,
    },
    EncoderFull,
    Deficit(u32),
    Plays(i64),
    /// By how many samples there were more after a step that was stretched.
    Made(i32),
    Samples {
        count: u32,
        first: i64,
    },
    /// Bytes of one encoded frame of sound; 0 where the encoder failed.
    Sound {
        bytes: u32,
        voice: bool,
    },
    /// The sizes of the tiles on which the other side looks at a source of ours; `None` where it says nothing about it.
    Watched(Option<[(u16, u16); LAYERS]>),
    /// Packets of pictures that parity made good: of each its place in its block, and its payload.
    Restored(Vec<(u8, Vec<u8>)>),
}

/// What the transport brought.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PathNote {
    pub packets: Vec<PacketNote>,
    pub events: Vec<EventNote>,
    pub heard: Option<i64>,
}

/// One packet, decrypted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PacketNote {
    /// 0 sound, 1 pictures of the first source, 2 and more of further ones.
    pub track: u8,
    pub sequence: u64,
    pub timestamp: u64,
    pub marker: bool,
    pub redundant: bool,
    pub at: i64,
    pub capture_time: Option<i64>,
    pub unit: Option<[u8; 7]>,
    pub level: Option<i8>,
    pub voice: bool,
    pub payload: Vec<u8>,
}

/// [`TransportEvent`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum EventNote {
    Connected,
    Disconnected,
    KeyframeRequest,
    FurtherKeyframeRequest(u8),
    Estimate(u64),
    Figures { round_trip: Option<u64>, loss_out: Option<f32>, local: Option<SocketAddr>, remote: Option<SocketAddr> },
    Feedback(Vec<u8>),
    Closed(String),
}

/// One unit from the encoder: its shape, not its content. Our own picture is in no recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitNote {
    pub number: u16,
    pub keyframe: bool,
    pub temporal_id: u8,
    pub discardable: bool,
    pub width: u32,
    pub height: u32,
    pub captured: i64,
    pub encoded: i64,
    /// Of each NAL unit the length of what stands in front of it, its first byte, and its length.
    pub nals: blank::Shape,
}

/// One decoded frame, without its pixels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameNote {
    pub number: u16,
    pub timestamp: u64,
    pub keyframe: bool,
    pub width: u32,
    pub height: u32,
    /// Captured, encoded, sent, arrived, complete, released, decoded.
    pub stamps: [Option<i64>; 7],
}

/// Something that comes from outside.
pub trait FromOutside: Sized {
    fn note(&self, axis: &Axis) -> Note;

    /// `None` where `note` is of another kind.
    fn replay(note: &Note, axis: &Axis) -> Option<Self>;
}

/// What the transport brought, and when it last heard from the other side, if that is new.
#[derive(Debug)]
pub struct Brought {
    pub packets: Vec<ArrivedPacket>,
    pub events: Vec<TransportEvent>,
    pub heard: Option<Instant>,
}

/// The decoder lost its place.
#[derive(Clone, Copy, Debug)]
pub struct KeyframeWanted;

/// The encoder did not take a picture.
#[derive(Clone, Copy, Debug)]
pub struct EncoderFull;

/// Who looks at a source has changed.
#[derive(Clone, Copy, Debug)]
pub struct Watched(pub Audience);

/// Samples that the loudspeaker's ring is short of.
#[derive(Clone, Copy, Debug)]
pub struct Deficit(pub usize);

/// When the samples that were just pushed play.
#[derive(Clone, Copy, Debug)]
pub struct Plays(pub Instant);

/// See [`Note::Made`].
#[derive(Clone, Copy, Debug)]
pub struct Made(pub isize);

/// So many samples of the microphone, the first captured then.
#[derive(Clone, Copy, Debug)]
pub struct Samples {
    pub count: usize,
    pub first: Instant,
}

/// One encoded frame of sound has so many bytes, and somebody speaks in it.
#[derive(Clone, Copy, Debug)]
pub struct Sound {
    pub bytes: usize,
    pub voice: bool,
}

impl Brought {
    /// `None` where `note` is of another kind.
    pub fn replay(note: &Note, axis: &Axis) -> Option<Self> {
        let Note::Path(note) = note else { return None };
        let is_possible = |packet: &PacketNote| packet.sequence.max(packet.timestamp) <= FAR;
        if !note.packets.iter().all(is_possible) {
            return None;
        }
        let packets = note.packets.iter().map(|packet| packet.arrived(axis)).collect();
        let events = note.events.iter().map(EventNote::event).collect();
        Some(Self { packets, events, heard: note.heard.map(|at| axis.instant(at)) })
    }
}

/// The note of what stands in `drained`.
pub fn path_note(drained: &Drained, heard: Option<Instant>, axis: &Axis) -> Note {
    Note::Path(PathNote {
        packets: drained.packets.iter().map(|packet| PacketNote::of(packet, axis)).collect(),
        events: drained.events.iter().map(EventNote::of).collect(),
        heard: heard.map(|at| axis.nanos(at)),
    })
}

/// The number of [`Track::Repair`].
const REPAIR: u8 = 255;

impl PacketNote {
    /// It travelled beside the pictures.
    pub const fn is_repair(&self) -> bool {
        self.track == REPAIR
    }

    fn of(packet: &ArrivedPacket, axis: &Axis) -> Self {
        Self {
            track: match packet.track {
                Track::Audio => 0,
                Track::Video => 1,
                Track::Further(number) => 2 + number,
                Track::Repair => REPAIR,
            },
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            marker: packet.marker,
            redundant: packet.redundant,
            at: axis.nanos(packet.at),
            capture_time: packet.capture_time.map(|time| axis.micros(time)),
            unit: packet.unit.as_ref().map(UnitExt::write),
            level: packet.level,
            voice: packet.voice,
            payload: packet.payload.to_vec(),
        }
    }

    fn arrived(&self, axis: &Axis) -> ArrivedPacket {
        ArrivedPacket {
            track: match self.track {
                0 => Track::Audio,
                1 => Track::Video,
                REPAIR => Track::Repair,
                further => Track::Further(further - 2),
            },
            sequence: self.sequence,
            timestamp: self.timestamp,
            marker: self.marker,
            redundant: self.redundant,
            payload: self.payload.as_slice().into(),
            at: axis.instant(self.at),
            capture_time: self.capture_time.map(|micros| axis.wall(micros)),
            unit: self.unit.as_ref().and_then(|bytes| UnitExt::parse(bytes)),
            level: self.level,
            voice: self.voice,
        }
    }
}

impl FromOutside for EncodedUnit {
    fn note(&self, axis: &Axis) -> Note {
        Note::Unit(UnitNote {
            number: self.number.0,
            keyframe: self.keyframe,
            temporal_id: self.temporal_id,
            discardable: self.discardable,
            width: self.width,
            height: self.height,
            captured: axis.nanos(self.captured),
            encoded: axis.nanos(self.encoded),
            nals: blank::shape(&self.data),
        })
    }

    fn replay(note: &Note, axis: &Axis) -> Option<Self> {
        let Note::Unit(note) = note else { return None };
        Some(Self {
            data: blank::filled(&note.nals),
            keyframe: note.keyframe,
            temporal_id: note.temporal_id,
            discardable: note.discardable,
            width: note.width,
            height: note.height,
            number: UnitNumber(note.number),
            captured: axis.instant(note.captured),
            encoded: axis.instant(note.encoded),
        })
    }
}

impl FromOutside for DecodedFrame {
    fn note(&self, axis: &Axis) -> Note {
        let Stamps { captured, encoded, sent, arrived, complete, released, decoded, .. } = self.stamps;
        let stamps = [captured, encoded, sent, arrived, complete, released, decoded];
        Note::Frame(FrameNote {
            number: self.number.0,
            timestamp: self.timestamp,
            keyframe: self.keyframe,
            width: self.picture.width,
            height: self.picture.height,
            stamps: stamps.map(|stamp| stamp.map(|at| axis.nanos(at))),
        })
    }

    fn replay(note: &Note, axis: &Axis) -> Option<Self> {
        let Note::Frame(note) = note else { return None };
        let [captured, encoded, sent, arrived, complete, released, decoded] =
            note.stamps.map(|stamp| stamp.map(|nanos| axis.instant(nanos)));
        Some(Self {
            picture: without_pixels(note.width, note.height),
            number: UnitNumber(note.number),
            timestamp: note.timestamp,
            keyframe: note.keyframe,
            stamps: Stamps { captured, encoded, sent, arrived, complete, released, decoded, ..Default::default() },
        })
    }
}

impl FromOutside for CapturedPicture {
    fn note(&self, axis: &Axis) -> Note {
        let (width, height) = (self.picture.width, self.picture.height);
        Note::Picture { width, height, captured: axis.nanos(self.captured) }
    }

    fn replay(note: &Note, axis: &Axis) -> Option<Self> {
        let Note::Picture { width, height, captured } = *note else { return None };
        Some(Self { picture: without_pixels(width, height), captured: axis.instant(captured) })
    }
}

impl FromOutside for Presented {
    fn note(&self, axis: &Axis) -> Note {
        let marker = self.marker.map(|marker| (marker.counter, axis.micros(marker.drawn)));
        let refresh = self.refresh.map(|refresh| (micros(refresh.early), micros(refresh.period)));
        Note::Presented { tile: self.tile.0, frame: self.frame, at: axis.nanos(self.at), marker, refresh }
    }

    fn replay(note: &Note, axis: &Axis) -> Option<Self> {
        let Note::Presented { tile, frame, at, marker, refresh } = *note else { return None };
        let time = |micros: u32| Duration::from_micros(micros.into());
        let refresh = refresh.map(|(early, period)| Refresh { early: time(early), period: time(period) });
        let marker = marker.map(|(counter, drawn)| Marker { counter, drawn: axis.wall(drawn) });
        Some(Self { tile: TileId(tile), frame, at: axis.instant(at), marker, refresh })
    }
}

impl FromOutside for Samples {
    fn note(&self, axis: &Axis) -> Note {
        Note::Samples { count: self.count as u32, first: axis.nanos(self.first) }
    }

    fn replay(note: &Note, axis: &Axis) -> Option<Self> {
        let Note::Samples { count, first } = *note else { return None };
        Some(Self { count: within(count, SECOND)?, first: axis.instant(first) })
    }
}

impl FromOutside for Plays {
    fn note(&self, axis: &Axis) -> Note {
        Note::Plays(axis.nanos(self.0))
    }

    fn replay(note: &Note, axis: &Axis) -> Option<Self> {
        let Note::Plays(at) = *note else { return None };
        Some(Self(axis.instant(at)))
    }
}

/// A kind whose note says the same as the thing.
macro_rules! says_the_same {
    ($kind:ident, $this:pat => $note:expr, $noted:pat => $taken:expr) => {
        impl FromOutside for $kind {
            fn note(&self, _: &Axis) -> Note {
                let $this = self;
                $note
            }

            fn replay(note: &Note, _: &Axis) -> Option<Self> {
                match note {
                    $noted => Some($taken),
                    _ => None,
                }
            }
        }
    };
}

says_the_same!(KeyframeWanted, _ => Note::KeyframeWanted, Note::KeyframeWanted => Self);
says_the_same!(EncoderFull, _ => Note::EncoderFull, Note::EncoderFull => Self);
says_the_same!(
    Watched,
    Self(audience) => Note::Watched(audience.tiles()),
    Note::Watched(tiles) => Self(tiles.map(Audience::of).unwrap_or_default())
);
says_the_same!(
    Restored,
    Self(packets) => Note::Restored(packets.clone()),
    Note::Restored(packets) => Self(packets.clone())
);
says_the_same!(Deficit, Self(n) => Note::Deficit(*n as u32), Note::Deficit(n) => Self(within(*n, SECOND)?));
says_the_same!(Made, Self(n) => Note::Made(*n as i32), Note::Made(n) => {
    within(n.unsigned_abs(), SECOND)?;
    Self(*n as isize)
});
says_the_same!(
    Sound,
    Self { bytes, voice } => Note::Sound { bytes: *bytes as u32, voice: *voice },
    Note::Sound { bytes, voice } => Self { bytes: within(*bytes, PACKET)?, voice: *voice }
);

/// Extended numbers of packets that a call reaches in a million years.
const FAR: u64 = 1 << 60;
/// 48 kHz samples: no tick has to do with more, and a damaged file must not ask for all memory.
const SECOND: usize = 48_000;
/// More than any Opus packet has (RFC 6716 §3.4 in its longest form).
const PACKET: usize = 4096;

/// `None` where a recording claims more than there can be.
fn within(number: u32, most: usize) -> Option<usize> {
    usize::try_from(number).ok().filter(|number| *number <= most)
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

/// A picture of this size whose planes are empty: nobody looks at it.
fn without_pixels(width: u32, height: u32) -> Arc<Picture> {
    Arc::new(Picture { width, height, ..Default::default() })
}
