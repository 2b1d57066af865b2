//! What the operator says.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::base::error::{Error, Kind, Result};
use crate::base::time::Duration;
use crate::net::web::certificate::Pem;
pub use crate::service::shared::Registration;
use crate::store::backup::TLS;
use crate::store::file;

/// The settings of a service.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// Where the database, photos and the certificate live.
    pub data: PathBuf,
    /// Ports that lead to the service; 0: one that the system chooses.
    pub doors: Vec<u16>,
    /// The one of them that links name.
    pub tls_port: u16,
    /// The port that only says where the service is.
    pub http_port: Option<u16>,
    /// The port of this machine on which `/healthz` and `/metrics` are asked for.
    pub figures_port: Option<u16>,
    /// A certificate chain and its key, PEM; made at the first start where not given.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// The name under which the service is reached; empty: only links of this machine can be made.
    pub host: String,
    pub registration: Registration,
    /// Waits before each commit, as a slow disk would: for measuring.
    pub commit_delay: Duration,
}

impl ServeConfig {
    /// The usual ports.
    pub fn new(data: PathBuf) -> Self {
        let doors = std::iter::once(443).chain(2010..=2030).chain([9800]).collect();
        Self {
            data,
            doors,
            tls_port: 443,
            http_port: Some(80),
            figures_port: None,
            tls: None,
            host: String::new(),
            registration: Registration::Open,
            commit_delay: Duration::ZERO,
        }
    }

    pub(super) fn certificate(&self) -> Certificate {
        match &self.tls {
            Some((chain, key)) => {
                let seen = changed_at(chain, key);
                Certificate::Given { chain: chain.clone(), key: key.clone(), seen }
            }
            None => {
                let folder = self.data.join(TLS);
                Certificate::Own { chain: folder.join("certificate.pem"), key: folder.join("key.pem") }
            }
        }
    }
}

/// Where the certificate comes from.
#[derive(Clone, Debug)]
pub(super) enum Certificate {
    Own {
        chain: PathBuf,
        key: PathBuf,
    },
    /// Looked at now and then: whoever renews it writes new files.
    Given {
        chain: PathBuf,
        key: PathBuf,
        seen: Option<(SystemTime, SystemTime)>,
    },
}

impl Certificate {
    pub fn read(&self) -> Result<Pem> {
        let (Self::Own { chain, key } | Self::Given { chain, key, .. }) = self;
        let whole = |path: &Path| {
            let missing = || Error::new(Kind::Refused, format!("there is no file {}", path.display()));
            file::read(path)?.ok_or_else(missing)
        };
        Ok(Pem { chain: whole(chain)?, key: whole(key)? })
    }

    /// Whether the files have changed since they were looked at last.
    pub fn has_changed(&mut self) -> bool {
        let Self::Given { chain, key, seen } = self else { return false };
        let now = changed_at(chain, key);
        let has_changed = now.is_some() && now != *seen;
        *seen = now;
        has_changed
    }
}

fn changed_at(chain: &Path, key: &Path) -> Option<(SystemTime, SystemTime)> {
    let changed = |path: &Path| std::fs::metadata(path).and_then(|file| file.modified()).ok();
    changed(chain).zip(changed(key))
}
