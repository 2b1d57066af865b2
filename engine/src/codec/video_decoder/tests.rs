use super::*;
use crate::base::rate::Bitrate;
use crate::base::time::{Duration, WallTime, now};
use crate::codec::video_encoder::{EncoderConfig, VideoEncoder};
use crate::media::encoded::EncodedUnit;
use crate::media::marker::{self, Marker};
use crate::media::video::{CapturedPicture, Colour, Matrix, Range};
use crate::proto::nal::inspect;

const SIZE: (u32, u32) = (640, 360);

fn config(codec: VideoCodec, kbps: u64) -> EncoderConfig {
    EncoderConfig { codec, width: SIZE.0, height: SIZE.1, frame_rate: 30.0, bitrate: Bitrate::from_kbps(kbps) }
}

/// A moving pattern with a marker, as large as asked.
fn picture(turn: u32, (width, height): (u32, u32)) -> Arc<Picture> {
    let mut picture = Picture::new(width, height);
    for (y, row) in picture.y.chunks_exact_mut(width as usize).enumerate() {
        for (x, pixel) in row.iter_mut().enumerate() {
            *pixel = 40 + ((x as u32 / 3 + y as u32 / 5 + turn * 4) % 160) as u8;
        }
    }
    marker::paint(&mut picture, marker_of(turn));
    Arc::new(picture)
}

fn marker_of(turn: u32) -> Marker {
    Marker { counter: turn, drawn: WallTime::from_micros(1_795_000_000_000_000 + u64::from(turn) * 33_333) }
}

fn encode(encoder: &mut VideoEncoder, turn: u32, size: (u32, u32), start: Instant) -> Option<EncodedUnit> {
    let at = start + Duration::from_micros(u64::from(turn) * 33_333);
    encoder.submit(CapturedPicture { picture: picture(turn, size), captured: at }, at).expect("inline takes all");
    encoder.poll(at)
}

fn received(unit: &EncodedUnit) -> ReceivedUnit {
    let timestamp = u64::from(unit.number.0) * 3000;
    let EncodedUnit { keyframe, number, .. } = *unit;
    ReceivedUnit { data: Arc::new(unit.data.clone()), keyframe, number, timestamp, stamps: Stamps::default() }
}

fn read(picture: &Picture) -> Option<Marker> {
    marker::read(&picture.y, picture.width as usize, picture.width, picture.height)
}

#[test]
fn one_unit_in_is_one_frame_out_and_the_marker_survives_300_kbps() {
    let start = now();
    for codec in [VideoCodec::H264, VideoCodec::Plain] {
        // Scaled from 1280 × 720 by the encoder.
        let mut encoder = VideoEncoder::inline(config(codec, 300), Duration::ZERO);
        let mut decoder = VideoDecoder::inline(codec, Duration::ZERO);
        let (mut bytes, mut units) = (0, 0);
        for turn in 0..90 {
            let Some(unit) = encode(&mut encoder, turn, (1280, 720), start) else { continue };
            let info = inspect(&unit.data).expect("our own unit");
            assert_eq!(info.is_keyframe, unit.keyframe);
            assert_eq!(unit.keyframe, turn == 0, "IDR only when asked for: {turn}");
            assert!(decoder.submit(received(&unit), start), "inline takes all");
            let frame = decoder.poll(start).expect("at once");
            assert_eq!((frame.number, frame.picture.width, frame.picture.height), (unit.number, 640, 360));
            assert_eq!(read(&frame.picture), Some(marker_of(turn)), "{codec:?} {turn}");
            assert_eq!(frame.stamps.decoded, Some(start));
            (bytes, units) = (bytes + unit.data.len(), units + 1);
        }
        assert!(units >= 40, "{codec:?}: {units} units");
        // Three seconds: the target, with room for the first keyframe.
        assert!(bytes < 300_000 / 8 * 3 * 3 / 2, "{codec:?}: {bytes} bytes");
        assert_eq!(decoder.counters().frames, units);
        assert_eq!(encoder.counters().units + encoder.counters().skipped, 90);
    }
}

