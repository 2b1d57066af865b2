//! The table of a proof, printed row by row as it is measured.

use engine::base::time::{Instant, now};

/// What was measured so far.
pub struct Table {
    begun: Instant,
    rows: usize,
    missed: Vec<String>,
}

impl Table {
    pub fn new() -> Self {
        println!("{:<58} {:>14}  {:<16}", "", "measured", "must be");
        Self { begun: now(), rows: 0, missed: Vec::new() }
    }

    pub fn title(&self, name: &str) {
        println!("{name} ({:.0} s)", (now() - self.begun).as_secs_f64());
    }

    /// A figure that must be at most `must`. One that was not measured is missed.
    pub fn at_most(&mut self, line: &str, figure: Option<f64>, must: f64, unit: &str) {
        let holds = figure.is_some_and(|figure| figure <= must);
        self.must(line, figure, &format!("≤ {} {unit}", rounded(must)), unit, holds);
    }

    /// A figure that must be at least `must`.
    pub fn at_least(&mut self, line: &str, figure: Option<f64>, must: f64, unit: &str) {
        let holds = figure.is_some_and(|figure| figure >= must);
        self.must(line, figure, &format!("≥ {} {unit}", rounded(must)), unit, holds);
    }

    /// A figure without a verdict: a goal to come nearer to, or something that explains the others.
    pub fn goal(&mut self, line: &str, figure: Option<f64>, goal: &str, unit: &str) {
        let goal = if goal.is_empty() { String::new() } else { format!("goal {goal}") };
        self.row(line, figure, &goal, unit, "");
    }

    /// Something that must be so.
    pub fn holds(&mut self, line: &str, holds: bool, must: &str) {
        self.rows += 1;
        if !holds {
            self.missed.push(line.to_owned());
        }
        println!("  {line:<56} {:>14}  {must:<16} {}", "", verdict(holds));
    }

    /// A proof that broke off.
    pub fn failed(&mut self, error: &str) {
        let mut lines = error.lines();
        let first = lines.next().unwrap_or_default();
        self.holds(first, false, "");
        lines.for_each(|line| println!("      {line}"));
    }

    /// The last line. True when nothing was missed.
    pub fn finish(&self) -> bool {
        let seconds = (now() - self.begun).as_secs_f64();
        println!("{} rows in {seconds:.0} s, {} missed", self.rows, self.missed.len());
        self.missed.iter().for_each(|line| println!("  MISSED {line}"));
        self.missed.is_empty()
    }

    fn must(&mut self, line: &str, figure: Option<f64>, must: &str, unit: &str, holds: bool) {
        if !holds {
            self.missed.push(line.to_owned());
        }
        self.row(line, figure, must, unit, verdict(holds));
    }

    fn row(&mut self, line: &str, figure: Option<f64>, must: &str, unit: &str, verdict: &str) {
        self.rows += 1;
        let digits = if matches!(unit, "ms" | "%" | "s") { 2 } else { 0 };
        let figure = figure.map_or_else(|| "not measured".into(), |figure| format!("{figure:.digits$} {unit}"));
        println!("  {line:<56} {figure:>14}  {must:<16} {verdict}");
    }
}

/// A bound that was computed has more digits than anybody reads.
fn rounded(bound: f64) -> f64 {
    (bound * 100.0).round() / 100.0
}

const fn verdict(holds: bool) -> &'static str {
    if holds { "ok" } else { "MISSED" }
}
