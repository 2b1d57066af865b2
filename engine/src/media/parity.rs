//! Parity of a picture's packets: a systematic Reed–Solomon code over GF(2⁸) with a Cauchy matrix. Each row makes good for
//! any one packet of its block that is lost, so a keyframe is there without a further round trip. (RFC 6865 has the same code
//! with a Vandermonde matrix; a Cauchy one needs no inversion at the sender.)
//!
//! A packet is coded as its length (u16, big-endian) and its payload, filled up with zeros to the longest of the block.

/// Packets in a block: a row costs as much time as there are packets in it.
pub const MOST_PACKETS: usize = 96;
/// Rows of a block.
pub const MOST_ROWS: usize = 32;
/// Below this share of losses the first retransmission is enough.
const LEAST_LOSS: f64 = 0.004;
/// A picture may stay broken so often.
const LEFT: f64 = 0.0005;

/// How a unit is cut into blocks, and how many rows each has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Blocks {
    packets: usize,
    blocks: usize,
    rows: usize,
}

/// One row of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The block's first packet, and how many it has.
    pub first: usize,
    pub packets: usize,
    pub row: u8,
    pub begins: bool,
    pub ends: bool,
}

impl Blocks {
    /// For a unit of so many packets of which the share `loss` is lost on the way.
    pub fn new(packets: usize, loss: f64) -> Self {
        let blocks = packets.div_ceil(MOST_PACKETS);
        let rows = if blocks == 0 { 0 } else { rows(packets.div_ceil(blocks), loss) };
        Self { packets, blocks, rows }
    }

    /// Packets with parity, of all blocks.
    pub const fn len(&self) -> usize {
        self.blocks * self.rows
    }

    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The packet with parity that is sent as the `index`th: of each block by turns.
    pub fn get(&self, index: usize) -> Option<Row> {
        if index >= self.len() {
            return None;
        }
        let block = index % self.blocks;
        let begin = |block: usize| block * self.packets / self.blocks;
        let (first, end) = (begin(block), begin(block + 1));
        let row = (index / self.blocks) as u8;
        Some(Row { first, packets: end - first, row, begins: block == 0, ends: end == self.packets })
    }
}

/// How many rows a block of `packets` needs so that it is whole nearly always.
fn rows(packets: usize, loss: f64) -> usize {
    if loss < LEAST_LOSS {
        return 0;
    }
    // What was measured over two seconds may be more the next moment.
    let loss = (loss * 1.15).min(0.5);
    let most = (packets / 2 + 1).min(MOST_ROWS);
    (1..most).find(|rows| more_lost_than(*rows, packets + rows, loss) <= LEFT).unwrap_or(most)
}

/// How likely more than `most` of `all` are lost.
fn more_lost_than(most: usize, all: usize, loss: f64) -> f64 {
    let mut exactly = (1.0 - loss).powi(all as i32);
    let mut fewer = exactly;
    for n in 1..=most {
        exactly *= (all + 1 - n) as f64 / n as f64 * loss / (1.0 - loss);
        fewer += exactly;
    }
    1.0 - fewer
}

/// Replaces what `out` holds with row `row` over `packets`, in their order.
pub fn write_row<'a>(row: u8, packets: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    out.clear();
    for (index, packet) in packets.enumerate() {
        add_packet(out, packet, coefficient(row, index));
    }
}

