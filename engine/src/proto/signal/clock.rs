//! The offset between two wall clocks by PING and PONG, as in NTP (RFC 5905 §8).

use std::collections::VecDeque;

use crate::proto::signal::body::Body;

/// The other side's wall clock against ours. Times are wall clock microseconds.
#[derive(Debug, Default)]
pub struct ClockOffset {
    /// When each was taken, and what it said.
    samples: VecDeque<(u64, Offset)>,
    asked: Option<u64>,
}

/// Add `micros` to our wall time to get theirs; wrong by at most `uncertainty`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    pub micros: i64,
    /// Half of the round trip, µs: how unequal the two ways can have been; and what the clocks may have drifted since.
    pub uncertainty: u64,
}

impl ClockOffset {
    /// The message to send now. One question is open at a time; a new one replaces it.
    pub fn ping(&mut self, now: u64) -> Body {
        self.asked = Some(now);
        Body::Ping { t1: now }
    }

    /// What to answer to a PING that arrived at `t2` when the answer leaves at `t3`.
    pub const fn pong(t1: u64, t2: u64, t3: u64) -> Body {
        Body::Pong { t1, t2, t3 }
    }

    /// Takes a PONG that arrived at `t4`. One that answers no open question, or whose times run backwards, is
    /// ignored.
    pub fn handle_pong(&mut self, t1: u64, t2: u64, t3: u64, t4: u64) {
        if self.asked != Some(t1) {
            return;
        }
        self.asked = None;
        let (Some(whole), Some(theirs)) = (t4.checked_sub(t1), t3.checked_sub(t2)) else { return };
        let Some(trip) = whole.checked_sub(theirs) else { return };
        // ((t2 − t1) + (t3 − t4)) / 2, in 128 bits: four numbers of 64 bits cannot overflow it.
        let sum = i128::from(t2) - i128::from(t1) + i128::from(t3) - i128::from(t4);
        let Ok(micros) = i64::try_from(sum / 2) else { return };
        if self.samples.len() >= KEPT {
            self.samples.pop_front();
        }
        self.samples.push_back((t4, Offset { micros, uncertainty: trip.div_ceil(2) }));
    }

    /// The least uncertain at `now` of the last eight; `None` before the first.
    pub fn best(&self, now: u64) -> Option<Offset> {
        let aged = self.samples.iter().map(|(at, offset)| {
            let drift = now.saturating_sub(*at).saturating_mul(DRIFT_PPM) / 1_000_000;
            Offset { uncertainty: offset.uncertainty.saturating_add(drift), ..*offset }
        });
        aged.min_by_key(|offset| offset.uncertainty)
    }

    /// Few answers have come so far: ask again soon.
    pub fn is_new(&self) -> bool {
        self.samples.len() < KEPT
    }
}

/// Two crystals of cheap machines, each wrong by half of it.
const DRIFT_PPM: u64 = 200;

/// NTP keeps eight as well (RFC 5905 §10): a queue rarely lasts for eight questions, and drift stays small.
const KEPT: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(clock: &mut ClockOffset, now: u64, out: u64, back: u64, ahead: u64) {
        let Body::Ping { t1 } = clock.ping(now) else { panic!("a ping") };
        let t2 = now + out + ahead;
        clock.handle_pong(t1, t2, t2 + 100, now + out + 100 + back);
    }

    #[test]
    fn the_shortest_trip_wins_and_the_error_stays_within_the_uncertainty() {
        let mut clock = ClockOffset::default();
        exchange(&mut clock, 1_000_000, 60_000, 5_000, 7_000_000);
        exchange(&mut clock, 2_000_000, 5_000, 6_000, 7_000_000);
        let best = clock.best(2_000_000).expect("two samples");
        assert_eq!(best.uncertainty, 5_500);
        // Ten seconds later the clocks may have drifted by two milliseconds.
        assert_eq!(clock.best(12_011_100).expect("two samples").uncertainty, 7_500);
        assert!(best.micros.abs_diff(7_000_000) <= best.uncertainty);
        assert_eq!(best.micros, 6_999_500);
    }

    #[test]
    fn answers_nobody_asked_for_or_from_nowhere_are_ignored() {
        let mut clock = ClockOffset::default();
        clock.handle_pong(1, 2, 3, 4);
        assert_eq!(clock.best(0), None);
        clock.ping(10);
        clock.handle_pong(10, u64::MAX, 0, 20);
        clock.ping(30);
        clock.handle_pong(30, 0, u64::MAX, 40);
        assert_eq!(clock.best(0), None);
    }
}
