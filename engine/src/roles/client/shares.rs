//! What can be sent beside the camera: the screen, and each window there is when somebody looks for one; and in which mode.

use bevy_ecs::resource::Resource;
use bevy_ecs::world::World;

use super::{calls, devices};
use crate::base::error::Result;
use crate::base::pipe::PipeReceiver;
use crate::media::video::Content;
use crate::source::VideoSource;
use crate::world::outgoing::Source;
use crate::world::shared::{Now, Settings, Showing};

/// A look at the display that is under way.
#[derive(Resource, Default)]
pub struct Shares(Option<PipeReceiver<Result<Vec<String>>>>);

/// The menus are open: what is there now? A display may take long to answer, and the call goes on meanwhile.
pub fn look(world: &mut World) {
    let at = world.resource::<Now>().0;
    let looking = devices::opening(world, "screen lister", |_| Ok(VideoSource::screens()), at);
    world.resource_mut::<Shares>().0 = looking;
}

/// Shows what was found. What is sent at present stays in the list.
pub fn take(world: &mut World) {
    let mut shares = world.resource_mut::<Shares>();
    let Some(found) = shares.0.as_ref().and_then(PipeReceiver::try_recv) else { return };
    shares.0 = None;
    let mut names = found.unwrap_or_default();
    let shared = &world.resource::<Showing>().controls.shared;
    if !shared.is_empty() && !names.contains(shared) {
        names.push(shared.clone());
    }
    if world.resource::<Showing>().controls.shares != names {
        calls::show(world, |showing| showing.controls.shares = names);
    }
}

/// Screens move smoothly, or stay sharp.
pub fn set_motion(world: &mut World, motion: bool) {
    world.resource_mut::<Settings>().0.screen_motion = motion;
    calls::show(world, |showing| showing.controls.screen_motion = motion);
    let mut sources = world.query::<&mut Source>();
    for mut source in sources.iter_mut(world) {
        // The next picture is a keyframe of the other kind.
        if let Some(source) = source.0.as_mut().filter(|source| source.region().is_some()) {
            source.set_content(content(motion));
        }
    }
}

/// What a source that was just opened is to be sent as.
pub fn prepare(world: &World, source: &mut VideoSource) {
    if source.region().is_some() {
        source.set_content(content(world.resource::<Settings>().0.screen_motion));
    }
}

const fn content(motion: bool) -> Content {
    if motion { Content::Motion } else { Content::Text }
}
