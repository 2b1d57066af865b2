//! What a probe has found, for people and for programs.

use std::fmt::Write;

use engine::base::time::Duration;
use engine::media::summary::Summary;
use serde::{Deserialize, Serialize};

use super::audio::{Heard, Plan};

/// The form of the JSON.
pub const VERSION: u32 = 1;

/// `visavis probe audio --json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AudioReport {
    pub version: u32,
    /// `audio`.
    pub kind: String,
    pub out: String,
    #[serde(rename = "in")]
    pub input: String,
    /// `None` where no chirp was heard whole: what was not measured is not zero.
    pub delay_ms: Option<Summary>,
    /// Each of them, in the order in which the chirps were heard.
    pub delays_ms: Vec<f32>,
    /// Chirps that were heard and tell no delay.
    pub spoilt: u64,
}

impl AudioReport {
    pub fn new(plan: &Plan, heard: &Heard) -> Self {
        Self {
            version: VERSION,
            kind: "audio".into(),
            out: plan.out.clone(),
            input: plan.input.clone(),
            delay_ms: heard.delays.summary(),
            delays_ms: heard.delays.values().to_vec(),
            spoilt: heard.spoilt,
        }
    }

    /// The table that a person reads.
    pub fn table(&self) -> String {
        let mut out = table("chirps", self.delay_ms.as_ref());
        let _ = writeln!(out, "  {:<10}{:>6}", "spoilt", self.spoilt);
        out
    }

    /// Why there is no figure, in one line with what to check; `None` where there is one.
    pub(super) fn nothing(&self, patience: Duration) -> Option<String> {
        if self.delay_ms.is_some() {
            return None;
        }
        let Self { out, input, spoilt, .. } = self;
        Some(match spoilt {
            0 => format!(
                "no chirp of {out} was heard on {input} within {:.0} s: check that the program under test carries sound \
                 from the one to the other, that neither is muted, and that its noise suppression is off",
                patience.as_secs_f64()
            ),
            _ => format!(
                "{spoilt} chirps of {out} were heard on {input} and no two of them alike: check that the sound between \
                 them has no gaps, or measure for longer"
            ),
        })
    }
}

/// One row of figures, headed.
fn table(name: &str, delays: Option<&Summary>) -> String {
    let mut out = format!("  {:<10}{:>6}{:>10}{:>10}{:>10}{:>10}\n", "", "n", "p50", "p95", "p99", "max");
    let _ = match delays {
        Some(delays) => {
            let Summary { n, p50, p95, p99, max } = delays;
            writeln!(out, "  {name:<10}{n:>6}{p50:>10.2}{p95:>10.2}{p99:>10.2}{max:>10.2} ms")
        }
        None => writeln!(out, "  {name:<10}{:>6}{:>10}{:>10}{:>10}{:>10}", 0, "–", "–", "–", "–"),
    };
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(delay_ms: Option<Summary>) -> AudioReport {
        let (out, input) = ("mouth".into(), "ear".into());
        AudioReport { version: VERSION, kind: "audio".into(), out, input, delay_ms, delays_ms: Vec::new(), spoilt: 0 }
    }

    #[test]
    fn what_was_not_measured_is_null_and_a_dash() {
        let nothing = report(None);
        let json = serde_json::to_string(&nothing).expect("JSON");
        assert_eq!(
            json,
            r#"{"version":1,"kind":"audio","out":"mouth","in":"ear","delay_ms":null,"delays_ms":[],"spoilt":0}"#
        );
        assert!(nothing.table().contains('–'));
        assert!(nothing.nothing(Duration::from_secs(5)).is_some_and(|why| why.contains("within 5 s")));
        let some = report(Some(Summary { n: 3, p50: 5.25, p95: 6.0, p99: 6.0, max: 6.0 }));
        assert!(some.table().contains("5.25") && !some.table().contains('–'));
        assert_eq!(some.nothing(Duration::from_secs(5)), None);
        let read: AudioReport = serde_json::from_str(&serde_json::to_string(&some).expect("JSON")).expect("its own");
        assert_eq!(read, some);
    }
}
