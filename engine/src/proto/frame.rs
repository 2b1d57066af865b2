//! Frames on a call control connection: length u32 (big-endian, of the body), type u8, body.

use crate::base::error::{Error, Kind, Result};

/// The largest body: an OFFER with sixteen devices takes 3 KiB, and a connection's memory stays within 64 KiB.
pub const LARGEST: usize = 32 * 1024;

/// Length and type.
pub const HEADER: usize = 5;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// A signed envelope, JSON.
    Envelope,
    /// Of Quick Messages ([`direct`](crate::proto::direct)), JSON.
    Hello,
    Head,
    /// Bytes of one.
    Part,
    Answer,
    /// From a newer side: skipped.
    Unknown(u8),
}

impl FrameKind {
    const fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Envelope,
            2 => Self::Hello,
            3 => Self::Head,
            4 => Self::Part,
            5 => Self::Answer,
            other => Self::Unknown(other),
        }
    }

    const fn byte(self) -> u8 {
        match self {
            Self::Envelope => 1,
            Self::Hello => 2,
            Self::Head => 3,
            Self::Part => 4,
            Self::Answer => 5,
            Self::Unknown(other) => other,
        }
    }
}

/// Takes bytes as they come and gives whole frames. Holds at most one frame and what one read brought after it.
#[derive(Debug, Default)]
pub struct FrameReader {
    bytes: Vec<u8>,
    taken: usize,
}

impl FrameReader {
    /// Adds what was read. Take all frames before the next call: that bounds the memory.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.taken.min(self.bytes.len()));
        self.taken = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame. [`Kind::Malformed`] where the length passes [`LARGEST`], as soon as the header is
    /// there: close the connection.
    pub fn next_frame(&mut self) -> Result<Option<(FrameKind, &[u8])>> {
        let rest = self.bytes.get(self.taken..).unwrap_or_default();
        let Some((header, after)) = rest.split_first_chunk::<HEADER>() else { return Ok(None) };
        let [a, b, c, d, kind] = *header;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > LARGEST {
            return Err(Error::new(Kind::Malformed, "a frame longer than 32 KiB"));
        }
        let Some(body) = after.get(..length) else { return Ok(None) };
        self.taken = self.taken.saturating_add(HEADER).saturating_add(length);
        Ok(Some((FrameKind::from_byte(kind), body)))
    }

    /// Bytes held.
    pub fn len(&self) -> usize {
        self.bytes.len().saturating_sub(self.taken)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// `body` with its header. [`Kind::Full`] where it is longer than [`LARGEST`].
pub fn frame(kind: FrameKind, body: &[u8]) -> Result<Vec<u8>> {
    if body.len() > LARGEST {
        return Err(Error::new(Kind::Full, "the message is longer than 32 KiB"));
    }
    let length = (body.len() as u32).to_be_bytes();
    Ok([length.as_slice(), &[kind.byte()], body].concat())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};

    use super::*;

    proptest! {
        #[test]
        fn frames_survive_any_cutting(bodies in vec(vec(any::<u8>(), 0..300), 1..8), cut in 1usize..64) {
            let stream: Vec<u8> = bodies
                .iter()
                .flat_map(|body| frame(FrameKind::Envelope, body).expect("short"))
                .collect();
            let (mut reader, mut got) = (FrameReader::default(), Vec::new());
            for piece in stream.chunks(cut) {
                reader.push(piece);
                while let Some((kind, body)) = reader.next_frame().expect("well formed") {
                    assert_eq!(kind, FrameKind::Envelope);
                    got.push(body.to_vec());
                }
            }
            assert_eq!(got, bodies);
            assert!(reader.is_empty());
        }

        #[test]
        fn garbage_never_panics_and_never_gives_a_frame_beyond_the_bound(bytes in vec(any::<u8>(), 0..200)) {
            let mut reader = FrameReader::default();
            reader.push(&bytes);
            while let Ok(Some((_, body))) = reader.next_frame() {
                assert!(body.len() <= LARGEST);
            }
        }
    }

    #[test]
    fn a_length_beyond_the_bound_is_refused_by_its_header_alone() {
        let mut reader = FrameReader::default();
        reader.push(&[0, 0, 0x80, 1, 1]);
        assert_eq!(reader.next_frame().expect_err("too long").kind, Kind::Malformed);
        let mut reader = FrameReader::default();
        reader.push(&[0, 0, 0x80, 0, 1]);
        assert!(reader.next_frame().expect("just fits").is_none());
        assert_eq!(frame(FrameKind::Envelope, &vec![0; LARGEST + 1]).expect_err("too long").kind, Kind::Full);
    }
}
