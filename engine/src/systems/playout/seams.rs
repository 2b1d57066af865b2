//! What the decoder makes where sound is missing: its concealment goes into the sound on both sides and into the noise of
//! the room by itself, so nothing has to be cross-faded behind it.

use std::f32::consts::TAU;

use super::decode;
use crate::base::rate::Bitrate;
use crate::base::stereo::Stereo;
use crate::base::time::now;
use crate::codec::opus::{FrameLength, OpusDecoder, OpusEncoder};
use crate::media::jitter_audio::{AudioPacket, Next};
use crate::media::level::power_of_two;

/// White noise of −55 dBFS.
fn room(seed: &mut u32) -> f32 {
    *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    ((*seed >> 8) as f32 / 8_388_608.0 - 1.0) * 0.003
}

fn voice(n: usize) -> f32 {
    let t = n as f32 / 48_000.0 * TAU * 130.0;
    (1..6).map(|harmonic| (t * harmonic as f32).sin() / harmonic as f32).sum::<f32>() * 0.2
}

fn packet(payload: &[u8], samples: usize) -> Next {
    Next::Decode(AudioPacket {
        sequence: 0,
        timestamp: 0,
        arrival: now(),
        samples,
        payload: payload.into(),
        level: None,
        captured: None,
        copy: false,
    })
}

#[test]
fn concealment_joins_what_is_before_it_and_behind_it_without_a_click() {
    for length in [FrameLength::Ms5, FrameLength::Ms20] {
        let frame = length.samples();
        let mut encoder = OpusEncoder::new(length, Bitrate::from_kbps(64)).unwrap();
        let packets: Vec<Vec<u8>> = (0..24_000 / frame)
            .map(|number| {
                let sound: Vec<f32> = (number * frame..(number + 1) * frame).map(voice).collect();
                let mut payload = Vec::new();
                encoder.encode(&sound, &mut payload).unwrap();
                payload
            })
            .collect();
        for lost in [1, 2, 5] {
            let (mut decoder, mut out) = (OpusDecoder::new().unwrap(), Vec::new());
            let gap = 12_000 / frame..12_000 / frame + lost;
            for (number, payload) in packets.iter().enumerate() {
                let next =
                    if gap.contains(&number) { Next::Conceal { samples: frame } } else { packet(payload, frame) };
                decode(&next, &mut decoder, &mut out);
            }
            assert_eq!(out.len(), packets.len() * frame);
            // A click is a bend: sound that goes on somewhere else within a sample.
            let sharpest = |from: usize, to: usize| {
                out[from..to].windows(3).map(|w| (w[2][0] - 2.0 * w[1][0] + w[0][0]).abs()).fold(0.0, f32::max)
            };
            let usual = sharpest(6_000, 11_000);
            for seam in [gap.start * frame, gap.end * frame] {
                let sharp = sharpest(seam - 20, seam + 140);
                assert!(sharp < usual * 2.0, "{length:?}, {lost} lost: {sharp} where {usual} is usual");
            }
        }
    }
}

#[test]
fn a_pause_sounds_like_the_room() {
    for length in [FrameLength::Ms5, FrameLength::Ms20] {
        let (frame, mut seed) = (length.samples(), 1);
        let mut encoder = OpusEncoder::new(length, Bitrate::from_kbps(32)).unwrap();
        encoder.set_dtx(true).unwrap();
        let (mut decoder, mut out, mut payload, mut noise) = (OpusDecoder::new().unwrap(), Vec::new(), Vec::new(), 0);
        // Two seconds of speech with pauses between the words, then four of the room alone.
        for number in 0..6 * 48_000 / frame {
            let speaks = number * frame < 96_000 && (number * frame / 9_600) % 3 != 2;
            let sound: Vec<f32> = (number * frame..(number + 1) * frame)
                .map(|n| room(&mut seed) + if speaks { voice(n) } else { 0.0 })
                .collect();
            encoder.encode(&sound, &mut payload).unwrap();
            // What says that there is nothing to say is not sent.
            let next = if payload.len() <= 2 { Next::Noise { samples: frame } } else { packet(&payload, frame) };
            noise += usize::from(matches!(next, Next::Noise { .. })) * frame;
            decode(&next, &mut decoder, &mut out);
        }
        assert!(noise > 48_000 * 2, "the encoder paused for {noise} samples");
        let decibel = |sound: &[Stereo]| 10.0 * power_of_two(sound).log10();
        for second in 3..6 {
            let level = decibel(&out[second * 48_000..(second + 1) * 48_000]);
            assert!((level - -55.2).abs() < 4.0, "{length:?}: {level} dB in second {second}, the room has -55.2");
        }
    }
}
