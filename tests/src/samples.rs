//! Whether two sets of measurements differ: tests that assume nothing of how they are distributed.

/// Two samples beside each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compared {
    pub medians: [f64; 2],
    /// How likely chance alone gives a difference as large, by the ranks of the values (Mann and Whitney 1947).
    pub by_ranks: f64,
    /// The same by the largest distance between the distributions (Kolmogorov and Smirnov).
    pub by_distance: f64,
}

impl Compared {
    /// # Panics
    /// A sample is empty.
    pub fn new(one: &[f64], other: &[f64]) -> Self {
        let sorted = |values: &[f64]| {
            let mut values = values.to_vec();
            values.sort_by(f64::total_cmp);
            values
        };
        let (one, other) = (sorted(one), sorted(other));
        Self {
            medians: [median(&one), median(&other)],
            by_ranks: mann_whitney(&one, &other),
            by_distance: kolmogorov_smirnov(&one, &other),
        }
    }

    /// Whether the samples differ, where chance alone says so in one comparison of `1 / false_alarms`.
    pub fn differ(&self, false_alarms: f64) -> bool {
        self.by_ranks.min(self.by_distance) < false_alarms / 2.0
    }
}

fn median(sorted: &[f64]) -> f64 {
    (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2.0
}

/// Two-sided, by the normal approximation with its correction for ties.
fn mann_whitney(one: &[f64], other: &[f64]) -> f64 {
    let (n, m) = (one.len() as f64, other.len() as f64);
    let mut all: Vec<(f64, bool)> =
        one.iter().map(|value| (*value, true)).chain(other.iter().map(|value| (*value, false))).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut ranks, mut ties) = (0.0, 0.0);
    let mut at = 0;
    for run in all.chunk_by(|a, b| a.0 == b.0) {
        let length = run.len() as f64;
        // Those that are alike share the middle of their ranks.
        let rank = at as f64 + (length + 1.0) / 2.0;
        ranks += rank * run.iter().filter(|(_, is_one)| *is_one).count() as f64;
        ties += length.powi(3) - length;
        at += run.len();
    }
    let all = n + m;
    let variance = n * m / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)));
    if variance <= 0.0 {
        return 1.0;
    }
    let z = (ranks - n * (n + 1.0) / 2.0 - n * m / 2.0) / variance.sqrt();
    erfc(z.abs() / std::f64::consts::SQRT_2)
}

/// Two-sided, by the asymptotic distribution with Stephens' correction (1970).
fn kolmogorov_smirnov(one: &[f64], other: &[f64]) -> f64 {
    let (mut i, mut j, mut distance) = (0, 0, 0.0f64);
    while i < one.len() && j < other.len() {
        let value = one[i].min(other[j]);
        i += one[i..].partition_point(|one| *one <= value);
        j += other[j..].partition_point(|other| *other <= value);
        distance = distance.max((i as f64 / one.len() as f64 - j as f64 / other.len() as f64).abs());
    }
    let root = ((one.len() * other.len()) as f64 / (one.len() + other.len()) as f64).sqrt();
    let lambda = (root + 0.12 + 0.11 / root) * distance;
    if lambda < 0.2 {
        return 1.0;
    }
    let term = |k: i32| f64::from(1 - 2 * ((k + 1) % 2)) * (-2.0 * f64::from(k * k) * lambda * lambda).exp();
    (2.0 * (1..=100).map(term).sum::<f64>()).clamp(0.0, 1.0)
}

/// The complementary error function of something that is not negative: Chebyshev, to a millionth of its value (Press and
/// others, Numerical Recipes §6.2).
fn erfc(x: f64) -> f64 {
    const SERIES: [f64; 10] = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let t = 1.0 / (1.0 + 0.5 * x);
    t * (-x * x + SERIES.iter().rev().fold(0.0, |sum, term| sum * t + term)).exp()
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn the_tests_agree_with_tables() {
        assert!((erfc(0.0) - 1.0).abs() < 1e-6 && (erfc(1.0) - 0.157_299_207).abs() < 1e-6);
        assert!((erfc(4.0) / 1.541_725_79e-8 - 1.0).abs() < 1e-5);
        // 2 Q(1.36) of Kolmogorov's distribution is the usual 5 %.
        let (one, other): (Vec<f64>, Vec<f64>) =
            ((0..5000).map(f64::from).collect(), (136..5136).map(f64::from).collect());
        let compared = Compared::new(&one, &other);
        assert!((compared.by_distance - 0.05).abs() < 0.003, "{compared:?}");
        // By hand: U lies 4.65 standard deviations beside its middle.
        assert!((compared.by_ranks / 3.3e-6 - 1.0).abs() < 0.1, "{compared:?}");
        assert_eq!(Compared::new(&[1.0; 50], &[1.0; 50]).by_ranks, 1.0, "all alike");
    }

    #[test]
    fn chance_is_told_from_a_difference() {
        let mut random = StdRng::seed_from_u64(7);
        let mut sample = |shift: f64| -> Vec<f64> {
            (0..500).map(|_| shift + random.random::<f64>() + random.random::<f64>().powi(8)).collect()
        };
        let alarms = (0..400).filter(|_| Compared::new(&sample(0.0), &sample(0.0)).differ(0.02)).count();
        assert!((1..=20).contains(&alarms), "8 of 400 are expected: {alarms}");
        assert!(Compared::new(&sample(0.0), &sample(0.2)).differ(1e-6));
        // The same median, another spread: the ranks do not see it, the distance does.
        let wide: Vec<f64> = sample(0.0).iter().map(|value| (value - 0.5) * 3.0 + 0.5).collect();
        assert!(Compared::new(&sample(0.0), &wide).differ(1e-6));
    }
}
