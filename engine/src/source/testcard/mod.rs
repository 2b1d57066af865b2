//! The test card: a moving picture that looks like one, with a strip on it that a machine reads.
//!
//! The background is drawn once; each card restores only the places that move: the strip, the dial, the clock and the
//! track with the ball.

mod background;
mod digits;

use std::fmt::Write;

use crate::base::pool::ArcPool;
use crate::base::time::{Instant, WallTime};
use crate::media::marker::{self, Marker};
use crate::media::video::{CapturedPicture, Picture};
use background::Scene;

/// One being encoded, two waiting, one in the slot, one shown locally, and as many again for inline decoders.
const PICTURES: usize = 10;

/// Draws cards. Colours are BT.709, limited range.
#[derive(Debug)]
pub struct TestCard {
    background: Picture,
    scene: Scene,
    pool: ArcPool<Picture>,
    /// What the clock shows, letter by letter.
    text: String,
    counter: u32,
    began: Option<Instant>,
}

impl TestCard {
    /// Cards of `width × height` (made even, at least 160 × 90) for `frame_rate` pictures per second. The rate is the
    /// caller's to keep; the card only shows it.
    pub fn new(width: u32, height: u32, frame_rate: f32) -> Self {
        let (width, height) = (width.clamp(160, 1920) & !1, height.clamp(90, 1920) & !1);
        let scene = Scene::of(width, height);
        let mut background = background::draw(width, height, &scene);
        let rate = frame_rate.round() as u64;
        digits::draw(&mut background, scene.caption, &format!("{width}x{height} {rate}"), 150);
        Self { background, scene, pool: ArcPool::new(PICTURES), text: String::new(), counter: 0, began: None }
    }

    /// Draws the next card. `captured` is `now`, and so is the time on the card and in its strip.
    pub fn draw(&mut self, now: Instant) -> CapturedPicture {
        let began = *self.began.get_or_insert(now);
        let marker = Marker { counter: self.counter, drawn: WallTime::of(now) };
        self.counter = self.counter.wrapping_add(1);
        let seconds = now.saturating_duration_since(began).as_secs_f32();
        write_clock(&mut self.text, marker.drawn);
        let (background, scene, text) = (&self.background, &self.scene, &self.text);
        let picture = self.pool.take(
            || background.clone(),
            |picture| {
                for place in [scene.dial, scene.clock, scene.track] {
                    place.restore(background, picture);
                }
                scene.draw_sweep(picture, seconds);
                scene.draw_ball(picture, seconds);
                digits::draw(picture, scene.clock, text, 235);
                marker::paint(picture, marker);
            },
        );
        CapturedPicture { picture, captured: now }
    }

    /// The size of the cards.
    pub const fn size(&self) -> (u32, u32) {
        (self.background.width, self.background.height)
    }
}

/// Hours, minutes, seconds and milliseconds of the day, UTC.
fn write_clock(text: &mut String, time: WallTime) {
    let millis = time.as_micros() / 1000;
    let seconds = millis / 1000;
    let (hour, minute, second, milli) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60, millis % 1000);
    text.clear();
    // Writing into a string does not fail.
    let _ = write!(text, "{hour:02}:{minute:02}:{second:02}.{milli:03}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::{Duration, now};

    #[test]
    fn each_card_carries_its_own_counter_and_time() {
        let start = now();
        for (width, height) in [(1280, 720), (640, 360), (321, 241)] {
            let mut card = TestCard::new(width, height, 30.0);
            for turn in 0..20u32 {
                let at = start + Duration::from_millis(u64::from(turn) * 33);
                let drawn = card.draw(at);
                assert_eq!(drawn.captured, at);
                let Picture { width, height, y: luma, .. } = &*drawn.picture;
                let marker = marker::read(luma, *width as usize, *width, *height).expect("readable");
                assert_eq!(marker, Marker { counter: turn, drawn: WallTime::of(at) });
            }
        }
    }

    #[test]
    fn a_pooled_card_shows_nothing_of_an_older_one() {
        let start = now();
        let mut reused = TestCard::new(640, 360, 30.0);
        (0..25).for_each(|turn| drop(reused.draw(start + Duration::from_millis(turn * 40))));
        let mut held = TestCard::new(640, 360, 30.0);
        let cards: Vec<_> = (0..25).map(|turn| held.draw(start + Duration::from_millis(turn * 40))).collect();
        let at = start + Duration::from_secs(1);
        assert!(reused.draw(at).picture == held.draw(at).picture);
        assert!(cards[3].picture != cards[4].picture, "the card moves");
    }
}
