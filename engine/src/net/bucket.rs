//! How often an address may try: token buckets, bounded in number.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// One bucket per address: `per_minute` attempts, as many at once.
#[derive(Debug)]
pub struct Buckets {
    buckets: HashMap<IpAddr, Bucket>,
    most: usize,
}

impl Default for Buckets {
    /// For 1024 addresses: 40 KiB.
    fn default() -> Self {
        Self::new(1024)
    }
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// When the bucket is full again: the whole state (a "virtual scheduling" bucket, ITU-T I.371).
    full_at: Instant,
}

impl Buckets {
    /// For at most so many addresses at once.
    pub fn new(most: usize) -> Self {
        Self { buckets: HashMap::new(), most }
    }

    /// Takes one attempt of `address` at `per_minute`; `false` when it has none left.
    pub fn take(&mut self, address: IpAddr, per_minute: u32, now: Instant) -> bool {
        self.take_of(address, per_minute, MINUTE, now)
    }

    /// The same at `count` in each `period`.
    pub fn take_of(&mut self, address: IpAddr, count: u32, period: Duration, now: Instant) -> bool {
        let Some(step) = period.checked_div(count) else { return false };
        let key = group(address);
        if self.buckets.len() >= self.most && !self.buckets.contains_key(&key) {
            self.buckets.retain(|_, bucket| bucket.full_at > now);
            // All still busy: that many addresses at once are an attack, and new ones wait.
            if self.buckets.len() >= self.most {
                return false;
            }
        }
        let bucket = self.buckets.entry(key).or_insert(Bucket { full_at: now });
        let next = bucket.full_at.max(now).checked_add(step);
        let Some(next) = next.filter(|next| next.saturating_duration_since(now) <= period) else { return false };
        bucket.full_at = next;
        true
    }
}

/// One customer has a whole /64 of IPv6 (RFC 6177): it counts as one address. An IPv4 address is itself, however the
/// socket writes it.
pub fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) if !ip.is_loopback() => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
        other => other,
    }
}

const MINUTE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::now;

    #[test]
    fn six_a_minute_are_six_at_once_and_then_one_every_ten_seconds() {
        let (mut buckets, start) = (Buckets::default(), now());
        let ip: IpAddr = "192.0.2.1".parse().expect("ip");
        let mut take = |seconds: u64| buckets.take(ip, 6, start + Duration::from_secs(seconds));
        assert_eq!((0..8).filter(|_| take(0)).count(), 6);
        assert!(!take(9));
        assert!(take(10));
        assert!(!take(11));
        assert_eq!((0..8).filter(|_| take(300)).count(), 6);
    }

    #[test]
    fn a_network_of_ipv6_addresses_counts_as_one_and_memory_is_bounded() {
        let (mut buckets, start) = (Buckets::default(), now());
        let near: [IpAddr; 2] = ["2001:db8::1".parse().expect("ip"), "2001:db8::2:1".parse().expect("ip")];
        assert!(buckets.take(near[0], 1, start));
        assert!(!buckets.take(near[1], 1, start));
        for number in 0..5000u32 {
            buckets.take(IpAddr::V4(number.into()), 1, start);
        }
        assert_eq!(buckets.buckets.len(), 1024);
        assert!(buckets.take(IpAddr::V4(9999.into()), 1, start + MINUTE));
    }
}
