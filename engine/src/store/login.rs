//! Which service this installation is at, as whom, and with which tokens. Several programs of one data folder share it: who
//! changes it holds its lock, because a refresh token is good once.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::error::{Error, Kind, Result};
use crate::proto::seal::SealingPair;
use crate::proto::service::account::{LoggedIn, Secret};
use crate::proto::service::names::{Millis, Person};
use crate::store::file::{self, Existing};

/// What is kept of a login. Readable by its owner only.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Login {
    /// The service, as a link with its pin.
    pub service: String,
    pub person: Person,
    /// `None` once the session has ended: the person logs in again.
    pub tokens: Option<Tokens>,
    /// The door that was open last.
    #[serde(default)]
    pub door: Option<u16>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tokens {
    pub access: Secret,
    pub access_until: Millis,
    pub refresh: Secret,
}

impl Login {
    pub fn new(service: String, login: LoggedIn) -> Self {
        let (person, tokens) = (login.person.clone(), Tokens::from(login));
        Self { service, person, tokens: Some(tokens), door: None }
    }
}

impl From<LoggedIn> for Tokens {
    fn from(login: LoggedIn) -> Self {
        Self { access: login.access, access_until: login.access_until, refresh: login.refresh }
    }
}

impl Tokens {
    /// The access token, where it is good for a while yet.
    pub fn access_at(&self, now: Millis) -> Option<&Secret> {
        // Less than the service's clock and ours may differ by, or a request may take, is not worth a try.
        const MARGIN: u64 = 60_000;
        (self.access_until.0 > now.0.saturating_add(MARGIN)).then_some(&self.access)
    }
}

/// The login of one data folder.
#[derive(Clone, Debug)]
pub struct Logins {
    folder: PathBuf,
}

/// Held while the login is changed; other programs of the folder wait.
#[derive(Debug)]
pub struct Held<'a> {
    logins: &'a Logins,
    _lock: Option<File>,
}

impl Logins {
    pub fn new(data_dir: &Path) -> Self {
        Self { folder: data_dir.to_path_buf() }
    }

    /// `None` where nobody has logged in. [`Kind::Malformed`]: the file is damaged; its text says what to do.
    pub fn load(&self) -> Result<Option<Login>> {
        let path = self.folder.join(FILE);
        let Some(bytes) = file::read(&path)? else { return Ok(None) };
        let damaged = |error: serde_json::Error| {
            let text = format!("the login in {} is damaged ({error}): remove it and log in again", path.display());
            Error::new(Kind::Malformed, text)
        };
        serde_json::from_slice(&bytes).map(Some).map_err(damaged)
    }

    /// Waits for other programs that change it.
    ///
    /// # Errors
    /// [`Kind::Refused`]: the folder cannot be written.
    pub fn hold(&self) -> Result<Held<'_>> {
        file::make_folder(&self.folder)?;
        Ok(Held { logins: self, _lock: lock(&self.folder.join(LOCK))? })
    }

    /// The pair that messages to this device are sealed to; made at the first call.
    ///
    /// # Errors
    /// [`Kind::Malformed`]: the file is damaged; [`Kind::Refused`]: it cannot be written.
    pub fn sealing_pair(&self) -> Result<SealingPair> {
        let path = self.folder.join(SEALING);
        if let Some(bytes) = file::read(&path)? {
            let damaged = || {
                let text = format!(
                    "the key in {} is damaged: restore it from a backup, or remove it; messages that wait for it are lost",
                    path.display()
                );
                Error::new(Kind::Malformed, text)
            };
            let halves: Halves = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
            return Ok(SealingPair::from_halves(halves.public, halves.secret));
        }
        let pair = SealingPair::generate()?;
        let halves = Halves { public: *pair.public(), secret: *pair.secret() };
        let bytes = serde_json::to_vec(&halves).unwrap_or_default();
        match file::write(&path, &bytes, Existing::Keep)? {
            true => Ok(pair),
            // Another program made one between our look and our write: theirs counts.
            false => self.sealing_pair(),
        }
    }
}

