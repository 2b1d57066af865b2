//! A million malformed packets of sound.

use std::panic::{AssertUnwindSafe, catch_unwind};

use engine::codec::opus::{FrameLength, LOUDEST};
use visavis_tests::malformed::{Plan, Survived, survive};
use visavis_tests::{Outcome, speech};

use crate::table::Table;

const PACKETS: usize = 1_000_000;
/// Of each frame length.
const ROUNDS: usize = 20;
const SEED: u64 = 1;
/// Of speech while somebody speaks.
const LEVEL: f32 = -23.0;
/// In percent: fading one into another may add a little.
const FADED: f64 = 102.0;
const LOUD: f64 = LOUDEST as f64 * FADED;
/// Two seconds of sound are the most that the jitter buffer keeps, and of packets 800.
const MOST_PACKETS: f64 = 800.0;
const MOST_SAMPLES: f64 = 96_000.0;

pub fn malformed(table: &mut Table) -> Outcome<()> {
    let speech = speech::near(LEVEL)?;
    let mut all = 0;
    for length in FrameLength::ALL {
        // Rounded up, so that they are a million together.
        let malformed = PACKETS.div_ceil(FrameLength::ALL.len() * ROUNDS);
        let plan = Plan { seed: SEED, length, malformed, rounds: ROUNDS, planted: None };
        let ms = length.duration().as_secs_f64() * 1e3;
        let line = |text: &str| format!("{ms} ms: {text}");
        let survived = catch_unwind(AssertUnwindSafe(|| survive(&plan, &speech)));
        table.holds(&line("nothing panics"), survived.is_ok(), "");
        let Ok(survived) = survived else { continue };
        let survived = survived?;
        rows(table, &line, &survived);
        all += survived.malformed;
    }
    table.at_least("malformed packets", Some(all as f64), PACKETS as f64, "");
    Ok(())
}

fn rows(table: &mut Table, line: &dyn Fn(&str) -> String, survived: &Survived) {
    table.goal(&line("malformed packets"), Some(survived.malformed as f64), "", "");
    table.goal(&line("whole packets before, between and after"), Some(survived.whole as f64), "", "");
    table.goal(&line("packets of both taken for sound"), Some(survived.filed as f64), "", "");
    table.goal(&line("sound played"), Some(survived.played as f64 / 48_000.0), "", "s");
    table.at_most(&line("samples that are not finite"), Some(survived.not_finite as f64), 0.0, "");
    let percent = |sample: f32| Some(f64::from(sample) * 100.0);
    table.at_most(&line("the loudest sample, of full scale"), percent(survived.loudest), LOUD, "%");
    let whole = f64::from(survived.loudest_whole) * FADED;
    table.at_most(&line("from the seventh second of whole sound on"), percent(survived.loudest_settled), whole, "%");
    table.at_most(&line("packets waiting at most"), Some(survived.most_packets as f64), MOST_PACKETS, "");
    table.at_most(&line("decoded samples waiting at most"), Some(survived.most_samples as f64), MOST_SAMPLES, "");
    table.at_most(&line("memory grown at its most"), Some(survived.grown as f64 / 1e6), 8.0, "MB");
    let back = format!("whole sound again: back at {:.1} + 20 ms in", survived.baseline);
    table.at_most(&line(&back), survived.back, 5.0, "s");
    table.at_most(&line("made up from its seventh second on"), Some(survived.made_up as f64), 0.0, "samples");
}
