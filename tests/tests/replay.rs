//! Recordings of real calls: replayed with the same decisions, scrubbed, cut off, and on a full disk.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use visavis_tests::party::{Finished, Party, Setup, program};

const MEDIA: &str = "--mic chirp --speaker none --video testcard";
const SOON: Duration = Duration::from_secs(30);

/// A call of `seconds` whose caller is told `args` as well; both sides' ends.
fn call(seconds: u32, args: &str) -> [Finished; 2] {
    let media = if args.contains("--video") { "--mic chirp --speaker none" } else { MEDIA };
    let callee = Party::listen(&Setup::new("Ben", &format!("--once {MEDIA}"))).expect("listens");
    let caller = Setup::new("Ada", &format!("--for {seconds} --impair lan --seed 3 {media} {args}"));
    let caller = Party::call_to(&caller, &callee).expect("calls");
    [caller, callee].map(|party| party.finish(SOON).expect("ends"))
}

fn visavis(folder: &Path, args: &str) -> Output {
    let mut command = Command::new(program().expect("built"));
    command.args(args.split_whitespace()).current_dir(folder).output().expect("runs")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

#[test]
fn a_real_call_is_replayed_with_the_same_decisions_and_without_its_media() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("call.rec");
    let [caller, _] = call(5, &format!("--record {}", path.display()));
    let report = caller.ended().expect("went well");
    let replayed = visavis(folder.path(), "replay call.rec --json --csv call.csv");
    assert_eq!(replayed.status.code(), Some(0), "{replayed:?}");
    let replayed = json(&replayed);
    assert!(replayed["difference"].is_null(), "{}", replayed["difference"]);
    // The report is the call's own.
    let figures = &replayed["report"];
    assert_eq!(figures["audio"]["packets_received"], report.audio.packets_received);
    // What is still decoded while the goodbye goes out is in the recording and not in the report.
    let decoded = figures["video"]["frames_decoded"].as_u64().expect("counted");
    assert!((0..=1).contains(&decoded.saturating_sub(report.video.frames_decoded)), "{decoded} decoded");
    assert_eq!(figures["audio"]["delay_ms"], serde_json::to_value(report.audio.delay_ms).expect("JSON"));
    assert_eq!(figures["video"]["glass_to_glass_ms"]["p50"], report.video.glass_to_glass_ms.expect("markers").p50);

    let scrubbed = visavis(folder.path(), "replay call.rec --scrub clean.rec");
    assert!(scrubbed.status.success(), "{scrubbed:?}");
    let clean = visavis(folder.path(), "replay clean.rec --shuffle 7 --json --csv clean.csv");
    assert!(json(&clean)["difference"].is_null());
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).expect("written");
    assert!(read("call.csv").lines().count() > 500, "{} delays", read("call.csv").lines().count());
    assert!(read("call.csv") == read("clean.csv"), "the delays are others without the media");

    let compared = json(&visavis(folder.path(), "replay call.rec --policy sound.least=60 --json"));
    let delay = |row: usize| compared[row]["report"]["audio"]["delay_ms"]["p50"].as_f64().expect("measured");
    assert!(delay(2) > delay(1) + 30.0, "{} and {}", delay(2), delay(1));
}

#[test]
fn a_program_that_is_killed_loses_less_than_a_second() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("call.rec");
    let callee = Party::listen(&Setup::new("Ben", &format!("--once {MEDIA}"))).expect("listens");
    let caller = Setup::new("Ada", &format!("{MEDIA} --record {}", path.display()));
    let mut caller = Party::call_to(&caller, &callee).expect("calls");
    caller.wait_for("in call with", SOON).expect("a call");
    let begun = engine::base::time::now();
    // So that there is something to lose.
    std::thread::sleep(Duration::from_secs(3));
    caller.kill().expect("killed");
    let lived = (engine::base::time::now() - begun).as_secs_f64();
    let whole = visavis(folder.path(), "replay call.rec");
    assert_eq!(whole.status.code(), Some(2), "{whole:?}");
    let part = json(&visavis(folder.path(), "replay call.rec --partial --json"));
    assert!(part["difference"].is_null() && part["cut_off"] == true, "{part}");
    let kept = part["seconds"].as_f64().expect("a number");
    assert!(kept > lived - 1.0, "{kept} of {lived} s");
}

#[test]
fn a_full_disk_and_a_limit_stop_the_recording_and_not_the_call() {
    let [caller, _] = call(3, "--record /dev/full");
    assert!(caller.log.contains("the recording stopped, the call goes on"), "{}", caller.log);
    assert!(caller.ended().expect("went well").seconds > 2.0);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("call.rec");
    let [caller, _] = call(4, &format!("--record-limit 200000 --record {}", path.display()));
    assert!(caller.log.contains("reached its limit and stopped"), "{}", caller.log);
    assert!(caller.ended().expect("went well").seconds > 3.0);
    let size = fs::metadata(&path).expect("there").len();
    assert!((50_000..=200_000).contains(&size), "{size} bytes");
    let replayed = json(&visavis(folder.path(), "replay call.rec --json"));
    assert!(replayed["difference"].is_null() && replayed["cut_off"] == false, "{replayed}");
}

#[test]
fn files_that_are_no_recordings_are_wrong_use() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("good.rec");
    call(2, &format!("--video none --record {}", path.display()));
    let good = fs::read(&path).expect("written");
    let edited = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let files = [
        ("cut.rec", good[..good.len() * 2 / 3].to_vec(), "was cut off"),
        ("short.rec", good[..12].to_vec(), "was cut off"),
        ("edited.rec", edited(good.len() / 2), "changed or is damaged"),
        ("longer.rec", [&good[..], b"more"].concat(), "changed or is damaged"),
        ("newer.rec", edited(8), "another version"),
        ("foreign.rec", b"{\"version\":1}".to_vec(), "not a recording"),
        ("empty.rec", Vec::new(), "not a recording"),
    ];
    for (name, bytes, expected) in files {
        fs::write(folder.path().join(name), bytes).expect("written");
        for args in ["", "--policy sound.late=1", "--scrub out.rec"] {
            let output = visavis(folder.path(), &format!("replay {name} {args}"));
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{name} {args}: {said}");
            assert!(said.contains(expected) && said.trim().lines().count() == 1, "{name}: {said}");
        }
    }
    for args in ["replay missing.rec", "replay good.rec --policy lunch=1", "replay good.rec --scrub good.rec"] {
        let output = visavis(folder.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args}: {output:?}");
    }
}
