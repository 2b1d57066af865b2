//! What does it cost to mix 5 ms of sound from 1, 8 and 64 streams and to keep the sum from clipping?

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use engine::media::mix::{Limiter, mix_into};

const FRAME: usize = 240;

fn mix(c: &mut Criterion) {
    let mut group = c.benchmark_group("mix");
    for count in [1usize, 8, 64] {
        // Quiet enough for eight, too loud for 64: there the limiter works as well.
        let tone = |n: usize| (0..FRAME).map(|at| ((n + 1) * at) as f32 * 0.01).map(|x| x.sin() * 0.1).collect();
        let voices: Vec<Vec<f32>> = (0..count).map(tone).collect();
        let (mut sum, mut limiter) = (vec![0.0; FRAME], Limiter::default());
        group.bench_function(BenchmarkId::new("mixed and limited, streams", count), |b| {
            b.iter(|| {
                sum.fill(0.0);
                voices.iter().for_each(|voice| mix_into(&mut sum, black_box(voice), 1.0));
                limiter.apply(&mut sum);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, mix);
criterion_main!(benches);
