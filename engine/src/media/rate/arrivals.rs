//! What arrived by each report, and what was sent for it.

use std::collections::VecDeque;

use super::report::DelayReport;
use crate::base::rate::Bitrate;
use crate::base::time::{Duration, Instant};

/// The last two seconds of reports.
#[derive(Clone, Debug)]
pub struct Arrivals {
    reports: VecDeque<Arrived>,
    /// Bytes of pictures sent since the last one.
    sent: u64,
    told: Option<Instant>,
    /// Packets of pictures of which something was said since the beginning.
    counted: u64,
}

#[derive(Clone, Copy, Debug)]
struct Arrived {
    at: Instant,
    span: Duration,
    bytes: u64,
    sent: u64,
    received: u16,
    lost: u16,
}

impl Arrived {
    /// Most of its packets were lost, and not a few.
    const fn is_accident(&self) -> bool {
        const FEW: u16 = 4;
        self.lost >= FEW && self.lost as u32 * 10 > (self.lost as u32 + self.received as u32) * 6
    }
}

/// One in 50 ms.
const REPORTS: usize = 40;
/// Packets after which losses are known.
const KNOWN: u64 = 400;
/// What was sent longer ago is not looked for.
const LONGEST_BACK: Duration = Duration::from_millis(800);

impl Default for Arrivals {
    fn default() -> Self {
        Self { reports: VecDeque::with_capacity(REPORTS), sent: 0, told: None, counted: 0 }
    }
}

impl Arrivals {
    pub const fn on_sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// Files a report; `sound` is what sound takes.
    pub fn file(&mut self, report: &DelayReport, sound: Bitrate, now: Instant) {
        if self.reports.len() == REPORTS {
            self.reports.pop_front();
        }
        let since = self.told.map_or(report.span, |told| now.saturating_duration_since(told));
        self.told = Some(now);
        self.counted += u64::from(report.received) + u64::from(report.lost);
        self.reports.push_back(Arrived {
            at: now,
            span: report.span,
            bytes: report.bytes,
            sent: self.sent + sound.bytes_in(since),
            received: report.received,
            lost: report.lost,
        });
        self.sent = 0;
    }

    /// Nothing of before counts any more.
    pub fn clear(&mut self) {
        self.reports.clear();
        self.told = None;
    }

    /// What arrives, and what was sent a round trip before that, over the last `window`; `None` where that is not known.
    pub fn flow(&self, window: Duration, round_trip: Duration, now: Instant) -> (Bitrate, Option<Bitrate>) {
        let recent = |at: Instant| now.saturating_duration_since(at) < window;
        let (mut bytes, mut span) = (0, Duration::ZERO);
        for arrived in self.reports.iter().rev().take_while(|arrived| recent(arrived.at)) {
            (bytes, span) = (bytes + arrived.bytes, span + arrived.span);
        }
        let back = round_trip.min(LONGEST_BACK);
        let (mut sent, mut time) = (0, Duration::ZERO);
        let mut after = now;
        for arrived in self.reports.iter().rev() {
            let (age, length) =
                (now.saturating_duration_since(arrived.at), after.saturating_duration_since(arrived.at));
            after = arrived.at;
            if age >= back && age < back + window {
                (sent, time) = (sent + arrived.sent, time + length);
            }
        }
        let rate = |bytes: u64, time: Duration| Bitrate::from_bps(bytes * 8_000_000 / (time.as_micros().max(1) as u64));
        (rate(bytes, span), (!time.is_zero()).then(|| rate(sent, time)))
    }

    /// Share of the packets of pictures lost in the last two seconds.
    pub fn loss(&self) -> f64 {
        let (lost, all) = self.count();
        f64::from(lost) / f64::from(all.max(1))
    }

    /// The same once it is known well enough to say so.
    pub fn known_loss(&self) -> f64 {
        if self.counted < KNOWN { 0.0 } else { self.loss() }
    }

    /// What is to be expected: at the beginning something between what was seen and what is usual where much is lost.
    pub fn expected_loss(&self) -> f64 {
        /// As if so many had been sent before, and so many of them lost.
        const BEFORE: (f64, f64) = (100.0, 5.0);
        let (lost, all) = self.count();
        match self.counted {
            // The first picture of all is to be as small as can be.
            0 => 0.0,
            1..KNOWN => (f64::from(lost) + BEFORE.1) / (f64::from(all) + BEFORE.0),
            _ => self.loss(),
        }
    }

    /// How many were lost of how many. What is lost in a row was an accident, and says nothing of the next packet.
    fn count(&self) -> (u32, u32) {
        let by_chance = self.reports.iter().filter(|arrived| !arrived.is_accident());
        by_chance.fold((0, 0), |(lost, all), arrived| {
            (lost + u32::from(arrived.lost), all + u32::from(arrived.lost) + u32::from(arrived.received))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::now;

    #[test]
    fn at_the_beginning_losses_are_expected_and_later_what_is_seen_counts() {
        let (mut arrivals, start) = (Arrivals::default(), now());
        assert_eq!((arrivals.known_loss(), arrivals.expected_loss()), (0.0, 0.0));
        let report = DelayReport { received: 18, lost: 2, ..DelayReport::default() };
        let mut tell =
            |n: u64, report| arrivals.file(report, Bitrate::default(), start + Duration::from_millis(50 * n));
        (0..10).for_each(|n| tell(n, &report));
        assert_eq!(arrivals.known_loss(), 0.0);
        assert!((0.07..0.1).contains(&arrivals.expected_loss()));
        let mut tell =
            |n: u64, report| arrivals.file(report, Bitrate::default(), start + Duration::from_millis(50 * n));
        (10..60).for_each(|n| tell(n, &report));
        assert_eq!((arrivals.known_loss(), arrivals.expected_loss()), (0.1, 0.1));
        let mut tell =
            |n: u64, report| arrivals.file(report, Bitrate::default(), start + Duration::from_millis(50 * n));
        let clean = DelayReport { lost: 0, ..report };
        (60..100).for_each(|n| tell(n, &clean));
        assert_eq!(arrivals.expected_loss(), 0.0);
        let accident = DelayReport { lost: 30, received: 12, ..report };
        arrivals.file(&accident, Bitrate::default(), start + Duration::from_secs(6));
        assert_eq!((arrivals.known_loss(), arrivals.loss()), (0.0, 0.0));
    }
}
