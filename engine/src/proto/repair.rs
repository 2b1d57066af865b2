//! What travels in the stream beside pictures: parity of their packets, and packets that measure the path.
//!
//! | byte | parity | probe |
//! |---|---|---|
//! | 0 | 1 | 2 |
//! | 1 | bit 7: the block ends its unit; bit 6: it begins it; bits 2–0: source of pictures, counted from 0 | number of the train |
//! | 2–3 | sequence number of the block's first packet, big-endian | place in the train, and packets in it |
//! | 4 | packets in the block | padding |
//! | 5 | row of the code ([`crate::media::parity`]) | |
//! | 6… | the row's bytes | |
//!
//! Timestamp and extensions of a packet with parity are those of the unit's first packet.

/// The payload of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair<'a> {
    Parity(Parity<'a>),
    Probe(Probe),
}

/// One row of the code over a block of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parity<'a> {
    /// Which of the sources of pictures.
    pub source: u8,
    /// The block has the unit's first packet, and its last.
    pub begins: bool,
    pub ends: bool,
    /// Of the block's first packet, modulo 2¹⁶.
    pub first: u16,
    pub packets: u8,
    pub row: u8,
    pub bytes: &'a [u8],
}

/// One packet of a train.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    pub train: u8,
    pub place: u8,
    pub packets: u8,
}

const PARITY: u8 = 1;
const PROBE: u8 = 2;
/// What stands before a row's bytes.
pub const HEADER: usize = 6;

impl Repair<'_> {
    /// Reads a payload; `None` where it is of another kind or too short.
    pub fn parse(payload: &[u8]) -> Option<Repair<'_>> {
        match *payload {
            [PARITY, flags, high, low, packets, row, ref bytes @ ..] if packets > 0 && !bytes.is_empty() => {
                Some(Repair::Parity(Parity {
                    source: flags & 7,
                    begins: flags & 0x40 != 0,
                    ends: flags & 0x80 != 0,
                    first: u16::from_be_bytes([high, low]),
                    packets,
                    row,
                    bytes,
                }))
            }
            [PROBE, train, place, packets, ..] if place < packets => {
                Some(Repair::Probe(Probe { train, place, packets }))
            }
            _ => None,
        }
    }
}

impl Parity<'_> {
    /// Replaces what `out` holds with the payload.
    pub fn write(&self, out: &mut Vec<u8>) {
        let flags = u8::from(self.ends) << 7 | u8::from(self.begins) << 6 | self.source & 7;
        let [high, low] = self.first.to_be_bytes();
        out.clear();
        out.extend_from_slice(&[PARITY, flags, high, low, self.packets, self.row]);
        out.extend_from_slice(self.bytes);
    }
}

impl Probe {
    /// Replaces what `out` holds with a payload of `length` bytes, at least the header's four.
    pub fn write(&self, length: usize, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&[PROBE, self.train, self.place, self.packets]);
        out.resize(length.max(out.len()), 0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop};
    use proptest::{prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn the_bytes_are_where_the_table_says() {
        let parity =
            Parity { source: 2, begins: true, ends: false, first: 0x1234, packets: 48, row: 3, bytes: &[7, 8] };
        let mut out = Vec::new();
        parity.write(&mut out);
        assert_eq!(out, [1, 0x42, 0x12, 0x34, 48, 3, 7, 8]);
        assert_eq!(Repair::parse(&out), Some(Repair::Parity(parity)));
        let probe = Probe { train: 9, place: 1, packets: 2 };
        probe.write(6, &mut out);
        assert_eq!(out, [2, 9, 1, 2, 0, 0]);
        assert_eq!(Repair::parse(&out), Some(Repair::Probe(probe)));
    }

    #[test]
    fn what_is_no_repair_is_nothing() {
        for wrong in
            [&[][..], &[3, 0, 0, 0, 1, 0, 1], &[1, 0, 0, 0, 0, 0, 1], &[1, 0, 0, 0, 1, 0], &[2, 0, 2, 2], &[2, 0, 0]]
        {
            assert_eq!(Repair::parse(wrong), None, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_written_the_same(payload in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut out = Vec::new();
            match Repair::parse(&payload) {
                Some(Repair::Parity(parity)) => {
                    parity.write(&mut out);
                    prop_assert_eq!(Repair::parse(&out), Some(Repair::Parity(parity)));
                }
                Some(Repair::Probe(probe)) => {
                    probe.write(payload.len(), &mut out);
                    prop_assert_eq!(Repair::parse(&out), Some(Repair::Probe(probe)));
                }
                None => {}
            }
        }
    }
}
