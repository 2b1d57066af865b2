//! What does a packet cost between the unit and the datagram, written and parsed, in the clear and encrypted?

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use engine::base::time::{Duration, now};
use engine::proto::rtp_h264::{Depacketiser, Packets, packetise};
use engine::proto::unit_ext::UnitExt;
use visavis_benches::pair::{PACKETS, Pair, Took};

fn wire(c: &mut Criterion) {
    let mut unit = vec![0, 0, 0, 1, 0x65];
    unit.extend((0..40_000u32).map(|n| (n % 251) as u8 | 1));
    let mut packets = Packets::default();
    let mut group = c.benchmark_group("wire");
    group.throughput(Throughput::Bytes(unit.len() as u64));
    group.bench_function("packetise a 40 kB unit", |b| b.iter(|| packetise(black_box(&unit), 1130, &mut packets)));
    packetise(&unit, 1130, &mut packets);
    let (mut depacketiser, mut whole) = (Depacketiser::default(), Vec::new());
    group.bench_function("depacketise it", |b| {
        b.iter(|| {
            for payload in packets.iter() {
                depacketiser.push(payload.bytes, payload.marker).expect("our own packets");
            }
            black_box(depacketiser.take_into(&mut whole))
        });
    });
    group.throughput(Throughput::Elements(1));
    let extension = UnitExt::default();
    group.bench_function("write and parse visavis-unit", |b| {
        b.iter(|| UnitExt::parse(black_box(&black_box(extension).write())));
    });
    group.finish();
}

/// The ten packets of a picture through two transports, by the part of each end.
fn transports(c: &mut Criterion) {
    let mut group = c.benchmark_group("wire");
    group.throughput(Throughput::Elements(PACKETS as u64));
    for (name, real) in [("plain", false), ("WebRTC", true)] {
        let mut pair = Pair::new(real, now());
        for (part, pick) in [("written", (|took| took.write) as fn(Took) -> Duration), ("parsed", |took| took.parse)] {
            group.bench_function(format!("{PACKETS} packets {part}, {name}"), |b| {
                b.iter_custom(|turns| (0..turns).map(|_| pick(pair.send_picture())).sum());
            });
        }
    }
    group.finish();
}

criterion_group!(benches, wire, transports);
criterion_main!(benches);
