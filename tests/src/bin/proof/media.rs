//! What two people see and hear of each other, by the reports of both.

use std::time::Duration;

use engine::media::report::Report;
use visavis_tests::Outcome;
use visavis_tests::party::{Party, Setup, program, whole_call};

use crate::table::Table;

const SILENT: &str = "--mic chirp --speaker none";

/// Half a minute of 720p30 in both directions, presented on arrival.
pub fn call(table: &mut Table) -> Outcome<()> {
    let [caller, callee] = whole_call(30.0, SILENT)?;
    for (who, own, other) in [("caller", &caller, &callee), ("callee", &callee, &caller)] {
        one_side(table, who, own, other);
    }
    Ok(())
}

fn one_side(table: &mut Table, who: &str, own: &Report, other: &Report) {
    let line = |text: &str| format!("{who}: {text}");
    let (video, audio) = (&own.video, &own.audio);
    let captured = other.video.frames_captured;
    // Less than 25 a second is no call at 30: the source was held up, and a share of it would say nothing.
    table.at_least(&line("pictures that the other side captured"), Some(captured as f64), own.seconds * 29.0, "");
    let share = video.frames_presented as f64 / captured.max(1) as f64 * 100.0;
    table.at_least(&line("of them presented, by their markers"), Some(share), 99.0, "%");
    table.at_most(&line("freezes"), Some(video.freezes as f64), 0.0, "");
    table.goal(&line("lines of the picture at the end"), video.height.map(f64::from), "720", "");
    let stage = |name: &str| video.stages_ms.get(name).copied().flatten().map(|stage| stage.p50);
    let codec = stage("encode").zip(stage("decode")).map(|(encode, decode)| encode + decode);
    table.goal(&line("encode + decode p50"), codec, "", "ms");
    let decoded = video.captured_to_decoded_ms.map(|summary| summary.p50);
    table.goal(&line("captured to decoded p50"), decoded, "", "ms");
    let over = decoded.zip(codec).map(|(decoded, codec)| decoded - codec);
    table.at_most(&line("captured to decoded over the codec's own p50"), over, 1.0, "ms");
    let glass = video.glass_to_glass_ms;
    table.at_most(&line("glass to glass on arrival p50"), glass.map(|glass| glass.p50), 10.0, "ms");
    table.goal(&line("glass to glass on arrival p95"), glass.map(|glass| glass.p95), "", "ms");
    let bound = glass.map_or(1.5, |glass| (glass.p50 * 0.05).max(1.5));
    table.at_most(&line("ledger against marker p50"), video.ledger_error_ms.map(|error| error.p50), bound, "ms");
    table.at_most(&line("ledger against marker p95"), video.ledger_error_ms.map(|error| error.p95), bound, "ms");
    table.at_most(&line("sound concealed"), audio.concealed_ratio.map(|ratio| ratio * 100.0), 0.1, "%");
    table.goal(&line("sound captured to played p50"), audio.delay_ms.map(|delay| delay.p50), "", "ms");
    let late = own.ticks.overruns as f64 / own.ticks.n.max(1) as f64 * 100.0;
    table.goal(&line("ticks that began late"), Some(late), "", "%");
}

