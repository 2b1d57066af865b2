//! A path that loses most of its capacity, and gets it back.

use std::time::Duration;

use engine::base::rate::Bitrate;
use visavis_tests::Outcome;

use super::call::{Call, path, quantile, queue_ms};
use crate::table::Table;

const SEEDS: u64 = 10;
const DELAY: Duration = Duration::from_millis(20);
/// Seconds of each capacity.
const EACH: f64 = 20.0;

/// What one run showed, both directions.
#[derive(Default)]
struct Found {
    /// When the queue was over 150 ms for the last time before the capacity came back, seconds after the drop.
    over: Vec<f64>,
    /// Share of the time from three seconds after the drop in which it was that long again.
    tries: Vec<f64>,
    queue: Vec<f64>,
    /// When a second first carried 70 %, after the rise.
    risen: Vec<f64>,
    /// Share of the capacity used in the last ten seconds of each part.
    steady: Vec<f64>,
}

/// 2 → 0.6 → 2 and 4 → 0.4 → 4 Mbit/s.
pub fn steps(table: &mut Table) -> Outcome<()> {
    for (high, low) in [(2000, 600), (4000, 400)] {
        let mut found = Found::default();
        for seed in 1..=SEEDS {
            run(high, low, seed, &mut found)?;
        }
        let line = |text: &str| format!("{high} → {low} → {high} kbit/s: {text}");
        let worst = |values: Vec<f64>| values.into_iter().reduce(f64::max);
        table.at_most(&line("queue under 150 ms for good after the drop"), worst(found.over), 2.0, "s");
        table.goal(
            "  over 150 ms again later, of the time, most",
            worst(found.tries).map(|share| share * 100.0),
            "",
            "%",
        );
        table.goal("  queue p50, both directions, 10 seeds", quantile(found.queue.clone(), 0.5), "", "ms");
        table.at_most("  queue p95", quantile(found.queue, 0.95), 250.0, "ms");
        table.at_most("  70 % of the capacity used after the rise, at most", worst(found.risen), 10.0, "s");
        let least = found.steady.into_iter().reduce(f64::min);
        table.at_least("  used in the steady state, least", least.map(|share| share * 100.0), 85.0, "%");
    }
    Ok(())
}

fn run(high: u64, low: u64, seed: u64, found: &mut Found) -> Outcome<()> {
    let is = |kbps: u64| path(&format!("delay=20,rate={kbps},queue=1000"));
    let mut call = Call::new(is(high)?, seed, Bitrate::from_kbps(6000))?;
    // Where in a picture's time the change comes is another moment each time.
    let drop = EACH + seed as f64 * 0.0137;
    call.run(drop);
    call.lab.change_paths(is(low)?);
    call.run(EACH);
    call.lab.change_paths(is(high)?);
    call.run(EACH);
    let rise = drop + EACH;
    for from in [call.ada, call.ben] {
        let late: Vec<f64> = call
            .came(from, (drop, rise))
            .filter(|crossing| queue_ms(crossing, DELAY) > 150.0)
            .map(|crossing| crossing.arrived.as_secs_f64() - drop)
            .collect();
        found.over.push(late.last().copied().unwrap_or(0.0));
        let tenths = call.waited(from, (drop + 3.0, rise), DELAY);
        found.tries.push(tenths.iter().filter(|queue| **queue > 150.0).count() as f64 / tenths.len().max(1) as f64);
        found.queue.extend(call.queues(from, (0.0, rise + EACH), DELAY));
        let tenths = (0..(EACH * 10.0) as u32).map(|tenth| f64::from(tenth) / 10.0);
        let enough = 0.7 * high as f64 * 1e3;
        let risen = tenths.into_iter().find(|after| call.rate(from, (rise + after, rise + after + 1.0)) >= enough);
        found.risen.push(risen.map_or(f64::INFINITY, |after| after + 1.0));
        for (end, kbps) in [(drop, high), (rise, low), (rise + EACH, high)] {
            found.steady.push(call.rate(from, (end - 10.0, end)) / (kbps as f64 * 1e3));
        }
    }
    Ok(())
}
