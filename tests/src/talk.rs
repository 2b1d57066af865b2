//! Two engines of this process in a call with each other, in the environment of a private sound server, whose devices come and
//! go.

use std::process::{Command as Process, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use engine::base::pipe::{PipeReceiver, pipe};
use engine::base::time::now;
use engine::device::{MicrophoneSpec, SpeakerSpec};
use engine::engine::{Engine, Running};
use engine::handle::{Command, Link, Notice};
use engine::layout::snapshot::{Phase, ViewSnapshot};
use engine::media::report::Report;
use engine::world::config::Config;
use tempfile::TempDir;
use visavis_app::pulse::Pulse;

use crate::Outcome;
use crate::ports::free_base;

/// Set in a process that lives in the sound server's environment: the base ports for its engines. Several such processes run side
/// by side, and only the one that started them knows which ports nobody else has.
const INSIDE: &str = "VISAVIS_INSIDE";
const ENGINES: usize = 2;

/// The environment of a sound server.
type Env = [(String, String)];

/// Whether this process was started by [`inside`].
pub fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// This program again with `args`, in the environment of `pulse`: a process has only one.
///
/// # Errors
/// It failed; the text is what it said.
pub fn inside(pulse: &Pulse, args: &[&str]) -> Outcome<()> {
    let own = std::env::current_exe().map_err(|error| format!("where am I: {error}"))?;
    let mut command = Process::new(own);
    let bases: Vec<String> = (0..ENGINES).map(|_| free_base().to_string()).collect();
    command.args(args).envs(pulse.env()).env(INSIDE, bases.join(",")).stdin(Stdio::null());
    let output = command.output().map_err(|error| error.to_string())?;
    let said = [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said));
    print!("{}", said[0]);
    if output.status.success() { Ok(()) } else { Err(format!("{}\n{}", said[0], said[1])) }
}

/// The next of the base ports.
fn next_base() -> Outcome<u16> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let bases = std::env::var(INSIDE).map_err(|_| "not inside a sound server's environment")?;
    let base = bases.split(',').nth(NEXT.fetch_add(1, Ordering::Relaxed)).and_then(|base| base.parse().ok());
    base.ok_or_else(|| format!("more than {ENGINES} engines"))
}

