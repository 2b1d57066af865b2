//! Results as lines that a person reads, or that a spreadsheet does.

use std::fmt::Write;

use anyhow::Result;
use engine::lab::case::MEDIA;
use engine::net::impair::PROFILES;

use super::results::{CaseResult, Key, METRICS, Results, median};

/// Paths and settings.
pub fn list(json: bool) -> Result<String> {
    let pair = |name: &str, what: &str| serde_json::json!({ "name": name, "is": what });
    if json {
        let profiles: Vec<_> = PROFILES.iter().map(|(name, _, what)| pair(name, what)).collect();
        let media: Vec<_> = MEDIA.iter().map(|(name, _, what)| pair(name, what)).collect();
        let all = serde_json::json!({ "profiles": profiles, "media": media });
        return Ok(serde_json::to_string_pretty(&all)? + "\n");
    }
    let mut out = String::from("paths (--profile), each way:\n");
    PROFILES.iter().for_each(|(name, _, what)| {
        let _ = writeln!(out, "  {name:<16}{what}");
    });
    out.push_str("settings (--media):\n");
    MEDIA.iter().for_each(|(name, _, what)| {
        let _ = writeln!(out, "  {name:<16}{what}");
    });
    Ok(out)
}

/// What stands over the lines of calls.
pub fn head() -> String {
    let heads: String = METRICS.iter().map(|metric| format!("{:>11}", metric.name)).collect();
    let units: String = METRICS.iter().map(|metric| format!("{:>11}", metric.unit)).collect();
    format!("{0:<42}{heads}\n{0:<42}{units}", "")
}

/// One call that is over.
pub fn line(case: &CaseResult) -> String {
    let figures = METRICS.iter().map(|metric| cell((metric.of)(case)));
    format!("{}seed {:<7}{}", name(&case.key()), case.seed, figures.collect::<String>())
}

/// Medians over the calls of a kind.
pub fn summary(results: &Results) -> String {
    let mut out =
        format!("Medians over the calls of a kind, {} s each, as the caller saw and heard it.\n\n", results.seconds);
    let _ = writeln!(out, "{}", head());
    for (key, cases) in results.groups() {
        let figures =
            METRICS.iter().map(|metric| cell(median(cases.iter().filter_map(|case| (metric.of)(case)).collect())));
        let _ = writeln!(out, "{}{:<12}{}", name(&key), format!("×{}", cases.len()), figures.collect::<String>());
    }
    out
}

/// One line per call, one column per figure; what was not measured is empty.
pub fn csv(results: &Results) -> String {
    let mut out = String::from("profile,media,real,seed,planted");
    METRICS.iter().for_each(|metric| {
        let _ = write!(out, ",{} ({})", metric.name, metric.unit);
    });
    out.push_str(",decisions,schedule\n");
    for case in &results.cases {
        // A path in KEY=VALUE form has commas.
        let planted = case.planted.clone().unwrap_or_default();
        let _ =
            write!(out, "\"{}\",{},{},{},{planted}", case.profile.replace('"', "'"), case.media, case.real, case.seed);
        for metric in &METRICS {
            let _ = write!(out, ",{}", (metric.of)(case).map_or_else(String::new, |value| format!("{value:.3}")));
        }
        let _ = writeln!(out, ",{},{}", case.decisions, case.schedule);
    }
    out
}

pub fn name(key: &Key) -> String {
    format!("{:<16}{:<8}{:<6}", key.profile, key.media, if key.real { "real" } else { "model" })
}

fn cell(value: Option<f64>) -> String {
    value.map_or_else(|| format!("{:>11}", "–"), |value| format!("{value:>11.1}"))
}
