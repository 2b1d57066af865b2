//! A minute of a real call, recorded: replayed in every order, changed in one packet, and without its media.

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use engine::base::pipe::Wake;
use engine::base::time::now;
use engine::replay::file::RecordedCall;
use engine::store::recording::{Piece, RecordingWriter};
use engine::world::tape::encode;
use engine::world::tape::note::{Head, Note, TickNote};
use serde_json::Value;
use visavis_tests::Outcome;
use visavis_tests::party::{Party, Setup, program};

use crate::table::Table;

const MEDIA: &str = "--mic chirp --speaker none --video testcard";

pub fn replay(table: &mut Table) -> Outcome<()> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let path = folder.path().join("call.rec");
    let callee = Party::listen(&Setup::new("Ben", &format!("--once {MEDIA}")))?;
    let caller = Setup::new("Ada", &format!("--for 60 {MEDIA} --record {}", path.display()));
    let caller = Party::call_to(&caller, &callee)?;
    let recorded = caller.finish(Duration::from_secs(90))?.ended()?;
    callee.finish(Duration::from_secs(20))?;
    table.goal("seconds of a real call, recorded", Some(recorded.seconds), "60", "s");
    let size = std::fs::metadata(&path).map_err(|error| error.to_string())?.len();
    table.goal("size of the recording", Some(size as f64 / 1e6), "", "MB");

    let begun = now();
    let replayed = run(folder.path(), "call.rec")?;
    table.goal("time of its replay", Some((now() - begun).as_secs_f64()), "", "s");
    table.goal("ticks with the same decisions", replayed["ticks"].as_f64(), "", "");
    table.holds("every tick decides the same", replayed["difference"].is_null(), "no difference");
    let mut same = 0;
    for seed in 1..=20 {
        same += u32::from(run(folder.path(), &format!("call.rec --shuffle {seed}"))?["difference"].is_null());
    }
    table.at_least("legal orders, drawn, that decide the same, of 20", Some(f64::from(same)), 20.0, "");

    let (head, ticks) = ticks_of(&path)?;
    let mut found = 0;
    const PLACES: usize = 20;
    for place in 1..=PLACES {
        let (changed, tick) = change_a_packet(&ticks, ticks.len() * place / (PLACES + 1));
        write(&folder.path().join("changed.rec"), &head, &changed)?;
        let difference = run(folder.path(), "changed.rec")?["difference"]["tick"].as_u64();
        found += u32::from(difference == Some(tick));
    }
    table.at_least("packets taken out and found at their tick, of 20", Some(f64::from(found)), 20.0, "");

    let scrubbed = visavis(folder.path(), "call.rec --scrub clean.rec --json")?;
    table.goal("bytes of sound and picture taken out", scrubbed["bytes"].as_f64(), "", "");
    let clean = folder.path().join("clean.rec");
    let bytes = std::fs::read(&clean).map_err(|error| error.to_string())?;
    let original = std::fs::read(&path).map_err(|error| error.to_string())?;
    let payloads = payloads(ticks);
    table.at_least("runs of 16 bytes found in the original", Some(runs(&payloads, &original)), 1.0, "");
    table.at_most("runs of 16 bytes left in the scrubbed one", Some(runs(&payloads, &bytes)), 0.0, "");
    run(folder.path(), "call.rec --csv call.csv")?;
    let clean = run(folder.path(), "clean.rec --csv clean.csv")?;
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).map_err(|error| error.to_string());
    let (before, after) = (read("call.csv")?, read("clean.csv")?);
    table.goal("delays in the series", Some(before.lines().count() as f64 - 1.0), "", "");
    table.holds("the scrubbed one decides the same", clean["difference"].is_null(), "no difference");
    table.holds("its series of delays is the same", before == after, "equal");
    Ok(())
}

/// What `visavis replay … --json` prints.
fn run(folder: &Path, args: &str) -> Outcome<Value> {
    visavis(folder, &format!("{args} --json"))
}

fn visavis(folder: &Path, args: &str) -> Outcome<Value> {
    let mut command = Command::new(program()?);
    command.arg("replay").args(args.split_whitespace()).current_dir(folder);
    let output = command.output().map_err(|error| error.to_string())?;
    serde_json::from_slice(&output.stdout)
        .map_err(|_| format!("visavis replay {args}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn ticks_of(path: &Path) -> Outcome<(Head, Vec<TickNote>)> {
    let failed = |error: engine::base::error::Error| error.text.to_string();
    let mut call = RecordedCall::open(path, false).map_err(failed)?;
    let mut ticks = Vec::new();
    while let Some(tick) = call.next_tick().map_err(failed)? {
        ticks.push(tick);
    }
    Ok((call.head().clone(), ticks))
}

/// The first packet at or after tick `from` is gone; in which tick it was.
fn change_a_packet(ticks: &[TickNote], from: usize) -> (Vec<TickNote>, u64) {
    let mut changed = ticks.to_vec();
    for tick in changed.iter_mut().skip(from) {
        for entry in &mut tick.entries {
            if let Note::Path(path) = &mut entry.note
                && path.packets.pop().is_some()
            {
                let number = tick.number;
                return (changed, number);
            }
        }
    }
    (changed, 0)
}

fn write(path: &Path, head: &Head, ticks: &[TickNote]) -> Outcome<()> {
    let failed = |error: engine::base::error::Error| error.text.to_string();
    let mut writer = RecordingWriter::create(path, u64::MAX, Wake::none()).map_err(failed)?;
    let mut body = writer.put_in_time(Piece::Head, encode(head, Vec::new()).map_err(failed)?).map_err(failed)?;
    for part in ticks.chunks(200) {
        for tick in part {
            body = encode(tick, body).map_err(failed)?;
        }
        body = writer.put_in_time(Piece::Ticks, body).map_err(failed)?;
    }
    writer.finish().map_err(failed)
}

fn payloads(ticks: Vec<TickNote>) -> Vec<Vec<u8>> {
    let notes = ticks.into_iter().flat_map(|tick| tick.entries).map(|entry| entry.note);
    let packets = notes.filter_map(|note| if let Note::Path(path) = note { Some(path.packets) } else { None });
    packets.flatten().map(|packet| packet.payload).collect()
}

/// How many runs of sixteen bytes of the payloads stand in `bytes`.
fn runs(payloads: &[Vec<u8>], bytes: &[u8]) -> f64 {
    let there: HashSet<&[u8]> = bytes.windows(16).collect();
    payloads.iter().flat_map(|payload| payload.windows(16)).filter(|run| there.contains(run)).count() as f64
}
