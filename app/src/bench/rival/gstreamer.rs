//! GStreamer: a sending and a receiving pipeline with the encoder that we have as well. Pictures go in and come out through
//! pipes, which take time of their own: what they take by themselves is measured too.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command};

use anyhow::{Context, Result, bail};
use crossbeam_channel::Receiver;
use engine::base::pipe::{PipeReceiver, pipe};
use engine::base::time::{Duration, Instant, WallTime, now};
use engine::media::marker;
use engine::source::testcard::TestCard;

use super::chromium::Watched;
use super::process::{Guarded, is_installed, pause};
use super::results::{Comparison, Part, Round, Row, WARM};
use super::{LENGTH, SPARE, Settings, own, table};
use crate::markers::Seen;

/// What was found of it.
#[derive(Clone, Debug)]
pub struct Gstreamer {
    /// Name and number of the version: "GStreamer 1.22.0".
    pub version: String,
}

/// What pictures pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Between {
    /// Encoder, RTP over the loopback interface, jitter buffer without delay, decoder.
    Call,
    /// Nothing: from one pipe to the other.
    Nothing,
}

const SIZE: (u32, u32) = (1280, 720);
const RATE: f32 = 30.0;
/// Luma and both chroma planes.
const BYTES: usize = (SIZE.0 * SIZE.1 * 3 / 2) as usize;
/// As ours: one thread, the least effort, the bitrate held, keyframes on demand only.
const ENCODER: &str =
    "openh264enc bitrate=2500000 rate-control=bitrate complexity=low multi-thread=1 gop-size=3000 usage-type=camera";
/// Starting the two takes about a second.
const START: Duration = Duration::from_secs(20);
/// Pictures come thirty times a second.
const SILENCE: Duration = Duration::from_secs(5);
/// Pictures that were read and not looked at yet.
const SEEN: usize = 64;

impl Gstreamer {
    /// `None`: it is not here.
    ///
    /// # Errors
    /// It is, and does not say its version.
    pub fn meet(folder: &Path, stop: &Receiver<()>) -> Result<Option<Self>> {
        if !is_installed("gst-launch-1.0") || !is_installed("gst-inspect-1.0") {
            return Ok(None);
        }
        let ask = |what: &str| {
            let mut command = Command::new("gst-inspect-1.0");
            command.arg(what);
            let mut asked = Guarded::start("GStreamer", command, folder)?;
            asked.finish(START, stop)?;
            Ok::<_, anyhow::Error>(asked.said())
        };
        // Parts of it are packages of their own.
        for part in ["openh264enc", "openh264dec", "rtph264pay", "rtpjitterbuffer", "rawvideoparse"] {
            if ask(part).is_err() {
                return Ok(None);
            }
        }
        let said = ask("--version")?;
        let version = said.lines().find(|line| line.starts_with("GStreamer ")).context("it says no version")?;
        Ok(Some(Self { version: version.to_owned() }))
    }

    /// Our own card through it for `time` from the first picture that came out.
    ///
    /// # Errors
    /// It does not start, no picture comes, or `stop` was told.
    pub fn watch(&self, between: Between, time: Duration, folder: &Path, stop: &Receiver<()>) -> Result<Watched> {
        let (programs, input, output) = start(between, folder)?;
        let (tell, seen) = pipe(SEEN);
        let look = move || look(output, |picture| tell.try_send(picture).is_ok());
        let looker = std::thread::Builder::new().name("pictures out".into()).spawn(look).context("no thread")?;
        let painter =
            std::thread::Builder::new().name("pictures in".into()).spawn(|| paint(input)).context("no thread")?;
        let watched = collect(&seen, time, stop);
        // Without their pipes both come to an end.
        drop(programs);
        drop(seen);
        let (_, _) = (looker.join(), painter.join());
        watched
    }
}

fn collect(seen: &PipeReceiver<Seen>, time: Duration, stop: &Receiver<()>) -> Result<Watched> {
    let mut watched = Watched { codec: Some("video/H264".to_owned()), size: Some(SIZE), ..Default::default() };
    let mut last = now();
    loop {
        while let Some(picture) = seen.try_recv() {
            watched.seen.push(picture);
            last = now();
        }
        let span = watched.seen.first().zip(watched.seen.last());
        if span.is_some_and(|(first, last)| last.painted.micros_since(first.painted) >= time.as_micros() as i64) {
            return Ok(watched);
        }
        let patience = if watched.seen.is_empty() { START } else { SILENCE };
        if now().saturating_duration_since(last) > patience {
            bail!("GStreamer shows no pictures for {} s", patience.as_secs());
        }
        pause(stop)?;
    }
}

