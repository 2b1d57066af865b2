//! Beside those who fill a queue until it overflows (RFC 5681), giving way to every queue means having nothing. What they do
//! is done then: more and more until something is lost, and less by a part of it; until the queue is gone by itself.

use super::share::{PICTURES_NEED, SOUND_NEEDS};
use super::{RateControl, sum};
use crate::base::rate::Bitrate;
use crate::base::time::{Duration, Instant};
use crate::media::rate::report::DelayReport;

/// Since others fill the queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Competing {
    /// The last loss that was answered.
    cut: Instant,
    raised: Instant,
    /// The longest queue since then.
    longest: Duration,
    /// Since when no queue is to be seen.
    clear: Option<Instant>,
}

/// Who shares a queue leaves less of it for a moment after each loss; one that is gone for longer is gone.
const GONE: Duration = Duration::from_millis(600);
/// Whoever was there within this time is believed to be back when one cut has not helped.
const RECENT: Duration = Duration::from_secs(30);
/// What is left after a loss, in percent (RFC 9438 §4.6).
const LEFT: u64 = 70;
/// One packet more in each round trip (RFC 5681 §3.1), in bits.
const PACKET: f64 = 12_000.0;
/// Who fills a queue until it overflows keeps it so long at least; a shorter one that stays is a longer way.
pub(super) const LEAST_QUEUE: Duration = Duration::from_millis(60);
/// On a path whose delay wanders by more than this in 100 ms it is no matter of a queue.
pub(super) const NOISY: Duration = Duration::from_millis(12);
/// And one that has just emptied it by half.
pub(super) const LEAST_AGAIN: Duration = Duration::from_millis(25);
/// The longest queue that is counted to a round trip.
pub(super) const LONGEST: Duration = Duration::from_millis(500);

/// And the shortest trip: a packet in each of 100 ms would be a megabit more in each second.
const SHORTEST: Duration = Duration::from_millis(200);

impl RateControl {
    /// Others filled the queue not long ago.
    pub(super) fn has_competed(&self, now: Instant) -> bool {
        self.competed.is_some_and(|at| now.saturating_duration_since(at) < RECENT)
    }

    /// What there is to be for pictures beside others' queues: with nothing sent, nothing would be heard of it any more.
    pub(super) fn least_shared(&self) -> Bitrate {
        sum(PICTURES_NEED, SOUND_NEEDS.min(self.most_sound))
    }

    /// From now on the queue is others'.
    pub(super) fn begin_to_compete(&mut self, now: Instant) {
        self.innocent = 0;
        let before = self.before.take().unwrap_or(self.total);
        self.set(before.percent(LEFT).max(self.total));
        (self.ceiling, self.emptying, self.blind, self.clear_since) = (None, None, None, None);
        self.competing = Some(Competing { cut: now, raised: now, longest: Duration::ZERO, clear: None });
    }

    /// Follows a report while others fill the queue; whether they do.
    pub(super) fn compete(&mut self, report: &DelayReport, now: Instant) -> bool {
        let Some(mut competing) = self.competing else { return false };
        let queue = self.trend.standing().unwrap_or_default().min(LONGEST);
        if queue > self.trend.threshold() {
            competing.clear = None;
        } else if now.saturating_duration_since(*competing.clear.get_or_insert(now)) >= GONE {
            // What it was left with is known to be carried.
            (self.competing, self.ceiling, self.competed) = (None, Some(self.total), Some(now));
            return false;
        }
        let trip = (self.round_trip + queue).max(SHORTEST);
        competing.longest = competing.longest.max(queue);
        // What is lost while the queue is short is lost by chance.
        if report.lost > 0 && queue * 2 >= competing.longest {
            if now.saturating_duration_since(competing.cut) >= trip {
                self.set(self.total.percent(LEFT).max(self.least_shared()));
                (competing.cut, competing.longest) = (now, Duration::ZERO);
            }
        } else if competing.clear.is_none() {
            let trips = now.saturating_duration_since(competing.raised).as_secs_f64() / trip.as_secs_f64();
            let more = PACKET / trip.as_secs_f64() * trips.min(1.0);
            self.set(Bitrate::from_bps(self.total.as_bps() + more as u64));
        }
        competing.raised = now;
        self.competing = Some(competing);
        true
    }
}
