//! The video jitter buffer: packets in, complete units out, in decoding order, each as soon as it can be decoded.
//!
//! A unit can be decoded when it is a keyframe or when it follows the last one without a gap in the sequence numbers:
//! a sender that throws away a unit which others refer to makes a keyframe next. A gap waits for the retransmission;
//! after its deadline everything up to the next complete keyframe is dropped. When to *show* what was decoded is
//! decided behind the decoder, by [`super::playout_clock::PlayoutClock`].

mod packet;
mod patience;
mod repair;
mod search;

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

use self::packet::Slot;
pub use self::packet::{Counters, PacketIn};
pub use self::patience::retransmission_wait;
use self::patience::{LEAST_PATIENCE, discardable_wait, keyframe_patience};
use self::repair::Rows;
pub use self::repair::{ParityIn, Restored};
use self::search::Front;
use super::encoded::ReceivedUnit;
use super::ledger::Stamps;
use crate::base::id::UnitNumber;
use crate::base::pool::ArcPool;
use crate::base::time::{Duration, Instant};
use crate::proto::rtp_h264::Depacketiser;

/// Two seconds at 10 Mbit/s in packets of 1200 bytes.
const MAX_PACKETS: u64 = 2048;
/// What one stream may hold, unfinished units included.
const MAX_BYTES: usize = 2 << 20;
/// Packets before the first one that came may still come, when the first ones were reordered.
const MAX_BEFORE_FIRST: u64 = 64;
/// Reordering without loss is over by then; a later keyframe that is complete need not wait longer.
const REORDERING: Duration = Duration::from_millis(15);
/// Units on their way through the decoder: eight wait, one is worked on, one is handed over.
const UNITS: usize = 10;
/// A request has so many copies, so long apart: at 10 % loss one of a thousand is lost with all of them.
const REQUEST_COPIES: u8 = 2;
const REQUEST_APART: Duration = Duration::from_millis(20);
/// A keyframe of 720p at a call's highest rate; what is larger makes its storage grow.
const ROOM: usize = 64 << 10;

/// See the top of the file.
#[derive(Debug)]
pub struct VideoJitter {
    /// From sequence number `front` on; `None` has not come.
    slots: VecDeque<Option<Slot>>,
    front: u64,
    /// The slot at the front is the first of its unit.
    at_start: bool,
    bytes: usize,
    needs_keyframe: bool,
    /// Since when nothing can be decoded.
    blocked: Option<Instant>,
    requested: Option<Instant>,
    /// The first request since something could be decoded, and how long it took until a keyframe was there.
    asked: Option<Instant>,
    answered: Option<Duration>,
    /// No retransmission can help: a keyframe is asked for without patience.
    urgent: bool,
    wait: Duration,
    /// And where only units are missing that nothing refers to.
    short_wait: Duration,
    /// Copies of the last request that are still to be sent.
    copies: u8,
    /// Every unit is kept at least so long after it was whole: the laboratory's plant.
    hold: Duration,
    handed_out: bool,
    last_number: Option<UnitNumber>,
    /// The last unit handed out that others refer to.
    reference: Option<UnitNumber>,
    last_timestamp: Option<u64>,
    rows: Rows,
    depacketiser: Depacketiser,
    units: ArcPool<Vec<u8>>,
    counters: Counters,
}

impl Default for VideoJitter {
    fn default() -> Self {
        Self {
            slots: VecDeque::new(),
            front: 0,
            at_start: false,
            bytes: 0,
            needs_keyframe: true,
            blocked: None,
            requested: None,
            asked: None,
            answered: None,
            urgent: false,
            wait: retransmission_wait(None),
            short_wait: discardable_wait(None, Duration::ZERO),
            copies: 0,
            hold: Duration::ZERO,
            handed_out: false,
            last_number: None,
            reference: None,
            last_timestamp: None,
            rows: Rows::default(),
            depacketiser: Depacketiser::default(),
            units: ArcPool::new(UNITS),
            counters: Counters::default(),
        }
    }
}

