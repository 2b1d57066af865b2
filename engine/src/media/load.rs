//! How busy an encoder is, and how much less it is to be given: fewer pixels, and only then fewer pictures.

use crate::base::time::{Duration, Instant};

/// Watches one encoder: how long its pictures take against how often they come, and which it had no room for.
#[derive(Clone, Copy, Debug, Default)]
pub struct EncoderLoad {
    level: u32,
    /// The mean time between pictures that are encoded, and from one's capture to its unit; 0 before there are any.
    gap: f32,
    takes: f32,
    last: Option<Instant>,
    /// Pictures there was no room for, and since when they are counted.
    refused: u32,
    counted: Option<Instant>,
    /// Since when it has been too busy, and since when there would be room for more.
    busy: Option<Instant>,
    idle: Option<Instant>,
    /// What was changed, and when: what was begun before does not count.
    changed: Option<Instant>,
    eased: Option<Instant>,
    /// So many times what was given back had to be taken again.
    failed: u32,
}

/// Of the time between two pictures the encoder may take so much, for so long. The rest is other programs'.
const MOST_BUSY: f32 = 0.85;
const BUSY_FOR: Duration = Duration::from_millis(800);
/// So many pictures refused within this time say the same.
const REFUSED: u32 = 4;
const REFUSED_WITHIN: Duration = Duration::from_secs(1);
/// More is given again when it would take so much of the time, after so long; the longer the oftener that was wrong.
const WOULD_TAKE: f32 = 0.6;
const IDLE_FOR: Duration = Duration::from_secs(5);
const MOST_FAILED: u32 = 4;
/// What was wrong within this time after it was given back was wrong to be given back.
const TRIAL: Duration = Duration::from_secs(10);
/// After a change the first pictures, one of them a keyframe, say little.
const SETTLES: Duration = Duration::from_millis(1200);
/// Half of a mean is of the last eight pictures.
const WEIGHT: f32 = 1.0 / 12.0;
/// Halvings of the sides, then of the pictures.
const SIZES: u32 = 2;
const MOST_LEVEL: u32 = 4;

impl EncoderLoad {
    /// Halvings that are asked for: up to [`Self::SMALLEST`] of the size, what is beyond of how often a picture is encoded.
    pub const fn level(&self) -> u32 {
        self.level
    }

    /// The level of the smallest picture.
    pub const SMALLEST: u32 = SIZES;

    /// There was no room for a picture: the encoder is behind.
    pub fn on_refused(&mut self, now: Instant) {
        if self.counted.is_none_or(|at| now.saturating_duration_since(at) > REFUSED_WITHIN) {
            (self.counted, self.refused) = (Some(now), 0);
        }
        self.refused += 1;
        if self.refused >= REFUSED && !self.is_settling(now) {
            self.ask_for_less(now);
        }
    }

    /// A unit of a picture that was captured at `captured` was ready at `encoded`.
    pub fn on_unit(&mut self, captured: Instant, encoded: Instant, now: Instant) {
        let Some(last) = self.last.replace(captured) else { return };
        let gap = captured.saturating_duration_since(last).as_secs_f32();
        // A source that stands still says nothing about the encoder.
        if !(0.001..0.5).contains(&gap) {
            return;
        }
        let takes = encoded.saturating_duration_since(captured).as_secs_f32();
        if self.is_settling(now) {
            (self.gap, self.takes) = (0.0, 0.0);
            return;
        }
        let mean = |mean: f32, value: f32| if mean == 0.0 { value } else { mean + (value - mean) * WEIGHT };
        (self.gap, self.takes) = (mean(self.gap, gap), mean(self.takes, takes));
        let share = self.takes / self.gap;
        if share > MOST_BUSY {
            self.idle = None;
            if now.saturating_duration_since(*self.busy.get_or_insert(now)) >= BUSY_FOR {
                self.ask_for_less(now);
            }
            return;
        }
        self.busy = None;
        // One level less is four times the pixels, or twice the pictures.
        let would_take = share * if self.level > SIZES { 2.0 } else { 4.0 };
        if self.level == 0 || would_take > WOULD_TAKE {
            self.idle = None;
        } else if now.saturating_duration_since(*self.idle.get_or_insert(now)) >= IDLE_FOR * (1 << self.failed) {
            self.change(self.level - 1, now);
            self.eased = Some(now);
        }
    }

