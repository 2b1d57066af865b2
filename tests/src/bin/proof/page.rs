//! What was measured as one page that needs nothing else.

use std::fmt::Write;

use engine::base::time::{WallTime, now};
use time::OffsetDateTime;
use visavis_app::page::{escape, shell};

use crate::list::Proof;
use crate::table::{Row, Section, Table};

/// The page of all sections so far.
pub fn page(table: &Table, proofs: &[Proof]) -> String {
    let mut body = format!("<h1>What is promised, measured</h1><p>{}<br>{}</p>", summary(table), escape(&machine()));
    for section in table.sections() {
        let proof = proofs.iter().find(|proof| proof.name == section.name);
        add(&mut body, section, proof);
    }
    shell("Visavis: what is promised, measured", &body)
}

fn summary(table: &Table) -> String {
    let count = |holds| table.rows().filter(|row| row.holds == Some(holds)).count();
    let missed = count(false);
    let class = if missed > 0 { " class=\"bad\"" } else { "" };
    format!(
        "{} figures, of which {} have to hold: {} do, <span{class}>{missed} do not</span>. Measured in {:.0} s until {}.",
        table.rows().count(),
        count(true) + missed,
        count(true),
        table.seconds(),
        date()
    )
}

fn add(body: &mut String, section: &Section, proof: Option<&Proof>) {
    let (title, is) = proof.map_or((section.name, ""), |proof| (proof.title, proof.is));
    let _ =
        write!(body, "<section><h2>{} <code>{}</code></h2><p>{}</p>", escape(title), escape(section.name), escape(is));
    if section.rows.is_empty() {
        body.push_str("<p>Nothing could be measured here.</p></section>");
        return;
    }
    body.push_str("<div class=\"rows\"><table><tr><th></th><th>measured</th><th>must be</th><th></th></tr>");
    section.rows.iter().for_each(|row| add_row(body, row));
    body.push_str("</table></div></section>");
}

fn add_row(body: &mut String, row: &Row) {
    let class = match row.holds {
        Some(true) => "good",
        Some(false) => "bad",
        None => "",
    };
    let _ = write!(
        body,
        "<tr><td>{}</td><td>{}</td><td>{}</td><td class=\"{class}\">{}</td></tr>",
        escape(row.line.trim_end()).replacen("  ", "&emsp;", 1),
        escape(&row.figure),
        escape(&row.must),
        row.verdict()
    );
    if !row.more.is_empty() {
        let _ = write!(body, "<tr><td colspan=\"4\"><pre>{}</pre></td></tr>", escape(&row.more));
    }
}

/// Now, in universal time, to the minute.
fn date() -> String {
    let seconds = WallTime::of(now()).as_micros() / 1_000_000;
    let Ok(at) = OffsetDateTime::from_unix_timestamp(seconds as i64) else { return "an unknown day".to_owned() };
    format!("{} {:02}:{:02} UTC", at.date(), at.hour(), at.minute())
}

/// What figures depend on: the processor, how many of it, the system, and how the program was built.
fn machine() -> String {
    let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("an unknown processor", |(_, model)| model.trim());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = |what| std::fs::read_to_string(format!("/proc/sys/kernel/{what}")).unwrap_or_default();
    let (name, release) = (kernel("ostype"), kernel("osrelease"));
    let (name, release) = (name.trim(), release.trim());
    let build = if cfg!(debug_assertions) { "debug build" } else { "release build" };
    let version = env!("CARGO_PKG_VERSION");
    format!("{model}, {cores} cores; {name} {release}; Visavis {version}, {build}.")
}
