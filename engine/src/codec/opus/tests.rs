//! Facts about both directions together.

use std::time::Duration;

use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use super::{FrameLength, MAX_PACKET_SAMPLES, OpusDecoder, OpusEncoder, packet_samples};
use crate::base::rate::Bitrate;
use crate::base::stereo::{Stereo, middle, to_mono};
use crate::base::time::WallTime;
use crate::media::chirp::{ChirpFinder, ChirpSource};

fn tone(start: usize, samples: usize) -> Vec<f32> {
    (start..start + samples).map(|n| (n as f32 * 440.0 * std::f32::consts::TAU / 48_000.0).sin() * 0.4).collect()
}

#[test]
fn every_frame_length_comes_back_delayed_by_the_look_ahead() {
    for length in FrameLength::ALL {
        let mut encoder = OpusEncoder::new(length, Bitrate::from_kbps(96)).unwrap();
        let mut decoder = OpusDecoder::new().unwrap();
        let frames = 24_000 / length.samples();
        let sent = tone(0, frames * length.samples());
        let (mut packet, mut heard) = (Vec::new(), Vec::new());
        for frame in sent.chunks_exact(length.samples()) {
            encoder.encode(frame, &mut packet).unwrap();
            assert_eq!(packet_samples(&packet), Some(length.samples()));
            assert_eq!(decoder.decode(&packet, &mut heard).unwrap(), length.samples());
        }
        assert_eq!(encoder.look_ahead(), if length <= FrameLength::Ms10 { 120 } else { 312 });
        assert!(heard.iter().all(|[left, right]| left == right));
        let heard: Vec<f32> = heard.into_iter().map(middle).collect();
        let shifted = &heard[12_000 + encoder.look_ahead()..];
        let original = &sent[12_000..12_000 + shifted.len()];
        let product: f32 = shifted.iter().zip(original).map(|(a, b)| a * b).sum();
        let power: f32 = original.iter().map(|a| a * a).sum();
        assert!(product / power > 0.9, "{length:?}: {}", product / power);
    }
}

#[test]
fn sound_goes_on_without_a_packet_in_small_steps_as_in_large_ones() {
    for (length, kbps, has_silk) in [(FrameLength::Ms20, 14, true), (FrameLength::Ms5, 64, false)] {
        let mut encoder = OpusEncoder::new(length, Bitrate::from_kbps(kbps)).unwrap();
        let mut packets = Vec::new();
        for frame in tone(0, 24_000).chunks_exact(length.samples()) {
            let mut packet = Vec::new();
            encoder.encode(frame, &mut packet).unwrap();
            packets.push(packet);
        }
        assert_eq!(packets[20][0] >> 3 < 16, has_silk, "{length:?}");
        // 22.5 ms in one call or in nine; then the next packet, which what was made too much goes over into.
        let heard = |step: usize| {
            let (mut decoder, mut out) = (OpusDecoder::new().unwrap(), Vec::new());
            packets[..20].iter().for_each(|packet| _ = decoder.decode(packet, &mut out).unwrap());
            let gap = out.len();
            (0..1_080 / step).for_each(|_| decoder.conceal(step, &mut out));
            decoder.decode(&packets[21], &mut out).unwrap();
            let to_mono: Vec<f32> = out.into_iter().map(middle).collect();
            (gap, to_mono)
        };
        let (gap, small) = heard(120);
        assert!(small == heard(1_080).1, "{length:?}: not the same");
        // 440 Hz at 0.4 rises by 0.023 a sample at most: no click where steps or packets meet.
        let steepest = small[gap - 240..gap + 1_300].windows(2).map(|two| (two[1] - two[0]).abs()).fold(0.0, f32::max);
        assert!(steepest < 0.06, "{length:?}: {steepest}");
    }
}

#[test]
fn music_keeps_its_two_sides_apart() {
    let mut encoder = OpusEncoder::music(Bitrate::from_kbps(160)).unwrap();
    let mut decoder = OpusDecoder::new().unwrap();
    let (mut packet, mut heard) = (Vec::new(), Vec::new());
    let (left, right) = (tone(0, 24_000), tone(7_777, 24_000));
    let side = |n: usize| [left[n], 0.3 * right[n / 2]];
    let sent: Vec<Stereo> = (0..24_000).map(side).collect();
    for frame in sent.chunks_exact(240) {
        encoder.encode(frame.as_flattened(), &mut packet).unwrap();
        assert_eq!(packet_samples(&packet), Some(240));
        decoder.decode(&packet, &mut heard).unwrap();
    }
    assert!(encoder.encode(&[0.0; 240 * 2 * 4], &mut packet).is_err(), "20 ms are no frame of music");
    for side in 0..2 {
        let shifted = heard[12_120..].iter().map(|both| both[side]);
        let (product, power) = shifted.zip(&sent[12_000..]).fold((0.0, 0.0), |(product, power), (heard, sent)| {
            (product + heard * sent[side], power + sent[side] * sent[side])
        });
        assert!((0.9..1.1).contains(&(product / power)), "side {side}: {}", product / power);
    }
}

