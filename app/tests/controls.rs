//! The controls as a person finds them: by name in the accessibility tree.

use std::sync::Arc;

use egui::{Rect, pos2, vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use engine::base::id::TileId;
use engine::base::time::{Duration, now};
use engine::handle::{Command, Notice};
use engine::layout::grid::{Rect as Area, Spacing};
use engine::layout::snapshot::{Busy, Controls, Party, Phase, Quality, TileView, ViewSnapshot};
use engine::media::switches::Switches;
use engine::proto::keys::PublicKey;
use engine::proto::lan::Neighbour;
use engine::proto::proxy::choice::ProxySetting;
use engine::render::draw::place_tiles;
use visavis_app::input;
use visavis_app::ui::network::Wish;
use visavis_app::ui::tiles::TilePlace;
use visavis_app::ui::{self, UiState, theme};

#[derive(Default)]
struct Stage {
    snapshot: ViewSnapshot,
    state: UiState,
    commands: Vec<Command>,
}

fn peer() -> String {
    "Ada Lovelace".to_owned()
}

fn in_call() -> Phase {
    Phase::InCall { peer: peer() }
}

fn stage(phase: Phase) -> Stage {
    let tile = |id, name: &str, party| TileView {
        id: TileId(id),
        name: name.to_owned(),
        party,
        picture: None,
        frame: 0,
        unit: None,
        quality: Quality::Fair,
        muted: true,
        camera_off: true,
        stands_still: false,
        too_narrow: false,
        level: 0.0,
        volume: 100,
        hushed: false,
    };
    let controls = Controls {
        microphones: vec!["Desk".to_owned(), "Headset".to_owned()],
        microphone: "Desk".to_owned(),
        speakers: vec!["Loud".to_owned()],
        cameras: vec!["Front".to_owned()],
        ..Default::default()
    };
    let tiles = vec![tile(1, "Ada Lovelace", Party::Remote), tile(2, "Robin", Party::Local)];
    let in_call_since = now().checked_sub(Duration::from_secs(75));
    let snapshot = ViewSnapshot { phase, tiles, controls, in_call_since, ..Default::default() };
    Stage { snapshot, ..Default::default() }
}

fn harness(stage: Stage, width: f32, height: f32, scale: f32) -> Harness<'static, Stage> {
    let draw = |ui: &mut egui::Ui, stage: &mut Stage| {
        let area = ui::video_area(ui.ctx().content_rect());
        let area = Area::new(area.left(), area.top(), area.width(), area.height());
        let places: Vec<TilePlace> = place_tiles(&stage.snapshot.tiles, area, Spacing::rounded(1.0))
            .iter()
            .map(|placed| TilePlace {
                rect: Rect::from_min_size(
                    pos2(placed.rect.x, placed.rect.y),
                    vec2(placed.rect.width, placed.rect.height),
                ),
                radius: placed.radius,
                has_picture: false,
            })
            .collect();
        stage.commands.extend(input::shortcuts(ui, &stage.snapshot, &mut stage.state));
        stage.commands.extend(ui::draw(ui, &stage.snapshot, &places, &mut stage.state, now()));
    };
    Harness::builder()
        .with_size(vec2(width, height))
        .with_pixels_per_point(scale)
        .with_context_setup(theme::install)
        .build_ui_state(draw, stage)
}

/// Clicks what is called `name` and answers the commands that came of it.
fn click(stage: Stage, name: &str) -> Vec<Command> {
    let mut harness = harness(stage, 1280.0, 800.0, 1.0);
    harness.run_steps(2);
    harness.get_by_label(name).click();
    harness.run_steps(2);
    harness.state().commands.clone()
}

fn phases() -> Vec<Phase> {
    vec![
        Phase::Idle,
        Phase::RingingOut { peer: peer() },
        Phase::RingingIn { peer: "A name that is much longer than any card is wide ".repeat(4), verified: false },
        Phase::Connecting { peer: peer() },
        in_call(),
        Phase::Reconnecting { peer: peer() },
        Phase::Ended {
            peer: peer(),
            outcome: "failed".to_owned(),
            reason: "A reason that goes on and on, because networks fail in long sentences. ".repeat(3),
        },
    ]
}

