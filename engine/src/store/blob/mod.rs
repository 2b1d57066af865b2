//! Photos and sealed messages, named by the service: in a directory, or at a server that speaks S3.

mod folder;
mod s3;
mod sign;

use std::path::PathBuf;
use std::sync::Arc;

use crate::base::error::{Error, Kind, Result};
use folder::Folder;
use s3::S3;

/// Where blobs are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlobPlace {
    Folder(PathBuf),
    S3(s3::S3Url),
}

/// The blobs. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Blobs {
    Folder(Folder),
    S3(Arc<S3>),
}

impl BlobPlace {
    /// A folder, or `s3://KEY:SECRET@HOST:PORT/BUCKET/PREFIX?region=NAME&tls=off`.
    ///
    /// # Errors
    /// [`Kind::Refused`]: what is wrong with it, never with its secret.
    pub fn parse(text: &str) -> Result<Self> {
        match text.strip_prefix("s3://") {
            Some(rest) => s3::S3Url::parse(rest).map(Self::S3),
            None if text.contains("://") => {
                Err(Error::new(Kind::Refused, "blobs are kept in a folder, or at s3://KEY:SECRET@HOST:PORT/BUCKET"))
            }
            None => Ok(Self::Folder(text.into())),
        }
    }
}

impl Blobs {
    /// # Errors
    /// The folder cannot be made; the server does not let us in, or there is no such bucket: a line for the operator.
    pub fn open(place: &BlobPlace) -> Result<Self> {
        match place {
            BlobPlace::Folder(folder) => Folder::open(folder.clone()).map(Self::Folder),
            BlobPlace::S3(url) => S3::open(url).map(Arc::new).map(Self::S3),
        }
    }

    /// Writes a blob whole; where it has gone well it is kept.
    ///
    /// # Errors
    /// There is no room, or the server cannot be reached.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Folder(folder) => folder.put(name, bytes),
            Self::S3(s3) => s3.put(name, bytes),
        }
    }

    /// `None` where there is none of that name.
    ///
    /// # Errors
    /// It cannot be read at present.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        match self {
            Self::Folder(folder) => folder.read(name),
            Self::S3(s3) => s3.read(name),
        }
    }

    /// Removes it, where it is there.
    pub fn remove(&self, name: &str) {
        match self {
            Self::Folder(folder) => folder.remove(name),
            Self::S3(s3) => s3.remove(name),
        }
    }
}

/// Names are ours: letters and digits. Anything else was not made by this service.
fn path_of(name: &str) -> Result<PathBuf> {
    let is_ours = (16..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let none = || Error::new(Kind::Refused, "that is no name of a blob");
    let start = name.get(..2).filter(|_| is_ours).ok_or_else(none)?;
    // Two letters a folder, so that none of them has a million files.
    Ok(PathBuf::from(start).join(name))
}
