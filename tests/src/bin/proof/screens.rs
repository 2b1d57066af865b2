//! A screen with text on it, in whole calls.

use std::path::Path;
use std::time::Duration;

use engine::base::time::{Instant, WallTime, now};
use engine::media::marker::Marker;
use engine::media::report::Report;
use engine::media::video::Picture;
use engine::source::file::y4m::Y4mReader;
use visavis_tests::Outcome;
use visavis_tests::display::Display;
use visavis_tests::party::{Party, Setup};
use visavis_tests::text::{Reader, legible, page};

use crate::table::Table;

const SIZE: (u32, u32) = (1280, 720);
/// As a person scrolls: lines a second.
const SCROLL: u32 = 15;

pub fn text(table: &mut Table) -> Outcome<()> {
    still(table)?;
    changes(table)?;
    for kbps in [1000, 2500] {
        scroll(table, kbps)?;
    }
    Ok(())
}

/// What a page costs on which nothing happens: what a longer call sends more than a shorter one.
fn still(table: &mut Table) -> Outcome<()> {
    let mut bits = Vec::new();
    for seconds in [10.0, 40.0] {
        let screen = Screen::new()?;
        screen.show(0, 0)?;
        let [caller, _] = screen.call(seconds, 2500, None, |_| Ok(()))?;
        bits.push(caller.video.bitrate_bps.unwrap_or_default() as f64 * caller.seconds);
    }
    let rate = (bits[1] - bits[0]).max(0.0) / 30.0 / 1000.0;
    table.at_most("a page that stands still, of 30 s the bits", Some(rate), 15.0, "kbit/s");
    Ok(())
}

/// Something changes on a page that stood still for a second or two.
fn changes(table: &mut Table) -> Outcome<()> {
    let screen = Screen::new()?;
    // The page itself is there before anybody calls: its marker would be as old as that.
    let mut blank = page(SIZE.0, SIZE.1, 0, Marker { counter: 0, drawn: WallTime::of(now()) });
    blank.y.fill(235);
    screen.reader.show(&blank)?;
    let mut counter = 0;
    let [_, callee] = screen.call(20.0, 2500, None, |until| {
        while now() < until {
            // Not in step with the pictures.
            std::thread::sleep(Duration::from_millis(1370 + u64::from(counter) * 7));
            counter += 1;
            screen.show(0, counter)?;
        }
        Ok(())
    })?;
    let glass = callee.video.glass_to_glass_ms;
    table.at_least("changes of a page seen on the other side", glass.map(|glass| glass.n as f64), 10.0, "");
    table.goal("changed to presented p50", glass.map(|glass| glass.p50), "", "ms");
    table.at_most("changed to presented at most", glass.map(|glass| glass.max), 100.0, "ms");
    Ok(())
}

/// The page is scrolled; at most two seconds after that the call ends, and what was shown last is read.
fn scroll(table: &mut Table, kbps: u32) -> Outcome<()> {
    const SECONDS: f64 = 10.0;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let seen = folder.path().join("seen.y4m");
    let screen = Screen::new()?;
    screen.show(0, 0)?;
    let (mut line, mut scrolled) = (0, now());
    let reports = screen.call(SECONDS, kbps, Some(&seen), |until| {
        let end = until - Duration::from_millis(1900);
        while now() < end {
            std::thread::sleep(Duration::from_secs(1) / SCROLL);
            line += 1;
            screen.show(line, line as u32)?;
            scrolled = now();
        }
        Ok(())
    })?;
    let rest = (now() - scrolled).as_secs_f64();
    let row = |text: &str| format!("{kbps} kbit/s: {text}");
    table.at_most(&row("after the scroll the call ends within"), Some(rest), 2.0, "s");
    let last = last_picture(&seen)?;
    let share = if (last.width, last.height) == SIZE { legible(&last, line) * 100.0 } else { 0.0 };
    table.at_least(&row("letters of 7 × 5 pixels that can be read then"), Some(share), 95.0, "%");
    table.goal(&row("pictures while it scrolled"), Some(reports[1].video.frames_presented as f64), "", "");
    Ok(())
}

fn last_picture(path: &Path) -> Outcome<Picture> {
    let mut reader = Y4mReader::open(path).map_err(|error| error.text.to_string())?;
    let length = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    let (mut picture, one) = (Picture::default(), u64::from(SIZE.0 * SIZE.1 * 3 / 2));
    for _ in 0..length / one {
        reader.read(&mut picture).map_err(|error| error.text.to_string())?;
    }
    Ok(picture)
}

/// A display with a page on it.
struct Screen {
    display: Display,
    reader: Reader,
}

impl Screen {
    fn new() -> Outcome<Self> {
        let display = Display::start(SIZE.0, SIZE.1)?;
        let reader = Reader::open(&display, SIZE.0, SIZE.1)?;
        Ok(Self { display, reader })
    }

    fn show(&self, line: usize, counter: u32) -> Outcome<()> {
        self.reader.show(&page(SIZE.0, SIZE.1, line, Marker { counter, drawn: WallTime::of(now()) }))
    }

    /// Sends the screen for so long; meanwhile `work` goes on until about the end. The caller's report and the callee's.
    fn call(
        &self,
        seconds: f64,
        kbps: u32,
        record: Option<&Path>,
        work: impl FnOnce(Instant) -> Outcome<()>,
    ) -> Outcome<[Report; 2]> {
        let silent = "--mic none --speaker none";
        let record = record.map_or(String::new(), |path| format!(" --record-video {}", path.display()));
        let callee = Setup::new("Ben", &format!("--once --video none {silent}{record}"));
        let callee = Party::listen(&callee)?;
        let caller = format!("--for {seconds} --video screen --max-bitrate {} {silent}", kbps * 1000);
        let mut caller = Party::call_to(&Setup::new("Ada", &caller).with_env(&self.display.env()), &callee)?;
        caller.wait_for("in call with", Duration::from_secs(20))?;
        work(now() + Duration::from_secs_f64(seconds))?;
        let caller = caller.finish(Duration::from_secs_f64(seconds + 40.0))?.ended()?;
        Ok([caller, callee.finish(Duration::from_secs(10))?.ended()?])
    }
}
