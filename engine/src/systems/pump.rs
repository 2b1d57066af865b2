//! Hands datagrams to their transports: one in, drained, the next.

use bevy_ecs::system::{Query, Res};

use crate::world::connection::{Connection, Exchange, Inbound, Path};
use crate::world::shared::Arriving;

pub fn pump_datagrams(
    arriving: Res<Arriving>,
    mut connections: Query<(&mut Connection, &mut Inbound, &mut Exchange, &mut Path)>,
) {
    for (mut connection, mut inbound, mut exchange, mut path) in &mut connections {
        for index in inbound.0.drain(..) {
            let Some((datagram, bytes)) = arriving.0.read(index) else { continue };
            if connection.transport.receive(datagram, bytes, &mut exchange.0) {
                path.heard = Some(datagram.at);
            }
        }
    }
}
