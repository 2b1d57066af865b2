//! Sealing: what only the devices of a recipient can open. HPKE (RFC 9180) in base mode with X25519, HKDF-SHA256 and
//! AES-128-GCM for the message's key, AES-256-GCM (NIST SP 800-38D) with that key for the message itself.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_128 as SUITE;
use rustls::crypto::hpke::{EncapsulatedSecret, Hpke, HpkePrivateKey, HpkePublicKey};

use crate::base::error::{Error, Kind, Result};
use crate::proto::devices::DeviceList;
use crate::proto::keys::{PublicKey, Purpose, Signer, random};
use crate::proto::service::messages::{SealedKey, SealingKey};
use crate::proto::service::names::Bytes;

/// The key pair that messages to one device are sealed to.
pub struct SealingPair {
    public: [u8; 32],
    secret: [u8; 32],
}

/// The key of one message: random, used once.
pub struct MessageKey([u8; 32]);

impl SealingPair {
    /// A new random pair. [`Kind::Retry`] where the system gives no randomness.
    pub fn generate() -> Result<Self> {
        let failed = || Error::new(Kind::Retry, "the system gave no randomness for a new key");
        let (public, secret) = SUITE.generate_key_pair().map_err(|_| failed())?;
        let public = public.0.try_into().map_err(|_| failed())?;
        Ok(Self { public, secret: secret.secret_bytes().try_into().map_err(|_| failed())? })
    }

    /// The pair of the halves that [`Self::public`] and [`Self::secret`] gave.
    pub const fn from_halves(public: [u8; 32], secret: [u8; 32]) -> Self {
        Self { public, secret }
    }

    pub const fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// Goes to a private file, nowhere else.
    pub const fn secret(&self) -> &[u8; 32] {
        &self.secret
    }

    /// What is published of it, signed by the device it belongs to.
    pub fn signed(&self, device: &Signer) -> SealingKey {
        let signature = device.sign(Purpose::Sealing, &self.public);
        let public = Bytes::new(self.public.to_vec()).unwrap_or_default();
        SealingKey { device: device.public(), public, signature }
    }

    /// The message's key. [`Kind::Refused`]: it was not sealed to this pair, or was changed since.
    pub fn open(&self, sealed: &SealedKey) -> Result<MessageKey> {
        let refused = || Error::new(Kind::Refused, "the message was not sealed to this device");
        let encapsulated = EncapsulatedSecret(sealed.encapsulated.to_vec());
        let secret = HpkePrivateKey::from(self.secret.to_vec());
        let opened = SUITE.open(&encapsulated, INFO, &sealed.device.0, &sealed.ciphertext, &secret);
        Ok(MessageKey(opened.map_err(|_| refused())?.try_into().map_err(|_| refused())?))
    }
}

impl MessageKey {
    /// [`Kind::Retry`] where the system gives no randomness.
    pub fn generate() -> Result<Self> {
        random().map(Self)
    }

    /// Seals the key to each device of `keys` that `devices` vouches for and that signed its own key: to no other one.
    /// Empty where there is none.
    pub fn seal_to(&self, devices: &DeviceList, keys: &[SealingKey]) -> Result<Vec<SealedKey>> {
        keys.iter().filter(|key| is_vouched_for(devices, key)).map(|key| self.seal(key)).collect()
    }

    fn seal(&self, to: &SealingKey) -> Result<SealedKey> {
        let malformed = || Error::new(Kind::Malformed, "a device's key cannot be sealed to");
        let public = HpkePublicKey(to.public.to_vec());
        let sealed = SUITE.seal(INFO, &to.device.0, &self.0, &public);
        let (encapsulated, ciphertext) = sealed.map_err(|_| malformed())?;
        let encapsulated = Bytes::new(encapsulated.0).ok_or_else(malformed)?;
        Ok(SealedKey { device: to.device, encapsulated, ciphertext: Bytes::new(ciphertext).ok_or_else(malformed)? })
    }

    /// `bytes`, sixteen longer, for whoever has this key. Once a key.
    pub fn encrypt(self, mut bytes: Vec<u8>) -> Result<Vec<u8>> {
        let failed = |_| Error::new(Kind::Malformed, "the message cannot be sealed");
        self.cipher()?.seal_in_place_append_tag(ONCE(), Aad::empty(), &mut bytes).map_err(failed)?;
        Ok(bytes)
    }

