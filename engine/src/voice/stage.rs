//! One step of the processing, which can be turned on and off in the middle of sound: it collects whole blocks, fades
//! between what it was given and what it makes, and keeps the time of what comes out.

use super::time_of;
use crate::base::time::Instant;

/// Work on blocks of a fixed length.
pub trait Work {
    /// Samples of a block.
    const BLOCK: usize;

    /// Samples by which what is made is behind what was given.
    fn delay(&self) -> usize;

    /// Works on one block, whose first sample was captured at `first`.
    fn work(&mut self, block: &mut [f32], first: Instant);
}

/// A step, on or off.
pub struct Stage<W> {
    work: Option<W>,
    fade: Fade,
    /// Given, and less than a block.
    waiting: Vec<f32>,
    made: Vec<f32>,
}

/// How long it takes to fade: too short to be heard as two voices, too long to be heard as a click.
pub const FADE: f32 = 480.0;

/// How much of what comes out is what was made.
#[derive(Clone, Copy, Debug)]
pub struct Fade {
    is_on: bool,
    /// Blocks that are made and not used yet: at first silence comes out.
    unused: usize,
    /// From 0 to 1.
    share: f32,
}

impl Fade {
    /// Nothing yet; the first `unused` blocks are not used.
    pub const fn begun(unused: usize) -> Self {
        Self { is_on: true, unused, share: 0.0 }
    }

    /// All of it.
    pub const fn whole() -> Self {
        Self { is_on: true, unused: 0, share: 1.0 }
    }

    pub const fn set(&mut self, on: bool) {
        self.is_on = on;
    }

    /// By how much the share changes with each sample of the next block, where a fade takes `samples`.
    pub fn slope(&mut self, samples: f32) -> f32 {
        let waits = self.is_on && self.unused > 0;
        self.unused = self.unused.saturating_sub(1);
        if waits { 0.0 } else { if self.is_on { 1.0 / samples } else { -1.0 / samples } }
    }

    /// The share of the next sample.
    pub const fn next(&mut self, slope: f32) -> f32 {
        self.share = (self.share + slope).clamp(0.0, 1.0);
        self.share
    }

    /// Of a fade the greater part counts.
    pub const fn is_most(&self) -> bool {
        self.share > 0.5
    }

    /// Off, and no longer heard.
    pub const fn is_over(&self) -> bool {
        !self.is_on && self.share == 0.0
    }
}

impl<W: Work> Stage<W> {
    pub fn new() -> Self {
        let buffer = || Vec::with_capacity(W::BLOCK);
        Self { work: None, fade: Fade { is_on: false, unused: 0, share: 0.0 }, waiting: buffer(), made: buffer() }
    }

    /// Turns the step on, with what `begin` makes, or off. What it does is kept until it has faded.
    pub fn set(&mut self, on: bool, begin: impl FnOnce() -> W) {
        self.fade.set(on);
        if on && self.work.is_none() {
            let work = self.work.insert(begin());
            self.fade = Fade::begun(work.delay().div_ceil(W::BLOCK));
        }
    }

    /// Appends what is ready to `out` and returns when the first of it was captured; `first` where nothing is ready.
    pub fn run(&mut self, input: &[f32], first: Instant, out: &mut Vec<f32>) -> Instant {
        let begun = first.checked_sub(time_of(self.waiting.len())).unwrap_or(first);
        let (mut at, mut rest, before) = (begun, input, out.len());
        let late = self.work.as_ref().filter(|_| self.fade.is_most()).map_or(0, W::delay);
        while self.work.is_some() && self.waiting.len() + rest.len() >= W::BLOCK {
            let (more, other) = rest.split_at(W::BLOCK - self.waiting.len());
            self.waiting.extend_from_slice(more);
            rest = other;
            self.step(at, out);
            at += time_of(W::BLOCK);
        }
        self.waiting.extend_from_slice(rest);
        if self.work.is_none() {
            out.append(&mut self.waiting);
        }
        if out.len() == before { first } else { begun.checked_sub(time_of(late)).unwrap_or(begun) }
    }

    /// Samples pass at once and as they are.
    pub const fn is_idle(&self) -> bool {
        self.work.is_none() && self.waiting.is_empty()
    }

    /// What works, while something does.
    pub const fn get_mut(&mut self) -> Option<&mut W> {
        self.work.as_mut()
    }

    /// Makes the waiting block.
    fn step(&mut self, first: Instant, out: &mut Vec<f32>) {
        let Some(work) = &mut self.work else { return };
        self.made.clear();
        self.made.extend_from_slice(&self.waiting);
        work.work(&mut self.made, first);
        let slope = self.fade.slope(FADE);
        for (given, made) in self.waiting.drain(..).zip(&self.made) {
            let share = self.fade.next(slope);
            out.push(if share < 1.0 { given + (made - given) * share } else { *made });
        }
        if self.fade.is_over() {
            self.work = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::{Duration, now};

    /// Ten samples late, in blocks of 50.
    struct Late([f32; 10]);

    impl Work for Late {
        const BLOCK: usize = 50;

        fn delay(&self) -> usize {
            10
        }

        fn work(&mut self, block: &mut [f32], _: Instant) {
            block.rotate_right(10);
            block[..10].swap_with_slice(&mut self.0);
        }
    }

    /// A slow sine in parts of 37 samples; on from sample 3700, off from 7400. What comes out with its capture times.
    fn run() -> (Instant, Vec<(Instant, Vec<f32>)>) {
        let (start, mut stage) = (now(), Stage::new());
        let sound = (0..300).map(|part| {
            stage.set((100..200).contains(&part), || Late([0.0; 10]));
            let samples: Vec<f32> = (0..37).map(|at| ((part * 37 + at) as f32 * 0.01).sin()).collect();
            let mut out = Vec::new();
            let first = stage.run(&samples, start + time_of(part * 37), &mut out);
            (first, out)
        });
        let sound = sound.collect();
        (start, sound)
    }

    #[test]
    fn turned_off_it_hands_samples_through_at_once_and_untouched() {
        let (start, sound) = run();
        for (part, (first, samples)) in sound.iter().enumerate().filter(|(part, _)| !(100..230).contains(part)) {
            assert_eq!(*first, start + time_of(part * 37));
            assert!(samples.len() == 37 && samples[5] == ((part * 37 + 5) as f32 * 0.01).sin());
        }
    }

    #[test]
    fn it_comes_and_goes_without_a_click_and_without_losing_a_sample() {
        let all: Vec<f32> = run().1.into_iter().flat_map(|(_, samples)| samples).collect();
        assert_eq!(all.len(), 300 * 37);
        let steepest = all.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
        assert!(steepest < 0.011, "{steepest}");
    }

    #[test]
    fn the_time_of_what_comes_out_is_that_of_its_capture() {
        let (start, sound) = run();
        for (first, samples) in &sound[120..195] {
            let Some(sample) = samples.first() else { continue };
            let at = (*first - start).as_secs_f64() * 48_000.0;
            assert!((f64::from(*sample) - (at * 0.01).sin()).abs() < 1e-3, "{at}");
        }
        assert!(sound.iter().all(|(first, _)| *first + Duration::from_millis(2) >= start));
    }
}
