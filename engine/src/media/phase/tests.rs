use super::*;
use crate::base::time::now;

/// A source of `rate` pictures a second and a screen.
struct Watched {
    rate: f64,
    period: f64,
    /// Where in the screen's period the source begins, milliseconds.
    phase: f64,
    /// Milliseconds that a picture takes at least, and by how much that varies; of a hundred so many take 8 ms more.
    way: f64,
    varies: f64,
    slow: u64,
    /// The source does what it is asked for.
    follows: bool,
}

/// Of each picture how long it waited from when it could have been drawn until it was shown, milliseconds; and the reports.
fn watch(watched: &Watched, seconds: f64) -> (Vec<f64>, usize) {
    let trip = 60.0;
    let mut random = fastrand::Rng::with_seed(watched.phase.to_bits());
    let (mut meter, start) = (PhaseMeter::default(), now());
    let at = |ms: f64| start + Duration::from_secs_f64(ms / 1e3);
    let (mut shift, mut waits, mut reports) = (0.0f64, Vec::new(), 0);
    let mut asked: VecDeque<(f64, f64)> = VecDeque::new();
    for n in 0..(seconds * watched.rate) as u64 {
        let taken = 1000.0 + n as f64 * 1e3 / watched.rate + watched.phase + shift;
        let wanted = asked.iter().rev().find(|(from, _)| *from <= taken).map_or(0.0, |(_, wanted)| *wanted);
        if watched.follows {
            shift += (wanted - shift).clamp(-2.0, 2.0);
        }
        let slow = if random.u64(..100) < watched.slow { 8.0 } else { 0.0 };
        let drawn = taken + trip / 2.0 + watched.way + random.f64() * watched.varies + slow;
        let shown = (drawn / watched.period).ceil() * watched.period;
        waits.push(shown - drawn);
        let [early, period] = [shown - drawn, watched.period].map(|ms| Duration::from_secs_f64(ms / 1e3));
        meter.on_presented(Refresh { early, period }, at(taken), Duration::from_millis(60), at(shown));
        if let Some(report) = meter.take_report() {
            asked.push_back((shown + trip / 2.0, f64::from(report.later_micros) / 1e3));
            reports += 1;
        }
    }
    (waits, reports)
}

fn quantile(waits: &[f64], share: f64) -> f64 {
    let mut waits = waits.to_vec();
    waits.sort_unstable_by(f64::total_cmp);
    waits[((waits.len() - 1) as f64 * share) as usize]
}

const USUAL: Watched =
    Watched { rate: 30.0, period: 50.0 / 3.0, phase: 0.0, way: 9.0, varies: 1.5, slow: 0, follows: true };

#[test]
fn whatever_the_phase_pictures_come_just_before_the_refresh_within_a_second() {
    for (period, name) in [(50.0 / 3.0, "60 Hz"), (1000.0 / 59.94, "59.94 Hz"), (1000.0 / 120.0, "120 Hz")] {
        let mut alone = Vec::new();
        for phase in 0..34 {
            let watched = Watched { period, phase: f64::from(phase) / 2.0, ..USUAL };
            let (waits, _) = watch(&watched, 60.0);
            for (what, part) in [("at the beginning", &waits[25..75]), ("later", &waits[150..])] {
                let (middle, most) = (quantile(part, 0.5), quantile(part, 0.96));
                assert!(middle < 3.5 && most < 4.5, "{name}, {phase}, {what}: {middle} {most}");
            }
            alone.push(quantile(&watch(&Watched { follows: false, ..watched }, 60.0).0, 0.5));
        }
        // And without it they wait for half a period.
        let mean = alone.iter().sum::<f64>() / alone.len() as f64;
        assert!(mean > period * 0.4, "{name}: {mean}");
    }
}

#[test]
fn few_that_are_slow_miss_their_refresh_and_the_others_do_not_wait_for_them() {
    for phase in 0..17 {
        let (waits, _) = watch(&Watched { phase: f64::from(phase), slow: 2, ..USUAL }, 60.0);
        let middle = quantile(&waits[90..], 0.5);
        let missed = waits[90..].iter().filter(|wait| **wait > 7.0).count() as f64 / (waits.len() - 90) as f64;
        assert!(middle < 5.0 && missed < 0.05, "{phase}: {middle} ms, {missed} missed");
    }
}

#[test]
fn to_a_screen_of_another_rate_half_of_them_are_in_time() {
    // 75 Hz: every other picture waits for half a period longer, wherever the source is.
    let (waits, _) = watch(&Watched { period: 40.0 / 3.0, phase: 5.0, ..USUAL }, 60.0);
    assert!(quantile(&waits[60..], 0.45) < 4.0 && quantile(&waits[60..], 0.95) < 11.0);
    // 25 pictures a second come at five places of the period of 60 Hz.
    let (_, reports) = watch(&Watched { rate: 25.0, varies: 3.0, ..USUAL }, 60.0);
    assert!(reports <= 2, "{reports} reports for nothing");
}

#[test]
fn a_beginning_in_disorder_is_forgotten_as_soon_as_it_is_over() {
    let (mut meter, start, mut later) = (PhaseMeter::default(), now(), Vec::new());
    for n in 0..45u64 {
        // For a second pictures come at any time, then 11 ms too early.
        let early = if n < 30 { n * 6700 % 16_667 } else { 11_000 + n * 300 % 1000 };
        let [early, period] = [early, 16_667].map(Duration::from_micros);
        let at = start + Duration::from_millis(33 * n);
        meter.on_presented(Refresh { early, period }, at, Duration::ZERO, at);
        later.extend(meter.take_report().map(|report| (n, report.later_micros)));
    }
    let [(n, moved)] = later[..] else { panic!("{later:?}") };
    assert!((36..=42).contains(&n) && (moved - 9_500 + 16_667).abs() < 800, "{later:?}");
}

#[test]
fn who_does_not_follow_is_left_in_peace() {
    let (_, reports) = watch(&Watched { phase: 3.0, follows: false, ..USUAL }, 60.0);
    assert!((1..=6).contains(&reports), "{reports} reports");
}

#[test]
fn on_another_screen_it_is_found_anew() {
    let (mut meter, start) = (PhaseMeter::default(), now());
    let mut show = |early: u64, period: u64, n: u64| {
        let [early, period] = [early, period].map(Duration::from_micros);
        let at = start + Duration::from_millis(33 * n);
        meter.on_presented(Refresh { early, period }, at, Duration::ZERO, at);
        meter.take_report().map(|report| report.later_micros)
    };
    let first: Vec<i32> = (0..4).filter_map(|n| show(6000, 16_667, n)).collect();
    assert_eq!(first, [4500]);
    let second: Vec<i32> = (4..8).filter_map(|n| show(2500, 8333, n)).collect();
    assert_eq!(second, [5500], "no picture is waited for that the other screen would have had");
    // One without a rate says nothing.
    assert_eq!((8..40).filter_map(|n| show(2500, 0, n)).count(), 0);
}

#[test]
fn requests_survive_the_wire() {
    for later_micros in [0, -1, 12_345, i32::MIN] {
        let report = PhaseReport { later_micros };
        assert_eq!(PhaseReport::parse(&report.to_bytes()), Some(report));
    }
    assert_eq!((PhaseReport::parse(&[4; 8]), PhaseReport::parse(&[5; 7])), (None, None));
}
