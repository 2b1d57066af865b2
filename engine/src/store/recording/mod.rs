//! Recordings of calls on disk: a head, about two pieces a second, an end. Every piece has a checksum and is on the disk
//! before the next one, so that a program or a machine that dies loses less than a second.
//!
//! The file: `VISAVREC` and the version as u16; then pieces of u8 kind, u32 length, u32 CRC-32 of kind and
//! body, and the body. All numbers are little-endian. What the bodies say is not known here.

mod reader;
mod writer;

pub use reader::{Next, RecordingReader};
pub use writer::RecordingWriter;

use std::path::Path;

use crate::base::error::{Error, Kind};

/// What a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    Head,
    Ticks,
    End,
}

impl Piece {
    const ALL: [Self; 3] = [Self::Head, Self::Ticks, Self::End];

    const fn number(self) -> u8 {
        match self {
            Self::Head => 1,
            Self::Ticks => 2,
            Self::End => 3,
        }
    }
}

const MAGIC: [u8; 8] = *b"VISAVREC";
const VERSION: u16 = 7;
/// Kind, length and checksum.
const PIECE_HEAD: usize = 9;
/// Half a second of a call at 100 Mbit/s: what claims to be longer is damaged.
const MOST: usize = 8 << 20;

fn checksum(kind: u8, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[kind]);
    hasher.update(body);
    hasher.finalize()
}

fn refused(path: &Path, what: &str, error: &std::io::Error) -> Error {
    Error::new(Kind::Refused, format!("{what} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
