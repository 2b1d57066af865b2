//! Finds each datagram's connection.

use bevy_ecs::entity::Entity;
use bevy_ecs::system::{Query, Res, ResMut};

use crate::base::time::Duration;
use crate::world::connection::{Connection, Inbound};
use crate::world::shared::{Arriving, Demux, Now};

/// By address; an unknown address is asked about only with STUN, and only so often per second.
pub fn route_datagrams(
    now: Res<Now>,
    arriving: Res<Arriving>,
    mut demux: ResMut<Demux>,
    mut connections: Query<(Entity, &Connection, &mut Inbound)>,
) {
    if arriving.0.is_empty() {
        return;
    }
    for index in 0..arriving.0.datagrams().len() {
        let Some((datagram, bytes)) = arriving.0.read(index) else { continue };
        let mut owner = demux.known.get(&(datagram.from, datagram.tcp)).copied();
        if owner.is_none() && may_ask(&mut demux, bytes, now.0) {
            owner = connections.iter().find(|(_, c, _)| c.transport.accepts(datagram, bytes)).map(|(e, ..)| e);
            if let Some(owner) = owner {
                if demux.known.len() >= Demux::BOUND {
                    demux.known.clear();
                }
                demux.known.insert((datagram.from, datagram.tcp), owner);
            }
        }
        match owner.and_then(|owner| connections.get_mut(owner).ok()) {
            Some((_, _, mut inbound)) => inbound.0.push(index),
            None => demux.foreign += 1,
        }
    }
}

/// Whether an unknown address' datagram is worth asking the connections about.
fn may_ask(demux: &mut Demux, bytes: &[u8], now: std::time::Instant) -> bool {
    // RFC 7983 §7: STUN begins with 0 to 3; a plain transport's kinds are below as well.
    if bytes.first().is_none_or(|first| *first > 5) {
        return false;
    }
    if demux.asked_since.is_none_or(|since| now.saturating_duration_since(since) >= Duration::from_secs(1)) {
        (demux.asked_since, demux.asked) = (Some(now), 0);
    }
    demux.asked += 1;
    demux.asked <= Demux::ASKS_PER_SECOND
}
