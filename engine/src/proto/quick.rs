//! A Quick Message before it is sealed and after it is opened: what was said, by whom and to whom, signed by the sender's
//! device, so that a service can neither make one up nor give one to somebody else.
//!
//! ```text
//! signature (64) | length of the head (u32) | head, JSON | the parts' bytes, one after another
//! ```
//!
//! The signature covers all that follows it.

use serde::{Deserialize, Serialize};

use crate::base::error::{Error, Kind, Result};
use crate::proto::devices::DeviceList;
use crate::proto::keys::{PublicKey, Purpose, Signature, Signer};
use crate::proto::service::messages::LARGEST;
use crate::proto::service::names::Key;
use crate::proto::text::{List, Prose};

/// What somebody says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quick {
    pub text: Prose<4000>,
    pub parts: Vec<Part>,
    /// Which message it answers.
    pub reply_to: Option<Key>,
}

/// Something beside the text.
#[derive(Clone, PartialEq, Eq)]
pub struct Part {
    pub kind: PartKind,
    pub bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartKind {
    /// JPEG.
    Photo,
    /// Ogg Opus (RFC 7845).
    Voice,
    /// From a newer side: kept, not shown.
    #[serde(other)]
    Unknown,
}

/// A message whose signature is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The account that the sender's device list names. That this is the expected one is for the caller to ask.
    pub from: PublicKey,
    pub key: Key,
    pub quick: Quick,
}

#[derive(Serialize, Deserialize)]
struct Head {
    device: PublicKey,
    devices: DeviceList,
    /// The recipient's account.
    to: PublicKey,
    key: Key,
    #[serde(default)]
    text: Prose<4000>,
    #[serde(default)]
    parts: List<Length, 16>,
    #[serde(default)]
    reply_to: Option<Key>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Length {
    kind: PartKind,
    length: u32,
}

impl Quick {
    /// The message from the device of `devices` that `signer` is, to the account `to`. [`Kind::Full`] beyond 4 MiB: send less.
    pub fn sign(&self, signer: &Signer, devices: &DeviceList, to: PublicKey, key: &Key) -> Result<Vec<u8>> {
        let parts = self
            .parts
            .iter()
            .map(|part| Length { kind: part.kind, length: u32::try_from(part.bytes.len()).unwrap_or(u32::MAX) });
        let head = Head {
            device: signer.public(),
            devices: devices.clone(),
            to,
            key: key.clone(),
            text: self.text.clone(),
            parts: List::cut(parts.collect()),
            reply_to: self.reply_to.clone(),
        };
        let unwritable = |error: serde_json::Error| Error::new(Kind::Malformed, format!("not writable: {error}"));
        let head = serde_json::to_vec(&head).map_err(unwritable)?;
        let mut said = u32::try_from(head.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
        said.extend_from_slice(&head);
        self.parts.iter().for_each(|part| said.extend_from_slice(&part.bytes));
        // The seal adds sixteen bytes.
        if said.len().saturating_add(64 + 16) > LARGEST {
            return Err(Error::new(Kind::Full, "a message has at most 4 MiB: send a smaller photo or a shorter clip"));
        }
        let mut bytes = signer.sign(Purpose::Message, &said).0.to_vec();
        bytes.append(&mut said);
        Ok(bytes)
    }

    /// The message that `bytes` hold for the account `us`. [`Kind::Malformed`]: not of the form; [`Kind::Refused`]: not signed
    /// by a device of the account it names, or meant for somebody else.
    pub fn open(bytes: &[u8], us: &PublicKey) -> Result<Opened> {
        let malformed = || Error::new(Kind::Malformed, "the message is not of its form");
        let (signature, said) = bytes.split_first_chunk::<64>().ok_or_else(malformed)?;
        let (length, rest) = said.split_first_chunk::<4>().ok_or_else(malformed)?;
        let (head, mut rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or_else(malformed)?;
        let head: Head = serde_json::from_slice(head).map_err(|_| malformed())?;
        head.devices.verify(&head.device)?;
        head.device.verify(Purpose::Message, said, &Signature(*signature))?;
        if head.to != *us {
            return Err(Error::new(Kind::Refused, "the message was written to somebody else"));
        }
        let mut parts = Vec::new();
        for Length { kind, length } in head.parts.into_vec() {
            let (part, after) = rest.split_at_checked(length as usize).ok_or_else(malformed)?;
            parts.push(Part { kind, bytes: part.to_vec() });
            rest = after;
        }
        let quick = Self { text: head.text, parts, reply_to: head.reply_to };
        Ok(Opened { from: head.devices.account, key: head.key, quick })
    }
}

impl std::fmt::Debug for Part {
    /// Never the bytes: they are what people send each other.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} of {} bytes", self.kind, self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};

    use super::*;

    struct Person {
        account: Signer,
        device: Signer,
    }

    impl Person {
        fn new() -> Self {
            Self { account: Signer::generate().expect("a key"), device: Signer::generate().expect("a key") }
        }

        fn devices(&self) -> DeviceList {
            DeviceList::sign(&self.account, 1, vec![self.device.public()])
        }

        fn says(&self, to: &Self) -> Vec<u8> {
            quick().sign(&self.device, &self.devices(), to.account.public(), &key()).expect("short")
        }
    }

    fn key() -> Key {
        Key::try_from("a-key-of-it".to_owned()).expect("a key")
    }

    fn quick() -> Quick {
        let part = |kind, bytes: &[u8]| Part { kind, bytes: bytes.to_vec() };
        let parts = vec![part(PartKind::Photo, b"a face"), part(PartKind::Voice, b"a voice")];
        Quick { text: Prose::cut("hello\nyou"), parts, reply_to: Some(key()) }
    }

    #[test]
    fn what_was_said_is_read_by_the_one_it_was_said_to() {
        let (ada, ben, eve) = (Person::new(), Person::new(), Person::new());
        let bytes = ada.says(&ben);
        let opened = Quick::open(&bytes, &ben.account.public()).expect("good");
        assert_eq!(opened, Opened { from: ada.account.public(), key: key(), quick: quick() });
        // The service passes it on to Eve as if it were hers.
        assert_eq!(Quick::open(&bytes, &eve.account.public()).expect_err("not hers").kind, Kind::Refused);
    }

    #[test]
    fn one_changed_byte_and_another_ones_device_are_refused() {
        let (ada, ben, eve) = (Person::new(), Person::new(), Person::new());
        let bytes = ada.says(&ben);
        for at in [0, 63, 100, bytes.len() - 1] {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(Quick::open(&changed, &ben.account.public()).is_err(), "at {at}");
        }
        // Eve's device shows Ada's list, which does not have it.
        let forged = quick().sign(&eve.device, &ada.devices(), ben.account.public(), &key()).expect("short");
        assert_eq!(Quick::open(&forged, &ben.account.public()).expect_err("forged").kind, Kind::Refused);
    }

    #[test]
    fn more_than_four_mebibytes_are_refused_here() {
        let (ada, ben) = (Person::new(), Person::new());
        let part = Part { kind: PartKind::Photo, bytes: vec![0; LARGEST] };
        let large = Quick { parts: vec![part], ..Quick::default() };
        let error = large.sign(&ada.device, &ada.devices(), ben.account.public(), &key()).expect_err("too large");
        assert_eq!(error.kind, Kind::Full);
    }

    proptest! {
        #[test]
        fn garbage_is_refused_without_panic(bytes in vec(any::<u8>(), 0..400)) {
            assert!(Quick::open(&bytes, &PublicKey([1; 32])).is_err());
        }
    }
}
