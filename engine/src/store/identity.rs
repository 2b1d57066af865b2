//! Who this installation is: the account key, this device's key, the signed list of devices, and a name.

use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use crate::base::error::{Error, Kind, Result};
use crate::proto::devices::DeviceList;
use crate::proto::keys::{Digest, PublicKey, Signer, safety_number};
use crate::proto::signal::body::Name;
use crate::store::file::{self, Existing};

/// The keys and the name of one data folder.
#[derive(Debug)]
pub struct Identity {
    path: PathBuf,
    name: Name,
    account: Account,
    device: Signer,
    devices: DeviceList,
}

/// Whose device this is.
#[derive(Debug)]
enum Account {
    /// The account's key is here: it signs further devices.
    Held(Box<Signer>),
    /// Another device holds it, and has signed this one.
    Elsewhere(PublicKey),
}

impl Identity {
    /// Reads the identity in `data_dir`, or makes one called `name` where there is none. A file that is there is
    /// never overwritten: [`Kind::Refused`] when it cannot be read or written, [`Kind::Malformed`] when it is
    /// damaged; both texts name the file and what to do.
    pub fn load_or_create(data_dir: &Path, name: &str) -> Result<Self> {
        let path = data_dir.join(FILE);
        if let Some(identity) = Self::load(&path)? {
            return Ok(identity);
        }
        let (account, device) = (Signer::generate()?, Signer::generate()?);
        let devices = DeviceList::sign(&account, 1, vec![device.public()]);
        let account = Account::Held(Box::new(account));
        let identity = Self { path, name: Name::cut(name), account, device, devices };
        if identity.save(Existing::Keep)? {
            return Ok(identity);
        }
        // Another start made one between our look and our write: theirs counts.
        Self::load(&identity.path)?.ok_or_else(|| Error::new(Kind::Retry, "the identity file comes and goes"))
    }

    /// Changes the display name and stores it.
    pub fn rename(&mut self, name: &str) -> Result<()> {
        self.name = Name::cut(name);
        self.save(Existing::Replace).map(|_| ())
    }

    pub const fn name(&self) -> &Name {
        &self.name
    }

    pub const fn account(&self) -> PublicKey {
        match &self.account {
            Account::Held(signer) => signer.public(),
            Account::Elsewhere(key) => *key,
        }
    }

    /// Whether this device signs others.
    pub const fn holds_account(&self) -> bool {
        matches!(self.account, Account::Held(_))
    }

    /// Signs another device of the same person, and stores that. [`Kind::Refused`]: the account's key is on another device;
    /// [`Kind::Full`]: there are sixteen already.
    pub fn add_device(&mut self, device: PublicKey) -> Result<()> {
        let Account::Held(account) = &self.account else {
            let text = "the account's key is on the device that the account was made on: add devices there";
            return Err(Error::new(Kind::Refused, text));
        };
        let mut devices = self.devices.devices.to_vec();
        if devices.contains(&device) {
            return Ok(());
        }
        if devices.len() >= MOST_DEVICES {
            return Err(Error::new(Kind::Full, "an account has sixteen devices at most"));
        }
        devices.push(device);
        self.devices = DeviceList::sign(account, self.devices.serial.saturating_add(1), devices);
        self.save(Existing::Replace).map(|_| ())
    }

    /// From now on this is a device of the account that signed `devices`; a key of an own account that was here goes. Also takes
    /// a newer list of the same account. [`Kind::Refused`]: this device is not on the list, or the list is an older one.
    pub fn adopt(&mut self, devices: DeviceList) -> Result<()> {
        devices.verify(&self.device.public())?;
        if devices.account == self.account() {
            if devices.serial < self.devices.serial {
                return Err(Error::new(Kind::Refused, "that is an older list of devices"));
            }
        } else {
            self.account = Account::Elsewhere(devices.account);
        }
        self.devices = devices;
        self.save(Existing::Replace).map(|_| ())
    }

    /// The device key: signs envelopes and speaks TLS.
    pub const fn device(&self) -> &Signer {
        &self.device
    }

    pub const fn devices(&self) -> &DeviceList {
        &self.devices
    }

    /// SHA-256 of the account key: what links and QR codes carry.
    pub fn fingerprint(&self) -> Digest {
        self.account().fingerprint()
    }

    /// The sixty digits to compare with the person behind `account`.
    pub fn safety_number(&self, account: &PublicKey) -> String {
        safety_number(&self.account(), account)
    }

    fn load(path: &Path) -> Result<Option<Self>> {
        let Some(bytes) = file::read(path)? else { return Ok(None) };
        let damaged = |what: &str| {
            let text = format!(
                "the identity file {} is damaged ({what}). Restore it from a backup, or move it away to start \
                 with a new identity that others will have to confirm.",
                path.display()
            );
            Error::new(Kind::Malformed, text)
        };
        let stored: Stored = serde_json::from_slice(&bytes).map_err(|error| damaged(&error.to_string()))?;
        if stored.version != VERSION {
            return Err(damaged(&format!("it is of version {}, this program knows {VERSION}", stored.version)));
        }
        let key = |text: &str, what: &str| {
            let pkcs8 = BASE64.decode(text.as_bytes()).map_err(|_| damaged(what))?;
            Signer::from_pkcs8(&pkcs8).map_err(|_| damaged(what))
        };
        let device = key(&stored.device_key, "device key")?;
        let account = match &stored.account_key {
            Some(text) => Account::Held(Box::new(key(text, "account key")?)),
            None => Account::Elsewhere(stored.devices.account),
        };
        let identity = Self { path: path.to_path_buf(), name: stored.name, account, device, devices: stored.devices };
        let device = identity.device.public();
        if identity.devices.account != identity.account() || identity.devices.verify(&device).is_err() {
            return Err(damaged("the account key did not sign this device"));
        }
        tighten(path)?;
        Ok(Some(identity))
    }

