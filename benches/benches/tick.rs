//! What does a tick cost with 1, 8, 50, 64 and 1000 connections, and what does keeping streams as components cost over a plain
//! loop over the same data?

use std::hint::black_box;

use bevy_ecs::schedule::{Schedule, SingleThreadedExecutor};
use bevy_ecs::system::{Query, ResMut};
use bevy_ecs::world::World;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use engine::base::id::TileId;
use engine::base::time::{Duration, Instant, now};
use engine::media::playout_clock::PlayoutClock;
use engine::world::shared::Due;
use engine::world::stream::{Frames, VideoJitterBuffer};
use visavis_benches::{connect, engine};

fn tick(c: &mut Criterion) {
    let mut group = c.benchmark_group("tick");
    group.sample_size(30);
    for count in [0u16, 1, 8, 50, 64, 1000] {
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

/// What a tick asks of every stream: when it is due next.
fn due(frames: &Frames, jitter: &VideoJitterBuffer) -> Option<Instant> {
    let frame = frames.clock.next_due(frames.waiting.iter().map(|frame| frame.timestamp));
    [frame, jitter.0.next_due()].into_iter().flatten().min()
}

fn gather(mut earliest: ResMut<Due>, streams: Query<(&Frames, &VideoJitterBuffer)>) {
    for (frames, jitter) in &streams {
        if let Some(at) = due(frames, jitter) {
            earliest.at(at);
        }
    }
}

fn streams(c: &mut Criterion) {
    const STREAMS: u64 = 10_000;
    let start = now();
    let stream = |index| (Frames::new(TileId(index), PlayoutClock::new(start)), VideoJitterBuffer(Default::default()));
    let mut group = c.benchmark_group("10,000 streams");
    let mut world = World::new();
    world.insert_resource(Due(None));
    world.spawn_batch((0..STREAMS).map(stream));
    let mut schedule = Schedule::default();
    schedule.set_executor(SingleThreadedExecutor::new());
    schedule.add_systems(gather);
    group.bench_function("as components, by a system", |b| b.iter(|| schedule.run(&mut world)));
    let plain: Vec<(Frames, VideoJitterBuffer)> = (0..STREAMS).map(stream).collect();
    group.bench_function("in a vector, by a loop", |b| {
        b.iter(|| {
            let mut earliest = Due(None);
            for (frames, jitter) in &plain {
                if let Some(at) = due(frames, jitter) {
                    earliest.at(at);
                }
            }
            black_box(earliest);
        });
    });
    group.finish();
}

criterion_group!(benches, tick, streams);
criterion_main!(benches);
