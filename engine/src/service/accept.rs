//! Takes connections that wait at the doors.

use bevy_ecs::system::{Commands, Res, ResMut};
use mio::{Interest, Token};
use rustls::ServerConnection;

use crate::net::web::connection::{Close, WebConnection};
use crate::net::web::doors::DoorKind;
use crate::service::session::{Connection, Strangers};
use crate::service::shared::{Counters, Ended, Network, Now, Rules};

/// Takes at most `ACCEPTS` at each door that somebody waits at.
pub fn accept_connections(
    mut network: ResMut<Network>,
    mut strangers: ResMut<Strangers>,
    mut ended: ResMut<Ended>,
    mut counters: ResMut<Counters>,
    (rules, now): (Res<Rules>, Res<Now>),
    mut commands: Commands,
) {
    for door in std::mem::take(&mut network.waiting) {
        let mut left = ACCEPTS;
        while let Some(accepted) = network.doors.accept(door) {
            let Ok((mut socket, peer, kind)) = accepted else {
                network.stalled.push(door);
                break;
            };
            counters.accepted += 1;
            let address = peer.ip().to_canonical();
            let _ = socket.set_nodelay(true);
            let slot = network.free.pop().unwrap_or_else(|| {
                network.slots.push(None);
                network.slots.len() - 1
            });
            let token = Token(network.first_slot + slot);
            let interest = Interest::READABLE | Interest::WRITABLE;
            let is_registered = network.registry.register(&mut socket, token, interest).is_ok();
            let web = match kind {
                DoorKind::Redirect | DoorKind::Figures => {
                    Some(WebConnection::plain(socket, peer, network.limits, now.0))
                }
                DoorKind::Tls => ServerConnection::new(network.tls.config())
                    .ok()
                    .map(|tls| WebConnection::tls(socket, peer, tls, network.limits, now.0)),
            };
            // Whoever else says such a thing speaks no TLS.
            let is_balancer = kind != DoorKind::Figures && rules.is_balancer(address);
            let web = if is_balancer { web.map(WebConnection::forwarded) } else { web };
            match web {
                Some(web) if is_registered => {
                    let entity = commands.spawn(Connection { web, slot, door: kind }).id();
                    network.slots[slot] = Some(entity);
                    network.ready.push(entity);
                    if let Some(oldest) = strangers.add(address, entity) {
                        counters.crowded += 1;
                        ended.0.push((oldest, Close::Crowded));
                    }
                }
                _ => network.free.push(slot),
            }
            left -= 1;
            if left == 0 {
                network.waiting.push(door);
                break;
            }
        }
    }
}

/// A flood of connections must not hold the tick up.
const ACCEPTS: usize = 64;
