//! A private PulseAudio server with two pairs of devices that need no hardware, and the rig that measures through them.
//!
//! What is played to the loudspeaker `mouth` is heard by the microphone `microphone`; what is played to `ear` is heard
//! by `listen`.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use engine::base::time::{Instant, WallTime, now};
use engine::device::{Loudspeaker, Microphone, MicrophoneSpec, SpeakerSpec};
use engine::media::chirp::{ChirpFinder, ChirpSource, delay_of};
use engine::media::summary::Samples;
use tempfile::TempDir;

use crate::Outcome;

/// A running server. Dropping it ends it.
pub struct Pulse {
    child: Child,
    folder: TempDir,
}

impl Pulse {
    /// # Errors
    /// There is no PulseAudio here, or it does not start.
    pub fn start() -> Outcome<Self> {
        let failed = |error: std::io::Error| format!("pulseaudio: {error}");
        let folder = tempfile::tempdir().map_err(failed)?;
        for name in ["pulse", "state"] {
            // The server refuses folders that others can enter.
            DirBuilder::new().mode(0o700).create(folder.path().join(name)).map_err(failed)?;
        }
        let path = folder.path().display();
        let sink = |name: &str| {
            format!("module-null-sink sink_name={name} rate=48000 channels=1 sink_properties=device.description={name}")
        };
        let source = |name: &str, of: &str| {
            format!(
                "module-remap-source source_name={name} master={of}.monitor \
                 source_properties=device.description={name}"
            )
        };
        let modules = [
            format!("module-native-protocol-unix socket={path}/pulse/native auth-anonymous=1"),
            sink("ear"),
            sink("mouth"),
            source("microphone", "mouth"),
            source("listen", "ear"),
        ];
        let mut command = Command::new("pulseaudio");
        command.args(["-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--disable-shm=yes"]);
        command.args(["--realtime=yes", "--high-priority=yes"]).arg(format!("--log-target=file:{path}/log"));
        for module in modules {
            command.args(["-L", &module]);
        }
        let mut pulse = Self {
            child: command
                .envs(env_of(&folder))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .map_err(failed)?,
            folder,
        };
        pulse.wait_until_it_answers()?;
        Ok(pulse)
    }

    /// What a process needs in its environment to play and record here, and nowhere else.
    pub fn env(&self) -> Vec<(String, String)> {
        env_of(&self.folder)
    }