impl VideoJitter {
    /// A buffer that keeps every unit at least `hold`.
    pub fn with_hold(hold: Duration) -> Self {
        Self { hold, ..Self::default() }
    }

    /// Files one packet. Duplicates and late ones are counted and dropped; when a bound is reached, or the sequence
    /// jumps by more than the buffer holds, everything is dropped up to the next keyframe.
    pub fn push(&mut self, packet: PacketIn) {
        self.counters.packets += 1;
        if self.slots.is_empty() && !self.handed_out && self.counters.dropped_packets == 0 {
            self.front = packet.sequence;
        }
        if packet.sequence < self.front && !self.extend_front(packet.sequence) {
            self.counters.late += 1;
            return;
        }
        let jumps = packet.sequence - self.front >= MAX_PACKETS;
        if jumps || self.bytes.saturating_add(packet.payload.len()) > MAX_BYTES {
            self.reset(packet.sequence, packet.arrival);
        }
        let index = (packet.sequence - self.front) as usize;
        while self.slots.len() <= index {
            self.slots.push_back(None);
        }
        let Some(place) = self.slots.get_mut(index) else { return };
        if place.is_some() {
            self.counters.duplicates += 1;
            return;
        }
        let arrival = packet.arrival;
        self.bytes += packet.payload.len();
        *place = Some(packet.into());
        if self.needs_keyframe {
            self.blocked.get_or_insert(arrival);
        }
    }

    /// Files parity of a block of packets. [`Self::repair`] then does what it is enough for.
    pub fn push_parity(&mut self, parity: ParityIn) {
        self.rows.push(parity);
    }

    /// The next unit that can be decoded at `now`. Call until `None`.
    pub fn poll_unit(&mut self, now: Instant) -> Option<ReceivedUnit> {
        // Each turn hands out or drops at least one packet, or ends.
        loop {
            if self.needs_keyframe {
                match self.find_keyframe(0) {
                    Some((start, count)) => {
                        if self.ready(start, count).is_some_and(|at| now < at) {
                            return None;
                        }
                        self.discard(start);
                        if let Some(unit) = self.hand_out(count, now) {
                            return Some(unit);
                        }
                    }
                    None => {
                        if !self.discard_undecodable(now) {
                            return None;
                        }
                    }
                }
                continue;
            }
            match self.look_at_front() {
                Front::Whole(count) if self.ready(0, count).is_some_and(|at| now < at) => return None,
                Front::Whole(count) => {
                    if let Some(unit) = self.hand_out(count, now) {
                        return Some(unit);
                    }
                }
                Front::Tail => return None,
                Front::Gap(since) => {
                    let behind = self.find_behind_discardable().filter(|_| now >= since + self.short_wait);
                    if let Some((start, count)) = behind {
                        self.counters.skipped += 1;
                        self.discard(start);
                        if let Some(unit) = self.hand_out(count, now) {
                            return Some(unit);
                        }
                        continue;
                    }
                    self.blocked.get_or_insert(since);
                    if now >= since + self.wait {
                        self.counters.gaps += 1;
                        self.needs_keyframe = true;
                    } else if now >= since + REORDERING && self.find_keyframe(1).is_some() {
                        self.needs_keyframe = true;
                    } else {
                        return None;
                    }
                }
            }
        }
    }

    /// The decoder could not go on: nothing is handed out before the next keyframe, and as no retransmission can
    /// help, [`Self::keyframe_due`] asks for it without patience.
    pub fn require_keyframe(&mut self, now: Instant) {
        self.needs_keyframe = true;
        self.urgent = true;
        self.blocked.get_or_insert(now);
    }

