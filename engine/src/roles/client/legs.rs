//! One call to several devices of a pal: the first that answers has it, the others stop. The call's entity keeps its devices and
//! its transport; each further device that rings is a leg with a machine of its own, which takes the call's place when it is
//! the one.

use bevy_ecs::entity::Entity;
use bevy_ecs::resource::Resource;
use bevy_ecs::world::World;

use super::{calls, people};
use crate::base::id::CallId;
use crate::net::control::LinkId;
use crate::proto::keys::PublicKey;
use crate::proto::service::names::AccountName;
use crate::proto::signal::action::{Action, Phase};
use crate::proto::signal::event::Event;
use crate::proto::signal::outcome::Outcome;
use crate::world::call::CallState;
use crate::world::shared::Now;

/// The further devices that the current call rings.
#[derive(Debug, Default, Resource)]
pub struct Legs(Vec<Entity>);

/// Another device of `name` has heard of `call`: it rings, too. The way to it; `None`: the call is not ringing any more.
pub fn fork(world: &mut World, name: &AccountName, device: PublicKey, call: CallId) -> Option<LinkId> {
    let now = world.resource::<Now>().0;
    let current = calls::current(world)?;
    let state = world.get::<CallState>(current).filter(|state| state.machine.call() == call)?;
    let machine = state.machine.fork(now)?;
    let (address, counter, mute) = (state.address.clone(), state.counter, state.mute);
    if world.resource::<Legs>().0.len() >= MOST {
        return None;
    }
    let link = people::open(world, name.clone(), device, Some(device));
    let leg = calls::spawn_leg(world, machine, address, link);
    if let Some(mut state) = world.get_mut::<CallState>(leg) {
        (state.counter, state.mute) = (counter, mute);
    }
    world.resource_mut::<Legs>().0.push(leg);
    Some(link)
}

/// Whose actions these are: where a leg answers or is declined, it becomes the call; where the call's own device is busy or
/// will not, a leg that still rings becomes it.
pub fn choose(world: &mut World, entity: Entity, actions: &[Action]) -> Entity {
    let Some(current) = calls::current(world) else { return entity };
    let answers = actions.iter().any(|action| matches!(action, Action::StartMedia(_)));
    let end = actions.iter().find_map(|action| match action {
        Action::End { outcome, .. } => Some(*outcome),
        _ => None,
    });
    let is_leg = world.resource::<Legs>().0.contains(&entity);
    if is_leg && (answers || end == Some(Outcome::Declined)) {
        swap(world, current, entity);
        return current;
    }
    if is_leg && end.is_some() {
        world.resource_mut::<Legs>().0.retain(|leg| *leg != entity);
        return entity;
    }
    let goes_on = matches!(end, Some(Outcome::Busy | Outcome::Incompatible | Outcome::Refused | Outcome::Unreachable));
    if entity == current
        && goes_on
        && let Some(leg) = world.resource_mut::<Legs>().0.pop()
    {
        swap(world, current, leg);
        return leg;
    }
    entity
}

/// The call was answered, or is over: no other device rings any more.
pub fn follow(world: &mut World, entity: Entity) {
    if world.resource::<Legs>().0.is_empty() {
        return;
    }
    let is_current = calls::current(world) == Some(entity);
    let phase = world.get::<CallState>(entity).map(|state| state.machine.phase());
    let event = match phase {
        Some(phase) if is_current && phase.is_accepted() => Event::OtherLegAnswered,
        _ if calls::current(world).is_none() => Event::HangUp,
        _ => return,
    };
    for leg in std::mem::take(&mut world.resource_mut::<Legs>().0) {
        calls::feed(world, leg, event.clone());
    }
    // What was switched meanwhile was said to the machine that had the call then.
    if matches!(phase, Some(Phase::Connecting))
        && let Some(mute) = world.get::<CallState>(entity).map(|state| state.mute)
    {
        calls::feed(world, entity, Event::Mute(mute));
    }
}

/// The two exchange who they talk to.
fn swap(world: &mut World, call: Entity, leg: Entity) {
    let [mut call, mut leg] = world.entity_mut([call, leg]);
    let (Some(mut one), Some(mut other)) = (call.get_mut::<CallState>(), leg.get_mut::<CallState>()) else { return };
    let (one, other) = (&mut *one, &mut *other);
    std::mem::swap(&mut one.machine, &mut other.machine);
    std::mem::swap(&mut one.link, &mut other.link);
    std::mem::swap(&mut one.counter, &mut other.counter);
    std::mem::swap(&mut one.account, &mut other.account);
    std::mem::swap(&mut one.own_name, &mut other.own_name);
}

/// An account has sixteen devices.
const MOST: usize = 15;
