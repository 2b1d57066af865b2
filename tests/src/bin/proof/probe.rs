//! Whether the probe can be trusted: what it makes of delays that are known.

use std::time::Duration;

use visavis_tests::Outcome;
use visavis_tests::probe::{known_copy, known_loop};

use crate::table::Table;

pub fn known(table: &mut Table) -> Outcome<()> {
    const LOOP: u32 = 100;
    let known = known_loop(LOOP, 40)?;
    let measured = known.measured();
    table.goal("sound: the loop by itself p50", Some(known.bare[0].p50), "", "ms");
    table.goal("sound: the loop by itself, afterwards less before", Some(known.drift()), "", "ms");
    table.goal("sound: 100 ms more, as measured", Some(measured), "100", "ms");
    table.at_most("sound: how far off that is", Some((measured - f64::from(LOOP)).abs()), 3.0, "ms");

    // The mirror itself looks each 10 ms and takes some to draw: its delay is known from below.
    let copied = known_copy(Duration::from_millis(200), 600)?;
    let own = copied.own_ms.map(|own| own.p50);
    let over = copied.delay_ms.zip(own).map(|(late, own)| late.p50 - own);
    table.goal("picture: the own window p50", own, "", "ms");
    table.at_least("picture: a copy 200 ms late, less the own window", over, 195.0, "ms");
    table.at_most("picture: the same", over, 230.0, "ms");
    Ok(())
}
