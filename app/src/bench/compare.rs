//! What changed between two runs, and how certain that is.
//!
//! Calls with the same seed in both runs are compared as pairs, others as two samples (Welch's t-test). A figure is worse
//! when the change is one that a person could notice and chance alone would show one like it in less than one of a
//! hundred comparisons, all figures of all calls together (Bonferroni).

use std::fmt::Write;

use anyhow::Result;
use engine::base::error::{Error, Kind};
use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::results::{CaseResult, Key, METRICS, Metric, Results};
use super::table;

/// One figure of one kind of call.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    pub call: String,
    pub figure: &'static str,
    pub unit: &'static str,
    pub old: f64,
    pub new: f64,
    /// How likely it is that this is no chance, 0 to 1; `null` where there is one call only.
    pub confidence: Option<f64>,
    pub verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Same,
    Better,
    Worse,
}

/// All of them.
#[derive(Debug, Serialize)]
pub struct Compared {
    pub changes: Vec<Change>,
    /// Kinds of calls that only one of the runs has.
    pub alone: Vec<String>,
}

/// Chance may cry wolf in one of a hundred comparisons.
const ALPHA: f64 = 0.01;

/// # Errors
/// `Malformed`: the runs have no kind of call in common.
pub fn compare(old: &Results, new: &Results) -> Result<Compared> {
    let (before, after) = (old.groups(), new.groups());
    let mut pairs = Vec::new();
    let mut alone = Vec::new();
    for (key, cases) in &before {
        match after.iter().find(|(other, _)| other == key) {
            Some((_, others)) => pairs.push((key, cases, others)),
            None => alone.push(table::name(key).trim_end().to_owned()),
        }
    }
    alone.extend(
        after
            .iter()
            .filter(|(key, _)| before.iter().all(|(known, _)| known != key))
            .map(|(key, _)| table::name(key).trim_end().to_owned()),
    );
    if pairs.is_empty() {
        return Err(Error::new(Kind::Malformed, "the two runs have no kind of call in common").into());
    }
    let judged = (pairs.len() * METRICS.len()) as f64;
    let changes = pairs.iter().flat_map(|(key, cases, others)| {
        METRICS.iter().filter_map(move |metric| change(key, metric, cases, others, ALPHA / judged))
    });
    Ok(Compared { changes: changes.collect(), alone })
}

fn change(key: &Key, metric: &Metric, old: &[&CaseResult], new: &[&CaseResult], alpha: f64) -> Option<Change> {
    let values = |cases: &[&CaseResult]| -> Vec<(u64, f64)> {
        cases.iter().filter_map(|case| Some((case.seed, (metric.of)(case)?))).collect()
    };
    let (old, new) = (values(old), values(new));
    let (before, after) = (mean(old.iter().map(|pair| pair.1))?, mean(new.iter().map(|pair| pair.1))?);
    let chance = chance_of(&old, &new);
    let difference = after - before;
    let noticed = difference.abs() >= metric.least && chance.is_none_or(|chance| chance < alpha);
    let verdict = match () {
        () if !noticed => Verdict::Same,
        () if (difference > 0.0) == metric.rises => Verdict::Better,
        () => Verdict::Worse,
    };
    Some(Change {
        call: table::name(key).trim_end().to_owned(),
        figure: metric.name,
        unit: metric.unit,
        old: before,
        new: after,
        confidence: chance.map(|chance| 1.0 - chance),
        verdict,
    })
}

/// How likely chance alone gives a difference like this one (both sides); `None` with one call on a side.
fn chance_of(old: &[(u64, f64)], new: &[(u64, f64)]) -> Option<f64> {
    let partner = |seed: u64| new.iter().find(|(other, _)| *other == seed).map(|(_, value)| *value);
    let pairs: Vec<f64> = old.iter().filter_map(|(seed, value)| Some(partner(*seed)? - value)).collect();
    if pairs.len() == old.len() && pairs.len() == new.len() {
        let (difference, variance) = (mean(pairs.iter().copied())?, variance(&pairs)?);
        return two_sided(difference, (variance / pairs.len() as f64).sqrt(), pairs.len() as f64 - 1.0);
    }
    let side = |values: &[(u64, f64)]| {
        let values: Vec<f64> = values.iter().map(|pair| pair.1).collect();
        Some((mean(values.iter().copied())?, variance(&values)? / values.len() as f64, values.len() as f64))
    };
    let ((a, va, na), (b, vb, nb)) = (side(old)?, side(new)?);
    // Welch–Satterthwaite.
    let freedom = (va + vb).powi(2) / (va.powi(2) / (na - 1.0) + vb.powi(2) / (nb - 1.0));
    two_sided(b - a, (va + vb).sqrt(), if freedom.is_finite() { freedom.max(1.0) } else { na + nb - 2.0 })
}

