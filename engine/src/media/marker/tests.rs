use proptest::{prop_assert_eq, proptest};

use super::*;

const MARKER: Marker = Marker { counter: 0xdead_1234, drawn: WallTime::from_micros(1_795_000_123_456_789) };

fn card(width: u32, height: u32) -> Picture {
    let mut picture = Picture::new(width, height);
    picture.y.iter_mut().enumerate().for_each(|(at, pixel)| *pixel = 40 + (at % 97) as u8);
    paint(&mut picture, MARKER);
    picture
}

/// Nearest-neighbour scaling with an offset into a grey window.
fn window(card: &Picture, x0: usize, y0: usize, shown: (usize, usize), size: (usize, usize)) -> Vec<u8> {
    let mut luma = vec![90; size.0 * size.1];
    for y in 0..shown.1 {
        for x in 0..shown.0 {
            let from = (y * card.height as usize / shown.1) * card.width as usize + x * card.width as usize / shown.0;
            luma[(y0 + y) * size.0 + x0 + x] = card.y[from];
        }
    }
    luma
}

fn read_picture(picture: &Picture) -> Option<Marker> {
    read(&picture.y, picture.width as usize, picture.width, picture.height)
}

#[test]
fn what_is_painted_is_read_at_every_size() {
    for (width, height) in [(1920, 1080), (1280, 720), (640, 480), (640, 360), (320, 180), (160, 90), (427, 241)] {
        assert_eq!(read_picture(&card(width, height)), Some(MARKER), "{width}×{height}");
    }
}

#[test]
fn a_card_is_found_in_a_window_at_any_place_and_scale() {
    let card = card(1280, 720);
    for shown in [(1280, 720), (640, 360), (853, 480), (401, 226), (320, 180)] {
        let luma = window(&card, 37, 53, shown, (1400, 900));
        let found = find(&luma, 1400, 1400, 900);
        assert_eq!(found.len(), 1, "{shown:?}");
        assert_eq!(found[0].marker, MARKER);
        assert!((found[0].x - (37.0 + 0.2 * shown.0 as f32)).abs() < 3.0, "{:?}", found[0]);
        assert!((found[0].y - (53.0 + 0.08 * shown.1 as f32)).abs() < 3.0, "{:?}", found[0]);
    }
}

#[test]
fn two_cards_are_found_side_by_side_in_rgba() {
    let card = card(640, 360);
    let mut luma = window(&card, 10, 10, (640, 360), (1300, 400));
    let right = window(&card, 655, 10, (640, 360), (1300, 400));
    luma.iter_mut().zip(right).for_each(|(left, right)| *left = if right == 90 { *left } else { right });
    let rgba: Vec<u8> = luma.iter().flat_map(|value| [*value, *value, *value, 255]).collect();
    assert_eq!(find_rgba(&rgba, 1300 * 4, 1300, 400).len(), 2);
    let rgba: Vec<u8> = card.y.iter().flat_map(|value| [*value, *value, *value, 255]).collect();
    assert_eq!(read_rgba(&rgba, 640 * 4, 640, 360), Some(MARKER));
}

#[test]
fn a_damaged_strip_reads_nothing() {
    let mut picture = card(640, 360);
    let (x, y, width, height) = area(640, 360);
    for row in y + height / 3..y + height / 2 {
        picture.y[row * 640 + x + width / 3..][..width / 6].fill(16);
    }
    assert_eq!(read_picture(&picture), None);
    assert_eq!(find(&picture.y, 640, 640, 360), []);
}

#[test]
fn random_pictures_hold_no_marker() {
    let mut state = 1u64;
    let mut pixels = vec![0u8; 160 * 90];
    for _ in 0..1000 {
        for pixel in &mut pixels {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *pixel = if state >> 63 == 0 { 16 } else { 235 };
        }
        assert_eq!(read(&pixels, 160, 160, 90), None);
        assert_eq!(find(&pixels, 160, 160, 90), []);
    }
}

#[test]
fn short_planes_are_refused() {
    assert_eq!(read(&[0; 10], 640, 640, 360), None);
    assert_eq!(find(&[0; 10], 4, 8, 8), []);
    assert_eq!(read_rgba(&[0; 10], 640, 640, 360), None);
    assert_eq!(read(&[], 0, 0, 0), None);
}

proptest! {
    #[test]
    fn every_marker_survives(counter in 0..=u32::MAX, drawn in 0u64..1 << 56) {
        let marker = Marker { counter, drawn: WallTime::from_micros(drawn) };
        let mut picture = Picture::new(320, 180);
        paint(&mut picture, marker);
        prop_assert_eq!(read_picture(&picture), Some(marker));
    }
}
