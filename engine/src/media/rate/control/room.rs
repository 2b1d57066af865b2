//! Whether there is room for more than is sent: what pictures' packets say by how far they come apart.

use std::collections::VecDeque;

use crate::base::rate::Bitrate;
use crate::base::time::{Duration, Instant};
use crate::media::rate::spread::Spread;

/// What was told lately.
#[derive(Clone, Debug)]
pub(super) struct Room {
    told: VecDeque<(Instant, Spread)>,
    raised: Option<Instant>,
    /// It is not believed before then, and for how long it was not the last time.
    doubted: Option<Instant>,
    doubt: Duration,
}

const REPORTS: usize = 6;
/// So many units have to say so, within this time.
const UNITS: u32 = 4;
const WITHIN: Duration = Duration::from_millis(250);
/// So much more than is sent, in percent.
const MORE: u64 = 125;
/// A queue so soon after more was sent for this reason shows that it was none.
const BLAME: Duration = Duration::from_secs(2);
const FIRST_DOUBT: Duration = Duration::from_secs(2);
const LONGEST_DOUBT: Duration = Duration::from_secs(30);

impl Default for Room {
    fn default() -> Self {
        Self { told: VecDeque::with_capacity(REPORTS), raised: None, doubted: None, doubt: FIRST_DOUBT }
    }
}

impl Room {
    pub(super) fn observe(&mut self, spread: Spread, now: Instant) {
        if spread.units == 0 {
            return;
        }
        if self.told.len() == REPORTS {
            self.told.pop_front();
        }
        self.told.push_back((now, spread));
    }

    /// Every picture lately came so fast that there is room for more than `total`.
    pub(super) fn is_seen(&self, total: Bitrate, now: Instant) -> bool {
        if self.doubted.is_some_and(|until| now < until) {
            return false;
        }
        let recent = || self.told.iter().filter(|(at, _)| now.saturating_duration_since(*at) < WITHIN);
        let units: u32 = recent().map(|(_, spread)| u32::from(spread.units)).sum();
        units >= UNITS && recent().all(|(_, spread)| spread.rate >= total.percent(MORE))
    }

    /// More is sent for it: what was told before is no reason for still more.
    pub(super) fn on_raised(&mut self, now: Instant) {
        self.told.clear();
        self.raised = Some(now);
    }

    /// There is a queue.
    pub(super) fn on_queue(&mut self, now: Instant) {
        self.told.clear();
        match self.raised.take().is_some_and(|at| now.saturating_duration_since(at) < BLAME) {
            true => {
                self.doubted = Some(now + self.doubt);
                self.doubt = (self.doubt * 2).min(LONGEST_DOUBT);
            }
            false => self.doubt = FIRST_DOUBT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::now;

    #[test]
    fn room_is_believed_when_all_pictures_say_so_and_doubted_after_it_was_none() {
        let (mut room, start) = (Room::default(), now());
        let at = |ms| start + Duration::from_millis(ms);
        let (total, wide) = (Bitrate::from_kbps(1000), Spread { rate: Bitrate::from_kbps(1500), units: 2 });
        room.observe(wide, at(0));
        assert!(!room.is_seen(total, at(0)), "two pictures are too few");
        room.observe(wide, at(50));
        assert!(room.is_seen(total, at(50)));
        room.observe(Spread { rate: Bitrate::from_kbps(1100), units: 1 }, at(100));
        assert!(!room.is_seen(total, at(100)), "one says something else");
        room.on_raised(at(100));
        room.on_queue(at(400));
        (0..3).for_each(|n| room.observe(wide, at(1000 + n * 50)));
        assert!(!room.is_seen(total, at(1100)), "the last time it was not true");
        (0..3).for_each(|n| room.observe(wide, at(3000 + n * 50)));
        assert!(room.is_seen(total, at(3100)));
    }
}
