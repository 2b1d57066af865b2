//! Watches calls: timeouts, whether media comes, and the clocks.

use bevy_ecs::entity::Entity;
use bevy_ecs::query::{QueryState, With};
use bevy_ecs::system::Local;
use bevy_ecs::world::World;

use super::{calls, devices, media};
use crate::base::time::{Duration, Instant, WallTime};
use crate::proto::signal::action::Phase;
use crate::proto::signal::event::Event;
use crate::world::call::CallState;
use crate::world::connection::{Path, Tracks};
use crate::world::shared::Now;
use crate::world::stream::{AudioStream, Frames};

/// Silence after which media counts as lost: five of the 250 ms signs of life.
const SILENCE: Duration = Duration::from_millis(1250);
/// How often the clocks are compared.
const PING_EVERY: Duration = Duration::from_secs(1);
/// At first: the delay is to be known when somebody looks for it.
const PING_AT_FIRST: Duration = Duration::from_millis(100);

pub fn watch_calls(world: &mut World, calls: &mut QueryState<Entity, With<CallState>>, mut all: Local<Vec<Entity>>) {
    let now = world.resource::<Now>().0;
    all.clear();
    all.extend(calls.iter(world));
    for entity in all.iter().copied() {
        let deadline = world.get::<CallState>(entity).and_then(|state| state.machine.deadline());
        if deadline.is_some_and(|at| at <= now) {
            calls::feed(world, entity, Event::Timeout);
        }
        watch_media(world, entity, now);
        watch_width(world, entity);
        compare_clocks(world, entity, now);
    }
}

/// Tells the machine when media comes, stops coming, and comes again; notes the first sound and picture.
fn watch_media(world: &mut World, entity: Entity, now: Instant) {
    let Some(connection) = world.get::<CallState>(entity).and_then(|state| state.connection) else { return };
    let Some(path) = world.get::<Path>(connection).cloned() else { return };
    let Some(tracks) = world.get::<Tracks>(connection).copied() else { return };
    let sounded = world.get::<AudioStream>(tracks.audio_in).and_then(|stream| stream.first_played);
    let showed = world.get::<Frames>(tracks.video_in).is_some_and(|frames| frames.frame > 0);
    let Some(mut state) = world.get_mut::<CallState>(entity) else { return };
    state.times.first_audio = state.times.first_audio.or(sounded);
    if showed {
        state.times.first_video.get_or_insert(now);
    }
    let silent = path.heard.is_none_or(|at| now.saturating_duration_since(at) > SILENCE) || path.closed.is_some();
    let event = match state.machine.phase() {
        Phase::Connecting if path.connected => Event::MediaConnected,
        Phase::InCall if silent => Event::MediaLost,
        Phase::Reconnecting if !silent => Event::MediaRestored,
        _ => return,
    };
    calls::feed(world, entity, event);
}

/// Tells the other side when the path has become too narrow for pictures, and when it is not any more.
fn watch_width(world: &mut World, entity: Entity) {
    let Some(state) = world.get::<CallState>(entity) else { return };
    let (told, in_call) = (state.mute, state.machine.phase() == Phase::InCall);
    if in_call && !told.video && media::is_too_narrow(world, entity) != told.narrow {
        devices::tell_mute(world, entity);
    }
}

fn compare_clocks(world: &mut World, entity: Entity, now: Instant) {
    let Some(mut state) = world.get_mut::<CallState>(entity) else { return };
    let due = state.ping_at.is_none_or(|at| at <= now);
    if !due || !state.machine.phase().is_accepted() {
        return;
    }
    state.ping_at = Some(now + if state.clock.is_new() { PING_AT_FIRST } else { PING_EVERY });
    let ping = state.clock.ping(WallTime::of(now).as_micros());
    calls::send(world, entity, ping);
}
