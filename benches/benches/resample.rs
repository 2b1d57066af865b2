//! What does it cost to convert 10 ms of sound between a device's rate and ours?

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use engine::device::{Converter, RATE};

fn resample(c: &mut Criterion) {
    let mut group = c.benchmark_group("resample");
    // The last one is handed through: what there is to save.
    for (from, to) in [(44_100, RATE), (RATE, 44_100), (16_000, RATE), (RATE, RATE)] {
        let mut converter = Converter::new(from, to).expect("rates above zero");
        let sound: Vec<[f32; 2]> = (0..from / 100).map(|n| (n as f32 * 0.05).sin() * 0.3).map(|x| [x; 2]).collect();
        let mut out = Vec::new();
        group.bench_function(BenchmarkId::new("10 ms", format!("{from} to {to} Hz")), |b| {
            b.iter(|| {
                out.clear();
                converter.convert(black_box(&sound), &mut out);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, resample);
criterion_main!(benches);
