use std::sync::Arc;

use crate::base::id::TileId;
use crate::layout::grid::{Rect, Spacing};
use crate::layout::snapshot::{Party, Quality, TileView, ViewSnapshot};
use crate::media::video::{Colour, Picture};

use super::colour::ALL;
use super::colour::tests::reference;
use super::draw::View;
use super::gpu::GpuContext;
use super::offscreen::Offscreen;

fn flat(width: u32, height: u32, yuv: [u8; 3], colour: Colour) -> Arc<Picture> {
    let mut picture = Picture::new(width, height);
    picture.colour = colour;
    picture.y.fill(yuv[0]);
    picture.u.fill(yuv[1]);
    picture.v.fill(yuv[2]);
    Arc::new(picture)
}

fn tile(id: u64, picture: Option<Arc<Picture>>, frame: u64) -> TileView {
    TileView {
        id: TileId(id),
        name: String::new(),
        party: Party::Remote,
        picture,
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
    }
}

fn snapshot(tiles: Vec<TileView>) -> ViewSnapshot {
    ViewSnapshot { tiles, ..Default::default() }
}

fn offscreen(width: u32, height: u32) -> Offscreen {
    Offscreen::new(GpuContext::headless().expect("a graphics adapter"), width, height).expect("a target")
}

fn pixel(offscreen: &mut Offscreen, x: u32, y: u32) -> [u8; 3] {
    let mut rgba = Vec::new();
    offscreen.read_region([x, y, 1, 1], &mut rgba).expect("a pixel");
    [rgba[0], rgba[1], rgba[2]]
}

fn near(ours: [u8; 3], known: [u8; 3], by: u8) -> bool {
    ours.into_iter().zip(known).all(|(a, b)| a.abs_diff(b) <= by)
}

#[test]
fn every_matrix_and_range_gives_the_reference_colour() {
    let mut offscreen = offscreen(64, 36);
    let mut frame = 0;
    for colour in ALL {
        for yuv in
            [[16, 128, 128], [235, 128, 128], [81, 90, 240], [145, 54, 34], [41, 240, 110], [126, 100, 160], [255; 3]]
        {
            frame += 1;
            offscreen.render(&snapshot(vec![tile(1, Some(flat(64, 36, yuv, colour)), frame)]));
            let (ours, known) = (pixel(&mut offscreen, 30, 20), reference(yuv, colour));
            assert!(near(ours, known, 2), "{yuv:?} {colour:?}: {ours:?}, not {known:?}");
        }
    }
}

#[test]
fn a_picture_of_the_targets_size_arrives_pixel_for_pixel() {
    let (width, height) = (320, 180);
    let mut picture = Picture::new(width, height);
    for (index, y) in picture.y.iter_mut().enumerate() {
        *y = 16 + ((index * 7919) % 220) as u8;
    }
    let mut offscreen = offscreen(width, height);
    offscreen.render(&snapshot(vec![tile(1, Some(Arc::new(picture.clone())), 1)]));
    let rgba = offscreen.read_rgba().expect("pixels");
    for (index, y) in picture.y.iter().enumerate() {
        let known = reference([*y, 128, 128], picture.colour);
        let ours = [rgba[index * 4], rgba[index * 4 + 1], rgba[index * 4 + 2]];
        assert!(near(ours, known, 2), "pixel {index}: {ours:?}, not {known:?}");
    }
}

#[test]
fn a_hundred_tiles_are_one_draw_call_and_each_shows_its_own_picture() {
    let mut offscreen = offscreen(1000, 700);
    let tiles: Vec<_> = (0..100u64)
        .map(|id| {
            // Three sizes, so that pages of several divisions are in use.
            let (width, height) = [(160, 90), (320, 180), (64, 36)][id as usize % 3];
            tile(id, Some(flat(width, height, [40 + 2 * id as u8, 128, 128], ALL[3])), 1)
        })
        .collect();
    let before = offscreen.counters().draw_calls;
    let drawn = offscreen.render(&snapshot(tiles)).to_vec();
    assert_eq!(offscreen.counters().draw_calls, before + 1);
    assert_eq!(offscreen.counters().refused, 0);
    for (id, drawn) in drawn.iter().enumerate() {
        let picture = drawn.picture.expect("a picture");
        for (x, y) in [(1.0, 1.0), (picture.width - 2.0, picture.height - 2.0)] {
            let ours = pixel(&mut offscreen, (picture.x + x) as u32, (picture.y + y) as u32);
            assert!(near(ours, [40 + 2 * id as u8; 3], 1), "tile {id}: {ours:?}");
        }
    }
    offscreen.render(&snapshot(vec![tile(1, Some(flat(64, 36, [0; 3], ALL[0])), 2)]));
    assert_eq!(offscreen.counters().draw_calls, before + 2);
}

