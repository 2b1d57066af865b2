//! Our own calls and Chromium's in turns on this machine.

use std::process::Command;

use serde_json::Value;
use visavis_tests::Outcome;
use visavis_tests::party::program;

use crate::table::Table;

/// Five calls of each, at five places within a screen's refresh.
const PICTURE: &str = "--mic none --repeat 5 --for 7";
const SOUND: &str = "--video none --repeat 3 --for 20";
/// Over paths with jitter and losses what counts is the jitter buffer: ours against Chromium's NetEQ.
const PATHS: [&str; 2] = ["home", "delay=50,jitter=25,loss=2"];

pub fn against_chromium(table: &mut Table) -> Outcome<()> {
    let picture = compare(PICTURE)?;
    part(table, "picture", &picture["picture"], 500.0)?;
    let sound = compare(SOUND)?;
    if sound["sound"].is_null() {
        return Err(format!("no sound: {}", sound["sound_left_out"]));
    }
    // Two chirps a second.
    part(table, "sound", &sound["sound"], 100.0)?;
    for path in PATHS {
        let sound = compare(&format!("{SOUND} --impair {path}"))?;
        part(table, &format!("sound over {path}"), &sound["sound"], 60.0)?;
    }
    Ok(())
}

fn part(table: &mut Table, medium: &str, part: &Value, least: f64) -> Outcome<()> {
    let rows = part["rows"].as_array().filter(|rows| rows.len() >= 2).ok_or("fewer than two were measured")?;
    for row in rows {
        let line = |text: &str| format!("{medium}: {}: {text}", row["name"].as_str().unwrap_or_default());
        let figure = |name: &str| row["delay_ms"][name].as_f64();
        table.at_least(&line("samples"), figure("n"), least, "");
        table.goal(&line("p50"), figure("p50"), "", "ms");
        table.goal(&line("p95"), figure("p95"), "", "ms");
        table.goal(&line("p99"), figure("p99"), "", "ms");
    }
    let beside = &part["beside"];
    let name = beside["name"].as_str().unwrap_or_default();
    table.goal(&format!("{medium}: {name}: p50"), beside["delay_ms"]["p50"].as_f64(), "", "ms");
    for ratio in part["ratios"].as_array().into_iter().flatten() {
        let name = ratio["name"].as_str().unwrap_or_default();
        table.goal(
            &format!("{medium}: {name}: p50 over ours"),
            ratio["p50"].as_f64().map(|ratio| ratio * 100.0),
            "",
            "%",
        );
    }
    Ok(())
}

fn compare(args: &str) -> Outcome<Value> {
    let mut command = Command::new(program()?);
    command.args(["bench", "--rival", "chromium", "--json"]).args(args.split_whitespace());
    let output = command.output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() || output.stdout.is_empty() {
        return Err(said.trim().to_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}
