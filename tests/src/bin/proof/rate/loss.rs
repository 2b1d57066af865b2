//! Lost packets of pictures, and how soon there is a good picture again.

use engine::base::rate::Bitrate;
use visavis_tests::Outcome;

use super::call::{Call, path, quantile};
use crate::table::Table;

const SEEDS: u64 = 5;

/// Losses by chance, and thirty packets in a row.
pub fn losses(table: &mut Table) -> Outcome<()> {
    for (loss, must) in [(2, 1.0), (5, 3.0), (10, 10.0)] {
        for kbps in [2500, 1000] {
            at_random(table, loss, must, kbps)?;
        }
    }
    for kbps in [1500, 3000] {
        in_a_row(table, kbps, "")?;
        in_a_row(table, kbps, &format!(",rate={}", kbps + 300))?;
    }
    Ok(())
}

fn at_random(table: &mut Table, loss: u32, must: f64, kbps: u64) -> Outcome<()> {
    let (mut frozen, mut longest, mut waits, mut glass) = (0f64, 0f64, Vec::new(), Vec::new());
    for seed in 1..=SEEDS {
        let mut call = Call::new(path(&format!("delay=50,loss={loss}"))?, seed, Bitrate::from_kbps(kbps))?;
        call.run(60.0);
        for report in call.end()? {
            frozen = frozen.max(report.video.freeze_ratio.unwrap_or(1.0));
            longest = longest.max(report.video.longest_freeze_ms.unwrap_or(f64::INFINITY));
            waits.extend(report.video.keyframe_wait_ms.map(|wait| wait.max));
            glass.extend(report.video.glass_to_glass_ms.map(|glass| glass.p50));
        }
    }
    let line = format!("{loss} % lost, round trip 100 ms, {kbps} kbit/s: frozen, most");
    let is_wide = kbps >= 2500;
    match is_wide {
        true => table.at_most(&line, Some(frozen * 100.0), must, "%"),
        false => table.goal(&line, Some(frozen * 100.0), "", "%"),
    }
    match is_wide {
        true => table.at_most("  the longest freeze", Some(longest), 1000.0, "ms"),
        false => table.goal("  the longest freeze", Some(longest), "", "ms"),
    }
    let most = if is_wide { 250.0 } else { 400.0 };
    // Where no keyframe was asked for, none was late.
    table.at_most(
        "  keyframe asked for until it is there, longest",
        waits.into_iter().reduce(f64::max).or(Some(0.0)),
        most,
        "ms",
    );
    table.goal("  glass to glass p50", quantile(glass, 0.5), "", "ms");
    asked(table, loss, kbps, most)
}

/// Keyframes are asked for every second or so, as after a decoder's error: nothing but a keyframe helps then.
fn asked(table: &mut Table, loss: u32, kbps: u64, most: f64) -> Outcome<()> {
    let mut waits = Vec::new();
    for seed in 1..=SEEDS {
        let mut call = Call::new(path(&format!("delay=50,loss={loss}"))?, seed, Bitrate::from_kbps(kbps))?;
        call.run(10.0);
        for turn in 0..20 {
            let asked = call.lab.passed();
            call.lab.want_keyframes(call.ada);
            while call.lab.is_blocked(call.ada) {
                call.run(0.002);
            }
            waits.push((call.lab.passed() - asked).as_secs_f64() * 1e3);
            call.run(1.2 + f64::from(turn) * 0.0071);
        }
    }
    table.at_most("  asked for 100 times: there after, p95", quantile(waits.clone(), 0.95), most, "ms");
    table.goal("  longest", waits.into_iter().reduce(f64::max), &format!("≤ {most}"), "ms");
    Ok(())
}

/// Thirty packets in a row are lost.
fn in_a_row(table: &mut Table, kbps: u64, narrow: &str) -> Outcome<()> {
    const TIMES: u32 = 10;
    let mut waits = Vec::new();
    for seed in 1..=SEEDS {
        let mut call = Call::new(path(&format!("delay=50{narrow}"))?, seed, Bitrate::from_kbps(kbps))?;
        call.run(10.0);
        for turn in 0..TIMES {
            call.run(3.0 + f64::from(turn) * 0.0071);
            call.lab.lose_pictures(call.ben, 30);
            let mut lost = None;
            while lost.is_none() {
                call.run(0.001);
                lost = call.lab.lost_at();
            }
            let lost = lost.unwrap_or_default();
            // Pictures that were whole before are still on their way for half a round trip.
            let before = call.lab.passed();
            let mut last = call.lab.glass_ms(call.ada).len();
            let mut gap = 0f64;
            let mut since = before;
            while call.lab.passed() < before + std::time::Duration::from_secs(2) {
                call.run(0.001);
                let count = call.lab.glass_ms(call.ada).len();
                if count > last {
                    let wait = (call.lab.passed() - since).as_secs_f64() * 1e3;
                    if wait > gap {
                        gap = wait;
                        waits.push((turn, seed, (call.lab.passed() - lost).as_secs_f64() * 1e3));
                    }
                    (last, since) = (count, call.lab.passed());
                }
            }
        }
    }
    // Of each turn the picture after the longest gap.
    let mut worst: Vec<f64> = Vec::new();
    for (index, (turn, seed, wait)) in waits.iter().enumerate() {
        if waits.get(index + 1).is_none_or(|next| (next.0, next.1) != (*turn, *seed)) {
            worst.push(*wait);
        }
    }
    let path = if narrow.is_empty() { "a wide path" } else { "a path as wide" };
    let line = format!("30 packets lost at {kbps} kbit/s on {path}: a good picture after");
    let most = worst.iter().copied().reduce(f64::max);
    match narrow.is_empty() {
        true => table.at_most(&line, most, 400.0, "ms"),
        false => table.goal(&line, most, "≤ 400", "ms"),
    }
    table.goal("  in the middle", quantile(worst, 0.5), "", "ms");
    Ok(())
}
