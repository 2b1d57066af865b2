//! One page that needs nothing else: a table, and for each kind of call where its delay lies, in which stages it arises, and
//! how delay, concealment and bitrate went over time.

use std::fmt::Write;
use std::ops::Range;

use anyhow::{Result, anyhow};
use engine::lab::case::Moment;
use engine::media::ledger::STAGES;
use plotters::backend::SVGBackend;
use plotters::chart::ChartBuilder;
use plotters::drawing::IntoDrawingArea;
use plotters::series::LineSeries;
use plotters::style::{Color, IntoFont, RGBColor, ShapeStyle};
use visavis_app::page::{escape, shell};

use super::results::{CaseResult, METRICS, Results, median};
use super::table;

const SIZE: (u32, u32) = (560, 240);
pub const BLUE: RGBColor = RGBColor(36, 99, 224);
pub const ORANGE: RGBColor = RGBColor(214, 110, 20);
pub const GREY: RGBColor = RGBColor(110, 120, 135);

/// # Errors
/// A plot cannot be drawn.
pub fn page(results: &Results) -> Result<String> {
    let mut out = format!(
        "<h1>Latency, call by call</h1>\
         <p>{} calls of {} s in virtual time, as the caller saw and heard them. The table shows medians over the calls of a \
         kind; curves over time are of its first call.</p>",
        results.cases.len(),
        results.seconds
    );
    out.push_str("<div class=\"summary\"><table><tr><th>call</th>");
    METRICS.iter().for_each(|metric| {
        let _ = write!(out, "<th>{}<br>{}</th>", metric.name, metric.unit);
    });
    out.push_str("</tr>");
    for (key, cases) in results.groups() {
        let _ = write!(out, "<tr><td>{} ×{}</td>", escape(&table::name(&key)), cases.len());
        for metric in &METRICS {
            let value = median(cases.iter().filter_map(|case| (metric.of)(case)).collect());
            let _ = write!(out, "<td>{}</td>", value.map_or_else(|| "–".to_owned(), |value| format!("{value:.1}")));
        }
        out.push_str("</tr>");
    }
    out.push_str("</table></div>");
    for (key, cases) in results.groups() {
        let _ = write!(out, "<section><h2>{}</h2><div class=\"plots\">", escape(&table::name(&key)));
        section(&mut out, &cases)?;
        out.push_str("</div></section>");
    }
    Ok(shell("Visavis bench", &out))
}

fn section(out: &mut String, cases: &[&CaseResult]) -> Result<()> {
    let Some(first) = cases.first() else { return Ok(()) };
    let curve = |of: fn(&Moment) -> Option<f64>| -> Vec<(f64, f64)> {
        first.moments.iter().filter_map(|moment| Some((moment.at, of(moment)?))).collect()
    };
    let distribution = distribution(cases);
    if !distribution.is_empty() {
        figure(out, "Glass to glass: share of the pictures (%) by their delay (ms)", &[(distribution, BLUE)])?;
        waterfall(out, cases);
    }
    let delays = [(curve(|moment| moment.glass_ms), BLUE), (curve(|moment| moment.sound_ms), ORANGE)];
    figure(out, "Delay over time (ms, s): picture blue, sound orange", &delays)?;
    let concealed = curve(|moment| moment.concealed.map(|share| share * 100.0));
    figure(out, "Sound made up (%) over time (s)", &[(concealed, ORANGE)])?;
    let bitrate = curve(|moment| Some(moment.receiving_bps as f64 / 1e3));
    figure(out, "Picture received (kbit/s) over time (s)", &[(bitrate, GREY)])
}

/// Share of the pictures, percent, by whole milliseconds; what is rarer than one in a thousand at the end is cut.
fn distribution(cases: &[&CaseResult]) -> Vec<(f64, f64)> {
    let longest = cases.iter().map(|case| case.glass_ms.len()).max().unwrap_or(0);
    let mut counts = vec![0u64; longest];
    for case in cases {
        counts.iter_mut().zip(&case.glass_ms).for_each(|(sum, count)| *sum += u64::from(*count));
    }
    let total: u64 = counts.iter().sum();
    let mut seen = 0;
    let points = counts.iter().enumerate().map_while(|(ms, count)| {
        let is_tail = seen * 1000 > total * 999;
        seen += count;
        (!is_tail).then(|| (ms as f64, *count as f64 / total.max(1) as f64 * 100.0))
    });
    points.collect()
}

/// Each stage begins where the one before it ends.
fn waterfall(out: &mut String, cases: &[&CaseResult]) {
    let stage = |name: &str| {
        let medians = cases.iter().filter_map(|case| Some(case.caller.video.stages_ms.get(name).copied()??.p50));
        median(medians.collect()).unwrap_or(0.0)
    };
    let lengths = STAGES.map(stage);
    let total: f64 = lengths.iter().map(|length| length.max(0.0)).sum::<f64>().max(0.1);
    out.push_str("<div><h3>Where the picture's delay arises (medians)</h3><div class=\"fall\">");
    let mut begins = 0.0;
    for (name, length) in STAGES.iter().zip(lengths) {
        let (left, width) = (begins / total * 100.0, length.max(0.0) / total * 100.0);
        let _ = write!(
            out,
            "<b>{name}</b><div><div class=\"bar\" style=\"margin-left:{left:.1}%;width:{width:.1}%\"></div></div>\
             <i>{length:.1} ms</i>"
        );
        begins += length.max(0.0);
    }
    out.push_str("</div></div>");
}

/// A plot of curves under its title; nothing where there are no points.
///
/// # Errors
/// It cannot be drawn.
pub fn figure(out: &mut String, title: &str, curves: &[(Vec<(f64, f64)>, RGBColor)]) -> Result<()> {
    let points = || curves.iter().flat_map(|(points, _)| points);
    if points().next().is_none() {
        return Ok(());
    }
    let most = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, f64::max).max(1.0) * 1.05;
    let (x, y) = (most(&mut points().map(|point| point.0)), most(&mut points().map(|point| point.1)));
    let svg = plot(0.0..x, 0.0..y, curves).map_err(|error| anyhow!("the plot {title:?} cannot be drawn: {error}"))?;
    let _ = write!(out, "<div><h3>{}</h3>{svg}</div>", escape(title));
    Ok(())
}

fn plot(x: Range<f64>, y: Range<f64>, curves: &[(Vec<(f64, f64)>, RGBColor)]) -> Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let failed = |error: &dyn std::fmt::Display| anyhow!("{error}");
        let label = ("sans-serif", 12).into_font().color(&GREY);
        let mut chart = ChartBuilder::on(&area)
            .margin(6)
            .x_label_area_size(22)
            .y_label_area_size(46)
            .build_cartesian_2d(x, y)
            .map_err(|error| failed(&error))?;
        chart
            .configure_mesh()
            .light_line_style(GREY.mix(0.06))
            .bold_line_style(GREY.mix(0.16))
            .axis_style(GREY.mix(0.4))
            .x_labels(8)
            .y_labels(5)
            .label_style(label)
            .draw()
            .map_err(|error| failed(&error))?;
        for (points, colour) in curves {
            let style = ShapeStyle::from(colour).stroke_width(2);
            chart.draw_series(LineSeries::new(points.iter().copied(), style)).map_err(|error| failed(&error))?;
        }
        area.present().map_err(|error| failed(&error))?;
    }
    Ok(svg)
}
