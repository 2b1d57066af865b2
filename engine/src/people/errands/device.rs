//! Several devices of one account: its key, which lies on the first of them, signs the others.

use super::account::refused;
use super::{Errands, unexpected};
use crate::net::service::https::Asked;
use crate::people::command::Outcome;
use crate::people::session::Inner;
use crate::people::tokens::logged_out;
use crate::proto::devices::DeviceList;
use crate::proto::keys::PublicKey;
use crate::proto::service::account::{Nothing, Request, SetDevices};
use crate::proto::service::pals;
use crate::proto::service::refusal::Code;
use crate::store::identity::Identity;

impl Errands {
    pub(super) fn devices(&self) -> Asked<Outcome> {
        self.listed().map(|devices| Outcome::Devices(Box::new(devices)))
    }

    /// On disk first: a list that the service has and this device not could not be added to.
    pub(super) fn add_device(&self, device: PublicKey) -> Asked<Outcome> {
        let (at, mut identity) = (self.at()?, self.identity_now()?);
        identity.add_device(device)?;
        let devices = identity.devices().clone();
        self.asked::<Nothing>(&at, &Request::SetDevices(Box::new(SetDevices { devices: devices.clone() })))?;
        Ok(Outcome::Devices(Box::new(devices)))
    }

    /// Only a list of the account that one has logged in to, and only where it has this device on it.
    pub(super) fn adopt(&self) -> Asked<Outcome> {
        let mut identity = self.identity_now()?;
        let devices = self.listed()?;
        let login = self.logins.load()?.ok_or_else(logged_out)?;
        if devices.account != login.person.key || devices.verify(&identity.device().public()).is_err() {
            let text =
                "the account's key has not signed this device yet: say its code to the device that holds the key";
            return Err(refused(Code::NotFound, text));
        }
        identity.adopt(devices.clone())?;
        self.tell(Inner::Login);
        Ok(Outcome::Devices(Box::new(devices)))
    }

    fn listed(&self) -> Asked<DeviceList> {
        let login = self.logins.load()?.ok_or_else(logged_out)?;
        match self.pals(pals::Request::Devices { name: login.person.name })? {
            pals::Reply::Devices { devices } => Ok(devices),
            _ => Err(unexpected()),
        }
    }

    /// As it is on the disk: another program of the folder may have changed it.
    fn identity_now(&self) -> Asked<Identity> {
        Ok(Identity::load_or_create(&self.data, self.identity.name())?)
    }
}
