//! Whether the network test names what is wrong.

use visavis_tests::Outcome;
use visavis_tests::judged::{ALL, PROGRAMS};
use visavis_tests::netns::missing;

use crate::table::Table;

pub fn causes(table: &mut Table) -> Outcome<()> {
    if let Some(why) = missing(&PROGRAMS) {
        return Err(why);
    }
    let (mut right, mut longest) = (0, 0.0_f64);
    for ill in ALL {
        let judged = ill.judge()?;
        let is_right = match ill.cause() {
            Some(cause) => judged.causes.first().is_some_and(|first| first == cause),
            None => judged.healthy,
        };
        right += u32::from(is_right);
        longest = longest.max(judged.seconds);
        let wanted = ill.cause().unwrap_or("healthy");
        table.holds(&format!("{ill:?}: {} in {:.1} s", judged.causes.join(", "), judged.seconds), is_right, wanted);
    }
    table.at_least("networks of which the cause is named first", Some(f64::from(right)), ALL.len() as f64, "");
    table.at_most("the longest test", Some(longest), 20.0, "s");
    Ok(())
}
