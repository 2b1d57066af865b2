//! The probe as its user starts it, in the environment of a private sound server.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use engine::media::summary::Summary;
use visavis_app::jack::Jack;
use visavis_app::probe::{AudioReport, VideoReport};
use visavis_app::pulse::Pulse;
use x11rb::protocol::xproto::Rectangle;

use crate::Outcome;
use crate::delay::DelayLine;
use crate::display::Display;
use crate::mirror::Mirror;
use crate::party::program;

/// `visavis probe ARGS`, run to its end.
///
/// # Errors
/// It cannot be started.
pub fn probe(args: &str, env: &[(String, String)]) -> Outcome<Output> {
    let mut command = Command::new(program()?);
    command.arg("probe").args(args.split_whitespace()).envs(env.iter().map(|(key, value)| (key, value)));
    command.output().map_err(|error| format!("visavis probe: {error}"))
}

/// `count` chirps from the loudspeaker `out` to the microphone `input` of `pulse`.
///
/// # Errors
/// None was heard, or a device cannot be opened: the text has what the probe said.
pub fn hear(pulse: &Pulse, out: &str, input: &str, count: u64) -> Outcome<AudioReport> {
    let run = probe(&format!("audio --out {out} --in {input} --count {count} --json"), &pulse.env())?;
    if !run.status.success() {
        return Err(format!("from {out} to {input}: {}", String::from_utf8_lossy(&run.stderr).trim()));
    }
    serde_json::from_slice(&run.stdout).map_err(|error| format!("the probe's JSON: {error}"))
}

/// `count` chirps through JACK: from a loudspeaker whose port is connected to `mouth`, to a microphone whose port is connected to
/// `ear`; both the program's own where they are `None`, connected to each other.
///
/// # Errors
/// As [`hear`], or a port cannot be connected.
pub fn hear_jack(jack: &Jack, through: Option<(&str, &str)>, count: u64) -> Outcome<AudioReport> {
    let mut command = Command::new(program()?);
    command.args([
        "probe",
        "audio",
        "--host",
        "jack",
        "--out",
        "JACK Output",
        "--in",
        "JACK Input",
        "--json",
        "--count",
    ]);
    command.arg(count.to_string()).envs(jack.env()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().map_err(|error| format!("visavis probe: {error}"))?;
    let port = |part| jack.port_of(child.id(), part).map_err(|error| error.to_string());
    let (out, input) = (port("out_0")?, port("in_0")?);
    let (mouth, ear) = through.unwrap_or((&input, &out));
    jack.connect(&out, mouth).map_err(|error| error.to_string())?;
    if through.is_some() {
        jack.connect(ear, &input).map_err(|error| error.to_string())?;
    }
    let run = child.wait_with_output().map_err(|error| format!("visavis probe: {error}"))?;
    if !run.status.success() {
        return Err(format!("through JACK: {}", String::from_utf8_lossy(&run.stderr).trim()));
    }
    serde_json::from_slice(&run.stdout).map_err(|error| format!("the probe's JSON: {error}"))
}

/// What a probe on `display` sees of the screen.
///
/// # Errors
/// It saw nothing, or cannot run: the text has what it said.
pub fn see(display: &Display, args: &str) -> Outcome<VideoReport> {
    let run = probe(&format!("video --source screen {args} --json"), &display.env())?;
    if !run.status.success() {
        return Err(format!("on {}: {}", display.name(), String::from_utf8_lossy(&run.stderr).trim()));
    }
    serde_json::from_slice(&run.stdout).map_err(|error| format!("the probe's JSON: {error}"))
}

/// A known delay as a probe measures it.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// The loop by itself, before and after.
    pub bare: [Summary; 2],
    /// With the known delay in it.
    pub delayed: Summary,
}

impl Known {
    /// The known delay as measured, in milliseconds.
    pub fn measured(&self) -> f64 {
        self.delayed.p50 - (self.bare[0].p50 + self.bare[1].p50) / 2.0
    }

    /// How much the loop itself has changed meanwhile, in milliseconds.
    pub fn drift(&self) -> f64 {
        self.bare[1].p50 - self.bare[0].p50
    }
}

/// A loop between two null sinks, measured by itself, `ms` later, and by itself again, `count` chirps each. A loop that
/// is another one afterwards has run dry on a busy machine: its delay was not known, and it is measured anew.
///
/// # Errors
/// A part of it cannot be started, no chirp was heard, or the loop never kept still.
pub fn known_loop(ms: u32, count: u64) -> Outcome<Known> {
    const TRIES: usize = 3;
    /// A player that runs dry is later by a block of its recorder at least.
    const STILL: f64 = 2.0;
    let pulse = Pulse::start().map_err(|error| error.to_string())?;
    let mut drifts = Vec::new();
    for _ in 0..TRIES {
        let line = DelayLine::start(&pulse, "microphone", "ear")?;
        let measure = |ms: u32| {
            line.set(ms)?;
            hear(&pulse, "mouth", "listen", count)?.delay_ms.ok_or_else(|| "no chirp was heard".to_owned())
        };
        let (before, delayed, after) = (measure(0)?, measure(ms)?, measure(0)?);
        let known = Known { bare: [before, after], delayed };
        if known.drift().abs() <= STILL {
            return Ok(known);
        }
        drifts.push(format!("{:.1} ms", known.drift()));
    }
    Err(format!("the loop does not keep still: {}", drifts.join(", ")))
}

/// What the probe sees of its own window, shown again `late` by a mirror beside it, until `count` markers were seen there.
///
/// # Errors
/// There is no Xvfb, the mirror cannot be shown, or nothing was seen.
pub fn known_copy(late: Duration, count: u64) -> Outcome<VideoReport> {
    let display = Display::start(1920, 600)?;
    // Without a window manager the window stands in the corner; the strip is in its upper part.
    let part = Rectangle { x: 0, y: 0, width: 960, height: 160 };
    let mirror = Mirror::start(&display, part, (960, 200), late)?;
    let seen = see(&display, &format!("--count {count} --for 60"))?;
    mirror.close()?;
    Ok(seen)
}
