//! The list of devices that an account vouches for. An unsigned device is never rung and never rings.

use serde::{Deserialize, Serialize};

use crate::base::error::{Error, Kind, Result};
use crate::proto::keys::{PublicKey, Purpose, Signature, Signer};
use crate::proto::text::List;

/// An account's devices, signed with the account key. It travels in OFFER, CHALLENGE and ANSWER.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceList {
    pub account: PublicKey,
    /// Rises with each change of the list: of two lists of an account the higher one counts.
    pub serial: u64,
    /// Sixteen devices a person: more than anybody carries, and the message stays below its bound.
    pub devices: List<PublicKey, 16>,
    pub signature: Signature,
}

impl DeviceList {
    /// The first sixteen of `devices`, signed by `account`.
    pub fn sign(account: &Signer, serial: u64, devices: Vec<PublicKey>) -> Self {
        let devices = List::cut(devices);
        let signature = account.sign(Purpose::Devices, &signed_part(&account.public(), serial, &devices));
        Self { account: account.public(), serial, devices, signature }
    }

    /// That the account vouches for `device`. [`Kind::Refused`] otherwise: drop what the device sent.
    pub fn verify(&self, device: &PublicKey) -> Result<()> {
        let part = signed_part(&self.account, self.serial, &self.devices);
        self.account.verify(Purpose::Devices, &part, &self.signature)?;
        if !self.devices.contains(device) {
            return Err(Error::new(Kind::Refused, "the account does not vouch for this device"));
        }
        Ok(())
    }
}

fn signed_part(account: &PublicKey, serial: u64, devices: &[PublicKey]) -> Vec<u8> {
    let mut part = account.0.to_vec();
    part.extend_from_slice(&serial.to_be_bytes());
    devices.iter().for_each(|device| part.extend_from_slice(&device.0));
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_devices_of_an_untouched_list_are_vouched_for() {
        let account = Signer::generate().expect("key");
        let (mine, foreign) = (PublicKey([1; 32]), PublicKey([2; 32]));
        let list = DeviceList::sign(&account, 1, vec![mine]);
        assert!(list.verify(&mine).is_ok());
        assert!(list.verify(&foreign).is_err());
        let added = DeviceList { devices: List::cut(vec![mine, foreign]), ..list.clone() };
        assert!(added.verify(&foreign).is_err());
        assert!(added.verify(&mine).is_err());
        assert!(DeviceList { serial: 2, ..list }.verify(&mine).is_err());
    }
}
