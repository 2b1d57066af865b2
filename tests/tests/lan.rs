//! People on one network without a server: two machines on a bridge, with the program itself.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use engine::base::time::now;
use visavis_tests::multicast::{Ada, bridge, heard};
use visavis_tests::netns::{Networks, missing};
use visavis_tests::party::program;
use visavis_tests::skip::skip;

/// A program that runs until it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn visavis(networks: &Networks, name: &str, folder: &Path, line: &str) -> std::process::Command {
    let mut command = networks.command(name, program().expect("built").to_str().expect("text"));
    command.args(line.split(' ')).arg("--data").arg(folder.join(name)).stdin(Stdio::null());
    command
}

/// Who is seen from `two`, by name.
fn seen(networks: &Networks, folder: &Path) -> Vec<String> {
    let output = visavis(networks, "two", folder, "pals near --json --name Ben").output().expect("it ran");
    let read: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let names = read.as_array().expect("a list").iter();
    names.map(|one| one["name"].as_str().expect("a name").to_owned()).collect()
}

fn listen(networks: &Networks, folder: &Path, how: &str) -> Running {
    let line = format!("listen --headless --auto-answer --mic none --speaker none --name Ada --lan {how}");
    let mut command = visavis(networks, "one", folder, &line);
    Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started"))
}

#[test]
fn somebody_on_the_same_network_is_called_by_name_and_one_who_hides_is_not_seen() {
    if let Some(why) = missing(&[]) {
        return skip("people on one network", &why);
    }
    let networks = bridge().expect("a bridge");
    let folder = tempfile::tempdir().expect("a folder");
    let ada = listen(&networks, folder.path(), "on");
    let until = now() + Duration::from_secs(20);
    while seen(&networks, folder.path()) != ["Ada"] {
        assert!(now() < until, "Ada is not seen");
    }
    let report = folder.path().join("report.json");
    let line = "call ada --headless --mic none --speaker none --name Ben --for 4";
    let mut call = visavis(&networks, "two", folder.path(), line);
    let output = call.arg("--report").arg(&report).output().expect("it ran");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = fs::read_to_string(&report).unwrap_or_else(|error| panic!("no report: {error}: {said}"));
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(report["outcome"], "ended", "{report}\n{said}");
    assert!(report["path"]["remote"].as_str().is_some_and(|to| to.starts_with("192.168.7.1:")), "{}", report["path"]);
    drop(ada);
    let _hidden = listen(&networks, folder.path(), "hidden");
    // Long enough for an announcement, had there been one; the one before has gone with its goodbye or its time.
    let call = visavis(&networks, "two", folder.path(), "call lan:Eve --headless --mic none --speaker none").output();
    let said = String::from_utf8_lossy(&call.expect("it ran").stderr).into_owned();
    assert!(said.contains("Nobody on this network is called"), "{said}");
}

#[test]
fn one_who_appears_offline_says_nothing_on_the_network() {
    if let Some(why) = missing(&[]) {
        return skip("who appears offline on one network", &why);
    }
    let networks = bridge().expect("a bridge");
    let folder = tempfile::tempdir().expect("a folder");
    let lasting = Duration::from_secs(4);
    let hidden = Ada::listen(&networks, folder.path(), "--appear-offline").expect("started");
    assert_eq!(heard(&networks, 1000, lasting).expect("asked"), 0, "neither answers nor questions");
    drop(hidden);
    let _shown = Ada::listen(&networks, folder.path(), "").expect("started");
    let until = now() + Duration::from_secs(20);
    while heard(&networks, 100, Duration::from_secs(1)).expect("asked") == 0 {
        assert!(now() < until, "the same questions are answered where she does not hide");
    }
}
