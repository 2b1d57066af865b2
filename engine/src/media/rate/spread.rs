//! How far the packets of a picture come apart. They leave close together, so what is between them is what the path's
//! narrowest place takes for each: a look at what there is room for that costs nothing.

use crate::base::rate::Bitrate;
use crate::base::time::{Duration, Instant};

/// The receiver's count.
#[derive(Clone, Copy, Debug, Default)]
pub struct SpreadMeter {
    unit: Option<Unit>,
    /// Of the units since the last report: bytes behind their first packets, and the time these took.
    bytes: u64,
    time: Duration,
    units: u8,
}

#[derive(Clone, Copy, Debug)]
struct Unit {
    timestamp: u64,
    sequence: u64,
    first: Instant,
    last: Instant,
    bytes: u64,
    /// Nothing of it was lost or overtaken.
    is_whole: bool,
}

/// What came in units that had more than one packet: how fast within them, and how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    pub rate: Bitrate,
    pub units: u8,
}

/// Less than this says nothing.
const LEAST: u64 = 600;
/// What came at once is stamped together.
const SHORTEST: Duration = Duration::from_micros(200);

impl SpreadMeter {
    /// A packet of the unit with this timestamp came, of so many bytes with what is around them.
    pub fn observe(&mut self, timestamp: u64, sequence: u64, bytes: usize, at: Instant) {
        if let Some(unit) = &mut self.unit
            && unit.timestamp == timestamp
        {
            unit.is_whole &= sequence == unit.sequence + 1;
            (unit.sequence, unit.last, unit.bytes) = (sequence, at, unit.bytes + bytes as u64);
            return;
        }
        let is_older = self.unit.is_some_and(|unit| timestamp < unit.timestamp);
        if !is_older {
            self.close();
            self.unit = Some(Unit { timestamp, sequence, first: at, last: at, bytes: 0, is_whole: true });
        }
    }

    /// What came since the last time.
    pub fn take(&mut self) -> Spread {
        let micros = self.time.as_micros().max(1) as u64;
        let spread = Spread { rate: Bitrate::from_bps(self.bytes * 8_000_000 / micros), units: self.units };
        (self.bytes, self.time, self.units) = (0, Duration::ZERO, 0);
        spread
    }

    fn close(&mut self) {
        let Some(unit) = self.unit.take().filter(|unit| unit.is_whole && unit.bytes >= LEAST) else { return };
        self.bytes += unit.bytes;
        self.time += unit.last.saturating_duration_since(unit.first).max(SHORTEST);
        self.units = self.units.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::now;

    #[test]
    fn packets_that_left_together_come_apart_by_what_the_path_takes_for_each() {
        let (mut meter, start) = (SpreadMeter::default(), now());
        let at = |ms| start + Duration::from_millis(ms);
        // Three packets of 1250 bytes, 10 ms apart: a megabit a second. Of the third unit one is lost.
        for unit in 0..4u64 {
            for packet in (0..3u64).filter(|packet| (unit, *packet) != (2, 1)) {
                meter.observe(unit, unit * 3 + packet, 1250, at(unit * 33 + packet * 10));
            }
        }
        assert_eq!(meter.take(), Spread { rate: Bitrate::from_kbps(1000), units: 2 });
        assert_eq!(meter.take().units, 0);
    }
}
