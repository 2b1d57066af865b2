//! The file of results, version 1.

use std::path::Path;

use anyhow::Result;
use engine::base::error::{Error, Kind};
use engine::lab::case::{Case, Measured, Moment};
use engine::media::report::Report;
use serde::{Deserialize, Serialize};

const VERSION: u32 = 1;
const KIND: &str = "visavis bench";
/// What `--rival` writes: of another form.
pub const RIVAL: &str = "visavis bench rival";

/// What `visavis bench --out` writes.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Results {
    pub version: u32,
    pub kind: String,
    /// The length of each call.
    pub seconds: f64,
    pub cases: Vec<CaseResult>,
}

/// One call.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct CaseResult {
    pub profile: String,
    pub media: String,
    /// Real encryption and codecs.
    pub real: bool,
    pub seed: u64,
    /// What was put in on purpose.
    pub planted: Option<String>,
    pub caller: Report,
    pub callee: Report,
    pub moments: Vec<Moment>,
    /// How many pictures took how long: whole milliseconds from 0 on.
    pub glass_ms: Vec<u32>,
    /// All that was decided, and all datagrams, as numbers: the same for the same call.
    pub decisions: String,
    pub schedule: String,
}

/// A picture later than this is counted with those that took so long.
const LONGEST_MS: usize = 3000;

impl Results {
    pub fn new(seconds: f64) -> Self {
        Self { version: VERSION, kind: KIND.to_owned(), seconds, cases: Vec::new() }
    }

    /// # Errors
    /// `Malformed`, with a line for the person: no such file, not such a file, of another version, cut off.
    pub fn read(path: &Path) -> Result<Self> {
        let wrong = |text: String| Error::new(Kind::Malformed, format!("{}: {text}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
        let value: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| wrong(format!("not whole, or no JSON: {error}")))?;
        match value.get("kind").and_then(|kind| kind.as_str()) {
            Some(KIND) => {}
            Some(RIVAL) => {
                return Err(wrong("`compare` reads no comparison with another program".to_owned()).into());
            }
            _ => return Err(wrong("these are no results of `visavis bench`".to_owned()).into()),
        }
        match value.get("version").and_then(serde_json::Value::as_u64) {
            Some(version) if version == u64::from(VERSION) => {}
            _ => return Err(wrong("the results are of another version of the program".to_owned()).into()),
        }
        let results: Self =
            serde_json::from_value(value).map_err(|error| wrong(format!("edited or damaged: {error}")))?;
        if results.cases.is_empty() {
            return Err(wrong("there is no call in it".to_owned()).into());
        }
        Ok(results)
    }

    /// The calls of the same kind together, in the order of the file.
    pub fn groups(&self) -> Vec<(Key, Vec<&CaseResult>)> {
        let mut groups: Vec<(Key, Vec<&CaseResult>)> = Vec::new();
        for case in &self.cases {
            let key = case.key();
            match groups.iter_mut().find(|(known, _)| *known == key) {
                Some((_, cases)) => cases.push(case),
                None => groups.push((key, vec![case])),
            }
        }
        groups
    }
}

/// What calls are compared under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub profile: String,
    pub media: String,
    pub real: bool,
}

impl CaseResult {
    pub fn new(profile: &str, planted: Option<&str>, case: &Case, measured: Measured) -> Self {
        let Measured { reports: [caller, callee], moments, glass_ms, decisions, schedule } = measured;
        let mut counts = Vec::new();
        for ms in glass_ms {
            let bin = (ms.max(0.0) as usize).min(LONGEST_MS);
            if counts.len() <= bin {
                counts.resize(bin + 1, 0);
            }
            counts[bin] += 1;
        }
        Self {
            profile: profile.to_owned(),
            media: case.media.name().to_owned(),
            real: case.real,
            seed: case.seed,
            planted: planted.map(str::to_owned),
            caller,
            callee,
            moments,
            glass_ms: counts,
            decisions: format!("{decisions:016x}"),
            schedule: format!("{schedule:016x}"),
        }
    }

    pub fn key(&self) -> Key {
        Key { profile: self.profile.clone(), media: self.media.clone(), real: self.real }
    }
}

/// One figure of a call, by which calls are judged.
pub struct Metric {
    pub name: &'static str,
    pub unit: &'static str,
    /// A difference below this is nothing that a person could notice.
    pub least: f64,
    /// More is better.
    pub rises: bool,
    pub of: fn(&CaseResult) -> Option<f64>,
}

/// What the summary shows and the comparison judges.
pub const METRICS: [Metric; 8] = [
    metric("glass p50", "ms", 1.0, |case| Some(case.caller.video.glass_to_glass_ms?.p50)),
    metric("glass p95", "ms", 2.0, |case| Some(case.caller.video.glass_to_glass_ms?.p95)),
    metric("sound p50", "ms", 1.0, |case| Some(case.caller.audio.delay_ms?.p50)),
    metric("sound p95", "ms", 2.0, |case| Some(case.caller.audio.delay_ms?.p95)),
    metric("concealed", "%", 0.2, |case| Some(case.caller.audio.concealed_ratio? * 100.0)),
    metric("frozen", "%", 0.5, |case| Some(case.caller.video.freeze_ratio? * 100.0)),
    Metric { rises: true, ..metric("shown", "%", 1.0, shown) },
    Metric {
        rises: true,
        ..metric("picture", "kbit/s", 50.0, |case| Some(case.callee.video.bitrate_bps? as f64 / 1e3))
    },
];

const fn metric(name: &'static str, unit: &'static str, least: f64, of: fn(&CaseResult) -> Option<f64>) -> Metric {
    Metric { name, unit, least, rises: false, of }
}

/// Of the pictures that the other side captured, those that were shown.
fn shown(case: &CaseResult) -> Option<f64> {
    let captured = case.callee.video.frames_captured;
    (captured > 0).then(|| case.caller.video.frames_presented as f64 / captured as f64 * 100.0)
}

/// The middle one of the values, or the mean of the two.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = values[(values.len() - 1) / 2];
    Some(f64::midpoint(lower, upper))
}
