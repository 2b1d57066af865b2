//! What must hold wherever this runs; how well it does its work is measured by `proof voice`.

use super::*;
use crate::base::time::now;

const RATE: usize = 48_000;

/// Something like speech: a voice of 140 Hz with its overtones, in syllables of 200 ms.
fn speech(at: usize) -> f32 {
    let t = at as f32 / RATE as f32;
    let syllable = (t * 2.5 * std::f32::consts::PI).sin().powi(2);
    let tones = (1..20).map(|n| (t * 140.0 * n as f32 * std::f32::consts::TAU).sin() / n as f32);
    0.1 * syllable * tones.sum::<f32>()
}

/// Noise that is the same each time.
fn noise(state: &mut u32) -> f32 {
    *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    (*state >> 8) as f32 / (1 << 23) as f32 - 1.0
}

fn power(samples: &[f32]) -> f64 {
    samples.iter().map(|x| f64::from(x * x)).sum::<f64>() / samples.len() as f64
}

/// What becomes of `samples`, given in parts of 5 ms, and when each part that came out was captured, in samples.
fn through(processor: &mut VoiceProcessor, samples: &[f32]) -> (Vec<f32>, Vec<(usize, f64)>) {
    let (start, mut out, mut times) = (now(), Vec::new(), Vec::new());
    for (part, samples) in samples.chunks(240).enumerate() {
        let before = out.len();
        let first = processor.process(samples, start + time_of(part * 240) + time_of(RATE), &mut out);
        if out.len() > before {
            times.push((before, (first - start).as_secs_f64() * RATE as f64 - RATE as f64));
        }
    }
    (out, times)
}

#[test]
fn with_all_off_samples_pass_untouched_and_at_once() {
    let sound: Vec<f32> = (0..RATE).map(speech).collect();
    let (out, times) = through(&mut VoiceProcessor::new(Switches::OFF), &sound);
    assert_eq!(out, sound);
    assert!(times.iter().all(|(at, captured)| (*at as f64 - captured).abs() < 0.01));
}

/// Given in parts of 5 ms, so that a part is out at once where nothing is done.
#[test]
fn a_click_comes_out_within_ten_milliseconds_and_keeps_its_time() {
    let echo = Switches { echo: true, ..Switches::OFF };
    let noise = Switches { noise: true, ..Switches::OFF };
    let gain = Switches { gain: true, ..Switches::OFF };
    for (switches, most) in [(echo, 480), (noise, 480), (gain, 0), (Switches::ON, 480)] {
        // In each place of a block once.
        for place in (0..960).step_by(150) {
            let mut sound = vec![0.0; RATE / 2 + 1920];
            let at = 24_000 - 960 + place;
            sound[at] = 0.5;
            let (mut processor, start, mut out) = (VoiceProcessor::new(switches), now(), Vec::new());
            // The loudest sample yet, when it was there and when it is said to have been captured.
            let mut loudest = (0.0, 0, 0.0);
            for (part, samples) in sound.chunks(240).enumerate() {
                out.clear();
                let first = processor.process(samples, start + time_of(part * 240), &mut out);
                for (later, sample) in out.iter().enumerate().filter(|(_, sample)| sample.abs() > 0.01) {
                    if sample.abs() > loudest.0 {
                        let captured = (first - start).as_secs_f64() * RATE as f64 + later as f64;
                        loudest = (sample.abs(), part * 240 + 240, captured);
                    }
                }
            }
            let (loud, came, captured) = loudest;
            assert!(loud > 0.0, "{switches}: no click");
            assert!((captured - at as f64).abs() < 4.0, "{switches}: captured at {at}, said {captured}");
            // The part that has it is there at its end.
            let whole = at / 240 * 240 + 240;
            assert!(came - whole <= most, "{switches}: {} samples late", came - whole);
        }
    }
}

