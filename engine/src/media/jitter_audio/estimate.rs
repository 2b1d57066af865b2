//! What the path does to packets: the least recent lag, and how far above it packets come.

use crate::media::policy::Policy;

/// One bin is 1 ms (48 samples); what is above 300 ms is an outage, not jitter: no delay makes it good.
const BINS: usize = 300;
const BIN: i64 = 48;
/// Half a second: the baseline is the least lag of the newest five to six of these. A drift of 1500 ppm moves the
/// baseline by at most 4.5 ms in that time.
const SLOT: i64 = 24_000;
const SLOTS: usize = 6;
/// The weight of what was seen halves in 0.35 s: 4 s after a bad phase less than 0.04 % of it is left, under what may
/// come too late, and the delay contract (back within 5 s) holds.
const FORGET: f32 = 24_000.0;

/// Statistics of the lag (48 kHz samples).
#[derive(Clone, Debug)]
pub struct LagEstimate {
    bins: [f32; BINS],
    total: f32,
    least: [i64; SLOTS],
    slot: i64,
    last_arrival: Option<i64>,
    target: i64,
    /// The share of packets that may come after their time.
    late: f32,
    /// The target is never below this.
    floor: i64,
}

impl LagEstimate {
    pub const fn new(policy: &Policy) -> Self {
        let floor = policy.sound_least.as_micros() as i64 * BIN / 1000;
        Self {
            bins: [0.0; BINS],
            total: 0.0,
            least: [i64::MAX; SLOTS],
            slot: 0,
            last_arrival: None,
            target: floor,
            late: policy.sound_late,
            floor,
        }
    }

    /// A packet of `samples` came at `arrival` with `lag`.
    pub fn observe(&mut self, arrival: i64, lag: i64, samples: usize) {
        let slot = arrival.div_euclid(SLOT);
        for passed in self.slot + 1..=slot.min(self.slot + SLOTS as i64) {
            self.least[passed.rem_euclid(SLOTS as i64) as usize] = i64::MAX;
        }
        self.slot = self.slot.max(slot);
        let least = &mut self.least[self.slot.rem_euclid(SLOTS as i64) as usize];
        *least = lag.min(*least);
        let Some(baseline) = self.baseline() else { return };

        // A packet weighs as much as the time since the one before, at most its own length: of a burst that was held
        // up together, only the first tells what a listener had to wait for.
        let passed = self.last_arrival.map_or(0, |last| (arrival - last).max(0));
        self.last_arrival = Some(arrival.max(self.last_arrival.unwrap_or(arrival)));
        let length = samples.max(1) as i64;
        let weight = passed.min(length) as f32 / length as f32;
        let forget = (-(passed.min(length * 4) as f32) / FORGET).exp();
        self.bins.iter_mut().for_each(|bin| *bin *= forget);
        self.total *= forget;
        let bin = (lag - baseline) / BIN;
        if let Some(bin) = usize::try_from(bin).ok().and_then(|bin| self.bins.get_mut(bin)) {
            *bin += weight;
        }
        self.total += weight;

        let mut above = 0.0;
        let mut quantile = 0;
        for (n, bin) in self.bins.iter().enumerate().rev() {
            above += bin;
            if above > self.total * self.late {
                quantile = n as i64;
                break;
            }
        }
        // Bin 0 is a clean path: nothing is added. Up at once, down with the memory.
        self.target = if quantile == 0 { 0 } else { (quantile + 1) * BIN }.max(self.floor);
    }

    /// The least recent lag.
    pub fn baseline(&self) -> Option<i64> {
        self.least.iter().copied().min().filter(|least| *least != i64::MAX)
    }

    /// How far above the baseline sound should be played.
    pub const fn target(&self) -> i64 {
        self.target
    }
}
