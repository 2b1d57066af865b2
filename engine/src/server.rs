//! The service: doors, storage and roles in one process. One world, one schedule, one thread for the sockets.

pub mod config;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use bevy_ecs::schedule::Schedule;
use bevy_ecs::world::World;
use mio::{Events, Poll, Token};

use crate::base::error::{Error, Kind, Result};
use crate::base::pipe::Wake;
use crate::base::time::{self, Duration, Instant};
use crate::bus::Bus;
use crate::net::web::certificate::{Pem, ServiceTls};
use crate::net::web::connection::{LARGEST_JSON, WebLimits};
use crate::net::web::doors::{DoorKind, Doors};
use crate::proto::http::{Head, Method};
use crate::proto::keys::Digest;
use crate::proto::nettest::service::{MOST_BYTES, UP};
use crate::proto::service::account::PHOTO_PATH;
use crate::proto::service::link::ServiceLink;
use crate::proto::service::messages::{BLOB_PATH, LARGEST};
use crate::roles::{accounts, chat, directory, messages, nettest, pals};
use crate::service;
use crate::service::bus::{Elsewhere, Overheard, Peers};
use crate::service::files::Files;
use crate::service::session::{Connection, Present, Strangers};
use crate::service::shared::{Asked, Changes, Collected, Counters, Due, Ended, Network, Now, Outbox, Rules, Storage};
use crate::store::backup::{BLOBS, DATABASE};
use crate::store::blob::{BlobPlace, Blobs};
use crate::store::file::{self, Existing};
use crate::store::postgres::Postgres;
use crate::store::sqlite::Sqlite;
use crate::store::worker::{Backend, Store, WorkerSettings};

use config::ServeConfig;

const WAKER: Token = Token(0);
/// Doors from here on; connections behind them.
const FIRST_DOOR: usize = 16;
const FIRST_SLOT: usize = 1024;

/// A service on its own thread. Dropping it ends the service: what was acknowledged is on disk anyway.
#[derive(Debug)]
pub struct Serving {
    quit: Arc<AtomicBool>,
    wake: Wake,
    thread: Option<JoinHandle<()>>,
    doors: Vec<u16>,
    redirect: Option<u16>,
    figures: Option<u16>,
    relays: (Vec<u16>, Option<u16>),
    pin: Digest,
    link: ServiceLink,
    /// Doors that could not be opened, a line each.
    pub closed: Vec<String>,
}

/// The service's world and schedule.
struct Server {
    world: World,
    schedule: Schedule,
    wake: Wake,
    certificate: config::Certificate,
    checked: Instant,
}

