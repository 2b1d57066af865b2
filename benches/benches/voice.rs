//! What does it cost to process a second of the microphone's sound, in parts of 5 ms, by what is turned on?

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use engine::base::time::{Duration, now};
use engine::media::switches::Switches;
use engine::voice::VoiceProcessor;

const PART: usize = 240;
const PARTS: usize = 200;

fn voice(c: &mut Criterion) {
    let mut group = c.benchmark_group("voice");
    // Seconds of sound a second.
    group.throughput(Throughput::Elements(1));
    let sound: Vec<f32> = (0..PART * PARTS).map(|at| (at as f32 * at as f32 * 1e-6).sin() * 0.1).collect();
    for name in ["off", "echo", "noise", "gain", "on"] {
        let switches: Switches = name.parse().expect("known");
        let start = now();
        let time = |part: usize| start + Duration::from_millis(part as u64 * 5);
        group.bench_function(BenchmarkId::new("a second of sound", name), |b| {
            b.iter_batched_ref(
                || (VoiceProcessor::new(switches), Vec::with_capacity(PART * PARTS)),
                |(processor, out)| {
                    for (part, samples) in sound.chunks(PART).enumerate() {
                        processor.play(samples, time(part + 2));
                        processor.process(black_box(samples), time(part), out);
                    }
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, voice);
criterion_main!(benches);
