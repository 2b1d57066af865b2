//! What the operator says.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ipnet::IpNet;

use crate::base::error::{Error, Kind, Result};
use crate::base::time::Duration;
use crate::bus::url::BusUrl;
pub use crate::net::turn::TurnLimits;
use crate::net::turn::{Turn, TurnConfig};
use crate::net::web::certificate::Pem;
use crate::proto::turn::TurnSecret;
pub use crate::service::shared::Registration;
use crate::service::shared::Relays;
use crate::store::backup::TLS;
use crate::store::blob::BlobPlace;
use crate::store::file;
use crate::store::postgres::url::StoreUrl;

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
    /// Networks of balancers, who say for whom they connect (PROXY protocol, version 2).
    pub balancers: Vec<IpNet>,
    pub relay: RelayConfig,
    /// The database, where it is not a file in `data`.
    pub store: Option<StoreUrl>,
    /// Where photos and sealed messages are kept, where it is not in `data`.
    pub blobs: Option<BlobPlace>,
    /// What several services on one database tell each other by.
    pub bus: Option<BusUrl>,
    /// Of a hundred messages of the bus so many are lost: for tests.
    pub bus_loss: u8,
    /// Waits before each commit, as a slow disk would: for measuring.
    pub commit_delay: Duration,
}

/// Who carries media for those who cannot reach each other.
#[derive(Clone, Debug)]
pub struct RelayConfig {
    /// Servers of others, by their URIs (RFC 7065); where there are any, this one relays nothing.
    pub others: Vec<String>,
    /// The file of the secret that is shared with them.
    pub secret: Option<PathBuf>,
    /// UDP ports on which the relay of this one is asked, 0: one that the system chooses; none: only through the doors.
    pub udp: Vec<u16>,
    /// The TCP port without TLS.
    pub tcp: Option<u16>,
    /// The address that others see this machine at, where it is not its own.
    pub address: Option<IpAddr>,
    /// Networks beside the Internet that may be reached.
    pub allowed: Vec<IpNet>,
    /// The ports that are relayed from; `None`: the system's choice.
    pub relayed: Option<RangeInclusive<u16>>,
    pub limits: TurnLimits,
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self {
            others: Vec::new(),
            secret: None,
            // The last one of the media range: a firewall that lets calls out lets this out.
            udp: vec![3478, 2100],
            tcp: Some(3478),
            address: None,
            allowed: Vec::new(),
            relayed: None,
            limits: TurnLimits::default(),
        }
    }
}

impl RelayConfig {
    /// Starts the relay, or notes those of others. `host` is the service's name, `door` its port for links.
    pub(super) fn start(&self, host: &str, door: u16) -> Result<Relays> {
        let secret = match &self.secret {
            Some(file) => {
                let text = std::fs::read_to_string(file).map_err(|error| {
                    Error::new(Kind::Refused, format!("the secret {} cannot be read: {error}", file.display()))
                })?;
                TurnSecret::from_text(&text)?
            }
            None => TurnSecret::generate()?,
        };
        if !self.others.is_empty() {
            return Ok(Relays { turn: None, uris: self.others.clone(), secret: Some(secret) });
        }
        let turn = Turn::start(
            TurnConfig {
                udp: self.udp.clone(),
                tcp: self.tcp,
                secret: secret.clone(),
                realm: if host.is_empty() { "visavis".to_owned() } else { host.to_owned() },
                address: self.address,
                allowed: self.allowed.clone(),
                relayed: self.relayed.clone(),
            },
            self.limits,
        )?;
        let host = if host.is_empty() { "HOST" } else { host };
        let udp = turn
            .udp
            .iter()
            .flat_map(|port| [format!("stun:{host}:{port}"), format!("turn:{host}:{port}?transport=udp")]);
        let tcp = turn.tcp.map(|port| format!("turn:{host}:{port}?transport=tcp"));
        let uris = udp.chain(tcp).chain([format!("turns:{host}:{door}?transport=tcp")]).collect();
        Ok(Relays { turn: Some(turn), uris, secret: Some(secret) })
    }
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
            balancers: Vec::new(),
            relay: RelayConfig::default(),
            store: None,
            blobs: None,
            bus: None,
            bus_loss: 0,
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
