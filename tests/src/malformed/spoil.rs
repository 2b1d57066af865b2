//! What can be wrong with a packet of sound.

use engine::proto::red::{self, FARTHEST, LONGEST, OPUS};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// An Opus packet as an encoder made it.
pub type Model = Vec<u8>;

/// As much as a datagram holds.
const MOST: usize = 1400;

#[derive(Clone, Copy, Debug)]
enum Wrong {
    /// Some bits are others.
    Bits,
    Cut,
    /// More follows.
    Tail,
    /// The table of contents (RFC 6716 §3.1) of an Opus packet is another, or another packet's.
    Contents,
    /// The number of frames and their lengths within an Opus packet (RFC 6716 §3.2) are others.
    Frames,
    /// The headers of copies (RFC 2198 §3) say other lengths, distances and types.
    Headers,
    /// The same blocks again and again.
    Again,
    /// Copies that are none.
    Foreign,
    /// What says whether there are copies is wrong.
    Kind,
    Noise,
}

const WRONGS: [Wrong; 10] = [
    Wrong::Bits,
    Wrong::Cut,
    Wrong::Tail,
    Wrong::Contents,
    Wrong::Frames,
    Wrong::Headers,
    Wrong::Again,
    Wrong::Foreign,
    Wrong::Kind,
    Wrong::Noise,
];

/// `payload`, Opus or (`redundant`) RFC 2198, with something wrong in it: never the same bytes of the same kind.
pub fn spoil(random: &mut StdRng, payload: &[u8], redundant: bool, models: &[Model]) -> (Vec<u8>, bool) {
    let (mut bytes, mut kind) = (payload.to_vec(), redundant);
    while bytes == payload && kind == redundant {
        // Mostly one thing, sometimes more.
        for _ in 0..*[1, 1, 1, 2, 3].choose(random).unwrap_or(&1) {
            let wrong = *WRONGS.choose(random).unwrap_or(&Wrong::Noise);
            apply(wrong, random, &mut bytes, &mut kind, models);
        }
    }
    bytes.truncate(MOST);
    (bytes, kind)
}

fn apply(wrong: Wrong, random: &mut StdRng, bytes: &mut Vec<u8>, redundant: &mut bool, models: &[Model]) {
    let model = |random: &mut StdRng| models.choose(random).cloned().unwrap_or_default();
    match wrong {
        Wrong::Bits => {
            for _ in 0..random.random_range(1..=16) {
                let bit = random.random_range(0..8);
                if let Some(byte) = any(random, bytes) {
                    *byte ^= 1 << bit;
                }
            }
        }
        Wrong::Cut => bytes.truncate(random.random_range(0..=bytes.len())),
        Wrong::Tail => {
            let tail = noise(random, 600);
            bytes.extend(tail);
        }
        Wrong::Contents => {
            let other = model(random).first().copied().unwrap_or_default();
            let other = if random.random() { other } else { random.random() };
            let starts = starts(bytes, *redundant);
            if let Some(byte) = starts.choose(random).and_then(|at| bytes.get_mut(*at)) {
                *byte = other;
            }
        }
        Wrong::Frames => {
            let starts = starts(bytes, *redundant);
            let Some(at) = starts.choose(random).copied() else { return };
            if let Some(contents) = bytes.get_mut(at) {
                *contents = *contents & !3 | random.random_range(1..=3);
            }
            if let Some(count) = bytes.get_mut(at + 1) {
                *count = random.random();
            }
        }
        Wrong::Headers => headers(random, bytes, redundant),
        Wrong::Again => {
            let times = random.random_range(1..30);
            let block = model(random);
            let copies = (1..=times).map(|n| (n * 120, block.as_slice()));
            let own = bytes.clone();
            if *redundant {
                again(bytes, times as usize);
            } else {
                red::write(copies, &own, bytes);
                *redundant = true;
            }
        }
        Wrong::Foreign => {
            let (block, own) = (noise(random, LONGEST), model(random));
            let copies = [(random.random_range(0..=FARTHEST), block.as_slice()), (960, own.as_slice())];
            red::write(copies.into_iter(), &own, bytes);
            *redundant = true;
        }
        Wrong::Kind => *redundant = !*redundant,
        Wrong::Noise => *bytes = noise(random, MOST),
    }
}

/// Where Opus packets begin in a payload; 0 where it cannot be read.
fn starts(bytes: &[u8], redundant: bool) -> Vec<usize> {
    let blocks = if redundant { red::read(bytes) } else { None };
    blocks.map_or_else(|| vec![0], |blocks| blocks.map(|block| block.range.start).collect())
}

/// Another header before what is there, or another one in the place of the first.
fn headers(random: &mut StdRng, bytes: &mut Vec<u8>, redundant: &mut bool) {
    let kind = if random.random_range(0..4) > 0 { OPUS } else { random.random_range(0..128) };
    // Small lengths are those that find something behind them.
    let length = if random.random() { random.random_range(0..200) } else { random.random_range(0..=LONGEST as u32) };
    let before = random.random_range(0..=FARTHEST / 120) * 120 + u32::from(random.random_range(0..4u8) == 0);
    let header = (1 << 31 | u32::from(kind) << 24 | before.min(FARTHEST) << 10 | length).to_be_bytes();
    if *redundant && random.random() && bytes.len() >= header.len() {
        bytes[..header.len()].copy_from_slice(&header);
    } else {
        if !*redundant {
            bytes.insert(0, OPUS);
        }
        bytes.splice(0..0, header);
    }
    *redundant = true;
}

/// The first header of copies and what it is of, so many times more.
fn again(bytes: &mut Vec<u8>, times: usize) {
    let Some(header) = bytes.first_chunk::<4>().copied() else { return };
    let length = (u32::from_be_bytes(header) as usize) & LONGEST;
    let Some(first) = starts(bytes, true).first().copied() else { return };
    let block = bytes.get(first..first + length).unwrap_or_default().to_vec();
    for _ in 0..times {
        if bytes.len() + header.len() + block.len() > MOST {
            return;
        }
        let at = (first + header.len()).min(bytes.len());
        bytes.splice(0..0, header);
        bytes.splice(at..at, block.iter().copied());
    }
}

fn any<'a>(random: &mut StdRng, bytes: &'a mut [u8]) -> Option<&'a mut u8> {
    let at = random.random_range(0..bytes.len().max(1));
    bytes.get_mut(at)
}

fn noise(random: &mut StdRng, most: usize) -> Vec<u8> {
    let mut bytes = vec![0; random.random_range(0..most)];
    random.fill(&mut bytes[..]);
    bytes
}
