//! `visavis`: the program.

mod args;
mod bench;
mod config;
mod demo;
mod headless;
mod markers;
mod nettest;
mod network;
mod people;
mod present;
mod relay;
mod replay;
mod report;
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use clap::Parser;
use crossbeam_channel::{Receiver, bounded};
use engine::base::error::{Error, Kind};
use engine::base::time::now;
use engine::device::{AudioDevices, Microphone, MicrophoneSpec};
use engine::engine::{Engine, Running};
use engine::handle::{Command, Redraw};
use engine::media::report::Report;
use engine::proto::lan::Visibility;
use engine::proto::target::Target;
use engine::source::file::FileSource;
use engine::source::screen::Screen;
use engine::source::{SourceSpec, VideoSource, camera};
use engine::store::known::KnownPeers;
use engine::store::settings::Choices;
use engine::world::config::Config;
use visavis_app::probe;
use visavis_app::testing::TestOptions;
use visavis_app::window::{WindowLoop, WindowOptions};

use crate::args::{Arguments, Options, Verb};
use crate::headless::Plan;

fn main() -> ExitCode {
    engine::base::thread::share_heaps();
    let arguments = match config::with_file(std::env::args_os().collect()) {
        Ok(arguments) => Arguments::parse_from(arguments),
        Err(error) => return fail(&error.into()),
    };
    let interrupted = match interruptions() {
        Ok(interrupted) => interrupted,
        Err(error) => return fail(&error),
    };
    let done = match &arguments.verb {
        Some(Verb::Demo) => demo::run(&arguments.options, &interrupted),
        Some(Verb::Bench(what)) => bench::run(what, &arguments.options, &interrupted),
        Some(Verb::Replay(what)) => replay::run(what, arguments.options.json),
        Some(Verb::Probe(what)) => {
            let Options { run_for, json, report, host, .. } = arguments.options.clone();
            probe::run(what, &probe::Settings { run_for, json, report, host }, &interrupted)
        }
        Some(Verb::Devices) => list_devices(&arguments.options),
        Some(Verb::Serve(what)) => data_folder(&arguments.options).and_then(|data| {
            let Options { run_for, json, .. } = arguments.options.clone();
            serve::run(what, data, run_for, json, &interrupted)
        }),
        Some(Verb::Nettest { show_address }) => nettest::run(*show_address, &arguments.options, &interrupted),
        Some(Verb::Relay(what)) => {
            let Options { run_for, json, .. } = arguments.options.clone();
            relay::run(what, run_for, json, &interrupted)
        }
        Some(Verb::Account(what)) => people::account::run(what, &arguments.options, &interrupted),
        Some(Verb::Pals(what)) => people::pals::run(what, &arguments.options, &interrupted),
        Some(Verb::Chat(what)) => people::chat::run(what, &arguments.options, &interrupted),
        Some(Verb::Message(what)) => people::message::run(what, &arguments.options, &interrupted),
        Some(Verb::Call { target, trust_new_key }) => forget_key(&arguments.options, target, *trust_new_key)
            .and_then(|()| talk(&arguments.options, Some(target.clone()), false, true, &interrupted)),
        Some(Verb::Listen { auto_answer, once }) => talk(&arguments.options, None, *auto_answer, *once, &interrupted),
        None => talk(&arguments.options, None, false, false, &interrupted),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => fail(&error),
    }
}

/// Exit status 2 is wrong use or input that cannot be read; 1 everything else that failed.
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("{error:#}");
    let malformed = error.downcast_ref::<Error>().is_some_and(|error| error.kind == Kind::Malformed);
    ExitCode::from(if malformed { 2 } else { 1 })
}

/// Ctrl-C and the termination signal hang up before they end the program.
fn interruptions() -> Result<Receiver<()>> {
    let (sender, receiver) = bounded(1);
    ctrlc::set_handler(move || {
        let _ = sender.try_send(());
    })
    .context("cannot watch for Ctrl-C")?;
    Ok(receiver)
}

/// A call, or waiting for one, in a window or without. True when it went well.
fn talk(
    options: &Options,
    target: Option<String>,
    auto_answer: bool,
    once: bool,
    interrupted: &Receiver<()>,
) -> Result<bool> {
    let data = data_folder(options)?;
    let name = options.name.clone().unwrap_or_else(own_name);
    let base = network::base(options, &data);
    let mut config = options.config(&name, data.clone(), base);
    config.auto_answer = auto_answer;
    config.people = true;
    config.proxies = network::proxies(options, &config.data)?;
    config.lan = network::visibility(options, &config.data);
    config.appear_offline = network::appears_offline(options, &config.data);
    check_input(&config, target.as_deref())?;
    // One who calls can be anywhere; one who is called is expected at its port.
    let fixed = target.is_none() || options.base_port.is_some();
    let called = target.is_some();
    let report = if options.headless {
        let (hook, bell) = headless::bell();
        let mut running = spawn_on_a_free_port(config, &hook, fixed)?;
        let link = running.take_link().context("the engine's link was taken already")?;
        let plan = Plan {
            call: target,
            run_for: options.run_for,
            once,
            present_hz: options.present_hz,
            screenshot: options.screenshot.clone(),
            markers: options.markers.clone(),
            send_files: options.send_files.clone(),
            talk: true,
            blind: false,
        };
        headless::run(&link, &bell, &plan, interrupted)?
    } else {
        let window = WindowLoop::new()?;
        let tested =
            TestOptions { data: data.clone(), service: options.service.clone(), proxies: config.proxies.clone() };
        let mut running = spawn_on_a_free_port(config, &window.redraw_hook(), fixed)?;
        let link = running.take_link().context("the engine's link was taken already")?;
        if let Some(target) = &target {
            let sent = link.commands.try_send(Command::Call(target.clone()));
            sent.map_err(|_| anyhow!("the engine takes no command"))?;
            link.wake.wake();
        }
        let shot = options.screenshot.clone().zip(options.run_for.map(|time| time.saturating_sub(SHOT_BEFORE_END)));
        let window_options = WindowOptions {
            own_name: name,
            address: target.unwrap_or_default(),
            screenshot: shot,
            run_for: options.run_for,
            network: Some(tested),
            hidden: options.lan.map_or_else(|| Choices::load(&data).0.hidden, |lan| lan != Visibility::Shown),
            ..Default::default()
        };
        window.run(link, window_options)?.ended.map(|report| *report)
    };
    conclude(options, report, called || once)
}

