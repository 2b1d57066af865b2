//! The delay contract of sound, and what losses leave of it: whole engines in virtual time.

use std::time::Duration;

use engine::base::rate::Bitrate;
use engine::codec::VideoCodec;
use engine::codec::worker::Work;
use engine::device::{MicrophoneSpec, SpeakerSpec};
use engine::handle::Command;
use engine::lab::{Lab, MemberId, Skew};
use engine::media::report::Report;
use engine::net::impair::{Impairment, PROFILES};
use engine::world::config::Config;
use tempfile::TempDir;
use visavis_tests::Outcome;

use crate::table::Table;

/// A call of two with sound alone. The callee's clock is another.
struct Call {
    lab: Lab,
    ada: MemberId,
    ben: MemberId,
    _folder: TempDir,
}

impl Call {
    fn new(impairment: Impairment, seed: u64, skew: Skew, change: impl Fn(&mut Config)) -> Outcome<Self> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut lab = Lab::new(folder.path(), impairment, seed);
        let setup = |config: &mut Config| {
            (config.microphone, config.speaker) = (MicrophoneSpec::Chirp, SpeakerSpec::None);
            config.auto_answer = true;
            config.work = Work::Inline { encode: Duration::ZERO, decode: Duration::ZERO };
            (config.plain, config.codec) = (true, VideoCodec::Plain);
            change(config);
        };
        let failed = |error: engine::base::error::Error| error.text.to_string();
        let ada = lab.add("Ada", setup).map_err(failed)?;
        let ben = lab.add_with_clock("Ben", skew, setup).map_err(failed)?;
        lab.command(ada, Command::Call(lab.target(ben)));
        Ok(Self { lab, ada, ben, _folder: folder })
    }

    /// Lets time pass; what Ada's sound took, every 50 ms, milliseconds.
    fn run(&mut self, time: Duration) -> Vec<f64> {
        let (mut series, until) = (Vec::new(), self.lab.passed() + time);
        while self.lab.passed() < until {
            self.lab.run_for(EVERY);
            series.extend(self.lab.sound_ms(self.ada));
        }
        series
    }

    fn end(mut self) -> Outcome<Report> {
        self.lab.command(self.ada, Command::HangUp);
        self.lab.run_until_ended(Duration::from_secs(60));
        self.lab.report(self.ada).cloned().ok_or_else(|| "no call came about".to_owned())
    }
}

/// Of each path so many calls.
const SEEDS: [u64; 4] = [7, 8, 9, 10];
const EVERY: Duration = Duration::from_millis(50);

fn path(text: &str) -> Outcome<Impairment> {
    text.parse().map_err(|error| format!("{error}"))
}

/// Uniform and bursty losses within 96 kbit/s on the wire.
pub fn losses(table: &mut Table) -> Outcome<()> {
    let most = |config: &mut Config| config.audio_most = Bitrate::from_kbps(96);
    for (loss, must, worse) in [(10, 2.0, 6.0), (20, 6.0, 15.0), (30, 15.0, 30.0)] {
        for burst in ["1", "1.5", "2", "4"] {
            let (mut concealed, mut gap, mut delay) = (0.0f64, 0.0f64, 0.0f64);
            for seed in SEEDS {
                let path = path(&format!("delay=20,loss={loss},burst={burst}"))?;
                let mut call = Call::new(path, seed, Skew::default(), most)?;
                call.run(Duration::from_secs(120));
                let audio = call.end()?.audio;
                concealed = concealed.max(audio.concealed_ratio.unwrap_or(f64::NAN) * 100.0);
                gap = gap.max(audio.longest_gap_ms.unwrap_or(f64::NAN));
                delay = delay.max(audio.delay_ms.map_or(f64::NAN, |delay| delay.p50));
            }
            let must = if burst == "1" { must } else { worse };
            table.at_most(
                &format!("{loss} % lost, {burst} together: concealed, the worst call"),
                Some(concealed),
                must,
                "%",
            );
            match burst {
                "1" => table.at_most("  the longest gap", Some(gap), 200.0, "ms"),
                _ => table.goal("  the longest gap", Some(gap), "≤ 200", "ms"),
            }
            table.goal("  captured to played p50", Some(delay), "", "ms");
        }
    }
    let mut call = Call::new(path("delay=20,loss=50")?, 7, Skew::default(), most)?;
    call.run(Duration::from_secs(120));
    let report = call.end()?;
    table.holds("half of all packets lost: the call goes on", report.seconds > 115.0, "two minutes");
    table.goal("  concealed", report.audio.concealed_ratio.map(|ratio| ratio * 100.0), "", "%");
    let mut call = Call::new(path("delay=20,rate=25,queue=1000")?, 7, Skew::default(), |_| {})?;
    call.run(Duration::from_secs(10));
    let begin = call.lab.look(call.ada).concealed;
    let rest = call.run(Duration::from_secs(110));
    let concealed = call.lab.look(call.ada).concealed;
    let report = call.end()?;
    let all = report.audio.concealed_ratio;
    table.at_most("thin at 25 kbit/s: concealed in two minutes", all.map(|ratio| ratio * 100.0), 2.0, "%");
    table.at_least("thin at 25 kbit/s: frames of", report.audio.frame_ms, 40.0, "ms");
    table.goal("  concealed in the first 10 s, while that is found out", begin.map(|ratio| ratio * 100.0), "", "%");
    table.at_most("  concealed in the 110 s after them", concealed.map(|ratio| ratio * 100.0), 2.0, "%");
    table.goal("  captured to played p50 in these", Some(quantile(rest, 0.5)), "", "ms");
    Ok(())
}

