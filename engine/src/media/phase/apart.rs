//! Whether pictures come while our own are being made. A source that shows one picture at every second refresh of a screen may
//! do so at either; where pictures come just after ours are taken, encoding and decoding meet on the same processor, and both
//! take half as long again. One side of a call, never both, asks for the other refresh then.

use crate::base::time::{Duration, Instant};

/// Follows how far both are apart.
#[derive(Clone, Debug, Default)]
pub struct Apart {
    /// When the last picture was taken that was shown, on the other side.
    captured: Option<Instant>,
    /// Pictures in a row that would be farther apart at another refresh.
    near: u8,
    asked: Option<Instant>,
}

/// When pictures of both sides were taken and came.
#[derive(Clone, Copy, Debug)]
pub struct Meeting {
    /// The newest of our own was taken then.
    pub ours: Instant,
    /// This one of theirs came then,
    pub theirs: Instant,
    /// and was taken then, by our clock.
    pub captured: Instant,
}

/// Half a second of them.
const IN_A_ROW: u8 = 15;
/// Asked once, it is seen what has come of it: pictures of 30 a second move by a refresh of 60 Hz in a quarter of a second.
const AGAIN: Duration = Duration::from_secs(5);
/// Less is not worth moving for.
const WORTH: Duration = Duration::from_millis(3);
/// More refreshes for one picture are those of a source that hardly moves.
const MOST: u32 = 4;

impl Apart {
    /// By how much later pictures should come to be farther away from ours; they are shown at every so manyth refresh of this
    /// period.
    pub fn observe(&mut self, meeting: Meeting, period: Duration, now: Instant) -> Option<Duration> {
        let before = self.captured.replace(meeting.captured)?;
        let every = meeting.captured.saturating_duration_since(before).as_secs_f64() / period.as_secs_f64();
        let refreshes = every.round();
        if !(2.0..=f64::from(MOST)).contains(&refreshes) || (every - refreshes).abs() > 0.25 {
            self.near = 0;
            return None;
        }
        let whole = period * refreshes as u32;
        let far = |later: u32| distance(meeting.ours, meeting.theirs + period * later, whole);
        let best = (0..refreshes as u32).max_by_key(|later| far(*later)).unwrap_or(0);
        self.near = if far(best) > far(0) + WORTH { self.near + 1 } else { 0 };
        let is_settled = self.asked.is_none_or(|asked| now.saturating_duration_since(asked) >= AGAIN);
        if self.near < IN_A_ROW || !is_settled {
            self.near = self.near.min(IN_A_ROW);
            return None;
        }
        (self.near, self.asked) = (0, Some(now));
        Some(period * best)
    }
}

/// How far one is from the nearest of the others that come each `whole`.
fn distance(ours: Instant, theirs: Instant, whole: Duration) -> Duration {
    let length = whole.as_nanos().max(1);
    let after = theirs.saturating_duration_since(ours).as_nanos() % length;
    let before = ours.saturating_duration_since(theirs).as_nanos() % length;
    let place = after.max(before);
    Duration::from_nanos(place.min(length - place) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::now;

    const REFRESH: Duration = Duration::from_micros(16_667);

    /// Pictures come `after` ours are taken, of `rate` a second: what is asked for in two seconds.
    fn asked(after: f64, rate: f64) -> Option<Duration> {
        let (mut apart, start) = (Apart::default(), now());
        let taken = |n: u32, ms: f64| start + Duration::from_secs_f64(f64::from(n) / rate + ms / 1e3);
        let meeting =
            |n| Meeting { ours: taken(n, 0.0), theirs: taken(n, after), captured: taken(n, after - 6.0 + 40.0) };
        (0..(rate * 2.0) as u32).find_map(|n| apart.observe(meeting(n), REFRESH, taken(n, after)))
    }

    #[test]
    fn pictures_that_meet_ours_are_asked_for_at_the_other_refresh() {
        assert_eq!(asked(5.0, 30.0), Some(REFRESH));
        assert_eq!(asked(30.0, 30.0), Some(REFRESH));
        // Already as far away as can be, or nearly.
        assert_eq!(asked(21.0, 30.0), None);
        assert_eq!(asked(9.5, 30.0), None);
        // Of three and four places the farthest one.
        assert_eq!(asked(2.0, 20.0), Some(REFRESH));
        assert_eq!(asked(2.0, 15.0), Some(REFRESH * 2));
        // There is no other refresh, or none that fits.
        assert_eq!(asked(2.0, 60.0), None);
        assert_eq!(asked(2.0, 24.0), None);
    }

    #[test]
    fn it_is_asked_once_in_a_while() {
        let (mut apart, start) = (Apart::default(), now());
        let at = |n: u32| start + REFRESH * 2 * n;
        let mut observe =
            |n| apart.observe(Meeting { ours: at(n), theirs: at(n), captured: at(n) }, REFRESH, at(n)).is_some();
        let asked: Vec<u32> = (0..400).filter(|n| observe(*n)).collect();
        assert_eq!(asked, [15, 165, 315]);
    }
}
