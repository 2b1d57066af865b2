//! What a file does to the sound and the picture beside it.

use std::fs;

use engine::media::report::Report;
use visavis_tests::Outcome;
use visavis_tests::party::{Party, Setup};

use crate::table::Table;

/// A path that carries three times what the call takes, with half a second of queue to fill.
const MEDIA: &str =
    "--video testcard --mic chirp --speaker none --max-bitrate 600000 --impair delay=20,rate=1500,queue=500";
const SECONDS: u32 = 20;
/// More than gets there in that time.
const SIZE: usize = 20_000_000;

pub fn beside_media(table: &mut Table) -> Outcome<()> {
    let (without, _) = call(false)?;
    let (with, arrived) = call(true)?;
    let more = |of: fn(&Report) -> Option<f64>| Some(of(&with)? - of(&without)?);
    table.goal("sound's delay without a file p50", sound(&without), "", "ms");
    table.at_most("what a file adds to it", more(sound), 25.0, "ms");
    table.goal("captured to decoded without a file p95", picture(&without), "", "ms");
    table.at_most("what a file adds to it", more(picture), 30.0, "ms");
    table.at_most("packets of sound lost meanwhile", Some(with.audio.packets_lost as f64), 0.0, "");
    let rate = arrived as f64 * 8.0 / 1000.0 / f64::from(SECONDS);
    table.at_least("of a path of 1,500 kbit/s the file gets", Some(rate), 100.0, "kbit/s");
    Ok(())
}

fn sound(report: &Report) -> Option<f64> {
    report.audio.delay_ms.map(|delay| delay.p50)
}

fn picture(report: &Report) -> Option<f64> {
    report.video.captured_to_decoded_ms.map(|delay| delay.p95)
}

/// The report of who was called, and how much of the file was there at the end.
fn call(with_file: bool) -> Outcome<(Report, u64)> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let (file, files) = (folder.path().join("large.bin"), folder.path().join("files"));
    fs::write(&file, vec![7; SIZE]).map_err(|error| error.to_string())?;
    let callee = format!("--once --take-files --files {} {MEDIA}", files.display());
    let sent = if with_file { format!("--send-file {}", file.display()) } else { String::new() };
    let callee = Party::listen(&Setup::new("Ben", &callee))?;
    let caller = Party::call_to(&Setup::new("Ada", &format!("--for {SECONDS} {MEDIA} {sent}")), &callee)?;
    let patience = std::time::Duration::from_secs(60);
    caller.finish(patience)?.ended()?;
    let report = callee.finish(patience)?.ended()?;
    let lengths = fs::read_dir(&files).into_iter().flatten().flatten();
    let arrived = lengths.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum();
    Ok((report, arrived))
}
