//! What does it cost to upload and draw one new 720p picture offscreen?

use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use engine::base::id::TileId;
use engine::base::time::now;
use engine::layout::snapshot::{Party, Quality, TileView, ViewSnapshot};
use engine::render::gpu::GpuContext;
use engine::render::offscreen::Offscreen;
use visavis_benches::pictures;

fn upload(c: &mut Criterion) {
    let Ok(gpu) = GpuContext::headless() else {
        println!("SKIPPED: upload: no graphics adapter");
        return;
    };
    let pictures = pictures(now());
    let mut group = c.benchmark_group("upload");
    group.sample_size(20);
    for (width, height) in [(320, 180), (640, 360), (1280, 720)] {
        let mut target = Offscreen::new(gpu.clone(), width, height).expect("a target");
        let (mut frame, mut rgba) = (0u64, Vec::new());
        group.bench_function(
            BenchmarkId::new("720p picture drawn and read back at", format!("{width}x{height}")),
            |b| {
                b.iter(|| {
                    frame += 1;
                    let tile = TileView {
                        id: TileId(1),
                        name: String::new(),
                        party: Party::Remote,
                        picture: Some(Arc::clone(&pictures[frame as usize % pictures.len()].picture)),
                        frame,
                        unit: None,
                        quality: Quality::Good,
                        muted: false,
                        camera_off: false,
                        stands_still: false,
                        too_narrow: false,
                        level: 0.0,
                        volume: 100,
                        hushed: false,
                    };
                    target.render(&ViewSnapshot { tiles: vec![tile], ..Default::default() });
                    target.read_region([0, 0, width, height / 3], &mut rgba).expect("pixels");
                });
            },
        );
    }
    group.finish();
}

criterion_group!(benches, upload);
criterion_main!(benches);
