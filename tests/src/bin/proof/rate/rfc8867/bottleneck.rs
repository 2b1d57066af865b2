//! The narrowest place of a path, and a TCP flow that fills it.

use std::collections::VecDeque;
use std::time::Duration;

use engine::base::time::Instant;

/// The queue in front of it, RFC 8867 §4.2: drop-tail, 300 ms.
const QUEUE: Duration = Duration::from_millis(300);

/// First in, first out; what does not fit is lost.
pub struct Bottleneck<T> {
    start: Instant,
    /// From when on, in seconds, it carries how many bits a second.
    capacity: Vec<(f64, f64)>,
    free: Instant,
    through: VecDeque<(Instant, T)>,
}

impl<T> Bottleneck<T> {
    pub fn new(start: Instant, capacity: &[(f64, f64)]) -> Self {
        Self { start, capacity: capacity.to_vec(), free: start, through: VecDeque::new() }
    }

    /// What it carries at `at`.
    pub fn capacity(&self, at: Instant) -> f64 {
        let seconds = (at - self.start).as_secs_f64();
        self.capacity.iter().rev().find(|(from, _)| *from <= seconds).map_or(1.0, |(_, rate)| *rate)
    }

    /// Takes `item` of `bytes`; how long it waits for the ones before it, or `None` where it is lost.
    pub fn push(&mut self, item: T, bytes: usize, now: Instant) -> Option<Duration> {
        let waits = self.free.saturating_duration_since(now);
        if waits > QUEUE {
            return None;
        }
        let begins = self.free.max(now);
        self.free = begins + Duration::from_secs_f64(bytes as f64 * 8.0 / self.capacity(begins));
        self.through.push_back((self.free, item));
        Some(waits)
    }

    /// The next that is through at `now`.
    pub fn pop(&mut self, now: Instant) -> Option<T> {
        self.through.pop_front_if(|(at, _)| *at <= now).map(|(_, item)| item)
    }
}

/// A sender like RFC 5681's: slow start, congestion avoidance, half on loss. Its acknowledgements meet no queue.
pub struct Tcp {
    pub begins: f64,
    /// Segments it has to send; `None`: without end.
    left: Option<u64>,
    window: f64,
    threshold: f64,
    flying: f64,
    /// When acknowledgements come, and whether the segment was lost.
    answers: VecDeque<(Instant, bool)>,
    halved: Option<Instant>,
    trip: Duration,
}

/// Bytes of a segment with its headers.
pub const SEGMENT: usize = 1500;

impl Tcp {
    pub fn new(begins: f64, segments: Option<u64>, one_way: Duration) -> Self {
        Self {
            begins,
            left: segments,
            window: 10.0,
            threshold: 1e9,
            flying: 0.0,
            answers: VecDeque::new(),
            halved: None,
            trip: one_way * 2,
        }
    }

    /// How many segments it sends now.
    pub fn may_send(&mut self, now: Instant) -> u64 {
        while let Some((_, lost)) = self.answers.pop_front_if(|(at, _)| *at <= now) {
            self.flying -= 1.0;
            if !lost {
                self.window += if self.window < self.threshold { 1.0 } else { 1.0 / self.window };
            } else if self.halved.is_none_or(|at| now - at > self.trip + QUEUE) {
                (self.window, self.halved) = ((self.window / 2.0).max(2.0), Some(now));
                self.threshold = self.window;
                self.left = self.left.map(|left| left + 1);
            }
        }
        let room = (self.window - self.flying).max(0.0) as u64;
        room.min(self.left.unwrap_or(u64::MAX))
    }

    /// A segment was sent that waits so long on the way, or is lost.
    pub fn sent(&mut self, waits: Option<Duration>, now: Instant) {
        self.flying += 1.0;
        self.left = self.left.map(|left| left.saturating_sub(1));
        // A loss is known by what comes behind it.
        let at = now + self.trip + waits.unwrap_or(QUEUE);
        let place = self.answers.partition_point(|(other, _)| *other <= at);
        self.answers.insert(place, (at, waits.is_none()));
    }
}
