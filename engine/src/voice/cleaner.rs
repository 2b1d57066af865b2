//! Echo and noise are taken out of the same three bands, in the same blocks: split once, joined once. Each can come and go
//! while the other works.

use super::FULL_SCALE;
use super::bands::{self, BAND, BLOCK, Bands, COUNT, Joiner, Splitter};
use super::echo::EchoCanceller;
use super::noise::{self, NoiseSuppressor};
use super::stage::{FADE, Fade, Work};
use crate::base::time::Instant;

/// What works on the bands.
pub struct Cleaner {
    splitter: Splitter,
    joiner: Joiner,
    echo: Option<(EchoCanceller, Fade)>,
    noise: Option<(NoiseSuppressor, Fade)>,
    /// What was given, with its noise and without its echo: where speech is looked for. Taken by the caller.
    pub heard: Vec<f32>,
    hear: Joiner,
}

impl Cleaner {
    /// Both as they are to be from the first sample on.
    pub fn new(echo: bool, noise: bool) -> Self {
        Self {
            splitter: Splitter::new(),
            joiner: Joiner::new(),
            echo: echo.then(|| (EchoCanceller::new(), Fade::whole())),
            noise: noise.then(|| (NoiseSuppressor::new(), Fade::whole())),
            heard: Vec::with_capacity(BLOCK * 16),
            hear: Joiner::new(),
        }
    }

    /// Turns each on or off.
    pub fn set(&mut self, echo: bool, noise: bool) {
        turn(&mut self.echo, echo, EchoCanceller::new);
        turn(&mut self.noise, noise, NoiseSuppressor::new);
    }

    pub fn echo_mut(&mut self) -> Option<&mut EchoCanceller> {
        self.echo.as_mut().map(|(echo, _)| echo)
    }

    pub fn noise_mut(&mut self) -> Option<&mut NoiseSuppressor> {
        self.noise.as_mut().map(|(noise, _)| noise)
    }
}

impl Work for Cleaner {
    const BLOCK: usize = BLOCK;

    fn delay(&self) -> usize {
        let of = |fade: Option<&Fade>, delay| if fade.is_some_and(Fade::is_most) { delay } else { 0 };
        // The canceller's own suppressor has windows that overlap by half: a block.
        bands::DELAY
            + of(self.echo.as_ref().map(|(_, fade)| fade), BLOCK)
            + of(self.noise.as_ref().map(|(_, fade)| fade), noise::LATE * COUNT)
    }

    fn work(&mut self, block: &mut [f32], first: Instant) {
        let Some(block) = block.as_mut_array::<BLOCK>() else { return };
        // As sonora's own outermost layer has it.
        let is_saturated = block.iter().any(|sample| sample.abs() * FULL_SCALE >= 32_700.0);
        let mut bands = self.splitter.split(&block.map(|sample| sample * FULL_SCALE));
        if let Some((echo, fade)) = &mut self.echo {
            let given = bands;
            echo.cancel(&mut bands, is_saturated, first);
            mix(fade, &given, &mut bands);
            if fade.is_over() {
                self.echo = None;
            }
        }
        if self.echo.is_some() {
            let mut heard = [0.0; BLOCK];
            self.hear.join(&bands, &mut heard);
            self.heard.extend(heard.map(|sample| sample / FULL_SCALE));
        } else {
            self.heard.extend_from_slice(block);
        }
        if let Some((noise, fade)) = &mut self.noise {
            let given = bands;
            noise.suppress(&mut bands);
            mix(fade, &given, &mut bands);
            if fade.is_over() {
                self.noise = None;
            }
        }
        self.joiner.join(&bands, block);
        block.iter_mut().for_each(|sample| *sample /= FULL_SCALE);
    }
}

/// Turned on, its first block is not used: it holds what was before.
fn turn<W>(slot: &mut Option<(W, Fade)>, on: bool, begin: impl FnOnce() -> W) {
    match slot {
        Some((_, fade)) => fade.set(on),
        None if on => *slot = Some((begin(), Fade::begun(1))),
        None => {}
    }
}

fn mix(fade: &mut Fade, given: &Bands, made: &mut Bands) {
    let slope = fade.slope(FADE / COUNT as f32);
    for at in 0..BAND {
        let share = fade.next(slope);
        for (given, made) in given.iter().zip(&mut *made).filter(|_| share < 1.0) {
            made[at] = given[at] + (made[at] - given[at]) * share;
        }
    }
}
