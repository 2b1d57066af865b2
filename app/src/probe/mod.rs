//! `visavis probe`: measures any other program from outside, by what it does to sound and to pictures.

pub mod audio;
mod places;
mod report;
pub mod video;
mod window;

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use crossbeam_channel::Receiver;
use engine::base::error::{Error, Kind};
use engine::base::time::Duration;
use engine::device::Backend;
use engine::source::SourceSpec;
use serde::Serialize;

pub use places::{Place, Seen};
pub use report::{AudioReport, PlaceReport, VERSION, VideoReport};

/// What to measure.
#[derive(Clone, Debug, Subcommand)]
pub enum Probe {
    /// How long sound takes: plays chirps on one device and finds them on another
    Audio(AudioProbe),
    /// How long pictures take: shows markers in a window and finds them in what a source sees
    Video(VideoProbe),
}

#[derive(Args, Clone, Debug)]
pub struct AudioProbe {
    /// The loudspeaker to play chirps on: the one that the program under test hears
    #[arg(long, value_name = "NAME")]
    pub out: String,
    /// The microphone to find them on: the one that hears what the program under test plays
    #[arg(long = "in", value_name = "NAME")]
    pub input: String,
    /// Chirps to hear; two a second are played
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub count: u64,
    /// Say how far it is after each chirp, a line each, whatever the standard error is: for a program that waits for it
    #[arg(long, hide = true)]
    pub progress: bool,
}

#[derive(Args, Clone, Debug)]
pub struct VideoProbe {
    /// What sees the markers: screen[:N] or camera[:N]
    #[arg(long, value_name = "SOURCE")]
    pub source: SourceSpec,
    /// Markers to see outside of the own window
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub count: u64,
}

/// How long to measure and what to do with the result.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The most time it may take; `None`: what `count` needs, with some to spare.
    pub run_for: Option<Duration>,
    /// JSON on the standard output instead of a table.
    pub json: bool,
    /// JSON to this file.
    pub report: Option<PathBuf>,
    /// The only sound system to use.
    pub host: Option<Backend>,
}

/// Runs the verb. False: nothing was found, which one line on the standard error says.
///
/// # Errors
/// `Malformed` for a device that does not exist; what else keeps the devices from being used; a report that cannot be
/// written.
pub fn run(probe: &Probe, settings: &Settings, stop: &Receiver<()>) -> Result<bool> {
    if let Some(path) = &settings.report {
        // Before anything is measured: minutes of it must not be lost for a mistyped folder.
        std::fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    match probe {
        Probe::Audio(probe) => hear(probe, settings, stop),
        Probe::Video(probe) => see(probe, settings, stop),
    }
}

/// Time to arrange the program under test beside the probe's window.
const PATIENCE: Duration = Duration::from_secs(60);

fn hear(probe: &AudioProbe, settings: &Settings, stop: &Receiver<()>) -> Result<bool> {
    // Two a second, the start, and some that a busy machine spoils.
    let usual = Duration::from_millis(probe.count * 600) + Duration::from_secs(15);
    let patience = settings.run_for.unwrap_or(usual);
    let plan = audio::Plan {
        out: probe.out.clone(),
        input: probe.input.clone(),
        count: probe.count,
        patience,
        host: settings.host,
    };
    let mut progress = if probe.progress { Progress::Lines } else { Progress::on_a_terminal() };
    let heard = audio::measure(&plan, stop, |heard| {
        progress.say(&format!("{} of {} chirps{}", heard.delays.len(), plan.count, newest(heard.newest())));
    });
    drop(progress);
    let heard = heard.map_err(named_wrongly)?;
    let report = AudioReport::new(&plan, &heard);
    conclude(&report, &report.table(), settings)?;
    Ok(say_why(report.nothing(patience)))
}

fn see(probe: &VideoProbe, settings: &Settings, stop: &Receiver<()>) -> Result<bool> {
    let patience = settings.run_for.unwrap_or(PATIENCE);
    let plan = video::Plan { source: probe.source.clone(), count: probe.count, patience };
    let mut progress = Progress::on_a_terminal();
    let seen = video::measure(&plan, stop, |seen| {
        let own = if seen.most() == 0 && seen.own().is_some() { ", the own window alone so far" } else { "" };
        progress.say(&format!("{} of {} markers in {} pictures{own}", seen.most(), plan.count, seen.pictures));
    });
    drop(progress);
    let seen = seen.map_err(named_wrongly)?;
    let report = VideoReport::new(&plan.source, &seen);
    conclude(&report, &report.table(), settings)?;
    if let (None, Some(_)) = (&report.delay_ms, &report.own_ms) {
        eprintln!("the marker was seen in the probe's own window only: no other program shows it on {}", report.source);
    }
    Ok(say_why(report.nothing(patience)))
}

/// True where there is nothing to say.
fn say_why(nothing: Option<String>) -> bool {
    if let Some(why) = &nothing {
        eprintln!("{why}");
    }
    nothing.is_none()
}

fn conclude(report: &impl Serialize, table: &str, settings: &Settings) -> Result<()> {
    let json = serde_json::to_string(report)?;
    if let Some(path) = &settings.report {
        std::fs::write(path, &json).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if settings.json {
        println!("{json}");
    } else {
        print!("{table}");
    }
    Ok(())
}

/// What is not there was mistyped: wrong use.
fn named_wrongly(error: Error) -> Error {
    let kind = if error.kind == Kind::Gone { Kind::Malformed } else { error.kind };
    Error { kind, ..error }
}

fn newest(delay: Option<f64>) -> String {
    delay.map_or_else(String::new, |delay| format!(", the newest after {delay:.1} ms"))
}

/// Says on the standard error how far it is.
enum Progress {
    /// In one line, which changes and goes at the end.
    Changing,
    /// In a line each time.
    Lines,
    Silent,
}

impl Progress {
    /// Elsewhere nobody looks.
    fn on_a_terminal() -> Self {
        if std::io::stderr().is_terminal() { Self::Changing } else { Self::Silent }
    }

    fn say(&mut self, text: &str) {
        match self {
            Self::Changing => eprint!("\r\x1b[2K{text}"),
            Self::Lines => eprintln!("{text}"),
            Self::Silent => {}
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if matches!(self, Self::Changing) {
            eprint!("\r\x1b[2K");
        }
    }
}
