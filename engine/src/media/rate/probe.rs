//! How much a path carries, found out with few bytes: packets sent together come apart by what its narrowest place takes for
//! each. A train is as long as what is known to be carried allows, so a narrow path is not filled by it, and a wide one is
//! known after two or three.

use crate::base::rate::Bitrate;
use crate::base::time::{Duration, Instant};
use crate::proto::repair::Probe;

/// A train to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Train {
    pub number: u8,
    pub packets: u8,
    /// Bytes of each packet's payload.
    pub payload: usize,
}

impl Train {
    pub const fn probe(&self, place: u8) -> Probe {
        Probe { train: self.number, place, packets: self.packets }
    }
}

/// The sender's side.
#[derive(Clone, Copy, Debug, Default)]
pub struct Prober {
    number: u8,
    /// What the last train measured, and its bytes.
    measured: Option<(Bitrate, u64)>,
    sent: Option<Instant>,
    /// The next one is to follow at once.
    eager: bool,
    waits: Duration,
}

/// The first train after something changed, and the longest time between two that measured nothing new.
const FIRST: Duration = Duration::from_secs(4);
const LONGEST: Duration = Duration::from_secs(8);
/// A train fills what is known of the path for so long.
const LASTS: Duration = Duration::from_millis(60);
/// A rate is believed from a train of at least so many bytes: a pair may be handed over together by a radio.
const BELIEVED: u64 = 2000;
/// Each train may be so many times the one before.
const STEP: u64 = 8;
/// What is answered is answered within this time.
const ANSWERED: Duration = Duration::from_secs(2);
const LEAST_PAYLOAD: u64 = 100;
const MOST_PAYLOAD: u64 = 1100;
const MOST_BYTES: u64 = 9900;

impl Prober {
    /// It begins anew: the first train comes a while later.
    pub fn restart(&mut self, now: Instant) {
        *self = Self { number: self.number, sent: Some(now), waits: FIRST, ..Self::default() };
    }

    /// The train to send now, where it is time for one; `known` is carried for certain.
    pub fn take_train(&mut self, known: Bitrate, now: Instant) -> Option<Train> {
        let since = self.sent.map_or(Duration::MAX, |sent| now.saturating_duration_since(sent));
        if since >= ANSWERED {
            // It was lost, or nobody answers.
            self.eager = false;
        }
        if !self.eager && since < self.waits.max(FIRST) {
            return None;
        }
        let (measured, before) = self.measured.filter(|_| self.eager).unwrap_or((known, 0));
        if !self.eager {
            self.waits = (self.waits.max(FIRST) * 3 / 2).min(LONGEST);
            self.measured = None;
        }
        let most = if before == 0 { 2 * LEAST_PAYLOAD } else { (before * STEP).min(MOST_BYTES) };
        let bytes = measured.bytes_in(LASTS).clamp(2 * LEAST_PAYLOAD, most);
        let packets = bytes.div_ceil(MOST_PAYLOAD).max(2);
        self.number = self.number.wrapping_add(1);
        (self.sent, self.eager) = (Some(now), false);
        Some(Train { number: self.number, packets: packets as u8, payload: (bytes / packets) as usize })
    }

    /// What the other side says of a train: the rate that the path is believed to carry, once it is.
    pub fn on_report(&mut self, report: &ProbeReport, known: Bitrate) -> Option<Bitrate> {
        if report.train != self.number || report.received < 2 {
            return None;
        }
        let rate = report.rate();
        let before = self.measured.map_or(0, |(_, bytes)| bytes);
        // Where it is no more than was known, there is nothing to look further for.
        self.eager = rate >= known.percent(180) && u64::from(report.bytes) > before;
        self.measured = Some((rate, u64::from(report.bytes)));
        (u64::from(report.bytes) >= BELIEVED).then_some(rate)
    }
}

/// The receiver's side: the train that is coming in.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProbeMeter {
    coming: Option<Coming>,
}

#[derive(Clone, Copy, Debug)]
struct Coming {
    train: u8,
    first: Instant,
    last: Instant,
    received: u8,
    /// Of all but the first.
    bytes: u32,
    is_whole: bool,
}

/// What has not come by then is lost.
const OVER: Duration = Duration::from_millis(400);

impl ProbeMeter {
    /// A packet of a train came, of so many bytes with all that is around it.
    pub fn observe(&mut self, probe: &Probe, bytes: usize, at: Instant) {
        let is_last = probe.place + 1 == probe.packets;
        match &mut self.coming {
            Some(coming) if coming.train == probe.train => {
                (coming.last, coming.received) = (coming.last.max(at), coming.received.saturating_add(1));
                coming.bytes = coming.bytes.saturating_add(bytes as u32);
                coming.is_whole |= is_last;
            }
            _ => {
                let train = probe.train;
                self.coming = Some(Coming { train, first: at, last: at, received: 1, bytes: 0, is_whole: is_last });
            }
        }
    }