    /// True when a keyframe has to be asked for now: nothing was decodable for max(300 ms, 5 round trips), and the
    /// last request is at least a round trip (and 300 ms) old, or a copy of it is due: requests are lost, too, and nothing
    /// asks for them again. Saying so counts as the request.
    pub fn keyframe_due(&mut self, now: Instant, round_trip: Option<Duration>) -> bool {
        let Some(blocked) = self.blocked else { return false };
        let waited = self.urgent || now.saturating_duration_since(blocked) >= keyframe_patience(round_trip);
        let again = LEAST_PATIENCE.max(round_trip.unwrap_or_default());
        let since = self.requested.map(|last| now.saturating_duration_since(last));
        if !waited {
            return false;
        }
        let sent = u32::from(REQUEST_COPIES - self.copies) + 1;
        match since {
            Some(since) if since < again && (self.copies == 0 || since < REQUEST_APART * sent) => return false,
            Some(since) if since < again => self.copies -= 1,
            _ => {
                (self.requested, self.copies) = (Some(now), REQUEST_COPIES);
                self.asked.get_or_insert(now);
            }
        }
        true
    }

    /// How long a gap waits from now on, by the round trip; see [`retransmission_wait`]. Decoded pictures wait for `shown` until
    /// they are shown.
    pub fn set_round_trip(&mut self, round_trip: Option<Duration>, shown: Duration) {
        (self.wait, self.short_wait) = (retransmission_wait(round_trip), discardable_wait(round_trip, shown));
    }

    /// When [`Self::poll_unit`] would do something that no packet triggers: a gap's deadline.
    pub fn next_due(&self) -> Option<Instant> {
        let held = (self.needs_keyframe && !self.hold.is_zero()).then(|| self.find_keyframe(0)).flatten();
        if let Some((start, count)) = held {
            return self.ready(start, count);
        }
        match self.look_at_front() {
            Front::Gap(since) if !self.needs_keyframe && self.find_behind_discardable().is_some() => {
                Some(since + self.short_wait)
            }
            Front::Gap(since) if !self.needs_keyframe && self.find_keyframe(1).is_some() => Some(since + REORDERING),
            Front::Gap(since) => Some(since + self.wait),
            Front::Whole(count) => self.ready(0, count),
            Front::Tail => None,
        }
    }

    /// What it holds and what it will do, without the picture in it: for telling two runs apart.
    pub fn fingerprint(&self, hash: &mut impl Hasher) {
        (self.front, self.at_start, self.bytes, self.needs_keyframe, self.urgent, self.wait).hash(hash);
        (self.last_number, self.last_timestamp, self.blocked.is_some(), self.requested.is_some()).hash(hash);
        for slot in &self.slots {
            slot.as_ref().map(|s| (s.timestamp, s.marker, s.head, s.idr, s.payload.len())).hash(hash);
        }
        (self.reference, self.copies, self.rows.len()).hash(hash);
        self.counters.hash(hash);
    }

    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// How long the last request took until a keyframe was there; said once.
    pub const fn take_answered(&mut self) -> Option<Duration> {
        self.answered.take()
    }

    /// True while nothing can be decoded.
    pub const fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    /// Bytes of payload held.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the `count` packets from slot `start` on, a whole unit, may be handed out; `None`: at once.
    fn ready(&self, start: usize, count: usize) -> Option<Instant> {
        if self.hold.is_zero() {
            return None;
        }
        let whole = self.slots.iter().skip(start).take(count).flatten().map(|slot| slot.arrival).max()?;
        Some(whole + self.hold)
    }

    /// Makes room for a packet in front of the first one. Only before anything was handed out or dropped.
    fn extend_front(&mut self, sequence: u64) -> bool {
        let missing = self.front - sequence;
        if self.handed_out || self.counters.dropped_packets > 0 || missing > MAX_BEFORE_FIRST {
            return false;
        }
        (0..missing).for_each(|_| self.slots.push_front(None));
        self.front = sequence;
        true
    }

