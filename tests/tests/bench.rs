//! The latency lab as its user meets it: repeatable, comparable, and clear about files that are none.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use visavis_tests::party::{Party, Setup, program};

const SHORT: &str = "--for 5 --media 360p30 --repeat 1";

fn bench(folder: &Path, args: &str) -> Output {
    let mut command = Command::new(program().expect("built"));
    command.arg("bench").args(args.split_whitespace()).current_dir(folder).output().expect("runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_same_seed_gives_the_same_file_in_two_processes_and_another_does_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |seed: u32, name: &str| {
        let output = bench(folder.path(), &format!("--profile bad --seed {seed} {SHORT} --out {name}"));
        assert!(output.status.success(), "{}", said(&output));
        fs::read_to_string(folder.path().join(name)).expect("written")
    };
    let (one, same, other) = (run(7, "one.json"), run(7, "same.json"), run(8, "other.json"));
    assert!(one == same, "two runs with one seed differ");
    let figures = |text: &str| {
        let results: Value = serde_json::from_str(text).expect("JSON");
        let case = &results["cases"][0];
        (case["schedule"].to_string(), case["decisions"].to_string(), case["caller"].to_string())
    };
    let (a, b) = (figures(&one), figures(&other));
    assert!(a.0 != b.0 && a.1 != b.1 && a.2 != b.2, "another seed changes nothing: {a:?}");
}

#[test]
fn what_got_worse_is_told_from_what_did_not() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, args) in [("old", "--seed 2001"), ("new", "--seed 2501"), ("slow", "--seed 2001 --plant network=3")] {
        let output =
            bench(folder.path(), &format!("--profile home --media 360p30 --for 5 --repeat 12 {args} --out {name}"));
        assert!(output.status.success(), "{}", said(&output));
    }
    let same = bench(folder.path(), "compare old new");
    assert_eq!(same.status.code(), Some(0), "{}", String::from_utf8_lossy(&same.stdout));
    let worse = bench(folder.path(), "compare old slow");
    let text = String::from_utf8_lossy(&worse.stdout).into_owned();
    assert_eq!(worse.status.code(), Some(1), "{text}");
    assert!(text.lines().any(|line| line.contains("sound p50") && line.contains("WORSE")), "{text}");
    let better = bench(folder.path(), "compare slow old");
    assert_eq!(better.status.code(), Some(0), "{}", String::from_utf8_lossy(&better.stdout));
}

#[test]
fn every_form_of_the_results_is_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = bench(folder.path(), &format!("--profile lan {SHORT} --csv a.csv --html a.html --json"));
    assert!(output.status.success(), "{}", said(&output));
    let results: Value = serde_json::from_slice(&output.stdout).expect("JSON alone");
    let case = &results["cases"][0];
    assert!(case["moments"].as_array().is_some_and(|moments| moments.len() == 10), "{case}");
    let counted: u64 = case["glass_ms"].as_array().expect("a list").iter().filter_map(Value::as_u64).sum();
    assert!((140..=151).contains(&counted), "{counted} pictures in the distribution");
    let csv = fs::read_to_string(folder.path().join("a.csv")).expect("written");
    let columns: Vec<usize> = csv.lines().map(|line| line.split(',').count()).collect();
    assert!(columns.len() == 2 && columns[0] == columns[1], "{csv}");
    let page = fs::read_to_string(folder.path().join("a.html")).expect("written");
    assert!(page.matches("<svg").count() >= 4 && page.contains("class=\"bar\""), "plots and the stages");
    for outside in ["http://", "https://", "<script", "src=", "url("] {
        // The one address in it names what SVG is; nothing is fetched from there.
        let page = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!page.contains(outside), "the page needs {outside}");
    }
}

#[test]
fn files_that_are_no_results_are_wrong_use() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = bench(folder.path(), &format!("--profile lan {SHORT} --out good"));
    assert!(output.status.success(), "{}", said(&output));
    let good = fs::read_to_string(folder.path().join("good")).expect("written");
    let files = [
        ("cut", good[..good.len() / 2].to_owned(), "not whole"),
        ("foreign", "{\"some\":1}".to_owned(), "no results"),
        ("older", good.replacen("\"version\":1", "\"version\":0", 1), "another version"),
        ("edited", good.replacen("\"seed\":1", "\"seed\":\"x\"", 1), "edited or damaged"),
        ("other", good.replace("\"profile\":\"lan\"", "\"profile\":\"moon\""), "no kind of call in common"),
    ];
    for (name, text, expected) in files {
        fs::write(folder.path().join(name), text).expect("written");
        let output = bench(folder.path(), &format!("compare good {name}"));
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{name}: {said}");
        assert!(said.contains(expected) && said.trim().lines().count() == 1, "{name}: {said}");
    }
    for args in ["compare good missing", "--profile moon", "--media 8k", "--plant lunch=3"] {
        let output = bench(folder.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args}: {}", said(&output));
    }
}

#[test]
fn a_real_call_over_an_impaired_path_is_as_late_as_asked_for() {
    const MEDIA: &str = "--mic chirp --speaker none --video none";
    let callee = Party::listen(&Setup::new("Ben", &format!("--once {MEDIA}"))).expect("listens");
    let caller = Setup::new("Ada", &format!("--for 4 --impair delay=40 --seed 3 {MEDIA}"));
    let caller = Party::call_to(&caller, &callee).expect("calls");
    let soon = std::time::Duration::from_secs(20);
    for party in [caller, callee] {
        let report = party.finish(soon).expect("ends").ended().expect("went well");
        let network = report.audio.stages_ms["network"].p50;
        // Both directions; a frame of 5 ms is whole before it is sent.
        assert!((44.0..60.0).contains(&network), "{network} ms");
    }
}
