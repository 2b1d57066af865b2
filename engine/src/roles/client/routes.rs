//! Ways to the other side: a door that is called, or the service that carries envelopes between pals.

use std::net::SocketAddr;

use bevy_ecs::entity::Entity;
use bevy_ecs::resource::Resource;
use bevy_ecs::world::World;

use super::{calls, people};
use crate::base::error::{Error, Kind, Result};
use crate::base::id::CallId;
use crate::base::pipe::{PipeReceiver, pipe};
use crate::base::time::Instant;
use crate::net::control::{CloseReason, LinkId};
use crate::net::tcp;
use crate::proto::signal::event::{Event, RouteFailure};
use crate::world::call::{CallState, Signalling};
use crate::world::shared::{EngineWake, Now};

/// A name being looked up on a helper thread: the resolver blocks.
#[derive(Resource, Default)]
pub struct Resolving(Option<(Entity, PipeReceiver<Result<Vec<SocketAddr>>>)>);

pub fn resolve(world: &mut World, entity: Entity, host: String, base: u16) -> Result<()> {
    let (sender, receiver) = pipe(1);
    let wake = world.resource::<EngineWake>().0.clone();
    let work = move || {
        // Refused only when the engine has gone on without waiting.
        let _ = sender.try_send(tcp::resolve_blocking(&host, base));
        wake.wake();
    };
    // Not joined: the system's resolver cannot be interrupted, and an engine that ends must not wait for it.
    std::thread::Builder::new()
        .name("resolver".into())
        .spawn(work)
        .map_err(|error| Error::new(Kind::Retry, format!("cannot start the resolver: {error}")))?;
    world.resource_mut::<Resolving>().0 = Some((entity, receiver));
    Ok(())
}

pub fn connect(world: &mut World, entity: Entity, addresses: &[SocketAddr]) {
    let now = world.resource::<Now>().0;
    let mut signalling = world.resource_mut::<Signalling>();
    let link = signalling.door.as_mut().and_then(|door| door.connect(addresses, now).ok());
    match link {
        Some(link) => {
            if let Some(mut state) = world.get_mut::<CallState>(entity) {
                state.link = Some(link);
            }
        }
        None => calls::feed(world, entity, Event::RouteFailed(RouteFailure::Unreachable)),
    }
}

/// Names that were found.
pub fn take_found(world: &mut World) {
    let found = world.resource::<Resolving>().0.as_ref().and_then(|(entity, pipe)| Some((*entity, pipe.try_recv()?)));
    let Some((entity, found)) = found else { return };
    world.resource_mut::<Resolving>().0 = None;
    match found {
        Ok(addresses) if !addresses.is_empty() => connect(world, entity, &addresses),
        _ => calls::feed(world, entity, Event::RouteFailed(RouteFailure::Unreachable)),
    }
}

/// Puts an envelope on its way. `offer`: the call that begins with it.
pub fn put(world: &mut World, link: LinkId, bytes: &[u8], offer: Option<CallId>) {
    if people::put(world, link, bytes, offer) {
        return;
    }
    let now = world.resource::<Now>().0;
    if let Some(door) = &mut world.resource_mut::<Signalling>().door {
        // A refusal closes the link; the event that follows tells the machine.
        let _ = door.send(link, bytes, now);
    }
}

pub fn close(world: &mut World, link: Option<LinkId>, now: Instant) {
    if let Some(link) = link {
        people::forget(world, link);
    }
    let mut signalling = world.resource_mut::<Signalling>();
    if let Some(link) = link {
        signalling.links.remove(&link);
        if let Some(door) = &mut signalling.door {
            door.close(link, now);
        }
    }
}

/// What a closed link means to its call.
pub fn closed_event(why: CloseReason, was_up: bool) -> Event {
    match (why, was_up) {
        (CloseReason::PeerGone, true) => Event::PeerProcessGone,
        (_, true) => Event::RouteLost,
        (CloseReason::ConnectRefused, _) => Event::RouteFailed(RouteFailure::Refused),
        (CloseReason::Timeout, _) => Event::RouteFailed(RouteFailure::Timeout),
        (CloseReason::Handshake | CloseReason::Malformed, _) => Event::RouteFailed(RouteFailure::NotOurs),
        _ => Event::RouteFailed(RouteFailure::Unreachable),
    }
}
