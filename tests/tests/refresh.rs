//! What a display tells of its refreshes, which pictures are timed by.

use std::time::Duration;

use engine::base::time::now;
use engine::render::refresh::RefreshWatcher;
use visavis_tests::display::Display;
use visavis_tests::skip::skip;
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{ConnectionExt, CreateWindowAux, WindowClass};
use x11rb::rust_connection::RustConnection;

#[test]
fn a_display_tells_when_it_is_refreshed() {
    let Ok(display) = Display::start(640, 400) else {
        return skip("a_display_tells_when_it_is_refreshed", "no Xvfb");
    };
    let (connection, screen) = RustConnection::connect(Some(display.name())).expect("a display");
    let window = connection.generate_id().expect("a number");
    let screen = &connection.setup().roots[screen];
    let class = WindowClass::INPUT_OUTPUT;
    let (depth, root, visual) = (screen.root_depth, screen.root, screen.root_visual);
    let made =
        connection.create_window(depth, window, root, 0, 0, 64, 64, 0, class, visual, &CreateWindowAux::default());
    made.expect("sent").check().expect("a window");
    connection.map_window(window).expect("sent").check().expect("shown");

    let mut watcher = RefreshWatcher::open(Some(display.name()), window).expect("it tells of refreshes");
    assert_eq!(watcher.after(now()), None, "nothing was told yet");
    let deadline = now() + Duration::from_secs(30);
    let mut refresh = None;
    while refresh.is_none() {
        assert!(now() < deadline, "nothing is told");
        // A window looks when it draws.
        std::thread::sleep(Duration::from_millis(20));
        refresh = watcher.after(now());
    }
    let refresh = refresh.expect("known");
    // Xvfb has sixty of them a second.
    assert!(refresh.period.abs_diff(Duration::from_micros(16_667)) < Duration::from_millis(1), "{refresh:?}");
    assert!(refresh.early <= refresh.period, "{refresh:?}");

    assert!(RefreshWatcher::open(Some(":9999"), window).is_none(), "there is no such display");
    assert!(RefreshWatcher::open(Some(display.name()), u32::MAX >> 3).is_none(), "there is no such window");
}
