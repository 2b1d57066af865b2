//! Small files written whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::base::error::{Error, Kind, Result};

/// What to do when the file is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    Replace,
    /// Leave it and report `false`.
    Keep,
}

/// Reads `path`; `None` where there is no such file. [`Kind::Refused`] names the file and what to do.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(refused(path, "cannot read", &error)),
    }
}

/// Writes `bytes` to `path` so that a reader, or the next start after a power cut, sees the old file or the new
/// one, never a part. Readable by its owner only. Returns whether the file was written.
pub fn write(path: &Path, bytes: &[u8], existing: Existing) -> Result<bool> {
    let fail = |error: std::io::Error| refused(path, "cannot write", &error);
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    let fresh = beside(path);
    // A file of a process that died while writing may lie there; its content is worth nothing.
    let _ = fs::remove_file(&fresh);
    let written = write_private(&fresh, bytes).and_then(|()| match existing {
        Existing::Replace => fs::rename(&fresh, path).map(|()| true),
        // A link, unlike a rename, fails where the name is taken: two first starts cannot overwrite each other.
        Existing::Keep => match fs::hard_link(&fresh, path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            // File systems without links (FAT).
            Err(_) if !path.exists() => fs::rename(&fresh, path).map(|()| true),
            Err(error) => Err(error),
        },
    });
    let _ = fs::remove_file(&fresh);
    let written = written.map_err(fail)?;
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        // The new name itself must survive a power cut. A file system that cannot do it still has the file.
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
    Ok(written)
}

/// Makes the folder, for its owner only, where it is not there.
pub fn make_folder(folder: &Path) -> Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|error| refused(folder, "cannot make the folder", &error))
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file: File = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.new", std::process::id()));
    path.with_file_name(name)
}

fn refused(path: &Path, what: &str, error: &std::io::Error) -> Error {
    let text = format!(
        "{what} {}: {error}. Check that the folder exists and belongs to you, or choose another with --data.",
        path.display()
    );
    Error::new(Kind::Refused, text)
}
