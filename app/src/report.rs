//! The report as a table a person can read.

use std::fmt::Write;

use engine::media::ledger::STAGES;
use engine::media::report::{Report, VideoReport};
use engine::media::summary::{Spread, Summary};

/// The table, lines of at most 78 characters.
pub fn table(report: &Report) -> String {
    let mut out = String::new();
    let mut line = |name: &str, text: String| {
        let _ = writeln!(out, "  {name:<24}{text}");
    };
    line("outcome", format!("{} {}", report.outcome, dash(&report.reason)));
    line("length", format!("{:.1} s", report.seconds));
    let path = &report.path;
    line("path", format!("{} {}", or_dash(path.kind.clone()), or_dash(path.remote.clone())));
    let setup = &report.setup_ms;
    line(
        "after the accept",
        format!(
            "connected {}, first sound {}, first picture {}",
            ms(setup.connected),
            ms(setup.first_audio),
            ms(setup.first_video)
        ),
    );
    picture(&mut out, "PICTURE", &report.video);
    for (number, video) in (2..).zip(&report.further) {
        picture(&mut out, &format!("PICTURE {number}"), video);
    }
    let _ = writeln!(out, "\n  SOUND");
    let audio = &report.audio;
    let mut line = |name: &str, text: String| {
        let _ = writeln!(out, "  {name:<24}{text}");
    };
    line(
        "packets",
        format!("sent {}, received {}, lost {}", audio.packets_sent, audio.packets_received, audio.packets_lost),
    );
    let percent = |ratio: Option<f64>| ratio.map_or("–".to_owned(), |ratio| format!("{:.3} %", ratio * 100.0));
    let underruns = audio.underruns.map(|count| count.to_string());
    line("concealed", format!("{}, ring ran dry {} times", percent(audio.concealed_ratio), or_dash(underruns)));
    let (faster, slower) = (percent(audio.accelerated_ratio), percent(audio.decelerated_ratio));
    line("stretched", format!("{faster} cut out, {slower} put in"));
    line("frames", format!("{} at {}", ms(audio.frame_ms), bits(audio.bitrate_bps)));
    line("captured to played", summary(audio.delay_ms.as_ref()));
    line("mouth to ear", summary(audio.mouth_to_ear_ms.as_ref()));
    for (stage, values) in &audio.stages_ms {
        line(&format!("  {stage}"), format!("{:<24}{}", spread(Some(values)), bar(Some(values))));
    }
    if let Some(processing) = &audio.processing {
        let with =
            |value: Option<f64>, unit: &str| value.map_or("–".to_owned(), |value| format!("{value:.1} {unit}"));
        let enhancement = with(processing.echo_enhancement_db, "dB");
        let delay = with(processing.echo_delay_ms, "ms");
        line("echo", format!("{enhancement} less by the canceller's linear part, {delay} after the sound"));
        line("noise", format!("{} less where nobody speaks", with(processing.noise_reduction_db, "dB")));
        let voice = with(processing.voice_ratio.map(|ratio| ratio * 100.0), "%");
        line("gain", format!("{}, speech {voice} of the time", with(processing.gain_db, "dB")));
    }
    let _ = writeln!(out, "\n  ENGINE");
    let ticks = &report.ticks;
    let us = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.0} µs"));
    let _ = writeln!(
        out,
        "  {:<24}{}, {} late; work p50 {}, p99 {}; lateness p99 {}",
        "ticks",
        ticks.n,
        ticks.overruns,
        us(ticks.work_p50_us),
        us(ticks.work_p99_us),
        us(ticks.late_p99_us)
    );
    let process = &report.process;
    let memory = process.rss_peak_bytes.map(|bytes| format!("{} MiB at most", bytes >> 20));
    let cpu = process.cpu_s.map(|seconds| format!("{seconds:.1} s of processor time"));
    let _ = writeln!(out, "  {:<24}{}, {}", "process", or_dash(cpu), or_dash(memory));
    out
}

/// What there is to say about one source of pictures of either side.
fn picture(out: &mut String, title: &str, video: &VideoReport) {
    let _ = writeln!(out, "\n  {title}");
    let mut line = |name: &str, text: String| {
        let _ = writeln!(out, "  {name:<24}{text}");
    };
    let size = video.width.zip(video.height).map(|(width, height)| format!("{width}×{height}"));
    line("received", format!("{}, sent at {}", or_dash(size), bits(video.bitrate_bps)));
    line(
        "pictures",
        format!(
            "captured {}, sent {}, decoded {}, shown {}",
            video.frames_captured, video.frames_sent, video.frames_decoded, video.frames_presented
        ),
    );
    line("freezes", format!("{}, longest gap {}", video.freezes, ms(video.longest_freeze_ms)));
    line("captured to decoded", summary(video.captured_to_decoded_ms.as_ref()));
    line("glass to glass", summary(video.glass_to_glass_ms.as_ref()));
    line("ledger against marker", spread(video.ledger_error_ms.as_ref()));
    for stage in STAGES {
        let values = video.stages_ms.get(stage).and_then(Option::as_ref);
        line(&format!("  {stage}"), format!("{:<24}{}", spread(values), bar(values)));
    }
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "–".to_owned())
}

fn dash(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!("– {reason}") }
}

fn ms(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), |value| format!("{value:.1} ms"))
}

fn bits(value: Option<u64>) -> String {
    value.map_or("–".to_owned(), |bps| engine::base::rate::Bitrate::from_bps(bps).to_string())
}

fn summary(values: Option<&Summary>) -> String {
    values.map_or("–".to_owned(), |v| {
        format!("p50 {:.1}  p95 {:.1}  p99 {:.1}  max {:.1} ms", v.p50, v.p95, v.p99, v.max)
    })
}

fn spread(values: Option<&Spread>) -> String {
    values.map_or("–".to_owned(), |v| format!("p50 {:.2}  p95 {:.2} ms", v.p50, v.p95))
}

/// One block per millisecond of the median, at most 30.
fn bar(values: Option<&Spread>) -> String {
    "▇".repeat(values.map_or(0, |values| values.p50.clamp(0.0, 30.0).round() as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_is_a_dash_and_never_a_zero() {
        let text = table(&Report { outcome: "ended".into(), ..Default::default() });
        let line = text.lines().find(|line| line.contains("glass to glass")).expect("the line");
        assert!(line.trim_end().ends_with('–'), "{line}");
        assert!(!line.contains('0'));
    }

    #[test]
    fn every_stage_has_its_line() {
        let mut report = Report::default();
        report.video.stages_ms.insert("network".into(), Some(Spread { p50: 20.0, p95: 31.5 }));
        let text = table(&report);
        assert!(STAGES.iter().all(|stage| text.contains(stage)));
        assert!(!text.contains("PICTURE 2"));
        report.further = vec![VideoReport { frames_decoded: 77, ..Default::default() }];
        let two = table(&report);
        assert!(two.contains("PICTURE 2") && two.contains("decoded 77"), "{two}");
        assert!(text.contains("p50 20.00  p95 31.50 ms"));
    }
}
