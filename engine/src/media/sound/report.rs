//! What the receiver says about the sound that comes in: queueing, losses, and how much of it comes.

use crate::base::time::{Duration, Instant};

/// What the receiver tells the sender while sound comes in: every 200 ms, of few packets every half second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SoundReport {
    /// Every packet in `span` was held up at least so long on the way.
    pub queue: Duration,
    pub span: Duration,
    /// Bytes of packets in `span`, with what is around them on the wire.
    pub bytes: u32,
    /// How far timestamps advanced in `span`: samples at 48 kHz.
    pub advanced: u32,
    pub received: u16,
    pub lost: u16,
    /// How often some were lost together.
    pub bursts: u16,
}

const VERSION: u8 = 2;
const LENGTH: usize = 21;

impl SoundReport {
    /// Version 2: u8 version, u32 queue in µs, u16 span in ms, u32 bytes, u32 samples, u16 received, u16 lost, u16 bursts,
    /// big-endian, padded to 24 bytes.
    pub fn to_bytes(self) -> [u8; LENGTH + 3] {
        let mut out = [0; LENGTH + 3];
        let micros = self.queue.as_micros().min(u128::from(u32::MAX)) as u32;
        let millis = self.span.as_millis().min(u128::from(u16::MAX)) as u16;
        out[0] = VERSION;
        out[1..5].copy_from_slice(&micros.to_be_bytes());
        out[5..7].copy_from_slice(&millis.to_be_bytes());
        out[7..11].copy_from_slice(&self.bytes.to_be_bytes());
        out[11..15].copy_from_slice(&self.advanced.to_be_bytes());
        out[15..17].copy_from_slice(&self.received.to_be_bytes());
        out[17..19].copy_from_slice(&self.lost.to_be_bytes());
        out[19..21].copy_from_slice(&self.bursts.to_be_bytes());
        out
    }

    /// `None` for another version or length.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.get(..LENGTH)?;
        let [VERSION] = take(&mut rest)? else { return None };
        Some(Self {
            queue: Duration::from_micros(u32::from_be_bytes(take(&mut rest)?).into()),
            span: Duration::from_millis(u16::from_be_bytes(take(&mut rest)?).into()),
            bytes: u32::from_be_bytes(take(&mut rest)?),
            advanced: u32::from_be_bytes(take(&mut rest)?),
            received: u16::from_be_bytes(take(&mut rest)?),
            lost: u16::from_be_bytes(take(&mut rest)?),
            bursts: u16::from_be_bytes(take(&mut rest)?),
        })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

/// The receiver's count of one stream.
#[derive(Clone, Debug, Default)]
pub struct SoundMeter {
    /// The least way's time of the current and of the last window, microseconds on two unrelated clocks.
    least: Option<(i64, Option<i64>)>,
    window: Option<Instant>,
    /// Of the packets since the last report.
    quickest: Option<i64>,
    bytes: u32,
    received: u16,
    lost: i32,
    bursts: u16,
    /// The highest sequence number and timestamp, and the timestamp of the last report.
    highest: Option<u64>,
    newest: Option<u64>,
    told: Option<(Instant, u64)>,
    reports: u8,
}

/// One packet for the count.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    pub sequence: u64,
    pub timestamp: u64,
    /// With what is around it on the wire.
    pub bytes: usize,
    /// From when it was whole at the sender to its arrival, microseconds on two unrelated clocks; `None` where the sender
    /// does not say.
    pub way: Option<i64>,
    pub arrival: Instant,
}

const EVERY: Duration = Duration::from_millis(200);
/// Fewer packets than this say little, and where they are few there is little room for reports.
const FEW: u16 = 8;
const EVERY_OF_FEW: Duration = Duration::from_millis(500);
/// A sender that begins waits for the first reports, however few packets they are of.
const FIRST: u8 = 8;
/// The least time is forgotten after two of these, so that a change of the path is not taken for a queue for ever.
const WINDOW: Duration = Duration::from_secs(20);
/// A gap of so many samples (300 ms) is no loss of packets.
const OUTAGE: u64 = 14_400;
/// A number so far from the others is of another stream.
const JUMP: u64 = 3000;

