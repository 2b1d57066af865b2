//! Relayed addresses: opened for a client, and closed with its allocation.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use mio::{Interest, Token};
use stun_proto::types::AddressFamily;
use turn_server_proto::api::{SocketAllocateError, TurnServerApi};

use super::TurnCounters;
use super::address::{bind, is_of, local_towards, name_of, own};
use super::client::Via;
use super::event_loop::{FIRST_SOCKET, Relay, Socket};

impl Relay {
    /// Opens a relayed address for a client.
    pub(super) fn allocate(&mut self, key: usize, family: AddressFamily) -> Result<SocketAddr, SocketAllocateError> {
        let full = SocketAllocateError::InsufficientCapacity;
        let client = self.clients.get(key).ok_or(full)?;
        let name = name_of(client.user().ok_or(full)?).to_owned();
        if self.of_name.get(&name).is_some_and(|count| *count >= self.limits.of_one) {
            TurnCounters::add(&self.counters.refused, 1);
            return Err(full);
        }
        let local = match client.via {
            Via::Stream(_) => Some(client.proto.listen_address().ip().to_canonical()),
            Via::Udp { from, .. } => local_towards(from),
        };
        let local = local.filter(|ip| is_of(*ip, family)).or_else(|| own(family));
        let local = local.ok_or(SocketAllocateError::AddressFamilyNotSupported)?;
        let mut socket = bind(local, self.config.relayed.clone()).map_err(|_| full)?;
        let port = socket.local_addr().map_err(|_| full)?.port();
        let shown = self.config.address.filter(|ip| is_of(*ip, family)).unwrap_or(local);
        let address = SocketAddr::new(shown, port);
        let entry = self.sockets.vacant_entry();
        let relay = entry.key();
        let token = Token(FIRST_SOCKET + relay);
        self.poll.registry().register(&mut socket, token, Interest::READABLE).map_err(|_| full)?;
        entry.insert(Socket::Relayed { socket, address, client: key });
        *self.of_name.entry(name).or_default() += 1;
        TurnCounters::add(&self.counters.allocations, 1);
        TurnCounters::add(&self.counters.allocated, 1);
        if let Some(client) = self.clients.get_mut(key) {
            client.relays.push(relay);
        }
        Ok(address)
    }

    pub(super) fn close_relay(&mut self, key: usize, address: SocketAddr) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let is_it = |relay: &usize| matches!(self.sockets.get(*relay), Some(Socket::Relayed { address: its, .. }) if *its == address);
        let Some(at) = client.relays.iter().position(is_it) else { return };
        let relay = client.relays.swap_remove(at);
        let name = client.user().map(|user| name_of(user).to_owned());
        if let Some(Socket::Relayed { mut socket, .. }) = self.sockets.try_remove(relay) {
            let _ = self.poll.registry().deregister(&mut socket);
            self.counters.allocations.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(count) = name.as_ref().and_then(|name| self.of_name.get_mut(name)) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                name.map(|name| self.of_name.remove(&name));
            }
        }
    }
}