#[test]
fn each_control_of_a_call_is_found_by_name_and_does_what_it_says() {
    assert_eq!(click(stage(in_call()), "Mute microphone"), [Command::Mute(true)]);
    assert_eq!(click(stage(in_call()), "Turn camera off"), [Command::CameraOff(true)]);
    assert_eq!(click(stage(in_call()), "Hang up"), [Command::HangUp]);
    let mut off = stage(in_call());
    (off.snapshot.controls.muted, off.snapshot.controls.camera_off) = (true, true);
    assert_eq!(click(off, "Unmute microphone"), [Command::Mute(false)]);
    let mut off = stage(in_call());
    off.snapshot.controls.camera_off = true;
    assert_eq!(click(off, "Turn camera on"), [Command::CameraOff(false)]);
}

#[test]
fn devices_are_chosen_and_sound_is_switched_in_the_devices_panel() {
    for (name, command) in [
        ("Microphone: Headset", Command::Microphone(Some("Headset".to_owned()))),
        ("Microphone: System default", Command::Microphone(None)),
        ("Test tone", Command::TestTone),
        ("Speaker: Loud", Command::Speaker(Some("Loud".to_owned()))),
        ("Camera: Front", Command::Camera("Front".to_owned())),
    ] {
        let mut open = stage(in_call());
        open.state.devices_open = true;
        assert_eq!(click(open, name), [Command::CheckMicrophone(true), command]);
    }
    let mut open = stage(in_call());
    open.state.devices_open = true;
    let other = open.snapshot.tiles.iter().find(|tile| tile.party == Party::Remote).expect("somebody").id;
    assert_eq!(click(open, "Do not play"), [Command::CheckMicrophone(true), Command::Hush(other, true)]);
    let echo = Switches { echo: true, ..Switches::OFF };
    for (before, name, after) in [
        (echo, "Cancel echo", Switches::OFF),
        (echo, "Suppress noise", Switches { noise: true, ..echo }),
        (echo, "Keep my voice at one level", Switches { gain: true, ..echo }),
    ] {
        let mut open = stage(in_call());
        (open.state.devices_open, open.snapshot.controls.processing) = (true, before);
        assert_eq!(click(open, name), [Command::CheckMicrophone(true), Command::Processing(after)]);
    }
    for (before, after) in [("", Some("screen".to_owned())), ("screen", None)] {
        let mut open = stage(in_call());
        open.state.devices_open = true;
        open.snapshot.controls.shares = vec!["screen".to_owned()];
        before.clone_into(&mut open.snapshot.controls.shared);
        assert_eq!(click(open, "Share screen"), [Command::CheckMicrophone(true), Command::Share(after)]);
    }
    let mut open = stage(in_call());
    open.state.devices_open = true;
    open.snapshot.controls.shares = vec!["screen".to_owned(), "window:Notes: today".to_owned()];
    let share = Command::Share(Some("window:Notes: today".to_owned()));
    assert_eq!(click(open, "Share window Notes: today"), [Command::CheckMicrophone(true), share]);
    for motion in [false, true] {
        let mut open = stage(in_call());
        open.state.devices_open = true;
        open.snapshot.controls.shares = vec!["screen".to_owned()];
        open.snapshot.controls.screen_motion = motion;
        let switched = Command::ScreenMotion(!motion);
        assert_eq!(click(open, "Smooth instead of sharp"), [Command::CheckMicrophone(true), switched]);
    }
    let mut harness = harness(stage(in_call()), 640.0, 400.0, 1.0);
    harness.get_by_label("Devices").click();
    harness.run_steps(2);
    assert!(harness.state().state.devices_open);
    harness.get_by_label("Devices").click();
    harness.run_steps(2);
    assert!(!harness.state().state.devices_open);
    assert_eq!(harness.state().commands, [true, false].map(Command::CheckMicrophone));
}

