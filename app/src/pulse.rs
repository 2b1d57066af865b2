//! A private PulseAudio server with pairs of devices that need no hardware: what is played to a pair's loudspeaker is
//! heard by its microphone.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::process::{Child, Command, Stdio};

use engine::base::error::{Error, Kind, Result};
use engine::base::time::{Duration, now};
use tempfile::TempDir;

/// The loudspeakers and the microphones of a call: one speaks to `mouth`, which the program hears at `microphone`; it
/// plays to `ear`, which one hears at `listen`.
pub const CALL: [(&str, &str); 2] = [("mouth", "microphone"), ("ear", "listen")];

/// A running server. Dropping it ends it.
pub struct Pulse {
    child: Child,
    folder: TempDir,
}

impl Pulse {
    /// A server with the devices of [`CALL`].
    ///
    /// # Errors
    /// As [`Pulse::with_pairs`].
    pub fn start() -> Result<Self> {
        Self::with_pairs(&CALL)
    }

    /// A server with these loudspeakers and the microphones that hear them, at 48 kHz in one channel.
    ///
    /// # Errors
    /// `Refused` where there is no PulseAudio or it does not start.
    pub fn with_pairs(pairs: &[(&str, &str)]) -> Result<Self> {
        let failed = |error: io::Error| refused(format!("pulseaudio: {error}"));
        let folder = tempfile::tempdir().map_err(failed)?;
        for name in ["pulse", "state"] {
            // The server refuses folders that others can enter.
            DirBuilder::new().mode(0o700).create(folder.path().join(name)).map_err(failed)?;
        }
        let path = folder.path().display();
        let mut modules = vec![format!("module-native-protocol-unix socket={path}/pulse/native auth-anonymous=1")];
        modules.extend(pairs.iter().map(|(name, _)| {
            format!("module-null-sink sink_name={name} rate=48000 channels=1 sink_properties=device.description={name}")
        }));
        modules.extend(pairs.iter().map(|(of, name)| {
            format!(
                "module-remap-source source_name={name} master={of}.monitor \
                 source_properties=device.description={name}"
            )
        }));
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

    fn wait_until_it_answers(&mut self) -> Result<()> {
        let until = now() + Duration::from_secs(10);
        loop {
            let mut ask = Command::new("pactl");
            ask.arg("info").envs(self.env()).stdout(Stdio::null()).stderr(Stdio::null());
            let answers = ask.status().map_err(|error| refused(format!("pactl: {error}")))?.success();
            if answers {
                return Ok(());
            }
            let has_ended = self.child.try_wait().is_ok_and(|status| status.is_some());
            if has_ended || now() >= until {
                let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                return Err(refused(format!("pulseaudio does not answer\n{log}")));
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

fn refused(text: String) -> Error {
    Error::new(Kind::Refused, text)
}
