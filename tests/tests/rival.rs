//! The comparison with another program as its user meets it: both sides measured, or one clear line.

use std::fs::{self, Permissions};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use engine::base::time::{WallTime, now};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;
use visavis_tests::party::program;
use visavis_tests::skip::skip;

fn bench(folder: &Path, args: &str) -> Command {
    let mut command = Command::new(program().expect("built"));
    command.args(["bench", "--rival", "chromium"]).args(args.split_whitespace()).current_dir(folder);
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The JSON of a comparison that came about; `None` where `part` was skipped for want of a program, which is said.
fn compared(name: &str, part: &str, output: &Output) -> Option<Value> {
    assert!(output.status.success(), "{}", said(output));
    if output.stdout.is_empty() {
        skip(name, said(output).trim());
        return None;
    }
    let compared: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    if compared[part].is_null() {
        skip(name, compared["sound_left_out"].as_str().unwrap_or("no sound"));
        return None;
    }
    Some(compared)
}

/// Number and median of each row.
fn rows(part: &Value) -> Vec<(u64, f64)> {
    let row = |row: &Value| {
        let delay = &row["delay_ms"];
        (delay["n"].as_u64().expect("a number"), delay["p50"].as_f64().expect("a median"))
    };
    part["rows"].as_array().expect("rows").iter().map(row).collect()
}

#[test]
fn the_pictures_of_both_are_measured_and_their_ratio_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let args = "--mic none --repeat 1 --for 2 --json --out rival.json --html page.html";
    let output = bench(folder.path(), args).output().expect("runs");
    let Some(compared) = compared("the_pictures_of_both_are_measured_and_their_ratio_is_told", "picture", &output)
    else {
        return;
    };
    let picture = &compared["picture"];
    let rows = rows(picture);
    // Sixty were sent; a machine that runs other tests as well shows some of them late or not at all.
    assert!(
        rows.len() == 3 && rows.iter().all(|(n, p50)| (20..=62).contains(n) && (0.1..1000.0).contains(p50)),
        "{rows:?}"
    );
    let ratio = picture["ratios"][0]["p50"].as_f64().expect("a ratio");
    assert!((ratio - rows[1].1 / rows[0].1).abs() < 0.01, "{ratio} {rows:?}");
    assert!(compared["rival"].as_str().is_some_and(|name| name.contains('.')), "{}", compared["rival"]);
    assert_eq!(picture["rows"][1]["codec"], picture["rows"][0]["codec"]);
    assert!(fs::read_to_string(folder.path().join("page.html")).expect("written").matches("<svg").count() == 1);
    // Of another kind than the laboratory's results.
    let mut compare = Command::new(program().expect("built"));
    let refused = compare.args(["bench", "compare", "rival.json", "rival.json"]).current_dir(folder.path()).output();
    let refused = refused.expect("runs");
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(said(&refused).lines().count(), 1, "{}", said(&refused));
}

#[test]
fn the_sound_of_both_is_measured_between_the_same_devices() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = bench(folder.path(), "--video none --repeat 1 --for 4 --json").output().expect("runs");
    let Some(compared) = compared("the_sound_of_both_is_measured_between_the_same_devices", "sound", &output) else {
        return;
    };
    let rows = rows(&compared["sound"]);
    // Two a second; one needs a neighbour to count.
    assert!(rows.len() == 2 && rows.iter().all(|(n, p50)| *n >= 2 && (1.0..2000.0).contains(p50)), "{rows:?}");
    assert!(compared["sound"]["beside"]["delay_ms"]["n"].as_u64().is_some_and(|n| n >= 2));
    for row in compared["sound"]["rows"].as_array().expect("rows") {
        assert!(row["whole"].as_f64().is_some_and(|whole| whole > 0.0 && whole <= 1.0), "{row}");
    }
    assert!(compared["picture"].is_null());
}

