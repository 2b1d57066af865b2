//! Packets that parity makes good.

use std::sync::Arc;

use super::packet::{PacketIn, Slot};
use super::{MAX_PACKETS, VideoJitter};
use crate::base::time::Instant;
use crate::media::parity::{MOST_ROWS, recover};
use crate::proto::repair::HEADER;
use crate::proto::unit_ext::UnitExt;

/// One row of parity over a block of packets.
#[derive(Clone, Debug)]
pub struct ParityIn {
    /// Of the block's first packet, modulo 2¹⁶.
    pub first: u16,
    pub packets: u8,
    pub row: u8,
    /// The block has the unit's first packet, and its last.
    pub begins: bool,
    pub ends: bool,
    /// 90 kHz, modulo 2³².
    pub timestamp: u32,
    /// The whole payload it came in.
    pub payload: Arc<[u8]>,
    pub arrival: Instant,
    pub unit: Option<UnitExt>,
    pub capture: Option<Instant>,
}

/// The packets of a block that parity made good: of each its place in the block, and its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored(pub Vec<(u8, Vec<u8>)>);

/// Rows whose blocks are not whole yet, oldest first.
#[derive(Debug, Default)]
pub struct Rows(Vec<ParityIn>);

/// Two blocks with all their rows, and two that are late.
const MOST: usize = 4 * MOST_ROWS;

impl Rows {
    pub fn push(&mut self, row: ParityIn) {
        let is_here = |other: &ParityIn| (other.first, other.row) == (row.first, row.row);
        if self.0.iter().any(is_here) {
            return;
        }
        if self.0.len() == MOST {
            self.0.remove(0);
        }
        self.0.push(row);
    }

    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub const fn len(&self) -> usize {
        self.0.len()
    }
}

impl VideoJitter {
    /// Makes good what the rows are enough for, and forgets those that are of no use any more. To be called after packets and
    /// parity have come. `restore` is given what computes the packets of a block, or knows them from elsewhere.
    pub fn repair(&mut self, now: Instant, mut restore: impl FnMut(&dyn Fn() -> Option<Restored>) -> Option<Restored>) {
        if self.rows.is_empty() {
            return;
        }
        // Before anything came it is not known where in the numbers a row belongs.
        if self.slots.is_empty() && !self.handed_out && self.counters.dropped_packets == 0 {
            return;
        }
        let mut rows = std::mem::take(&mut self.rows.0);
        // Each turn ends a block or goes on to the next.
        let mut at = 0;
        while let Some(row) = rows.get(at) {
            let block = (row.first, row.packets);
            if self.block_is_over(row) || self.fill(&rows, block, now, &mut restore) {
                rows.retain(|row| (row.first, row.packets) != block);
            } else {
                at += rows.iter().skip(at).take_while(|row| (row.first, row.packets) == block).count();
            }
        }
        self.rows.0 = rows;
    }

    /// Nothing of the block is of use any more, or it cannot be one of this stream.
    fn block_is_over(&mut self, row: &ParityIn) -> bool {
        let (first, packets) = (self.place(row.first), u64::from(row.packets));
        if first < self.front && first + packets > self.front && row.begins && row.unit.is_some() {
            self.extend_front(first);
        }
        first < self.front || first + packets - self.front > MAX_PACKETS
    }

    /// Fills what is missing of the block; whether it is whole.
    fn fill(
        &mut self,
        rows: &[ParityIn],
        block: (u16, u8),
        now: Instant,
        restore: &mut impl FnMut(&dyn Fn() -> Option<Restored>) -> Option<Restored>,
    ) -> bool {
        let (first, packets) = (self.place(block.0), usize::from(block.1));
        let begin = (first - self.front) as usize;
        let slot = |index: usize| self.slots.get(begin + index).and_then(Option::as_ref);
        let missing = (0..packets).filter(|index| slot(*index).is_none()).count();
        if missing == 0 {
            return true;
        }
        let of_block = || rows.iter().filter(|row| (row.first, row.packets) == block);
        if of_block().count() < missing {
            return false;
        }
        let Some(row) = of_block().next() else { return false };
        let compute = || {
            let bytes: Vec<(u8, &[u8])> =
                of_block().filter_map(|row| Some((row.row, row.payload.get(HEADER..)?))).collect();
            let found = recover(packets, |index| slot(index).map(|slot| &*slot.payload), &bytes)?;
            Some(Restored(found.into_iter().map(|(index, payload)| (index as u8, payload)).collect()))
        };
        // What does not fit together does not get better.
        let Some(Restored(found)) = restore(&compute) else { return true };
        let near = self.slots.iter().flatten().map(|slot| slot.timestamp).next_back().or(self.last_timestamp);
        let timestamp = nearest(near.unwrap_or_default(), row.timestamp.into(), 1 << 32);
        while self.slots.len() < begin + packets {
            self.slots.push_back(None);
        }
        for (index, payload) in found {
            let index = usize::from(index);
            let Some(place @ None) = self.slots.get_mut(begin + index).filter(|_| index < packets) else { continue };
            let is_first = index == 0 && row.begins;
            let packet = PacketIn {
                sequence: first + index as u64,
                timestamp,
                marker: row.ends && index + 1 == packets,
                payload: payload.into(),
                arrival: now,
                unit: row.unit.filter(|_| is_first),
                capture: row.capture.filter(|_| is_first),
            };
            self.bytes += packet.payload.len();
            self.counters.repaired += 1;
            *place = Some(Slot::from(packet));
        }
        true
    }

    /// The sequence number near what is here.
    fn place(&self, low: u16) -> u64 {
        nearest(self.front + self.slots.len() as u64, low.into(), 1 << 16)
    }
}

/// The number nearest to `near` that ends in `low` modulo `modulus`.
fn nearest(near: u64, low: u64, modulus: u64) -> u64 {
    let base = near - near % modulus + low;
    let candidates = [base.saturating_sub(modulus), base, base.saturating_add(modulus)];
    candidates.into_iter().min_by_key(|candidate| candidate.abs_diff(near)).unwrap_or(base)
}