/// Presented as a screen at 60 Hz does, whose phase is another one at each start.
pub fn screen(table: &mut Table) -> Outcome<()> {
    const STARTS: usize = 10;
    /// The first second of a call, in which codecs and threads begin, is a twentieth of it.
    const SECONDS: f64 = 20.0;
    let (mut summaries, mut stages) = (Vec::new(), std::collections::BTreeMap::<String, [Vec<f64>; 2]>::new());
    for _ in 0..STARTS {
        let reports = whole_call(SECONDS, &format!("--present-hz 60 {SILENT}"))?;
        summaries.extend(reports.iter().filter_map(|report| report.video.glass_to_glass_ms));
        for (name, stage) in reports.iter().flat_map(|report| &report.video.stages_ms) {
            let Some(stage) = stage else { continue };
            let [middle, most] = stages.entry(name.to_string()).or_default();
            middle.push(stage.p50);
            most.push(stage.p95);
        }
    }
    table.at_least("starts whose pictures were measured, both sides", Some(summaries.len() as f64), 20.0, "");
    let pooled = |of: fn(&engine::media::summary::Summary) -> f64| {
        let mut values: Vec<f64> = summaries.iter().map(of).collect();
        values.sort_unstable_by(f64::total_cmp);
        values
    };
    let (medians, worst) = (pooled(|glass| glass.p50), pooled(|glass| glass.p95));
    table.at_most("glass to glass at 60 Hz, median of p50", medians.get(medians.len() / 2).copied(), 13.0, "ms");
    table.goal("glass to glass at 60 Hz, median of p95", worst.get(worst.len() / 2).copied(), "", "ms");
    table.at_most("glass to glass at 60 Hz, the worst start's p95", worst.last().copied(), 24.0, "ms");
    for (name, values) in stages {
        for (what, mut values) in ["p50", "p95"].into_iter().zip(values) {
            values.sort_unstable_by(f64::total_cmp);
            table.goal(&format!("  {name}, median of {what}"), values.get(values.len() / 2).copied(), "", "ms");
        }
    }
    Ok(())
}

/// Whether lips move when the words are heard, on a path like that between two homes: by the ledger of each picture, and by what
/// chirps and markers say.
pub fn lips(table: &mut Table) -> Outcome<()> {
    const RUNS: usize = 5;
    let (mut medians, mut worst, mut apart) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..RUNS {
        // One side's word is for both directions.
        let callee = Party::listen(&Setup::new("Ben", &format!("--once {SILENT}")))?;
        let caller = Setup::new("Ada", &format!("--for 15 --impair home --seed {run} {SILENT}"));
        let caller = Party::call_to(&caller, &callee)?.finish(Duration::from_secs(50))?.ended()?;
        let callee = callee.finish(Duration::from_secs(10))?.ended()?;
        for (side, report) in [caller, callee].into_iter().enumerate() {
            let skew = report.av_skew_ms.ok_or("no skew was measured")?;
            let heard = report.audio.mouth_to_ear_ms.map(|summary| summary.p50);
            let seen = report.video.glass_to_glass_ms.map(|summary| summary.p50);
            let marked = heard.zip(seen).map(|(heard, seen)| heard - seen).ok_or("no chirp or no marker was found")?;
            table.goal(
                &format!("run {}, side {}: sound after picture p50", run + 1, side + 1),
                Some(skew.p50),
                "",
                "ms",
            );
            medians.push(skew.p50);
            worst.push(skew.p95);
            apart.push((marked - skew.p50).abs());
        }
    }
    let most = |values: &[f64]| values.iter().copied().reduce(f64::max);
    let least = |values: &[f64]| values.iter().copied().reduce(f64::min);
    table.at_most("amount of the skew p95, worst side of five calls", most(&worst), 45.0, "ms");
    let middle = most(&medians).zip(least(&medians)).map(|(most, least)| (most - least) / 2.0);
    table.at_most("medians differ from their middle by", middle, 10.0, "ms");
    // A chirp is heard every half second and a sample of sound is played all the time: their medians differ a little.
    table.at_most("chirps and markers differ from the ledger by, worst side", most(&apart), 10.0, "ms");
    Ok(())
}

/// How soon after the accept there is something to hear and to see.
pub fn setup(table: &mut Table) -> Outcome<()> {
    const CALLS: usize = 20;
    let (mut audio, mut video, mut connected, mut lines) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..CALLS {
        for report in whole_call(2.0, SILENT)? {
            // A side that never heard or saw anything is as late as can be.
            connected.push(report.setup_ms.connected.unwrap_or(f64::INFINITY));
            audio.push(report.setup_ms.first_audio.unwrap_or(f64::INFINITY));
            video.push(report.setup_ms.first_video.unwrap_or(f64::INFINITY));
            lines.push(f64::from(report.video.height.unwrap_or(0)));
        }
    }
    let worst = |values: &[f64]| values.iter().copied().reduce(f64::max);
    table.goal("connected after the accept, worst of 20 calls", worst(&connected), "", "ms");
    table.at_most("first sound after the accept, worst of 20 calls", worst(&audio), 1000.0, "ms");
    table.at_most("first picture after the accept, worst of 20 calls", worst(&video), 1500.0, "ms");
    let least = lines.into_iter().reduce(f64::min);
    table.at_least("lines of the picture after two seconds, least of 20 calls", least, 720.0, "");
    Ok(())
}