impl Held<'_> {
    /// What is there now, whoever changed it last.
    pub fn load(&self) -> Result<Option<Login>> {
        self.logins.load()
    }

    pub fn save(&self, login: &Login) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(login).unwrap_or_default();
        file::write(&self.logins.folder.join(FILE), &bytes, Existing::Replace).map(|_| ())
    }

    /// Nobody is logged in here any more, and nothing says who was.
    pub fn forget(&self) -> Result<()> {
        let path = self.logins.folder.join(FILE);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::new(Kind::Refused, format!("cannot remove {}: {error}", path.display())))
            }
            _ => Ok(()),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Halves {
    #[serde(with = "crate::proto::hex")]
    public: [u8; 32],
    #[serde(with = "crate::proto::hex")]
    secret: [u8; 32],
}

const FILE: &str = "service.json";
const LOCK: &str = "service.lock";
const SEALING: &str = "sealing-key.json";

/// An exclusive lock that ends with the file. `None` where the system has none: then one program at a time is up to the person.
#[cfg(unix)]
fn lock(path: &Path) -> Result<Option<File>> {
    use rustix::fs::{FlockOperation, flock};
    let failed = |error: std::io::Error| Error::new(Kind::Refused, format!("cannot lock {}: {error}", path.display()));
    let file = OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
    while let Err(error) = flock(&file, FlockOperation::LockExclusive) {
        if error.kind() != std::io::ErrorKind::Interrupted {
            return Err(failed(error.into()));
        }
    }
    Ok(Some(file))
}

#[cfg(not(unix))]
fn lock(path: &Path) -> Result<Option<File>> {
    let _ = OpenOptions::new().create(true).append(true).open(path);
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::keys::PublicKey;
    use crate::proto::service::names::AccountName;

    fn login() -> Login {
        let name = AccountName::new("ada").expect("a name");
        let person = Person { name, key: PublicKey([1; 32]), display: Default::default() };
        let secret = Secret::new;
        let tokens = Tokens { access: secret("hunter2"), access_until: Millis(100_000), refresh: secret("hunter3") };
        Login { service: "https://a/join".into(), person, tokens: Some(tokens), door: Some(443) }
    }

    #[test]
    fn a_login_is_there_at_the_next_start_for_its_owner_alone() {
        let folder = tempfile::tempdir().expect("folder");
        let logins = Logins::new(folder.path());
        assert!(logins.load().expect("none").is_none());
        logins.hold().expect("held").save(&login()).expect("written");
        let read = logins.load().expect("read").expect("there");
        assert_eq!((read.service, read.door, read.person), (login().service, Some(443), login().person));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            for name in [FILE, SEALING] {
                logins.sealing_pair().expect("a pair");
                let mode = std::fs::metadata(folder.path().join(name)).expect("a file").permissions().mode();
                assert_eq!(mode & 0o777, 0o600, "{name}");
            }
        }
        logins.hold().expect("held").forget().expect("removed");
        assert!(logins.load().expect("none").is_none());
    }

    #[test]
    fn the_sealing_pair_stays_the_same() {
        let folder = tempfile::tempdir().expect("folder");
        let logins = Logins::new(folder.path());
        let (one, again) = (logins.sealing_pair().expect("made"), logins.sealing_pair().expect("read"));
        assert_eq!((one.public(), one.secret()), (again.public(), again.secret()));
        std::fs::write(folder.path().join(SEALING), b"{").expect("damaged");
        let error = logins.sealing_pair().expect_err("damaged");
        assert!(error.kind == Kind::Malformed && error.text.contains(SEALING), "{error}");
    }

    #[test]
    fn an_access_token_is_used_while_it_lasts() {
        let tokens = login().tokens.expect("tokens");
        assert!(tokens.access_at(Millis(30_000)).is_some());
        assert!(tokens.access_at(Millis(90_000)).is_none(), "too late for a request");
    }

    #[test]
    fn nobody_prints_a_token() {
        assert!(!format!("{:?}", login()).contains("hunter"));
    }
}
