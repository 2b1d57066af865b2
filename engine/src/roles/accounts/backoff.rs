//! Wrong passwords cost time: of whoever says them, never of the account they are about.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bevy_ecs::resource::Resource;

use crate::net::bucket::group;
use crate::proto::service::names::AccountName;

/// Failures of each account from each address.
#[derive(Resource, Debug, Default)]
pub struct Backoff {
    failures: HashMap<(AccountName, IpAddr), Failures>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    /// No further try before.
    until: Instant,
}

impl Backoff {
    /// Whether a try may be made; how long to wait otherwise.
    pub fn may_try(&self, name: &AccountName, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let until = self.failures.get(&(name.clone(), group(address))).map(|failures| failures.until);
        match until.map(|until| until.saturating_duration_since(now)).filter(|wait| !wait.is_zero()) {
            Some(wait) => Err(wait),
            None => Ok(()),
        }
    }

    /// The first three are free; then 1 s, twice as long for each, up to five minutes.
    pub fn failed(&mut self, name: &AccountName, address: IpAddr, now: Instant) {
        let key = (name.clone(), group(address));
        if self.failures.len() >= MOST && !self.failures.contains_key(&key) {
            self.failures.retain(|_, failures| failures.until + FORGET > now);
            // Still full: that is an attack by many addresses, and hashing itself is bounded.
            if self.failures.len() >= MOST {
                return;
            }
        }
        let failures = self.failures.entry(key).or_insert(Failures { count: 0, until: now });
        if now > failures.until + FORGET {
            failures.count = 0;
        }
        failures.count = failures.count.saturating_add(1);
        let wait = match failures.count {
            0..=3 => Duration::ZERO,
            count => Duration::from_secs(1 << (count - 4).min(16)).min(LONGEST),
        };
        failures.until = now + wait;
    }

    pub fn succeeded(&mut self, name: &AccountName, address: IpAddr) {
        self.failures.remove(&(name.clone(), group(address)));
    }
}

const LONGEST: Duration = Duration::from_secs(300);

/// After so long without a further failure the count begins anew.
const FORGET: Duration = Duration::from_secs(3600);

/// At about 100 bytes each 6 MB.
const MOST: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::now;

    #[test]
    fn failures_slow_down_their_address_and_nobody_else() {
        let (mut backoff, start) = (Backoff::default(), now());
        let name = AccountName::new("ada").expect("a name");
        let (bad, good): (IpAddr, IpAddr) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        for _ in 0..3 {
            assert!(backoff.may_try(&name, bad, start).is_ok());
            backoff.failed(&name, bad, start);
        }
        assert!(backoff.may_try(&name, bad, start).is_ok(), "three mistakes are human");
        backoff.failed(&name, bad, start);
        assert_eq!(backoff.may_try(&name, bad, start), Err(Duration::from_secs(1)));
        assert!(backoff.may_try(&name, good, start).is_ok(), "the person herself is not locked out");
        (0..40).for_each(|_| backoff.failed(&name, bad, start));
        assert_eq!(backoff.may_try(&name, bad, start), Err(LONGEST));
        backoff.succeeded(&name, bad);
        assert!(backoff.may_try(&name, bad, start).is_ok());
    }
}
