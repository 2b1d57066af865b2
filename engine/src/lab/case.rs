//! One measured call: a path, a setting, a seed; and what came of it.

use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Lab, MemberId};
use crate::base::error::{Error, Kind, Result};
use crate::base::time::Duration;
use crate::codec::VideoCodec;
use crate::codec::worker::Work;
use crate::device::{MicrophoneSpec, SpeakerSpec};
use crate::handle::Command;
use crate::media::ledger::STAGES;
use crate::media::report::Report;
use crate::net::impair::Impairment;
use crate::source::SourceSpec;
use crate::world::config::{Config, Plant};

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    Hd,
    Small,
    Voice,
}

/// Their names, as a person gives them, and what they are.
pub const MEDIA: [(&str, Media, &str); 3] = [
    ("720p30", Media::Hd, "1280×720 at 30 pictures a second, sound in frames of 5 ms"),
    ("360p30", Media::Small, "640×360 at 30 pictures a second, sound in frames of 5 ms"),
    ("voice", Media::Voice, "sound alone, in frames of 5 ms"),
];

impl Media {
    pub fn name(self) -> &'static str {
        MEDIA.iter().find(|(_, media, _)| *media == self).map_or("", |(name, ..)| name)
    }

    fn camera(self) -> Option<SourceSpec> {
        let (width, height) = match self {
            Self::Hd => (1280, 720),
            Self::Small => (640, 360),
            Self::Voice => return None,
        };
        Some(SourceSpec::TestCard { width, height, frame_rate: 30.0 })
    }
}

impl FromStr for Media {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let names: Vec<&str> = MEDIA.iter().map(|(name, ..)| *name).collect();
        let known = MEDIA.iter().find(|(known, ..)| *known == name).map(|(_, media, _)| *media);
        known.ok_or_else(|| format!("no setting named {name:?}: there are {}", names.join(", ")))
    }
}

/// Some delay in one stage, to see whether it is found there: `STAGE=MS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planted {
    stage: usize,
    time: Duration,
}

impl FromStr for Planted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("say STAGE=MILLISECONDS with one of {}", STAGES.join(", "));
        let (name, ms) = text.split_once('=').ok_or_else(wrong)?;
        let stage = STAGES.iter().position(|stage| *stage == name).ok_or_else(wrong)?;
        let ms = ms.parse::<f64>().ok().filter(|ms| (0.0..=1000.0).contains(ms)).ok_or_else(wrong)?;
        Ok(Self { stage, time: Duration::from_secs_f64(ms / 1e3) })
    }
}

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub impairment: Impairment,
    pub media: Media,
    /// Real transport and codecs instead of the plain one and the model of sizes.
    pub real: bool,
    pub time: Duration,
    pub seed: u64,
    pub planted: Option<Planted>,
}

/// A look at a running call, from the caller's side.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Moment {
    /// Since the call was made, seconds.
    pub at: f64,
    /// Medians of the last two seconds, milliseconds.
    pub glass_ms: Option<f64>,
    pub sound_ms: Option<f64>,
    /// Share of the sound made up since the last look.
    pub concealed: Option<f64>,
    pub receiving_bps: u64,
    /// The other side's clock minus ours as it is estimated, microseconds, and how wrong that may be.
    pub clock: Option<(i64, u64)>,
}

/// What came of a case.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The caller's and the callee's.
    pub reports: [Report; 2],
    pub moments: Vec<Moment>,
    /// Of each picture that the caller was shown, milliseconds by its marker.
    pub glass_ms: Vec<f32>,
    /// What was decided and what was sent, as numbers: the same for the same case.
    pub decisions: u64,
    pub schedule: u64,
}

/// What a codec takes for a picture where its work is done in virtual time: what OpenH264 took for 720p in a call.
const ENCODE: Duration = Duration::from_millis(3);
const DECODE: Duration = Duration::from_millis(2);

const LOOK_EVERY: Duration = Duration::from_millis(500);

impl Case {
    /// Runs the call in virtual time. `folder` is for the identities.
    ///
    /// # Errors
    /// The folder cannot be written, or there was no call.
    pub fn run(&self, folder: &Path) -> Result<Measured> {
        let extra = |stage: &str| {
            let planted = self.planted.filter(|planted| STAGES[planted.stage] == stage);
            planted.map_or(Duration::ZERO, |planted| planted.time)
        };
        let mut impairment = self.impairment;
        impairment.delay += extra("network");
        let mut lab = Lab::new(folder, impairment, self.seed);
        lab.plant(extra("assemble"), extra("present"));
        let setup = |config: &mut Config| {
            config.camera = self.media.camera();
            (config.microphone, config.speaker) = (MicrophoneSpec::Chirp, SpeakerSpec::None);
            config.find_chirps = true;
            config.auto_answer = true;
            config.work = Work::Inline { encode: ENCODE + extra("encode"), decode: DECODE + extra("decode") };
            let (queue, hold, publish) = (extra("queue"), extra("hold"), extra("publish"));
            config.plant = Plant { queue, hold, publish, ..Plant::default() };
            if !self.real {
                (config.plain, config.codec) = (true, VideoCodec::Plain);
            }
        };
        let ada = lab.add("Ada", setup)?;
        let ben = lab.add("Ben", |config: &mut Config| {
            setup(config);
            // Nobody asks what Ben hears.
            config.find_chirps = false;
        })?;
        lab.command(ada, Command::Call(lab.target(ben)));
        let mut moments = Vec::new();
        while lab.passed() < self.time {
            lab.run_for(LOOK_EVERY.min(self.time - lab.passed()));
            moments.push(lab.look(ada));
        }
        lab.command(ada, Command::HangUp);
        // A path that is gone for two seconds delays the goodbye.
        lab.run_until_ended(Duration::from_secs(60));
        let report = |member: MemberId| {
            let missing = || Error::new(Kind::Gone, "no call came about in the laboratory: please report the seed");
            lab.report(member).cloned().ok_or_else(missing)
        };
        Ok(Measured {
            reports: [report(ada)?, report(ben)?],
            moments,
            glass_ms: lab.glass_ms(ada).to_vec(),
            decisions: lab.decisions(ada) ^ lab.decisions(ben).rotate_left(1),
            schedule: lab.schedule().0,
        })
    }
}
