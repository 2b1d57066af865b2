//! Photos and sealed messages: files in one directory, named by the service.

use std::path::PathBuf;

use crate::base::error::{Error, Kind, Result};
use crate::store::file::{self, Existing};

/// The directory.
#[derive(Clone, Debug)]
pub struct Blobs {
    folder: PathBuf,
}

impl Blobs {
    pub fn open(folder: PathBuf) -> Result<Self> {
        file::make_folder(&folder)?;
        Ok(Self { folder })
    }

    /// Writes a blob whole, and to the disk.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        file::write(&self.path(name)?, bytes, Existing::Replace).map(|_| ())
    }

    /// `None` where there is none of that name.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        file::read(&self.path(name)?)
    }

    /// Removes it, where it is there.
    pub fn remove(&self, name: &str) {
        if let Ok(path) = self.path(name) {
            let _ = std::fs::remove_file(path);
        }
    }

    /// Names are ours: letters and digits. Anything else was not made by this service.
    fn path(&self, name: &str) -> Result<PathBuf> {
        let is_ours = (16..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_ours {
            return Err(Error::new(Kind::Refused, "that is no name of a blob"));
        }
        // Two letters a folder, so that none of them has a million files.
        Ok(self.folder.join(&name[..2]).join(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_read_as_it_was_written_and_no_path_leads_out() {
        let folder = tempfile::tempdir().expect("folder");
        let blobs = Blobs::open(folder.path().join("blobs")).expect("made");
        let name = "0123456789abcdef";
        assert_eq!(blobs.read(name).expect("readable"), None);
        blobs.put(name, b"bytes").expect("written");
        assert_eq!(blobs.read(name).expect("readable").as_deref(), Some(&b"bytes"[..]));
        blobs.remove(name);
        assert_eq!(blobs.read(name).expect("readable"), None);
        for name in ["../../etc/passwd0", "", "short", "0123456789abcde/", &"a".repeat(65)] {
            assert!(blobs.put(name, b"x").is_err(), "{name}");
        }
    }
}
