//! Percentiles of what was measured.

use serde::{Deserialize, Serialize};

/// Measured values, bounded: when full, every other one is forgotten and from then on every other one is taken.
#[derive(Clone, Debug)]
pub struct Samples {
    values: Vec<f32>,
    every: u32,
    skip: u32,
    n: u64,
    max: f32,
    last: Option<f32>,
}

impl Default for Samples {
    fn default() -> Self {
        Self { values: Vec::new(), every: 1, skip: 0, n: 0, max: f32::MIN, last: None }
    }
}

impl Samples {
    /// An hour of video at 30 a second fits without forgetting any.
    const BOUND: usize = 1 << 17;

    pub fn push(&mut self, value: f64) {
        let value = value as f32;
        if !value.is_finite() {
            return;
        }
        self.n += 1;
        self.last = Some(value);
        self.max = self.max.max(value);
        self.skip += 1;
        if self.skip < self.every {
            return;
        }
        self.skip = 0;
        if self.values.len() == Self::BOUND {
            let mut keep = false;
            self.values.retain(|_| {
                keep = !keep;
                keep
            });
            self.every *= 2;
        }
        if self.values.capacity() == 0 {
            // All at once: what is not written to takes no memory yet, and it never grows in the middle of a call.
            self.values.reserve_exact(Self::BOUND);
        }
        self.values.push(value);
    }

    pub const fn len(&self) -> u64 {
        self.n
    }

    /// The newest one.
    pub fn last(&self) -> Option<f64> {
        self.last.map(f64::from)
    }

    pub const fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// The values in the order in which they came; of a long run those that were not forgotten.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The value below which `share` (0.0 to 1.0) of the samples lie; `None` without samples.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let mut values = self.values.clone();
        let index = ((values.len().checked_sub(1)?) as f64 * share.clamp(0.0, 1.0)).round() as usize;
        let (_, value, _) = values.select_nth_unstable_by(index, f32::total_cmp);
        Some(f64::from(*value))
    }

    /// `None` without samples: a figure that was not measured is not zero.
    pub fn summary(&self) -> Option<Summary> {
        Some(Summary {
            n: self.n,
            p50: rounded(self.quantile(0.5)?),
            p95: rounded(self.quantile(0.95)?),
            p99: rounded(self.quantile(0.99)?),
            max: rounded(f64::from(self.max)),
        })
    }

    /// The two percentiles that a stage shows.
    pub fn spread(&self) -> Option<Spread> {
        Some(Spread { p50: rounded(self.quantile(0.5)?), p95: rounded(self.quantile(0.95)?) })
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// How many, and where they lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub n: u64,
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

/// Median and 95th percentile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    pub p50: f64,
    pub p95: f64,
}

/// To a microsecond, where the unit is a millisecond: past that it is noise.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_known_distribution() {
        let mut samples = Samples::default();
        (0..=1000).rev().for_each(|n| samples.push(f64::from(n)));
        let summary = samples.summary().expect("samples");
        assert_eq!(
            (summary.n, summary.p50, summary.p95, summary.p99, summary.max),
            (1001, 500.0, 950.0, 990.0, 1000.0)
        );
        assert_eq!(Samples::default().summary(), None);
    }

    #[test]
    fn a_long_run_is_thinned_evenly() {
        let mut samples = Samples::default();
        (0..400_000).for_each(|n| samples.push(f64::from(n)));
        assert_eq!(samples.len(), 400_000);
        let median = samples.quantile(0.5).expect("samples");
        assert!((median - 200_000.0).abs() < 4000.0, "{median}");
        assert!(samples.values.len() <= Samples::BOUND);
    }
}
