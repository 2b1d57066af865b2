//! Asking for lost pictures' packets again, as RFC 4585 §6.2.1 has it and on the real transport's schedule.

use std::collections::VecDeque;

use crate::base::time::{Duration, Instant};

/// A second of packets at 8 Mbit/s: what the real transport keeps.
const KEPT: usize = 1024;
/// The real transport asks five times, a round trip and 5 ms apart, and no oftener than each 33 ms.
const TRIES: u8 = 5;
const PATIENCE: Duration = Duration::from_millis(5);
const BATCH: Duration = Duration::from_millis(33);
/// Sequence numbers in one request.
const MOST: usize = 100;
/// Before the first echo has come back.
const FIRST_ROUND_TRIP: Duration = Duration::from_millis(100);

/// Packets that may be asked for again.
#[derive(Debug, Default)]
pub(super) struct Sent(VecDeque<(u16, Vec<u8>)>);

impl Sent {
    pub(super) fn keep(&mut self, sequence: u16, datagram: &[u8]) {
        let mut storage =
            if self.0.len() == KEPT { self.0.pop_front().map(|old| old.1) } else { None }.unwrap_or_default();
        storage.clear();
        storage.extend_from_slice(datagram);
        self.0.push_back((sequence, storage));
    }

    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// The datagrams that a request names, as far as they are still kept.
    pub(super) fn asked(&self, request: &[u8]) -> impl Iterator<Item = &[u8]> {
        let named = request.as_chunks::<2>().0.iter().take(MOST).map(|bytes| u16::from_be_bytes(*bytes));
        named.filter_map(|sequence| self.0.iter().rev().find(|kept| kept.0 == sequence).map(|kept| kept.1.as_slice()))
    }
}

/// Packets that are missing.
#[derive(Debug, Default)]
pub(super) struct Missing {
    gaps: Vec<Gap>,
    highest: Option<u64>,
    asked: Option<Instant>,
    pub(super) round_trip: Option<Duration>,
}

#[derive(Debug)]
struct Gap {
    sequence: u64,
    tries: u8,
    due: Instant,
}

impl Missing {
    /// The packet `sequence` (extended) is there.
    pub(super) fn arrived(&mut self, sequence: u64, at: Instant) {
        self.gaps.retain(|gap| gap.sequence != sequence);
        let Some(highest) = self.highest else {
            self.highest = Some(sequence);
            return;
        };
        if sequence <= highest {
            return;
        }
        let first = (highest + 1).max(sequence.saturating_sub(MOST as u64));
        self.gaps.extend((first..sequence).map(|sequence| Gap { sequence, tries: 0, due: at }));
        // The oldest have waited longest and are the least likely to help.
        let excess = self.gaps.len().saturating_sub(MOST);
        self.gaps.drain(..excess);
        self.highest = Some(sequence);
    }

    /// A request for what is due, empty where nothing is.
    pub(super) fn ask(&mut self, now: Instant) -> Vec<u8> {
        if self.next_due().is_none_or(|at| now < at) {
            return Vec::new();
        }
        let again = now + self.round_trip.unwrap_or(FIRST_ROUND_TRIP) + PATIENCE;
        let mut request = Vec::new();
        self.gaps.retain_mut(|gap| {
            if gap.due > now {
                return true;
            }
            request.extend((gap.sequence as u16).to_be_bytes());
            (gap.tries, gap.due) = (gap.tries + 1, again);
            gap.tries < TRIES
        });
        if !request.is_empty() {
            self.asked = Some(now);
        }
        request
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        let due = self.gaps.iter().map(|gap| gap.due).min()?;
        Some(self.asked.map_or(due, |asked| due.max(asked + BATCH)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::now;

    #[test]
    fn a_gap_is_asked_for_at_once_again_after_a_round_trip_and_given_up() {
        let start = now();
        let mut missing = Missing { round_trip: Some(Duration::from_millis(40)), ..Default::default() };
        [7, 8, 11].into_iter().for_each(|sequence| missing.arrived(sequence, start));
        assert_eq!(missing.ask(start), [0, 9, 0, 10]);
        assert_eq!(missing.next_due(), Some(start + Duration::from_millis(45)));
        missing.arrived(9, start + Duration::from_millis(30));
        let mut at = start;
        for _ in 1..TRIES {
            at += Duration::from_millis(45);
            assert_eq!(missing.ask(at), [0, 10]);
        }
        assert_eq!(missing.next_due(), None);
    }

    #[test]
    fn what_is_asked_for_is_sent_again_as_it_was() {
        let mut sent = Sent::default();
        (0..2000u16).for_each(|sequence| sent.keep(sequence, &sequence.to_le_bytes()));
        let request: Vec<u8> = [1999u16, 3, 976].iter().flat_map(|sequence| sequence.to_be_bytes()).collect();
        let found: Vec<&[u8]> = sent.asked(&request).collect();
        assert_eq!(found, [1999u16.to_le_bytes(), 976u16.to_le_bytes()]);
    }
}