/// What cannot be read is wrong use, found before anybody is called.
fn check_input(config: &Config, target: Option<&str>) -> Result<()> {
    let malformed = |error: Error| Error::new(Kind::Malformed, error.text);
    // Whether somebody is a pal says the session.
    if let Some(target) = target.filter(|target| !target.starts_with('@')) {
        target.parse::<Target>().map_err(malformed)?;
    }
    for spec in config.camera.iter().chain(config.further.iter().flatten()) {
        match spec {
            SourceSpec::File(path) => drop(FileSource::open(path).map_err(malformed)?),
            SourceSpec::Camera(number) => camera::find(*number).map_err(malformed)?,
            SourceSpec::Screen { part, .. } => drop(Screen::open(part).map_err(malformed)?),
            // The person is asked once, in the call.
            SourceSpec::TestCard { .. } | SourceSpec::Portal { .. } => {}
        }
    }
    if let MicrophoneSpec::Wav(_) = &config.microphone {
        Microphone::open(&config.microphone, now()).map_err(malformed)?;
    }
    Ok(())
}

/// Forgets the key remembered for `target`, where the person said so: the one met next is remembered instead.
fn forget_key(options: &Options, target: &str, confirmed: bool) -> Result<()> {
    if confirmed && !target.starts_with('@') {
        let target: Target = target.parse()?;
        KnownPeers::load(&data_folder(options)?)?.forget(&target.to_string())?;
    }
    Ok(())
}

/// A window's screenshot shows the call, not its end.
const SHOT_BEFORE_END: std::time::Duration = std::time::Duration::from_secs(1);

/// Writes and prints the report. A call that was asked for and did not go well is exit status 1.
fn conclude(options: &Options, report: Option<Report>, expected: bool) -> Result<bool> {
    let Some(report) = report else {
        if expected {
            eprintln!("no call came about");
        }
        return Ok(!expected);
    };
    if let Some(path) = &options.report {
        let json = serde_json::to_vec_pretty(&report)?;
        std::fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else if options.headless && report.seconds > 0.0 {
        println!("{}", report::table(&report));
    }
    let well = report.outcome == "ended";
    if !well && expected {
        eprintln!("{}", report.reason);
    }
    Ok(well || !expected)
}

/// Starts an engine. Where `fixed` is false a taken port is passed over for the next free one.
fn spawn_on_a_free_port(mut config: Config, redraw: &Redraw, fixed: bool) -> Result<Running> {
    /// Past the media range of the one before.
    const STEP: u16 = 110;
    let mut tries = if fixed { 0 } else { 16 };
    loop {
        match Engine::spawn(config.clone(), redraw.clone()) {
            Err(error) if error.kind == Kind::Refused && tries > 0 => {
                tries -= 1;
                config.base_port = config.base_port.saturating_add(STEP);
            }
            other => return Ok(other?),
        }
    }
}

fn list_devices(options: &Options) -> Result<bool> {
    let devices = AudioDevices::list(options.host);
    let names = |entries: &[engine::device::DeviceEntry]| -> Vec<String> {
        entries.iter().map(|entry| format!("{} ({})", entry.name, entry.host)).collect()
    };
    let kinds = [
        ("microphones", names(&devices.microphones)),
        ("loudspeakers", names(&devices.speakers)),
        ("cameras", VideoSource::list()),
    ];
    if options.json {
        let map: serde_json::Map<_, _> =
            kinds.into_iter().map(|(kind, names)| (kind.to_owned(), names.into())).collect();
        println!("{}", serde_json::to_string_pretty(&map)?);
        return Ok(true);
    }
    for (kind, names) in kinds {
        println!("{kind}:");
        if names.is_empty() {
            println!("  none");
        }
        names.iter().for_each(|name| println!("  {name}"));
    }
    Ok(true)
}

fn data_folder(options: &Options) -> Result<PathBuf> {
    if let Some(data) = &options.data {
        return Ok(data.clone());
    }
    let folders = directories::ProjectDirs::from("", "", "visavis")
        .context("this system names no data folder: use --data DIR")?;
    Ok(folders.data_dir().to_owned())
}

fn own_name() -> String {
    ["USER", "USERNAME"].iter().find_map(|name| std::env::var(name).ok()).unwrap_or_else(|| "Somebody".to_owned())
}
