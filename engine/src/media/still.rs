//! A source that stands still: when its last picture is encoded again.
//!
//! A screen gives a picture only when something has changed on it. What has not changed costs nothing: no picture, no unit.
//! Two things still have to be sent: a keyframe that was asked for, at once; and after a change the rest of the quality that
//! there was no room for while things moved.

use crate::base::time::{Duration, Instant};

/// What of an outgoing's pictures was encoded when.
#[derive(Clone, Copy, Debug, Default)]
pub struct Still {
    changed: Option<Instant>,
    submitted: Option<Instant>,
    /// A keyframe is asked for.
    asked: bool,
    /// There was no room for the newest picture.
    owed: bool,
    /// Units in a row that brought next to nothing.
    spent: u32,
}

/// A source that runs has given another picture by then.
const RUNS: Duration = Duration::from_millis(60);
/// At the rate of a screen, so that the encoder spreads what there is of bits as it is used to.
const REFINE_EVERY: Duration = Duration::from_nanos(33_333_333);
/// What is not sharp by then stays as it is until the next change: a large page takes seconds at a low rate.
const REFINE_FOR: Duration = Duration::from_secs(10);
/// So long after a change more of them are to be expected.
const BUSY: Duration = Duration::from_secs(2);
/// A picture in which nothing was improved is a few bytes.
const NOTHING: usize = 400;
/// So many of them, and the picture is as sharp as it gets.
const MOST_SPENT: u32 = 3;

impl Still {
    /// A keyframe is asked for.
    pub const fn ask(&mut self) {
        self.asked = true;
    }

    /// A picture went to the encoder: a new one, or the last one again.
    pub const fn on_submitted(&mut self, is_new: bool, now: Instant) {
        self.submitted = Some(now);
        if is_new || self.owed {
            self.changed = Some(now);
            self.spent = 0;
        }
        (self.asked, self.owed) = (false, false);
    }

    /// There was no room for the picture, a new one or the last one again: it is owed, but not at once.
    pub const fn put_off(&mut self, is_new: bool, now: Instant) {
        self.submitted = Some(now);
        self.owed |= is_new;
        if self.changed.is_none() {
            self.changed = Some(now);
        }
    }

    /// The encoder made a unit of so many bytes.
    pub const fn on_unit(&mut self, bytes: usize) {
        self.spent = if bytes > NOTHING { 0 } else { self.spent.saturating_add(1) };
    }

    /// Something has changed lately, or is becoming sharp.
    pub fn is_busy(&self, now: Instant) -> bool {
        self.changed.is_some_and(|changed| now < changed + BUSY)
    }

    /// When the last picture is to be encoded again. `refine`: what is sent is to become sharp.
    pub fn due(&self, refine: bool) -> Option<Instant> {
        let (submitted, changed) = (self.submitted?, self.changed?);
        let asked = (self.asked || self.owed).then(|| submitted + RUNS);
        let again = submitted + REFINE_EVERY;
        let refines = refine && self.spent < MOST_SPENT && again <= changed + REFINE_FOR;
        // A source that runs has brought its next picture before this.
        let refined = refines.then(|| again.max(changed + RUNS));
        asked.into_iter().chain(refined).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::now;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_keyframe_is_made_at_once_of_a_picture_that_stands_still() {
        let (start, mut still) = (now(), Still::default());
        still.ask();
        assert_eq!(still.due(false), None, "there is no picture yet");
        still.on_submitted(true, start);
        assert_eq!(still.due(false), None, "the new picture is the answer");
        still.ask();
        assert_eq!(still.due(false), Some(start + RUNS), "a source that runs brings another one by then");
        still.on_submitted(true, start + ms(33));
        assert_eq!(still.due(false), None);
        still.on_submitted(true, start + ms(66));
        still.ask();
        assert!(
            still.due(false).is_some_and(|due| due < start + ms(5000)),
            "five seconds later it has been due for long"
        );
        still.put_off(false, start + ms(5000));
        assert_eq!(still.due(false), Some(start + ms(5000) + RUNS), "there was no room: it is still owed, later");
    }

    #[test]
    fn the_last_change_is_sent_even_where_there_was_no_room_for_it() {
        let (start, mut still) = (now(), Still::default());
        still.put_off(true, start);
        assert_eq!(still.due(false), Some(start + RUNS));
        still.put_off(false, start + RUNS);
        assert_eq!(still.due(false), Some(start + RUNS * 2));
        still.on_submitted(false, start + RUNS * 2);
        assert_eq!(still.due(false), None);
        assert!(still.is_busy(start + RUNS * 2) && still.due(true).is_some(), "it counts as new");
    }

    #[test]
    fn what_moved_becomes_sharp_and_then_costs_nothing() {
        let (start, mut still) = (now(), Still::default());
        still.on_submitted(true, start);
        let mut again = 0;
        while let Some(due) = still.due(true) {
            again += 1;
            still.on_submitted(false, due);
            still.on_unit(if again < 10 { 5000 } else { 30 });
        }
        assert_eq!(again, 9 + MOST_SPENT);
        still.on_submitted(true, start + ms(9000));
        let mut last = start;
        while let Some(due) = still.due(true) {
            last = due;
            still.on_submitted(false, due);
            // Nothing fits: the encoder makes no unit at all.
        }
        assert!(last <= start + ms(9000) + REFINE_FOR, "it is not tried for ever");
        assert_eq!(still.due(false), None);
    }
}
