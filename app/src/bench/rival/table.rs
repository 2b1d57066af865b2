//! A comparison as lines that a person reads.

use std::fmt::Write;

use engine::media::summary::Summary;

use super::results::{Comparison, Part, Round, Row};

/// One call that is over.
pub fn line(number: &str, medium: &str, name: &str, round: &Round) -> String {
    let row = Row::new(name, std::slice::from_ref(round));
    let median = row.delay_ms.map_or_else(|| "–".to_owned(), |delay| format!("{:.1} ms", delay.p50));
    format!("{number:<10}{medium:<10}{name:<34}p50 {median:>9}   n {}", round.delays.len())
}

/// All of it.
pub fn table(compared: &Comparison) -> String {
    let mut out = format!(
        "Against {}{}. {} calls of each, of which {} s were measured, in turns.\n\n",
        compared.rival,
        compared.over(),
        compared.rounds,
        compared.seconds
    );
    for (title, measured) in [("picture, ms", &compared.picture), ("sound, mouth to ear, ms", &compared.sound)] {
        if let Some(measured) = measured {
            part(&mut out, title, measured);
        }
    }
    if let Some(why) = &compared.sound_left_out {
        let _ = writeln!(out, "The sound is left out: {why}\n");
    }
    out.push_str("How it was set and measured:\n");
    compared.settings.iter().for_each(|setting| {
        let _ = writeln!(out, "  {setting}");
    });
    out
}

fn part(out: &mut String, title: &str, part: &Part) {
    let heads = ["n", "p50", "p95", "p99", "whole"].map(|head| format!("{head:>9}")).concat();
    let _ = writeln!(out, "  {title:<34}{heads}{:>16}", "p50 over ours");
    for row in part.rows.iter().chain(&part.beside) {
        let ratio = part.ratios.iter().find(|ratio| ratio.name == row.name);
        let ratio = ratio.map_or_else(String::new, |ratio| format!("×{:.2}", ratio.p50));
        let whole = row.whole.map_or_else(|| "–".to_owned(), |whole| format!("{:.1} %", whole * 100.0));
        let _ = writeln!(out, "{}", format!("  {:<34}{}{whole:>9}{ratio:>16}", row.name, figures(row)).trim_end());
    }
    out.push('\n');
}

fn figures(row: &Row) -> String {
    let Some(Summary { n, p50, p95, p99, .. }) = row.delay_ms else {
        return format!("{:>9}{:>9}{:>9}{:>9}", 0, "–", "–", "–");
    };
    format!("{n:>9}{p50:>9.1}{p95:>9.1}{p99:>9.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, delay: f32) -> Row {
        Row::new(name, &[Round { delays: vec![delay; 3], spanned: 4, ..Default::default() }])
    }

    #[test]
    fn every_row_has_its_figures_and_the_others_their_ratio() {
        let picture = Part::new(vec![row("Visavis", 10.0), row("Chromium 1", 35.0)], Some(row("bare", 2.0)));
        let compared = Comparison {
            picture: Some(picture),
            sound_left_out: Some("there is no pactl".to_owned()),
            ..Comparison::new("Chromium 1.2", std::time::Duration::from_secs(7), 3)
        };
        let text = table(&compared);
        let line =
            |name: &str| text.lines().find(|line| line.trim_start().starts_with(name)).expect("a line").to_owned();
        assert!(line("Chromium 1").contains("35.0") && line("Chromium 1").ends_with("×3.50"), "{text}");
        assert!(line("Visavis").contains("10.0") && line("Visavis").ends_with("75.0 %"), "{text}");
        assert!(line("bare").contains("2.0"), "{text}");
        assert!(line("The sound is left out").ends_with("there is no pactl"), "{text}");
    }
}
