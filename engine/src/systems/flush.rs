//! Runs the transports' timeouts and gives datagrams to the socket.

use bevy_ecs::system::{Query, Res, ResMut};

use crate::world::connection::{Connection, Exchange};
use crate::world::shared::{MediaPort, Now};

/// Only connections that were written or whose deadline has come: an idle one is not touched.
pub fn run_timeouts(now: Res<Now>, mut connections: Query<(&mut Connection, &mut Exchange)>) {
    for (mut connection, mut exchange) in &mut connections {
        if connection.transport.is_written() || connection.transport.deadline() <= now.0 {
            connection.transport.run_timeouts(now.0, &mut exchange.0);
        }
    }
}

pub fn send_datagrams(now: Res<Now>, mut port: ResMut<MediaPort>, mut connections: Query<&mut Exchange>) {
    for mut exchange in &mut connections {
        if exchange.0.outbox.is_empty() {
            continue;
        }
        match &mut port.udp {
            Some(udp) => udp.send(&exchange.0.outbox, now.0),
            None => {
                for (sending, bytes) in exchange.0.outbox.iter() {
                    port.sent.push(sending.from, sending.to, sending.class, bytes);
                }
            }
        }
        exchange.0.outbox.clear();
    }
    if let Some(udp) = &mut port.udp {
        udp.send_due(now.0);
    }
}
