//! A comparison as a page: the table, and for each medium where the delays lie.

use std::fmt::Write;

use anyhow::Result;
use visavis_app::page::{escape, shell};

use super::super::html::{BLUE, GREY, ORANGE, figure};
use super::results::{Comparison, Part, Row};

/// # Errors
/// A plot cannot be drawn.
pub fn page(compared: &Comparison) -> Result<String> {
    let mut body = format!(
        "<h1>Visavis and {}{}</h1><p>{} calls of each, of which {} s were measured, in turns on one machine.</p>",
        escape(&compared.rival),
        escape(&compared.over()),
        compared.rounds,
        compared.seconds
    );
    let picture = ("Picture, from its painting until that which draws it has it", &compared.picture);
    for (title, measured) in [picture, ("Sound, mouth to ear", &compared.sound)] {
        if let Some(measured) = measured {
            part(&mut body, title, measured)?;
        }
    }
    if let Some(why) = &compared.sound_left_out {
        let _ = write!(body, "<p>The sound is left out: {}</p>", escape(why));
    }
    body.push_str("<section><h2>How it was set and measured</h2><ul>");
    compared.settings.iter().for_each(|setting| {
        let _ = write!(body, "<li>{}</li>", escape(setting));
    });
    body.push_str("</ul></section>");
    Ok(shell("Visavis bench: a comparison", &body))
}

fn part(out: &mut String, title: &str, part: &Part) -> Result<()> {
    let _ = write!(out, "<section><h2>{title}</h2><table><tr><th>ms</th>");
    for head in ["n", "p50", "p95", "p99", "whole", "p50 over ours", "medians of the calls"] {
        let _ = write!(out, "<th>{head}</th>");
    }
    out.push_str("</tr>");
    for row in part.rows.iter().chain(&part.beside) {
        let delay = |of: fn(&engine::media::summary::Summary) -> f64| {
            row.delay_ms.as_ref().map_or_else(|| "–".to_owned(), |delay| format!("{:.1}", of(delay)))
        };
        let ratio = part.ratios.iter().find(|ratio| ratio.name == row.name);
        let medians = row.rounds_p50_ms.iter().map(|p50| p50.map_or_else(|| "–".to_owned(), |p50| format!("{p50:.1}")));
        let _ = write!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(&row.name),
            row.delay_ms.map_or(0, |delay| delay.n),
            delay(|delay| delay.p50),
            delay(|delay| delay.p95),
            delay(|delay| delay.p99),
            row.whole.map_or_else(|| "–".to_owned(), |whole| format!("{:.1} %", whole * 100.0)),
            ratio.map_or_else(String::new, |ratio| format!("×{:.2}", ratio.p50)),
            medians.collect::<Vec<_>>().join(", ")
        );
    }
    out.push_str("</table><div class=\"plots\">");
    let curves: Vec<_> = part.rows.iter().map(distribution).zip([BLUE, ORANGE, GREY]).collect();
    figure(out, "Share (%) by delay (ms): Visavis blue, the others orange and grey", &curves)?;
    out.push_str("</div></section>");
    Ok(())
}

/// Share of the samples, percent, by whole milliseconds up to their 99th percentile.
fn distribution(row: &Row) -> Vec<(f64, f64)> {
    let Some(delay) = row.delay_ms else { return Vec::new() };
    let mut counts = vec![0u32; delay.p99.max(0.0) as usize + 1];
    for value in &row.delays_ms {
        if let Some(count) = counts.get_mut(value.max(0.0) as usize) {
            *count += 1;
        }
    }
    let total = row.delays_ms.len().max(1) as f64;
    counts.iter().enumerate().map(|(ms, count)| (ms as f64, f64::from(*count) / total * 100.0)).collect()
}
