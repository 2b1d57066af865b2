//! An envelope counts once, whichever routes it came on, and a replayed one not at all.

use std::collections::VecDeque;

use crate::base::id::CallId;
use crate::proto::keys::PublicKey;

/// The counters seen per call and device. Remembers the newest 64 senders and, of each, the newest 64 counters.
#[derive(Debug, Default)]
pub struct Dedup {
    senders: VecDeque<Sender>,
    repeated: u64,
}

#[derive(Debug)]
struct Sender {
    call: CallId,
    device: PublicKey,
    highest: u64,
    /// Bit n: counter `highest - n` was seen.
    seen: u64,
}

impl Dedup {
    /// Whether this envelope is seen for the first time; marks it as seen. One that lies more than 63 below the
    /// newest counts as seen.
    pub fn is_first(&mut self, call: CallId, device: PublicKey, counter: u64) -> bool {
        let found = self.senders.iter_mut().find(|sender| sender.call == call && sender.device == device);
        let first = match found {
            Some(sender) => sender.mark(counter),
            None => {
                // A person has a handful of calls at a time; 64 senders are that many times over, in 5 KiB.
                if self.senders.len() >= 64 {
                    self.senders.pop_front();
                }
                self.senders.push_back(Sender { call, device, highest: counter, seen: 1 });
                true
            }
        };
        if !first {
            self.repeated = self.repeated.saturating_add(1);
        }
        first
    }

    /// How many envelopes were not the first of their kind.
    pub const fn repeated(&self) -> u64 {
        self.repeated
    }
}

impl Sender {
    fn mark(&mut self, counter: u64) -> bool {
        if let Some(ahead) = counter.checked_sub(self.highest).filter(|ahead| *ahead > 0) {
            self.seen = u32::try_from(ahead).ok().and_then(|ahead| self.seen.checked_shl(ahead)).unwrap_or(0) | 1;
            self.highest = counter;
            return true;
        }
        let behind = self.highest.saturating_sub(counter);
        let Some(bit) = u32::try_from(behind).ok().and_then(|behind| 1u64.checked_shl(behind)) else { return false };
        let first = self.seen & bit == 0;
        self.seen |= bit;
        first
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::collection::vec;
    use proptest::prelude::proptest;

    use super::*;

    const CALL: CallId = CallId([1; 16]);
    const DEVICE: PublicKey = PublicKey([2; 32]);

    proptest! {
        #[test]
        fn no_counter_counts_twice_in_any_order(counters in vec(0u64..200, 0..400)) {
            let (mut dedup, mut taken) = (Dedup::default(), HashSet::new());
            for counter in counters {
                if dedup.is_first(CALL, DEVICE, counter) {
                    assert!(taken.insert(counter), "{counter} twice");
                }
            }
        }
    }

    #[test]
    fn order_may_differ_within_the_window_and_calls_and_devices_are_apart() {
        let mut dedup = Dedup::default();
        for counter in [0, 2, 1, u64::MAX] {
            assert!(dedup.is_first(CALL, DEVICE, counter));
        }
        assert!(!dedup.is_first(CALL, DEVICE, 2));
        assert!(!dedup.is_first(CALL, DEVICE, u64::MAX));
        assert!(dedup.is_first(CallId([9; 16]), DEVICE, 0));
        assert!(dedup.is_first(CALL, PublicKey([9; 32]), 0));
        assert_eq!(dedup.repeated(), 2);
    }

    #[test]
    fn memory_is_bounded() {
        let mut dedup = Dedup::default();
        for number in 0..1000u16 {
            let mut call = [0; 16];
            call[..2].copy_from_slice(&number.to_be_bytes());
            assert!(dedup.is_first(CallId(call), DEVICE, 0));
        }
        assert_eq!(dedup.senders.len(), 64);
    }
}
