//! A Quick Message from program to program, on TCP B + 2: the frames of [`frame`](crate::proto::frame) inside mutual TLS 1.3.
//!
//! ```text
//! sender                                recipient
//! Hello {devices}                  →    a pal? Whoever is none hears nothing
//!                                  ←    Hello {devices, sealing}
//! Head {key, size, sealed}         →
//! Part … until `size` bytes        →    opened, kept
//!                                  ←    Answer {kept}
//! ```
//!
//! The message is sealed as one that goes by the service is, and has the same key: by both ways it is one.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::base::error::{Error, Kind, Result};
use crate::proto::devices::DeviceList;
use crate::proto::frame::{FrameKind, frame};
use crate::proto::keys::PublicKey;
use crate::proto::service::messages::{LARGEST, SealedKey, SealingKey};
use crate::proto::service::names::Key;
use crate::proto::signal::body::Line;

/// Bytes of a part: what a connection holds before its sender is known to be a pal stays small.
pub const PART: usize = 16 * 1024;

/// Who one is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The device of the connection's certificate is among them.
    pub devices: DeviceList,
    /// What the recipient's device wants messages sealed to.
    #[serde(default)]
    pub sealing: Option<SealingKey>,
}

/// What comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The sender's name for it.
    pub key: Key,
    pub size: u32,
    pub sealed: SealedKey,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// It is on the recipient's disk, or was before.
    pub kept: bool,
    /// Why not, for the person.
    #[serde(default)]
    pub why: Line,
}

impl Hello {
    /// The account behind the device of the connection. [`Kind::Refused`]: it does not vouch for that device.
    pub fn account(&self, device: &PublicKey) -> Result<PublicKey> {
        self.devices.verify(device)?;
        Ok(self.devices.account)
    }
}

/// A frame of `kind` with `body` as JSON.
pub fn written<T: Serialize>(kind: FrameKind, body: &T) -> Result<Vec<u8>> {
    let unwritable = |error: serde_json::Error| Error::new(Kind::Malformed, format!("not writable: {error}"));
    frame(kind, &serde_json::to_vec(body).map_err(unwritable)?)
}

/// A body as JSON. [`Kind::Malformed`] where it is none.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|_| Error::new(Kind::Malformed, "a frame that is none"))
}

/// Parts of a message as they come, never more than was said.
#[derive(Debug)]
pub struct Parts {
    size: usize,
    bytes: Vec<u8>,
}

impl Parts {
    /// [`Kind::Full`]: more is announced than a message has.
    pub fn new(head: &Head) -> Result<Self> {
        let size = head.size as usize;
        if size > LARGEST {
            return Err(Error::new(Kind::Full, "a message has at most 4 MiB"));
        }
        Ok(Self { size, bytes: Vec::new() })
    }

    /// The whole once it is there. [`Kind::Malformed`]: more came than was announced, or nothing.
    pub fn push(&mut self, part: &[u8]) -> Result<Option<Vec<u8>>> {
        if part.is_empty() || part.len() > PART || self.bytes.len().saturating_add(part.len()) > self.size {
            return Err(Error::new(Kind::Malformed, "a part that has no place in the message"));
        }
        self.bytes.extend_from_slice(part);
        if self.bytes.len() < self.size {
            return Ok(None);
        }
        // Nothing comes after it.
        self.size = 0;
        Ok(Some(std::mem::take(&mut self.bytes)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};

    use super::*;
    use crate::proto::frame::FrameReader;
    use crate::proto::keys::Signer;
    use crate::proto::service::names::Bytes;

    fn head(size: u32) -> Head {
        let sealed = SealedKey {
            device: PublicKey([1; 32]),
            encapsulated: Bytes::new(vec![2; 32]).expect("short"),
            ciphertext: Bytes::new(vec![3; 48]).expect("short"),
        };
        Head { key: Key::try_from("a-message".to_owned()).expect("a key"), size, sealed }
    }

    #[test]
    fn what_is_said_is_heard_and_a_device_that_is_not_vouched_for_is_nobody() {
        let (account, device) = (Signer::generate().expect("key"), Signer::generate().expect("key"));
        let devices = DeviceList::sign(&account, 1, vec![device.public()]);
        let hello = Hello { devices, sealing: None };
        let bytes = written(FrameKind::Hello, &hello).expect("short");
        let mut reader = FrameReader::default();
        reader.push(&bytes);
        let (kind, body) = reader.next_frame().expect("whole").expect("a frame");
        assert_eq!((kind, read::<Hello>(body).expect("a hello")), (FrameKind::Hello, hello.clone()));
        assert_eq!(hello.account(&device.public()).expect("vouched for"), account.public());
        assert!(hello.account(&account.public()).is_err());
    }

    proptest! {
        #[test]
        fn parts_come_to_the_whole_and_to_no_more(bytes in vec(any::<u8>(), 1..2000), cut in 1usize..300, more in 0u32..3) {
            let mut parts = Parts::new(&head(bytes.len() as u32)).expect("short");
            let mut whole = None;
            for part in bytes.chunks(cut) {
                assert!(whole.is_none());
                whole = parts.push(part).expect("has its place");
            }
            assert_eq!(whole, Some(bytes.clone()));
            let mut longer = Parts::new(&head(bytes.len() as u32 + more)).expect("short");
            assert_eq!(bytes.chunks(cut).all(|part| longer.push(part).expect("has its place").is_none()), more > 0);
            assert!(longer.push(&vec![0; more as usize + 1]).is_err());
        }

        #[test]
        fn anything_is_read_without_harm(bytes in vec(any::<u8>(), 0..200)) {
            let _ = (read::<Hello>(&bytes), read::<Head>(&bytes), read::<Answer>(&bytes));
        }
    }

    #[test]
    fn what_is_longer_than_a_message_is_refused_by_its_head_alone() {
        assert!(Parts::new(&head(LARGEST as u32)).is_ok());
        assert_eq!(Parts::new(&head(LARGEST as u32 + 1)).expect_err("too long").kind, Kind::Full);
        assert!(Parts::new(&head(10)).expect("short").push(&[]).is_err());
    }
}
