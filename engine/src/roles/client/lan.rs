//! People on the same network: shown to the person, and called by name.

use std::net::SocketAddr;

use bevy_ecs::entity::Entity;
use bevy_ecs::resource::Resource;
use bevy_ecs::world::World;

use super::{audio, calls, people, routes};
use crate::base::time::{Duration, Instant};
use crate::net::lan::{Lan, Neighbours};
use crate::net::proxy::Dial;
use crate::proto::keys::PublicKey;
use crate::proto::lan::{Neighbour, Visibility};
use crate::proto::signal::event::{Event, RouteFailure};
use crate::world::call::Signalling;
use crate::world::shared::{AppEnd, EngineWake, Now, Settings};

/// The network around us.
#[derive(Resource, Default)]
pub struct Network {
    lan: Option<Lan>,
    is_wanted: bool,
    people: Neighbours,
    /// A call to a name that nobody has answered to yet.
    waiting: Option<(Entity, String, Instant)>,
}

pub fn install(world: &mut World) {
    world.init_resource::<Network>();
    let is_wanted = world.resource::<Settings>().0.lan != Visibility::Off;
    world.resource_mut::<Network>().is_wanted = is_wanted;
}

/// In every tick: who came and went, and whether we are shown.
pub fn take_told(world: &mut World) {
    begin(world);
    // Whoever appears offline says nothing at all: a question of theirs would tell as much as an announcement.
    let is_there = !people::appears_offline(world);
    let is_shown = is_there && world.resource::<Settings>().0.lan == Visibility::Shown;
    let mut network = world.resource_mut::<Network>();
    let Some(lan) = &mut network.lan else { return };
    lan.show(is_shown);
    if let Err(error) = lan.look(is_there) {
        tracing::warn!("{error}");
    }
    if let Some(neighbours) = lan.take() {
        network.people = neighbours.clone();
        people::note_around(world, &neighbours);
        let app = world.resource::<AppEnd>();
        app.neighbours.put(neighbours);
        (app.redraw)();
    }
    go_on(world);
}

/// The person wants to be seen by the others, or not.
pub fn show(world: &mut World, shown: bool) {
    world.resource_mut::<Settings>().0.lan = if shown { Visibility::Shown } else { Visibility::Hidden };
    world.resource_mut::<Network>().is_wanted = true;
    audio::keep(world, |choices| choices.hidden = !shown);
}

/// Whoever on the network is called so, where exactly one is.
pub fn find(world: &World, name: &str) -> Option<Neighbour> {
    let mut called = world.resource::<Network>().people.iter().filter(|other| other.is_called(name));
    called.next().filter(|_| called.next().is_none()).cloned()
}

/// Calls whoever is called so, as soon as they are found. `false`: the network is not looked at.
pub fn call(world: &mut World, entity: Entity, name: &str) -> bool {
    let until = world.resource::<Now>().0 + PATIENCE;
    let mut network = world.resource_mut::<Network>();
    let may_come = network.is_wanted;
    if may_come {
        network.waiting = Some((entity, name.to_owned(), until));
        go_on(world);
    }
    may_come
}

/// Whether somebody is looked for.
pub fn is_looking(world: &World) -> bool {
    world.resource::<Network>().waiting.is_some()
}

/// The call goes another way.
pub fn give_up(world: &mut World) {
    world.resource_mut::<Network>().waiting = None;
}

/// The key that somebody of this name says they have.
pub fn announced_key(world: &World, name: &str) -> Option<PublicKey> {
    find(world, name).map(|other| other.key)
}

/// Not before the door stands: its port is what is announced.
fn begin(world: &mut World) {
    let network = world.resource::<Network>();
    if !network.is_wanted || network.lan.is_some() {
        return;
    }
    let signalling = world.resource::<Signalling>();
    let Some(base) = signalling.door.as_ref().and_then(|door| door.port()) else { return };
    let (name, key) = (signalling.identity.name().to_string(), signalling.identity.account());
    let started = Lan::start(&name, key, base, world.resource::<EngineWake>().0.clone());
    let mut network = world.resource_mut::<Network>();
    match started {
        Ok(lan) => network.lan = Some(lan),
        Err(error) => {
            // Calls by address and by a service go on without it.
            tracing::warn!("{error}");
            network.is_wanted = false;
        }
    }
}

fn go_on(world: &mut World) {
    let now = world.resource::<Now>().0;
    let Some((entity, name, until)) = world.resource_mut::<Network>().waiting.take() else { return };
    if let Some(found) = find(world, &name) {
        let way = |ip| Dial::direct(SocketAddr::new(ip, found.base));
        let ways: Vec<Dial> = found.addresses.iter().copied().map(way).collect();
        routes::stop_resolving(world);
        routes::connect(world, entity, &ways);
    } else if now >= until {
        // The name service may still know a machine of that name.
        if !routes::is_resolving(world) {
            calls::feed(world, entity, Event::RouteFailed(RouteFailure::NotHere));
        }
    } else {
        world.resource_mut::<Network>().waiting = Some((entity, name, until));
    }
}

/// The others answer a question within a tenth of a second (RFC 6762 §6); the first is asked again after a second.
const PATIENCE: Duration = Duration::from_secs(3);
