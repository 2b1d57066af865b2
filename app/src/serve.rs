//! `visavis serve`: the service, until it is told to stop.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::{Args, Subcommand, ValueEnum};
use crossbeam_channel::Receiver;
use engine::base::time::now;
use engine::bus::url::BusUrl;
use engine::proto::service::names::AccountName;
use engine::server::Serving;
use engine::server::config::{Registration, RelayConfig, ServeConfig, TurnLimits};
use engine::store::backup;
use engine::store::blob::BlobPlace;
use engine::store::postgres::Postgres;
use engine::store::postgres::url::StoreUrl;
use engine::store::sqlite::Sqlite;
use ipnet::IpNet;
use serde_json::json;
use tracing_subscriber::EnvFilter;

#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true, args_override_self = true)]
pub struct Serve {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// A TOML file with any of these flags, as `tls-port = 8443`; the command line goes before it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The port that only says where the service is; 0: none (default: 80)
    #[arg(long, value_name = "N")]
    http_port: Option<u16>,
    /// The port that links name (default: 443)
    #[arg(long, value_name = "N")]
    tls_port: Option<u16>,
    /// The service's other ports, as 2010-2030,9800; 0: one that the system chooses. With it alone no other port is opened
    #[arg(long, value_name = "LIST", value_parser = ports)]
    doors: Option<Doors>,
    /// The port of this machine that answers /healthz and /metrics; none unless said
    #[arg(long, value_name = "N")]
    metrics_port: Option<u16>,
    /// A certificate chain (PEM); read anew when the file changes. Without one the service makes its own
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// A TURN server of others for media that cannot go directly, as turn:HOST:3478?transport=udp; may be repeated. Without one
    /// this service relays itself
    #[arg(long, value_name = "URL")]
    turn: Vec<String>,
    /// The file with the secret that they know (coturn's static-auth-secret)
    #[arg(long, value_name = "FILE")]
    turn_secret: Option<PathBuf>,
    /// UDP ports for STUN and TURN, the first also TCP; 0: one that the system chooses (default: 3478,2100). TLS comes through
    /// every door
    #[arg(long, value_name = "LIST", value_parser = ports)]
    turn_ports: Option<Doors>,
    /// The address that others see this machine at, where it is behind one
    #[arg(long, value_name = "IP")]
    turn_address: Option<IpAddr>,
    /// A network beside the Internet that is relayed to, as 10.1.0.0/16; may be repeated
    #[arg(long, value_name = "NET")]
    turn_allow: Vec<IpNet>,
    /// The ports that are relayed from, as 50000-60000 (default: the system's choice)
    #[arg(long, value_name = "A-B", value_parser = port_range)]
    turn_relayed: Option<RangeInclusive<u16>>,
    /// How many the relay serves at once
    #[arg(long, value_name = "N", default_value_t = TurnLimits::default().clients)]
    turn_clients: usize,
    /// Relayed addresses of one account at once
    #[arg(long, value_name = "N", default_value_t = TurnLimits::default().of_one)]
    turn_each: usize,
    /// Peers of a relayed address within five minutes
    #[arg(long, value_name = "N", default_value_t = TurnLimits::default().peers)]
    turn_peers: usize,
    /// Bytes a second that are relayed for one address, both ways together
    #[arg(long, value_name = "BYTES", default_value_t = TurnLimits::default().bytes)]
    turn_rate: u32,
    /// A PostgreSQL (or CockroachDB) database for what is otherwise kept in --data, which several services can share:
    /// postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=require (or verify-full&sslrootcert=FILE, or disable; to another
    /// machine `require` unless said)
    #[arg(long, value_name = "URL", value_parser = store_url)]
    store: Option<StoreUrl>,
    /// Where photos and sealed messages are kept: a folder that several services share, or
    /// s3://KEY:SECRET@HOST:PORT/BUCKET/PREFIX?region=NAME (with tls=off to another machine in the clear)
    #[arg(long, value_name = "URL", value_parser = blob_place)]
    blob: Option<BlobPlace>,
    /// What several services on one database tell each other by, Valkey or Redis from version 6: redis://:PASSWORD@HOST:PORT
    #[arg(long, value_name = "URL", value_parser = bus_url, requires = "store")]
    bus: Option<BusUrl>,
    /// Lose so many of a hundred messages of the bus: for tests
    #[arg(long, hide = true, value_name = "PERCENT", default_value_t = 0)]
    bus_loss: u8,
    /// The network of a balancer that says for whom it connects (PROXY protocol, version 2), as 10.0.0.5/32; may be repeated
    #[arg(long, value_name = "NET")]
    trusted_proxy: Vec<IpNet>,
    /// The name under which others reach this machine, for links and the certificate
    #[arg(long, value_name = "NAME")]
    host_name: Option<String>,
    /// Who may make an account
    #[arg(long, value_name = "WHO", default_value = "open")]
    registration: Who,
    /// Wait so many milliseconds before each commit, as a slow disk would: for measuring
    #[arg(long, hide = true, value_name = "MS", default_value_t = 0)]
    commit_delay: u64,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// Copy all that the service has into a new folder, while it runs
    Backup {
        /// A folder that is not there yet
        to: PathBuf,
    },
    /// Say who runs the service: they read reports and suspend accounts
    Admin {
        /// An account's name
        #[arg(id = "account", value_name = "NAME")]
        name: String,
        /// Not any more
        #[arg(long)]
        off: bool,
        /// The database, where the service is started with one
        #[arg(long, value_name = "URL", value_parser = store_url)]
        store: Option<StoreUrl>,
    },
    /// Make the service's folder (--data) out of such a copy
    Restore {
        /// The copy
        from: PathBuf,
    },
}