#[test]
fn encoding_into_a_used_vector_does_not_grow_it() {
    let mut encoder = OpusEncoder::new(FrameLength::Ms5, Bitrate::from_kbps(64)).unwrap();
    let mut packet = Vec::new();
    encoder.encode(&tone(0, 240), &mut packet).unwrap();
    let (address, capacity) = (packet.as_ptr(), packet.capacity());
    for n in 1..50 {
        encoder.encode(&tone(n * 240, 240), &mut packet).unwrap();
    }
    assert_eq!((packet.as_ptr(), packet.capacity()), (address, capacity));
}

#[test]
fn a_frame_of_the_wrong_length_is_refused_and_the_next_is_encoded() {
    let mut encoder = OpusEncoder::new(FrameLength::Ms5, Bitrate::from_kbps(64)).unwrap();
    let mut packet = Vec::new();
    assert!(encoder.encode(&[0.0; 239], &mut packet).is_err());
    assert!(encoder.encode(&[0.0; 240], &mut packet).is_ok());
}

#[test]
fn fec_restores_a_lost_frame_better_than_concealment() {
    // A tone that jumps in pitch: what comes after a loss cannot be guessed from what was before.
    let frames: Vec<Vec<f32>> = (0..100)
        .map(|frame| {
            let pitch = 120.0 + 60.0 * ((frame / 5) % 5) as f32;
            (0..960)
                .map(|n| {
                    let t = (frame * 960 + n) as f32 / 48_000.0;
                    (1..8).map(|h| (t * pitch * h as f32 * std::f32::consts::TAU).sin() / h as f32).sum::<f32>() * 0.2
                })
                .collect()
        })
        .collect();
    let mut encoder = OpusEncoder::new(FrameLength::Ms20, Bitrate::from_kbps(32)).unwrap();
    encoder.set_fec(true, 20).unwrap();
    let packets: Vec<Vec<u8>> = frames
        .iter()
        .map(|frame| {
            let mut packet = Vec::new();
            encoder.encode(frame, &mut packet).unwrap();
            packet
        })
        .collect();
    let play = |fec: Option<bool>| {
        let mut decoder = OpusDecoder::new().unwrap();
        let mut out = Vec::new();
        for (n, packet) in packets.iter().enumerate() {
            match (fec, n % 5 == 0 && n + 1 < packets.len()) {
                (Some(true), true) => drop(decoder.decode_fec(&packets[n + 1], 960, &mut out).unwrap()),
                (Some(false), true) => decoder.conceal(960, &mut out),
                _ => drop(decoder.decode(packet, &mut out).unwrap()),
            }
        }
        out.into_iter().map(middle).collect::<Vec<f32>>()
    };
    let clean = play(None);
    let error = |out: &[f32]| clean.iter().zip(out).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
    let (with, without) = (error(&play(Some(true))), error(&play(Some(false))));
    assert!(with < without * 0.7, "with {with}, without {without}");
}

proptest! {
    #[test]
    fn garbage_never_panics_and_never_makes_more_than_its_duration(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut decoder = OpusDecoder::new().unwrap();
        let mut out = vec![[0.5; 2]];
        let samples = packet_samples(&bytes);
        if let Ok(decoded) = decoder.decode(&bytes, &mut out) {
            prop_assert_eq!(Some(decoded), samples);
            prop_assert_eq!(out.len(), 1 + decoded);
        } else {
            prop_assert_eq!(out.len(), 1);
        }
        let _ = decoder.decode_fec(&bytes, 240, &mut out);
        prop_assert!(out.len() <= 1 + MAX_PACKET_SAMPLES + 240);
    }

    #[test]
    fn concealment_makes_exactly_what_is_asked(samples in 0usize..20_000) {
        let mut decoder = OpusDecoder::new().unwrap();
        let mut out = Vec::new();
        decoder.conceal(samples, &mut out);
        prop_assert_eq!(out.len(), samples);
    }
}

#[test]
fn two_hundred_chirps_survive_opus_at_five_milliseconds_within_a_tenth_of_a_millisecond() {
    let start = crate::base::time::now();
    let mut source = ChirpSource::new(WallTime::of(start));
    let mut encoder = OpusEncoder::new(FrameLength::Ms5, Bitrate::from_kbps(64)).unwrap();
    let mut decoder = OpusDecoder::new().unwrap();
    let mut finder = ChirpFinder::new();
    let (mut frame, mut packet, mut heard, mut found) = ([0.0; 240], Vec::new(), Vec::new(), Vec::new());
    let mut middles = Vec::new();
    let schedule = source.clone();
    for n in 0..20_120u32 {
        source.fill(&mut frame);
        encoder.encode(&frame, &mut packet).unwrap();
        heard.clear();
        decoder.decode(&packet, &mut heard).unwrap();
        to_mono(&heard, &mut middles);
        finder.push(&middles, start + Duration::from_millis(5) * n, |chirp| found.push(chirp));
    }
    let mut sample = 0;
    for chirp in found.iter().take(200) {
        let (variant, begins) = schedule.next_after(sample);
        assert_eq!(chirp.variant, variant);
        let behind = (chirp.at - start).as_secs_f64() * 48_000.0 - begins as f64 - encoder.look_ahead() as f64;
        assert!(behind.abs() < 4.8, "{behind} samples beside the codec's look-ahead");
        sample = begins + 1;
    }
    assert!(found.len() >= 200, "{}", found.len());
}
