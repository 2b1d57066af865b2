//! A call of two with pictures over simulated paths, and what its datagrams met.

use std::time::Duration;

use engine::base::rate::Bitrate;
use engine::codec::VideoCodec;
use engine::codec::worker::Work;
use engine::device::{MicrophoneSpec, SpeakerSpec};
use engine::handle::Command;
use engine::lab::{Crossing, Lab, MemberId};
use engine::media::report::Report;
use engine::net::impair::Impairment;
use engine::source::SourceSpec;
use engine::world::config::Config;
use tempfile::TempDir;
use visavis_tests::Outcome;

/// Both sides send sound and a test card of 720p30.
pub struct Call {
    pub lab: Lab,
    pub ada: MemberId,
    pub ben: MemberId,
    _folder: TempDir,
}

impl Call {
    /// A call on paths as `impairment` says in which pictures may take `most`.
    pub fn new(impairment: Impairment, seed: u64, most: Bitrate) -> Outcome<Self> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut lab = Lab::new(folder.path(), impairment, seed);
        lab.note_crossings();
        let setup = |config: &mut Config| {
            (config.microphone, config.speaker) = (MicrophoneSpec::Chirp, SpeakerSpec::None);
            config.camera = Some(SourceSpec::TestCard { width: 1280, height: 720, frame_rate: 30.0 });
            config.auto_answer = true;
            config.work = Work::Inline { encode: Duration::from_millis(3), decode: Duration::from_millis(2) };
            (config.plain, config.codec) = (true, VideoCodec::Plain);
            config.most = most;
        };
        let failed = |error: engine::base::error::Error| error.text.to_string();
        let ada = lab.add("Ada", setup).map_err(failed)?;
        let ben = lab.add("Ben", setup).map_err(failed)?;
        lab.command(ada, Command::Call(lab.target(ben)));
        Ok(Self { lab, ada, ben, _folder: folder })
    }

    pub fn run(&mut self, seconds: f64) {
        self.lab.run_for(Duration::from_secs_f64(seconds));
    }

    /// What came from `from` to the other side between two moments, in seconds.
    pub fn came(&self, from: MemberId, between: (f64, f64)) -> impl Iterator<Item = &Crossing> {
        self.lab.crossings().iter().filter(move |crossing| {
            crossing.from == from && (between.0..between.1).contains(&crossing.arrived.as_secs_f64())
        })
    }

    /// What arrived of `from` in that time, bits per second.
    pub fn rate(&self, from: MemberId, between: (f64, f64)) -> f64 {
        let bytes: usize = self.came(from, between).map(|crossing| crossing.bytes).sum();
        bytes as f64 * 8.0 / (between.1 - between.0)
    }

    /// How long those datagrams waited in the queue of a path that takes `delay` without one, milliseconds.
    pub fn queues(&self, from: MemberId, between: (f64, f64), delay: Duration) -> Vec<f64> {
        self.came(from, between).map(|crossing| queue_ms(crossing, delay)).collect()
    }

    /// The same over time, so that what is sent most does not count most: the longest of each tenth of a second in which
    /// something came.
    pub fn waited(&self, from: MemberId, between: (f64, f64), delay: Duration) -> Vec<f64> {
        let mut tenths: Vec<Option<f64>> = vec![None; ((between.1 - between.0) * 10.0) as usize + 1];
        for crossing in self.came(from, between) {
            let index = ((crossing.arrived.as_secs_f64() - between.0) * 10.0) as usize;
            if let Some(tenth) = tenths.get_mut(index) {
                let queue = queue_ms(crossing, delay);
                *tenth = Some(tenth.map_or(queue, |longest| longest.max(queue)));
            }
        }
        tenths.into_iter().flatten().collect()
    }

    /// Ends it: Ada's report and Ben's.
    pub fn end(mut self) -> Outcome<[Report; 2]> {
        self.lab.command(self.ada, Command::HangUp);
        self.lab.run_until_ended(Duration::from_secs(60));
        let report = |member| self.lab.report(member).cloned().ok_or_else(|| "no call came about".to_owned());
        Ok([report(self.ada)?, report(self.ben)?])
    }
}

pub fn queue_ms(crossing: &Crossing, delay: Duration) -> f64 {
    (crossing.arrived - crossing.sent).as_secs_f64() * 1e3 - delay.as_secs_f64() * 1e3
}

/// A free description of a path.
pub fn path(text: &str) -> Outcome<Impairment> {
    text.parse().map_err(|error| format!("{error}"))
}

/// The value below which `share` of them lie.
pub fn quantile(mut values: Vec<f64>, share: f64) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(((values.len() as f64 * share) as usize).min(values.len().saturating_sub(1))).copied()
}
