//! Sound devices that come and go while a call runs, on a private sound server.

use std::process::{Command as Process, Stdio};
use std::time::Duration;

use engine::base::time::now;
use engine::device::{MicrophoneSpec, SpeakerSpec};
use engine::handle::Command;
use serde_json::Value;
use visavis_app::pulse::Pulse;
use visavis_tests::party::program;
use visavis_tests::skip::skip;
use visavis_tests::talk::{Person, inside, is_inside, pactl, plug_microphone, plug_speaker, talk, unplug};

/// What Ada hears and speaks to, what Ben plays to, and what stands in for each.
const DESK: [(&str, &str); 3] = [("mouth", "microphone"), ("ear", "listen"), ("spare", "handset")];
const SOON: Duration = Duration::from_secs(3);

fn named(name: &str) -> (MicrophoneSpec, SpeakerSpec) {
    (MicrophoneSpec::Named(name.into()), SpeakerSpec::Named(name.into()))
}

/// The test of this name again, in the environment of a private server.
fn run_inside(name: &str) {
    if Process::new("pulseaudio").arg("--version").stdout(Stdio::null()).status().is_err() {
        return skip(name, "no PulseAudio");
    }
    let pulse = Pulse::with_pairs(&DESK).expect("runs");
    if let Err(said) = inside(&pulse, &["--exact", name, "--nocapture"]) {
        panic!("{said}");
    }
}

#[test]
fn a_sound_server_that_does_not_answer_is_passed_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("native");
    // It takes connections and says nothing.
    let _silent = std::os::unix::net::UnixListener::bind(&socket).expect("bound");
    let list = |args: &[&str]| {
        let mut command = Process::new(program().expect("built"));
        command.args(["devices", "--json"]).args(args).env("PULSE_SERVER", format!("unix:{}", socket.display()));
        let begun = now();
        let output = command.output().expect("runs");
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let list: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        (list["microphones"].as_array().map_or(0, Vec::len), now() - begun)
    };
    let ((all, took), (alsa, _), (pulse, _)) = (list(&[]), list(&["--host", "alsa"]), list(&["--host", "pulseaudio"]));
    assert_eq!((all, pulse), (alsa, 0), "those of the next one, and of the silent one none");
    assert!(took < Duration::from_secs(5), "{took:?}");
    let wrong = Process::new(program().expect("built")).args(["devices", "--host", "oss"]).output().expect("runs");
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("say pulseaudio, pipewire, jack or alsa"));
}

#[test]
fn a_lost_device_is_said_stood_in_for_and_returned_to_and_mute_is_kept() {
    if !is_inside() {
        return run_inside("a_lost_device_is_said_stood_in_for_and_returned_to_and_mute_is_kept");
    }
    pactl("set-default-source handset", &[]).expect("set");
    pactl("set-default-sink spare", &[]).expect("set");
    let mut ada = Person::new("Ada", named("microphone").0, SpeakerSpec::None).expect("starts");
    let mut ben = Person::new("Ben", MicrophoneSpec::None, named("ear").1).expect("starts");
    talk(&mut ada, &mut ben).expect("a call");
    ada.wait("open", SOON, |ada| ada.view.controls.microphone_now == "microphone").expect("opened");
    ada.say(Command::Mute(true));

    unplug("microphone", &[]).expect("a module");
    ada.wait_told("The microphone microphone is not there: handset is used until it is back.", SOON).expect("said");
    let noted = |ada: &Person| ada.view.controls.device_note.contains("handset is used");
    ada.wait("in the window, as long as it is so", SOON, noted).expect("shown");
    unplug("ear", &[]).expect("a module");
    ben.wait_told("The loudspeaker ear is not there: spare is used until it is back.", SOON).expect("said");

    plug_microphone("microphone", "mouth", &[]).expect("plugged");
    ada.wait_told("The microphone microphone is back.", SOON).expect("said");
    plug_speaker("ear", &[]).expect("plugged");
    ben.wait_told("The loudspeaker ear is back.", SOON).expect("said");
    ada.wait("no note", SOON, |ada| ada.view.controls.device_note.is_empty()).expect("all is well");
    assert!(ada.is_in_call() && ben.is_in_call());

    // What is played to the mouth now is heard only when the mute is taken back.
    let mut noise = Process::new("pacat")
        .args(["--device=mouth", "--rate=48000", "--channels=1", "--raw", "/dev/urandom"])
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    // The meter shows what is sent.
    ada.say(Command::CheckMicrophone(true));
    let loud = |ada: &Person| ada.view.controls.microphone_level.is_some_and(|level| level > 0.5);
    let muted = ada.wait("loud", Duration::from_millis(1500), loud);
    ada.say(Command::Mute(false));
    let unmuted = ada.wait("loud", SOON, loud);
    noise.kill().expect("runs");
    noise.wait().expect("ends");
    assert!(muted.is_err(), "muted, and heard after another device was opened");
    unmuted.expect("heard");
    ada.say(Command::HangUp);
    ada.wait("a report", SOON, |ada| ada.report.is_some()).expect("over");
    assert_eq!(ada.report.map(|report| report.outcome).as_deref(), Some("ended"));
}

