//! Paths that carry little more than sound, or less.

use std::time::Duration;

use engine::base::rate::Bitrate;
use visavis_tests::Outcome;

use super::call::{Call, path, quantile};
use crate::table::Table;

const DELAY: Duration = Duration::from_millis(20);
const SEEDS: u64 = 3;

/// 300, 100, 50 and 25 kbit/s, and then a path that carries all.
pub fn thin(table: &mut Table) -> Outcome<()> {
    for kbps in [500, 300, 100, 50, 25] {
        let (mut queue, mut concealed, mut shown, mut back) = (Vec::new(), 0f64, Vec::new(), Vec::new());
        for seed in 1..=SEEDS {
            let mut call =
                Call::new(path(&format!("delay=20,rate={kbps},queue=1000"))?, seed, Bitrate::from_kbps(2500))?;
            call.run(10.0);
            call.lab.look(call.ada);
            call.run(110.0);
            concealed = concealed.max(call.lab.look(call.ada).concealed.unwrap_or(1.0));
            for from in [call.ada, call.ben] {
                queue.extend(call.waited(from, (0.0, 120.0), DELAY));
                shown.push(call.came(from, (90.0, 120.0)).filter(|crossing| crossing.is_video).count() as f64);
            }
            call.lab.change_paths(path("delay=20,rate=4000,queue=1000")?);
            call.run(120.0);
            for from in [call.ada, call.ben] {
                let first = call.came(from, (120.0, 240.0)).find(|crossing| crossing.is_video);
                back.push(first.map_or(f64::INFINITY, |crossing| crossing.arrived.as_secs_f64() - 120.0));
            }
        }
        let line = |text: &str| format!("{kbps} kbit/s: {text}");
        table.at_most(&line("queue over two minutes p95"), quantile(queue.clone(), 0.95), 400.0, "ms");
        table.goal("  queue p50", quantile(queue, 0.5), "", "ms");
        table.goal("  sound concealed after ten seconds, most", Some(concealed * 100.0), "≤ 2", "%");
        let most = shown.iter().copied().reduce(f64::max);
        let least = shown.into_iter().reduce(f64::min);
        if kbps >= 300 {
            table.at_least("  packets of pictures in the last half minute", least, 30.0, "");
        } else {
            table.at_most("  packets of pictures in the last half minute", most, 0.0, "");
        }
        table.at_most("  pictures back after 4 Mbit/s, at most", back.into_iter().reduce(f64::max), 30.0, "s");
    }
    Ok(())
}
