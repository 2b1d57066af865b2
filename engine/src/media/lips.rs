//! Whether lips move when the words are heard.

use super::ledger::millis_between;
use crate::base::time::{Duration, Instant};

/// How long one person's sound takes from its capture to the loudspeaker.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SoundDelay {
    newest_ms: Option<f64>,
    usual_ms: f64,
}

impl SoundDelay {
    /// What was captured at `captured` is heard at `heard`, both on the local clock.
    pub fn on_heard(&mut self, captured: Instant, heard: Instant) {
        let delay = millis_between(captured, heard);
        let begins = self.newest_ms.replace(delay).is_none();
        self.usual_ms = if begins { delay } else { self.usual_ms + (delay - self.usual_ms) / SMOOTHED };
    }

    /// Of what was heard last, in milliseconds.
    pub const fn newest_ms(&self) -> Option<f64> {
        self.newest_ms
    }

    /// What it usually is: a picture that is moved with every packet's wavering would stutter.
    pub fn usual(&self) -> Option<Duration> {
        self.newest_ms?;
        Duration::try_from_secs_f64(self.usual_ms / 1e3).ok()
    }
}

/// Packets: a third of a second of 5 ms frames, a second and a half of 20 ms frames.
const SMOOTHED: f64 = 64.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::now;

    #[test]
    fn the_usual_delay_follows_slowly_and_the_newest_at_once() {
        let start = now();
        let mut delay = SoundDelay::default();
        assert_eq!((delay.newest_ms(), delay.usual()), (None, None));
        let after = |ms| start + Duration::from_millis(ms);
        delay.on_heard(start, after(20));
        assert_eq!(delay.usual(), Some(Duration::from_millis(20)));
        delay.on_heard(start, after(84));
        assert_eq!((delay.newest_ms(), delay.usual()), (Some(84.0), Some(Duration::from_millis(21))));
        (0..640).for_each(|_| delay.on_heard(start, after(84)));
        assert_eq!(delay.usual().map(|usual| usual.as_millis()), Some(83));
        // A clock that is not known well yet may make it heard before it was captured.
        let mut early = SoundDelay::default();
        early.on_heard(after(20), start);
        assert_eq!((early.newest_ms(), early.usual()), (Some(-20.0), None));
    }
}
