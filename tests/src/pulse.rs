//! A private PulseAudio server with two pairs of devices that need no hardware, and the rig that measures through them.
//!
//! What is played to the loudspeaker `mouth` is heard by the microphone `microphone`; what is played to `ear` is heard
//! by `listen`.

use std::collections::VecDeque;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use engine::base::pipe::{PipeReceiver, pipe};
use engine::base::time::{Instant, WallTime, now};
use engine::device::{Loudspeaker, Microphone, MicrophoneSpec, SpeakerSpec};
use engine::media::chirp::{ChirpFinder, ChirpSource};
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

/// What the rig heard.
#[derive(Debug, Default)]
pub struct Heard {
    /// From the loudspeaker to the microphone, in milliseconds.
    pub delays: Samples,
    /// Chirps with a hole in them: they sound like another than the one that was played, so they tell no delay.
    pub spoilt: u64,
}

/// Plays chirps to the loudspeaker `mouth` and hears them at the microphone `ear` until `count` were heard or
/// `patience` is over. This process must have the server's environment.
///
/// # Errors
/// A device cannot be opened.
pub fn mouth_to_ear(mouth: &str, ear: &str, count: u64, patience: Duration) -> Outcome<Heard> {
    let begun = now();
    let failed = |error: engine::base::error::Error| error.text.to_string();
    let mut microphone = Microphone::open(&MicrophoneSpec::Named(ear.into()), begun).map_err(failed)?;
    let stop = Arc::new(AtomicBool::new(false));
    let (player, played) = play_chirps(mouth, stop.clone())?;
    let mut finder = ChirpFinder::new();
    let mut recent = VecDeque::with_capacity(RECENT);
    let (mut sound, mut heard) = (Vec::new(), Heard::default());
    // The first chirps belong to the start: no device's estimate of its own delay is steady yet.
    let steady = begun + Duration::from_secs(3);
    while heard.delays.len() < count && now() < begun + patience {
        while let Some(chirp) = played.try_recv() {
            recent.truncate(RECENT - 1);
            recent.push_front(chirp);
        }
        sound.clear();
        let first = microphone.take(now(), &mut sound);
        finder.push(&sound, first, |found| {
            let latest = recent.iter().find(|chirp: &&Played| chirp.at <= found.at + AHEAD);
            match latest {
                _ if found.at < steady => {}
                Some(chirp) if chirp.variant == found.variant => heard.delays.push(milliseconds(chirp.at, found.at)),
                _ => heard.spoilt += 1,
            }
        });
        wait_for_next(microphone.next_due(now()));
    }
    stop.store(true, Ordering::Relaxed);
    player.join().map_err(|_| "the player of the chirps panicked".to_owned())??;
    Ok(heard)
}

/// Chirps that were played and may still be heard: two seconds of them.
const RECENT: usize = 4;
/// The two devices' estimates may differ by so much that a chirp is heard before it is played.
const AHEAD: Duration = Duration::from_millis(50);

/// From `a` to `b`; negative where `b` was before.
fn milliseconds(a: Instant, b: Instant) -> f64 {
    (b.saturating_duration_since(a).as_secs_f64() - a.saturating_duration_since(b).as_secs_f64()) * 1e3
}

/// The device's callbacks wake nobody.
fn wait_for_next(due: Option<Instant>) {
    let at = now();
    std::thread::sleep(due.unwrap_or(at + Duration::from_millis(2)).saturating_duration_since(at));
}

/// A chirp, and when its first sample leaves the loudspeaker.
#[derive(Clone, Copy, Debug)]
struct Played {
    variant: u8,
    at: Instant,
}

type Player = JoinHandle<Outcome<()>>;

/// Plays chirps without a break and tells when each will be heard, by what the loudspeaker said of the samples it
/// begins among. So neither a gap in the playing nor the device's clock needs to be made good for.
fn play_chirps(mouth: &str, stop: Arc<AtomicBool>) -> Outcome<(Player, PipeReceiver<Played>)> {
    let spec = SpeakerSpec::Named(mouth.into());
    // Two a second, and the other side looks every few milliseconds.
    let (tell, played) = pipe(64);
    let play = move || {
        let mut speaker = Loudspeaker::open(&spec, now()).map_err(|error| error.text.to_string())?;
        let mut source = ChirpSource::new(WallTime::of(now()));
        let schedule = source.clone();
        let (mut samples, mut pushed) = (Vec::new(), 0u64);
        let (mut variant, mut begins) = schedule.next_after(0);
        while !stop.load(Ordering::Relaxed) {
            let wanted = speaker.deficit(now());
            samples.resize(wanted, 0.0);
            source.fill(&mut samples);
            if wanted > 0 {
                let plays = speaker.push(&samples, now());
                let end = pushed + wanted as u64;
                while begins < end {
                    let at = plays + Duration::from_nanos((begins - pushed) * 1_000_000_000 / 48_000);
                    // Were the other side gone, `stop` would come next.
                    let _ = tell.try_send(Played { variant, at });
                    (variant, begins) = schedule.next_after(begins + 1);
                }
                pushed = end;
            }
            wait_for_next(speaker.next_due(now()));
        }
        Ok(())
    };
    let player = std::thread::Builder::new().name("chirps".into()).spawn(play).map_err(|error| error.to_string())?;
    Ok((player, played))
}