/// What one side costs. Where no graphics adapter is found nothing is drawn: that is measured too.
pub fn cost(table: &mut Table) -> Outcome<()> {
    const SECONDS: f64 = 12.0;
    let share = |report: &Report| report.process.cpu_s.map(|cpu| cpu / report.seconds * 100.0);
    let [drawn, _] = whole_call(SECONDS, SILENT)?;
    table.goal("processor of one side, drawn by what is here", share(&drawn), "", "%");
    let nowhere = |key: &str| (key.to_owned(), "/nonexistent".to_owned());
    let blind = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES", "__EGL_VENDOR_LIBRARY_FILENAMES", "LIBGL_DRIVERS_PATH"];
    let env: Vec<_> = blind.into_iter().map(nowhere).collect();
    let callee = Party::listen(&Setup::new("Ben", &format!("--once {SILENT}")).with_env(&env))?;
    let caller = Setup::new("Ada", &format!("--for {SECONDS} {SILENT}")).with_env(&env);
    let caller = Party::call_to(&caller, &callee)?.finish(Duration::from_secs(40))?;
    callee.finish(Duration::from_secs(10))?.ended()?;
    let is_blind = caller.log.contains("nothing is drawn");
    let caller = caller.ended()?;
    table.goal("processor of one side, nothing drawn", share(&caller).filter(|_| is_blind), "≤ 25 %", "%");
    let decoded = caller.video.captured_to_decoded_ms.map(|summary| summary.p50);
    table.goal("captured to decoded p50, nothing drawn", decoded, "", "ms");
    let peak = caller.process.rss_peak_bytes.map(|bytes| bytes as f64 / 1e6);
    table.goal("memory of one side at most, nothing drawn", peak, "", "MB");
    Ok(())
}

/// What each length of the engine's cells costs and gives: the default is chosen from this table.
pub fn cells(table: &mut Table) -> Outcome<()> {
    for micros in [250, 500, 1000, 2500, 5000] {
        let [one, other] = whole_call(10.0, &format!("--cell {micros} {SILENT}"))?;
        let both = [&one, &other];
        let line = |text: &str| format!("cells of {:.2} ms: {text}", f64::from(micros) / 1e3);
        let mean = |of: fn(&Report) -> Option<f64>| {
            let values: Option<Vec<f64>> = both.iter().map(|report| of(report)).collect();
            values.map(|values| values.iter().sum::<f64>() / values.len() as f64)
        };
        table.goal(&line("ticks a second"), mean(|report| Some(report.ticks.n as f64 / report.seconds)), "", "");
        table.goal(&line("work of a tick p50"), mean(|report| report.ticks.work_p50_us), "", "µs");
        table.goal(&line("work of a tick p99"), mean(|report| report.ticks.work_p99_us), "", "µs");
        table.goal(&line("lateness p99"), mean(|report| report.ticks.late_p99_us), "", "µs");
        let over = mean(|report| {
            let stage = |name: &str| Some(report.video.stages_ms.get(name).copied()??.p50);
            Some(report.video.captured_to_decoded_ms?.p50 - stage("encode")? - stage("decode")?)
        });
        table.goal(&line("picture, over the codec's own time p50"), over, "", "ms");
        table.goal(&line("sound p50"), mean(|report| Some(report.audio.delay_ms?.p50)), "", "ms");
        let share = |report: &Report| Some(report.process.cpu_s? / report.seconds * 100.0);
        table.goal(&line("processor of one side"), mean(share), "", "%");
    }
    Ok(())
}

/// What is to be carried to another machine.
pub fn size(table: &mut Table) -> Outcome<()> {
    let path = program()?;
    let size = std::fs::metadata(&path).map_err(|error| format!("{}: {error}", path.display()))?.len();
    table.goal("the program's file, with its line tables", Some(size as f64 / 1e6), "", "MB");
    Ok(())
}