/// The pipelines, the pipe into the first and the one out of the last.
fn start(between: Between, folder: &Path) -> Result<(Vec<Guarded>, ChildStdin, ChildStdout)> {
    let (width, height) = SIZE;
    let raw = format!(
        "fdsrc fd=0 blocksize={BYTES} do-timestamp=true ! rawvideoparse width={width} height={height} format=i420 \
         framerate={RATE:.0}/1"
    );
    let out = "fdsink fd=1 sync=false";
    if between == Between::Nothing {
        let (program, input, output) = Guarded::pass("GStreamer", launch(&format!("{raw} ! {out}")), folder)?;
        return Ok((vec![program], input, output));
    }
    let port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr())?.port();
    let receive = format!(
        "udpsrc address=127.0.0.1 port={port} buffer-size=2000000 \
         caps=application/x-rtp,media=video,clock-rate=90000,encoding-name=H264,payload=96 ! \
         rtpjitterbuffer latency=0 ! rtph264depay ! openh264dec ! {out}"
    );
    let send = format!(
        "{raw} ! {ENCODER} ! rtph264pay config-interval=-1 mtu=1200 aggregate-mode=zero-latency pt=96 ! \
         udpsink host=127.0.0.1 port={port} sync=false async=false"
    );
    let (receiver, output) = Guarded::drain("GStreamer's receiver", launch(&receive), folder)?;
    let (sender, input) = Guarded::feed("GStreamer's sender", launch(&send), folder)?;
    Ok((vec![sender, receiver], input, output))
}

fn launch(pipeline: &str) -> Command {
    let mut command = Command::new("gst-launch-1.0");
    command.arg("-q").args(pipeline.split_whitespace());
    command
}

/// Paints and writes until nobody reads any more.
fn paint(mut to: ChildStdin) {
    let mut card = TestCard::new(SIZE.0, SIZE.1, RATE);
    let (began, period) = (now(), Duration::from_secs_f32(1.0 / RATE));
    for turn in 0u32.. {
        let due = began + period * turn;
        std::thread::sleep(due.saturating_duration_since(now()));
        let drawn = card.draw(now());
        let planes = [&drawn.picture.y, &drawn.picture.u, &drawn.picture.v];
        if planes.into_iter().any(|plane| to.write_all(plane).is_err()) {
            return;
        }
    }
}

/// Reads pictures until there are none any more, or nobody takes them.
fn look(mut from: ChildStdout, mut take: impl FnMut(Seen) -> bool) {
    let mut picture = vec![0; BYTES];
    let (width, height) = SIZE;
    while from.read_exact(&mut picture).is_ok() {
        let handed: Instant = now();
        let luma = &picture[..(width * height) as usize];
        let Some(marker) = marker::read(luma, width as usize, width, height) else { continue };
        let (counter, painted) = (marker.counter, marker.drawn);
        if !take(Seen { counter, painted, handed: WallTime::of(handed), drawn: None }) {
            return;
        }
    }
}

/// Calls of ours and of GStreamer's in turns, pictures alone. What the pipes take by themselves (their median) is taken off
/// GStreamer's delays, and stands beside them. `None`: it is not here.
///
/// # Errors
/// As [`Gstreamer::watch`], and what our own call gives.
pub fn compare(settings: Settings, rounds: u32, stop: &Receiver<()>) -> Result<Option<Comparison>> {
    if settings.path.is_some() {
        bail!(
            "--impair is for calls of both with a jitter buffer each: GStreamer's are measured on the machine's own path"
        );
    }
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let folder = folder.path();
    let Some(gstreamer) = Gstreamer::meet(folder, stop)? else { return Ok(None) };
    let length = settings.length.unwrap_or(LENGTH);
    let bare = Round::of_pictures(gstreamer.watch(Between::Nothing, WARM + BARE, folder, stop)?, BARE);
    let pipes = Row::new("its pipes alone", std::slice::from_ref(&bare));
    let taken = pipes.delay_ms.map_or(0.0, |delay| delay.p50) as f32;
    let (mut own, mut theirs) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let ours = Round::of_pictures(own::watch(WARM + length + SPARE, None, folder, stop)?, length);
        let mut other = Round::of_pictures(gstreamer.watch(Between::Call, WARM + length, folder, stop)?, length);
        other.delays.iter_mut().for_each(|delay| *delay -= taken);
        for (name, measured) in [("Visavis", &ours), (gstreamer.version.as_str(), &other)] {
            if !settings.json {
                println!("{}", table::line(&format!("{round} of {rounds}"), "picture", name, measured));
            }
        }
        own.push(ours);
        theirs.push(other);
    }
    let rows = vec![Row::new("Visavis", &own), Row::new(&gstreamer.version, &theirs)];
    Ok(Some(Comparison {
        picture: Some(Part::new(rows, Some(pipes))),
        settings: &SETTINGS,
        ..Comparison::new(&gstreamer.version, length, rounds)
    }))
}

/// The pipes by themselves need no long look.
const BARE: Duration = Duration::from_secs(4);

const SETTINGS: [&str; 4] = [
    "the same card, painted thirty times a second; H.264 by OpenH264 at 2500 kbit/s with the least effort, one thread",
    "rtpjitterbuffer latency=0, pictures put out as they are decoded; no clock and no screen waits for them",
    "pictures reach it and leave it through pipes: the median of what these take by themselves is taken off its delays",
    "ours from the painting until that which draws the picture has it, in two processes like the ones that people start",
];
