//! Facts about player and finder together. Codec delay is played by hand: media knows no codecs; the round through
//! Opus is tested beside the codec.

use std::time::Duration;

use super::{CHIRP_SAMPLES, ChirpFinder, ChirpFound, ChirpSource, PERIOD_MICROS, VARIANTS, delay_of};
use crate::base::time::{Instant, WallTime, now};

fn find(samples: &[f32], start: Instant) -> Vec<ChirpFound> {
    let mut finder = ChirpFinder::new();
    let mut found = Vec::new();
    for (n, chunk) in samples.chunks(120).enumerate() {
        finder.push(chunk, start + Duration::from_micros(2500) * n as u32, |chirp| found.push(chirp));
    }
    found
}

/// Vowel-like sound: a gliding buzz through two resonances, with pauses; deterministic.
pub(crate) fn speech_like(samples: usize) -> Vec<f32> {
    let (mut phase, mut seed, mut a, mut b) = (0.0f32, 1u32, [0.0f32; 2], [0.0f32; 2]);
    (0..samples)
        .map(|n| {
            let t = n as f32 / 48_000.0;
            phase += (110.0 + 60.0 * (t * 2.1).sin()) / 48_000.0;
            let pulse = if phase >= 1.0 { 1.0 } else { 0.0 };
            phase = phase.fract();
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (seed >> 8) as f32 / (1 << 24) as f32 - 0.5;
            let syllable = (t * 3.7).sin().max(0.0);
            let excite = (pulse * 3.0 + noise * 0.3) * syllable;
            let resonate = |state: &mut [f32; 2], hz: f32, x: f32| {
                let r = 0.992f32;
                let y = x + 2.0 * r * (hz * std::f32::consts::TAU / 48_000.0).cos() * state[0] - r * r * state[1];
                state[1] = state[0];
                state[0] = y;
                y
            };
            let first = resonate(&mut a, 600.0 + 250.0 * (t * 1.3).sin(), excite);
            let second = resonate(&mut b, 1_900.0 + 700.0 * (t * 0.9).cos(), excite);
            ((first + second * 0.6) * 0.03).clamp(-1.0, 1.0)
        })
        .collect()
}

#[test]
fn all_eight_variants_are_found_where_they_were_played_in_whatever_pieces() {
    let start = now();
    let mut source = ChirpSource::new(WallTime::of(start));
    let schedule = source.clone();
    let mut sound = vec![0.0; 48_000 * 9];
    // Uneven pieces: a chirp must not depend on how it is asked for.
    for piece in sound.chunks_mut(997) {
        source.fill(piece);
    }
    let found = find(&sound, start);
    let mut sample = 0;
    for chirp in &found {
        let (variant, begins) = schedule.next_after(sample);
        assert_eq!(chirp.variant, variant);
        let expected = start + Duration::from_nanos(begins * 62_500 / 3);
        let error = chirp.at.max(expected) - chirp.at.min(expected);
        assert!(error < Duration::from_micros(30), "{error:?}");
        assert!(chirp.score > 0.9, "{}", chirp.score);
        let (_, delay) = delay_of(chirp.variant, WallTime::of(chirp.at));
        assert!(delay.abs() < 50, "{delay}");
        sample = begins + CHIRP_SAMPLES as u64;
    }
    assert!(found.len() >= 17, "{}", found.len());
}

#[test]
fn none_is_found_in_speech_and_a_planted_one_is() {
    let start = now();
    let mut sound = speech_like(48_000 * 30);
    assert_eq!(find(&sound, start), []);
    let mut source = ChirpSource::new(WallTime::from_micros(3 * PERIOD_MICROS));
    let mut chirp = vec![0.0; CHIRP_SAMPLES];
    source.fill(&mut chirp);
    let place = 48_000 * 12 + 777;
    for (sample, chirp) in sound[place..].iter_mut().zip(&chirp) {
        *sample += chirp;
    }
    let found = find(&sound, start);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].variant, 3);
    let error = (found[0].at - start).as_secs_f64() - place as f64 / 48_000.0;
    assert!(error.abs() < 1e-4, "{error}");
}

#[test]
fn the_delay_follows_from_the_wall_time_alone() {
    for variant in 0..VARIANTS {
        let played = 7_000_000_000_000_000 / 4_000_000 * 4_000_000 + u64::from(variant) * PERIOD_MICROS;
        for delay in [-150_000i64, 0, 12_345, 3_700_000] {
            let heard = WallTime::from_micros(played.saturating_add_signed(delay));
            assert_eq!(delay_of(variant, heard), (WallTime::from_micros(played), delay));
        }
    }
}
