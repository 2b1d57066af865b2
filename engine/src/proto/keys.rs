//! Keys, signatures and digests: Ed25519 (RFC 8032) and SHA-256 (FIPS 180-4).

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, ParsedPublicKey};
use aws_lc_rs::{digest, rand};
use serde::{Deserialize, Serialize};

use crate::base::error::{Error, Kind, Result};
use crate::base::id::CallId;
use crate::proto::hex;

/// An Ed25519 public key. Ordered bytewise.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PublicKey(#[serde(with = "hex")] pub [u8; 32]);

/// An Ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Signature(#[serde(with = "hex")] pub [u8; 64]);

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(#[serde(with = "hex")] pub [u8; 32]);

/// What is signed: each use has its own prefix, so that a signature for one is never valid for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The account key vouches for its devices.
    Devices,
    /// A device key vouches for a signalling message.
    Envelope,
    /// A device key vouches for what messages to it are sealed to.
    Sealing,
    /// A device key vouches for a Quick Message.
    Message,
}

/// An Ed25519 key pair.
pub struct Signer {
    pair: Ed25519KeyPair,
    public: PublicKey,
    pkcs8: Vec<u8>,
}

impl Signer {
    /// A new random key pair. [`Kind::Retry`] where the system gives no randomness.
    pub fn generate() -> Result<Self> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
            .map_err(|_| Error::new(Kind::Retry, "the system gave no randomness for a new key"))?;
        Self::from_pkcs8(document.as_ref())
    }

    /// A key pair from its PKCS #8 form (RFC 5958), as [`Self::pkcs8`] gives it.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self> {
        let malformed = || Error::new(Kind::Malformed, "not an Ed25519 key in PKCS #8 form");
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| malformed())?;
        let public = PublicKey(pair.public_key().as_ref().try_into().map_err(|_| malformed())?);
        Ok(Self { pair, public, pkcs8: pkcs8.to_vec() })
    }

    pub fn sign(&self, purpose: Purpose, message: &[u8]) -> Signature {
        let signature = self.pair.sign(&purpose.bind(message));
        // An Ed25519 signature has 64 bytes (RFC 8032 §5.1.6); one of another length would verify nowhere.
        Signature(signature.as_ref().try_into().unwrap_or([0; 64]))
    }

    pub const fn public(&self) -> PublicKey {
        self.public
    }

    /// The secret key. Goes to a private file and to TLS, nowhere else.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.public)
    }
}

impl PublicKey {
    /// [`Kind::Refused`] where `signature` is not this key's over `message`: drop and count the message.
    pub fn verify(&self, purpose: Purpose, message: &[u8], signature: &Signature) -> Result<()> {
        self.verify_raw(&purpose.bind(message), &signature.0)
    }

    /// The same without a purpose, for protocols that bind their own (TLS, X.509).
    pub fn verify_raw(&self, message: &[u8], signature: &[u8]) -> Result<()> {
        let refused = || Error::new(Kind::Refused, "the signature is not of the key it names");
        let key = ParsedPublicKey::new(&ED25519, self.0).map_err(|_| refused())?;
        key.verify_sig(message, signature).map_err(|_| refused())
    }

    /// SHA-256 of the key: what links and QR codes carry.
    pub fn fingerprint(&self) -> Digest {
        Digest::of(&self.0)
    }
}

impl Digest {
    pub fn of(bytes: &[u8]) -> Self {
        let mut out = [0; 32];
        out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
        Self(out)
    }
}

/// A digest of what comes in parts.
#[derive(Clone)]
pub struct Hasher(digest::Context);

impl Default for Hasher {
    fn default() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }
}

impl Hasher {
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Of everything that was added so far.
    pub fn digest(&self) -> Digest {
        let mut out = [0; 32];
        out.copy_from_slice(self.0.clone().finish().as_ref());
        Digest(out)
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher")
    }
}

impl Purpose {
    fn bind(self, message: &[u8]) -> Vec<u8> {
        let prefix: &[u8] = match self {
            Self::Devices => b"visavis devices 1\0",
            Self::Envelope => b"visavis envelope 1\0",
            Self::Sealing => b"visavis sealing 1\0",
            Self::Message => b"visavis message 1\0",
        };
        [prefix, message].concat()
    }
}

/// Sixty digits in twelve groups that two people compare: the same on both sides, whoever asks. Made from both
/// account keys in sorted order; sixty digits carry 199 bits.
pub fn safety_number(one: &PublicKey, other: &PublicKey) -> String {
    let (low, high) = if one <= other { (one, other) } else { (other, one) };
    let message = [b"visavis safety number 1\0".as_slice(), &low.0, &high.0].concat();
    let digest = digest::digest(&digest::SHA512, &message);
    // Five bytes per group of five digits: 2⁴⁰ is ten million times 10⁵, so every digit is as good as even.
    let groups = digest.as_ref().chunks_exact(5).take(12).map(|bytes| {
        let number = bytes.iter().fold(0u64, |number, byte| (number << 8) | u64::from(*byte));
        format!("{:05}", number % 100_000)
    });
    groups.collect::<Vec<_>>().join(" ")
}

/// N random bytes: nonces, credentials. [`Kind::Retry`] where the system gives no randomness.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| Error::new(Kind::Retry, "the system gave no randomness"))?;
    Ok(bytes)
}

/// The name of a new call.
pub fn new_call_id() -> Result<CallId> {
    random().map(CallId)
}

macro_rules! shown_as_hex {
    ($($name:ident)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::text(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}

shown_as_hex!(PublicKey Signature Digest);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_good_for_its_message_key_and_purpose_only() {
        let (signer, other) = (Signer::generate().expect("key"), Signer::generate().expect("key"));
        let signature = signer.sign(Purpose::Envelope, b"hello");
        assert!(signer.public().verify(Purpose::Envelope, b"hello", &signature).is_ok());
        assert!(signer.public().verify(Purpose::Envelope, b"hellp", &signature).is_err());
        assert!(signer.public().verify(Purpose::Devices, b"hello", &signature).is_err());
        assert!(other.public().verify(Purpose::Envelope, b"hello", &signature).is_err());
    }

    #[test]
    fn rfc_8032_test_2_verifies() {
        let key = hex::parse("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c").expect("hex");
        let signature: [u8; 64] = hex::parse(
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        )
        .expect("hex");
        assert!(PublicKey(key).verify_raw(&[0x72], &signature).is_ok());
        assert!(PublicKey(key).verify_raw(&[0x73], &signature).is_err());
    }

    #[test]
    fn the_safety_number_is_the_same_from_both_sides_and_has_sixty_digits() {
        let (a, b, c) = (PublicKey([1; 32]), PublicKey([2; 32]), PublicKey([3; 32]));
        let number = safety_number(&a, &b);
        assert_eq!(number, safety_number(&b, &a));
        assert_ne!(number, safety_number(&a, &c));
        assert_eq!(number.chars().filter(char::is_ascii_digit).count(), 60);
        assert_eq!(number.split(' ').count(), 12);
    }
}
