//! Hands datagrams to their transports: one in, drained, the next.

use bevy_ecs::entity::Entity;
use bevy_ecs::system::{Query, Res};

use crate::world::connection::{Connection, Exchange, Inbound, Path};
use crate::world::shared::Arriving;
use crate::world::tape::Tape;

pub fn pump_datagrams(
    arriving: Res<Arriving>,
    tape: Res<Tape>,
    mut connections: Query<(Entity, &mut Connection, &mut Inbound, &mut Exchange, &mut Path)>,
) {
    for (entity, mut connection, mut inbound, mut exchange, mut path) in &mut connections {
        let before = path.heard;
        for index in inbound.0.drain(..) {
            let Some((datagram, bytes)) = arriving.0.read(index) else { continue };
            if connection.transport.receive(datagram, bytes, &mut exchange.0) {
                path.heard = Some(datagram.at);
            }
        }
        tape.pass(entity, &mut exchange.0, &mut path.heard, before);
    }
}