    fn ask_for_less(&mut self, now: Instant) {
        if self.level == MOST_LEVEL {
            return;
        }
        self.failed = match self.eased.take() {
            Some(at) if now.saturating_duration_since(at) < TRIAL => (self.failed + 1).min(MOST_FAILED),
            Some(_) => 0,
            None => self.failed,
        };
        self.change(self.level + 1, now);
    }

    const fn change(&mut self, level: u32, now: Instant) {
        self.level = level;
        (self.busy, self.idle, self.refused, self.changed) = (None, None, 0, Some(now));
    }

    fn is_settling(&self, now: Instant) -> bool {
        self.changed.is_some_and(|at| now.saturating_duration_since(at) < SETTLES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::now;

    const GAP: Duration = Duration::from_micros(33_333);

    /// Pictures at 30 a second for so long, on an encoder that takes `takes` of the gap for a whole one.
    struct Machine {
        load: EncoderLoad,
        at: Instant,
        number: u32,
    }

    impl Machine {
        fn new() -> Self {
            Self { load: EncoderLoad::default(), at: now(), number: 0 }
        }

        fn run(&mut self, seconds: u32, takes: f32) -> Vec<u32> {
            let mut levels = vec![self.load.level()];
            for _ in 0..seconds * 30 {
                self.at += GAP;
                self.number += 1;
                let level = self.load.level();
                let every = 1 << level.saturating_sub(EncoderLoad::SMALLEST);
                if !self.number.is_multiple_of(every) {
                    continue;
                }
                let takes = GAP.mul_f32(takes / (1 << (2 * level.min(EncoderLoad::SMALLEST))) as f32);
                // An encoder that takes longer than there is time refuses, and its pictures are late.
                if takes > GAP * every && self.number.is_multiple_of(2 * every) {
                    self.load.on_refused(self.at);
                } else {
                    self.load.on_unit(self.at, self.at + takes, self.at + takes);
                }
                levels.push(self.load.level());
            }
            levels.dedup();
            levels
        }
    }

    #[test]
    fn an_encoder_with_time_to_spare_is_left_alone() {
        assert_eq!(Machine::new().run(60, 0.7), [0]);
    }

    #[test]
    fn fewer_pixels_before_fewer_pictures_and_no_more_than_needed() {
        for (takes, level) in [(0.95, 1), (3.0, 1), (5.0, 2), (13.0, 2), (16.0, 3), (40.0, 4)] {
            let mut machine = Machine::new();
            machine.run(20, takes);
            assert_eq!(machine.run(20, takes), [level], "an encoder that takes {takes} of the time");
        }
    }

    #[test]
    fn what_was_taken_is_given_back_step_by_step_when_the_machine_has_time_again() {
        let mut machine = Machine::new();
        assert_eq!(machine.run(20, 20.0), [0, 1, 2, 3]);
        assert_eq!(machine.run(60, 0.1), [3, 2, 1, 0]);
        // And without need nothing is taken again.
        assert_eq!(machine.run(60, 0.1), [0]);
    }

    #[test]
    fn a_machine_between_two_sizes_does_not_flap() {
        // A quarter of it looks as if there were room for all of it, which there is not.
        let mut machine = Machine::new();
        machine.run(10, 1.2);
        let mut changes = 0;
        for _ in 0..10 {
            changes += machine.run(60, if changes % 2 == 0 { 0.55 } else { 1.2 }).len() - 1;
        }
        assert!(changes <= 12, "{changes} changes in ten minutes");
    }

    #[test]
    fn a_source_that_stands_still_says_nothing() {
        let (mut load, start) = (EncoderLoad::default(), now());
        for second in 0..100 {
            let at = start + Duration::from_secs(second);
            load.on_unit(at, at + Duration::from_millis(200), at + Duration::from_millis(200));
        }
        assert_eq!(load.level(), 0);
    }
}
