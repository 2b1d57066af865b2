//! Photos and sealed messages as files in one directory.

use std::path::PathBuf;

use crate::base::error::Result;
use crate::store::blob::path_of;
use crate::store::file::{self, Existing};

/// The directory.
#[derive(Clone, Debug)]
pub struct Folder {
    folder: PathBuf,
}

impl Folder {
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

    fn path(&self, name: &str) -> Result<PathBuf> {
        Ok(self.folder.join(path_of(name)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_read_as_it_was_written_and_no_path_leads_out() {
        let folder = tempfile::tempdir().expect("folder");
        let blobs = Folder::open(folder.path().join("blobs")).expect("made");
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
