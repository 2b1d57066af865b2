//! Media with nothing in it: the lengths and headers that decisions are made by, and a pattern where sound and picture
//! were. Recordings hold such units of our own picture, and nothing else once they are scrubbed.

use super::{nal, red, repair};

const STAP_A: u8 = 24;
const FU_A: u8 = 28;
/// RFC 6716 §3.2: the two low bits of the first byte say how many frames there are; with this code a second byte does.
const COUNTED: u8 = 3;

/// Of each NAL unit in an Annex B byte stream: how many bytes stand in front of it, its first byte, and its length. Zeros
/// behind the last one are a unit of length 0.
pub type Shape = Vec<(u8, u8, u32)>;

/// What `unit` (Annex B) looks like from outside.
pub fn shape(unit: &[u8]) -> Shape {
    let mut shape = Shape::new();
    let mut end = unit.as_ptr() as usize;
    let gap = |from: usize, to: usize| u8::try_from(to.saturating_sub(from)).unwrap_or(u8::MAX);
    for nal in nal::split(unit) {
        let begin = nal.as_ptr() as usize;
        shape.push((gap(end, begin), nal.first().copied().unwrap_or_default(), nal.len() as u32));
        end = begin.saturating_add(nal.len());
    }
    let behind = gap(end, (unit.as_ptr() as usize).saturating_add(unit.len()));
    if behind > 0 {
        shape.push((behind, 0, 0));
    }
    shape
}

/// A unit of this shape.
pub fn filled(shape: &[(u8, u8, u32)]) -> Vec<u8> {
    let mut unit = Vec::new();
    for (gap, first, length) in shape {
        // What is read from a damaged file must not ask for all memory.
        if unit.len() >= nal::MAX_UNIT {
            break;
        }
        unit.resize(unit.len().saturating_add(usize::from(*gap)), 0);
        if *length == 0 {
            continue;
        }
        if let Some(last) = unit.last_mut() {
            *last = 1;
        }
        let begin = unit.len();
        unit.resize(begin.saturating_add(*length as usize).min(nal::MAX_UNIT), 0);
        if let Some(nal) = unit.get_mut(begin..) {
            blank_nal(nal);
            nal.iter_mut().take(1).for_each(|byte| *byte = *first);
        }
    }
    unit
}

/// Blanks an RTP payload of H.264 (RFC 6184): types, fragments' flags and the lengths inside an aggregate stay.
pub fn blank_h264(payload: &mut [u8]) {
    match payload.first().map(|byte| byte & 0x1f) {
        Some(STAP_A) => {
            let mut at = 1usize;
            while let Some(length) = payload.get(at..).and_then(|rest| rest.first_chunk::<2>()) {
                let begin = at.saturating_add(2);
                at = begin.saturating_add(usize::from(u16::from_be_bytes(*length))).min(payload.len());
                blank_nal(payload.get_mut(begin..at).unwrap_or_default());
            }
            // Less than a length field: it is of no NAL unit.
            payload.get_mut(at..).unwrap_or_default().fill(0);
        }
        Some(FU_A) => fill(payload.get_mut(2..).unwrap_or_default()),
        _ => blank_nal(payload),
    }
}

/// Blanks parity of pictures' packets ([`super::repair`]): what it belongs to stays.
pub fn blank_repair(payload: &mut [u8]) {
    fill(payload.get_mut(repair::HEADER..).unwrap_or_default());
}

/// Blanks a redundant payload (RFC 2198): its headers and its frames' lengths stay.
pub fn blank_red(payload: &mut [u8]) {
    let Some(blocks) = red::read(payload) else { return fill(payload) };
    for block in blocks {
        blank_opus(payload.get_mut(block.range).unwrap_or_default());
    }
}

/// Blanks an Opus packet (RFC 6716): its length in time stays.
pub fn blank_opus(packet: &mut [u8]) {
    let is_counted = packet.first().is_some_and(|toc| toc & 3 == COUNTED);
    fill(packet.get_mut(if is_counted { 2 } else { 1 }..).unwrap_or_default());
}

/// The first byte stays.
fn blank_nal(nal: &mut [u8]) {
    fill(nal.get_mut(1..).unwrap_or_default());
}

/// With its top bits set no start code and no emulation prevention can appear in it.
fn fill(bytes: &mut [u8]) {
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = 0x80 | (at.wrapping_mul(37) as u8);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop};
    use proptest::{prop_assert, prop_assert_eq, proptest};

    use super::*;
    use crate::proto::rtp_h264::{Depacketiser, Packets, begins_unit, holds_idr, packetise};

    const UNIT: [u8; 22] = [0, 0, 0, 1, 0x67, 1, 2, 3, 0, 0, 1, 0x68, 9, 0, 0, 0, 1, 0x65, 7, 7, 0, 0];

    #[test]
    fn a_filled_shape_has_the_shape() {
        let shape = shape(&UNIT);
        assert_eq!(shape, [(4, 0x67, 4), (3, 0x68, 2), (4, 0x65, 3), (2, 0, 0)]);
        let filled = filled(&shape);
        assert_eq!(filled.len(), UNIT.len());
        assert_eq!(super::shape(&filled), shape);
        assert_ne!(filled[5..8], UNIT[5..8]);
    }

    #[test]
    fn blank_payloads_are_put_together_like_those_they_were() {
        let mut unit = vec![0, 0, 0, 1, 0x67, 1, 2, 3, 0, 0, 0, 1, 0x68, 9, 0, 0, 0, 1, 0x65];
        unit.extend((0..4000u32).map(|n| (n % 250) as u8 | 1));
        let (mut packets, mut whole, mut blank) =
            (Packets::default(), Depacketiser::default(), Depacketiser::default());
        packetise(&unit, 1000, &mut packets);
        for payload in packets.iter() {
            let mut blanked = payload.bytes.to_vec();
            blank_h264(&mut blanked);
            assert_eq!(begins_unit(&blanked), begins_unit(payload.bytes));
            assert_eq!(holds_idr(&blanked), holds_idr(payload.bytes));
            whole.push(payload.bytes, payload.marker).expect("ours");
            blank.push(&blanked, payload.marker).expect("as ours");
        }
        let [whole, blank] = [&mut whole, &mut blank].map(|depacketiser| {
            let mut unit = Vec::new();
            assert!(depacketiser.take_into(&mut unit));
            unit
        });
        assert_eq!(shape(&whole), shape(&blank));
        assert!(!blank.windows(4).any(|four| whole.windows(4).any(|other| other == four && !four.starts_with(&[0]))));
    }

    proptest! {
        #[test]
        fn anything_can_be_blanked(mut bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let length = bytes.len();
            let before = bytes.clone();
            blank_opus(&mut bytes);
            let stays = if bytes.first().is_some_and(|toc| toc & 3 == 3) { 2 } else { 1 }.min(length);
            prop_assert_eq!(&bytes[..stays], &before[..stays]);
            blank_h264(&mut bytes);
            prop_assert_eq!(bytes.len(), length);
            let shape: Shape = bytes.chunks(6).map(|c| (c[0], c[0], u32::from(c[0]))).collect();
            prop_assert!(filled(&shape).len() <= 64 * 512);
        }
    }
}
