//! What does it cost to mix 5 ms of sound from 1, 8 and 64 streams and to keep the sum from clipping? And what do fifty
//! streams cost from their packets to the loudspeaker, of which the five loudest are heard?

use std::hint::black_box;

use bevy_ecs::schedule::{Schedule, SingleThreadedExecutor};
use bevy_ecs::world::World;
use bevy_platform::cell::SyncCell;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use engine::base::rate::Bitrate;
use engine::base::slice::SharedSlice;
use engine::base::stereo::Stereo;
use engine::base::time::{Duration, Instant, now};
use engine::codec::opus::{FrameLength, OpusEncoder};
use engine::device::{Loudspeaker, SpeakerSpec};
use engine::media::jitter_audio::AudioPacket;
use engine::media::mix::{Limiter, mix_into};
use engine::media::policy::Policy;
use engine::systems::playout::fill_speaker;
use engine::world::shared::{Now, Sound};
use engine::world::stats::Stats;
use engine::world::stream::AudioStream;
use engine::world::tape::Tape;

const FRAME: usize = 240;

fn mix(c: &mut Criterion) {
    let mut group = c.benchmark_group("mix");
    for count in [1usize, 8, 64] {
        // Quiet enough for eight, too loud for 64: there the limiter works as well.
        let tone = |n: usize| (0..FRAME).map(|at| ((n + 1) * at) as f32 * 0.01).map(|x| [x.sin() * 0.1; 2]).collect();
        let voices: Vec<Vec<Stereo>> = (0..count).map(tone).collect();
        let (mut sum, mut limiter) = (vec![[0.0; 2]; FRAME], Limiter::default());
        group.bench_function(BenchmarkId::new("mixed and limited, streams", count), |b| {
            b.iter(|| {
                sum.fill([0.0; 2]);
                voices.iter().for_each(|voice| mix_into(&mut sum, black_box(voice), 1.0));
                limiter.apply(&mut sum);
            });
        });
    }
    group.finish();
}

/// Fifty streams of 20 ms frames. One turn is 20 ms of a call: its share of a core is the time over 20 ms.
fn choir(c: &mut Criterion) {
    const STREAMS: usize = 50;
    let frames = voice();
    let (mut world, start) = (World::new(), now());
    world.insert_resource(Tape::default());
    world.insert_resource(Now(start));
    world.insert_resource(Stats::default());
    let speaker = Loudspeaker::open(&SpeakerSpec::None, start).expect("plays into nothing");
    world.insert_resource(Sound { speaker: Some(SyncCell::new(speaker)), ..Default::default() });
    for _ in 0..STREAMS {
        world.spawn(AudioStream::new(&Policy::default()).expect("a decoder"));
    }
    let mut schedule = Schedule::default();
    schedule.set_executor(SingleThreadedExecutor::new());
    schedule.add_systems(fill_speaker);
    let mut streams = world.query::<&mut AudioStream>();
    let (mut turn, mut at) = (0u64, start);
    c.benchmark_group("mix").bench_function("20 ms of 50 streams, 5 heard", |b| {
        b.iter(|| {
            for (n, mut stream) in streams.iter_mut(&mut world).enumerate() {
                stream.jitter.insert(packet(&frames, turn, n, at));
            }
            for _ in 0..8 {
                at += Duration::from_micros(2500);
                world.resource_mut::<Now>().0 = at;
                schedule.run(&mut world);
            }
            turn += 1;
        });
    });
    let decoded = streams.iter(&world).filter(|stream| !stream.seat.is_silent()).count();
    assert!((5..=6).contains(&decoded), "{decoded} are heard");
}

/// Each speaks for ten seconds at a time, the others are softer.
fn packet(frames: &[SharedSlice], turn: u64, stream: usize, arrival: Instant) -> AudioPacket {
    let speaks = (turn / 500) as usize % 10 == stream % 10;
    AudioPacket {
        sequence: turn,
        timestamp: turn * 960,
        arrival,
        samples: 960,
        payload: frames[(turn as usize + stream) % frames.len()].clone(),
        level: Some(if speaks { -25 } else { -60 }),
        captured: None,
        copy: false,
    }
}

/// A second of a voice, encoded.
fn voice() -> Vec<SharedSlice> {
    let mut encoder = OpusEncoder::new(FrameLength::Ms20, Bitrate::from_kbps(32)).expect("an encoder");
    let mut packet = Vec::new();
    let tone = |at: usize| (1..9).map(|h| (at as f32 * 0.02 * h as f32).sin() / h as f32).sum::<f32>() * 0.1;
    let frames = (0..50).map(|frame| {
        let sound: Vec<f32> = (0..960).map(|n| tone(frame * 960 + n)).collect();
        encoder.encode(&sound, &mut packet).expect("a frame");
        SharedSlice::from(packet.as_slice())
    });
    frames.collect()
}

criterion_group!(benches, mix, choir);
criterion_main!(benches);