/// The packets of a block that are missing, by their place. `have`: those that are there; `rows`: rows with different
/// numbers. `None` where they are not enough, or do not fit together.
pub fn recover<'a>(
    packets: usize,
    have: impl Fn(usize) -> Option<&'a [u8]>,
    rows: &[(u8, &[u8])],
) -> Option<Vec<(usize, Vec<u8>)>> {
    let missing: Vec<usize> = (0..packets).filter(|index| have(*index).is_none()).collect();
    if packets > MOST_PACKETS || rows.len() < missing.len() || missing.is_empty() {
        return None;
    }
    let rows = rows.get(..missing.len())?;
    let longest = rows.first()?.1.len();
    if rows.iter().any(|(row, bytes)| usize::from(*row) >= MOST_ROWS || bytes.len() != longest) {
        return None;
    }
    // What is left of each row without the packets that are there.
    let mut left: Vec<Vec<u8>> = rows.iter().map(|(_, bytes)| bytes.to_vec()).collect();
    for ((row, _), left) in rows.iter().zip(&mut left) {
        for (index, packet) in (0..packets).filter_map(|index| Some((index, have(index)?))) {
            add_packet(left, packet, coefficient(*row, index));
        }
        // A packet is longer than the row says any can be.
        if left.len() != longest {
            return None;
        }
    }
    let mut matrix: Vec<Vec<u8>> =
        rows.iter().map(|(row, _)| missing.iter().map(|index| coefficient(*row, *index)).collect()).collect();
    eliminate(&mut matrix, &mut left)?;
    let packets = missing.into_iter().zip(left).map(|(index, mut bytes)| {
        let length = usize::from(u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]));
        if length == 0 || length + 2 > bytes.len() {
            return None;
        }
        bytes.truncate(length + 2);
        bytes.drain(..2);
        Some((index, bytes))
    });
    packets.collect()
}

/// Gauss and Jordan: afterwards `sides` hold what is looked for. `None` where two rows say the same.
fn eliminate(matrix: &mut [Vec<u8>], sides: &mut [Vec<u8>]) -> Option<()> {
    for column in 0..matrix.len() {
        let pivot = (column..matrix.len()).find(|row| matrix[*row][column] != 0)?;
        matrix.swap(column, pivot);
        sides.swap(column, pivot);
        let factor = inverse(matrix[column][column]);
        let scale = |bytes: &mut Vec<u8>| bytes.iter_mut().for_each(|byte| *byte = product(*byte, factor));
        scale(&mut matrix[column]);
        scale(&mut sides[column]);
        let (line, side) = (matrix[column].clone(), sides[column].clone());
        for row in (0..matrix.len()).filter(|row| *row != column) {
            let factor = matrix[row][column];
            add(&mut matrix[row], &line, factor);
            add(&mut sides[row], &side, factor);
        }
    }
    Some(())
}

/// Adds `factor` times the packet to a row, which becomes as long as it.
fn add_packet(row: &mut Vec<u8>, packet: &[u8], factor: u8) {
    let length = (packet.len() as u16).to_be_bytes();
    if row.len() < packet.len() + 2 {
        row.resize(packet.len() + 2, 0);
    }
    add(&mut row[..2], &length, factor);
    add(&mut row[2..], packet, factor);
}

/// Adds `factor` times `from` to `into`.
fn add(into: &mut [u8], from: &[u8], factor: u8) {
    if factor == 0 {
        return;
    }
    // Of a byte's two halves the products are looked up and added.
    let low: [u8; 16] = std::array::from_fn(|nibble| product(nibble as u8, factor));
    let high: [u8; 16] = std::array::from_fn(|nibble| product((nibble << 4) as u8, factor));
    for (into, from) in into.iter_mut().zip(from) {
        *into ^= low[usize::from(from & 15)] ^ high[usize::from(from >> 4)];
    }
}

/// Cauchy's matrix: the two sets of numbers have none in common, so it has no zero and no singular part.
fn coefficient(row: u8, packet: usize) -> u8 {
    inverse((128 + row) ^ packet as u8)
}

fn product(a: u8, b: u8) -> u8 {
    match (a, b) {
        (0, _) | (_, 0) => 0,
        _ => TABLES.0[usize::from(TABLES.1[usize::from(a)]) + usize::from(TABLES.1[usize::from(b)])],
    }
}

/// Of a number that is not 0.
fn inverse(a: u8) -> u8 {
    TABLES.0[255 - usize::from(TABLES.1[usize::from(a)])]
}

