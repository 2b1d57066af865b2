//! The whole tick, the client's systems included: unambiguous, and the same under any legal order.

use bevy_ecs::schedule::{LogLevel, Schedule, ScheduleBuildSettings};
use bevy_ecs::system::ResMut;
use bevy_ecs::world::World;

use super::Engine;
use crate::base::pipe::Wake;
use crate::base::time::{Duration, now};
use crate::device::{MicrophoneSpec, SpeakerSpec};
use crate::handle::link;
use crate::world::config::Config;
use crate::world::shared::Due;
use crate::world::stats::Stats;

fn engine(folder: &std::path::Path) -> Engine {
    let mut config = Config::new("Test", folder, 2000);
    (config.microphone, config.speaker) = (MicrophoneSpec::None, SpeakerSpec::None);
    let (_, end) = link(Wake::none(), std::sync::Arc::new(|| {}));
    Engine::new(config, Wake::none(), end, now()).expect("a new folder")
}

/// Builds `schedule` in `world` with ambiguity as an error.
fn build(schedule: &mut Schedule, world: &mut World) -> Result<(), String> {
    schedule.set_build_settings(ScheduleBuildSettings { ambiguity_detection: LogLevel::Error, ..Default::default() });
    schedule.initialize(world).map(drop).map_err(|error| format!("{error:?}"))
}

#[test]
fn the_schedule_has_no_ambiguity() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut engine = engine(folder.path());
    let mut schedule = std::mem::take(engine.schedule_mut());
    build(&mut schedule, engine.world_mut()).expect("every pair of systems that touch the same data is ordered");
}

#[test]
fn a_planted_ambiguity_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut engine = engine(folder.path());
    let mut schedule = std::mem::take(engine.schedule_mut());
    schedule.add_systems(|mut due: ResMut<Due>| due.0 = None);
    assert!(build(&mut schedule, engine.world_mut()).is_err(), "an unordered system that writes what others write");
}

#[test]
fn an_engine_without_a_call_asks_for_no_timer() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut engine = engine(folder.path());
    let start = now();
    for n in 0..50u32 {
        engine.tick(start + n * Duration::from_millis(1));
    }
    assert_eq!(engine.world().resource::<Stats>().ticks, 50);
    assert_eq!(engine.due(), None);
}
