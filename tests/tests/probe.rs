//! The probe against delays that are known, and against nothing.

use std::fs::{self, File};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use engine::base::time::{WallTime, now};
use engine::media::marker::Marker;
use engine::source::screen::{Part, Screen};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use visavis_app::pulse::Pulse;
use visavis_tests::display::Display;
use visavis_tests::party::{Party, Setup, program};
use visavis_tests::probe::{known_copy, known_loop, probe, see};
use visavis_tests::skip::skip;
use visavis_tests::text::{Reader, page};

/// The exit status and the lines on the standard error.
fn ended(output: &Output) -> (Option<i32>, Vec<String>) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).lines().map(str::to_owned).collect())
}

fn has_pulse() -> bool {
    Command::new("pulseaudio").arg("--version").stdout(Stdio::null()).status().is_ok()
}

#[test]
fn a_known_delay_of_sound_is_measured() {
    if !has_pulse() {
        return skip("a_known_delay_of_sound_is_measured", "no PulseAudio");
    }
    let known = known_loop(100, 5).expect("measured");
    assert!((known.measured() - 100.0).abs() <= 3.0, "{known:?}");
}

#[test]
fn sound_that_goes_nowhere_is_null_and_one_line() {
    if !has_pulse() {
        return skip("sound_that_goes_nowhere_is_null_and_one_line", "no PulseAudio");
    }
    let pulse = Pulse::start().expect("runs");
    let output = probe("audio --out mouth --in listen --for 5 --json", &pulse.env()).expect("runs");
    let (status, lines) = ended(&output);
    assert_eq!((status, lines.len()), (Some(1), 1), "{lines:?}");
    assert!(lines[0].contains("no chirp of mouth was heard on listen within 5 s: check"), "{lines:?}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&report["delay_ms"], &report["spoilt"]), (&Value::Null, &Value::from(0)));
    // Two a second in the two seconds after the start: lost ones were played. What nobody plays to gives its sound in pieces of
    // up to a second, and what was played since the last one may still be heard.
    assert!(report["played"].as_u64().is_some_and(|played| (1..=4).contains(&played)), "{report}");
    // The same with a way between the two, cut short: what was heard so far is shown.
    let folder = tempfile::tempdir().expect("a folder");
    let [report, progress] = ["report.json", "progress"].map(|name| folder.path().join(name));
    let mut child = Command::new(program().expect("built"))
        .args(["probe", "audio", "--out", "mouth", "--in", "microphone", "--count", "100000", "--progress", "--report"])
        .arg(&report)
        .envs(pulse.env())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(&progress).expect("writable"))
        .spawn()
        .expect("starts");
    let said = || fs::read_to_string(&progress).expect("text");
    // Three seconds until it counts, and two a second from then on.
    wait_until(Duration::from_secs(30), || said().lines().filter_map(chirps).any(|chirps| chirps >= 3));
    kill_process(Pid::from_child(&child), Signal::INT).expect("runs");
    wait_until(Duration::from_secs(5), || child.try_wait().expect("a child").is_some());
    let output = child.wait_with_output().expect("ends");
    assert_eq!(output.status.code(), Some(0));
    assert!(said().lines().all(|line| chirps(line).is_some()), "{}", said());
    assert!(String::from_utf8_lossy(&output.stdout).contains("chirps"));
    let report: Value = serde_json::from_slice(&fs::read(report).expect("written")).expect("JSON");
    let (heard, played) = (report["delay_ms"]["n"].as_u64(), report["played"].as_u64());
    assert!(heard.is_some_and(|n| n >= 3) && played >= heard, "{report}");
}

/// How many were heard, as a line of progress says.
fn chirps(line: &str) -> Option<u64> {
    line.split_once(" of 100000 chirps")?.0.parse().ok()
}