    /// [`Kind::Refused`]: it is not what was sealed with this key.
    pub fn decrypt(&self, mut bytes: Vec<u8>) -> Result<Vec<u8>> {
        let refused = |_| Error::new(Kind::Refused, "the message was changed on its way");
        let length = self.cipher()?.open_in_place(ONCE(), Aad::empty(), &mut bytes).map_err(refused)?.len();
        bytes.truncate(length);
        Ok(bytes)
    }

    fn cipher(&self) -> Result<LessSafeKey> {
        let failed = |_| Error::new(Kind::Malformed, "a message's key has 32 bytes");
        UnboundKey::new(&AES_256_GCM, &self.0).map(LessSafeKey::new).map_err(failed)
    }
}

impl fmt::Debug for SealingPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingPair")
    }
}

impl fmt::Debug for MessageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MessageKey")
    }
}

/// The account's list has the device, and the device signed what is sealed to.
fn is_vouched_for(devices: &DeviceList, key: &SealingKey) -> bool {
    let by_account = devices.verify(&key.device).is_ok();
    by_account && key.public.len() == 32 && is_signed_by(&key.device, key)
}

fn is_signed_by(device: &PublicKey, key: &SealingKey) -> bool {
    device.verify(Purpose::Sealing, &key.public, &key.signature).is_ok()
}

/// What the sealing is for (RFC 9180 §8.1).
const INFO: &[u8] = b"visavis message 1";

/// A message's key encrypts one message, so the nonce need not differ.
const ONCE: fn() -> Nonce = || Nonce::assume_unique_for_key([0; 12]);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::hex;

    struct Device {
        signer: Signer,
        pair: SealingPair,
    }

    impl Device {
        fn new() -> Self {
            Self { signer: Signer::generate().expect("a key"), pair: SealingPair::generate().expect("a key") }
        }
    }

    #[test]
    fn what_was_sealed_opens_on_each_device_of_the_list_and_on_no_other() {
        let account = Signer::generate().expect("a key");
        let (one, other, foreign) = (Device::new(), Device::new(), Device::new());
        let list = DeviceList::sign(&account, 1, vec![one.signer.public(), other.signer.public()]);
        let keys = [&one, &other, &foreign].map(|device| device.pair.signed(&device.signer));
        let key = MessageKey::generate().expect("a key");
        let sealed = key.seal_to(&list, &keys).expect("sealed");
        assert_eq!(sealed.len(), 2, "a device that the account did not sign gets nothing");
        let secret = key.encrypt(b"words".to_vec()).expect("sealed");
        for (device, sealed) in [&one, &other].iter().zip(&sealed) {
            let key = device.pair.open(sealed).expect("its own");
            assert_eq!(key.decrypt(secret.clone()).expect("whole"), b"words");
            let mut changed = secret.clone();
            changed[0] ^= 1;
            assert_eq!(key.decrypt(changed).expect_err("changed").kind, Kind::Refused);
            assert_eq!(foreign.pair.open(sealed).expect_err("another's").kind, Kind::Refused);
        }
    }

    #[test]
    fn a_key_that_somebody_else_put_in_for_a_device_is_not_sealed_to() {
        let account = Signer::generate().expect("a key");
        let (device, eve) = (Device::new(), Device::new());
        let list = DeviceList::sign(&account, 1, vec![device.signer.public()]);
        let swapped = SealingKey { device: device.signer.public(), ..eve.pair.signed(&eve.signer) };
        let good = device.pair.signed(&device.signer);
        let key = MessageKey::generate().expect("a key");
        assert!(key.seal_to(&list, std::slice::from_ref(&swapped)).expect("nothing to do").is_empty());
        let forged = DeviceList { account: eve.signer.public(), ..list.clone() };
        assert!(key.seal_to(&forged, std::slice::from_ref(&good)).expect("nothing to do").is_empty());
        assert_eq!(key.seal_to(&list, &[swapped, good]).expect("sealed").len(), 1);
    }

    /// RFC 9180 A.1.1: the suite is the one it is said to be.
    #[test]
    fn the_first_vector_of_rfc_9180_opens() {
        let bytes = |text: &str| data_encoding::HEXLOWER.decode(text.as_bytes()).expect("hex");
        let secret: [u8; 32] =
            hex::parse("4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8").expect("hex");
        let encapsulated = bytes("37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431");
        let info = bytes("4f6465206f6e2061204772656369616e2055726e");
        let sealed =
            bytes("f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a");
        let opened = SUITE.open(
            &EncapsulatedSecret(encapsulated),
            &info,
            &bytes("436f756e742d30"),
            &sealed,
            &HpkePrivateKey::from(secret.to_vec()),
        );
        assert_eq!(opened.expect("opens"), bytes("4265617574792069732074727574682c20747275746820626561757479"));
    }
}