impl Serving {
    /// Opens everything and starts the service's thread.
    ///
    /// # Errors
    /// A line for the operator: no door can be opened, the database or the certificate are not usable.
    pub fn start(config: ServeConfig) -> Result<Self> {
        let failed =
            |error: std::io::Error| Error::new(Kind::Reopen, format!("the system gives no event loop: {error}"));
        raise_file_limit();
        file::make_folder(&config.data)?;
        let poll = Poll::new().map_err(failed)?;
        let wake = Wake::new(mio::Waker::new(poll.registry(), WAKER).map_err(failed)?);
        let certificate = config.certificate();
        let tls = ServiceTls::new(&pem_of(&certificate, &config)?)?;
        let (mut doors, mut closed) = open_doors(&config)?;
        doors.register(poll.registry(), FIRST_DOOR).map_err(failed)?;
        let ports = |wanted| doors.ports().iter().filter(move |(_, kind)| *kind == wanted).map(|(port, _)| *port);
        let open: Vec<u16> = ports(DoorKind::Tls).collect();
        let (redirect, figures) = (ports(DoorKind::Redirect).next(), ports(DoorKind::Figures).next());
        let port = open.iter().copied().find(|port| *port == config.tls_port).or_else(|| open.first().copied());
        let port = port.ok_or_else(|| Error::new(Kind::Refused, "no door of the service could be opened"))?;
        let host = config.host.clone();
        let link = ServiceLink {
            host: if host.is_empty() { "localhost".to_owned() } else { host.clone() },
            port: ServiceLink::named(port),
            pin: Some(tls.pin()),
            invite: None,
        };
        let pin = tls.pin();
        let relays = config.relay.start(&config.host, port)?;
        closed.extend(relays.turn.iter().flat_map(|turn| turn.closed.iter().cloned()));
        let relayed = relays.turn.as_ref().map(|turn| (turn.udp.clone(), turn.tcp)).unwrap_or_default();
        let backend = match &config.store {
            None => Backend::Sqlite(Box::new(Sqlite::open(&config.data.join(DATABASE))?)),
            Some(url) => Backend::Postgres(Box::new(Postgres::open(url, &Arc::default())?), DATABASE_CONNECTIONS),
        };
        let store = Store::start(backend, WorkerSettings { commit_delay: config.commit_delay }, &wake)?;
        let place = config.blobs.clone().unwrap_or_else(|| BlobPlace::Folder(config.data.join(BLOBS)));
        let blobs = Blobs::open(&place)?;
        let limits = WebLimits { body: body_limit, ..WebLimits::default() };
        let network = Network {
            doors,
            first_door: FIRST_DOOR,
            first_slot: FIRST_SLOT,
            tls,
            registry: poll.registry().try_clone().map_err(failed)?,
            limits,
            slots: Vec::new(),
            free: Vec::new(),
            waiting: Vec::new(),
            stalled: Vec::new(),
            ready: Vec::new(),
            has_late: false,
        };
        let mut world = World::new();
        world.insert_resource(Now(time::now()));
        world.insert_resource(network);
        world.insert_resource(Files::start(&blobs, &wake)?);
        world.insert_resource(Storage { store, blobs });
        let bus = config.bus.as_ref().map_or_else(|| Ok(Bus::local()), |url| Bus::valkey(url, &wake))?;
        world.insert_resource(Peers::new(bus, config.bus_loss)?);
        world.init_resource::<Elsewhere>();
        world.init_resource::<Overheard>();
        world.insert_resource(relays);
        let (registration, balancers) = (config.registration, config.balancers.clone());
        world.insert_resource(Rules { registration, host, port, pin, balancers });
        world.init_resource::<Strangers>();
        world.init_resource::<Present>();
        world.init_resource::<Asked>();
        world.init_resource::<Collected>();
        world.init_resource::<Outbox>();
        world.init_resource::<Changes>();
        world.init_resource::<Counters>();
        world.init_resource::<Ended>();
        world.init_resource::<Due>();
        let mut schedule = service::schedule();
        accounts::install(&mut world, &mut schedule, &wake)?;
        directory::install(&mut schedule);
        pals::install(&mut world, &mut schedule);
        chat::install(&mut world, &mut schedule, &wake)?;
        messages::install(&mut world, &mut schedule, &wake)?;
        nettest::install(&mut world, &mut schedule)?;
        let quit = Arc::new(AtomicBool::new(false));
        let server = Server { world, schedule, wake: wake.clone(), certificate, checked: time::now() };
        let thread = std::thread::Builder::new()
            .name("service".into())
            .spawn({
                let quit = quit.clone();
                move || server.run(poll, &quit)
            })
            .map_err(failed)?;
        Ok(Self {
            quit,
            wake,
            thread: Some(thread),
            doors: open,
            redirect,
            figures,
            relays: relayed,
            pin,
            link,
            closed,
        })
    }

    /// The ports that lead to the service.
    pub fn doors(&self) -> &[u16] {
        &self.doors
    }

    /// The port that only redirects.
    pub const fn redirect(&self) -> Option<u16> {
        self.redirect
    }

    /// The port on which this machine's programs ask for figures.
    pub const fn figures(&self) -> Option<u16> {
        self.figures
    }

    /// The UDP ports and the TCP port on which the relay is asked.
    pub fn relays(&self) -> (&[u16], Option<u16>) {
        (&self.relays.0, self.relays.1)
    }

    /// SHA-256 of the certificate's key.
    pub const fn pin(&self) -> Digest {
        self.pin
    }

    /// What others start their program with.
    pub const fn link(&self) -> &ServiceLink {
        &self.link
    }

