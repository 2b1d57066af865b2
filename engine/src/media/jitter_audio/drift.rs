//! The two clocks' difference, from how much later than necessary packets are asked for, and the change of rate that
//! makes it good: a few samples in a million left out or put in, all the time, which nobody hears.

/// A controller with a proportional and an integral part. Positive: more samples are to be made.
#[derive(Clone, Debug, Default)]
pub struct Drift {
    /// The least excess since the last turn.
    least: Option<i64>,
    /// Samples since the last turn.
    passed: usize,
    turns: u32,
    integral: f32,
    /// The mean of the integral over some ten seconds, and how far it is from that on average.
    steady: f32,
    swing: f32,
    ppm: i32,
}

/// A quarter of a second: long enough that a device's early and late pulls are both in it.
const TURN: usize = 12_000;
/// Packets are to be there half a millisecond before they are asked for.
const EARLY: i64 = 24;
/// What is further off is jitter's, not drift's, and stretching's to mend.
const REACH: i64 = 240;
/// Parts per million for each sample that is off, and how many of them stay, at each turn. 1 ms is gone in 1.2 s; as fast
/// as that can be without swinging (the second is a quarter of the first's square).
const LEARN: (f32, f32) = (16.7, 0.83);
/// 1 ms is gone in 2.5 s, and an eighth of what would make it swing stays.
const FOLLOW: (f32, f32) = (8.3, 0.052);
/// 15 s. The difference of two clocks stays what it is: learnt fast, then followed slowly, so that jitter's coming and
/// going does not move it.
const LEARNING: u32 = 60;
/// Turns of which the mean is taken, and after which it is one: ten seconds and five.
const STEADY: f32 = 1.0 / 40.0;
const SURE: u32 = 20;
/// Less than that moves a lag by less than a millisecond in four seconds.
const NOISE: f32 = 250.0;
/// Clocks differ by 1500 ppm at most; what is above is for catching up. A semitone has 59 000.
const MOST: f32 = 3_000.0;

impl Drift {
    /// `samples` are decoded that were asked for at least `above` samples later than wanted.
    pub fn observe(&mut self, above: i64, samples: usize) {
        self.least = Some(self.least.map_or(above, |least| least.min(above)));
        self.passed += samples;
        if self.passed < TURN {
            return;
        }
        let off = self.least.take().unwrap_or_default() - EARLY;
        self.passed = 0;
        self.turns = self.turns.saturating_add(1);
        let learning = self.turns <= LEARNING;
        let (proportional, integral) = if learning { LEARN } else { FOLLOW };
        if off.abs() <= REACH {
            self.integral = (self.integral - integral * off as f32).clamp(-MOST * 0.67, MOST * 0.67);
        }
        let share = STEADY.max(1.0 / self.turns as f32);
        self.steady += (self.integral - self.steady) * share;
        self.swing += ((self.integral - self.steady).abs() - self.swing) * share;
        let off = off.clamp(-REACH, REACH) as f32;
        self.ppm = (self.integral - proportional * off).clamp(-MOST, MOST) as i32;
    }

    /// By how much the other side's clock is slower than ours, in parts per million; 0 where it may be jitter as well.
    pub const fn learnt(&self) -> f32 {
        // Jitter makes it swing, and is no difference of clocks.
        let is_sure = self.turns > SURE && self.swing * 3.0 < self.steady.abs();
        if is_sure && self.steady.abs() > NOISE { self.steady } else { 0.0 }
    }

    /// How many more samples in a million are to be made.
    pub const fn ppm(&self) -> i32 {
        self.ppm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_drift_is_cancelled_without_swinging() {
        for ppm in [-1500.0, 0.0, 1500.0] {
            let (mut drift, mut above, mut worst) = (Drift::default(), 24.0f64, 0.0f64);
            for turn in 0..240 {
                // What the clocks move it by, and what the controller does.
                above += (-ppm + f64::from(drift.ppm())) * 0.012;
                drift.observe(above as i64, TURN);
                if turn > 40 {
                    worst = worst.max((above - 24.0).abs());
                }
            }
            assert!((f64::from(drift.ppm()) - ppm).abs() < 30.0, "{ppm}: {}", drift.ppm());
            // Ten seconds after the beginning it is within the half millisecond that there is to spare.
            assert!(worst < 12.0, "{ppm}: {worst}");
        }
    }
}
