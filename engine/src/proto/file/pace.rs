//! How fast a file goes: below sound and pictures. It takes what the path has left without making a queue, after LEDBAT
//! (RFC 6817): what the way takes more than it took at its best is queue, and of that a file makes next to none. Where
//! pictures get less than they could have, a file gets a small part.

use std::collections::VecDeque;

use crate::base::rate::Bitrate;
use crate::base::time::{Duration, Instant};
use crate::proto::file::LARGEST_DATA;

/// How much may be on the way.
#[derive(Clone, Debug)]
pub struct Pace {
    window: f64,
    /// What is on the way: where each part ends, and when it left.
    unheard: VecDeque<(u64, Instant)>,
    sent: u64,
    heard: u64,
    /// The least that a part took, in the minute before and in this one.
    best: [Option<Duration>; 2],
    best_since: Option<Instant>,
    /// Bytes that may go at the rate of the present, for where pictures have less than they could.
    credit: f64,
    credit_at: Option<Instant>,
    cut: Option<Instant>,
}

/// How the media beside it is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// It has all that it wants: what is left is left.
    Content,
    /// The path carries less than it wants: a file gets so much.
    Short(Bitrate),
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            window: FIRST,
            unheard: VecDeque::new(),
            sent: 0,
            heard: 0,
            best: [None; 2],
            best_since: None,
            credit: 0.0,
            credit_at: None,
            cut: None,
        }
    }
}

impl Pace {
    /// Begins at this offset: nothing is on the way.
    pub fn start(&mut self, from: u64) {
        *self = Self { window: FIRST, sent: from, heard: from, ..Self::default() };
    }

    /// How many bytes may go now; 0: none.
    pub fn room(&mut self, beside: Beside, now: Instant) -> usize {
        let waiting = self.sent.saturating_sub(self.heard) as f64;
        let window = match beside {
            Beside::Content => {
                (self.credit, self.credit_at) = (0.0, None);
                self.window
            }
            Beside::Short(rate) => {
                let rate = rate.as_bps() as f64 / 8.0;
                let since = self.credit_at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
                // A pause does not make a burst.
                self.credit = (self.credit + rate * since.as_secs_f64()).min(LEAST);
                self.credit_at = Some(now);
                self.window = self.window.min(FIRST);
                (waiting + self.credit).min(self.window)
            }
        };
        let room = window - waiting;
        // Whole packets: a crumb costs as much around it.
        if room < LEAST {
            0
        } else {
            (room as usize).min(((window / 4.0) as usize).clamp(LEAST as usize, LARGEST_DATA))
        }
    }

    /// So many bytes left.
    pub fn on_sent(&mut self, bytes: usize, now: Instant) {
        self.sent = self.sent.saturating_add(bytes as u64);
        self.credit -= bytes as f64;
        if self.unheard.len() < MOST_UNHEARD {
            self.unheard.push_back((self.sent, now));
        }
    }

    /// Everything before `to` has arrived.
    pub fn on_heard(&mut self, to: u64, now: Instant) {
        let to = to.min(self.sent);
        let bytes = to.saturating_sub(self.heard);
        self.heard = self.heard.max(to);
        let mut took = None;
        while let Some((_, left)) = self.unheard.pop_front_if(|(end, _)| *end <= to) {
            took = Some(now.saturating_duration_since(left));
        }
        let Some(took) = took else { return };
        let queue = took.saturating_sub(self.note_best(took, now));
        // RFC 6817 §2.4.2: in proportion to how far the queue is from the target; by no more than what arrived.
        let off = 1.0 - queue.as_secs_f64() / TARGET.as_secs_f64();
        if off >= 0.0 {
            self.window += off * bytes as f64;
        } else if self.cut.is_none_or(|cut| now.saturating_duration_since(cut) >= took) {
            // A queue is judged once by what was sent into it.
            self.cut = Some(now);
            self.window *= (1.0 + off / 4.0).max(0.5);
        }
        self.window = self.window.clamp(FIRST, MOST);
    }

