//! Accounts over HTTPS: registering, sessions, profiles and their pages; and the opening of channels.

mod backoff;
mod done;
mod hashed;
mod pages;
mod photo;
mod requests;

use bevy_ecs::resource::Resource;
use bevy_ecs::schedule::{IntoScheduleConfigs, Schedule};
use bevy_ecs::world::World;

use crate::base::error::Result;
use crate::base::pipe::Wake;
use crate::service::Role;
use crate::service::shared::Storage;
use crate::store::passwords::Passwords;

/// The hashers, with what is to be done with each outcome.
#[derive(Resource, Debug)]
pub struct Hashers(Passwords<hashed::Then>);

/// Adds the role's systems to the tick.
///
/// # Errors
/// The system gives no threads for hashing.
pub fn install(world: &mut World, schedule: &mut Schedule, wake: &Wake) -> Result<()> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).div_ceil(2);
    world.insert_resource(Hashers(Passwords::start(threads, wake)?));
    world.init_resource::<backoff::Backoff>();
    world.init_resource::<requests::Registrations>();
    let blobs = world.resource::<Storage>().blobs.clone();
    world.insert_resource(photo::Painters::start(blobs, wake)?);
    schedule.add_systems(
        (requests::take_requests, hashed::take_hashed, photo::take_painted, done::take_done)
            .chain()
            .in_set(Role::Accounts),
    );
    Ok(())
}
