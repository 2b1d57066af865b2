//! Watches calls: timeouts, whether media comes, and the clocks.

use bevy_ecs::entity::Entity;
use bevy_ecs::query::{QueryState, With};
use bevy_ecs::system::Local;
use bevy_ecs::world::World;

use super::{calls, candidates, devices, media, people};
use crate::base::time::{Duration, Instant, WallTime};
use crate::media::simulcast::Audience;
use crate::proto::signal::action::Phase;
use crate::proto::signal::body::{Body, SOURCES, Watch};
use crate::proto::signal::event::Event;
use crate::proto::text::List;
use crate::world::call::CallState;
use crate::world::connection::{Connection, Path, Tracks};
use crate::world::outgoing::VideoQueue;
use crate::world::shared::Now;
use crate::world::stream::{AudioStream, Frames};

/// Silence after which media counts as lost: five of the 250 ms signs of life.
const SILENCE: Duration = Duration::from_millis(1250);
/// A sign of life and a half are missing: perhaps our own address is another one.
const QUIET: Duration = Duration::from_millis(400);
/// How often the clocks are compared.
const PING_EVERY: Duration = Duration::from_secs(1);
/// At first: the delay is to be known when somebody looks for it.
const PING_AT_FIRST: Duration = Duration::from_millis(100);
/// The same, at first and later, where the service carries it: it takes five messages a second, and these are two.
const PING_BY_SERVICE: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];
/// A window that is being resized says so no oftener than this.
const TELL_EVERY: Duration = Duration::from_millis(250);
const TELL_BY_SERVICE: Duration = Duration::from_secs(1);

pub fn watch_calls(world: &mut World, calls: &mut QueryState<Entity, With<CallState>>, mut all: Local<Vec<Entity>>) {
    let now = world.resource::<Now>().0;
    all.clear();
    all.extend(calls.iter(world));
    for entity in all.iter().copied() {
        let deadline = world.get::<CallState>(entity).and_then(|state| state.machine.deadline());
        if deadline.is_some_and(|at| at <= now) {
            calls::feed(world, entity, Event::Timeout);
        }
        watch_path(world, entity, now);
        watch_media(world, entity, now);
        watch_width(world, entity);
        tell_seen(world, entity, now);
        compare_clocks(world, entity, now);
    }
}

/// Looks after the path in use: another one is taken when it falls silent, and looked for when nothing comes at all.
fn watch_path(world: &mut World, entity: Entity, now: Instant) {
    let Some(connection) = world.get::<CallState>(entity).and_then(|state| state.connection) else { return };
    let Some(heard) = world.get::<Path>(connection).and_then(|path| path.heard) else { return };
    let Some(mut connection) = world.get_mut::<Connection>(connection) else { return };
    if connection.transport.watch(false, heard, now) {
        note_failover(world, entity);
        calls::send(world, entity, Body::Silent);
    }
    if now.saturating_duration_since(heard) >= QUIET {
        candidates::look_again(world, entity, now);
    }
}

/// The other side hears nothing by the path in use: another one is taken at once, where there is one.
pub fn leave_path(world: &mut World, entity: Entity, now: Instant) {
    let Some(connection) = world.get::<CallState>(entity).and_then(|state| state.connection) else { return };
    let Some(heard) = world.get::<Path>(connection).and_then(|path| path.heard) else { return };
    let is_left = world
        .get_mut::<Connection>(connection)
        .is_some_and(|mut connection| connection.transport.watch(true, heard, now));
    if is_left {
        note_failover(world, entity);
    }
}

fn note_failover(world: &mut World, entity: Entity) {
    let connection = world.get::<CallState>(entity).and_then(|state| state.connection);
    if let Some(mut path) = connection.and_then(|connection| world.get_mut::<Path>(connection)) {
        path.failovers += 1;
    }
}

/// Tells the machine when media comes, stops coming, and comes again; notes the first sound and picture.
fn watch_media(world: &mut World, entity: Entity, now: Instant) {
    let Some(connection) = world.get::<CallState>(entity).and_then(|state| state.connection) else { return };
    let kind = world.get::<Connection>(connection).and_then(|connection| connection.transport.path_kind());
    let Some(mut path) = world.get_mut::<Path>(connection) else { return };
    path.kind = kind.or(path.kind);
    let path = path.clone();
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
        _ if path.closed.as_ref().is_some_and(String::is_empty) => Event::MediaClosed,
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

/// Tells the other side on which tiles its pictures are looked at, where that has changed, and anew over a new link.
fn tell_seen(world: &mut World, entity: Entity, now: Instant) {
    let Some(state) = world.get::<CallState>(entity) else { return };
    let (Some(link), Some(connection), true) = (state.link, state.connection, state.machine.phase().is_accepted())
    else {
        return;
    };
    let Some(tracks) = world.get::<Tracks>(connection) else { return };
    let mut seen = [None; SOURCES];
    for (place, (_, video)) in seen.iter_mut().zip(tracks.videos_in()) {
        *place = world.get::<Frames>(video).and_then(|frames| frames.seen);
    }
    let every = if people::carries(world, link) { TELL_BY_SERVICE } else { TELL_EVERY };
    let is_told = match state.told {
        Some((over, at, told)) => (over, told) == (link, seen) || now.saturating_duration_since(at) < every,
        None => seen == [None; SOURCES],
    };
    if is_told {
        return;
    }
    if let Some(mut state) = world.get_mut::<CallState>(entity) {
        state.told = Some((link, now, seen));
    }
    let sources = seen.into_iter().map_while(|tile| Some(List::cut(vec![tile?]))).collect();
    calls::send(world, entity, Body::Watch(Watch { sources: List::cut(sources) }));
}

/// Heeds what the other side says about that.
pub fn heed(world: &mut World, call: Entity, watch: &Watch) {
    let Some(tracks) = media::tracks_of(world, call) else { return };
    let mut said = watch.sources.iter();
    for (_, video) in tracks.videos_out() {
        let audience = said.next().map_or_else(Audience::default, |tiles| Audience::of(tiles.iter().copied()));
        if let Some(mut queue) = world.get_mut::<VideoQueue>(video) {
            queue.asked = Some(audience);
        }
    }
}

fn compare_clocks(world: &mut World, entity: Entity, now: Instant) {
    let link = world.get::<CallState>(entity).and_then(|state| state.link);
    let [first, every] = match link.is_some_and(|link| people::carries(world, link)) {
        true => PING_BY_SERVICE,
        false => [PING_AT_FIRST, PING_EVERY],
    };
    let Some(mut state) = world.get_mut::<CallState>(entity) else { return };
    let due = state.ping_at.is_none_or(|at| at <= now);
    if !due || !state.machine.phase().is_accepted() {
        return;
    }
    state.ping_at = Some(now + if state.clock.is_new() { first } else { every });
    let ping = state.clock.ping(WallTime::of(now).as_micros());
    calls::send(world, entity, ping);
}
