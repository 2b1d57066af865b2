//! What came of a comparison, version 1: rows of two or more candidates, and how they stand to each other.

use engine::base::time::{Duration, WallTime};
use engine::media::summary::{Samples, Summary};
use serde::Serialize;

use super::super::results::RIVAL;
use super::chromium::Watched;
use crate::markers::Seen;

/// What `visavis bench --rival … --out` writes.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    pub version: u32,
    pub kind: &'static str,
    /// The other program, all that it says of its version.
    pub rival: String,
    /// What the path between both ends was made to be, as for `--impair`; none: the machine's own.
    pub path: Option<String>,
    /// How it was set.
    pub settings: &'static [&'static str],
    /// Measured in each call, and calls of each candidate.
    pub seconds: f64,
    pub rounds: u32,
    /// From its painting until that which draws the received picture has it.
    pub picture: Option<Part>,
    /// Mouth to ear.
    pub sound: Option<Part>,
    /// Why there is no sound.
    pub sound_left_out: Option<String>,
}

/// One medium.
#[derive(Clone, Debug, Serialize)]
pub struct Part {
    /// The first one is ours.
    pub rows: Vec<Row>,
    /// The others against it.
    pub ratios: Vec<Ratio>,
    /// What explains the others and is not compared.
    pub beside: Option<Row>,
}

/// One candidate.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub name: String,
    /// `None` where nothing was measured.
    pub delay_ms: Option<Summary>,
    /// The median of each of its calls.
    pub rounds_p50_ms: Vec<Option<f64>>,
    /// Of what was sent, the part that was seen or heard whole; 0 to 1.
    pub whole: Option<f64>,
    /// As MIME types name it.
    pub codec: Option<String>,
    /// Width and height of the picture at the end.
    pub size: Option<(u32, u32)>,
    pub delays_ms: Vec<f32>,
}

/// A candidate's delay over ours: above 1 we are faster.
#[derive(Clone, Debug, Serialize)]
pub struct Ratio {
    pub name: String,
    pub p50: f64,
    pub p95: f64,
}

/// One call.
#[derive(Clone, Debug, Default)]
pub struct Round {
    /// Milliseconds.
    pub delays: Vec<f32>,
    /// Of pictures: until they were drawn, where that is known.
    pub drawn: Vec<f32>,
    /// How many there would be if none was missing.
    pub spanned: u64,
    pub codec: Option<String>,
    pub size: Option<(u32, u32)>,
}

const VERSION: u32 = 1;

/// How the other program is set: so that it is fastest. Said in every report.
const SETTINGS: [&str; 5] = [
    "both ends in one page, pictures one way, no graphics processor, shown at 320×180 as ours is without one",
    "pictures given to the track like a camera's; H.264 from 2500 kbit/s on, resolution kept",
    "jitterBufferTarget 0; playout delay forced to 0 as no page can have it (\"as pages have it\": without this)",
    "a picture counts when that which draws it has it, on both sides; drawing it takes both a few milliseconds more",
    "Opus in packets of 10 ms, device buffers of 128 samples; no echo cancellation, noise suppression or gain control",
];

/// The first pictures are of a call that is still finding its bitrate: left out on all sides alike.
pub const WARM: Duration = Duration::from_secs(2);

impl Comparison {
    /// One without any medium yet.
    pub fn new(rival: &str, seconds: Duration, rounds: u32) -> Self {
        Self {
            version: VERSION,
            kind: RIVAL,
            rival: rival.to_owned(),
            path: None,
            settings: &SETTINGS,
            seconds: seconds.as_secs_f64(),
            rounds,
            picture: None,
            sound: None,
            sound_left_out: None,
        }
    }
}

impl Comparison {
    /// Behind the name of the rival: where both were measured.
    pub fn over(&self) -> String {
        self.path.as_ref().map_or_else(String::new, |path| format!(", over a path of {path}"))
    }
}

impl Part {
    /// The first of `rows` is ours.
    pub fn new(rows: Vec<Row>, beside: Option<Row>) -> Self {
        let own = rows.first().and_then(|row| row.delay_ms);
        let ratio = |row: &Row| {
            let (own, other) = own.zip(row.delay_ms)?;
            let of = |own: f64, other: f64| (own > 0.0).then(|| (other / own * 100.0).round() / 100.0);
            Some(Ratio { name: row.name.clone(), p50: of(own.p50, other.p50)?, p95: of(own.p95, other.p95)? })
        };
        let ratios = rows.iter().skip(1).filter_map(ratio).collect();
        Self { rows, ratios, beside }
    }
}

