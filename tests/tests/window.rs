//! The window itself, as the display shows it: both pictures and the controls.

use std::process::{Command, Stdio};
use std::time::Duration;

use engine::base::time::now;
use engine::media::marker::{Found, find_rgba};
use visavis_tests::display::{Display, Shot};
use visavis_tests::party::program;
use visavis_tests::skip::skip;

/// The hang-up button's red, in both moods of the window.
const DANGER: [[u8; 3]; 2] = [[0xe8, 0x4b, 0x50], [0xcf, 0x2f, 0x36]];

/// The bar with the controls is this high.
const BAR: u32 = 76;

#[test]
fn the_window_shows_both_pictures_and_the_controls() {
    let Ok(display) = Display::start(1280, 800) else {
        return skip("the_window_shows_both_pictures_and_the_controls", "no Xvfb");
    };
    let folder = tempfile::tempdir().expect("a folder");
    let mut demo = Command::new(program().expect("built"))
        .args(["demo", "--for", "20"])
        .current_dir(folder.path())
        .env("DISPLAY", display.name())
        .env_remove("WAYLAND_DISPLAY")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let until = now() + Duration::from_secs(15);
    let complete = |shot: &Shot| markers(shot).len() == 2 && has_controls(shot);
    let mut shot = display.shot().expect("a shot");
    assert!(!complete(&shot), "an empty display has neither");
    while !complete(&shot) && now() < until {
        // The display tells nobody that it shows something else.
        std::thread::sleep(Duration::from_millis(100));
        shot = display.shot().expect("a shot");
    }
    let counter = |shot: &Shot| markers(shot).first().map(|found| found.marker.counter);
    let first = counter(&shot);
    let mut goes_on = false;
    while !goes_on && now() < until {
        std::thread::sleep(Duration::from_millis(100));
        let later = counter(&display.shot().expect("a shot"));
        goes_on = later.is_some() && later > first;
    }
    demo.kill().expect("runs");
    demo.wait().expect("ends");

    let [remote, local] = &markers(&shot)[..] else { panic!("{:?}", markers(&shot)) };
    assert!(remote.width > 2.0 * local.width, "the other side is the larger one: {remote:?} {local:?}");
    assert!(has_controls(&shot), "no controls");
    // The same picture without its lowest part has both markers, and the search finds no controls in it.
    let mut cut = shot.clone();
    cut.height -= BAR;
    cut.rgba.truncate(cut.width as usize * cut.height as usize * 4);
    assert_eq!(markers(&cut).len(), 2);
    assert!(!has_controls(&cut), "what was taken for controls is something else");
    assert!(goes_on, "the picture stands still");
}

/// The larger first.
fn markers(shot: &Shot) -> Vec<Found> {
    let mut found = find_rgba(&shot.rgba, shot.width as usize * 4, shot.width, shot.height);
    found.sort_by(|one, other| other.width.total_cmp(&one.width));
    found
}

/// A button in the colour that ends a call, in the lowest bar: at least a 24th of the bar's square.
fn has_controls(shot: &Shot) -> bool {
    let bar = &shot.rgba[(shot.height - BAR) as usize * shot.width as usize * 4..];
    let red = bar.as_chunks::<4>().0.iter().filter(|[r, g, b, _]| DANGER.contains(&[*r, *g, *b])).count();
    red >= (BAR * BAR / 24) as usize
}