/// After any disturbance the delay is back at its baseline + 20 ms within 5 s.
pub fn contract(table: &mut Table) -> Outcome<()> {
    let home = path("home")?;
    let disturb: [(&str, fn(&mut Call) -> Outcome<()>); 4] = [
        ("an outage of 2 s", |call| {
            call.lab.change_paths(Impairment { loss: 1.0, ..path("home")? });
            call.run(Duration::from_secs(2));
            Ok(())
        }),
        ("a minute of 300 ms jitter", |call| {
            call.lab.change_paths(path("delay=300,jitter=300")?);
            call.run(Duration::from_secs(60));
            Ok(())
        }),
        ("20 quick mutes", |call| {
            for n in 0..40 {
                call.lab.command(call.ben, Command::Mute(n % 2 == 0));
                call.run(Duration::from_millis(100));
            }
            Ok(())
        }),
        ("10 s of thin", |call| {
            call.lab.change_paths(path("thin")?);
            call.run(Duration::from_secs(10));
            Ok(())
        }),
    ];
    for (name, disturbance) in disturb {
        let mut call = Call::new(home, 3, Skew::default(), |_| {})?;
        call.run(Duration::from_secs(20));
        let baseline = quantile(call.run(Duration::from_secs(10)), 0.5);
        disturbance(&mut call)?;
        call.lab.change_paths(home);
        let after = call.run(Duration::from_secs(20));
        let back = after
            .iter()
            .rposition(|delay| *delay > baseline + 20.0)
            .map_or(0.0, |at| (at + 1) as f64 * EVERY.as_secs_f64());
        table.at_most(&format!("after {name}: back at {baseline:.1} + 20 ms in"), Some(back), 5.0, "s");
    }
    Ok(())
}

/// Thirty minutes of each profile: the delay of the last minutes is that of the first.
pub fn creep(table: &mut Table) -> Outcome<()> {
    for (name, impairment, _) in PROFILES {
        let mut call = Call::new(impairment, 11, Skew::default(), |_| {})?;
        call.run(Duration::from_secs(60));
        let first = quantile(call.run(Duration::from_secs(240)), 0.5);
        call.run(Duration::from_secs(1260));
        let last = quantile(call.run(Duration::from_secs(240)), 0.5);
        let report = call.end()?;
        table.at_most(
            &format!("{name}: {first:.1} ms, a minute later it is more by"),
            Some((last - first) / 25.0),
            1.0,
            "ms",
        );
        table.goal("  concealed", report.audio.concealed_ratio.map(|ratio| ratio * 100.0), "", "%");
    }
    Ok(())
}

/// Thirty minutes between clocks that do not agree.
pub fn drift(table: &mut Table) -> Outcome<()> {
    for ppm in [1000.0, -1000.0, 1500.0, -1500.0] {
        let mut call = Call::new(path("delay=20,jitter=2")?, 5, Skew { ahead: 0, ppm }, |_| {})?;
        call.run(Duration::from_secs(10));
        call.lab.look(call.ada);
        let mut series = call.run(Duration::from_secs(1790));
        let concealed = call.lab.look(call.ada).concealed;
        series.sort_by(f64::total_cmp);
        let report = call.end()?;
        table.goal(&format!("{ppm:+} ppm: the delay p50"), Some(quantile(series.clone(), 0.5)), "", "ms");
        let range = quantile(series.clone(), 0.999) - quantile(series, 0.001);
        table.at_most("  and moves by (p0.1 to p99.9)", Some(range), 10.0, "ms");
        table.at_most("  concealed after the first 10 s", concealed.map(|ratio| ratio * 100.0), 0.01, "%");
        table.goal("  concealed in all", report.audio.concealed_ratio.map(|ratio| ratio * 100.0), "", "%");
    }
    Ok(())
}

fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get((values.len().saturating_sub(1) as f64 * share) as usize).copied().unwrap_or(f64::NAN)
}
