//! The end of a tick: what is late is closed, what has ended is buried, and the next deadline is found.

use bevy_ecs::entity::Entity;
use bevy_ecs::system::{Commands, Local, Query, Res, ResMut};

use crate::base::time::{Duration, Instant};
use crate::net::web::connection::Close;
use crate::service::session::{Connection, Present, Session, Strangers};
use crate::service::shared::{Changes, Counters, Due, Ended, Network, Now};

/// Closes what is late. Ten thousand connections are looked at `SWEEP` apart, not in each tick; where thousands are late at
/// once, they are closed some in each tick, and others are answered between.
pub fn close_late(
    mut connections: Query<(Entity, &mut Connection)>,
    mut ended: ResMut<Ended>,
    mut network: ResMut<Network>,
    mut swept: Local<Option<Instant>>,
    now: Res<Now>,
) {
    if swept.is_some_and(|swept| now.0 < swept + SWEEP) {
        return;
    }
    *swept = Some(now.0);
    network.has_late = false;
    let mut left = CLOSES;
    let stalled = std::mem::take(&mut network.stalled);
    network.waiting.extend(stalled);
    for (entity, mut connection) in &mut connections {
        if let Err(why) = connection.web.handle_timeout(now.0) {
            ended.0.push((entity, why));
            left -= 1;
        }
        if left == 0 {
            (*swept, network.has_late) = (None, true);
            break;
        }
    }
}

/// Removes connections that have ended, and says whose session went with them.
pub fn bury(
    mut connections: Query<(&mut Connection, Option<&Session>)>,
    mut ended: ResMut<Ended>,
    mut changes: ResMut<Changes>,
    mut network: ResMut<Network>,
    mut present: ResMut<Present>,
    mut strangers: ResMut<Strangers>,
    mut counters: ResMut<Counters>,
    mut commands: Commands,
) {
    // Who came and went in this tick is known to the roles by now.
    changes.came.clear();
    changes.went.clear();
    ended.0.sort_unstable_by_key(|(entity, _)| *entity);
    ended.0.dedup_by_key(|(entity, _)| *entity);
    for (entity, why) in ended.0.drain(..) {
        let Ok((mut connection, session)) = connections.get_mut(entity) else { continue };
        counters.closed += 1;
        match why {
            Close::Timeout => counters.late += 1,
            Close::Malformed => counters.malformed += 1,
            Close::SlowReader => counters.slow += 1,
            _ => {}
        }
        if why != Close::PeerGone {
            connection.web.close();
        }
        let slot = connection.slot;
        if let Some(socket) = connection.web.socket_mut() {
            let _ = network.registry.deregister(socket);
        }
        if let Some(place) = network.slots.get_mut(slot) {
            *place = None;
            network.free.push(slot);
        }
        match session {
            Some(session) => {
                let is_last = present.remove(session.account, entity);
                tracing::info!(target: "session", account = session.account.0, why = ?why, "closed");
                changes.went.push((entity, session.clone(), is_last));
            }
            None => strangers.remove(connection.web.peer().ip().to_canonical(), entity),
        }
        commands.entity(entity).despawn();
    }
}

/// The next tick: at once where something was left for it, else at the next sweep.
pub fn gather_due(network: Res<Network>, changes: Res<Changes>, now: Res<Now>, mut due: ResMut<Due>) {
    let has_more =
        network.has_late || !network.ready.is_empty() || !network.waiting.is_empty() || !changes.went.is_empty();
    due.0 = Some(if has_more { now.0 } else { now.0 + SWEEP });
}

/// To close one takes some thirty microseconds.
const CLOSES: usize = 64;

const SWEEP: Duration = Duration::from_millis(250);