    fn save(&self, existing: Existing) -> Result<bool> {
        let stored = Stored {
            version: VERSION,
            name: self.name.clone(),
            account_key: match &self.account {
                Account::Held(signer) => Some(BASE64.encode(signer.pkcs8())),
                Account::Elsewhere(_) => None,
            },
            device_key: BASE64.encode(self.device.pkcs8()),
            devices: self.devices.clone(),
        };
        let bytes = serde_json::to_vec_pretty(&stored)
            .map_err(|error| Error::new(Kind::Malformed, format!("the identity cannot be written: {error}")))?;
        file::write(&self.path, &bytes, existing)
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    name: Name,
    /// Nothing where the account's key is on another device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account_key: Option<String>,
    device_key: String,
    devices: DeviceList,
}

/// What a list takes.
const MOST_DEVICES: usize = 16;

const FILE: &str = "identity.json";
const VERSION: u32 = 1;

/// A copy from a backup may have come back readable for everybody.
#[cfg(unix)]
fn tighten(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let open = std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0);
    if open && std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).is_err() {
        let text = format!("others can read the keys in {}: make it yours alone (chmod 600)", path.display());
        return Err(Error::new(Kind::Refused, text));
    }
    Ok(())
}

#[cfg(not(unix))]
fn tighten(_path: &Path) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_start_is_the_same_person_and_keeps_the_name() {
        let folder = tempfile::tempdir().expect("folder");
        let data = folder.path().join("deep/er");
        let mut first = Identity::load_or_create(&data, "Ada").expect("made");
        let second = Identity::load_or_create(&data, "Bob").expect("read");
        assert_eq!((first.account(), first.device().public()), (second.account(), second.device().public()));
        assert_eq!(&**second.name(), "Ada");
        assert!(second.devices().verify(&second.device().public()).is_ok());
        first.rename("Eve").expect("stored");
        assert_eq!(&**Identity::load_or_create(&data, "").expect("read").name(), "Eve");
        assert_eq!(std::fs::read_dir(&data).expect("folder").count(), 1, "no temporary file stays");
    }

    #[test]
    fn a_damaged_file_is_named_and_left_as_it_is() {
        let folder = tempfile::tempdir().expect("folder");
        Identity::load_or_create(folder.path(), "Ada").expect("made");
        let path = folder.path().join(FILE);
        let whole = std::fs::read(&path).expect("file");
        for broken in [whole[..whole.len() / 2].to_vec(), Vec::new(), b"{}".to_vec()] {
            std::fs::write(&path, &broken).expect("damaged");
            let error = Identity::load_or_create(folder.path(), "Ada").expect_err("damaged");
            assert_eq!(error.kind, Kind::Malformed);
            assert!(error.text.contains("identity.json") && !error.text.contains('\n'), "{error}");
            assert_eq!(std::fs::read(&path).expect("file"), broken);
        }
    }

    #[test]
    fn a_second_device_is_signed_by_the_first_and_signs_none() {
        let (one, other) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
        let mut first = Identity::load_or_create(one.path(), "Ada").expect("made");
        let mut second = Identity::load_or_create(other.path(), "Ada's laptop").expect("made");
        let before = second.account();
        assert!(second.adopt(first.devices().clone()).is_err(), "it is not on the list");
        let old = first.devices().clone();
        first.add_device(second.device().public()).expect("signed");
        first.add_device(second.device().public()).expect("known");
        assert_eq!((first.devices().serial, first.devices().devices.len()), (2, 2));
        second.adopt(first.devices().clone()).expect("adopted");
        for second in [second, Identity::load_or_create(other.path(), "").expect("read")] {
            assert_eq!((second.account(), second.holds_account()), (first.account(), false));
            assert!(second.account() != before && second.devices().verify(&second.device().public()).is_ok());
        }
        let mut second = Identity::load_or_create(other.path(), "").expect("read");
        assert_eq!(second.add_device(PublicKey([1; 32])).expect_err("no key").kind, Kind::Refused);
        let mut first = Identity::load_or_create(one.path(), "").expect("read");
        assert!(first.adopt(old).is_err() && first.holds_account(), "an older list");
        for n in 0..14 {
            first.add_device(PublicKey([n; 32])).expect("room");
        }
        assert_eq!(first.add_device(PublicKey([99; 32])).expect_err("full").kind, Kind::Full);
    }

    #[test]
    fn keys_of_two_identities_mixed_in_one_file_are_refused() {
        let (one, other) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
        let mut mixed = Identity::load_or_create(one.path(), "Ada").expect("made");
        mixed.account = Identity::load_or_create(other.path(), "Bob").expect("made").account;
        mixed.save(Existing::Replace).expect("written");
        assert_eq!(Identity::load_or_create(one.path(), "Ada").expect_err("mixed").kind, Kind::Malformed);
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_readable_by_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("folder");
        Identity::load_or_create(folder.path(), "Ada").expect("made");
        let path = folder.path().join(FILE);
        let mode = || std::fs::metadata(&path).expect("file").permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("opened");
        Identity::load_or_create(folder.path(), "Ada").expect("read");
        assert_eq!(mode(), 0o600);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join("file"), b"").expect("file");
        let error = Identity::load_or_create(&folder.path().join("file/data"), "Ada").expect_err("no folder");
        assert!(error.kind == Kind::Refused && error.text.contains("--data"), "{error}");
    }
}
