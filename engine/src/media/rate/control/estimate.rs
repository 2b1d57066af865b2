//! What the transport's own estimator says, beside what we measure. It follows a path that has become narrower late, after four
//! to six seconds, so it is never a reason for less, nor for more than is known to be carried while it may still be late. But
//! where no queue is to be seen it often knows of a little more room before we have tried it.
//!
//! RFC 8867's cases 5.1 to 5.5 and 5.8 (`proof rfc8867`) have shown of the ways to combine both, in the order of the cases, what
//! they use of the path in percent, and the queue of 95 % of the packets in ms:
//!
//! | way | used | queue |
//! |---|---|---|
//! | ours alone | 95.1 94.8 94.1 97.2 96.6 97.5 | 50 53 35 50 64 52 |
//! | the smaller one | 93.5 93.2 91.3 96.0 95.8 95.2 | 48 47 33 47 52 47 |
//! | the larger one | 97.6 100.2 99.8 99.4 98.4 99.4 | 88 59 56 179 59 109 |
//! | the mean | 97.2 98.2 98.1 98.5 98.3 98.1 | 61 44 43 40 52 47, and 6.7 s to recover in 5.2 instead of 1.1 |
//! | the mean where it is less | 95.3 92.3 92.6 96.8 96.7 96.8 | 49 41 35 47 60 50, and 6.5 s |
//! | the mean where it is more and nothing queues, paced as well: what is done | 96.3 95.6 94.7 97.8 97.1 97.5 | 50 54 37 51 64 51 |
//!
//! With the last one it takes 0.15 instead of 0.35 s to recover in 5.1, and 0.2 instead of 0.9 s in 5.6.

use super::RateControl;
use crate::base::rate::Bitrate;
use crate::base::time::{Duration, Instant};

/// The estimator has followed a change of the path by then.
const FOLLOWED: Duration = Duration::from_secs(6);
/// What it says more than this of what is known, in percent, is what it has not followed.
const NEAR: u64 = 300;
/// More than this is not sent for its word alone, in percent.
const MOST_MORE: u64 = 130;

impl RateControl {
    /// What the transport's estimator says the path carries, sound included.
    pub const fn on_estimate(&mut self, rate: Bitrate) {
        self.estimate = Some(rate);
    }

    /// What everything may take now.
    pub(super) fn combined(&self, now: Instant) -> Bitrate {
        let Some(estimate) = self.estimate.filter(|estimate| *estimate > self.total) else { return self.total };
        let is_late = self.cut.is_some_and(|cut| now.saturating_duration_since(cut.at) < FOLLOWED);
        let is_clear = self.trend.standing().is_none_or(|queue| queue <= self.threshold() / 2);
        if !is_clear || self.trend.is_shared() || (is_late && estimate > self.total.percent(NEAR)) {
            return self.total;
        }
        let mean = Bitrate::from_bps((self.total.as_bps() + estimate.as_bps()) / 2);
        mean.min(self.total.percent(MOST_MORE)).min(self.most())
    }
}