#[test]
fn without_a_call_one_can_hear_oneself_and_in_a_call_not() {
    let mut open = stage(Phase::Idle);
    open.state.devices_open = true;
    assert_eq!(click(open, "Hear yourself"), [Command::CheckMicrophone(true), Command::EchoTest(true)]);
    let mut open = stage(Phase::Idle);
    open.state.devices_open = true;
    open.snapshot.controls.echo_test = true;
    assert_eq!(click(open, "Stop"), [Command::CheckMicrophone(true), Command::EchoTest(false)]);
    let mut open = stage(in_call());
    open.state.devices_open = true;
    let mut harness = harness(open, 1280.0, 800.0, 1.0);
    harness.run_steps(2);
    assert!(harness.query_by_label("Hear yourself").is_none());
}

#[test]
fn ringing_is_answered_by_name() {
    let ringing = || stage(Phase::RingingIn { peer: peer(), verified: false });
    assert_eq!(click(ringing(), "Accept"), [Command::Accept]);
    assert_eq!(click(ringing(), "Decline"), [Command::Decline]);
    assert_eq!(click(stage(Phase::RingingOut { peer: peer() }), "Cancel"), [Command::HangUp]);
    assert_eq!(click(stage(Phase::Connecting { peer: peer() }), "Cancel"), [Command::HangUp]);
    let harness = harness(ringing(), 640.0, 400.0, 1.0);
    assert!(harness.query_by_label_contains("Unverified").is_some());
    assert!(harness.query_by_label("Ada Lovelace").is_some());
}

#[test]
fn a_typed_target_is_called_and_called_again() {
    let mut harness = harness(stage(Phase::Idle), 640.0, 400.0, 1.0);
    harness.state_mut().state.notice(Notice::Listening { base_port: 2040 });
    harness.run_steps(2);
    assert!(harness.query_by_label("Listening on port 2040").is_some());
    harness.get_by_label("Call").click();
    harness.run_steps(2);
    assert_eq!(harness.state().commands, [], "nothing is called without a target");
    harness.get_by_label("Address to call").focus();
    harness.run_steps(2);
    harness.get_by_label("Address to call").type_text("example.org:2000");
    harness.run_steps(2);
    harness.get_by_label("Call").click();
    harness.run_steps(2);
    let call = Command::Call("example.org:2000".to_owned());
    assert_eq!(harness.state().commands, std::slice::from_ref(&call));
    harness.state_mut().snapshot.phase =
        Phase::Ended { peer: peer(), outcome: "no-answer".to_owned(), reason: String::new() };
    harness.run_steps(2);
    assert!(harness.query_by_label("No answer").is_some());
    harness.get_by_label("Call again").click();
    harness.run_steps(2);
    assert_eq!(harness.state().commands, [call.clone(), call]);
    harness.get_by_label("Close").click();
    harness.run_steps(2);
    assert!(harness.query_by_label("Address to call").is_some(), "closed: idle again");
}

#[test]
fn keys_do_what_the_hints_say() {
    let mut harness = harness(stage(in_call()), 640.0, 400.0, 1.0);
    for key in [egui::Key::M, egui::Key::V, egui::Key::L, egui::Key::Escape] {
        harness.key_press(key);
        harness.run_steps(2);
    }
    assert_eq!(harness.state().commands, [Command::Mute(true), Command::CameraOff(true), Command::HangUp]);
    assert!(harness.state().state.latency_open);
}

#[test]
fn a_machine_that_is_too_busy_says_so_and_what_it_sends() {
    for (every, text) in [
        (1, "Sending 640×360: computer too busy"),
        (2, "Sending 640×360, every other picture: computer too busy"),
        (4, "Sending 640×360, one picture of 4: computer too busy"),
    ] {
        let mut busy = stage(in_call());
        busy.state.latency_open = true;
        busy.snapshot.latency.busy = Some(Busy { width: 640, height: 360, every });
        let mut harness = harness(busy, 640.0, 400.0, 1.0);
        harness.run_steps(2);
        assert!(harness.query_by_label(text).or_else(|| harness.query_by_value(text)).is_some(), "{text}");
    }
}

