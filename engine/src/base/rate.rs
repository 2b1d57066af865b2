//! Bitrates as a type.

use std::fmt;
use std::time::Duration;

/// Bits per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bitrate(u64);

impl Bitrate {
    pub const fn from_bps(bps: u64) -> Self {
        Self(bps)
    }

    pub const fn from_kbps(kbps: u64) -> Self {
        Self(kbps.saturating_mul(1000))
    }

    pub const fn as_bps(self) -> u64 {
        self.0
    }

    /// Bytes that this rate carries in `time`.
    pub fn bytes_in(self, time: Duration) -> u64 {
        (u128::from(self.0) * time.as_micros() / 8_000_000) as u64
    }

    /// The time that `bytes` take at this rate; an hour where the rate is zero.
    pub fn time_for(self, bytes: u64) -> Duration {
        match self.0 {
            0 => Duration::from_secs(3600),
            bps => Duration::from_micros((u128::from(bytes) * 8_000_000 / u128::from(bps)) as u64),
        }
    }

    /// This rate times `percent` / 100.
    pub const fn percent(self, percent: u64) -> Self {
        Self(self.0.saturating_mul(percent) / 100)
    }
}

impl fmt::Display for Bitrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bps @ 0..1000 => write!(f, "{bps} bit/s"),
            bps @ 1000..1_000_000 => write!(f, "{} kbit/s", bps / 1000),
            bps => write!(f, "{:.1} Mbit/s", bps as f64 / 1e6),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_time_are_inverse() {
        let rate = Bitrate::from_kbps(800);
        assert_eq!(rate.bytes_in(Duration::from_millis(20)), 2000);
        assert_eq!(rate.time_for(2000), Duration::from_millis(20));
    }
}
