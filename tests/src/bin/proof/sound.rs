//! Mouth to ear through real device interfaces: cpal and PulseAudio at both ends of a call.

use std::time::Duration;

use engine::media::report::{AudioReport, Report};
use engine::media::summary::Summary;
use visavis_app::pulse::Pulse;
use visavis_tests::Outcome;
use visavis_tests::party::{Party, Setup};
use visavis_tests::probe::hear;

use crate::table::Table;

/// Devices, servers and programs begin with other phases each time.
const STARTS: usize = 10;
/// Of the other settings fewer.
const FEW: usize = 3;
/// Chirps that must be heard in each call, one each half second.
const CHIRPS: u64 = 40;

/// One call between two programs of one sound server.
struct Start {
    heard: Summary,
    spoilt: u64,
    report: Report,
}

pub fn through_devices(table: &mut Table) -> Outcome<()> {
    let pulse = Pulse::start().map_err(|error| error.to_string())?;
    // From the loudspeaker straight to the microphone that hears it: what the devices and the rig take by themselves.
    let bare = hear(&pulse, "mouth", "microphone", 16)?;
    table.goal("the same devices without a call p50", bare.delay_ms.map(|delay| delay.p50), "", "ms");
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        let start = call(&pulse, "--processing off")?;
        print_stages(&start);
        starts.push(start);
    }
    let of = |pick: fn(&Summary) -> f64| sorted(starts.iter().map(|start| pick(&start.heard)));
    let (p50, p95) = (of(|heard| heard.p50), of(|heard| heard.p95));
    table.at_least(
        "chirps heard in each call",
        starts.iter().map(|start| start.heard.n as f64).reduce(f64::min),
        CHIRPS as f64,
        "",
    );
    table.goal("chirps with a hole in them", Some(starts.iter().map(|start| start.spoilt as f64).sum()), "", "");
    table.at_most("mouth to ear p50, median of ten starts", Some(middle(&p50)), 18.0, "ms");
    table.at_most("mouth to ear p95, median of ten starts", Some(middle(&p95)), 24.0, "ms");
    table.at_most("range of the ten medians", Some(p50[p50.len() - 1] - p50[0]), 4.0, "ms");
    table.goal("mouth to ear at most", of(|heard| heard.max).last().copied(), "", "ms");
    let concealed = sorted(starts.iter().filter_map(|start| start.report.audio.concealed_ratio));
    table.goal("sound concealed, the worst call", concealed.last().map(|ratio| ratio * 100.0), "≤ 0.1 %", "%");
    let ratios =
        |pick: fn(&AudioReport) -> Option<f64>| sorted(starts.iter().filter_map(|start| pick(&start.report.audio)));
    let cut = ratios(|audio| Some((audio.accelerated_ratio? + audio.decelerated_ratio?) * 100.0));
    table.goal("sound cut out or put in, the worst call", cut.last().copied(), "", "%");
    let dry: u64 = starts.iter().filter_map(|start| start.report.audio.underruns).sum();
    table.goal("loudspeaker's ring ran dry", Some(dry as f64), "0", "");
    let plain = middle(&p50);
    let longer = |args: &str| -> Outcome<f64> {
        let mut medians = Vec::new();
        for _ in 0..FEW {
            let start = call(&pulse, args)?;
            print_stages(&start);
            medians.push(start.heard.p50);
        }
        Ok(middle(&sorted(medians.into_iter())))
    };
    let twenty = longer("--processing off --frame 20")?;
    table.at_most("frames of 20 ms: mouth to ear p50", Some(twenty), 36.0, "ms");
    let processed = longer("--processing on")?;
    table.at_most("all processing on: more by", Some(processed - plain), 10.0, "ms");
    Ok(())
}

/// A call from a fresh program to a fresh program, with `args` for both; what comes out of its ear of what goes into its
/// mouth.
fn call(pulse: &Pulse, args: &str) -> Outcome<Start> {
    let env = pulse.env();
    let callee = format!("--once --video none --mic none --speaker ear {args}");
    let mut callee = Party::listen(&Setup::new("Ben", &callee).with_env(&env))?;
    let caller = Setup::new("Ada", &format!("--video none --mic microphone --speaker none {args}")).with_env(&env);
    let mut caller = Party::call_to(&caller, &callee)?;
    for party in [&mut caller, &mut callee] {
        party.wait_for("in call with", Duration::from_secs(15))?;
    }
    let heard = hear(pulse, "mouth", "listen", CHIRPS)?;
    caller.terminate()?;
    let (caller, callee) = (caller.finish(Duration::from_secs(10))?, callee.finish(Duration::from_secs(10))?);
    for log in [&caller.log, &callee.log] {
        // A device that could not be opened would be said there.
        print!("{}", log.lines().filter(|line| line.contains("cannot") || line.contains("no ")).collect::<String>());
    }
    let (_, report) = (caller.ended()?, callee.ended()?);
    let delay = heard.delay_ms.ok_or("no chirp was heard")?;
    Ok(Start { heard: delay, spoilt: heard.spoilt, report: report.clone() })
}

/// Where the time goes, by the callee's report.
fn print_stages(start: &Start) {
    let Summary { p50, p95, max, .. } = start.heard;
    print!("  mouth to ear p50 {p50:.1} p95 {p95:.1} most {max:.1} ms;");
    for (name, stage) in &start.report.audio.stages_ms {
        print!(" {name} {:.1}", stage.p50);
    }
    println!("; captured to played {:.1}", start.report.audio.delay_ms.map_or(f64::NAN, |delay| delay.p50));
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Of sorted ones.
fn middle(values: &[f64]) -> f64 {
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
