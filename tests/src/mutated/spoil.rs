//! What can be wrong with a unit of H.264.

use engine::proto::nal::{TYPE_PPS, TYPE_SPS, nal_type, split};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// What a peer may send at most, and a little more.
const MOST: usize = (1 << 20) + 100;

#[derive(Clone, Copy, Debug)]
enum Wrong {
    /// Some bits are others, anywhere.
    Bits,
    /// Some bits of the first bytes of a NAL unit are others: headers of slices, parameter sets.
    Heads,
    /// Bits of the parameter sets are others.
    Sets,
    /// A parameter set is missing, or twice there.
    Missing,
    /// The type of a NAL unit is another.
    Kind,
    Cut,
    Tail,
    /// A stretch in the middle is noise, is missing, or is there twice.
    Middle,
    /// Another unit's NAL units behind it, or in between.
    Foreign,
    /// Start codes where none belong.
    Codes,
    Noise,
}

const WRONGS: [Wrong; 14] = [
    Wrong::Bits,
    Wrong::Bits,
    Wrong::Heads,
    Wrong::Heads,
    Wrong::Sets,
    Wrong::Sets,
    Wrong::Missing,
    Wrong::Kind,
    Wrong::Cut,
    Wrong::Tail,
    Wrong::Middle,
    Wrong::Foreign,
    Wrong::Codes,
    Wrong::Noise,
];

/// `unit` with something wrong in it: never the same bytes. `other` is another unit of the stream.
pub fn spoil(random: &mut StdRng, unit: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = unit.to_vec();
    while bytes == unit {
        // Mostly one thing, sometimes more.
        for _ in 0..*[1, 1, 1, 2, 3].choose(random).unwrap_or(&1) {
            apply(*WRONGS.choose(random).unwrap_or(&Wrong::Bits), random, &mut bytes, other);
        }
    }
    bytes.truncate(MOST);
    bytes
}

fn apply(wrong: Wrong, random: &mut StdRng, bytes: &mut Vec<u8>, other: &[u8]) {
    let mut nals: Vec<Vec<u8>> = split(bytes).map(<[u8]>::to_vec).collect();
    match wrong {
        Wrong::Bits => flip(random, bytes, 24),
        Wrong::Heads => {
            let nal = any(random, &mut nals);
            let length = nal.len().min(12);
            flip(random, &mut nal[..length], 6);
            *bytes = join(&nals);
        }
        Wrong::Sets => {
            for nal in nals.iter_mut().filter(|nal| is_set(nal)) {
                if random.random() && nal.len() > 1 {
                    flip(random, &mut nal[1..], 3);
                }
            }
            *bytes = join(&nals);
        }
        Wrong::Missing => {
            let sets: Vec<usize> = (0..nals.len()).filter(|at| is_set(&nals[*at])).collect();
            if let Some(at) = sets.choose(random) {
                if random.random() {
                    nals.remove(*at);
                } else {
                    nals.insert(random.random_range(0..=nals.len()), nals[*at].clone());
                }
            }
            *bytes = join(&nals);
        }
        Wrong::Kind => {
            let kind = random.random_range(0..32u8);
            if let Some(head) = any(random, &mut nals).first_mut() {
                *head = *head & 0xe0 | kind;
            }
            *bytes = join(&nals);
        }
        Wrong::Cut => bytes.truncate(random.random_range(0..=bytes.len())),
        Wrong::Tail => {
            let tail = noise(random, 3000);
            bytes.extend(tail);
        }
        Wrong::Middle => {
            let from = random.random_range(0..=bytes.len());
            let to = random.random_range(from..=bytes.len().min(from + 400));
            let middle = match random.random_range(0..3) {
                0 => noise(random, 400),
                1 => Vec::new(),
                _ => bytes[from..to].repeat(2),
            };
            bytes.splice(from..to, middle);
        }
        Wrong::Foreign => {
            nals.extend(split(other).map(<[u8]>::to_vec));
            if random.random() {
                let at = random.random_range(0..nals.len().max(1));
                nals.rotate_left(at);
            }
            *bytes = join(&nals);
        }
        Wrong::Codes => {
            for _ in 0..random.random_range(1..20) {
                let at = random.random_range(0..=bytes.len());
                bytes.splice(at..at, [0, 0, 1]);
            }
        }
        // Sometimes above every bound.
        Wrong::Noise => {
            let most = if random.random_range(0..50) == 0 { MOST } else { 2000 };
            *bytes = noise(random, most);
        }
    }
}

fn is_set(nal: &[u8]) -> bool {
    matches!(nal_type(nal), Some(TYPE_SPS | TYPE_PPS))
}

fn join(nals: &[Vec<u8>]) -> Vec<u8> {
    nals.iter().flat_map(|nal| [0, 0, 0, 1].into_iter().chain(nal.iter().copied())).collect()
}

/// Turns up to `most` bits over.
fn flip(random: &mut StdRng, bytes: &mut [u8], most: usize) {
    for _ in 0..random.random_range(1..=most) {
        let bit = random.random_range(0..8);
        let at = random.random_range(0..bytes.len().max(1));
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << bit;
        }
    }
}

fn any<'a>(random: &mut StdRng, nals: &'a mut Vec<Vec<u8>>) -> &'a mut Vec<u8> {
    if nals.is_empty() {
        nals.push(vec![0x65]);
    }
    let at = random.random_range(0..nals.len());
    &mut nals[at]
}

fn noise(random: &mut StdRng, most: usize) -> Vec<u8> {
    let mut bytes = vec![0; random.random_range(0..most)];
    random.fill(&mut bytes[..]);
    bytes
}
