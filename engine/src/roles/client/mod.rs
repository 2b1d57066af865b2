//! The client: somebody calling somebody. Drives the call machines, opens devices, makes and unmakes connections.
//!
//! `calls` decides nothing itself: it carries events to the machine of `proto::signal` and its actions out.

mod audio;
mod calls;
mod candidates;
mod check;
mod commands;
mod devices;
mod files;
mod lan;
pub mod media;
mod offer;
pub mod people;
pub mod report;
mod routes;
mod shares;
mod side;
mod watch;

use bevy_ecs::schedule::{IntoScheduleConfigs, Schedule};
use bevy_ecs::world::World;

use crate::systems::{record, session};
use crate::world::stage::Stage;

/// Adds the client's systems to the tick.
pub fn install(world: &mut World, schedule: &mut Schedule) {
    world.init_resource::<media::Leaving>();
    world.init_resource::<routes::Resolving>();
    world.init_resource::<candidates::Reach>();
    people::start(world);
    lan::install(world);
    world.init_resource::<devices::Opening>();
    world.init_resource::<shares::Shares>();
    world.init_resource::<files::Files>();
    devices::list(world);
    audio::install(world);
    schedule.add_systems(
        (
            media::bury,
            devices::take_camera,
            devices::watch_camera,
            shares::take,
            audio::follow_devices,
            check::listen,
            commands::take_commands,
            calls::take_envelopes,
            people::take_told,
            lan::take_told,
            candidates::take_found,
            watch::watch_calls,
            files::carry,
        )
            .chain()
            .in_set(Stage::Session)
            .after(session::share_rate)
            .before(record::note_situation),
    );
}

/// Says goodbye in whatever call runs, and closes the devices.
pub fn shut_down(world: &mut World) {
    calls::hang_up_for_quit(world);
}
