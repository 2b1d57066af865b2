//! Mouth to ear through sound devices that need no hardware. Chirps are played and heard by `visavis probe audio`: it
//! is a process of its own because a process finds its sound server in its environment.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use crossbeam_channel::Receiver;
use engine::base::time::Duration;
use engine::net::impair::Impairment;
use visavis_app::probe::AudioReport;
use visavis_app::pulse::{CALL, Pulse};

use super::chromium::Chromium;
use super::own;
use super::process::{Guarded, is_installed};
use super::results::Round;

/// The private sound server, and what a call is measured with.
pub struct Rig {
    pulse: Pulse,
    seconds: Duration,
}

const MOUTH: &str = CALL[0].0;
const MICROPHONE: &str = CALL[0].1;
const EAR: &str = CALL[1].0;
const LISTEN: &str = CALL[1].1;

/// The probe lets the first three seconds pass, and waits for a last chirp.
const WARM: Duration = Duration::from_millis(3600);
/// The devices by themselves need no long look.
const BARE: Duration = Duration::from_secs(5);

impl Rig {
    /// A rig for calls of `seconds`.
    ///
    /// # Errors
    /// There is no PulseAudio, or it does not start: one line.
    pub fn open(seconds: Duration) -> Result<Self, String> {
        let missing = ["pulseaudio", "pactl"].into_iter().find(|name| !is_installed(name));
        if let Some(name) = missing {
            return Err(format!("there is no {name}: install PulseAudio (Debian: pulseaudio pulseaudio-utils)"));
        }
        let pulse = Pulse::start().map_err(|error| error.text.lines().next().unwrap_or_default().to_owned())?;
        Ok(Self { pulse, seconds })
    }

    /// From the loudspeaker straight to the microphone that hears it.
    ///
    /// # Errors
    /// No chirp was heard, or `stop` was told.
    pub fn bare(&self, folder: &Path, stop: &Receiver<()>) -> Result<Round> {
        self.hear(MICROPHONE, self.seconds.min(BARE), folder, stop)
    }

    /// Through a call of our own.
    ///
    /// # Errors
    /// There is no call, no chirp was heard, or `stop` was told.
    pub fn own(&self, path: Option<(Impairment, u64)>, folder: &Path, stop: &Receiver<()>) -> Result<Round> {
        let env = self.pulse.env();
        let during = || self.hear(LISTEN, self.seconds, folder, stop);
        let round = own::carry_sound([MICROPHONE, EAR], path, &env, folder, stop, during)?;
        Ok(Round { codec: Some("audio/opus".to_owned()), ..round })
    }

    /// Through a call in Chromium. It knows the devices as the default ones: monitors of loudspeakers, by which it would
    /// know them otherwise, it hides.
    ///
    /// # Errors
    /// There is no call, no chirp was heard, or `stop` was told.
    pub fn rival(
        &self,
        chromium: &Chromium,
        path: Option<(Impairment, u64)>,
        folder: &Path,
        stop: &Receiver<()>,
    ) -> Result<Round> {
        let mut env = self.pulse.env();
        env.extend([("PULSE_SINK", EAR), ("PULSE_SOURCE", MICROPHONE)].map(|(key, name)| (key.into(), name.into())));
        let during = || self.hear(LISTEN, self.seconds, folder, stop);
        let (round, codec) = chromium.carry_sound(path, &env, folder, stop, during)?;
        Ok(Round { codec, ..round })
    }

    fn hear(&self, at: &str, time: Duration, folder: &Path, stop: &Receiver<()>) -> Result<Round> {
        let patience = time + WARM;
        let mut probe = Command::new(std::env::current_exe().context("where is this program?")?);
        probe.args(["probe", "audio", "--json", "--out", MOUTH, "--in", at, "--count", "100000"]);
        probe.arg("--for").arg(patience.as_secs_f64().to_string()).envs(self.pulse.env());
        let mut probe = Guarded::start("the probe", probe, folder)?;
        probe.finish(patience + Duration::from_secs(10), stop)?;
        let report: AudioReport = serde_json::from_str(&probe.said()).context("what the probe says")?;
        // One that is heard twice is not more than all.
        let spanned = report.played.max(report.delays_ms.len() as u64);
        Ok(Round { delays: report.delays_ms, spanned, ..Default::default() })
    }
}
