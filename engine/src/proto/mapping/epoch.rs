//! Whether a router has forgotten its mappings: its count of seconds, which every answer carries, does not go on as ours does.

use crate::base::time::Instant;

/// The last count of a router and when it came.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epoch(Option<(u32, Instant)>);

impl Epoch {
    /// Takes the count of an answer that came at `now`; `true` where the router has begun anew since the one before.
    pub fn is_reset(&mut self, count: u32, now: Instant) -> bool {
        let before = self.0.replace((count, now));
        let Some((last, at)) = before else { return false };
        // RFC 6887 §8.5: a second back is the order of two answers, more is a restart.
        if count.saturating_add(1) < last {
            return true;
        }
        let (client, server) = (now.saturating_duration_since(at).as_secs(), u64::from(count.saturating_sub(last)));
        // The two may differ by a sixteenth and two seconds, either way.
        let slower = |a: u64, b: u64| a.saturating_add(2) < b.saturating_sub(b / 16);
        slower(client, server) || slower(server, client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::{self, Duration};

    fn reset(counts: &[(u32, u64)]) -> Vec<bool> {
        let start = time::now();
        let mut epoch = Epoch::default();
        counts.iter().map(|&(count, second)| epoch.is_reset(count, start + Duration::from_secs(second))).collect()
    }

    #[test]
    fn a_count_that_goes_on_as_the_clock_does_is_the_same_router() {
        assert_eq!(reset(&[(1000, 0), (1001, 1), (1600, 605), (1600, 606), (1599, 606)]), [false; 5]);
    }

    #[test]
    fn a_count_that_jumps_is_a_router_that_began_anew() {
        assert_eq!(reset(&[(1000, 0), (3, 600), (603, 1200)]), [false, true, false]);
        assert_eq!(reset(&[(1000, 0), (1001, 600)]), [false, true], "too slow");
        assert_eq!(reset(&[(1000, 0), (90_000, 600)]), [false, true], "too quick");
        assert_eq!(reset(&[(u32::MAX, 0), (0, 1)]), [false, true]);
    }
}