    pub const fn sent(&self) -> u64 {
        self.sent
    }

    pub const fn heard(&self) -> u64 {
        self.heard
    }

    /// The least of the last one to two minutes: a path may have become another one.
    fn note_best(&mut self, took: Duration, now: Instant) -> Duration {
        let since = *self.best_since.get_or_insert(now);
        if now.saturating_duration_since(since) >= REMEMBERED {
            let [_, newer] = self.best;
            (self.best, self.best_since) = ([newer, None], Some(now));
        }
        let [older, newer] = &mut self.best;
        let best = newer.map_or(took, |best| best.min(took));
        *newer = Some(best);
        older.map_or(best, |older| older.min(best))
    }
}

/// One packet.
const LEAST: f64 = 1024.0;

/// Two packets are always on the way: less says nothing about the path.
const FIRST: f64 = 2.0 * LEAST;

/// Of the 128 KiB that the channel holds.
const MOST: f64 = 96.0 * 1024.0;

/// The queue that a file makes at most. RFC 6817 §2.5 allows 100 ms; sound is not to hear of it.
const TARGET: Duration = Duration::from_millis(10);

/// More parts than that are never on the way.
const MOST_UNHEARD: usize = 128;

const REMEMBERED: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::now;

    /// A path of `kbps` and a round trip: what is sent for so many seconds, and the longest queue that it made.
    fn send(kbps: f64, round_trip: Duration, seconds: u64, beside: Beside) -> (f64, Duration) {
        let (mut pace, start) = (Pace::default(), now());
        pace.start(0);
        let mut free = start;
        let mut on_the_way: VecDeque<(Instant, u64)> = VecDeque::new();
        let mut longest = Duration::ZERO;
        for tick in 0..seconds * 4000 {
            let at = start + Duration::from_micros(tick * 250);
            while let Some((_, to)) = on_the_way.pop_front_if(|(arrives, _)| *arrives <= at) {
                pace.on_heard(to, at);
            }
            loop {
                let room = pace.room(beside, at);
                if room == 0 {
                    break;
                }
                pace.on_sent(room, at);
                longest = longest.max(free.saturating_duration_since(at));
                free = free.max(at) + Duration::from_secs_f64(room as f64 * 8.0 / (kbps * 1000.0));
                on_the_way.push_back((free + round_trip, pace.sent()));
            }
        }
        (pace.heard() as f64 * 8.0 / 1000.0 / seconds as f64, longest)
    }

    #[test]
    fn a_file_takes_what_is_left_and_makes_next_to_no_queue() {
        for (kbps, ms) in [(2_000.0, 40), (20_000.0, 20), (50_000.0, 2)] {
            let (got, queue) = send(kbps, Duration::from_millis(ms), 10, Beside::Content);
            assert!(got > kbps * 0.7, "{kbps} kbit/s: {got}");
            assert!(queue < Duration::from_millis(30), "{kbps} kbit/s: {queue:?}");
        }
    }

    #[test]
    fn beside_pictures_that_have_too_little_a_file_gets_its_part_and_no_more() {
        let (got, queue) = send(500.0, Duration::from_millis(40), 10, Beside::Short(Bitrate::from_kbps(64)));
        assert!((50.0..70.0).contains(&got), "{got}");
        assert!(queue < Duration::from_millis(20), "{queue:?}");
    }

    #[test]
    fn what_is_said_to_have_arrived_beyond_what_was_sent_makes_no_room() {
        let (mut pace, at) = (Pace::default(), now());
        pace.start(100);
        let first = pace.room(Beside::Content, at);
        pace.on_sent(first, at);
        pace.on_heard(u64::MAX, at);
        assert_eq!((pace.sent(), pace.heard()), (100 + first as u64, 100 + first as u64));
        // Nor does one who says it again and again.
        for _ in 0..1000 {
            pace.on_heard(u64::MAX, at);
        }
        assert!(pace.window <= 2.0 * FIRST + first as f64);
    }
}
