use std::f32::consts::TAU;

use engine::codec::opus::LOUDEST;

use super::*;

/// Two seconds of a voice with a pause in it.
fn voice() -> Vec<f32> {
    let sample = |n: usize| {
        let t = n as f32 / 48_000.0;
        let loud = if n / 24_000 % 4 == 3 { 0.0 } else { 0.1 };
        (1..6).map(|h| (TAU * 120.0 * h as f32 * t).sin() / h as f32).sum::<f32>() * loud
    };
    (0..96_000).map(sample).collect()
}

fn played(length: FrameLength, planted: Option<Planted>) -> Survived {
    let plan = Plan { seed: 1, length, malformed: 400, rounds: 2, planted };
    survive(&plan, &voice()).expect("encodes")
}

#[test]
fn malformed_sound_is_survived_and_its_delay_does_not_stay() {
    for length in FrameLength::ALL {
        let survived = played(length, None);
        assert_eq!((survived.malformed, survived.not_finite), (800, 0), "{length:?}: {survived:?}");
        assert!(survived.most_packets <= 800 && survived.most_samples < 48_000, "{length:?}: {survived:?}");
        assert!(survived.back.is_some_and(|back| back <= 5.0), "{length:?}: {survived:?}");
        assert_eq!(survived.made_up, 0, "{length:?}: {survived:?}");
        // A cross-fade of two that are as loud as can be.
        assert!(survived.loudest <= LOUDEST * 1.01, "{length:?}: {survived:?}");
        assert!(survived.loudest_settled <= survived.loudest_whole * 1.02, "{length:?}: {survived:?}");
    }
}

#[test]
fn what_malformed_sound_could_do_would_be_found() {
    let planted = |planted| played(FrameLength::Ms20, Some(planted));
    // One of each side, twice.
    assert_eq!(planted(Planted::NotANumber).not_finite, 4);
    assert_eq!(planted(Planted::StaysLate).back, None);
    assert!(planted(Planted::Kept).grown > 40_000_000);
}
