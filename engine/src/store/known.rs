//! The account keys seen before: trust on first use, and a loud refusal when a key changes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::error::{Error, Kind, Result};
use crate::proto::keys::PublicKey;
use crate::store::file::{self, Existing};

/// What is known about a key under a name or address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing was known under this name.
    New,
    /// The key is the remembered one; `verified` where the safety number was compared.
    Same { verified: bool },
    /// Another key is remembered. Refuse until the person confirms; then [`KnownPeers::remember`].
    Changed { remembered: PublicKey },
}

/// The remembered keys of one data folder.
#[derive(Debug)]
pub struct KnownPeers {
    path: PathBuf,
    peers: BTreeMap<String, Peer>,
}

impl KnownPeers {
    /// Reads the remembered keys in `data_dir`; none where there is no file. Errors as with the identity: the file
    /// is named and never overwritten.
    pub fn load(data_dir: &Path) -> Result<Self> {
        Self::read(data_dir.join(FILE))
    }

    /// The same of the people of a service, under `name@service`: written by another thread, so a file of its own.
    pub fn of_people(data_dir: &Path) -> Result<Self> {
        Self::read(data_dir.join(PEOPLE))
    }

    fn read(path: PathBuf) -> Result<Self> {
        let Some(bytes) = file::read(&path)? else { return Ok(Self { path, peers: BTreeMap::new() }) };
        let stored: Stored = serde_json::from_slice(&bytes).map_err(|error| {
            let text = format!(
                "the file of known keys {} is damaged ({error}). Restore it from a backup, or move it away and \
                 confirm every key again.",
                path.display()
            );
            Error::new(Kind::Malformed, text)
        })?;
        Ok(Self { path, peers: stored.peers })
    }

    /// Remembers `account` under `name`, replacing what was there, and stores it. [`Kind::Full`] at
    /// ten thousand names: forget some.
    pub fn remember(&mut self, name: &str, account: PublicKey, verified: bool) -> Result<()> {
        if !self.peers.contains_key(name) && self.peers.len() >= MOST {
            return Err(Error::new(Kind::Full, "ten thousand keys are remembered: forget some first"));
        }
        self.peers.insert(name.to_owned(), Peer { account, verified });
        self.save()
    }

    /// Remembers the first keys of several, unverified, and stores them at once. What is known already stays as it is.
    pub fn remember_first(&mut self, peers: Vec<(String, PublicKey)>) -> Result<()> {
        for (name, account) in peers {
            if self.peers.len() < MOST {
                self.peers.entry(name).or_insert(Peer { account, verified: false });
            }
        }
        self.save()
    }

    /// Forgets what is known under `name` and stores that. Whether there was something.
    pub fn forget(&mut self, name: &str) -> Result<bool> {
        let was_known = self.peers.remove(name).is_some();
        if was_known {
            self.save()?;
        }
        Ok(was_known)
    }

    /// Compares `account` with what is remembered under a name or an address.
    pub fn check(&self, name: &str, account: &PublicKey) -> Known {
        match self.peers.get(name) {
            None => Known::New,
            Some(peer) if peer.account == *account => Known::Same { verified: peer.verified },
            Some(peer) => Known::Changed { remembered: peer.account },
        }
    }

    /// The key remembered under a name or an address: what a call to it expects.
    pub fn remembered(&self, name: &str) -> Option<PublicKey> {
        self.peers.get(name).map(|peer| peer.account)
    }

    /// The addresses, of those that are written as numbers, at which this account was met.
    pub fn addresses_of(&self, account: &PublicKey) -> Vec<SocketAddr> {
        let theirs = self.peers.iter().filter(|(_, peer)| peer.account == *account);
        let address = |name: &String| {
            let (ip, port) = name.rsplit_once(':')?;
            Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?))
        };
        theirs.filter_map(|(name, _)| address(name)).collect()
    }

    fn save(&self) -> Result<()> {
        let stored = Stored { peers: self.peers.clone() };
        let bytes = serde_json::to_vec_pretty(&stored)
            .map_err(|error| Error::new(Kind::Malformed, format!("known keys cannot be written: {error}")))?;
        file::write(&self.path, &bytes, Existing::Replace).map(|_| ())
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Peer {
    account: PublicKey,
    #[serde(default)]
    verified: bool,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    peers: BTreeMap<String, Peer>,
}

const FILE: &str = "known-keys.json";
const PEOPLE: &str = "known-people.json";

/// Ten thousand names are 2 MiB of file: more than a person knows, less than hurts.
const MOST: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_new_then_the_same_then_changed() {
        let folder = tempfile::tempdir().expect("folder");
        let (one, other) = (PublicKey([1; 32]), PublicKey([2; 32]));
        let mut known = KnownPeers::load(folder.path()).expect("empty");
        assert_eq!(known.check("ada:2000", &one), Known::New);
        known.remember("ada:2000", one, false).expect("stored");

        let mut known = KnownPeers::load(folder.path()).expect("read");
        assert_eq!(known.check("ada:2000", &one), Known::Same { verified: false });
        assert_eq!((known.remembered("ada:2000"), known.remembered("bob")), (Some(one), None));
        assert_eq!(known.check("ada:2000", &other), Known::Changed { remembered: one });
        known.remember("ada:2000", other, true).expect("confirmed");
        assert_eq!(known.check("ada:2000", &other), Known::Same { verified: true });
        assert!(known.forget("ada:2000").expect("stored"));
        assert!(!known.forget("ada:2000").expect("nothing to do"));
        assert_eq!(KnownPeers::load(folder.path()).expect("read").check("ada:2000", &one), Known::New);
    }

    #[test]
    fn a_damaged_file_is_named_and_left_as_it_is() {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join(FILE), b"{\"peers\":").expect("damaged");
        let error = KnownPeers::load(folder.path()).expect_err("damaged");
        assert!(error.kind == Kind::Malformed && error.text.contains(FILE), "{error}");
    }
}