#[test]
fn a_new_size_begins_with_a_keyframe_and_keeps_the_bitrate() {
    let start = now();
    let mut encoder = VideoEncoder::inline(config(VideoCodec::H264, 2000), Duration::ZERO);
    let mut decoder = VideoDecoder::inline(VideoCodec::H264, Duration::ZERO);
    let mut late_bytes = 0;
    encoder.set_bitrate(Bitrate::from_kbps(400));
    for turn in 0..150 {
        if turn == 60 {
            encoder.set_size(321, 181);
        }
        let Some(unit) = encode(&mut encoder, turn, SIZE, start) else { continue };
        assert_eq!(unit.keyframe, turn == 0 || turn == 60, "{turn}");
        assert_eq!((unit.width, unit.height), if turn < 60 { SIZE } else { (320, 180) });
        assert!(decoder.submit(received(&unit), start), "inline takes all");
        let frame = decoder.poll(start).expect("at once");
        assert_eq!((frame.picture.width, frame.picture.height), (unit.width, unit.height));
        if turn >= 90 {
            late_bytes += unit.data.len();
        }
    }
    // The last two seconds.
    assert!(late_bytes < 400_000 / 8 * 2 * 5 / 4, "{late_bytes}");
}

#[test]
fn the_colour_travels_in_the_stream() {
    let start = now();
    for (matrix, range) in [(Matrix::Bt601, Range::Full), (Matrix::Bt709, Range::Limited)] {
        let mut source = (*picture(0, SIZE)).clone();
        source.colour = Colour { matrix, range };
        let mut encoder = VideoEncoder::inline(config(VideoCodec::H264, 1000), Duration::ZERO);
        let mut decoder = VideoDecoder::inline(VideoCodec::H264, Duration::ZERO);
        let captured = CapturedPicture { picture: Arc::new(source), captured: start };
        encoder.submit(captured, start).expect("inline takes all");
        let unit = encoder.poll(start).expect("the first");
        assert!(decoder.submit(received(&unit), start), "inline takes all");
        assert_eq!(decoder.poll(start).expect("at once").picture.colour, Colour { matrix, range });
    }
}

#[test]
fn after_a_missing_or_broken_unit_nothing_is_shown_before_a_keyframe() {
    let start = now();
    let mut encoder = VideoEncoder::inline(config(VideoCodec::H264, 1000), Duration::ZERO);
    let mut units = Vec::new();
    for turn in 0..8 {
        if turn == 6 {
            encoder.request_keyframe();
        }
        units.extend(encode(&mut encoder, turn, SIZE, start));
    }
    assert_eq!(units.len(), 8);
    assert!(units[6].keyframe);
    let mut decoder = VideoDecoder::inline(VideoCodec::H264, Duration::ZERO);
    let mut shown = Vec::new();
    let half = units[2].data.len() / 2;
    units[2].data.truncate(half);
    units[3].data[4] |= 0x80;
    for unit in &units {
        assert!(decoder.submit(received(unit), start), "inline takes all");
        shown.extend(decoder.poll(start).map(|frame| frame.number.0));
    }
    assert!(decoder.wants_keyframe());
    assert!(!decoder.wants_keyframe(), "it is said once");
    assert!(shown.starts_with(&[0, 1]) && shown.ends_with(&[6, 7]), "{shown:?}");
    assert!(!shown.iter().any(|number| (3..6).contains(number)), "{shown:?}");
    assert!(decoder.counters().refused >= 1);
}

#[test]
fn a_decoder_that_is_behind_drops_to_the_next_keyframe() {
    let start = now();
    let mut encoder = VideoEncoder::inline(config(VideoCodec::H264, 1000), Duration::ZERO);
    let units: Vec<EncodedUnit> = (0..2).filter_map(|turn| encode(&mut encoder, turn, SIZE, start)).collect();
    let pool = Pool::new("test-decoder");
    let mut decoder = VideoDecoder::pooled(VideoCodec::H264, &pool, Wake::none());
    // Nobody collects: both pipes fill.
    let deadline = now() + Duration::from_secs(20);
    let mut sent = 0;
    assert!(decoder.submit(received(&units[0]), start), "room");
    while decoder.submit(received(&units[1]), start) {
        sent += 1;
        assert!(now() < deadline && sent < 1000, "it never filled");
    }
    assert!(decoder.wants_keyframe());
    let in_time = || now() < deadline;
    while decoder.counters().frames == 0 {
        assert!(in_time(), "no frame");
        std::thread::yield_now();
    }
    while decoder.poll(start).is_some() {}
    assert!(!decoder.submit(received(&units[1]), start), "no keyframe, not taken");
    while !decoder.submit(received(&units[0]), start) {
        while decoder.poll(start).is_some() {}
        assert!(in_time(), "the keyframe was never taken");
        std::thread::yield_now();
    }
    while !decoder.submit(received(&units[1]), start) {
        // The pipe was full again: only a keyframe is taken after that.
        while decoder.poll(start).is_some() {}
        decoder.submit(received(&units[0]), start);
        assert!(in_time(), "the stream never went on");
        std::thread::yield_now();
    }
    assert!(decoder.counters().dropped >= 2);
}
