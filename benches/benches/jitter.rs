//! What do the jitter buffer, the mix and the chirp finder cost per 5 ms of sound?

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use engine::base::time::{Duration, now};
use engine::media::chirp::ChirpFinder;
use engine::media::jitter_audio::{AudioPacket, JitterBuffer};
use engine::media::mix::{Limiter, mix_into};

const FRAME: usize = 240;

fn media(c: &mut Criterion) {
    let mut group = c.benchmark_group("media");
    let payload: Arc<[u8]> = Arc::new([7; 50]);
    let (mut jitter, mut at, mut sequence) = (JitterBuffer::default(), now(), 0u64);
    group.bench_function("audio jitter buffer: insert and take", |b| {
        b.iter(|| {
            at += Duration::from_millis(5);
            let packet = AudioPacket {
                sequence,
                timestamp: sequence * FRAME as u64,
                arrival: at,
                samples: FRAME,
                payload: payload.clone(),
                level: None,
                captured: None,
            };
            sequence += 1;
            jitter.insert(packet);
            black_box(jitter.next(at, 0, FRAME));
        });
    });
    let (mut sum, voice, mut limiter) = (vec![0.0; FRAME], vec![0.1; FRAME], Limiter::default());
    group.bench_function("mix 8 voices and limit", |b| {
        b.iter(|| {
            sum.fill(0.0);
            (0..8).for_each(|_| mix_into(&mut sum, black_box(&voice), 1.0));
            limiter.apply(&mut sum);
        });
    });
    let (mut finder, quiet) = (ChirpFinder::new(), vec![0.0; FRAME]);
    group.bench_function("look for chirps in silence", |b| {
        b.iter(|| {
            at += Duration::from_millis(5);
            finder.push(black_box(&quiet), at, |_| {});
        });
    });
    group.finish();
}

criterion_group!(benches, media);
criterion_main!(benches);
