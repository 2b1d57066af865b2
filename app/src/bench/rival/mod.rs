//! `visavis bench --rival`: our own calls and those of another program in turns, on this machine, by the same markers
//! and the same chirps.

mod chromium;
mod door;
mod gstreamer;
mod html;
mod own;
mod page;
mod process;
mod relay;
mod results;
mod sound;
mod table;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use crossbeam_channel::Receiver;

use engine::net::impair::Impairment;

use super::Bench;
use chromium::{Chromium, Tuning};
use results::{Comparison, Part, Round, Row, WARM};
use sound::Rig;

/// Whom to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Rival {
    /// WebRTC in a headless Chromium
    Chromium,
    /// GStreamer's pipelines with the encoder that ours is as well; pictures only
    Gstreamer,
}

impl Rival {
    const fn missing(self) -> &'static str {
        match self {
            Self::Chromium => {
                "Chromium is not here, so there is nothing to compare with: install it (Debian: apt-get install chromium), \
                 or say where it is with --chromium PATH"
            }
            Self::Gstreamer => {
                "GStreamer is not here, so there is nothing to compare with: install it (Debian: apt-get install \
                 gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad)"
            }
        }
    }
}

/// What is measured of each call unless told otherwise: three calls then have over 500 pictures.
const LENGTH: Duration = Duration::from_secs(7);
/// A call takes a moment from its first picture until it is measured, and ours ends by itself.
const SPARE: Duration = Duration::from_millis(700);

/// What is measured, and how it is told.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Between the two ends of each call, and where its chances begin.
    pub path: Option<(Impairment, u64)>,
    /// Measured in each call.
    pub length: Option<Duration>,
    pub picture: bool,
    pub sound: bool,
    pub json: bool,
}

/// Runs the comparison. Where the other program is missing one line on the standard error says so, and all is well.
///
/// # Errors
/// A call that does not come about or does not go on, on whichever side; a file that cannot be written; `stop`.
pub fn run(rival: Rival, bench: &Bench, settings: Settings, stop: &Receiver<()>) -> Result<bool> {
    for path in [&bench.out, &bench.html].into_iter().flatten() {
        std::fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let compared = match rival {
        Rival::Chromium => match chromium::find(bench.chromium.as_deref()) {
            Some(program) => Some(compare(program, settings, bench.repeat, stop)?),
            None => None,
        },
        Rival::Gstreamer => gstreamer::compare(settings, bench.repeat, stop)?,
    };
    let Some(compared) = compared else {
        eprintln!("{}", rival.missing());
        return Ok(true);
    };
    let whole = serde_json::to_string(&compared)?;
    let write = |path: &Path, text: &str| {
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    if let Some(path) = &bench.html {
        write(path, &html::page(&compared)?)?;
    }
    if let Some(path) = &bench.out {
        write(path, &whole)?;
    }
    if settings.json {
        println!("{whole}");
    } else {
        print!("\n{}", table::table(&compared));
    }
    Ok(true)
}

/// Who is measured.
#[derive(Clone, Copy, Debug)]
enum Candidate {
    Own,
    Chromium(Tuning),
}

/// In this order, round by round: what a machine does meanwhile falls on all of them.
const PICTURE: [Candidate; 3] =
    [Candidate::Own, Candidate::Chromium(Tuning::Fastest), Candidate::Chromium(Tuning::Page)];
const SOUND: [Candidate; 2] = [Candidate::Own, Candidate::Chromium(Tuning::Fastest)];

/// What all calls of a comparison share.
struct Run<'a> {
    chromium: Chromium,
    length: Duration,
    path: Option<(Impairment, u64)>,
    folder: &'a Path,
    /// Say nothing on the standard output.
    quiet: bool,
    stop: &'a Receiver<()>,
}

fn compare(program: PathBuf, settings: Settings, rounds: u32, stop: &Receiver<()>) -> Result<Comparison> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let folder = folder.path();
    let length = settings.length.unwrap_or(LENGTH);
    let chromium = Chromium::meet(program, folder, stop)?;
    let run = Run { chromium, length, path: settings.path, folder, quiet: settings.json, stop };
    let rig = if settings.sound { Rig::open(length) } else { Err("it was not asked for".to_owned()) };
    let bare = rig.as_ref().ok().map(|rig| rig.bare(folder, stop)).transpose()?;
    let (mut pictures, mut sounds): ([Vec<Round>; PICTURE.len()], [Vec<Round>; SOUND.len()]) = Default::default();
    for round in 1..=rounds {
        let number = format!("{round} of {rounds}");
        for (candidate, done) in PICTURE.into_iter().zip(&mut pictures).filter(|_| settings.picture) {
            let measured = run.picture(candidate)?;
            run.say(&number, "picture", candidate, &measured);
            done.push(measured);
        }
        for (candidate, done) in SOUND.into_iter().zip(&mut sounds) {
            let Ok(rig) = &rig else { continue };
            let measured = run.sound(rig, candidate)?;
            run.say(&number, "sound", candidate, &measured);
            done.push(measured);
        }
    }
    let row = |(candidate, rounds): (Candidate, &Vec<Round>)| Row::new(&candidate.name(&run.chromium), rounds);
    let drawn = |round: &Round| Round { delays: round.drawn.clone(), ..round.clone() };
    let drawn: Vec<Round> = pictures[0].iter().map(drawn).collect();
    let drawn = Row::new("Visavis, until it is drawn", &drawn);
    let bare = bare.map(|bare| Row::new("the devices alone", &[bare]));
    let picture = Part::new(PICTURE.into_iter().zip(&pictures).map(row).collect(), Some(drawn));
    let sound = Part::new(SOUND.into_iter().zip(&sounds).map(row).collect(), bare);
    Ok(Comparison {
        picture: settings.picture.then_some(picture),
        sound: rig.is_ok().then_some(sound),
        sound_left_out: rig.err(),
        path: settings.path.map(|(impairment, _)| impairment.to_string()),
        ..Comparison::new(&run.chromium.version, length, rounds)
    })
}

impl Candidate {
    fn name(self, chromium: &Chromium) -> String {
        match self {
            Self::Own => "Visavis".to_owned(),
            Self::Chromium(Tuning::Fastest) => chromium.name.clone(),
            Self::Chromium(Tuning::Page) => format!("{}, as pages have it", chromium.name),
        }
    }
}

impl Run<'_> {
    fn picture(&self, candidate: Candidate) -> Result<Round> {
        let watched = match candidate {
            Candidate::Own => own::watch(WARM + self.length + SPARE, self.path, self.folder, self.stop)?,
            Candidate::Chromium(tuning) => {
                self.chromium.watch(tuning, self.path, WARM + self.length, self.folder, self.stop)?
            }
        };
        let round = Round::of_pictures(watched, self.length);
        if round.delays.is_empty() {
            // Without a graphics adapter ours draws nothing, and says so in its own call only.
            bail!(
                "no picture of a call of {} was seen: is there a Vulkan driver (Debian: mesa-vulkan-drivers)?",
                candidate.name(&self.chromium)
            );
        }
        Ok(round)
    }

    fn sound(&self, rig: &Rig, candidate: Candidate) -> Result<Round> {
        match candidate {
            Candidate::Own => rig.own(self.path, self.folder, self.stop),
            Candidate::Chromium(_) => rig.rival(&self.chromium, self.path, self.folder, self.stop),
        }
    }

    fn say(&self, number: &str, medium: &str, candidate: Candidate, round: &Round) {
        if !self.quiet {
            println!("{}", table::line(number, medium, &candidate.name(&self.chromium), round));
        }
    }
}