#[test]
fn the_default_is_followed_in_a_call_and_a_choice_is_there_after_a_new_start() {
    if !is_inside() {
        return run_inside("the_default_is_followed_in_a_call_and_a_choice_is_there_after_a_new_start");
    }
    pactl("set-default-source handset", &[]).expect("set");
    pactl("set-default-sink spare", &[]).expect("set");
    let person = |name| Person::new(name, MicrophoneSpec::Default, SpeakerSpec::Default).expect("starts").restart();
    let (mut ada, mut ben) = (person("Ada").expect("starts"), person("Ben").expect("starts"));
    ada.wait("a list", SOON, |ada| ada.view.controls.microphones.len() == 3).expect("listed");
    assert!(!ada.view.controls.microphones.iter().any(|name| name.starts_with("Monitor")), "{:?}", ada.view.controls);
    talk(&mut ada, &mut ben).expect("a call");
    let open = |ada: &Person| ada.view.controls.microphone_now.clone();
    ada.wait("open", SOON, |ada| open(ada) == "handset").expect("opened");
    pactl("set-default-source microphone", &[]).expect("set");
    pactl("set-default-sink ear", &[]).expect("set");
    ada.wait_told("The microphone is microphone now.", SOON).expect("followed");
    ben.wait_told("The loudspeaker is ear now.", SOON).expect("followed");

    ada.say(Command::Microphone(Some("handset".into())));
    ada.wait("chosen", SOON, |ada| open(ada) == "handset").expect("opened");
    plug_speaker("late", &[]).expect("plugged");
    ada.wait("a list", SOON, |ada| ada.view.controls.speakers.iter().any(|name| name == "late")).expect("listed");
    ada.say(Command::HangUp);
    ada.wait("a report", SOON, |ada| ada.report.is_some()).expect("over");

    let mut ada = ada.restart().expect("starts");
    ada.wait("remembered", SOON, |ada| ada.view.controls.microphone == "handset").expect("kept");
    assert_eq!(ada.view.controls.speaker, "default");
    ada.say(Command::Microphone(None));
    ada.wait("chosen", SOON, |ada| ada.view.controls.microphone == "default").expect("shown");
    let mut ada = ada.restart().expect("starts");
    ada.wait("a list", SOON, |ada| !ada.view.controls.microphones.is_empty()).expect("listed");
    assert_eq!(ada.view.controls.microphone, "default");
}

#[test]
fn the_meter_the_tone_and_the_echo_work_without_a_call_and_close_after_it() {
    if !is_inside() {
        return run_inside("the_meter_the_tone_and_the_echo_work_without_a_call_and_close_after_it");
    }
    // The microphone hears what the loudspeaker plays: the tone is seen on the meter.
    let (microphone, speaker) = (named("microphone").0, named("mouth").1);
    let mut ada = Person::new("Ada", microphone, speaker).expect("starts");
    ada.say(Command::CheckMicrophone(true));
    let level = |ada: &Person| ada.view.controls.microphone_level.unwrap_or(-1.0);
    ada.wait("quiet", SOON, |ada| level(ada) == 0.0).expect("shown");
    let users = |kind: &str| pactl(&format!("list short {kind}"), &[]).expect("a list").lines().count();
    ada.say(Command::TestTone);
    ada.wait("loud", SOON, |ada| level(ada) > 0.4).expect("the tone is heard");
    ada.wait("quiet", SOON, |ada| level(ada) == 0.0).expect("the tone ends");
    ada.say(Command::EchoTest(true));
    ada.wait("echo", SOON, |ada| ada.view.controls.echo_test).expect("shown");
    ada.say(Command::TestTone);
    ada.wait("loud", SOON, |ada| level(ada) > 0.4).expect("the tone is heard");
    ada.wait("quiet", SOON, |ada| level(ada) < 0.1).expect("the tone ends");
    let again = ada.wait("loud", SOON, |ada| level(ada) > 0.4).expect("it is heard again");
    assert!(again > Duration::from_millis(200), "{again:?}");
    assert_eq!((users("source-outputs"), users("sink-inputs")), (3 + 1, 1), "three remaps, and one of each");

    // A call ends the echo.
    let mut ben = Person::new("Ben", MicrophoneSpec::None, SpeakerSpec::None).expect("starts");
    talk(&mut ada, &mut ben).expect("a call");
    ada.wait("no echo", SOON, |ada| !ada.view.controls.echo_test).expect("ended");
    ada.say(Command::HangUp);
    ada.wait("a report", SOON, |ada| ada.report.is_some()).expect("over");
    ada.say(Command::CheckMicrophone(false));
    ada.wait("no meter", SOON, |ada| ada.view.controls.microphone_level.is_none()).expect("closed");
    ada.wait("closed", SOON, |_| (users("source-outputs"), users("sink-inputs")) == (3, 0)).expect("closed");
}