#[test]
fn the_networking_page_keeps_what_is_chosen_and_asks_for_the_test() {
    let mut idle = stage(Phase::Idle);
    idle.state.network.open = true;
    idle.state.notice(Notice::Listening { base_port: 2100 });
    let mut harness = harness(idle, 1280.0, 800.0, 1.0);
    harness.run_steps(2);
    assert_eq!(harness.state().state.network.wish, Some(Wish::Look), "addresses are always to be seen");
    harness.state_mut().state.network.wish = None;
    harness.state_mut().state.network.fields.base = "2018".to_owned();
    harness.get_by_label("Keep port").click();
    harness.run_steps(2);
    assert!(harness.state().commands.is_empty(), "a port of the directory is refused");
    harness.state_mut().state.network.fields.base = "2200".to_owned();
    harness.get_by_label("Keep port").click();
    harness.run_steps(2);
    harness.state_mut().state.network.fields.proxy = "socks5://bob:pw@10.0.0.1:1080".to_owned();
    harness.get_by_label("Keep proxy").click();
    harness.run_steps(2);
    harness.get_by_label("People on the same network see me").click();
    harness.run_steps(2);
    let proxy = ProxySetting::This("socks5://bob:pw@10.0.0.1:1080".parse().expect("a proxy"));
    let expected = [Command::BasePort(Some(2200)), Command::Proxy(proxy), Command::ShowOnNetwork(false)];
    assert_eq!(harness.state().commands, expected);
    harness.get_by_label("Test Network").click();
    harness.run_steps(2);
    assert_eq!(harness.state().state.network.wish, Some(Wish::Test));
    harness.state_mut().state.network.wish = None;
    harness.get_by_label("Cancel test").click();
    harness.run_steps(2);
    assert_eq!(harness.state().state.network.wish, Some(Wish::Cancel));
    harness.get_by_label("Guide").click();
    harness.run_steps(2);
    let says = |text: &str| harness.query_by_label(text).or_else(|| harness.query_by_value(text)).is_some();
    assert!(says("UDP 2100–2200") && says("TCP 2101"), "the table has the port in use");
}

#[test]
fn people_on_the_same_network_are_called_from_the_panel() {
    let mut idle = stage(Phase::Idle);
    idle.state.people.open = true;
    let ada = Neighbour {
        name: "Ada".to_owned(),
        key: PublicKey([1; 32]),
        base: 2000,
        addresses: vec!["192.168.1.7".parse().expect("an address")],
    };
    idle.state.people.neighbours = Arc::new(vec![ada]);
    let mut harness = harness(idle, 1280.0, 800.0, 1.0);
    harness.run_steps(2);
    let calls: Vec<_> = harness.query_all_by_label("Call").collect();
    // The card's own button, and the neighbour's.
    calls.last().expect("a button").click();
    harness.run_steps(2);
    assert_eq!(harness.state().commands, [Command::Call("lan:Ada".to_owned())]);
}

#[test]
fn an_error_is_shown_in_words() {
    let mut harness = harness(stage(Phase::Idle), 640.0, 400.0, 1.0);
    harness.state_mut().state.notice(Notice::Error("The port is taken".to_owned()));
    harness.run_steps(2);
    assert!(harness.query_by_label("The port is taken").is_some());
}

#[test]
fn nothing_is_cut_at_the_smallest_size_and_at_twice_the_scale() {
    for (width, height, scale) in [(640.0, 400.0, 1.0), (640.0, 400.0, 2.0), (1280.0, 800.0, 1.0)] {
        let screen = Rect::from_min_size(pos2(0.0, 0.0), vec2(width, height));
        for phase in phases() {
            for latency_open in [false, true] {
                let mut stage = stage(phase.clone());
                stage.state.latency_open = latency_open;
                stage.snapshot.latency.audio_stages_ms = vec![("Jitter buffer", 12.0); 4];
                stage.snapshot.latency.busy = Some(Busy { width: 1920, height: 1080, every: 2 });
                stage.state.toast("Something went wrong and this line says what to do about it".to_owned());
                let mut harness = harness(stage, width, height, scale);
                harness.run_steps(2);
                let mut named = 0;
                for node in harness.root().children_recursive() {
                    let accessible = node.accesskit_node();
                    // A label's text is its value, a control's its label.
                    let Some(label) = accessible.label().or_else(|| accessible.value()) else { continue };
                    named += 1;
                    assert!(
                        screen.expand(0.5).contains_rect(node.rect()),
                        "{label:?} at {:?} leaves {width}×{height} in {phase:?}",
                        node.rect()
                    );
                }
                assert!(named >= 3, "only {named} named things in {phase:?}");
            }
        }
    }
}
