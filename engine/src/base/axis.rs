//! Moments as numbers that mean the same in another process: counted from the beginning of what is measured.

use super::time::{Duration, Instant, WallTime, now};

/// Counts moments from its beginning. Laid on another clock it gives the same differences, to the nanosecond for
/// instants and to the microsecond for wall times.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    start: Instant,
    wall: WallTime,
}

impl Axis {
    /// Begins at `at`, rounded down to a whole microsecond of wall time: so whatever is rounded to microseconds later is
    /// rounded alike wherever the axis is laid.
    pub fn new(at: Instant) -> Self {
        Self::on(WallTime::of(at))
    }

    /// Begins at this wall time.
    pub fn on(wall: WallTime) -> Self {
        // Only a wall time from before the machine's start has no instant.
        let (start, wall) = match wall.to_instant() {
            Some(start) => (start, wall),
            None => (now(), WallTime::of(now())),
        };
        Self { start, wall }
    }

    pub const fn start(&self) -> Instant {
        self.start
    }

    /// Nanoseconds from the beginning; negative before it.
    pub fn nanos(&self, at: Instant) -> i64 {
        let nanos = |span: Duration| i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
        if at >= self.start { nanos(at - self.start) } else { -nanos(self.start - at) }
    }

    /// The instant so many nanoseconds from the beginning.
    pub fn instant(&self, nanos: i64) -> Instant {
        let span = Duration::from_nanos(nanos.unsigned_abs());
        let moved = if nanos < 0 { self.start.checked_sub(span) } else { self.start.checked_add(span) };
        moved.unwrap_or(self.start)
    }

    /// Microseconds of wall time from the beginning, of any clock; negative before it.
    pub const fn micros(&self, wall: WallTime) -> i64 {
        wall.micros_since(self.wall)
    }

    /// The wall time so many microseconds from the beginning.
    pub const fn wall(&self, micros: i64) -> WallTime {
        WallTime::from_micros(self.wall.as_micros().wrapping_add_signed(micros))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_come_back_and_are_rounded_alike_on_another_clock() {
        let here = Axis::new(now());
        let there = Axis::on(WallTime::from_micros(1_900_000_000_000_000));
        for nanos in [-1_500, -1, 0, 1, 999, 1000, 123_456_789] {
            assert_eq!(here.nanos(here.instant(nanos)), nanos);
            let micros = |axis: &Axis| axis.micros(WallTime::of(axis.instant(nanos)));
            assert_eq!(micros(&here), micros(&there), "{nanos}");
            assert_eq!(micros(&here), nanos.div_euclid(1000), "{nanos}");
            assert_eq!(there.micros(there.wall(-7)), -7);
        }
    }
}
