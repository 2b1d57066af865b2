//! People on the same network, found and announced by multicast DNS (RFC 6762, RFC 6763): no server, no account.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;

use mdns_sd::{Receiver, ServiceDaemon, ServiceEvent, ServiceInfo};

use crate::base::error::{Error, Kind, Result};
use crate::base::pipe::{Latest, Wake};
use crate::base::time::Duration;
use crate::proto::hex;
use crate::proto::keys::PublicKey;
use crate::proto::lan::{KEY, NAME, Neighbour, SERVICE, instance, properties};

/// Who is on the network, as far as they say, by name.
pub type Neighbours = Arc<Vec<Neighbour>>;

/// Looks for others, and shows us to them while that is wanted. Dropping it says goodbye and joins its threads.
pub struct Lan {
    daemon: ServiceDaemon,
    own: ServiceInfo,
    us: (PublicKey, u16),
    is_shown: bool,
    table: Arc<Latest<Neighbours>>,
    wake: Wake,
    thread: Option<JoinHandle<()>>,
    /// The one before, which was told to end.
    before: Option<JoinHandle<()>>,
}

impl Lan {
    /// Nothing is asked before [`Self::look`], and nothing announced before [`Self::show`]. `wake` is called when somebody
    /// comes or goes.
    ///
    /// # Errors
    /// [`Kind::Retry`]: the system lets nobody speak on the network's group.
    pub fn start(name: &str, key: PublicKey, base: u16, wake: Wake) -> Result<Self> {
        let own = own_service(name, &key, base).map_err(failed)?;
        let daemon = ServiceDaemon::new().map_err(failed)?;
        let table = Arc::new(Latest::default());
        Ok(Self { daemon, own, us: (key, base), is_shown: false, table, wake, thread: None, before: None })
    }

    /// Asks who is there, until it is said not to: whoever asks is seen by all who listen on the network.
    ///
    /// # Errors
    /// [`Kind::Retry`]: it cannot be asked now; the next call asks again.
    pub fn look(&mut self, is_looking: bool) -> Result<()> {
        if is_looking == self.thread.is_some() {
            return Ok(());
        }
        if !is_looking {
            // The daemon says that it is over, which ends the thread.
            self.daemon.stop_browse(SERVICE).map_err(failed)?;
            self.before = self.thread.take();
            self.table.put(Neighbours::default());
            return Ok(());
        }
        self.before.take().into_iter().for_each(|thread| drop(thread.join()));
        let found = self.daemon.browse(SERVICE).map_err(failed)?;
        let (table, wake, (key, base)) = (self.table.clone(), self.wake.clone(), self.us);
        let follow = move || follow(&found, &key, base, &table, &wake);
        self.thread = Some(std::thread::Builder::new().name("lan".into()).spawn(follow).map_err(failed)?);
        Ok(())
    }

    /// Announces us, or says goodbye. The daemon takes it later where it has much to do; the next call says it again.
    pub fn show(&mut self, is_shown: bool) {
        if is_shown == self.is_shown {
            return;
        }
        let done = match is_shown {
            true => self.daemon.register(self.own.clone()),
            false => self.daemon.unregister(self.own.get_fullname()).map(drop),
        };
        self.is_shown = if done.is_ok() { is_shown } else { self.is_shown };
    }

    /// Who is there now, where that has changed.
    pub fn take(&self) -> Option<Neighbours> {
        self.table.take()
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        if self.is_shown
            && let Ok(gone) = self.daemon.unregister(self.own.get_fullname())
        {
            // The goodbye (RFC 6762 §10.1) is sent before this comes back.
            let _ = gone.recv_timeout(GOODBYE);
        }
        if let Ok(ended) = self.daemon.shutdown() {
            let _ = ended.recv_timeout(GOODBYE);
        }
        for thread in [self.thread.take(), self.before.take()].into_iter().flatten() {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Lan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lan({})", self.own.get_fullname())
    }
}

fn failed(error: impl fmt::Display) -> Error {
    Error::new(Kind::Retry, format!("people on this network cannot be looked for: {error}"))
}

fn own_service(name: &str, key: &PublicKey, base: u16) -> mdns_sd::Result<ServiceInfo> {
    let mark: String = hex::text(&key.0).chars().take(8).collect();
    let host = format!("visavis-{mark}.local.");
    // The daemon fills in the addresses of each interface, and follows them.
    let info = ServiceInfo::new(SERVICE, &instance(name, key), &host, "", base, &properties(name, key)[..])?;
    Ok(info.enable_addr_auto())
}

/// Until the daemon ends.
fn follow(found: &Receiver<ServiceEvent>, own: &PublicKey, base: u16, table: &Latest<Neighbours>, wake: &Wake) {
    let mut known: HashMap<String, Neighbour> = HashMap::new();
    while let Ok(event) = found.recv() {
        match event {
            ServiceEvent::ServiceResolved(service) => {
                let addresses = service.get_addresses().iter().map(mdns_sd::ScopedIp::to_ip_addr);
                let text = |name| service.get_property_val_str(name);
                let read = Neighbour::read(text(NAME), text(KEY), service.get_port(), addresses);
                let is_us = |other: &Neighbour| other.key == *own && other.base == base;
                match read.filter(|other| !is_us(other)) {
                    // Whoever floods the network with names is not followed any further.
                    Some(other) if known.len() < MOST || known.contains_key(service.get_fullname()) => {
                        known.insert(service.get_fullname().to_owned(), other);
                    }
                    _ => continue,
                }
            }
            ServiceEvent::ServiceRemoved(_, name) => {
                if known.remove(&name).is_none() {
                    continue;
                }
            }
            ServiceEvent::SearchStopped(_) => break,
            _ => continue,
        }
        let mut people: Vec<Neighbour> = known.values().cloned().collect();
        people.sort_by(|one, other| (&one.name, one.key).cmp(&(&other.name, other.key)));
        table.put(Arc::new(people));
        wake.wake();
    }
}

/// A network with more people than this has a service.
const MOST: usize = 256;

/// What the goodbye may take at the end.
const GOODBYE: Duration = Duration::from_millis(500);
