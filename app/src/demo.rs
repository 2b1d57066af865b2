//! `visavis demo`: two parties on this machine hold a real call. With a display it is in a window, without one it is
//! drawn offscreen; either way a report and a picture are left behind.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use crossbeam_channel::Receiver;
use engine::base::time::Duration;
use engine::device::{MicrophoneSpec, SpeakerSpec};
use engine::engine::Running;
use engine::handle::{Command, Redraw};
use engine::media::marker::{self, Marker};
use engine::media::report::Report;
use engine::source::SourceSpec;
use engine::world::config::Config;
use visavis_app::window::{WindowLoop, WindowOptions};

use crate::args::Options;
use crate::headless::{self, Plan};
use crate::report;

/// The speech that both parties say.
const SPEECH: &[u8] = include_bytes!("../assets/speech.wav");

/// How long the call lasts unless told otherwise.
const LENGTH: Duration = Duration::from_secs(10);

/// Ports for two parties that no ordinary program of ours listens on.
const BASES: [u16; 2] = [2300, 2500];

/// What both ways of showing the demonstration need.
struct Show<'a> {
    options: &'a Options,
    folder: &'a Path,
    speech: &'a Path,
    target: String,
    length: Duration,
    picture: PathBuf,
}

/// Runs the demonstration. True when the call went well.
pub fn run(options: &Options, interrupted: &Receiver<()>) -> Result<bool> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let speech = folder.path().join("speech.wav");
    std::fs::write(&speech, SPEECH).context("cannot write the speech file")?;
    let length = options.run_for.unwrap_or(LENGTH);
    println!("Ada calls Ben on this machine: real sockets, real encryption, real codecs. {} s.", length.as_secs());

    let (hook, ben_bell) = headless::bell();
    let mut ben = party("Ben", options, folder.path(), BASES[1], &speech, &hook)?;
    let target = format!("127.0.0.1:{}", ben.base_port());
    let picture = options.screenshot.clone().unwrap_or_else(|| "demo.png".into());
    let window = if options.headless { None } else { WindowLoop::new().ok() };
    let ben_link = ben.take_link().context("the engine's link was taken already")?;
    let (stop, stopped) = crossbeam_channel::bounded(1);
    let plan = Plan { once: true, run_for: Some(length + Duration::from_secs(20)), ..Default::default() };
    let others = std::thread::Builder::new().name("ben's screen".into()).spawn(move || {
        let report = headless::run(&ben_link, &ben_bell, &plan, &stopped);
        report.ok().flatten()
    })?;
    let show = Show { options, folder: folder.path(), speech: &speech, target, length, picture };
    let ada = match window {
        Some(window) => in_window(window, &show)?,
        None => offscreen(&show, interrupted)?,
    };
    let picture = show.picture;
    // Ben's call has ended with Ada's; the bell is for the case that it never began.
    if ada.is_none() {
        let _ = stop.try_send(());
    }
    let bens = others.join().map_err(|_| anyhow!("Ben's screen panicked"))?;
    let report = ada.context("no call came about")?;
    let json = options.report.clone().unwrap_or_else(|| "demo.json".into());
    std::fs::write(&json, serde_json::to_vec_pretty(&report)?)
        .with_context(|| format!("cannot write {}", json.display()))?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("\nAda's report\n{}", report::table(&report));
    }
    println!("The picture is in {}, the report in {}.", picture.display(), json.display());
    let well = |report: &Report| report.outcome == "ended" && report.video.frames_presented > 0;
    if !bens.as_ref().is_some_and(well) {
        println!("Ben's side did not go well: {}", bens.map_or("no report".into(), |report| report.reason));
        return Ok(false);
    }
    Ok(well(&report))
}

/// One party with test card and speech. A port that is taken is passed over: nobody has to know it.
fn party(name: &str, options: &Options, folder: &Path, base: u16, speech: &Path, redraw: &Redraw) -> Result<Running> {
    let mut config = Config::new(name, folder.join(name), base);
    config.camera = Some(SourceSpec::TEST_CARD);
    config.microphone = options.mic.clone().unwrap_or_else(|| MicrophoneSpec::Wav(speech.to_owned()));
    config.find_chirps = config.microphone == MicrophoneSpec::Chirp;
    // Both parties sit on one machine: played aloud, each would hear itself.
    config.speaker = options.speaker.clone().unwrap_or(SpeakerSpec::None);
    config.auto_answer = true;
    // A recording is of one side.
    config.record = options.record.clone().filter(|_| base == BASES[0]);
    config.record_limit = options.record_limit.unwrap_or(config.record_limit);
    crate::spawn_on_a_free_port(config, redraw, false)
}

fn in_window(window: WindowLoop, show: &Show<'_>) -> Result<Option<Report>> {
    let mut ada = party("Ada", show.options, show.folder, BASES[0], show.speech, &window.redraw_hook())?;
    let link = ada.take_link().context("the engine's link was taken already")?;
    let call = link.commands.try_send(Command::Call(show.target.clone()));
    call.map_err(|_| anyhow!("the engine takes no command"))?;
    link.wake.wake();
    let options = WindowOptions {
        own_name: "Ada".to_owned(),
        show_latency: true,
        run_for: Some(show.length + OPENING),
        close_when_ended: true,
        screenshot: Some((show.picture.clone(), show.length)),
        marker_reader: Some(read_marker),
        marker_strip: MARKER_STRIP,
        ..Default::default()
    };
    Ok(window.run(link, options)?.ended.map(|report| *report))
}

/// The marker ends at a quarter of the card's height; the picture's frame around it takes a little more.
const MARKER_STRIP: f32 = 0.28;

/// The first marker in the upper part of the remote tile, at whatever scale the window draws it.
fn read_marker(rgba: &[u8], stride: usize, width: u32, height: u32) -> Option<Marker> {
    marker::find_rgba(rgba, stride, width, height).first().map(|found| found.marker)
}

/// A window on software graphics takes this long to open.
const OPENING: Duration = Duration::from_secs(1);

fn offscreen(show: &Show<'_>, interrupted: &Receiver<()>) -> Result<Option<Report>> {
    let (hook, bell) = headless::bell();
    let mut ada = party("Ada", show.options, show.folder, BASES[0], show.speech, &hook)?;
    let link = ada.take_link().context("the engine's link was taken already")?;
    let plan = Plan {
        call: Some(show.target.clone()),
        run_for: Some(show.length),
        screenshot: Some(show.picture.clone()),
        present_hz: show.options.present_hz,
        ..Default::default()
    };
    Ok(headless::run(&link, &bell, &plan, interrupted)?)
}
