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
        let MediaPort { udp, paths, direct, .. } = &mut *port;
        match udp {
            Some(udp) => {
                let is_carried = paths.as_mut().is_some_and(|paths| paths.carry(&exchange.0.outbox, direct, now.0));
                if !is_carried {
                    udp.send(&exchange.0.outbox, now.0);
                }
            }
            None => {
                for (sending, bytes) in exchange.0.outbox.iter() {
                    port.sent.push(sending.from, sending.to, sending.class, bytes);
                }
            }
        }
        exchange.0.outbox.clear();
    }
    let MediaPort { udp, paths, direct, .. } = &mut *port;
    if let Some(udp) = udp {
        if let Some(paths) = paths {
            paths.run(direct, now.0);
            if !direct.is_empty() {
                udp.send(direct, now.0);
                direct.clear();
            }
        }
        udp.send_due(now.0);
    }
}