/// Who may make an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Who {
    Open,
    Invite,
    Closed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Doors(Vec<u16>);

/// Serves until it is interrupted, or for `run_for`. True when it went well.
pub fn run(
    what: &Serve,
    data: PathBuf,
    run_for: Option<Duration>,
    json: bool,
    interrupted: &Receiver<()>,
) -> Result<bool> {
    match &what.verb {
        Some(Verb::Backup { to }) => return Ok(backup::back_up(&data, to).map(|()| true)?),
        Some(Verb::Admin { name, off, store }) => {
            let name = AccountName::new(name).map_err(|error| anyhow!(error))?;
            let done = match store {
                Some(url) => Postgres::set_admin(url, &name, !off),
                None => Sqlite::open(&data.join(backup::DATABASE))?.set_admin(&name, !off),
            };
            return Ok(done.map(|()| true)?);
        }
        Some(Verb::Restore { from }) => return Ok(backup::restore(from, &data).map(|()| true)?),
        None => log_to_stderr(),
    }
    let serving = Serving::start(what.config(data))?;
    let link = serving.link().to_string();
    if json {
        let (udp, tcp) = serving.relays();
        let said = json!({ "doors": serving.doors(), "turn": { "udp": udp, "tcp": tcp }, "http": serving.redirect(), "metrics": serving.figures(), "pin": serving.pin(), "link": link });
        println!("{said}");
    } else {
        for line in &serving.closed {
            eprintln!("{line}");
        }
        let doors: Vec<String> = serving.doors().iter().map(u16::to_string).collect();
        println!("serving on TCP {}", doors.join(", "));
        println!("link for others: {link}");
    }
    let until = run_for.map(|time| now() + time);
    while serving.is_running() {
        let tick = Duration::from_millis(500);
        let left = until.map_or(tick, |until| until.saturating_duration_since(now()).min(tick));
        if interrupted.recv_timeout(left).is_ok() || until.is_some_and(|until| now() >= until) {
            return Ok(true);
        }
    }
    Err(anyhow!("the service has stopped"))
}

/// One JSON object a line; how much, `RUST_LOG` says.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr);
    // One is there already only in tests.
    let _ = log.try_init();
}

