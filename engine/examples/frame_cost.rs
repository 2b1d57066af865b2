//! What one picture costs on this machine: drawn offscreen, with the upper 80 rows read back, as when markers are read.

use std::sync::Arc;

use visavis_engine::base::id::TileId;
use visavis_engine::base::time::now;
use visavis_engine::layout::grid::Spacing;
use visavis_engine::layout::snapshot::{Party, Quality, TileView, ViewSnapshot};
use visavis_engine::media::video::Picture;
use visavis_engine::render::draw::View;
use visavis_engine::render::gpu::GpuContext;
use visavis_engine::render::offscreen::Offscreen;

const PICTURES: usize = 100;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let gpu = GpuContext::headless()?;
    println!("{}", gpu.adapter.get_info().name);
    let pictures = [Arc::new(Picture::new(1280, 720)), Arc::new(Picture::new(1280, 720))];
    // A radius that cannot be seen keeps the renderer from its shortcut for pixel-exact pictures.
    for (name, width, height, radius) in
        [("exact", 1280, 720, 0.0), ("filtered", 1280, 720, 0.01), ("halved", 640, 360, 0.0)]
    {
        let mut offscreen = Offscreen::new(gpu.clone(), width, height)?;
        let view = View { spacing: Spacing { gap: 0.0, radius }, ..View::plain(width, height) };
        let (mut times, mut pixels, cpu) = (Vec::new(), Vec::new(), processor_ms());
        for frame in 0..PICTURES {
            let tile = TileView {
                id: TileId(1),
                name: String::new(),
                party: Party::Remote,
                picture: Some(pictures[frame % 2].clone()),
                frame: frame as u64,
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
            let snapshot = ViewSnapshot { tiles: vec![tile], ..Default::default() };
            let start = now();
            offscreen.render_as(&snapshot, &view);
            offscreen.read_region([0, 0, width, 80], &mut pixels)?;
            times.push((now() - start).as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        let cpu = (processor_ms() - cpu) / PICTURES as f64;
        let (p50, p95) = (times[PICTURES / 2], times[PICTURES * 95 / 100]);
        println!("{name} {width}×{height}: p50 {p50:.1} ms, p95 {p95:.1} ms, processor {cpu:.1} ms per picture");
    }
    Ok(())
}

/// Processor time of this process in milliseconds, of all threads; zero where the system does not tell it this way.
fn processor_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .map(|field| field.parse().unwrap_or(0.0))
        .collect();
    // proc(5): utime and stime are fields 14 and 15, in hundredths of a second; the first two fields are cut off here.
    fields.iter().skip(11).take(2).sum::<f64>() * 10.0
}