impl Row {
    /// All the calls of a candidate together.
    pub fn new(name: &str, rounds: &[Round]) -> Self {
        let pooled = |delays: &mut dyn Iterator<Item = f32>| {
            let mut samples = Samples::default();
            delays.for_each(|delay| samples.push(f64::from(delay)));
            samples
        };
        let all = pooled(&mut rounds.iter().flat_map(|round| round.delays.iter().copied()));
        let median = |round: &Round| pooled(&mut round.delays.iter().copied()).summary().map(|summary| summary.p50);
        let spanned: u64 = rounds.iter().map(|round| round.spanned).sum();
        let last = rounds.last();
        Self {
            name: name.to_owned(),
            delay_ms: all.summary(),
            rounds_p50_ms: rounds.iter().map(median).collect(),
            whole: (spanned > 0).then(|| all.len() as f64 / spanned as f64),
            codec: last.and_then(|round| round.codec.clone()),
            size: last.and_then(|round| round.size),
            delays_ms: all.values().to_vec(),
        }
    }
}

impl Round {
    /// What was seen in the `time` that follows the first pictures.
    pub fn of_pictures(watched: Watched, time: Duration) -> Self {
        let Watched { seen, codec, size } = watched;
        let age = |painted: WallTime| seen.first().map_or(0, |first| painted.micros_since(first.painted));
        let (from, to) = (WARM.as_micros() as i64, (WARM + time).as_micros() as i64);
        let measured: Vec<_> = seen.iter().filter(|seen| (from..to).contains(&age(seen.painted))).collect();
        let since = |seen: &Seen, to: WallTime| to.micros_since(seen.painted) as f32 / 1e3;
        let delays = measured.iter().map(|seen| since(seen, seen.handed)).collect();
        let drawn = measured.iter().filter_map(|seen| Some(since(seen, seen.drawn?))).collect();
        let counters = measured.first().zip(measured.last()).map(|(first, last)| (first.counter, last.counter));
        let spanned = counters.map_or(0, |(first, last)| u64::from(last.wrapping_sub(first)) + 1);
        Self { delays, drawn, spanned, codec, size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Thirty pictures a second for six seconds, of which every tenth was not seen, seen after this many milliseconds.
    fn watched(delay: u64) -> Watched {
        let seen = (0..180u32).filter(|counter| counter % 10 != 5).map(|counter| {
            let painted = 1_795_000_000_000_000 + u64::from(counter) * 33_333;
            let handed = WallTime::from_micros(painted + delay * 1000);
            Seen { counter, painted: WallTime::from_micros(painted), handed, drawn: None }
        });
        Watched { seen: seen.collect(), ..Default::default() }
    }

    #[test]
    fn the_start_is_left_out_and_what_was_not_seen_is_counted() {
        let round = Round::of_pictures(watched(20), Duration::from_secs(3));
        assert!((88..=90).contains(&round.spanned), "{}", round.spanned);
        let row = Row::new("one", &[round.clone(), round]);
        assert!(row.whole.is_some_and(|whole| (0.88..0.92).contains(&whole)), "{:?}", row.whole);
        assert_eq!(row.rounds_p50_ms, [Some(20.0), Some(20.0)]);
        assert!(row.delay_ms.is_some_and(|delay| delay.p99 == 20.0 && delay.n > 150));
    }

    #[test]
    fn the_ratio_is_theirs_over_ours() {
        let row = |name: &str, delay| Row::new(name, &[Round::of_pictures(watched(delay), Duration::from_secs(3))]);
        let part = Part::new(vec![row("ours", 10), row("theirs", 35), Row::new("nothing", &[])], None);
        let [ratio] = &part.ratios[..] else { panic!("{:?}", part.ratios) };
        assert_eq!((ratio.name.as_str(), ratio.p50, ratio.p95), ("theirs", 3.5, 3.5));
        assert!(Part::new(vec![Row::new("nothing", &[]), row("theirs", 35)], None).ratios.is_empty());
    }
}
