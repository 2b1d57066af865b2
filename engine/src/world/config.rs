//! What the person chose on the command line or in the window.

use std::path::PathBuf;
use std::sync::Arc;

use crate::base::rate::Bitrate;
use crate::base::time::{CELL, Duration};
use crate::codec::VideoCodec;
use crate::codec::opus::FrameLength;
use crate::codec::worker::Work;
use crate::device::{Backend, MicrophoneSpec, SpeakerSpec};
use crate::media::policy::Policy;
use crate::media::switches::Switches;
use crate::net::impair::Impairment;
use crate::net::transport::FURTHER;
use crate::proto::lan::Visibility;
use crate::proto::proxy::choice::Proxies;
use crate::proto::signal::media::{Abilities, AudioCapability, VERSION, VideoCapability};
use crate::proto::text::List;
use crate::source::SourceSpec;

/// Settings of one engine.
#[derive(Clone, Debug)]
pub struct Config {
    /// How we show ourselves.
    pub name: String,
    /// Identity, remembered keys and settings live here.
    pub data: PathBuf,
    pub base_port: u16,
    /// No candidate but a relay's, from either side.
    pub relay_only: bool,
    /// Ask the router to lead to our ports.
    pub map_ports: bool,
    /// What others are told that this program can do; less than all of it is an older program.
    pub abilities: Abilities,
    pub camera: Option<SourceSpec>,
    /// Further sources of pictures beside it.
    pub further: [Option<SourceSpec>; FURTHER],
    /// Screens are sent so that they move smoothly, not so that they can be read.
    pub screen_motion: bool,
    pub microphone: MicrophoneSpec,
    pub speaker: SpeakerSpec,
    /// What is done to the microphone's sound; `None`: everything where it is a device, and nothing where it is not.
    pub processing: Option<Switches>,
    /// The only sound system to use; `None`: the quickest that answers.
    pub backend: Option<Backend>,
    /// Keep what is chosen in the window, and begin with what was chosen before where nothing else is said.
    pub remember: Remember,
    pub auto_answer: bool,
    /// Where files go that come in calls, and whether they are taken without asking.
    pub files: PathBuf,
    pub take_files: bool,
    /// Keep a session with the service that one is logged in at.
    pub people: bool,
    /// Seen by nobody: the service's people, the network around us, and our own ports say that we are not there.
    pub appear_offline: bool,
    /// Whether others on the same network see us.
    pub lan: Visibility,
    /// Through which everything is dialled.
    pub proxies: Arc<Proxies>,
    /// The most video may take.
    pub most: Bitrate,
    /// Frames of sound of this length, whatever the path.
    pub audio_frame: Option<FrameLength>,
    /// The most that the sound itself may take, and the most with all that goes along with it on the wire.
    pub audio_rate: Bitrate,
    pub audio_most: Bitrate,
    /// The same for music.
    pub music_most: Bitrate,
    /// Stereo, unprocessed, in short frames.
    pub music: bool,
    /// Look for chirps in what is played: measures mouth to ear.
    pub find_chirps: bool,
    /// Unencrypted media, for tests that look into it. Both sides must have it; never offered otherwise.
    pub plain: bool,
    /// Give every shown remote frame to this file.
    pub record_video: Option<PathBuf>,
    /// Note what comes from outside in the next call here, to replay it; at most so many bytes.
    pub record: Option<PathBuf>,
    pub record_limit: u64,
    /// What is traded for what in playing out.
    pub policy: Policy,
    /// Makes the path worse than it is, both ways, with chances drawn from `seed`.
    pub impair: Option<Impairment>,
    pub seed: u64,
    /// How codecs, sources and devices run.
    pub work: Work,
    /// The picture's codec; both sides must have the same one.
    pub codec: VideoCodec,
    pub plant: Plant,
    /// The length of the cells of the engine's time; another than [`CELL`] is for measuring why it is that one.
    pub cell: Duration,
}

/// Which choices are taken from the data folder. What is chosen in the window is kept there where one of them is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remember {
    pub microphone: bool,
    pub speaker: bool,
}

/// Delay that the laboratory puts into stages of the ledger, to see whether it is found there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plant {
    /// A picture of 1280×720 takes so much longer to encode, another as many pixels as it has.
    pub encode: Duration,
    pub queue: Duration,
    pub hold: Duration,
    pub publish: Duration,
}

/// Those of this program. The decoder takes frames of all lengths.
fn abilities() -> Abilities {
    let lengths = FrameLength::ALL.map(|length| length.duration().as_micros() as u32);
    Abilities {
        audio: Some(AudioCapability { opus_frame_us: List::cut(lengths.into()), red: true }),
        video: Some(VideoCapability { h264: true, max_width: 1920, max_height: 1088 }),
        repair: true,
        version: VERSION,
        needs: 1,
    }
}

impl Config {
    pub fn new(name: impl Into<String>, data: impl Into<PathBuf>, base_port: u16) -> Self {
        let data = data.into();
        Self {
            name: name.into(),
            files: data.join("received"),
            take_files: false,
            data,
            base_port,
            relay_only: false,
            map_ports: true,
            abilities: abilities(),
            camera: None,
            further: [const { None }; FURTHER],
            screen_motion: false,
            microphone: MicrophoneSpec::Default,
            speaker: SpeakerSpec::Default,
            processing: None,
            backend: None,
            remember: Remember::default(),
            auto_answer: false,
            people: false,
            appear_offline: false,
            lan: Visibility::Off,
            proxies: Arc::default(),
            // 720p30 looks clean at 2.5 Mbit/s in constrained baseline.
            most: Bitrate::from_kbps(2500),
            audio_frame: None,
            // Transparent for one voice at 5 ms frames.
            audio_rate: Bitrate::from_kbps(64),
            // That, a copy of it, and what is around frames of 5 ms.
            audio_most: Bitrate::from_kbps(300),
            music_most: Bitrate::from_kbps(600),
            music: false,
            find_chirps: false,
            plain: false,
            record_video: None,
            record: None,
            // Two hours of 720p.
            record_limit: 2 << 30,
            policy: Policy::default(),
            impair: None,
            seed: 1,
            work: Work::Threads,
            codec: VideoCodec::H264,
            plant: Plant::default(),
            cell: CELL,
        }
    }

    /// The most that sound may take on the wire.
    pub const fn sound_most(&self) -> Bitrate {
        if self.music { self.music_most } else { self.audio_most }
    }

    /// What is to be done to the sound of the microphone that is chosen.
    pub fn switches(&self) -> Switches {
        if self.music {
            return Switches::OFF;
        }
        let is_device = matches!(self.microphone, MicrophoneSpec::Default | MicrophoneSpec::Named(_));
        self.processing.unwrap_or(if is_device { Switches::ON } else { Switches::OFF })
    }
}