    /// Whether the service still runs.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.quit.store(true, Ordering::Relaxed);
        self.wake.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Server {
    fn run(mut self, mut poll: Poll, quit: &AtomicBool) {
        let mut events = Events::with_capacity(1024);
        while !quit.load(Ordering::Relaxed) {
            let now = time::now();
            let due = self.world.resource::<Due>().0.unwrap_or(now);
            if let Err(error) = poll.poll(&mut events, Some(due.saturating_duration_since(now)))
                && error.kind() != std::io::ErrorKind::Interrupted
            {
                tracing::error!(target: "service", "the event loop ended: {error}");
                break;
            }
            self.wake.heard();
            let mut network = self.world.resource_mut::<Network>();
            for event in &events {
                if event.token() != WAKER {
                    network.note(event.token().0);
                }
            }
            self.tick(time::now());
        }
        self.say_goodbye();
    }

    fn tick(&mut self, now: Instant) {
        self.world.resource_mut::<Now>().0 = now;
        self.schedule.run(&mut self.world);
        self.world.clear_trackers();
        if now.saturating_duration_since(self.checked) >= CERTIFICATE_CHECK {
            self.checked = now;
            self.reload_certificate();
        }
    }

    /// New connections get the new certificate where its files have changed; those that are open go on.
    fn reload_certificate(&mut self) {
        if !self.certificate.has_changed() {
            return;
        }
        match self.certificate.read().and_then(|pem| ServiceTls::new(&pem)) {
            Ok(tls) => {
                self.world.resource_mut::<Rules>().pin = tls.pin();
                self.world.resource_mut::<Network>().tls = tls;
                tracing::info!(target: "service", "the certificate was read anew");
            }
            // Half-written, perhaps: the old one serves, and the next look may find a whole one.
            Err(error) => tracing::warn!(target: "service", "the new certificate is not used: {error}"),
        }
    }

    /// Takes no more connections, answers what was asked, and tells everybody that the service goes.
    fn say_goodbye(&mut self) {
        self.world.resource_mut::<Network>().doors.close();
        let until = time::now() + DRAIN;
        while self.world.resource::<Storage>().store.waiting() > 0 && time::now() < until {
            self.tick(time::now());
            std::thread::yield_now();
        }
        self.tick(time::now());
        // The others need not wait until it is not heard any more.
        let peers = self.world.resource::<Peers>();
        peers.bus.publish(peers.log.bye());
        let mut connections = self.world.query::<&mut Connection>();
        for mut connection in connections.iter_mut(&mut self.world) {
            let _ = connection.web.write(time::now());
            connection.web.close();
        }
    }
}

/// The largest body of a request: photos and sealed messages only for those who show a token.
fn body_limit(head: &Head) -> usize {
    match head.path.as_str() {
        _ if head.method != Method::Post => 0,
        PHOTO_PATH if head.bearer.is_some() => 2 * 1024 * 1024,
        BLOB_PATH if head.bearer.is_some() => LARGEST,
        UP => MOST_BYTES,
        _ => LARGEST_JSON,
    }
}

fn pem_of(certificate: &config::Certificate, config: &ServeConfig) -> Result<Pem> {
    if let config::Certificate::Own { chain, key } = certificate
        && file::read(chain)?.is_none()
    {
        let mut names = vec!["localhost".to_owned()];
        if !config.host.is_empty() {
            names.insert(0, config.host.clone());
        }
        let pem = Pem::self_signed(names)?;
        // The key first: a certificate without its key would never be replaced.
        file::write(key, &pem.key, Existing::Replace)?;
        file::write(chain, &pem.chain, Existing::Replace)?;
    }
    certificate.read()
}

/// Opens the doors; those that cannot be opened are said where others can, and an error where none can.
fn open_doors(config: &ServeConfig) -> Result<(Doors, Vec<String>)> {
    let (mut doors, mut closed) = (Doors::default(), Vec::new());
    let mut wanted: Vec<(u16, DoorKind)> = config.doors.iter().map(|port| (*port, DoorKind::Tls)).collect();
    wanted.extend(config.http_port.map(|port| (port, DoorKind::Redirect)));
    wanted.extend(config.figures_port.map(|port| (port, DoorKind::Figures)));
    for (port, kind) in wanted {
        if let Err(error) = doors.open(port, kind) {
            closed.push(error.text.to_string());
        }
    }
    if !doors.ports().iter().any(|(_, kind)| *kind == DoorKind::Tls) {
        return Err(Error::new(
            Kind::Refused,
            format!("no door of the service could be opened. {}", closed.join(". ")),
        ));
    }
    Ok((doors, closed))
}

/// Each connection is an open file; the usual limit of 1024 would be reached by a thousand people.
fn raise_file_limit() {
    #[cfg(target_os = "linux")]
    {
        use nix::sys::resource::{Resource, getrlimit, setrlimit};
        if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
            let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
        }
    }
}

/// Ways to a database that others have too.
const DATABASE_CONNECTIONS: usize = 8;

/// How often the certificate's files are looked at.
const CERTIFICATE_CHECK: Duration = Duration::from_secs(2);

/// How long what was asked may take to be answered when the service is stopped.
const DRAIN: Duration = Duration::from_secs(5);