    fn wait_until_it_answers(&mut self) -> Outcome<()> {
        let until = now() + Duration::from_secs(10);
        loop {
            let mut ask = Command::new("pactl");
            ask.arg("info").envs(self.env()).stdout(Stdio::null()).stderr(Stdio::null());
            let answers = ask.status().map_err(|error| format!("pactl: {error}"))?.success();
            if answers {
                return Ok(());
            }
            let has_ended = self.child.try_wait().is_ok_and(|status| status.is_some());
            if has_ended || now() >= until {
                let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                return Err(format!("pulseaudio does not answer\n{log}"));
            }
            // A server tells nobody that it has begun.
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn env_of(folder: &TempDir) -> Vec<(String, String)> {
    let path = folder.path().display();
    let pair = |key: &str, value: String| (key.to_owned(), value);
    vec![
        pair("XDG_RUNTIME_DIR", path.to_string()),
        pair("PULSE_RUNTIME_PATH", format!("{path}/pulse")),
        pair("PULSE_STATE_PATH", format!("{path}/state")),
        pair("PULSE_SERVER", format!("unix:{path}/pulse/native")),
        pair("HOME", path.to_string()),
    ]
}

/// Plays chirps to the loudspeaker `mouth` and hears them at the microphone `ear` until `count` were heard or
/// `patience` is over: the delays in milliseconds. This process must have the server's environment.
///
/// # Errors
/// A device cannot be opened.
pub fn mouth_to_ear(mouth: &str, ear: &str, count: u64, patience: Duration) -> Outcome<Samples> {
    let begun = now();
    let failed = |error: engine::base::error::Error| error.text.to_string();
    let mut microphone = Microphone::open(&MicrophoneSpec::Named(ear.into()), begun).map_err(failed)?;
    let stop = Arc::new(AtomicBool::new(false));
    let player = play_chirps(mouth, stop.clone())?;
    let mut finder = ChirpFinder::new();
    let (mut heard, mut delays) = (Vec::new(), Samples::default());
    // The first chirp or two belong to the start.
    let steady = begun + Duration::from_secs(3);
    while delays.len() < count && now() < begun + patience {
        heard.clear();
        let first = microphone.take(now(), &mut heard);
        if heard.is_empty() {
            wait_for_next(&microphone);
            continue;
        }
        finder.push(&heard, first, |found| {
            if found.at > steady {
                delays.push(delay_of(found.variant, WallTime::of(found.at)).1 as f64 / 1e3);
            }
        });
        wait_for_next(&microphone);
    }
    stop.store(true, Ordering::Relaxed);
    player.join().map_err(|_| "the player of the chirps panicked".to_owned())??;
    Ok(delays)
}

/// The device's callbacks wake nobody.
fn wait_for_next(microphone: &Microphone) {
    let at = now();
    let next = microphone.next_due(at).unwrap_or(at + Duration::from_millis(2));
    std::thread::sleep(next.saturating_duration_since(at));
}

/// Chirps at the wall time they stand for: what is pushed to the loudspeaker is what is to be heard when it is heard.
fn play_chirps(mouth: &str, stop: Arc<AtomicBool>) -> Outcome<std::thread::JoinHandle<Outcome<()>>> {
    let spec = SpeakerSpec::Named(mouth.into());
    let play = move || {
        let mut speaker = Loudspeaker::open(&spec, now()).map_err(|error| error.text.to_string())?;
        let mut air = Air::default();
        while !stop.load(Ordering::Relaxed) {
            let at = now();
            let wanted = speaker.deficit(at);
            if wanted > 0 {
                let samples = air.next(wanted);
                let plays = speaker.push(samples, at);
                air.note(plays, wanted);
                continue;
            }
            let next = speaker.next_due(at).unwrap_or(at + Duration::from_millis(2));
            std::thread::sleep(next.saturating_duration_since(now()));
        }
        Ok(())
    };
    std::thread::Builder::new().name("chirps".into()).spawn(play).map_err(|error| error.to_string())
}

/// Sound on its way to the air: silence until it is known when a sample is heard, then chirps on that time line.
#[derive(Default)]
struct Air {
    source: Option<ChirpSource>,
    samples: Vec<f32>,
    /// When the sample after those pushed is to be heard, on the time line of `source`.
    next_at: Option<Instant>,
    /// How much later than that the loudspeaker says it will be, smoothed, in seconds.
    beside: f64,
    /// When the first sample of all was heard.
    begun: Option<Instant>,
}

impl Air {
    /// Until then the loudspeaker's own estimate of its delay is not steady.
    const STEADY: Duration = Duration::from_millis(1500);
    /// A gap in the playing moves all that follows; the loudspeaker's estimate moves by less than this by itself.
    const MOST_BESIDE: f64 = 0.005;

    fn next(&mut self, count: usize) -> &[f32] {
        self.samples.clear();
        self.samples.resize(count, 0.0);
        if let Some(source) = &mut self.source {
            source.fill(&mut self.samples);
        }
        &self.samples
    }

    /// The first of `count` samples pushed will be heard at `plays`.
    fn note(&mut self, plays: Instant, count: usize) {
        let is_steady = plays.saturating_duration_since(*self.begun.get_or_insert(plays)) >= Self::STEADY;
        let expected = *self.next_at.get_or_insert(plays);
        let late = if plays > expected { (plays - expected).as_secs_f64() } else { -(expected - plays).as_secs_f64() };
        self.beside += (late - self.beside) / 64.0;
        let length = Duration::from_nanos(count as u64 * 1_000_000_000 / 48_000);
        self.next_at = Some(expected + length);
        if (self.source.is_none() && is_steady) || self.beside.abs() > Self::MOST_BESIDE {
            // One chirp is cut where this happens; it is not found and not counted.
            self.next_at = Some(plays + length);
            self.beside = 0.0;
            self.source = is_steady.then(|| ChirpSource::new(WallTime::of(plays + length)));
        }
    }
}
