//! Gives answers and pushes to their connections.

use bevy_ecs::system::{Query, Res, ResMut};

use crate::service::session::Connection;
use crate::service::shared::{Counters, Ended, Now, Out, Outbox};

pub fn write_connections(
    mut connections: Query<&mut Connection>,
    mut outbox: ResMut<Outbox>,
    mut ended: ResMut<Ended>,
    mut counters: ResMut<Counters>,
    mut network: ResMut<crate::service::shared::Network>,
    now: Res<Now>,
) {
    let mut outs = std::mem::take(&mut outbox.0);
    // The order of those that are alike stays.
    outs.sort_by_key(|(_, out)| matches!(out, Out::Push(_)));
    for (to, out) in outs.drain(..) {
        // Whoever asked may be gone.
        let Ok(mut connection) = connections.get_mut(to) else { continue };
        let written = match out {
            Out::Answer(response) => {
                // The next request may have come with this one.
                network.ready.push(to);
                connection.web.answer(&response, false, now.0)
            }
            Out::Upgrade(key) => {
                network.ready.push(to);
                connection.web.upgrade(&key, now.0)
            }
            Out::Text(text) | Out::Push(text) => {
                counters.texts_out += 1;
                connection.web.send(text)
            }
            Out::Close(why) => Err(why),
        };
        if let Err(why) = written {
            ended.0.push((to, why));
        }
    }
    // Its room is kept for the next tick.
    outbox.0 = outs;
}
