//! Whose key is whose: the first key of somebody is remembered, a link's or a compared one is certain, and another one later is
//! refused until a person says otherwise.

use std::path::{Path, PathBuf};

use crate::base::error::Result;
use crate::proto::keys::PublicKey;
use crate::proto::service::names::{AccountName, Person};
use crate::store::known::{Known, KnownPeers};

/// How far somebody's key is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// The service said so, and nobody has checked.
    #[default]
    Unverified,
    /// It came with a link, or the sixty digits were compared.
    Verified,
    /// Another key is remembered: neither rung nor written to.
    Changed,
}

/// The keys of the people of one service. Read anew at each use: several programs of a data folder share them.
#[derive(Clone, Debug)]
pub struct Keys {
    data_dir: PathBuf,
    service: String,
}

impl Keys {
    pub fn new(data_dir: &Path, service: &str) -> Self {
        Self { data_dir: data_dir.to_path_buf(), service: service.to_owned() }
    }

    /// How far the keys that the service shows for these are known; first ones are remembered.
    ///
    /// # Errors
    /// The file is damaged, or cannot be written: its text says what to do.
    pub fn meet<'a>(&self, people: impl IntoIterator<Item = &'a Person>) -> Result<Vec<Trust>> {
        let mut known = KnownPeers::of_people(&self.data_dir)?;
        let (mut trusts, mut new) = (Vec::new(), Vec::new());
        for person in people {
            let name = self.name_of(&person.name);
            trusts.push(match known.check(&name, &person.key) {
                Known::New => {
                    new.push((name, person.key));
                    Trust::Unverified
                }
                Known::Same { verified: true } => Trust::Verified,
                Known::Same { verified: false } => Trust::Unverified,
                Known::Changed { .. } => Trust::Changed,
            });
        }
        if !new.is_empty() {
            known.remember_first(new)?;
        }
        Ok(trusts)
    }

    /// The key is theirs, whatever was remembered before: a person, or a link, says so.
    ///
    /// # Errors
    /// As [`Self::meet`].
    pub fn confirm(&self, name: &AccountName, key: PublicKey) -> Result<()> {
        KnownPeers::of_people(&self.data_dir)?.remember(&self.name_of(name), key, true)
    }

    /// The remembered key.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn of(&self, name: &AccountName) -> Result<Option<PublicKey>> {
        Ok(KnownPeers::of_people(&self.data_dir)?.remembered(&self.name_of(name)))
    }

    fn name_of(&self, name: &AccountName) -> String {
        format!("{name}@{}", self.service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_changes_is_not_taken_until_a_person_says_so() {
        let folder = tempfile::tempdir().expect("folder");
        let keys = Keys::new(folder.path(), "chat.example");
        let name = AccountName::new("ben").expect("a name");
        let ben = |key| Person { name: name.clone(), key: PublicKey([key; 32]), display: Default::default() };
        let meet = |keys: &Keys, key| keys.meet([&ben(key)]).expect("kept")[0];
        assert_eq!(meet(&keys, 1), Trust::Unverified);
        assert_eq!(meet(&keys, 2), Trust::Changed);
        assert_eq!(keys.of(&name).expect("read"), Some(PublicKey([1; 32])), "the first one stays");
        keys.confirm(&name, PublicKey([2; 32])).expect("kept");
        assert_eq!(meet(&keys, 2), Trust::Verified);
        assert_eq!(meet(&Keys::new(folder.path(), "other.example"), 1), Trust::Unverified, "another ben");
    }
}
