//! What does a tick cost with 1 and with 50 connections, idle and with a packet for each?

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use engine::base::time::{Duration, now};
use visavis_benches::{connect, engine};

fn tick(c: &mut Criterion) {
    let mut group = c.benchmark_group("tick");
    for count in [0u8, 1, 50] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut at = now();
        let mut engine = engine(folder.path(), at);
        let mut far: Vec<_> = (0..count).map(|index| connect(&mut engine, index, at)).collect();
        group.bench_function(BenchmarkId::new("idle, connections", count), |b| {
            b.iter(|| {
                at += Duration::from_micros(250);
                engine.tick(at);
            });
        });
        group.bench_function(BenchmarkId::new("a packet for each, connections", count), |b| {
            b.iter(|| {
                at += Duration::from_micros(2500);
                far.iter_mut().for_each(|far| far.send(&mut engine, at));
                engine.tick(at);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, tick);
criterion_main!(benches);
