//! What the engine tells the renderer: one complete description of the picture. The renderer sees nothing else.

use std::sync::Arc;

use crate::base::id::{TileId, UnitNumber};
use crate::base::rate::Bitrate;
use crate::base::time::Instant;
use crate::media::marker::Marker;
use crate::media::phase::Refresh;
use crate::media::switches::Switches;
use crate::media::video::Picture;

/// One description of the picture, published whole. The renderer keeps the newest; once nobody does, its storage is used
/// for another one.
#[derive(Clone, Debug, Default)]
pub struct ViewSnapshot {
    /// Counts up by one per published snapshot.
    pub number: u64,
    /// Remote tiles first, the local one last.
    pub tiles: Vec<TileView>,
    pub phase: Phase,
    pub controls: Controls,
    pub latency: LatencyView,
    /// Since when the call is connected.
    pub in_call_since: Option<Instant>,
}

/// One tile.
#[derive(Clone, Debug, Default)]
pub struct TileView {
    pub id: TileId,
    pub name: String,
    pub party: Party,
    /// The due picture; `None` before the first one and while the camera is off.
    pub picture: Option<Arc<Picture>>,
    /// Changes whenever `picture` is another one: the renderer uploads only then.
    pub frame: u64,
    /// The unit the picture was decoded from; `None` for the local picture.
    pub unit: Option<UnitNumber>,
    pub quality: Quality,
    pub muted: bool,
    pub camera_off: bool,
    /// Its pictures do not come any more: the last good one is shown.
    pub stands_still: bool,
    /// The path carries no pictures beside sound.
    pub too_narrow: bool,
    /// Loudness 0.0 (silence) to 1.0 (full scale).
    pub level: f32,
    /// How loud it is played here, in percent of how it comes.
    pub volume: u8,
    /// It is not heard here, by the listener's own choice.
    pub hushed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Party {
    #[default]
    Remote,
    Local,
}

/// How good the path to this party is, for the marks on its tile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quality {
    #[default]
    Unknown,
    Bad,
    Fair,
    Good,
}

/// Where the call stands, as a person would say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    #[default]
    Idle,
    /// We ring there.
    RingingOut {
        peer: String,
    },
    /// They ring here. `verified`: the safety number was compared.
    RingingIn {
        peer: String,
        verified: bool,
    },
    Connecting {
        peer: String,
    },
    InCall {
        peer: String,
    },
    Reconnecting {
        peer: String,
    },
    /// `reason`: one line, what happened and what to do; empty when there is nothing to say.
    Ended {
        peer: String,
        outcome: String,
        reason: String,
    },
}

/// What the buttons show.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Controls {
    pub muted: bool,
    pub camera_off: bool,
    pub microphones: Vec<String>,
    /// The chosen one; [`Controls::DEFAULT`] for the system's default.
    pub microphone: String,
    pub processing: Switches,
    /// The microphone is sent in stereo and as it is.
    pub music: bool,
    /// The one that is open, or would be.
    pub microphone_now: String,
    pub speakers: Vec<String>,
    pub speaker: String,
    pub speaker_now: String,
    /// How loud the microphone is, 0.0 to 1.0, while the panel asks for it.
    pub microphone_level: Option<f32>,
    /// One hears oneself two seconds later.
    pub echo_test: bool,
    pub cameras: Vec<String>,
    /// What may be sent beside the camera, and which of it is; empty: nothing.
    pub shares: Vec<String>,
    pub shared: String,
    /// Screens are sent so that they move smoothly, not so that they can be read.
    pub screen_motion: bool,
    pub camera: String,
    /// The files that are sent and received at present.
    pub sending: Option<FileView>,
    pub receiving: Option<FileView>,
    /// One line about a device that was lost or could not be opened; empty when all is well.
    pub device_note: String,
}

/// A file on its way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileView {
    pub name: String,
    pub size: u64,
    /// Bytes of it that have arrived.
    pub done: u64,
    /// It waits for the one who is to take it.
    pub is_offered: bool,
}

impl Controls {
    /// What stands for the system's default among names of devices.
    pub const DEFAULT: &str = "default";
}

/// The live latency overlay: medians over the last two seconds. `None`: not measured.
#[derive(Clone, Debug, Default)]
pub struct LatencyView {
    /// In the order of [`crate::media::ledger::STAGES`], milliseconds.
    pub video_stages_ms: [Option<f64>; 8],
    pub glass_to_glass_ms: Option<f64>,
    pub mouth_to_ear_ms: Option<f64>,
    /// Named audio stages, milliseconds: what waits in the jitter buffer, in the ring, and so on.
    pub audio_stages_ms: Vec<(&'static str, f64)>,
    pub path: Option<PathView>,
    /// Share of packets lost, 0.0 to 1.0.
    pub loss: Option<f64>,
    pub sending: Bitrate,
    pub receiving: Bitrate,
    pub width: u32,
    pub height: u32,
    pub frames_per_second: f32,
    /// This machine cannot encode as much as the path would carry.
    pub busy: Option<Busy>,
}

/// What is sent less than could be, because encoding takes too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy {
    pub width: u32,
    pub height: u32,
    /// Every so manyth picture is sent.
    pub every: u32,
}

/// The two directions of a path, milliseconds. Clocks compared over the same path cannot tell more than `uncertainty_ms`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PathView {
    pub to_us_ms: f64,
    pub to_them_ms: f64,
    pub uncertainty_ms: f64,
}

/// What the renderer tells back for each unit it showed.
#[derive(Clone, Copy, Debug)]
pub struct Presented {
    pub tile: TileId,
    pub frame: u64,
    pub at: Instant,
    /// The marker read in the presented pixels, where the renderer was asked to look for it.
    pub marker: Option<Marker>,
    /// The refresh of the screen that it was shown at, where that is known.
    pub refresh: Option<Refresh>,
}
