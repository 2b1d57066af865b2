//! Text chat: rooms and private chats. What is answered is on disk; what is pushed has the store's number.

mod asks;
mod done;
mod halls;

use bevy_ecs::resource::Resource;
use bevy_ecs::schedule::{IntoScheduleConfigs, Schedule};
use bevy_ecs::world::World;

use crate::base::error::Result;
use crate::base::pipe::Wake;
use crate::service::Role;
use crate::store::passwords::Passwords;

/// The hasher of rooms' passwords.
#[derive(Resource, Debug)]
pub struct RoomHashers(Passwords<asks::Then>);

/// Adds the role's systems to the tick.
///
/// # Errors
/// The system gives no thread for hashing.
pub fn install(world: &mut World, schedule: &mut Schedule, wake: &Wake) -> Result<()> {
    world.insert_resource(RoomHashers(Passwords::start(1, wake)?));
    world.init_resource::<halls::Halls>();
    schedule.add_systems(
        (
            halls::forget_gone,
            halls::take_overheard,
            done::take_done,
            asks::take_hashed,
            asks::take_asks,
            halls::catch_up,
        )
            .chain()
            .in_set(Role::Chat),
    );
    Ok(())
}
