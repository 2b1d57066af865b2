//! Files between the two of a call, over the call's data channel (RFC 8831): one message of the channel is one [`Message`].
//! A file is known by its SHA-256: that is what a transfer goes on with after a break.
//!
//! ```text
//! sender                                   receiver
//! Offer {file, hash, size}        →        a person is asked, or it goes on with what is there
//!                                 ←        Accept {hash, from, have}   have = SHA-256 of the first `from` bytes
//! Data (offset, bytes) …          →
//!                                 ←        Got {to} …                  paces the sender
//!                                 ←        Done {hash}                 the whole has the hash, and its name
//! ```
//!
//! Either side ends it by `Refuse`. The first byte of a message is its kind: 1 = JSON, 2 = data.

pub mod name;
pub mod pace;

use serde::{Deserialize, Serialize};

use self::name::FileName;
use crate::proto::keys::Digest;
use crate::proto::signal::body::Line;

/// The largest file. What is larger has better ways.
pub const LARGEST: u64 = 4 << 30;

/// The most bytes of one data message: a channel takes messages of 64 KiB (RFC 8841 §6.1), and what is sent at once delays
/// what comes after it.
pub const LARGEST_DATA: usize = 16 * 1024;

/// The longest message: a control message is far below it.
pub const LARGEST_MESSAGE: usize = LARGEST_DATA + DATA_HEADER;

const DATA_HEADER: usize = 9;
const CONTROL: u8 = 1;
const DATA: u8 = 2;

/// One message of the channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    Control(Control),
    Data { offset: u64, bytes: &'a [u8] },
}

/// What is said about a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Control {
    /// Sender: this is to be had.
    Offer(Offer),
    /// Receiver: send it from there on; `have` is the SHA-256 of what is here already.
    Accept { hash: Digest, from: u64, have: Digest },
    /// Either side: it ends here. One line for the person.
    Refuse {
        hash: Digest,
        #[serde(default)]
        why: Line,
    },
    /// Receiver: everything before this offset has arrived.
    Got { hash: Digest, to: u64 },
    /// Receiver: it is complete, is what was offered, and has its name.
    Done { hash: Digest },
    /// From a newer side: ignored.
    #[serde(other)]
    Unknown,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    pub name: FileName,
    pub size: u64,
    /// SHA-256 of the whole.
    pub hash: Digest,
}

impl<'a> Message<'a> {
    /// `None` for what is no message.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        match *kind {
            CONTROL if bytes.len() <= LARGEST_MESSAGE => serde_json::from_slice(rest).ok().map(Self::Control),
            DATA => {
                let (offset, bytes) = rest.split_first_chunk::<8>()?;
                let offset = u64::from_be_bytes(*offset);
                let is_within = offset.checked_add(bytes.len() as u64).is_some_and(|end| end <= LARGEST);
                let is_some = !bytes.is_empty() && bytes.len() <= LARGEST_DATA;
                (is_within && is_some).then_some(Self::Data { offset, bytes })
            }
            _ => None,
        }
    }
}

impl Control {
    /// The message that carries it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![CONTROL];
        // These types have no map with keys that are not text, which is all that can fail.
        bytes.extend(serde_json::to_vec(self).unwrap_or_default());
        bytes
    }
}

/// The message that carries a part of a file, into `out`.
pub fn write_data(offset: u64, bytes: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.push(DATA);
    out.extend_from_slice(&offset.to_be_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};

    use super::*;

    fn hash() -> Digest {
        Digest::of(b"a file")
    }

    #[test]
    fn what_is_said_is_heard() {
        for control in [
            Control::Offer(Offer { name: FileName::of("report.pdf"), size: 7, hash: hash() }),
            Control::Accept { hash: hash(), from: 3, have: Digest::of(b"a f") },
            Control::Refuse { hash: hash(), why: Line::cut("no room") },
            Control::Got { hash: hash(), to: 5 },
            Control::Done { hash: hash() },
        ] {
            assert_eq!(Message::parse(&control.to_bytes()), Some(Message::Control(control)));
        }
        let newer = br#"_{"type":"fold","twice":true}"#;
        let newer: Vec<u8> = [&[CONTROL], &newer[1..]].concat();
        assert_eq!(Message::parse(&newer), Some(Message::Control(Control::Unknown)));
    }

    #[test]
    fn what_lies_outside_of_any_file_is_no_message() {
        let data = |offset: u64, length: usize| {
            let mut out = Vec::new();
            write_data(offset, &vec![1; length], &mut out);
            Message::parse(&out).is_some()
        };
        assert!(data(0, 1) && data(LARGEST - 1, 1) && data(0, LARGEST_DATA));
        assert!(!data(0, 0) && !data(LARGEST, 1) && !data(u64::MAX, 1) && !data(0, LARGEST_DATA + 1));
        assert_eq!(Message::parse(&[]), None);
        assert_eq!(Message::parse(&[DATA, 0, 0]), None);
        assert_eq!(Message::parse(&[3, 0, 0]), None);
    }

    proptest! {
        #[test]
        fn anything_is_read_without_harm_and_a_name_in_it_is_one(bytes in vec(any::<u8>(), 0..80), text in any::<String>()) {
            let _ = Message::parse(&bytes);
            let _ = Message::parse(&[&[CONTROL], bytes.as_slice()].concat());
            let offer = format!(r#"{{"type":"offer","name":{},"size":1,"hash":"{}"}}"#,
                serde_json::to_string(&text).expect("text"), hash());
            if let Some(Message::Control(Control::Offer(offer))) = Message::parse(&[&[CONTROL], offer.as_bytes()].concat()) {
                assert!(!offer.name.contains(['/', '\\']) && !offer.name.is_empty());
            }
        }

        #[test]
        fn a_part_is_read_as_it_was_written(offset in 0..LARGEST / 2, bytes in vec(any::<u8>(), 1..200)) {
            let mut out = Vec::new();
            write_data(offset, &bytes, &mut out);
            assert_eq!(Message::parse(&out), Some(Message::Data { offset, bytes: &bytes }));
        }
    }
}