#[test]
fn a_missing_browser_is_one_line_and_no_failure() {
    let folder = tempfile::tempdir().expect("a folder");
    let named = bench(folder.path(), "--chromium nowhere/chromium").output().expect("runs");
    let searched = bench(folder.path(), "").env("PATH", folder.path()).output().expect("runs");
    for output in [named, searched] {
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert!(output.stdout.is_empty());
        assert_eq!(said(&output).lines().count(), 1, "{}", said(&output));
        assert!(said(&output).contains("install"), "{}", said(&output));
    }
}

/// A browser that says its version and then does `what`.
fn browser(folder: &Path, what: &str) {
    let path = folder.join("browser");
    let script = format!("#!/bin/sh\nif [ \"$1\" = --version ]; then echo Chromium 1.2.3; exit; fi\n{what}\n");
    fs::write(&path, script).expect("writable");
    fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("ours");
}

#[test]
fn a_browser_that_dies_is_one_line_and_a_failure() {
    let folder = tempfile::tempdir().expect("a folder");
    browser(folder.path(), "echo no display >&2; exit 7");
    let output = bench(folder.path(), "--mic none --repeat 1 --for 0.5 --chromium browser --json").output();
    let output = output.expect("runs");
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_eq!(said(&output).lines().count(), 1, "{}", said(&output));
    assert!(said(&output).contains("exit status: 7"), "{}", said(&output));
}

#[test]
fn an_interruption_ends_a_browser_that_hangs() {
    let folder = tempfile::tempdir().expect("a folder");
    browser(folder.path(), "echo $$ > pid.new; mv pid.new pid; exec sleep 600");
    let mut command = bench(folder.path(), "--mic none --repeat 1 --for 0.5 --chromium browser --json");
    let mut running = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("runs");
    let started = within(Duration::from_secs(30), || fs::read_to_string(folder.path().join("pid")).ok());
    let hung = Pid::from_raw(started.trim().parse().expect("a number")).expect("a process");
    kill_process(Pid::from_child(&running), Signal::INT).expect("it runs");
    let status = within(Duration::from_secs(10), || ended(&mut running));
    assert_eq!(status, Some(1));
    assert!(test_kill_process(hung).is_err(), "the browser is still there");
}

#[test]
fn a_browser_that_never_names_its_codec_is_one_line_and_a_failure() {
    let folder = tempfile::tempdir().expect("a folder");
    browser(folder.path(), "for last; do :; done; echo \"$last\" > url.new; mv url.new url; exec sleep 600");
    let mut command = bench(folder.path(), "--mic none --repeat 1 --for 0.5 --chromium browser --json");
    let mut running = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("runs");
    let url = within(Duration::from_secs(30), || fs::read_to_string(folder.path().join("url")).ok());
    // The page's part is ours: its pictures come for ever, and none of them is checked.
    let mut counter = 0;
    let status = within(Duration::from_secs(25), || {
        counter += 1;
        // It is not heard while the program is ending.
        let _ = show(url.trim(), counter);
        ended(&mut running)
    });
    assert_eq!(status, Some(1));
    let output = running.wait_with_output().expect("ended");
    assert_eq!(said(&output).lines().count(), 1, "{}", said(&output));
    assert!(said(&output).contains("does not say by which codec"), "{}", said(&output));
}

/// Says, as the page at `url` does, that a picture was seen at once, and nothing of the codec.
fn show(url: &str, counter: u32) -> io::Result<()> {
    let at = WallTime::of(now()).as_micros();
    let body = format!("{{\"samples\":[[{counter},{at},{at}]],\"codec\":null,\"size\":[320,180]}}");
    let (host, path) = url.strip_prefix("http://").and_then(|url| url.split_once('/')).expect("the page's address");
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    write!(stream, "POST /{path} HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    stream.read_to_end(&mut Vec::new())?;
    Ok(())
}

fn ended(child: &mut Child) -> Option<Option<i32>> {
    child.try_wait().expect("our own child").map(|status| status.code())
}

/// What `look` finds before `patience` is over.
fn within<T>(patience: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let until = now() + patience;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(now() < until, "nothing came within {patience:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
