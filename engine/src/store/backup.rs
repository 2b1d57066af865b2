//! A copy of all that a service has, made while it runs, and the way back.

use std::fs;
use std::path::Path;

use crate::base::error::{Error, Kind, Result};
use crate::store::file;
use crate::store::sqlite::Sqlite;

/// The database's file in the service's folder.
pub const DATABASE: &str = "service.db";

/// Photos and sealed messages.
pub const BLOBS: &str = "blobs";

/// The certificate that the service made for itself.
pub const TLS: &str = "tls";

/// Copies the service's folder `data` into the new folder `to`; the database as it is at one moment. What is sealed or
/// shown later than that may be in the copy as well; what was deleted meanwhile may be missing.
///
/// # Errors
/// [`Kind::Refused`]: there is no service in `data`, `to` is there already, or cannot be written.
pub fn back_up(data: &Path, to: &Path) -> Result<()> {
    let database = data.join(DATABASE);
    if !database.is_file() {
        return Err(Error::new(Kind::Refused, format!("there is no service in {}", data.display())));
    }
    if to.exists() {
        return Err(Error::new(Kind::Refused, format!("{} is there already: say a new folder", to.display())));
    }
    file::make_folder(to)?;
    // Blobs are written before the database names them: those that it names by then are copied in the second round.
    copy_tree(&data.join(BLOBS), &to.join(BLOBS))?;
    Sqlite::open(&database)?.backup(&to.join(DATABASE))?;
    copy_tree(&data.join(BLOBS), &to.join(BLOBS))?;
    copy_tree(&data.join(TLS), &to.join(TLS))
}

/// Makes the folder `data` out of a copy.
///
/// # Errors
/// [`Kind::Refused`]: there is a service in `data` already, or `from` is no copy of one.
pub fn restore(from: &Path, data: &Path) -> Result<()> {
    if data.join(DATABASE).exists() {
        let text = format!("there is a service in {} already: move it away first", data.display());
        return Err(Error::new(Kind::Refused, text));
    }
    back_up(from, &data.join("restoring"))?;
    for part in [BLOBS, TLS, DATABASE] {
        let part_from = data.join("restoring").join(part);
        if part_from.exists() {
            fs::rename(&part_from, data.join(part)).map_err(|error| refused(&part_from, &error))?;
        }
    }
    let _ = fs::remove_dir(data.join("restoring"));
    Ok(())
}

/// Copies the files that are not there yet. What vanishes meanwhile is passed over.
fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(from) else { return Ok(()) };
    file::make_folder(to)?;
    for entry in entries.flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy_tree(&from, &to)?;
        } else if !to.exists()
            && let Err(error) = fs::copy(&from, &to)
            && from.exists()
        {
            return Err(refused(&to, &error));
        }
    }
    Ok(())
}

fn refused(path: &Path, error: &std::io::Error) -> Error {
    Error::new(Kind::Refused, format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_can_be_made_into_a_service_again_and_overwrites_none() {
        let folder = tempfile::tempdir().expect("folder");
        let (data, copy, back) = (folder.path().join("data"), folder.path().join("copy"), folder.path().join("back"));
        assert!(back_up(&data, &copy).is_err(), "nothing is there");
        fs::create_dir_all(data.join(BLOBS).join("01")).expect("folder");
        fs::write(data.join(BLOBS).join("01/0123456789abcdef"), b"sealed").expect("blob");
        drop(Sqlite::open(&data.join(DATABASE)).expect("made"));
        back_up(&data, &copy).expect("copied");
        assert!(back_up(&data, &copy).is_err(), "never over another copy");
        assert!(restore(&copy, &data).is_err(), "never over a service");
        restore(&copy, &back).expect("restored");
        assert_eq!(fs::read(back.join(BLOBS).join("01/0123456789abcdef")).expect("blob"), b"sealed");
        Sqlite::open(&back.join(DATABASE)).expect("a database");
        assert!(!back.join("restoring").exists());
    }
}
