//! The view of before, for when there is no network: a file that is worth nothing to anybody else and nothing when it is lost.

use std::path::{Path, PathBuf};

use super::view::View;
use crate::proto::service::names::AccountName;
use crate::store::file::{self, Existing};

/// The cache of a data folder.
#[derive(Debug)]
pub struct Cache {
    path: PathBuf,
}

impl Cache {
    pub fn new(data_dir: &Path) -> Self {
        Self { path: data_dir.join("people.json") }
    }

    /// What was there of `name` at `service`; empty where there is nothing of them.
    pub fn load(&self, service: &str, name: &AccountName) -> View {
        let read = file::read(&self.path).ok().flatten();
        let view: View = read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let is_theirs = view.service == service && view.person.as_ref().is_some_and(|person| person.name == *name);
        if is_theirs { view } else { View::default() }
    }

    /// A disk that is full or gone costs the cache alone.
    pub fn save(&self, view: &View) {
        let _ = file::write(&self.path, &serde_json::to_vec(view).unwrap_or_default(), Existing::Replace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::keys::PublicKey;
    use crate::proto::service::names::Person;

    #[test]
    fn somebody_finds_their_own_and_nobody_elses() {
        let folder = tempfile::tempdir().expect("folder");
        let cache = Cache::new(folder.path());
        let name = |text| AccountName::new(text).expect("a name");
        let person = Person { name: name("ada"), key: PublicKey([1; 32]), display: Default::default() };
        let view = View { service: "chat.example".into(), person: Some(person), ..View::default() };
        cache.save(&view);
        assert_eq!(cache.load("chat.example", &name("ada")), view);
        assert_eq!(cache.load("other.example", &name("ada")), View::default());
        assert_eq!(cache.load("chat.example", &name("ben")), View::default());
        std::fs::write(folder.path().join("people.json"), b"{").expect("damaged");
        assert_eq!(cache.load("chat.example", &name("ada")), View::default());
    }
}
