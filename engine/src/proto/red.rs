//! Redundant sound (RFC 2198): a packet carries copies of frames before it in front of its own.
//!
//! Each copy has a header of four bytes: a bit that says that another follows, a payload type of 7 bits, how much earlier it
//! begins (14 bits, samples of 48 kHz), its length (10 bits). The packet's own frame has a header of one byte and fills the
//! rest.

use std::ops::Range;

/// The payload type in the headers: Opus, as browsers number it.
pub const OPUS: u8 = 111;
/// 14 bits of samples: 341 ms.
pub const FARTHEST: u32 = (1 << 14) - 1;
/// 10 bits.
pub const LONGEST: usize = (1 << 10) - 1;
/// Copies that are read from one packet; what follows is left out. Browsers send at most nine.
const MOST: usize = 10;

/// One frame of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// How much earlier than the packet's timestamp it begins; 0: the packet's own.
    pub before: u32,
    /// Where it is in the payload.
    pub range: Range<usize>,
}

/// Writes `copies` (how much earlier each begins, and its bytes; oldest first) and `own` to `out`, which is cleared. A copy
/// that has no place in a header is left out.
pub fn write<'a>(copies: impl Iterator<Item = (u32, &'a [u8])> + Clone, own: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let fitting =
        copies.filter(|(before, bytes)| (1..=FARTHEST).contains(before) && (1..=LONGEST).contains(&bytes.len()));
    for (before, bytes) in fitting.clone().take(MOST) {
        let header = 1 << 31 | u32::from(OPUS) << 24 | before << 10 | bytes.len() as u32;
        out.extend(header.to_be_bytes());
    }
    out.push(OPUS);
    fitting.take(MOST).for_each(|(_, bytes)| out.extend_from_slice(bytes));
    out.extend_from_slice(own);
}

/// The blocks of `payload`, the packet's own last. `None` where it is cut off, of another codec, or has no frame of its own.
pub fn read(payload: &[u8]) -> Option<impl Iterator<Item = Block> + use<>> {
    let mut headers = [(0u32, 0usize); MOST];
    let (mut count, mut at) = (0usize, 0usize);
    let mut skipped = 0usize;
    loop {
        let first = *payload.get(at)?;
        if first & 0x7f != OPUS {
            return None;
        }
        if first & 0x80 == 0 {
            at += 1;
            break;
        }
        let header = u32::from_be_bytes(*payload.get(at..)?.first_chunk()?);
        let (before, length) = (header >> 10 & FARTHEST, (header & LONGEST as u32) as usize);
        match headers.get_mut(count) {
            Some(slot) => {
                *slot = (before, length);
                count += 1;
            }
            None => skipped = skipped.saturating_add(length),
        }
        at = at.checked_add(4)?;
    }
    // The first ones are the oldest; those that found no place lie behind them.
    let copies: usize = headers.iter().take(count).map(|(_, length)| length).sum();
    let own = at.checked_add(copies)?.checked_add(skipped)?;
    if own >= payload.len() {
        return None;
    }
    let end = payload.len();
    let blocks = headers.into_iter().take(count).map(move |(before, length)| {
        let start = at;
        at += length;
        Block { before, range: start..at }
    });
    Some(
        blocks
            .filter(|block| block.before > 0 && !block.range.is_empty())
            .chain([Block { before: 0, range: own..end }]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn blocks(payload: &[u8]) -> Option<Vec<(u32, Vec<u8>)>> {
        Some(read(payload)?.map(|block| (block.before, payload[block.range].to_vec())).collect())
    }

    #[test]
    fn what_is_written_is_read() {
        let copies: [(u32, &[u8]); 2] = [(1920, &[1, 2, 3]), (960, &[4])];
        let mut out = vec![9; 9];
        write(copies.into_iter(), &[5, 6], &mut out);
        assert_eq!(out.len(), 4 + 4 + 1 + 3 + 1 + 2);
        assert_eq!(blocks(&out), Some(vec![(1920, vec![1, 2, 3]), (960, vec![4]), (0, vec![5, 6])]));
        write(std::iter::empty(), &[7], &mut out);
        assert_eq!((out.as_slice(), blocks(&out)), (&[OPUS, 7][..], Some(vec![(0, vec![7])])));
    }

    #[test]
    fn what_has_no_place_in_a_header_is_left_out() {
        let long = [0; LONGEST + 1];
        let copies: [(u32, &[u8]); 4] = [(FARTHEST + 1, &[1]), (0, &[1]), (240, &long), (480, &[2])];
        let mut out = Vec::new();
        write(copies.into_iter(), &[3], &mut out);
        assert_eq!(blocks(&out), Some(vec![(480, vec![2]), (0, vec![3])]));
    }

    #[test]
    fn the_layout_is_that_of_the_standard() {
        // RFC 2198 §3: F = 1, 111, offset 240, length 2; F = 0, 111; data.
        let packet = [0x80 | 111, 0x03, 0xc0, 0x02, 111, 0xaa, 0xbb, 0xcc];
        assert_eq!(blocks(&packet), Some(vec![(240, vec![0xaa, 0xbb]), (0, vec![0xcc])]));
        for cut in 0..=7 {
            assert_eq!(blocks(&packet[..cut]), None, "{cut}");
        }
        assert_eq!(blocks(&[112, 1]), None);
    }

    proptest! {
        #[test]
        fn anything_is_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            for (_, block) in blocks(&bytes).unwrap_or_default() {
                prop_assert!(!block.is_empty());
            }
        }

        #[test]
        fn headers_of_anything_are_read_without_a_panic(
            headers in proptest::collection::vec((any::<bool>(), 0..1u32 << 24), 0..30),
            rest in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let mut bytes = Vec::new();
            for (_, header) in headers {
                bytes.extend((1 << 31 | u32::from(OPUS) << 24 | header).to_be_bytes());
            }
            bytes.push(OPUS);
            bytes.extend(rest);
            prop_assert!(blocks(&bytes).is_none_or(|blocks| blocks.len() <= MOST + 1));
        }
    }
}