#[test]
fn an_echo_is_taken_away_also_when_the_device_becomes_another_one() {
    let mut processor = VoiceProcessor::new(Switches { echo: true, ..Switches::OFF });
    let (start, mut state, mut sound) = (now(), 1, Vec::new());
    let mut out = Vec::new();
    // From 3 s on the loudspeaker is 100 ms later, and says so.
    let plays = |part: usize| start + time_of(part * 240 + 480 + if part < 600 { 0 } else { 4800 });
    // As dark as speech is: above 8 kHz nothing is cancelled, only suppressed.
    let mut dark = 0.0;
    let mut next = |_| {
        dark += (noise(&mut state) - dark) * 0.1;
        dark * 0.3
    };
    let far: Vec<f32> = (0..5 * RATE).map(&mut next).collect();
    for (part, played) in far.chunks(240).enumerate() {
        processor.play(played, plays(part));
        let late = if part < 600 { 480 } else { 5280 } + 2000;
        let heard = |at: usize| at.checked_sub(late).map_or(0.0, |at| far[at] * 0.5);
        let samples: Vec<f32> = (part * 240..part * 240 + 240).map(heard).collect();
        processor.process(&samples, start + time_of(part * 240), &mut out);
        sound.extend(samples);
    }
    for (from, to) in [(2 * RATE, 3 * RATE), (4 * RATE + RATE / 2, 5 * RATE - 480)] {
        let down = 10.0 * (power(&sound[from..to]) / power(&out[from..to])).log10();
        assert!(down > 25.0, "from {from}: {down} dB");
    }
    assert_eq!(processor.figures().drift_ppm, Some(0.0));
}

#[test]
fn noise_becomes_less_and_is_no_speech() {
    let mut state = 7;
    let noisy: Vec<f32> = (0..3 * RATE).map(|_| noise(&mut state) * 0.01).collect();
    let mut processor = VoiceProcessor::new(Switches { noise: true, ..Switches::OFF });
    let (out, _) = through(&mut processor, &noisy);
    let down = 10.0 * (power(&noisy[RATE..]) / power(&out[RATE..])).log10();
    assert!(down > 12.0, "{down} dB");
    assert!(processor.figures().noise_reduction_db.is_some_and(|said| said > 6.0), "{:?}", processor.figures());
    assert_eq!(processor.is_voice(), Some(false));
}

#[test]
fn switched_again_and_again_it_never_clicks() {
    let sound: Vec<f32> = (0..4 * RATE).map(|at| (at as f32 * 0.02).sin() * 0.3).collect();
    let (mut processor, start, mut out) = (VoiceProcessor::new(Switches::OFF), now(), Vec::new());
    for (part, samples) in sound.chunks(240).enumerate() {
        let n = part / 37;
        processor.set(Switches { echo: n & 1 != 0, noise: false, gain: n & 2 != 0 });
        processor.process(samples, start + time_of(part * 240), &mut out);
    }
    assert!(out.len() + 192 > sound.len(), "{} of {}", out.len(), sound.len());
    let steepest = out.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
    assert!(steepest < 0.3 * 0.02 * 1.5, "{steepest}");
}

#[test]
fn a_quiet_voice_is_brought_up_and_noise_is_not() {
    let mut state = 3;
    let quiet: Vec<f32> = (0..8 * RATE).map(|at| speech(at) * 0.1).collect();
    let mut processor = VoiceProcessor::new(Switches { gain: true, ..Switches::OFF });
    let (out, _) = through(&mut processor, &quiet);
    let up = 10.0 * (power(&out[7 * RATE..]) / power(&quiet[7 * RATE..])).log10();
    assert!(up > 6.0 && out.iter().all(|x| x.abs() <= 1.0), "{up} dB");
    assert_eq!(processor.is_voice(), Some(true));
    let room: Vec<f32> = (0..4 * RATE).map(|_| noise(&mut state) * 0.01).collect();
    let mut processor = VoiceProcessor::new(Switches::ON);
    through(&mut processor, &room);
    assert!(processor.figures().gain_db.is_some_and(|gain| gain < 1.0), "{:?}", processor.figures());
}
