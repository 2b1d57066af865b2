//! Ways to the other side: a door that is called, or the service that carries envelopes between pals.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bevy_ecs::entity::Entity;
use bevy_ecs::resource::Resource;
use bevy_ecs::world::World;

use super::{audio, calls, lan, people};
use crate::base::error::{Error, Kind, Result};
use crate::base::id::CallId;
use crate::base::pipe::{PipeReceiver, pipe};
use crate::base::time::Instant;
use crate::net::control::{CloseReason, LinkId};
use crate::net::proxy::{Dial, dials, resolve_proxy};
use crate::net::tcp;
use crate::proto::proxy::choice::{Proxies, ProxySetting};
use crate::proto::signal::event::{Event, RouteFailure};
use crate::world::call::{CallState, Signalling};
use crate::world::message::Notice;
use crate::world::shared::{EngineWake, Now, Settings};

/// A name being looked up on a helper thread: the resolver blocks.
#[derive(Resource, Default)]
pub struct Resolving(Option<(Entity, String, PipeReceiver<Result<Vec<Dial>>>)>);

pub fn resolve(world: &mut World, entity: Entity, host: String, base: u16) -> Result<()> {
    let (sender, receiver) = pipe(1);
    let wake = world.resource::<EngineWake>().0.clone();
    let proxies = world.resource::<Settings>().0.proxies.clone();
    let asked = host.clone();
    let work = move || {
        // Refused only when the engine has gone on without waiting.
        let _ = sender.try_send(ways(&proxies, &host, base));
        wake.wake();
    };
    // Not joined: the system's resolver cannot be interrupted, and an engine that ends must not wait for it.
    std::thread::Builder::new()
        .name("resolver".into())
        .spawn(work)
        .map_err(|error| Error::new(Kind::Retry, format!("cannot start the resolver: {error}")))?;
    world.resource_mut::<Resolving>().0 = Some((entity, asked, receiver));
    Ok(())
}

/// The call goes another way, or nowhere: what the name service says is not waited for any more.
pub fn stop_resolving(world: &mut World) {
    world.resource_mut::<Resolving>().0 = None;
}

pub fn is_resolving(world: &World) -> bool {
    world.resource::<Resolving>().0.is_some()
}

/// Calls by the addresses of a name that needs no looking up, and of a proxy that needs none either.
pub fn connect_literal(world: &mut World, entity: Entity, ip: IpAddr, base: u16) -> Result<()> {
    let proxies = world.resource::<Settings>().0.proxies.clone();
    match proxies.towards(&ip.to_string()) {
        Some(_) => resolve(world, entity, ip.to_string(), base)?,
        None => connect(world, entity, &[Dial::direct(SocketAddr::new(ip, base))]),
    }
    Ok(())
}

/// The ways to `host`: waits for the name service.
fn ways(proxies: &Proxies, host: &str, base: u16) -> Result<Vec<Dial>> {
    let found = tcp::resolve_blocking(host, base);
    if proxies.towards(host).is_none() {
        return Ok(found?.into_iter().map(Dial::direct).collect());
    }
    // A name that is not found here may be known to the proxy.
    Ok(dials(proxies, &resolve_proxy(proxies)?, host, base, &found.unwrap_or_default()))
}

pub fn connect(world: &mut World, entity: Entity, ways: &[Dial]) {
    let now = world.resource::<Now>().0;
    let mut signalling = world.resource_mut::<Signalling>();
    let link = signalling.door.as_mut().and_then(|door| door.connect(ways, now).ok());
    match link {
        Some(link) => {
            if let Some(mut state) = world.get_mut::<CallState>(entity) {
                state.link = Some(link);
            }
        }
        None => calls::feed(world, entity, Event::RouteFailed(RouteFailure::Unreachable)),
    }
}

/// The person wants everything to be dialled so.
pub fn choose_proxy(world: &mut World, setting: ProxySetting) {
    match setting.proxies(|name| std::env::var(name).ok()) {
        Ok(proxies) => {
            let proxies = Arc::new(proxies);
            world.resource_mut::<Settings>().0.proxies = proxies.clone();
            people::dial_through(world, proxies);
            audio::keep(world, |choices| choices.proxy = setting);
        }
        Err(error) => calls::tell(world, Notice::Error(error.text.into())),
    }
}

/// Names that were found.
pub fn take_found(world: &mut World) {
    let resolving = world.resource::<Resolving>().0.as_ref();
    let found = resolving.and_then(|(entity, host, pipe)| Some((*entity, host.clone(), pipe.try_recv()?)));
    let Some((entity, host, found)) = found else { return };
    world.resource_mut::<Resolving>().0 = None;
    match found {
        Ok(ways) if !ways.is_empty() => {
            lan::give_up(world);
            connect(world, entity, &ways);
        }
        // A name that the name service does not know may be somebody's on this network.
        _ if lan::is_looking(world) => {}
        _ if !host.contains('.') && lan::call(world, entity, &host) => {}
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
        (CloseReason::ProxyLogin, _) => Event::RouteFailed(RouteFailure::ProxyLogin),
        (CloseReason::ProxyRefused, _) => Event::RouteFailed(RouteFailure::ProxyRefused),
        (CloseReason::Timeout, _) => Event::RouteFailed(RouteFailure::Timeout),
        (CloseReason::Handshake | CloseReason::Malformed, _) => Event::RouteFailed(RouteFailure::NotOurs),
        _ => Event::RouteFailed(RouteFailure::Unreachable),
    }
}
