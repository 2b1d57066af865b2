//! What does it cost to look for chirps in 5 ms of sound?

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use engine::base::time::{Duration, WallTime, now};
use engine::media::chirp::{ChirpFinder, ChirpSource};

const FRAME: usize = 240;

fn chirps(c: &mut Criterion) {
    let mut group = c.benchmark_group("chirps");
    let start = now();
    // One second of chirps: two of them.
    let mut heard = vec![0.0; 200 * FRAME];
    ChirpSource::new(WallTime::of(start)).fill(&mut heard);
    for (name, sound) in [("silence", vec![0.0; heard.len()]), ("a chirp every 500 ms", heard)] {
        let (mut finder, mut at) = (ChirpFinder::new(), start);
        let mut frames = sound.chunks_exact(FRAME).cycle();
        group.bench_function(format!("looked for in {name}"), |b| {
            b.iter(|| {
                at += Duration::from_millis(5);
                finder.push(black_box(frames.next().expect("a cycle")), at, |found| {
                    black_box(found);
                });
            });
        });
    }
    group.finish();
}

criterion_group!(benches, chirps);
criterion_main!(benches);
