//! `visavis bench`: the latency lab. Calls in virtual time over named paths, with seeds; results to look at, to keep, and
//! to compare.

mod compare;
mod html;
mod results;
#[cfg(unix)]
mod rival;
mod table;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use crossbeam_channel::Receiver;
use engine::base::error::{Error, Kind};
use engine::base::pipe::pipe;
use engine::device::MicrophoneSpec;
use engine::lab::case::{Case, MEDIA, Media, Planted};
use engine::net::impair::{Impairment, PROFILES};

use results::{CaseResult, Results};

use crate::args::{Camera, Options};

#[derive(Args, Clone, Debug)]
pub struct Bench {
    #[command(subcommand)]
    pub what: Option<What>,
    /// The path: a name of `bench list`, or KEY=VALUE,… as for --impair. May be given several times; all names if not
    #[arg(long, value_name = "PROFILE")]
    pub profile: Vec<String>,
    /// What is sent: a name of `bench list`. May be given several times; all of them if not
    #[arg(long, value_name = "SETTING")]
    pub media: Vec<Media>,
    /// Real encryption and codecs instead of models of their sizes: ten times slower, and less repeatable
    #[arg(long)]
    pub real: bool,
    /// Calls of each kind, each with a seed of its own
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub repeat: u32,
    /// Write the results as JSON: what `bench compare` reads
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Write one line per call, separated by commas
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Write one page with plots that needs nothing else
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Compare with another program on this machine instead, in real time: its calls and ours in turns, by the same
    /// markers and chirps; --video none and --mic none leave a medium out, --impair
    /// puts the same path between both ends of either
    #[cfg(unix)]
    #[arg(long, value_name = "PROGRAM", conflicts_with_all = ["profile", "media", "real", "csv", "plant"])]
    pub rival: Option<rival::Rival>,
    /// Where Chromium is; the first on the PATH if not said
    #[cfg(unix)]
    #[arg(long, value_name = "PATH", requires = "rival")]
    pub chromium: Option<PathBuf>,
    /// Put a delay into a stage, STAGE=MS, to see whether it is found
    #[arg(long, value_name = "STAGE=MS")]
    pub plant: Option<String>,
}

#[derive(Clone, Debug, Subcommand)]
pub enum What {
    /// The paths and settings there are
    List,
    /// What changed from one run's results to another's, and how certain that is. Exit status 1 when something got worse
    Compare { old: PathBuf, new: PathBuf },
}

/// How long a measured call is unless told otherwise.
const LENGTH: Duration = Duration::from_secs(20);

/// Runs the verb. False: something got worse.
pub fn run(bench: &Bench, options: &Options, stop: &Receiver<()>) -> Result<bool> {
    let (seed, length, json) = (options.seed.unwrap_or(1), options.run_for, options.json);
    #[cfg(unix)]
    if let Some(rival) = bench.rival {
        let picture = options.video != [Camera::None];
        let sound = options.mic != Some(MicrophoneSpec::None);
        let path = options.impair.map(|impairment| (impairment, seed));
        return rival::run(rival, bench, rival::Settings { path, length, picture, sound, json }, stop);
    }
    match &bench.what {
        Some(What::List) => {
            print!("{}", table::list(json)?);
            Ok(true)
        }
        Some(What::Compare { old, new }) => {
            let compared = compare::compare(&Results::read(old)?, &Results::read(new)?)?;
            print!("{}", if json { compared.json()? } else { compared.table() });
            Ok(!compared.is_worse())
        }
        None => measure(bench, seed, length.unwrap_or(LENGTH), json, stop),
    }
}

fn measure(bench: &Bench, seed: u64, length: Duration, json: bool, stop: &Receiver<()>) -> Result<bool> {
    let planned = plan(bench, seed, length)?;
    // Before anything is run: an hour's results must not be lost for a mistyped folder.
    for path in [&bench.out, &bench.csv, &bench.html].into_iter().flatten() {
        std::fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let mut results = Results::new(length.as_secs_f64());
    results.cases = run_all(&planned, json, stop)?;
    if results.cases.is_empty() {
        anyhow::bail!("stopped before the first call was over");
    }
    let write = |path: &Path, text: String| {
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    let whole = serde_json::to_string(&results)?;
    if let Some(path) = &bench.csv {
        write(path, table::csv(&results))?;
    }
    if let Some(path) = &bench.html {
        write(path, html::page(&results)?)?;
    }
    if json {
        println!("{whole}");
    } else {
        println!("\n{}", table::summary(&results));
    }
    if let Some(path) = &bench.out {
        write(path, whole)?;
    }
    Ok(true)
}

/// One call to run, with the names it goes by.
struct Planned {
    profile: String,
    planted: Option<String>,
    case: Case,
}

fn plan(bench: &Bench, seed: u64, length: Duration) -> Result<Vec<Planned>> {
    let wrong = |text: String| Error::new(Kind::Malformed, text);
    let named = || PROFILES.iter().map(|(name, ..)| (*name).to_owned()).collect();
    let profiles: Vec<String> = if bench.profile.is_empty() { named() } else { bench.profile.clone() };
    let settings: Vec<Media> =
        if bench.media.is_empty() { MEDIA.iter().map(|(_, media, _)| *media).collect() } else { bench.media.clone() };
    let planted: Option<Planted> = bench.plant.as_ref().map(|text| text.parse()).transpose().map_err(wrong)?;
    let mut planned = Vec::new();
    for profile in profiles {
        let impairment: Impairment = profile.parse().map_err(|error| wrong(format!("{error}")))?;
        for media in &settings {
            for repeat in 0..u64::from(bench.repeat) {
                let (media, real, time) = (*media, bench.real, length);
                let case = Case { impairment, media, real, time, seed: seed.wrapping_add(repeat), planted };
                planned.push(Planned { profile: profile.clone(), planted: bench.plant.clone(), case });
            }
        }
    }
    Ok(planned)
}

/// Runs the calls on as many cores as there are; results in the order of the plan. Says on the standard error how far it
/// is. An interruption ends it after the calls that run: what is done is kept.
fn run_all(planned: &[Planned], quiet: bool, stop: &Receiver<()>) -> Result<Vec<CaseResult>> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let (next, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(planned.len());
    if !quiet {
        println!("{}", table::head());
    }
    let mut done: Vec<Option<CaseResult>> = planned.iter().map(|_| None).collect();
    std::thread::scope(|scope| {
        let (tell, told) = pipe(cores);
        for _ in 0..cores {
            let (tell, next, stopped, folder) = (tell.clone(), &next, &stopped, folder.path());
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(planned) = planned.get(number).filter(|_| !stopped.load(Ordering::Relaxed)) else {
                        return;
                    };
                    let measured = planned.case.run(&folder.join(number.to_string()));
                    if tell.send((number, measured)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(tell);
        let (mut count, shows_progress) = (0, std::io::stderr().is_terminal());
        while let Some((number, measured)) = told.recv() {
            let Planned { profile, planted, case } = &planned[number];
            let result = CaseResult::new(profile, planted.as_deref(), case, measured?);
            count += 1;
            if shows_progress {
                eprint!("\r\x1b[2K");
            }
            if !quiet {
                println!("{}", table::line(&result));
            }
            if shows_progress {
                eprint!("{count} of {} calls", planned.len());
            }
            done[number] = Some(result);
            if stop.try_recv().is_ok() {
                stopped.store(true, Ordering::Relaxed);
            }
        }
        if shows_progress {
            eprintln!("\r\x1b[2K");
        }
        Ok(done.into_iter().flatten().collect())
    })
}
