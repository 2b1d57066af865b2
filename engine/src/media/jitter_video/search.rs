//! What is among the packets: whole units, and where they begin.

use super::VideoJitter;
use super::packet::Slot;
use crate::base::time::Instant;

/// What is known about the unit at the front.
#[derive(Clone, Copy, Debug)]
pub(super) enum Front {
    /// Whole: this many packets.
    Whole(usize),
    /// Not whole, and nothing newer has come.
    Tail,
    /// Not whole though newer packets have come, the first of them at this instant.
    Gap(Instant),
}

impl VideoJitter {
    pub(super) fn look_at_front(&self) -> Front {
        let timestamp = self.slots.front().and_then(|slot| slot.as_ref()).map(|slot| slot.timestamp);
        for (index, slot) in self.slots.iter().enumerate() {
            match slot {
                None => {
                    return self
                        .slots
                        .iter()
                        .skip(index)
                        .flatten()
                        .map(|s| s.arrival)
                        .min()
                        .map_or(Front::Tail, Front::Gap);
                }
                // The marker was left out: the next unit has begun all the same.
                Some(slot) if Some(slot.timestamp) != timestamp => return Front::Whole(index),
                Some(slot) if slot.marker => return Front::Whole(index + 1),
                Some(_) => {}
            }
        }
        Front::Tail
    }

    /// The first whole keyframe at or behind slot `from`: where it begins and how many packets it has.
    pub(super) fn find_keyframe(&self, from: usize) -> Option<(usize, usize)> {
        let mut start = None;
        let mut idr = false;
        let mut before: Option<&Slot> = None;
        for (index, slot) in self.slots.iter().enumerate() {
            let Some(slot) = slot else {
                (start, before) = (None, None);
                continue;
            };
            let changes = before.is_some_and(|before| before.marker || before.timestamp != slot.timestamp);
            if let (Some(begin), true) = (start, changes && idr && before.is_some_and(|before| !before.marker)) {
                return Some((begin, index - begin));
            }
            if changes || slot.head || (index == 0 && self.at_start) {
                (start, idr) = (Some(index).filter(|index| *index >= from), false);
            }
            idr |= slot.idr;
            if let (Some(begin), true, true) = (start, slot.marker, idr) {
                return Some((begin, index + 1 - begin));
            }
            before = Some(slot);
        }
        None
    }

    /// The first whole unit behind the gap at the front that needs nothing of what is missing: where it begins and how many
    /// packets it has.
    pub(super) fn find_behind_discardable(&self) -> Option<(usize, usize)> {
        let reference = self.reference?;
        let mut start = None;
        let mut before: Option<&Slot> = None;
        for (index, slot) in self.slots.iter().enumerate() {
            let Some(slot) = slot else {
                (start, before) = (None, None);
                continue;
            };
            if let Some(unit) = &slot.unit {
                let refers = unit.number.0.wrapping_sub(u16::from(unit.refers));
                start = Some(index).filter(|index| *index > 0 && refers == reference.0);
            } else if before.is_some_and(|before| before.timestamp != slot.timestamp) {
                start = None;
            }
            if let (Some(begin), true) = (start, slot.marker) {
                return Some((begin, index + 1 - begin));
            }
            before = Some(slot);
        }
        None
    }
}