/// Runs pactl in this environment, or in its own where there is nothing to it; what it says.
///
/// # Errors
/// It failed.
pub fn pactl(args: &str, env: &Env) -> Outcome<String> {
    let output = Process::new("pactl").args(args.split_whitespace()).envs(env.iter().cloned()).output();
    let output = output.map_err(|error| format!("pactl: {error}"))?;
    if !output.status.success() {
        return Err(format!("pactl {args}: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Unplugs the device of this name: ends the module that made it.
///
/// # Errors
/// There is none.
pub fn unplug(name: &str, env: &Env) -> Outcome<()> {
    let modules = pactl("list short modules", env)?;
    let made = modules.lines().find(|line| {
        let mut words = line.split_whitespace();
        words.any(|word| word == format!("source_name={name}") || word == format!("sink_name={name}"))
    });
    let number = made.and_then(|line| line.split_whitespace().next()).ok_or(format!("no module made {name}"))?;
    pactl(&format!("unload-module {number}"), env).map(|_| ())
}

/// A microphone that hears what is played to the loudspeaker `of`.
///
/// # Errors
/// The server does not want it.
pub fn plug_microphone(name: &str, of: &str, env: &Env) -> Outcome<()> {
    let args = format!("source_name={name} master={of}.monitor source_properties=device.description={name}");
    pactl(&format!("load-module module-remap-source {args}"), env).map(|_| ())
}

/// A loudspeaker that nobody hears but its monitor.
///
/// # Errors
/// The server does not want it.
pub fn plug_speaker(name: &str, env: &Env) -> Outcome<()> {
    let args = format!("sink_name={name} rate=48000 channels=1 sink_properties=device.description={name}");
    pactl(&format!("load-module module-null-sink {args}"), env).map(|_| ())
}

/// One of the two.
pub struct Person {
    link: Link,
    bell: PipeReceiver<()>,
    /// What it shows.
    pub view: Arc<ViewSnapshot>,
    /// All lines that it was told.
    pub told: Vec<String>,
    pub report: Option<Report>,
    config: Config,
    // Ends before its data goes.
    running: Option<Running>,
    data: TempDir,
}

impl Person {
    /// Somebody with these devices, who takes every call.
    ///
    /// # Errors
    /// The engine does not start.
    pub fn new(name: &str, microphone: MicrophoneSpec, speaker: SpeakerSpec) -> Outcome<Self> {
        let data = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
        let mut config = Config::new(name, data.path(), next_base()?);
        (config.microphone, config.speaker, config.auto_answer) = (microphone, speaker, true);
        Self::with(config, data)
    }

    fn with(config: Config, data: TempDir) -> Outcome<Self> {
        let (ring, bell) = pipe(1);
        let hook = Arc::new(move || {
            let _ = ring.try_send(());
        });
        let mut running = Engine::spawn(config.clone(), hook).map_err(|error| error.to_string())?;
        let link = running.take_link().ok_or("the link was taken already")?;
        let (view, told) = (Arc::default(), Vec::new());
        Ok(Self { link, bell, view, told, report: None, config, running: Some(running), data })
    }

    pub fn say(&self, command: Command) {
        let _ = self.link.commands.try_send(command);
        self.link.wake.wake();
    }

    /// Waits until what it shows or was told is so; how long that took.
    ///
    /// # Errors
    /// `patience` ran out.
    pub fn wait(&mut self, what: &str, patience: Duration, is_it: impl Fn(&Self) -> bool) -> Outcome<Duration> {
        let begun = now();
        loop {
            if let Some(view) = self.link.view.take() {
                self.view = view;
            }
            while let Some(notice) = self.link.notices.try_recv() {
                match notice {
                    Notice::Error(text) => self.told.push(text),
                    Notice::Ended { report, .. } => self.report = Some(*report),
                    _ => {}
                }
            }
            let took = now() - begun;
            if is_it(self) {
                return Ok(took);
            }
            if took >= patience {
                let (controls, told) = (&self.view.controls, self.told.join("\n"));
                return Err(format!("{what}: not within {patience:?}\n{:?} {controls:?}\n{told}", self.view.phase));
            }
            let _ = self.bell.recv_timeout(Duration::from_millis(50));
        }
    }

    /// As [`Person::wait`], for a line that it is told, said once: it is forgotten.
    ///
    /// # Errors
    /// `patience` ran out.
    pub fn wait_told(&mut self, text: &str, patience: Duration) -> Outcome<Duration> {
        let took = self.wait(text, patience, |person| person.told.iter().any(|line| line.contains(text)))?;
        self.told.clear();
        Ok(took)
    }

    pub fn is_in_call(&self) -> bool {
        matches!(self.view.phase, Phase::InCall { .. })
    }

    /// Ends the program and starts it again, with the choices of before.
    ///
    /// # Errors
    /// It does not start.
    pub fn restart(mut self) -> Outcome<Self> {
        drop(self.running.take());
        let mut config = self.config.clone();
        (config.remember.microphone, config.remember.speaker) = (true, true);
        Self::with(config, self.data)
    }
}

/// Ada calls Ben: what Ada's microphone hears is played on Ben's loudspeaker.
///
/// # Errors
/// The call does not come about.
pub fn talk(ada: &mut Person, ben: &mut Person) -> Outcome<()> {
    ada.say(Command::Call(format!("127.0.0.1:{}", ben.config.base_port)));
    for person in [ada, ben] {
        person.wait("in call", Duration::from_secs(10), Person::is_in_call)?;
    }
    Ok(())
}
