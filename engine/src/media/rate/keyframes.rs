//! When a keyframe that is asked for is made: one for all requests that it answers.

use crate::base::time::{Duration, Instant};

/// The requests for one outgoing.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyframeRequests {
    made: Option<Instant>,
}

/// Beside a round trip: as long as the last keyframe may take to be sent.
const SENDING: Duration = Duration::from_millis(50);
/// A trip that is measured through a queue says nothing.
const LONGEST: Duration = Duration::from_millis(400);

impl KeyframeRequests {
    /// A keyframe was made.
    pub const fn on_keyframe(&mut self, now: Instant) {
        self.made = Some(now);
    }

    /// Whether a request that comes now asks for another keyframe: what was sent before the last one came is answered by it.
    /// Where that one was lost, it is asked for again later (RFC 4585 §6.3.1.1 leaves the repetition to the receiver).
    pub fn is_new(&self, round_trip: Option<Duration>, now: Instant) -> bool {
        let answers = (round_trip.unwrap_or_default() + SENDING).min(LONGEST);
        self.made.is_none_or(|made| now.saturating_duration_since(made) >= answers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::now;

    #[test]
    fn copies_of_a_request_are_answered_once_and_a_later_one_anew() {
        let (mut requests, start) = (KeyframeRequests::default(), now());
        let at = |ms| start + Duration::from_millis(ms);
        let trip = Some(Duration::from_millis(100));
        assert!(requests.is_new(trip, start));
        requests.on_keyframe(at(10));
        assert!(!requests.is_new(trip, at(20)) && !requests.is_new(trip, at(150)));
        assert!(requests.is_new(trip, at(300)));
        assert!(requests.is_new(Some(Duration::from_secs(9)), at(500)), "what a queue makes long");
    }
}
