//! What does a packet cost in the jitter buffers of sound and picture, from the path to the decoder?

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use engine::base::stereo::Stereo;
use engine::base::time::{Duration, now};
use engine::media::jitter_audio::{AudioPacket, JitterBuffer};
use engine::media::jitter_video::{PacketIn, VideoJitter};
use engine::media::stretch::{Stretch, Stretcher};
use engine::proto::rtp_h264::{Packets, packetise};
use engine::proto::unit_ext::UnitExt;

const FRAME: usize = 240;

fn sound(c: &mut Criterion) {
    let mut group = c.benchmark_group("jitter");
    group.throughput(Throughput::Elements(1));
    let payload: Arc<[u8]> = Arc::new([7; 50]);
    let (mut jitter, mut at, mut sequence) = (JitterBuffer::default(), now(), 0u64);
    group.bench_function("sound: insert and take a packet of 5 ms", |b| {
        b.iter(|| {
            at += Duration::from_millis(5);
            jitter.insert(AudioPacket {
                sequence,
                timestamp: sequence * FRAME as u64,
                arrival: at,
                samples: FRAME,
                payload: payload.clone().into(),
                level: None,
                captured: None,
                copy: false,
            });
            sequence += 1;
            black_box(jitter.next(at, 0, FRAME));
        });
    });
    let (mut stretcher, mut out) = (Stretcher::default(), vec![[0.0; 2]; FRAME + 1]);
    let samples: Vec<Stereo> = (0..FRAME).map(|n| [(n as f32 * 0.02).sin() * 0.2; 2]).collect();
    group.bench_function("sound: resample 5 ms for a drift of 1000 ppm", |b| {
        b.iter(|| {
            stretcher.push(&samples, Stretch::None, 1000);
            let made = stretcher.len();
            black_box(stretcher.pop(&mut out[..made]));
        });
    });
    group.finish();
}

/// A picture of 10 kB, as 2.5 Mbit/s at 30 a second have it. All are keyframes, so that any may follow any.
fn picture(c: &mut Criterion) {
    let mut unit = vec![0, 0, 0, 1, 0x65];
    unit.resize(10_000, 0x42);
    let mut packets = Packets::default();
    packetise(&unit, 1130, &mut packets);
    let packets: Vec<(Arc<[u8]>, bool)> = packets.iter().map(|p| (p.bytes.into(), p.marker)).collect();
    let mut group = c.benchmark_group("jitter");
    group.throughput(Throughput::Elements(packets.len() as u64));
    for (name, reversed) in [("in order", false), ("backwards", true)] {
        let (mut jitter, mut at, mut number) = (VideoJitter::default(), now(), 0u64);
        group.bench_function(format!("picture: push {} packets {name} and take the unit", packets.len()), |b| {
            b.iter(|| {
                at += Duration::from_micros(33_333);
                number += 1;
                for turn in 0..packets.len() {
                    let index = if reversed { packets.len() - 1 - turn } else { turn };
                    let (payload, marker) = &packets[index];
                    jitter.push(PacketIn {
                        sequence: number * packets.len() as u64 + index as u64,
                        timestamp: number * 3000,
                        marker: *marker,
                        payload: payload.clone(),
                        arrival: at,
                        unit: (index == 0).then(UnitExt::default),
                        capture: None,
                    });
                }
                assert!(jitter.poll_unit(at).is_some(), "a whole unit");
            });
        });
    }
    group.finish();
}

criterion_group!(benches, sound, picture);
criterion_main!(benches);