/// Powers of 2, twice over, and logarithms, with the polynomial x⁸ + x⁴ + x³ + x² + 1 (RFC 5510 §8.1).
const TABLES: ([u8; 512], [u8; 256]) = {
    let (mut powers, mut logarithms) = ([0; 512], [0; 256]);
    let (mut value, mut power) = (1u16, 0);
    while power < 255 {
        (powers[power], powers[power + 255]) = (value as u8, value as u8);
        logarithms[value as usize] = power as u8;
        value <<= 1;
        if value > 255 {
            value ^= 0x11d;
        }
        power += 1;
    }
    (powers, logarithms)
};

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(random: &mut fastrand::Rng, count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|_| (0..random.usize(1..1200)).map(|_| random.u8(..)).collect()).collect()
    }

    #[test]
    fn any_packets_come_back_from_as_many_rows_and_not_from_fewer() {
        let mut random = fastrand::Rng::with_seed(7);
        for turn in 0..60 {
            let count = random.usize(1..=MOST_PACKETS);
            let all = packets(&mut random, count);
            let lost: Vec<usize> = {
                let mut order: Vec<usize> = (0..count).collect();
                random.shuffle(&mut order);
                order.truncate(random.usize(1..=count.min(MOST_ROWS)));
                order.sort_unstable();
                order
            };
            let mut numbers: Vec<u8> = (0..MOST_ROWS as u8).collect();
            random.shuffle(&mut numbers);
            let rows: Vec<(u8, Vec<u8>)> = numbers[..lost.len()]
                .iter()
                .map(|row| {
                    let mut out = Vec::new();
                    write_row(*row, all.iter().map(Vec::as_slice), &mut out);
                    (*row, out)
                })
                .collect();
            let rows: Vec<(u8, &[u8])> = rows.iter().map(|(row, bytes)| (*row, bytes.as_slice())).collect();
            let have = |index: usize| (!lost.contains(&index)).then(|| all[index].as_slice());
            let found = recover(count, have, &rows).expect("as many rows as are lost");
            let expected: Vec<(usize, Vec<u8>)> = lost.iter().map(|index| (*index, all[*index].clone())).collect();
            assert_eq!(found, expected, "turn {turn}");
            assert_eq!(recover(count, have, &rows[1..]), None);
        }
    }

    #[test]
    fn what_does_not_fit_together_is_nothing() {
        let have = |index: usize| (index == 0).then_some(&[1u8, 2, 3][..]);
        let same: [(u8, &[u8]); 2] = [(1, &[1, 2, 3, 4, 5]), (1, &[1, 2, 3, 4, 5])];
        assert_eq!(recover(3, have, &same), None, "the same row twice");
        assert_eq!(recover(2, have, &[(1, &[1, 2])]), None, "shorter than a packet that is there");
        assert_eq!(recover(2, have, &[(200, &[1, 2, 3, 4, 5])]), None, "a row that there is not");
        assert_eq!(recover(200, have, &[(1, &[1, 2, 3, 4, 5])]), None, "a block that is too large");
        // A length above what there is.
        assert_eq!(recover(1, |_| None, &[(0, &[255, 255, 1])]), None);
    }

    #[test]
    fn rows_are_as_many_as_the_losses_ask_for() {
        let table =
            [(48, 0.0, 0), (48, 0.02, 6), (48, 0.05, 10), (48, 0.10, 17), (9, 0.10, 5), (1, 0.10, 1), (0, 0.1, 0)];
        for (packets, loss, expected) in table {
            assert_eq!(Blocks::new(packets, loss).len(), expected, "{packets} packets, {loss}");
        }
        let blocks = Blocks::new(100, 0.02);
        let rows: Vec<Row> = (0..).map_while(|index| blocks.get(index)).collect();
        assert_eq!((blocks.blocks, rows.len()), (2, blocks.len()));
        assert_eq!(rows[..2].iter().map(|row| row.packets).sum::<usize>(), 100);
        assert!(rows[0].begins && !rows[0].ends && rows[1].ends && rows[2].row == 1);
    }
}