fn two_sided(difference: f64, error: f64, freedom: f64) -> Option<f64> {
    if difference == 0.0 {
        return Some(1.0);
    }
    if error <= f64::EPSILON {
        return Some(0.0);
    }
    let distribution = StudentsT::new(0.0, 1.0, freedom).ok()?;
    Some(2.0 * distribution.sf((difference / error).abs()))
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

fn variance(values: &[f64]) -> Option<f64> {
    let mean = mean(values.iter().copied())?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (values.len() > 1).then(|| squares / (values.len() - 1) as f64)
}

impl Compared {
    pub fn is_worse(&self) -> bool {
        self.changes.iter().any(|change| change.verdict == Verdict::Worse)
    }

    pub fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    pub fn table(&self) -> String {
        let mut out =
            format!("{:<32}{:<11}{:>10}{:>10}{:>10}  {:<8}{}\n", "", "", "old", "new", "change", "", "certain");
        for change in &self.changes {
            let verdict = match change.verdict {
                Verdict::Same => "",
                Verdict::Better => "better",
                Verdict::Worse => "WORSE",
            };
            let certain =
                change.confidence.map_or_else(|| "one call only".to_owned(), |c| format!("{:.2} %", c * 100.0));
            let difference = change.new - change.old;
            let _ = writeln!(
                out,
                "{:<32}{:<11}{:>10.2}{:>10.2}{:>+10.2}  {:<8}{certain}  {}",
                change.call, change.figure, change.old, change.new, difference, verdict, change.unit
            );
        }
        self.alone.iter().for_each(|call| {
            let _ = writeln!(out, "{call}: in one of the runs only");
        });
        let worse = self.changes.iter().filter(|change| change.verdict == Verdict::Worse).count();
        let better = self.changes.iter().filter(|change| change.verdict == Verdict::Better).count();
        let _ = writeln!(out, "{worse} worse, {better} better, {} the same", self.changes.len() - worse - better);
        out
    }
}

#[cfg(test)]
mod tests {
    use engine::media::summary::Summary;

    use super::*;

    /// A run whose calls had these delays, from `first` seed on.
    fn run(first: u64, delays: &[f64]) -> Results {
        let mut results = Results::new(1.0);
        for (seed, delay) in (first..).zip(delays) {
            let mut case: CaseResult = serde_json::from_value(serde_json::json!({
                "profile": "lan", "media": "720p30", "real": false, "seed": seed, "planted": null,
                "caller": engine::media::report::Report::default(), "callee": engine::media::report::Report::default(),
                "moments": [], "glass_ms": [], "decisions": "", "schedule": "",
            }))
            .expect("a case");
            let summary = Summary { n: 100, p50: *delay, p95: *delay, p99: *delay, max: *delay };
            case.caller.video.glass_to_glass_ms = Some(summary);
            results.cases.push(case);
        }
        results
    }

    fn verdict(old: &Results, new: &Results) -> Verdict {
        compare(old, new).expect("comparable").changes[0].verdict
    }

    #[test]
    fn a_clear_change_is_told_from_chance() {
        let noisy = [20.0, 22.0, 21.0, 19.5, 20.5];
        let old = run(1, &noisy);
        assert_eq!(verdict(&old, &run(1, &noisy.map(|delay| delay + 3.0))), Verdict::Worse);
        assert_eq!(verdict(&old, &run(1, &noisy.map(|delay| delay - 3.0))), Verdict::Better);
        assert_eq!(verdict(&old, &run(1, &noisy)), Verdict::Same);
        // Other seeds: no pairs, and these are as far apart as chance has them.
        assert_eq!(verdict(&old, &run(11, &[21.5, 19.0, 22.5, 20.0, 22.0])), Verdict::Same);
        assert_eq!(verdict(&old, &run(11, &[40.0, 41.0, 42.0, 40.5, 41.5])), Verdict::Worse);
        // What nobody could notice is no change, however certain.
        assert_eq!(verdict(&old, &run(1, &noisy.map(|delay| delay + 0.5))), Verdict::Same);
    }

    #[test]
    fn one_call_is_judged_without_confidence() {
        let compared = compare(&run(1, &[20.0]), &run(1, &[25.0])).expect("comparable");
        assert_eq!((compared.changes[0].confidence, compared.changes[0].verdict), (None, Verdict::Worse));
        assert!(compared.is_worse());
    }

    #[test]
    fn runs_without_a_common_kind_are_wrong_use() {
        let mut other = run(1, &[20.0]);
        other.cases[0].profile = "home".to_owned();
        let error = compare(&run(1, &[20.0]), &other).expect_err("nothing in common");
        assert_eq!(error.downcast_ref::<Error>().map(|error| error.kind), Some(Kind::Malformed));
    }
}
