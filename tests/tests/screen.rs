//! The screen and single windows, captured from a display of our own.

use std::time::Duration;

use engine::base::error::Kind;
use engine::base::time::now;
use engine::media::video::{CapturedPicture, Picture};
use engine::source::screen::{Part, Screen};
use visavis_tests::display::Display;
use visavis_tests::skip::skip;
use x11rb::COPY_DEPTH_FROM_PARENT;
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{
    AtomEnum, ConfigureWindowAux, ConnectionExt as _, CreateWindowAux, PropMode, Window, WindowClass,
};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

const RED: u32 = 0x00ff_0000;
const BLUE: u32 = 0x0000_00ff;

/// A program with windows.
struct Program {
    connection: RustConnection,
    root: Window,
}

impl Program {
    fn new(display: &Display) -> Self {
        let (connection, screen) = RustConnection::connect(Some(display.name())).expect("a display");
        let root = connection.setup().roots[screen].root;
        Self { connection, root }
    }

    fn window(&self, title: &str, (x, y): (i16, i16), (width, height): (u16, u16), colour: u32) -> Window {
        let window = self.connection.generate_id().expect("a number");
        let look = CreateWindowAux::new().background_pixel(colour).override_redirect(1);
        let (class, depth) = (WindowClass::INPUT_OUTPUT, COPY_DEPTH_FROM_PARENT);
        let made = self.connection.create_window(depth, window, self.root, x, y, width, height, 0, class, 0, &look);
        made.expect("sent").check().expect("made");
        let (name, string) = (AtomEnum::WM_NAME, AtomEnum::STRING);
        let named = self.connection.change_property8(PropMode::REPLACE, window, name, string, title.as_bytes());
        named.expect("sent").check().expect("named");
        self.show(window);
        window
    }

    fn show(&self, window: Window) {
        self.connection.map_window(window).expect("sent").check().expect("shown");
    }

    fn hide(&self, window: Window) {
        self.connection.unmap_window(window).expect("sent").check().expect("hidden");
    }

    fn resize(&self, window: Window, width: u32, height: u32) {
        let size = ConfigureWindowAux::new().width(width).height(height);
        self.connection.configure_window(window, &size).expect("sent").check().expect("resized");
    }

    fn paint(&self, window: Window, colour: u32) {
        let look = x11rb::protocol::xproto::ChangeWindowAttributesAux::new().background_pixel(colour);
        self.connection.change_window_attributes(window, &look).expect("sent").check().expect("changed");
        self.connection.clear_area(false, window, 0, 0, 0, 0).expect("sent").check().expect("painted");
    }
}

/// The next picture that `wanted` says yes to.
fn next(screen: &mut Screen, what: &str, wanted: impl Fn(&Picture) -> bool) -> CapturedPicture {
    let deadline = now() + Duration::from_secs(20);
    loop {
        assert!(now() < deadline, "{what}: no such picture");
        if let Some(captured) = screen.capture(now()).expect(what)
            && wanted(&captured.picture)
        {
            return captured;
        }
    }
}

/// The middle's colour, as red and blue differ in the picture.
fn is(picture: &Picture, colour: u32) -> bool {
    let at = (picture.height / 4 * picture.chroma_size().0 + picture.chroma_size().0 / 4) as usize;
    let (blue, red) = (picture.u[at], picture.v[at]);
    if colour == RED { red > 200 && blue < 128 } else { blue > 200 && red < 128 }
}

#[test]
fn a_window_is_captured_covered_resized_hidden_and_until_it_is_closed() {
    const NAME: &str = "a_window_is_captured_covered_resized_hidden_and_until_it_is_closed";
    let Ok(display) = Display::start(640, 480) else { return skip(NAME, "no Xvfb") };
    let program = Program::new(&display);
    let window = program.window("Notes: today", (100, 50), (201, 101), RED);
    program.window("Above", (0, 0), (640, 480), BLUE);
    let open = |which: &str| Screen::open_on(Some(display.name()), &Part::Window(which.to_owned()));
    let number = format!("{window:#x}");
    for which in ["Notes: today", "notes", &number] {
        assert_eq!(open(which).expect(which).size(), (200, 100));
    }
    let mut screen = open("notes").expect("by a part of its title");
    let first = next(&mut screen, "covered by another", |_| true);
    assert!(is(&first.picture, RED), "what covers it is not in the picture");
    assert!(screen.capture(now()).expect("the same").is_none(), "nothing has changed");
    program.paint(window, BLUE);
    next(&mut screen, "painted", |picture| is(picture, BLUE));
    program.resize(window, 322, 140);
    next(&mut screen, "resized", |picture| (picture.width, picture.height) == (322, 140));
    program.hide(window);
    let mut looks = 0;
    while screen.capture(now()).expect("hidden is not gone").is_some() {
        looks += 1;
        assert!(looks < 100, "a hidden window goes on giving pictures");
    }
    program.show(window);
    program.paint(window, RED);
    next(&mut screen, "shown again", |picture| is(picture, RED));
    program.resize(window, 1, 1);
    next(&mut screen, "as small as can be", |picture| (picture.width, picture.height) == (1, 1));
    program.connection.destroy_window(window).expect("sent").check().expect("closed");
    let error = screen.capture(now()).expect_err("closed");
    assert_eq!((error.kind, error.text.as_ref()), (Kind::Reopen, "the window Notes: today was closed"));
    let error = open("notes").expect_err("closed");
    assert_eq!(error.kind, Kind::Gone);
    assert_eq!(error.text, "no window with \"notes\" in its title; there are: Above");
}

#[test]
fn the_pointer_is_in_the_picture_and_a_screen_that_stands_still_gives_none() {
    const NAME: &str = "the_pointer_is_in_the_picture_and_a_screen_that_stands_still_gives_none";
    let Ok(display) = Display::start(320, 240) else { return skip(NAME, "no Xvfb") };
    let program = Program::new(&display);
    program.window("Ground", (0, 0), (320, 240), RED);
    let move_to = |x: i16, y: i16| {
        let (none, root) = (x11rb::NONE, program.root);
        program.connection.warp_pointer(none, root, 0, 0, 0, 0, x, y).expect("sent").check().expect("moved");
    };
    move_to(300, 200);
    let mut screen = Screen::open_on(Some(display.name()), &Part::Monitor(None)).expect("opens");
    let first = next(&mut screen, "with the pointer on the right", |_| true).picture;
    assert!(screen.capture(now()).expect("the same").is_none(), "nothing has changed");
    move_to(60, 60);
    let second = next(&mut screen, "with the pointer on the left", |_| true).picture;
    let differs = |x: std::ops::Range<usize>, y: std::ops::Range<usize>| {
        y.flat_map(|y| x.clone().map(move |x| y * 320 + x)).filter(|at| first.y[*at] != second.y[*at]).count()
    };
    assert!(differs(40..90, 40..90) > 20, "where it is");
    assert!(differs(280..320, 180..240) > 20, "where it was");
    assert_eq!(differs(120..260, 0..240), 0, "nowhere else");
}
