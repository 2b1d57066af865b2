//! Somebody with keys and an account.

use engine::proto::devices::DeviceList;
use engine::proto::keys::Signer;
use engine::proto::service::account::{LoggedIn, Login, Register, Registered, Request, Secret};
use engine::proto::service::names::AccountName;
use engine::proto::signal::body::Name;

use crate::service::client::{Asked, Channels, Place};

/// A person with one device.
pub struct Someone {
    pub name: AccountName,
    pub password: Secret,
    pub account: Signer,
    pub device: Signer,
    pub devices: DeviceList,
}

impl Someone {
    pub fn new(name: &str) -> Self {
        let (account, device) = (Signer::generate().expect("a key"), Signer::generate().expect("a key"));
        let devices = DeviceList::sign(&account, 1, vec![device.public()]);
        let name = AccountName::new(name).expect("a name");
        Self { password: Secret::new(&format!("the password of {name}")), name, account, device, devices }
    }

    /// The request to register.
    pub fn registration(&self) -> Request {
        Request::Register(Box::new(Register {
            name: self.name.clone(),
            password: self.password.clone(),
            display: Name::cut(&self.name.to_uppercase()),
            device: self.device.public(),
            devices: self.devices.clone(),
            invite: None,
        }))
    }

    /// The request to log in with `password`.
    pub fn login_with(&self, password: &Secret) -> Request {
        let (name, device) = (self.name.clone(), self.device.public());
        Request::Login(Box::new(Login { name, password: password.clone(), device, devices: None }))
    }

    pub fn register(&self, place: &Place) -> Asked<Registered> {
        place.account(&self.registration(), None)
    }

    pub fn log_in(&self, place: &Place) -> Asked<LoggedIn> {
        place.account(&self.login_with(&self.password), None)
    }

    /// Registers and opens the channels.
    pub fn join(&self, place: &Place) -> Asked<Channels> {
        let registered = self.register(place)?;
        place.open(&registered.login.access)
    }
}