impl Serve {
    fn config(&self, data: PathBuf) -> ServeConfig {
        let usual = ServeConfig::new(data);
        let mut doors = self.doors.as_ref().map_or_else(|| usual.doors.clone(), |Doors(doors)| doors.clone());
        if let Some(port) = self.tls_port {
            doors.retain(|door| *door != 443);
            doors.insert(0, port);
        }
        let http_port = match self.http_port {
            Some(0) => None,
            Some(port) => Some(port),
            None => usual.http_port.filter(|_| self.doors.is_none()),
        };
        ServeConfig {
            doors,
            tls_port: self.tls_port.unwrap_or(usual.tls_port),
            http_port,
            figures_port: self.metrics_port,
            tls: self.tls_cert.clone().zip(self.tls_key.clone()),
            host: self.host_name.clone().unwrap_or_default(),
            registration: match self.registration {
                Who::Open => Registration::Open,
                Who::Invite => Registration::Invite,
                Who::Closed => Registration::Closed,
            },
            balancers: self.trusted_proxy.clone(),
            relay: self.relay(usual.relay.clone()),
            store: self.store.clone(),
            blobs: self.blob.clone(),
            bus: self.bus.clone(),
            bus_loss: self.bus_loss,
            commit_delay: Duration::from_millis(self.commit_delay),
            ..usual
        }
    }
}

impl Serve {
    /// With `--doors` alone no port is opened for the relay either.
    fn relay(&self, usual: RelayConfig) -> RelayConfig {
        let udp = match &self.turn_ports {
            Some(Doors(ports)) => ports.clone(),
            None if self.doors.is_some() => Vec::new(),
            None => usual.udp,
        };
        RelayConfig {
            others: self.turn.clone(),
            secret: self.turn_secret.clone(),
            tcp: udp.first().copied(),
            udp,
            address: self.turn_address,
            allowed: self.turn_allow.clone(),
            relayed: self.turn_relayed.clone(),
            limits: TurnLimits {
                clients: self.turn_clients,
                of_one: self.turn_each,
                peers: self.turn_peers,
                bytes: self.turn_rate,
                ..TurnLimits::default()
            },
        }
    }
}

fn store_url(text: &str) -> Result<StoreUrl, String> {
    StoreUrl::parse(text).map_err(|error| error.text.to_string())
}

fn blob_place(text: &str) -> Result<BlobPlace, String> {
    BlobPlace::parse(text).map_err(|error| error.text.to_string())
}

fn bus_url(text: &str) -> Result<BusUrl, String> {
    BusUrl::parse(text).map_err(|error| error.text.to_string())
}

fn port_range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let wrong = || format!("{text:?} is no range of ports");
    let (first, last) = text.split_once('-').ok_or_else(wrong)?;
    let (first, last): (u16, u16) = (first.parse().map_err(|_| wrong())?, last.parse().map_err(|_| wrong())?);
    if first == 0 || last < first { Err(wrong()) } else { Ok(first..=last) }
}

fn ports(text: &str) -> Result<Doors, String> {
    let port = |text: &str| text.trim().parse::<u16>().map_err(|_| format!("{text:?} is no port"));
    let mut doors = Vec::new();
    for part in text.split(',') {
        match part.split_once('-') {
            Some((first, last)) => doors.extend(port(first)?..=port(last)?),
            None => doors.push(port(part)?),
        }
    }
    if doors.is_empty() || doors.len() > 100 { Err("say 1 to 100 ports".to_owned()) } else { Ok(Doors(doors)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doors_are_ports_and_ranges_of_them() {
        assert_eq!(ports("2010-2012,9800"), Ok(Doors(vec![2010, 2011, 2012, 9800])));
        assert_eq!(ports("0"), Ok(Doors(vec![0])));
        for wrong in ["", "x", "1-", "5-4", "70000", "1-200"] {
            assert!(ports(wrong).is_err(), "{wrong}");
        }
    }
}
