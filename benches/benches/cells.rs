//! What do the ticks of both engines cost per second of a call, by the length of the engine's cells?

use std::cell::Cell;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use engine::base::time::{Duration, Instant, now};
use engine::codec::VideoCodec;
use engine::codec::worker::Work;
use engine::device::{MicrophoneSpec, SpeakerSpec};
use engine::handle::Command;
use engine::lab::{Lab, Watch};
use engine::net::impair::Impairment;
use engine::source::SourceSpec;
use engine::world::config::Config;

const SECOND: Duration = Duration::from_secs(1);

thread_local! {
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
    static WORK: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// A tick runs, in virtual time; what it takes is measured by the clock.
const MEASURED: Watch = Watch {
    begin: || BEGAN.set(Some(now())),
    end: |_| {
        let took = BEGAN.take().map_or(Duration::ZERO, |began| now().saturating_duration_since(began));
        WORK.set(WORK.get() + took);
    },
};

/// Pictures are drawn, coded and decoded by the model within the ticks: as much of that at every length of cells.
fn setup(config: &mut Config) {
    config.camera = Some(SourceSpec::TestCard { width: 640, height: 360, frame_rate: 30.0 });
    (config.microphone, config.speaker) = (MicrophoneSpec::Chirp, SpeakerSpec::None);
    config.auto_answer = true;
    config.work = Work::Inline { encode: Duration::from_millis(3), decode: Duration::from_millis(2) };
    (config.plain, config.codec) = (true, VideoCodec::Plain);
}

fn cells(c: &mut Criterion) {
    let mut group = c.benchmark_group("cells");
    group.sample_size(10);
    for micros in [250, 500, 1000, 2500, 5000] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut lab = Lab::new(folder.path(), Impairment::profile("home").expect("known"), 1);
        let [ada, ben] = ["Ada", "Ben"].map(|name| {
            let change = |config: &mut Config| {
                setup(config);
                config.cell = Duration::from_micros(micros);
            };
            lab.add(name, change).expect("an engine")
        });
        lab.command(ada, Command::Call(lab.target(ben)));
        lab.run_for(SECOND * 4);
        let before = lab.ticks(ada);
        lab.run_for(SECOND * 4);
        println!("cells of {micros} µs: {} ticks a second", (lab.ticks(ada) - before) / 4);
        lab.set_watch(MEASURED);
        group.bench_function(BenchmarkId::new("a second of a call", format!("{micros} µs")), |b| {
            b.iter_custom(|seconds| {
                WORK.set(Duration::ZERO);
                (0..seconds).for_each(|_| lab.run_for(SECOND));
                WORK.get()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, cells);
criterion_main!(benches);