    /// What to tell the sender, when a train has come.
    pub fn report(&mut self, now: Instant) -> Option<ProbeReport> {
        let is_over = |coming: &mut Coming| coming.is_whole || now.saturating_duration_since(coming.first) > OVER;
        let coming = self.coming.take_if(is_over)?;
        let span = coming.last.saturating_duration_since(coming.first);
        Some(ProbeReport { train: coming.train, received: coming.received, bytes: coming.bytes, span })
    }
}

/// What the receiver says of a train.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeReport {
    pub train: u8,
    pub received: u8,
    /// Of all packets behind the first that came, with all that is around them.
    pub bytes: u32,
    /// From the first that came to the last.
    pub span: Duration,
}

const VERSION: u8 = 4;
const LENGTH: usize = 11;

impl ProbeReport {
    /// u8 version 4, u8 train, u8 packets, u32 bytes, u32 span in µs, big-endian, padded to 12 bytes.
    pub fn to_bytes(self) -> [u8; LENGTH + 1] {
        let mut out = [0; LENGTH + 1];
        let micros = self.span.as_micros().min(u128::from(u32::MAX)) as u32;
        out[..3].copy_from_slice(&[VERSION, self.train, self.received]);
        out[3..7].copy_from_slice(&self.bytes.to_be_bytes());
        out[7..11].copy_from_slice(&micros.to_be_bytes());
        out
    }

    /// `None` for another version or length.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let [VERSION, train, received, b0, b1, b2, b3, s0, s1, s2, s3, ..] = *bytes else { return None };
        let span = Duration::from_micros(u32::from_be_bytes([s0, s1, s2, s3]).into());
        Some(Self { train, received, bytes: u32::from_be_bytes([b0, b1, b2, b3]), span })
    }

    /// How fast it came. What came at once is stamped together.
    fn rate(&self) -> Bitrate {
        let micros = self.span.max(Duration::from_micros(500)).as_micros() as u64;
        Bitrate::from_bps(u64::from(self.bytes) * 8_000_000 / micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::now;

    /// Sends trains over a path that carries `kbps` for a minute: what was believed, and how many bytes it took.
    fn search(kbps: u64, known: u64) -> (Option<Bitrate>, usize) {
        let (mut prober, mut meter, start) = (Prober::default(), ProbeMeter::default(), now());
        let (rate, known) = (Bitrate::from_kbps(kbps), Bitrate::from_kbps(known));
        let (mut free, mut believed, mut bytes) = (start, None, 0);
        prober.restart(start);
        for ms in 0..60_000 {
            let at = start + Duration::from_millis(ms);
            if let Some(train) = prober.take_train(known, at) {
                for place in 0..train.packets {
                    free = free.max(at) + rate.time_for(train.payload as u64 + 81);
                    meter.observe(&train.probe(place), train.payload + 81, free);
                    bytes += train.payload + 81;
                }
                let report = meter.report(free).expect("the whole train came");
                assert_eq!(ProbeReport::parse(&report.to_bytes()), Some(report));
                believed = believed.max(prober.on_report(&report, known));
            }
        }
        (believed, bytes)
    }

    #[test]
    fn a_wide_path_is_found_to_be_wide_and_a_narrow_one_costs_next_to_nothing() {
        let (found, _) = search(4000, 25);
        assert!(found.is_some_and(|rate| (3500..4100).contains(&(rate.as_bps() / 1000))), "{found:?}");
        let (found, bytes) = search(25, 25);
        assert_eq!(found, None);
        // Less than a kilobit a second.
        assert!(bytes * 8 / 60 < 1000, "{bytes} bytes in a minute");
    }

    #[test]
    fn a_train_that_is_lost_in_part_is_told_of_after_a_while() {
        let (mut meter, start) = (ProbeMeter::default(), now());
        let probe = Probe { train: 1, place: 0, packets: 3 };
        meter.observe(&probe, 500, start);
        meter.observe(&Probe { place: 1, ..probe }, 500, start + Duration::from_millis(4));
        assert_eq!(meter.report(start + Duration::from_millis(100)), None);
        let report = meter.report(start + Duration::from_millis(500)).expect("it is over");
        assert_eq!((report.received, report.bytes, report.span), (2, 500, Duration::from_millis(4)));
        assert_eq!(meter.report(start + Duration::from_secs(1)), None);
    }
}
