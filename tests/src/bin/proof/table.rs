//! The table of a proof, printed row by row as it is measured, and kept for a page.

use engine::base::time::{Instant, now};

/// What was measured so far.
pub struct Table {
    begun: Instant,
    sections: Vec<Section>,
}

/// What one proof measured.
pub struct Section {
    pub name: &'static str,
    pub rows: Vec<Row>,
}

/// One line; all of it as it is printed.
#[derive(Default)]
pub struct Row {
    pub line: String,
    pub figure: String,
    pub must: String,
    /// `None` where nothing has to be so.
    pub holds: Option<bool>,
    /// What is to be said besides.
    pub more: String,
}

impl Table {
    pub fn new() -> Self {
        println!("{:<58} {:>14}  {:<16}", "", "measured", "must be");
        Self { begun: now(), sections: Vec::new() }
    }

    pub fn title(&mut self, name: &'static str) {
        println!("{name} ({:.0} s)", self.seconds());
        self.sections.push(Section { name, rows: Vec::new() });
    }

    /// A figure that must be at most `must`. One that was not measured is missed.
    pub fn at_most(&mut self, line: &str, figure: Option<f64>, must: f64, unit: &str) {
        let holds = figure.is_some_and(|figure| figure <= must);
        self.figure(line, figure, format!("≤ {} {unit}", rounded(must)), unit, Some(holds));
    }

    /// A figure that must be at least `must`.
    pub fn at_least(&mut self, line: &str, figure: Option<f64>, must: f64, unit: &str) {
        let holds = figure.is_some_and(|figure| figure >= must);
        self.figure(line, figure, format!("≥ {} {unit}", rounded(must)), unit, Some(holds));
    }

    /// A figure without a verdict: a goal to come nearer to, or something that explains the others.
    pub fn goal(&mut self, line: &str, figure: Option<f64>, goal: &str, unit: &str) {
        let goal = if goal.is_empty() { String::new() } else { format!("goal {goal}") };
        self.figure(line, figure, goal, unit, None);
    }

    /// Something that must be so.
    pub fn holds(&mut self, line: &str, holds: bool, must: &str) {
        self.add(Row { line: line.into(), must: must.into(), holds: Some(holds), ..Row::default() });
    }

    /// A proof that broke off.
    pub fn failed(&mut self, error: &str) {
        let (line, more) = error.split_once('\n').unwrap_or((error, ""));
        self.add(Row { line: line.into(), holds: Some(false), more: more.into(), ..Row::default() });
    }

    /// The last line. True when nothing was missed.
    pub fn finish(&self) -> bool {
        let missed: Vec<&Row> = self.rows().filter(|row| row.holds == Some(false)).collect();
        println!("{} rows in {:.0} s, {} missed", self.rows().count(), self.seconds(), missed.len());
        missed.iter().for_each(|row| println!("  MISSED {}", row.line));
        missed.is_empty()
    }

    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.sections.iter().flat_map(|section| &section.rows)
    }

    /// Since the beginning.
    pub fn seconds(&self) -> f64 {
        (now() - self.begun).as_secs_f64()
    }

    fn figure(&mut self, line: &str, figure: Option<f64>, must: String, unit: &str, holds: Option<bool>) {
        let digits = if matches!(unit, "ms" | "%" | "s") { 2 } else { 0 };
        let figure = figure.map_or_else(|| "not measured".into(), |figure| format!("{figure:.digits$} {unit}"));
        self.add(Row { line: line.into(), figure, must, holds, more: String::new() });
    }

    fn add(&mut self, row: Row) {
        let Row { line, figure, must, .. } = &row;
        println!("  {line:<56} {figure:>14}  {must:<16} {}", row.verdict());
        row.more.lines().for_each(|line| println!("      {line}"));
        if let Some(section) = self.sections.last_mut() {
            section.rows.push(row);
        }
    }
}

impl Row {
    pub const fn verdict(&self) -> &'static str {
        match self.holds {
            Some(true) => "ok",
            Some(false) => "MISSED",
            None => "",
        }
    }
}

/// A bound that was computed has more digits than anybody reads.
fn rounded(bound: f64) -> f64 {
    (bound * 100.0).round() / 100.0
}
