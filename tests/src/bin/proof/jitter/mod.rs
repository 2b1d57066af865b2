//! Our jitter buffer, the crate `neteq` and a clairvoyant oracle on the same paths, in virtual time.
//!
//! What a listener waits for is the delay from a packet's sending to its playing. The oracle is what remains of it with
//! every arrival known beforehand, at the share of late packets that ours had. Ours is to be above it by half of what
//! `neteq` is at most, with no more sound missing. The first seed has to show it; the others are to show that the buffer
//! was not made for that one.

mod clock;
mod oracle;
mod ours;
mod theirs;
mod traces;
mod voice;

use visavis_tests::Outcome;

use self::traces::{KINDS, Trace};
use crate::table::Table;

/// What a listener got.
#[derive(Default)]
struct Heard {
    /// When something was played, and how long after it was sent; microseconds, milliseconds.
    delays: Vec<(i64, f64)>,
    /// Samples that were not the sender's: made up, or left out with nothing in their place.
    missing: u64,
    samples: u64,
}

/// Mean and 95th percentile.
#[derive(Clone, Copy)]
struct Delay {
    mean: f64,
    p95: f64,
}

/// What the first seconds of a call are like is another question.
const SETTLED: i64 = 10_000_000;

impl Heard {
    fn delay(&self) -> Delay {
        delay(self.delays.iter().filter(|(at, _)| *at >= SETTLED).map(|(_, delay)| *delay).collect())
    }

    fn missing(&self) -> f64 {
        self.missing as f64 / self.samples as f64
    }
}

/// What is usual.
const SAFETY: u8 = 50;
/// Seconds of each path.
const LENGTH: i64 = 240;
/// Microseconds of a packet; `neteq` takes none shorter than 10 ms well.
const PACKET: i64 = 20_000;
/// What ours are when the engine chooses.
const SHORT_PACKET: i64 = 5_000;
/// The one the buffer was made with, and others to see that it was not made for that one.
const SEEDS: [u64; 4] = [1, 20, 300, 4000];

pub fn against_neteq(table: &mut Table) -> Outcome<()> {
    println!(
        "  {:<22} {:>5} | {:>13} | {:>13} | {:>20} | {:>20} | {:>20}",
        "", "lost", "oracle, fast", "oracle", "neteq", "ours", "ours, 5 ms"
    );
    for seed in SEEDS {
        for kind in KINDS {
            compare(table, &kind.trace(seed, PACKET, LENGTH), &kind.trace(seed, SHORT_PACKET, LENGTH), seed)?;
        }
    }
    Ok(())
}

fn compare(table: &mut Table, trace: &Trace, short: &Trace, seed: u64) -> Outcome<()> {
    let (ours, short) = (ours::play(trace, SAFETY), ours::play(short, SAFETY));
    let theirs = theirs::play(trace).map_err(|error| error.to_string())?;
    let lost =
        trace.packets.iter().filter(|packet| packet.arrival.is_none()).count() as f64 / trace.packets.len() as f64;
    let late = (ours.missing() - lost).max(0.0);
    let oracle = |slew| delay(oracle::delays(trace, late, slew));
    let (fast, slow) = (oracle(oracle::FAST), oracle(oracle::SLOW));
    let name = format!("{} ({seed})", trace.name);
    let both = |delay: Delay| format!("{:>6.1} {:>6.1}", delay.mean, delay.p95);
    let all = |heard: &Heard| format!("{} {:>5.2}%", both(heard.delay()), heard.missing() * 100.0);
    println!(
        "  {name:<22} {:>4.1}% | {} | {} | {} | {} | {}",
        lost * 100.0,
        both(fast),
        both(slow),
        all(&theirs),
        all(&ours),
        all(&short)
    );
    let above = theirs.delay().mean - slow.mean;
    // A path on which theirs is below an oracle that may only change slowly: ours is to be no higher.
    let half = if above > 0.0 { above / 2.0 } else { above };
    let rows = [
        ("mean above the oracle's", ours.delay().mean - slow.mean, half, "ms"),
        ("p95 above the oracle's", ours.delay().p95 - slow.p95, 15.0, "ms"),
        ("missing", ours.missing() * 100.0, theirs.missing() * 100.0, "%"),
    ];
    for (what, figure, most, unit) in rows {
        let line = format!("{name}: {what}");
        if seed != SEEDS[0] {
            table.goal(&line, Some(figure), &format!("≤ {most:.2} {unit}"), unit);
        } else {
            table.at_most(&line, Some(figure), most, unit);
        }
    }
    Ok(())
}

fn delay(mut delays: Vec<f64>) -> Delay {
    delays.sort_unstable_by(f64::total_cmp);
    let mean = delays.iter().sum::<f64>() / delays.len() as f64;
    Delay { mean, p95: delays[delays.len() * 95 / 100] }
}
