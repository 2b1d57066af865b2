//! The latency ledger: nine stamps per unit, eight stages between them.

use crate::base::time::Instant;

/// The moments in a unit's life, in order, on the local clock (the sender's three are converted by the estimated
/// clock offset). `None`: not known, or not yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamps {
    pub captured: Option<Instant>,
    pub encoded: Option<Instant>,
    pub sent: Option<Instant>,
    pub arrived: Option<Instant>,
    pub complete: Option<Instant>,
    pub released: Option<Instant>,
    pub decoded: Option<Instant>,
    pub published: Option<Instant>,
    pub presented: Option<Instant>,
}

/// The eight stages, named by what happens in them.
pub const STAGES: [&str; 8] = ["encode", "queue", "network", "assemble", "hold", "decode", "publish", "present"];

impl Stamps {
    /// Each stage's length in milliseconds, in the order of [`STAGES`]; negative where the clock offset is wrong by
    /// more than the stage is long, `None` where one of its two stamps is missing.
    pub fn stages_ms(&self) -> [Option<f64>; 8] {
        let stamps = [
            self.captured,
            self.encoded,
            self.sent,
            self.arrived,
            self.complete,
            self.released,
            self.decoded,
            self.published,
            self.presented,
        ];
        std::array::from_fn(|stage| Some(millis_between(stamps[stage]?, stamps[stage + 1]?)))
    }

    /// From capture to publication in milliseconds; `None` unless both stamps are there.
    pub fn until_published_ms(&self) -> Option<f64> {
        Some(millis_between(self.captured?, self.published?))
    }

    /// The sum of all eight stages in milliseconds; `None` unless every stamp is there.
    pub fn total_ms(&self) -> Option<f64> {
        self.stages_ms().iter().try_fold(0.0, |sum, stage| Some(sum + (*stage)?))
    }
}

/// `to - from` in milliseconds, negative when `to` is earlier.
pub fn millis_between(from: Instant, to: Instant) -> f64 {
    if to >= from { (to - from).as_secs_f64() * 1e3 } else { -((from - to).as_secs_f64() * 1e3) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::{Duration, now};

    #[test]
    fn the_stages_sum_to_the_whole() {
        let start = now();
        let at = |ms| Some(start + Duration::from_millis(ms));
        let stamps = Stamps {
            captured: at(0),
            encoded: at(4),
            sent: at(5),
            arrived: at(25),
            complete: at(26),
            released: at(27),
            decoded: at(30),
            published: at(31),
            presented: at(40),
        };
        assert_eq!(stamps.total_ms(), Some(40.0));
        assert_eq!(stamps.stages_ms()[2], Some(20.0));
        assert_eq!(Stamps { sent: None, ..stamps }.total_ms(), None);
    }
}
