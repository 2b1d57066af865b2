//! The client: somebody calling somebody. Drives the call machines, opens devices, makes and unmakes connections.
//!
//! `calls` decides nothing itself: it carries events to the machine of `proto::signal` and its actions out.

mod calls;
mod commands;
mod devices;
mod media;
mod report;
mod watch;

use bevy_ecs::schedule::IntoScheduleConfigs;
use bevy_ecs::world::World;

use crate::engine::Engine;
use crate::systems::session;
use crate::world::stage::Stage;

/// Adds the client's systems to the tick.
pub fn install(engine: &mut Engine) {
    engine.world_mut().init_resource::<media::Leaving>();
    engine.world_mut().init_resource::<calls::Resolving>();
    devices::list(engine.world_mut());
    engine.schedule_mut().add_systems(
        (media::bury, commands::take_commands, calls::take_envelopes, watch::watch_calls)
            .chain()
            .in_set(Stage::Session)
            .after(session::note_transport_events),
    );
}

/// Says goodbye in whatever call runs, and closes the devices.
pub fn shut_down(world: &mut World) {
    calls::hang_up_for_quit(world);
}