impl SoundMeter {
    pub fn observe(&mut self, packet: &Counted) {
        self.received = self.received.saturating_add(1);
        self.bytes = self.bytes.saturating_add(packet.bytes as u32);
        match self.highest {
            Some(highest) if packet.sequence.abs_diff(highest) > JUMP => {
                (self.highest, self.newest, self.told) = (Some(packet.sequence), Some(packet.timestamp), None);
            }
            Some(highest) if packet.sequence > highest => {
                let gap = (packet.sequence - highest - 1) as i32;
                let since = self.newest.map_or(0, |newest| packet.timestamp.saturating_sub(newest));
                // Longer than any copy reaches: the path was gone, which tells nothing of how it is when it is there.
                if since <= OUTAGE {
                    self.lost += gap;
                    self.bursts += u16::from(gap > 0);
                }
                (self.highest, self.newest) = (Some(packet.sequence), Some(packet.timestamp));
            }
            // It was taken for lost. (A duplicate makes a loss look found; that is of no consequence.)
            Some(_) => self.lost -= 1,
            None => (self.highest, self.newest) = (Some(packet.sequence), Some(packet.timestamp)),
        }
        let Some(way) = packet.way else { return };
        self.quickest = Some(self.quickest.map_or(way, |quickest| quickest.min(way)));
        let (current, last) = self.least.unwrap_or((way, None));
        self.least = Some((current.min(way), last));
        if self.window.is_none_or(|began| packet.arrival.saturating_duration_since(began) > WINDOW) {
            self.least = Some((way, Some(current.min(way))));
            self.window = Some(packet.arrival);
        }
    }

    /// What to report to the sender, when it is time.
    pub fn report(&mut self, now: Instant) -> Option<SoundReport> {
        let newest = self.newest?;
        let (since, before) = *self.told.get_or_insert((now, newest));
        let span = now.saturating_duration_since(since);
        let few = if self.reports < FIRST { 1 } else { FEW };
        if span < EVERY || self.received == 0 || (self.received < few && span < EVERY_OF_FEW) {
            return None;
        }
        self.reports = self.reports.saturating_add(1);
        let base = self.least.map_or(0, |(current, last)| current.min(last.unwrap_or(current)));
        let queue = self.quickest.map_or(0, |quickest| quickest.saturating_sub(base).max(0));
        let lost = self.lost.clamp(0, i32::from(u16::MAX));
        let report = SoundReport {
            queue: Duration::from_micros(queue as u64),
            span: span.min(Duration::from_secs(60)),
            bytes: self.bytes,
            advanced: newest.saturating_sub(before).min(u64::from(u32::MAX)) as u32,
            received: self.received,
            lost: lost as u16,
            bursts: self.bursts,
        };
        // What was found again too late for its report counts in the next.
        self.lost = self.lost.min(0);
        (self.quickest, self.bytes, self.received, self.bursts) = (None, 0, 0, 0);
        self.told = Some((now, newest));
        Some(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::now;

    fn packet(n: u64, way: i64, start: Instant) -> Counted {
        let arrival = start + Duration::from_millis(5 * n);
        Counted { sequence: n, timestamp: n * 240, bytes: 100, way: Some(way), arrival }
    }

    #[test]
    fn reports_survive_the_wire() {
        let report = SoundReport {
            queue: Duration::from_micros(1234),
            span: Duration::from_millis(200),
            bytes: 70_000,
            advanced: 9600,
            received: 38,
            lost: 2,
            bursts: 1,
        };
        assert_eq!(SoundReport::parse(&report.to_bytes()), Some(report));
        assert_eq!(SoundReport::parse(&[1; 24]), None);
        assert_eq!(SoundReport::parse(&[2; 20]), None);
    }

    #[test]
    fn losses_bursts_and_late_ones_are_counted() {
        let (mut meter, start) = (SoundMeter::default(), now());
        meter.observe(&packet(0, 0, start));
        assert_eq!(meter.report(start), None);
        // 3, 4 and 5 are lost together, 9 alone, 12 comes after 13.
        let come = (1..40)
            .filter(|n| ![3, 4, 5, 9, 12].contains(n))
            .flat_map(|n| if n == 13 { vec![13, 12] } else { vec![n] });
        come.for_each(|n| meter.observe(&packet(n, 0, start)));
        let report = meter.report(start + Duration::from_millis(200)).expect("it is time");
        assert_eq!((report.received, report.lost, report.bursts), (36, 4, 3));
        assert_eq!(report.advanced, 39 * 240);
        assert_eq!(meter.report(start + Duration::from_secs(1)), None);
    }

    #[test]
    fn an_outage_is_not_taken_for_losses() {
        let (mut meter, start) = (SoundMeter::default(), now());
        meter.observe(&packet(0, 0, start));
        assert_eq!(meter.report(start), None);
        (400..440).for_each(|n| meter.observe(&packet(n, 0, start)));
        let report = meter.report(start + Duration::from_millis(2200)).expect("it is time");
        assert_eq!((report.received, report.lost, report.bursts), (41, 0, 0));
    }

    #[test]
    fn a_queue_is_what_even_the_quickest_packet_met() {
        let (mut meter, start) = (SoundMeter::default(), now());
        let mut queues = Vec::new();
        for n in 0..400u64 {
            // In the second second all are 100 ms late; in the first one every other.
            let late = if n >= 200 || n % 2 == 1 { 100_000 } else { 0 };
            meter.observe(&packet(n, 5_000_000 + late, start));
            queues.extend(meter.report(start + Duration::from_millis(5 * n)).map(|report| report.queue.as_millis()));
        }
        assert!(queues.len() >= 8 && queues[0] == 0 && queues[queues.len() - 1] == 100, "{queues:?}");
    }
}
