//! When a tick runs. An arrival runs one at once, unless an arrival already ran one in this cell: then at the next
//! boundary. A deadline runs at the first boundary at or after it. Ticks run by a deadline do not use up the cell.

use crate::base::time::{Cell, Duration, Grid, Instant};

/// The rule's memory; the loop on the clock and the laboratory share it.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    grid: Grid,
    arrived_in: Option<Cell>,
    deferred: bool,
    not_before: Cell,
}

/// Why a tick runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Arrival,
    Deadline,
}

impl Pace {
    /// Cells of length `cell` from `start` on.
    pub fn new(start: Instant, cell: Duration) -> Self {
        Self { grid: Grid::new(start, cell), arrived_in: None, deferred: false, not_before: Cell(0) }
    }

    /// When to look again at the latest, asked at `now` with the world's own deadline `due`.
    pub fn next(&self, now: Instant, due: Option<Instant>) -> Option<Instant> {
        let boundary = self.deferred.then(|| self.grid.begins(Cell(self.grid.cell(now).0 + 1)));
        // After a tick run by a deadline the next one is in another cell: a deadline that stays in the past through a
        // fault must not become a loop that never sleeps.
        let due = due.map(|at| self.grid.begins(self.grid.ceil(at).max(self.not_before)));
        [boundary, due].into_iter().flatten().min()
    }

    /// Whether a tick runs at `woken`. `next` is what [`Self::next`] said, `more` that not all arrivals were taken.
    pub fn turn(&mut self, woken: Instant, arrived: bool, more: bool, next: Option<Instant>) -> Option<Turn> {
        let cell = self.grid.cell(woken);
        let arrived = arrived || self.deferred;
        if arrived && self.arrived_in != Some(cell) {
            self.arrived_in = Some(cell);
            self.deferred = more;
            Some(Turn::Arrival)
        } else if next.is_some_and(|at| at <= woken) {
            self.deferred = more;
            self.not_before = Cell(cell.0 + 1);
            Some(Turn::Deadline)
        } else {
            self.deferred = arrived || more;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::{CELL, now};

    #[test]
    fn one_arrival_in_a_cell_runs_at_once_and_the_next_at_the_boundary() {
        let start = now();
        let mut pace = Pace::new(start, CELL);
        let at = start + CELL / 4;
        assert_eq!(pace.turn(at, true, false, None), Some(Turn::Arrival));
        assert_eq!(pace.turn(at, true, false, None), None);
        assert_eq!(pace.next(at, None), Some(start + CELL));
        assert_eq!(pace.turn(start + CELL, false, false, Some(start + CELL)), Some(Turn::Arrival));
        assert_eq!(pace.next(start + CELL, None), None);
    }

    #[test]
    fn a_deadline_runs_at_its_boundary_and_leaves_the_cell_to_arrivals() {
        let start = now();
        let mut pace = Pace::new(start, CELL);
        let next = pace.next(start, Some(start + CELL * 3 / 2));
        assert_eq!(next, Some(start + CELL * 2));
        assert_eq!(pace.turn(start + CELL, false, false, next), None);
        assert_eq!(pace.turn(start + CELL * 2, false, false, next), Some(Turn::Deadline));
        assert_eq!(pace.turn(start + CELL * 2, true, false, None), Some(Turn::Arrival));
        // A deadline in the past does not run twice in a cell.
        assert_eq!(pace.next(start + CELL * 2, Some(start)), Some(start + CELL * 3));
    }
}
