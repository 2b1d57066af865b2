//! What a probe has found, for people and for programs.

use std::fmt::Write;

use engine::base::time::Duration;
use engine::media::summary::Summary;
use engine::source::SourceSpec;
use serde::{Deserialize, Serialize};

use super::audio::{Heard, Plan};
use super::places::{Place, Seen};

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
    /// Chirps that were played after the start and had the time to be heard.
    pub played: u64,
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
            played: heard.played,
        }
    }

    /// The table that a person reads.
    pub fn table(&self) -> String {
        table(&[("chirps", self.delay_ms)], &[("spoilt", self.spoilt), ("played", self.played)])
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

/// `visavis probe video --json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VideoReport {
    pub version: u32,
    /// `video`.
    pub kind: String,
    pub source: String,
    /// At the latest place outside of the probe's own window; `None` where no marker was seen there.
    pub delay_ms: Option<Summary>,
    /// In the probe's own window, where the source is a screen: what drawing, the display and the capture take.
    pub own_ms: Option<Summary>,
    /// Pictures of the source that were looked at.
    pub pictures: u64,
    /// Different markers that were seen, wherever.
    pub distinct: u64,
    /// All places outside of the own window, the latest first.
    pub places: Vec<PlaceReport>,
}

/// One place: where the marker's strip was last, in pixels of the source's picture, and how late markers were there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlaceReport {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub delay_ms: Option<Summary>,
}

impl PlaceReport {
    fn new(place: &Place) -> Self {
        let [x, y, width] = [place.area.x, place.area.y, place.area.width].map(|number| number.round() as u32);
        Self { x, y, width, delay_ms: place.delays.summary() }
    }
}

impl VideoReport {
    pub fn new(source: &SourceSpec, seen: &Seen) -> Self {
        let places: Vec<PlaceReport> = seen.others().into_iter().map(PlaceReport::new).collect();
        Self {
            version: VERSION,
            kind: "video".into(),
            source: source.to_string(),
            delay_ms: places.first().and_then(|place| place.delay_ms),
            own_ms: seen.own().and_then(|own| own.delays.summary()),
            pictures: seen.pictures,
            distinct: seen.distinct(),
            places,
        }
    }

    /// The table that a person reads.
    pub fn table(&self) -> String {
        let names: Vec<String> = self.places.iter().map(|place| format!("at {},{}", place.x, place.y)).collect();
        let mut rows = vec![("markers", self.delay_ms)];
        rows.extend(self.own_ms.map(|own| ("own window", Some(own))));
        if self.places.len() > 1 {
            rows.extend(names.iter().map(String::as_str).zip(self.places.iter().map(|place| place.delay_ms)));
        }
        table(&rows, &[("pictures", self.pictures), ("distinct", self.distinct)])
    }

    /// Why there is no figure at all, in one line with what to check; `None` where there is one.
    pub(super) fn nothing(&self, patience: Duration) -> Option<String> {
        let Self { source, pictures, .. } = self;
        (self.delay_ms.is_none() && self.own_ms.is_none()).then(|| {
            format!(
                "no marker of the probe was seen in {pictures} pictures of {source} within {:.0} s: check that its window, \
                 or the program that shows it, can be seen there uncovered, upright and at least 160 pixels wide",
                patience.as_secs_f64()
            )
        })
    }
}

/// Rows of figures, headed, and counts below.
fn table(rows: &[(&str, Option<Summary>)], counts: &[(&str, u64)]) -> String {
    let mut out = format!("  {:<12}{:>6}{:>10}{:>10}{:>10}{:>10}\n", "", "n", "p50", "p95", "p99", "max");
    for (name, delays) in rows {
        let _ = match delays {
            Some(Summary { n, p50, p95, p99, max }) => {
                writeln!(out, "  {name:<12}{n:>6}{p50:>10.2}{p95:>10.2}{p99:>10.2}{max:>10.2} ms")
            }
            None => writeln!(out, "  {name:<12}{:>6}{:>10}{:>10}{:>10}{:>10}", 0, "–", "–", "–", "–"),
        };
    }
    for (name, count) in counts {
        let _ = writeln!(out, "  {name:<12}{count:>6}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(delay_ms: Option<Summary>) -> AudioReport {
        let (out, input) = ("mouth".into(), "ear".into());
        let (kind, delays_ms) = ("audio".into(), Vec::new());
        AudioReport { version: VERSION, kind, out, input, delay_ms, delays_ms, spoilt: 0, played: 4 }
    }

    #[test]
    fn what_was_not_measured_is_null_and_a_dash() {
        let nothing = report(None);
        let json = serde_json::to_string(&nothing).expect("JSON");
        assert_eq!(
            json,
            r#"{"version":1,"kind":"audio","out":"mouth","in":"ear","delay_ms":null,"delays_ms":[],"spoilt":0,"played":4}"#
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