    /// While a keyframe is needed and none is whole: drops what can be part of none. `false` when nothing was dropped.
    fn discard_undecodable(&mut self, now: Instant) -> bool {
        // At the very beginning the keyframe may have been overtaken by what follows it.
        if !self.handed_out && self.blocked.is_some_and(|since| now < since + REORDERING) {
            return false;
        }
        match self.look_at_front() {
            Front::Whole(count) => {
                // The sender began before this end could listen: no retransmission brings what came before.
                self.urgent |= !self.handed_out;
                self.discard(count);
                true
            }
            Front::Gap(since) if now >= since + self.wait => {
                // Up to where the next unit is known to begin: behind a marker, or at a packet that shows it.
                let gap = self.slots.iter().position(Option::is_none).unwrap_or(0);
                let behind = self.slots.iter().enumerate().skip(gap).find_map(|(index, slot)| match slot {
                    Some(slot) if slot.head && index > 0 => Some((index, true)),
                    Some(slot) if slot.marker => Some((index + 1, true)),
                    _ => None,
                });
                let (count, at_start) = behind.unwrap_or((self.slots.len(), false));
                self.discard(count);
                self.at_start = at_start;
                true
            }
            _ => false,
        }
    }

    /// Takes the unit of `count` packets at the front. `None` where it is malformed: a keyframe is needed then.
    fn hand_out(&mut self, count: usize, now: Instant) -> Option<ReceivedUnit> {
        let unit = self.assemble(count, now);
        let packets = self.counters.dropped_packets;
        self.discard(count);
        if unit.is_some() {
            self.counters.dropped_packets = packets;
            self.counters.units += 1;
            self.needs_keyframe = false;
            self.blocked = None;
            self.requested = None;
            self.copies = 0;
            if let Some(asked) = self.asked.take() {
                self.answered = Some(now.saturating_duration_since(asked));
            }
            self.urgent = false;
            self.handed_out = true;
        } else {
            self.counters.malformed_units += 1;
            self.require_keyframe(now);
        }
        unit
    }

    fn assemble(&mut self, count: usize, now: Instant) -> Option<ReceivedUnit> {
        let first = self.slots.front()?.as_ref()?;
        let (timestamp, ext, capture) = (first.timestamp, first.unit, first.capture);
        if self.last_timestamp.is_some_and(|last| timestamp <= last) {
            return None;
        }
        let (mut arrived, mut complete, mut keyframe) = (first.arrival, first.arrival, false);
        self.depacketiser.reset();
        for slot in self.slots.iter().take(count) {
            let slot = slot.as_ref()?;
            arrived = arrived.min(slot.arrival);
            complete = complete.max(slot.arrival);
            keyframe |= slot.idr;
            self.depacketiser.push(&slot.payload, false).ok()?;
        }
        self.depacketiser.finish().ok()?;
        let mut is_whole = false;
        let room = || Vec::with_capacity(ROOM);
        let data = self.units.take(room, |unit| is_whole = self.depacketiser.take_into(unit));
        if !is_whole {
            return None;
        }
        let number = ext.map_or_else(|| self.last_number.map_or(UnitNumber(0), UnitNumber::next), |ext| ext.number);
        self.last_number = Some(number);
        match ext {
            Some(ext) if ext.discardable && !keyframe => {}
            ext => self.reference = ext.map(|ext| ext.number),
        }
        self.last_timestamp = Some(timestamp);
        let encoded = capture.zip(ext).map(|(capture, ext)| capture + ext.encode);
        let stamps = Stamps {
            captured: capture,
            encoded,
            sent: encoded.zip(ext).map(|(encoded, ext)| encoded + ext.queue),
            arrived: Some(arrived),
            complete: Some(complete),
            released: Some(now),
            ..Stamps::default()
        };
        Some(ReceivedUnit { data, keyframe, number, timestamp, stamps })
    }

    /// Removes `count` slots from the front, which ends a unit.
    fn discard(&mut self, count: usize) {
        for slot in self.slots.drain(..count.min(self.slots.len())).flatten() {
            self.counters.dropped_packets += 1;
            self.bytes -= slot.payload.len();
        }
        self.front += count as u64;
        self.at_start |= count > 0;
    }

    fn reset(&mut self, sequence: u64, now: Instant) {
        self.counters.resets += 1;
        self.discard(self.slots.len());
        (self.front, self.at_start) = (sequence, false);
        self.require_keyframe(now);
    }
}

#[cfg(test)]
mod tests;