fn wait_until(patience: Duration, mut is_it: impl FnMut() -> bool) {
    let until = now() + patience;
    while !is_it() {
        assert!(now() < until, "not within {patience:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_is_not_there_is_wrong_use() {
    let pulse = has_pulse().then(|| Pulse::start().expect("runs"));
    let env = pulse.as_ref().map(Pulse::env).unwrap_or_default();
    let mut cases = vec![
        ("video --source camera:4000000", "no camera /dev/video4000000; visavis devices lists those there are"),
        ("video --source file:nothing.y4m", "cannot open nothing.y4m"),
    ];
    if pulse.is_some() {
        cases.push(("audio --out trumpet --in listen", "no loudspeaker named trumpet; there are: "));
        cases.push(("audio --out mouth --in trumpet", "no microphone named trumpet; there are: "));
    }
    for (args, text) in cases {
        let (status, lines) = ended(&probe(args, &env).expect("runs"));
        assert_eq!((status, lines.len()), (Some(2), 1), "{args}: {lines:?}");
        assert!(lines[0].contains(text), "{args}: {lines:?}");
    }
    for args in ["audio --out mouth", "video", "video --source tv", "audio --out a --in b --count 0"] {
        assert_eq!(ended(&probe(args, &env).expect("runs")).0, Some(2), "{args}");
    }
}

#[test]
fn the_own_window_is_seen_and_told_from_a_late_copy() {
    let Ok(display) = Display::start(1920, 600) else {
        return skip("the_own_window_is_seen_and_told_from_a_late_copy", "no Xvfb");
    };
    let alone = see(&display, "--for 4").expect("seen");
    let own = alone.own_ms.expect("the window is on the screen");
    assert!(own.n >= 30 && alone.distinct >= own.n && alone.pictures >= own.n, "{alone:?}");
    assert!(own.p50 > 0.0 && own.p50 < 100.0, "{own:?}");
    assert_eq!((alone.delay_ms, alone.places.len()), (None, 0), "there is no copy");

    let copied = known_copy(Duration::from_millis(200), 60).expect("seen");
    let (late, own) = (copied.delay_ms.expect("a copy"), copied.own_ms.expect("the window"));
    assert!(late.n >= 60 && copied.places.len() == 1, "{copied:?}");
    // The mirror looks each 10 ms, and takes some to draw, on a busy machine more.
    let over = late.p50 - own.p50;
    assert!((195.0..260.0).contains(&over), "{copied:?}");
}

#[test]
fn a_call_carries_the_screen() {
    let Ok(display) = Display::start(641, 360) else {
        return skip("a_call_carries_the_screen", "no Xvfb");
    };
    let blind = "--mic none --speaker none";
    let callee = Setup::new("Ben", &format!("--once --video none {blind}"));
    let callee = Party::listen(&callee).expect("listens");
    let caller = Setup::new("Ada", &format!("--for 3 --video screen {blind}")).with_env(&display.env());
    let caller = Party::call_to(&caller, &callee).expect("calls");
    // A screen on which nothing changes gives no pictures.
    let reader = Reader::open(&display, 640, 360).expect("shows itself");
    for counter in 0..40 {
        let above = Marker { counter, drawn: WallTime::of(now()) };
        reader.show(&page(640, 360, counter as usize, above)).expect("shows a page");
        std::thread::sleep(Duration::from_millis(50));
    }
    let soon = Duration::from_secs(20);
    let sent = caller.finish(soon).expect("ends").ended().expect("went well").video;
    let received = callee.finish(soon).expect("ends").ended().expect("went well").video;
    assert!((15..=90).contains(&sent.frames_captured), "{sent:?}");
    assert_eq!((received.width, received.height), (Some(640), Some(360)), "{received:?}");
    assert!(received.frames_decoded >= 10, "{received:?}");
}

#[test]
fn markers_of_others_are_not_taken_for_ours() {
    let Ok(display) = Display::start(1280, 800) else {
        return skip("markers_of_others_are_not_taken_for_ours", "no Xvfb");
    };
    // A card of its own: full of markers, and none that this window has painted.
    let output = probe("video --source testcard --for 2 --json", &display.env()).expect("runs");
    let (status, lines) = ended(&output);
    assert_eq!((status, lines.len()), (Some(1), 1), "{lines:?}");
    assert!(lines[0].starts_with("no marker of the probe was seen in "), "{lines:?}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(report["pictures"].as_u64().is_some_and(|n| n > 10), "{report}");
    assert_eq!((&report["delay_ms"], &report["own_ms"]), (&Value::Null, &Value::Null));
}

#[test]
fn without_a_display_one_line_says_so() {
    let env = ["DISPLAY", "WAYLAND_DISPLAY", "WAYLAND_SOCKET"].map(|key| (key.to_owned(), String::new()));
    for source in ["screen", "testcard"] {
        let (status, lines) = ended(&probe(&format!("video --source {source} --for 1"), &env).expect("runs"));
        assert_eq!((status, lines.len()), (Some(1), 1), "{lines:?}");
        assert!(lines[0].contains("display"), "{lines:?}");
    }
}

#[test]
fn a_screen_is_captured_as_the_display_shows_it_with_shared_memory_and_without() {
    const NAME: &str = "a_screen_is_captured_as_the_display_shows_it_with_shared_memory_and_without";
    for (more, shares) in [(&[][..], true), (&["-extension", "MIT-SHM"][..], false)] {
        // The pattern that a server without -br begins with has both black and white.
        let Ok(display) = Display::start_with(641, 361, &[more, &["-retro"]].concat()) else {
            return skip(NAME, "no Xvfb");
        };
        let mut screen = Screen::open_on(Some(display.name()), &Part::Monitor(None)).expect("opens");
        assert_eq!((screen.shares_memory(), screen.size()), (shares, (640, 360)));
        let captured = screen.capture(now()).expect("captured").expect("the first");
        let shot = display.shot().expect("a shot");
        let picture = &captured.picture;
        let darkest = picture.y.iter().copied().min();
        let brightest = picture.y.iter().copied().max();
        assert!(darkest.is_some_and(|y| y < 120) && brightest.is_some_and(|y| y > 130), "{darkest:?} {brightest:?}");
        let mean = |values: &mut dyn Iterator<Item = u8>| {
            let (sum, count) = values.fold((0u64, 0u64), |(sum, count), value| (sum + u64::from(value), count + 1));
            sum as f64 / count as f64
        };
        let grey = mean(&mut shot.rgba.as_chunks::<4>().0.iter().map(|pixel| pixel[1]));
        let luma = mean(&mut picture.y.iter().copied());
        assert!((luma - 16.0 - grey * 219.0 / 255.0).abs() < 2.0, "{luma} {grey}");
        let error = Screen::open_on(Some(display.name()), &Part::Monitor(Some(7))).expect_err("one monitor");
        assert_eq!(error.text, "no screen 7; there are: screen (all), screen:0");
        assert!(Screen::open_on(Some(display.name()), &Part::Monitor(Some(0))).is_ok());
    }
}
