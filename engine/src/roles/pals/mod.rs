//! Pals: who they are, whether they are there, and the Service route of signalling.

mod asks;
mod circle;
mod done;

use bevy_ecs::schedule::{IntoScheduleConfigs, Schedule};
use bevy_ecs::world::World;

use crate::service::Role;
use crate::service::circles::Circles;

/// Adds the role's systems to the tick.
pub fn install(world: &mut World, schedule: &mut Schedule) {
    world.init_resource::<Circles>();
    schedule.add_systems(
        (circle::take_overheard, circle::follow_sessions, done::take_done, asks::take_asks).chain().in_set(Role::Pals),
    );
}
