//! What do the codecs cost: one 720p picture of the test card, and 5 ms of sound?

use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use engine::base::rate::Bitrate;
use engine::base::time::{Duration, now};
use engine::codec::VideoCodec;
use engine::codec::opus::{FrameLength, OpusDecoder, OpusEncoder};
use engine::codec::video_decoder::VideoDecoder;
use engine::codec::video_encoder::{EncoderConfig, VideoEncoder};
use engine::media::encoded::ReceivedUnit;
use engine::media::ledger::Stamps;
use visavis_benches::pictures;

fn codecs(c: &mut Criterion) {
    let mut group = c.benchmark_group("codecs");
    group.sample_size(20);
    let config = EncoderConfig {
        codec: VideoCodec::H264,
        width: 1280,
        height: 720,
        frame_rate: 30.0,
        bitrate: Bitrate::from_kbps(2500),
    };
    let (start, mut encoder, mut units) = (now(), VideoEncoder::inline(config, Duration::ZERO), Vec::new());
    let pictures = pictures(start);
    let mut turn = pictures.iter().cycle();
    group.bench_function("H.264 encode, 720p test card", |b| {
        b.iter(|| {
            let picture = turn.next().expect("a cycle").clone();
            encoder.submit(picture, start).expect("inline");
            units.extend(encoder.poll(start));
        });
    });
    let mut encoder = VideoEncoder::inline(config, Duration::ZERO);
    units.clear();
    for picture in &pictures {
        encoder.submit(picture.clone(), start).expect("inline");
        units.extend(encoder.poll(start));
    }
    let mut decoder = VideoDecoder::inline(VideoCodec::H264, Duration::ZERO);
    let units = units.into_iter().map(|unit| (Arc::new(unit.data), unit.keyframe, unit.number));
    let mut turn = units.collect::<Vec<_>>().into_iter().cycle();
    let mut timestamp = 0;
    group.bench_function("H.264 decode, 720p test card", |b| {
        b.iter(|| {
            let (data, keyframe, number) = turn.next().expect("a cycle");
            timestamp += 3000;
            let received = ReceivedUnit { data, keyframe, number, timestamp, stamps: Stamps::default() };
            decoder.submit(received, start);
            decoder.poll(start)
        });
    });
    let sound: Vec<f32> = (0..240).map(|n| (n as f32 * 0.05).sin() * 0.3).collect();
    let mut encoder = OpusEncoder::new(FrameLength::Ms5, Bitrate::from_kbps(64)).expect("an encoder");
    let mut packet = Vec::new();
    group.bench_function("Opus encode, 5 ms", |b| b.iter(|| encoder.encode(&sound, &mut packet)));
    let (mut decoder, mut out) = (OpusDecoder::new().expect("a decoder"), Vec::new());
    group.bench_function("Opus decode, 5 ms", |b| {
        b.iter(|| {
            out.clear();
            decoder.decode(&packet, &mut out)
        });
    });
    group.finish();
}

criterion_group!(benches, codecs);
criterion_main!(benches);
