//! `visavis replay`: a recorded call again.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use engine::base::error::{Error, Kind};
use engine::media::policy::Policy;
use engine::media::report::Report;
use engine::media::summary::Summary;
use engine::replay::scrub::scrub;
use engine::replay::what_if::what_if;
use engine::replay::{Replay as Engine, Replayed};
use serde_json::{Value, json};

use crate::report;

#[derive(Args, Clone, Debug)]
pub struct Replay {
    /// What --record wrote
    pub file: PathBuf,
    /// What another policy would have done with what came over the path: KEY=VALUE,… with sound.late, picture.share (%),
    /// sound.safety (0 to 100), sound.least, picture.ignored, picture.most,
    /// picture.ahead (ms). May be given several times, to compare
    #[arg(long, value_name = "KEY=VALUE")]
    pub policy: Vec<Policy>,
    /// Write the recording to OUT with a pattern instead of sound, pictures, addresses and texts: for a bug report
    #[arg(long, value_name = "OUT", conflicts_with = "policy")]
    pub scrub: Option<PathBuf>,
    /// Take what is there of a recording that was cut off
    #[arg(long)]
    pub partial: bool,
    /// Run systems that may run in any order in another one, drawn from this number
    #[arg(long, value_name = "SEED")]
    pub shuffle: Option<u64>,
    /// Write the delays of sound and picture over time, separated by commas
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
}

/// Runs the verb. False: the replay decided something else than the call.
pub fn run(what: &Replay, json: bool) -> Result<bool> {
    if let Some(out) = &what.scrub {
        return scrub_to(&what.file, out, what.partial, json);
    }
    let replayed = Engine::run(&what.file, what.shuffle, what.partial)?;
    if let Some(path) = &what.csv {
        std::fs::write(path, series(&replayed)).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if what.policy.is_empty() {
        if json {
            println!("{}", serde_json::to_string_pretty(&as_json(&replayed))?);
        } else {
            println!("{}\n\n{}", sentence(&replayed), report::table(&replayed.report));
        }
        return Ok(replayed.difference.is_none());
    }
    compare(what, &replayed, json)
}

fn scrub_to(file: &Path, out: &Path, partial: bool, json: bool) -> Result<bool> {
    let done = scrub(file, out, partial)?;
    if json {
        let value =
            json!({"ticks": done.ticks, "packets": done.packets, "bytes": done.bytes, "addresses": done.addresses});
        println!("{value}");
    } else {
        println!(
            "{} holds {} ticks; {} packets with {} bytes of sound and picture are a pattern now, and {} addresses others.",
            out.display(),
            done.ticks,
            done.packets,
            done.bytes,
            done.addresses
        );
    }
    Ok(true)
}

/// What was, what the usual policy makes of the same path, and what the others make of it.
fn compare(what: &Replay, replayed: &Replayed, json: bool) -> Result<bool> {
    if replayed.difference.is_some() {
        let text = format!("{} A policy could not be told from that.", sentence(replayed));
        return Err(Error::new(Kind::Refused, text).into());
    }
    let mut rows = vec![("as it was".to_owned(), replayed.report.clone())];
    rows.push(("usual policy".into(), what_if(&what.file, Policy::default(), what.partial)?));
    for (number, policy) in what.policy.iter().enumerate() {
        rows.push((format!("policy {}", number + 1), what_if(&what.file, *policy, what.partial)?));
    }
    if json {
        let rows: Vec<Value> = rows.iter().map(|(name, report)| json!({"name": name, "report": report})).collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(true);
    }
    println!(
        "{:<14} {:>19} {:>10} {:>21} {:>8} {:>8}",
        "", "sound p50, p95 ms", "concealed", "picture p50, p95 ms", "shown", "frozen"
    );
    for (name, report) in &rows {
        println!("{}", row(name, report));
    }
    Ok(true)
}

fn row(name: &str, report: &Report) -> String {
    let pair = |summary: Option<Summary>| summary.map_or("–".into(), |s| format!("{:.1}, {:.1}", s.p50, s.p95));
    let percent = |share: Option<f64>| share.map_or("–".into(), |share| format!("{:.2} %", share * 100.0));
    format!(
        "{name:<14} {:>19} {:>10} {:>21} {:>8} {:>8}",
        pair(report.audio.delay_ms),
        percent(report.audio.concealed_ratio),
        pair(report.video.glass_to_glass_ms),
        report.video.frames_presented,
        percent(report.video.freeze_ratio)
    )
}

fn sentence(replayed: &Replayed) -> String {
    let (ticks, seconds) = (replayed.ticks, replayed.time.as_secs_f64());
    let mut text = match replayed.difference {
        None => format!("{ticks} ticks of {seconds:.1} s decided the same as in the call."),
        Some(other) => {
            format!("Tick {}, {:.4} s after the first one, decided something else.", other.tick, other.at.as_secs_f64())
        }
    };
    let own = env!("CARGO_PKG_VERSION");
    if replayed.difference.is_some() && replayed.program != own {
        let _ =
            write!(text, " It was recorded by version {}, and this is {own}: replay it with that.", replayed.program);
    }
    if replayed.was_cut_off {
        text.push_str(" The recording was cut off after that.");
    }
    text
}

fn as_json(replayed: &Replayed) -> Value {
    let difference = replayed.difference.map(|other| json!({"tick": other.tick, "at_s": other.at.as_secs_f64()}));
    json!({
        "version": 1,
        "recorded_by": replayed.program,
        "ticks": replayed.ticks,
        "seconds": replayed.time.as_secs_f64(),
        "difference": difference,
        "cut_off": replayed.was_cut_off,
        "report": replayed.report,
    })
}

fn series(replayed: &Replayed) -> String {
    let mut text = String::from("tick,seconds,sound_ms,picture_ms\n");
    let field = |value: Option<f64>| value.map_or(String::new(), |ms| format!("{ms:.3}"));
    for delay in &replayed.series {
        let (sound, picture) = (field(delay.sound_ms), field(delay.picture_ms));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{},{:.6},{sound},{picture}", delay.tick, delay.at.as_secs_f64());
    }
    text
}
