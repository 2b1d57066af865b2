//! Time: the only file that reads a clock. Everywhere else time comes in as an argument.

use std::sync::OnceLock;
use std::time::SystemTime;
pub use std::time::{Duration, Instant};

/// One cell of the engine's grid: a tick runs at most once per cell because of arrivals.
/// 250 µs is short against a 2.5 ms audio frame and long against a tick's work (tens of µs).
pub const CELL: Duration = Duration::from_micros(250);

/// The monotonic clock, now.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// A moment that the system's monotonic clock had in microseconds, as other programs on this machine tell it; `None` where
/// there is no such moment.
#[cfg(target_os = "linux")]
pub fn of_monotonic(micros: u64) -> Option<Instant> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let (here, then) = (Duration::try_from(time).ok()?, Duration::from_micros(micros));
    let now = now();
    if then >= here { now.checked_add(then - here) } else { now.checked_sub(here - then) }
}

/// Microseconds since 1970-01-01 00:00 UTC. What two machines compare, and what a test card paints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime(u64);

impl WallTime {
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// The wall time of a monotonic instant, by one anchor taken when the process first asks.
    /// A later step of the system clock does not move it.
    pub fn of(instant: Instant) -> Self {
        let anchor = anchor();
        let micros = if instant >= anchor.instant {
            anchor.wall.0.saturating_add((instant - anchor.instant).as_micros() as u64)
        } else {
            // Rounded down as well, or a moment would have another wall time before the anchor than behind it.
            anchor.wall.0.saturating_sub((anchor.instant - instant).as_nanos().div_ceil(1000) as u64)
        };
        Self(micros)
    }

    /// The monotonic instant of a wall time; `None` where it lies before the machine's start.
    pub fn to_instant(self) -> Option<Instant> {
        let anchor = anchor();
        if self >= anchor.wall {
            anchor.instant.checked_add(Duration::from_micros(self.0 - anchor.wall.0))
        } else {
            anchor.instant.checked_sub(Duration::from_micros(anchor.wall.0 - self.0))
        }
    }

    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// `self - earlier` in microseconds; negative when `earlier` is later.
    pub const fn micros_since(self, earlier: Self) -> i64 {
        self.0.wrapping_sub(earlier.0) as i64
    }
}

/// The engine's time: cells of one length, counted from its start.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    start: Instant,
    /// Nanoseconds.
    cell: u128,
}

/// The number of a cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell(pub u64);

impl Grid {
    /// `cell` is at least a microsecond.
    pub fn new(start: Instant, cell: Duration) -> Self {
        Self { start, cell: cell.as_nanos().max(1000) }
    }

    /// The cell that `at` falls into.
    pub fn cell(&self, at: Instant) -> Cell {
        Cell((at.saturating_duration_since(self.start).as_nanos() / self.cell) as u64)
    }

    /// The first cell that begins at or after `at`: where a deadline at `at` runs.
    pub fn ceil(&self, at: Instant) -> Cell {
        Cell(at.saturating_duration_since(self.start).as_nanos().div_ceil(self.cell) as u64)
    }

    /// When `cell` begins.
    pub fn begins(&self, cell: Cell) -> Instant {
        self.start + Duration::from_nanos(cell.0.saturating_mul(self.cell as u64))
    }
}

struct Anchor {
    instant: Instant,
    wall: WallTime,
}

/// Both clocks read together, once per process. Of several tries the one whose two monotonic readings lie
/// closest together wins, so that being scheduled away between the readings does not skew the pair.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
fn anchor() -> &'static Anchor {
    static ANCHOR: OnceLock<Anchor> = OnceLock::new();
    ANCHOR.get_or_init(|| {
        let mut best: Option<(Duration, Anchor)> = None;
        for _ in 0..16 {
            let before = now();
            let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let spread = now() - before;
            if best.as_ref().is_none_or(|(least, _)| spread < *least) {
                let wall = WallTime(wall.as_micros() as u64);
                best = Some((spread, Anchor { instant: before + spread / 2, wall }));
            }
        }
        best.expect("sixteen readings were taken").1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_and_instant_are_inverse() {
        let at = now();
        let back = WallTime::of(at).to_instant().expect("a present instant");
        let error = if back > at { back - at } else { at - back };
        assert!(error < Duration::from_micros(2), "{error:?}");
    }

    #[test]
    fn wall_time_is_rounded_down_on_both_sides_of_the_anchor() {
        let at = WallTime::of(now());
        let wall = |micros: u64, nanos| {
            WallTime::of(WallTime(micros).to_instant().expect("a near instant") + Duration::from_nanos(nanos)).0
        };
        for micros in [at.0 - 5_000_000_000, at.0 + 5_000_000_000] {
            assert_eq!([wall(micros, 1), wall(micros, 999), wall(micros, 1000)], [micros, micros, micros + 1]);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_moment_of_the_system_s_monotonic_clock_is_ours() {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let micros = Duration::try_from(time).expect("after the start").as_micros() as u64;
        let told = of_monotonic(micros).expect("just now");
        assert!(told <= now() && now() - told < Duration::from_secs(1));
        let before = of_monotonic(micros - 1_000_000).expect("a second ago");
        assert!((told - before).abs_diff(Duration::from_secs(1)) < Duration::from_millis(100));
        assert_eq!(of_monotonic(u64::MAX).map(|far| far > told), Some(true));
    }

    #[test]
    fn a_deadline_runs_at_the_first_boundary_not_before_it() {
        let start = now();
        let grid = Grid::new(start, CELL);
        assert_eq!(grid.ceil(start), Cell(0));
        assert_eq!(grid.ceil(start + Duration::from_micros(1)), Cell(1));
        assert_eq!(grid.ceil(start + CELL), Cell(1));
        assert_eq!(grid.cell(start + CELL), Cell(1));
        assert_eq!(grid.begins(Cell(4)), start + Duration::from_millis(1));
    }
}