#[test]
fn only_a_new_frame_is_uploaded_and_told() {
    let mut offscreen = offscreen(64, 36);
    let picture = flat(64, 36, [100, 128, 128], ALL[3]);
    assert!(offscreen.render(&snapshot(vec![tile(1, Some(picture.clone()), 7)]))[0].new);
    assert!(!offscreen.render(&snapshot(vec![tile(1, Some(picture.clone()), 7)]))[0].new);
    assert_eq!(offscreen.counters().uploads, 1);
    assert!(offscreen.render(&snapshot(vec![tile(1, Some(picture), 8)]))[0].new);
    assert_eq!(offscreen.counters().uploads, 2);
}

#[test]
fn a_picture_survives_its_neighbours_coming_growing_and_going() {
    let mut offscreen = offscreen(640, 360);
    let grey = |value| flat(160, 90, [value, 128, 128], ALL[3]);
    let first = tile(1, Some(grey(50)), 1);
    offscreen.render(&snapshot(vec![first.clone()]));
    let large = tile(2, Some(flat(1280, 720, [200, 128, 128], ALL[3])), 1);
    offscreen.render(&snapshot(vec![first.clone(), large.clone()]));
    assert!(near(pixel(&mut offscreen, 160, 180), [50; 3], 1));
    assert!(near(pixel(&mut offscreen, 480, 180), [200; 3], 1));
    offscreen.render(&snapshot(vec![tile(1, None, 2), large]));
    assert!(near(pixel(&mut offscreen, 480, 180), [200; 3], 1));
    offscreen.render(&snapshot(vec![first]));
    assert!(near(pixel(&mut offscreen, 320, 180), [50; 3], 1));
}

#[test]
fn corners_are_round_and_soft_and_what_is_beside_the_picture_is_not_picture() {
    let mut offscreen = offscreen(200, 200);
    let mut view = View::plain(200, 200);
    view.spacing = Spacing { gap: 10.0, radius: 30.0 };
    view.background = [0.0; 3];
    view.tile = [0.0, 0.0, 1.0];
    view.area = Rect::new(0.0, 20.0, 200.0, 160.0);
    // Wider than 4:1: the tile is 200 × 50, the picture 200 × 25 inside it.
    let drawn = offscreen.render_as(&snapshot(vec![tile(1, Some(flat(320, 40, [255, 128, 128], ALL[3])), 1)]), &view);
    assert_eq!(drawn[0].placed.rect, Rect::new(0.0, 75.0, 200.0, 50.0));
    assert_eq!(drawn[0].picture, Some(Rect::new(0.0, 87.0, 200.0, 25.0)));
    assert_eq!(pixel(&mut offscreen, 0, 75), [0; 3], "the corner is cut off");
    assert_eq!(pixel(&mut offscreen, 100, 10), [0; 3], "nothing outside the area");
    assert_eq!(pixel(&mut offscreen, 100, 78), [0, 0, 255], "letterbox");
    assert_eq!(pixel(&mut offscreen, 100, 100), [255; 3], "picture");
    let row: Vec<_> = (0..30).map(|x| pixel(&mut offscreen, x, 77)[2]).collect();
    assert!(row.iter().any(|blue| (20..=235).contains(blue)), "the edge of the corner is blended: {row:?}");
}

#[test]
fn a_picture_with_planes_of_the_wrong_size_is_not_drawn() {
    let mut offscreen = offscreen(64, 36);
    let mut picture = Picture::new(64, 36);
    picture.v.pop();
    assert_eq!(offscreen.render(&snapshot(vec![tile(1, Some(Arc::new(picture)), 1)]))[0].picture, None);
}

#[test]
fn a_region_outside_the_picture_is_refused() {
    let mut offscreen = offscreen(64, 36);
    let mut rgba = Vec::new();
    offscreen.render(&snapshot(Vec::new()));
    assert!(offscreen.read_region([0, 0, 65, 1], &mut rgba).is_err());
    assert!(offscreen.read_region([u32::MAX, 0, 2, 1], &mut rgba).is_err());
    assert!(offscreen.read_region([0, 0, 0, 1], &mut rgba).is_err());
}

#[cfg(target_os = "linux")]
#[test]
fn offscreen_targets_come_and_go_without_keeping_memory() {
    let resident_kib = || -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").expect("a process has a status");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("with its memory");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number of KiB")
    };
    let come_and_go = |times: usize| {
        for _ in 0..times {
            let mut target = offscreen(1280, 720);
            target.render(&snapshot(vec![tile(1, Some(flat(1280, 720, [90, 90, 200], ALL[2])), 1)]));
            target.read_rgba().expect("pixels");
        }
    };
    come_and_go(10);
    let before = resident_kib();
    come_and_go(40);
    // One kept target with its planes and read buffer is 9 MiB; other tests run beside this one.
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 100 * 1024, "{grown} KiB more after 40 targets");
}
