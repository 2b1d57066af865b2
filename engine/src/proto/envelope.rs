//! The signed envelope that carries every signalling message on every route.
//!
//! On the wire it is JSON: the message as a text, the signing device and its Ed25519 signature over that text. The
//! signature covers the text as it is, so no canonical form is needed, and a browser can make one.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::base::error::{Error, Kind, Result};
use crate::base::id::CallId;
use crate::proto::frame::LARGEST;
use crate::proto::hex;
use crate::proto::keys::{Digest, PublicKey, Purpose, Signature, Signer};
use crate::proto::signal::body::Body;

/// One message from one device about one call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    #[serde(with = "call_id")]
    pub call: CallId,
    pub from: Party,
    /// The account or the device key of the receiver: on a direct route only the device's is known at first.
    pub to: PublicKey,
    /// Rises by one with each message of this device in this call, from 0.
    pub counter: u64,
    pub body: Body,
}

/// A device of an account. The account is a claim until a device list in the call has shown it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Party {
    pub account: PublicKey,
    pub device: PublicKey,
}

/// An envelope ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    pub bytes: Vec<u8>,
    /// SHA-256 of the signed text: what an ANSWER says about its OFFER.
    pub digest: Digest,
}

/// An envelope whose signature is good, and whose device list, where it carries one, vouches for its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub envelope: Envelope,
    /// SHA-256 of the signed text.
    pub digest: Digest,
}

impl Envelope {
    /// Signs with the device key that `from` names. [`Kind::Full`] beyond 32 KiB: say less.
    pub fn seal(&self, device: &Signer) -> Result<Sealed> {
        let unwritable = |error: serde_json::Error| Error::new(Kind::Malformed, format!("not writable: {error}"));
        let text = serde_json::to_string(self).map_err(unwritable)?;
        let signature = device.sign(Purpose::Envelope, text.as_bytes());
        let digest = Digest::of(text.as_bytes());
        let bytes = serde_json::to_vec(&Wire { signed: text.into(), device: device.public(), signature })
            .map_err(unwritable)?;
        if bytes.len() > LARGEST {
            return Err(Error::new(Kind::Full, "the message is longer than 32 KiB"));
        }
        Ok(Sealed { bytes, digest })
    }

    /// Reads and verifies. [`Kind::Malformed`]: not of the form; [`Kind::Refused`]: a signature or device list is
    /// not good. Drop and count either. Whether it is for us, and not a repetition, is asked separately:
    /// [`Self::is_for`], `Dedup`.
    pub fn open(bytes: &[u8]) -> Result<Verified> {
        let malformed = |error: serde_json::Error| Error::new(Kind::Malformed, format!("not an envelope: {error}"));
        if bytes.len() > LARGEST {
            return Err(Error::new(Kind::Malformed, "an envelope longer than 32 KiB"));
        }
        let wire: Wire<'_> = serde_json::from_slice(bytes).map_err(malformed)?;
        wire.device.verify(Purpose::Envelope, wire.signed.as_bytes(), &wire.signature)?;
        let envelope: Self = serde_json::from_str(&wire.signed).map_err(malformed)?;
        if envelope.from.device != wire.device {
            return Err(Error::new(Kind::Refused, "the envelope is signed by another device than it names"));
        }
        if let Some(devices) = envelope.body.devices() {
            if devices.account != envelope.from.account {
                return Err(Error::new(Kind::Refused, "the device list is of another account"));
            }
            devices.verify(&envelope.from.device)?;
        }
        Ok(Verified { envelope, digest: Digest::of(wire.signed.as_bytes()) })
    }

    /// Whether it is addressed to this account or this device of it.
    pub fn is_for(&self, us: &Party) -> bool {
        self.to == us.account || self.to == us.device
    }
}

#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    signed: Cow<'a, str>,
    device: PublicKey,
    signature: Signature,
}

/// `CallId` in JSON.
mod call_id {
    use serde::{Deserializer, Serializer};

    use super::{CallId, hex};

    pub fn serialize<S: Serializer>(id: &CallId, serializer: S) -> Result<S::Ok, S::Error> {
        hex::serialize(&id.0, serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<CallId, D::Error> {
        hex::deserialize(deserializer).map(CallId)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};

    use super::*;
    use crate::proto::devices::DeviceList;
    use crate::proto::signal::body::{Challenge, Nonce};

    struct Person {
        account: Signer,
        device: Signer,
    }

    impl Person {
        fn new() -> Self {
            Self { account: Signer::generate().expect("key"), device: Signer::generate().expect("key") }
        }

        fn party(&self) -> Party {
            Party { account: self.account.public(), device: self.device.public() }
        }

        fn says(&self, to: &Self, body: Body) -> Envelope {
            let to = to.account.public();
            Envelope { call: CallId([5; 16]), from: self.party(), to, counter: 3, body }
        }

        fn challenge(&self, devices: Vec<PublicKey>) -> Body {
            let devices = DeviceList::sign(&self.account, 1, devices);
            Body::Challenge(Challenge { nonce: Nonce([1; 16]), devices })
        }
    }

    #[test]
    fn what_was_sealed_opens_with_the_same_digest_and_address() {
        let (ada, bob) = (Person::new(), Person::new());
        let envelope = ada.says(&bob, ada.challenge(vec![ada.device.public()]));
        let sealed = envelope.seal(&ada.device).expect("short");
        let verified = Envelope::open(&sealed.bytes).expect("good");
        assert_eq!((&verified.envelope, verified.digest), (&envelope, sealed.digest));
        assert!(verified.envelope.is_for(&bob.party()) && !verified.envelope.is_for(&ada.party()));
    }

    #[test]
    fn one_changed_letter_is_refused() {
        let (ada, bob) = (Person::new(), Person::new());
        let sealed = ada.says(&bob, Body::Ringing).seal(&ada.device).expect("short");
        let text = String::from_utf8(sealed.bytes).expect("JSON");
        let changed = text.replace(r#"\"counter\":3"#, r#"\"counter\":4"#);
        assert_ne!(text, changed);
        assert_eq!(Envelope::open(changed.as_bytes()).expect_err("changed").kind, Kind::Refused);
    }

    #[test]
    fn a_device_speaks_for_itself_and_for_an_account_that_lists_it() {
        let (ada, bob, eve) = (Person::new(), Person::new(), Person::new());
        // Eve signs what claims to be from Ada's device.
        let forged = ada.says(&bob, Body::Ringing).seal(&eve.device).expect("short");
        assert_eq!(Envelope::open(&forged.bytes).expect_err("forged").kind, Kind::Refused);
        // Eve's device claims Ada's account with a list Ada made for her own device, then with one of Eve's.
        let from = Party { account: ada.account.public(), device: eve.device.public() };
        for body in [ada.challenge(vec![ada.device.public()]), eve.challenge(vec![eve.device.public()])] {
            let claim = Envelope { from, ..eve.says(&bob, body) }.seal(&eve.device).expect("short");
            assert_eq!(Envelope::open(&claim.bytes).expect_err("claimed").kind, Kind::Refused);
        }
    }

    proptest! {
        #[test]
        fn garbage_is_refused_without_panic(bytes in vec(any::<u8>(), 0..300)) {
            assert!(Envelope::open(&bytes).is_err());
        }
    }
}
