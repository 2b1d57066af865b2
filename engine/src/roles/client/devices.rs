//! The camera: opened after the accept, closed with the call, changed while it runs; and what all devices share.

use bevy_ecs::entity::Entity;
use bevy_ecs::query::QueryState;
use bevy_ecs::resource::Resource;
use bevy_ecs::world::World;

use super::side::{self, Sounding};
use super::{audio, calls, media};
use crate::base::error::Result;
use crate::base::pipe::{PipeReceiver, pipe};
use crate::base::time::Instant;
use crate::codec::worker::Work;
use crate::device::Microphone;
use crate::media::switches::Switches;
use crate::proto::signal::body::Mute;
use crate::proto::signal::event::Event;
use crate::source::{SourceSpec, VideoSource};
use crate::world::call::CallState;
use crate::world::message::Notice;
use crate::world::outgoing::{Source, Voice};
use crate::world::shared::{EngineWake, Now, Settings, Showing};

/// A camera being opened on a helper thread, and what went wrong with the last one.
#[derive(Resource, Default)]
pub struct Opening {
    camera: Option<(Entity, PipeReceiver<Result<VideoSource>>)>,
    note: String,
    /// The note is of a source that does not answer.
    stalls: bool,
}

/// What there is to choose from, for the window's menus. Sound devices are listed when they have been looked at.
pub fn list(world: &mut World) {
    let config = &world.resource::<Settings>().0;
    let (camera, switches, music) = (camera_name(config.camera.as_ref()), config.switches(), config.music);
    let controls = &mut world.resource_mut::<Showing>().controls;
    controls.cameras = VideoSource::list();
    controls.camera = camera;
    (controls.processing, controls.music) = (switches, music);
}

/// Both persons have agreed: open what the settings name. What cannot be opened is said and the call goes on.
pub fn start_capture(world: &mut World, call: Entity) {
    audio::start(world, call);
    if !world.resource::<Showing>().controls.camera_off {
        open_camera(world, call);
    }
}

pub fn stop_capture(world: &mut World, call: Entity) {
    audio::stop(world, call);
    let Some(tracks) = media::tracks_of(world, call) else { return };
    let source = world.get_mut::<Source>(tracks.video_out).and_then(|mut source| source.0.take());
    close(world, source);
}

pub fn mute(world: &mut World, call: Option<Entity>, muted: bool) {
    calls::show(world, |showing| showing.controls.muted = muted);
    let Some(call) = call else { return };
    if let Some(tracks) = media::tracks_of(world, call)
        && let Some(mut voice) = world.get_mut::<Voice>(tracks.audio_out)
    {
        voice.muted = muted;
    }
    tell_mute(world, call);
}

/// What is done to the microphone's sound from now on.
pub fn process(world: &mut World, call: Option<Entity>, switches: Switches) {
    world.resource_mut::<Settings>().0.processing = Some(switches);
    switch(world, call);
}

/// Stereo as it is, or one voice.
pub fn play_music(world: &mut World, call: Option<Entity>, music: bool) {
    if std::mem::replace(&mut world.resource_mut::<Settings>().0.music, music) == music {
        return;
    }
    calls::show(world, |showing| showing.controls.music = music);
    switch(world, call);
    let most = world.resource::<Settings>().0.sound_most();
    if let Some(tracks) = call.and_then(|call| media::tracks_of(world, call))
        && let Some(mut voice) = world.get_mut::<Voice>(tracks.audio_out)
    {
        voice.set_music(music, most);
    }
    // A file has its channels already, and would begin again.
    if Microphone::source(&world.resource::<Settings>().0) == side::Source::Device {
        audio::reopen::<Microphone>(world);
    }
}

/// As the settings say.
pub fn switch(world: &mut World, call: Option<Entity>) {
    let switches = world.resource::<Settings>().0.switches();
    calls::show(world, |showing| showing.controls.processing = switches);
    if let Some(tracks) = call.and_then(|call| media::tracks_of(world, call))
        && let Some(mut voice) = world.get_mut::<Voice>(tracks.audio_out)
    {
        voice.processor.get().set(switches);
    }
}

pub fn camera_off(world: &mut World, call: Option<Entity>, off: bool) {
    calls::show(world, |showing| showing.controls.camera_off = off);
    let Some(call) = call else { return };
    if off {
        if let Some(tracks) = media::tracks_of(world, call) {
            let source = world.get_mut::<Source>(tracks.video_out).and_then(|mut source| source.0.take());
            close(world, source);
        }
    } else {
        open_camera(world, call);
    }
    tell_mute(world, call);
}

fn tell_mute(world: &mut World, call: Entity) {
    let controls = &world.resource::<Showing>().controls;
    let mute = Mute { audio: controls.muted, video: controls.camera_off };
    if let Some(mut state) = world.get_mut::<CallState>(call) {
        state.mute = mute;
    }
    calls::feed(world, call, Event::Mute(mute));
}

pub fn choose_camera(world: &mut World, call: Option<Entity>, name: &str) {
    world.resource_mut::<Settings>().0.camera = name.parse().ok();
    calls::show(world, |showing| showing.controls.camera = name.to_owned());
    // Chosen while it is off, it is opened when the person turns it on.
    if let Some(call) = call
        && !world.resource::<Showing>().controls.camera_off
    {
        open_camera(world, call);
    }
}

/// Opens a device on a helper thread: a sound server or a camera may take seconds to answer, and the call goes on meanwhile.
pub fn opening<T: Send + 'static>(
    world: &mut World,
    name: &str,
    open: impl FnOnce(Instant) -> Result<T> + Send + 'static,
    at: Instant,
) -> Option<PipeReceiver<Result<T>>> {
    let (sender, receiver) = pipe(1);
    if matches!(world.resource::<Settings>().0.work, Work::Inline { .. }) {
        let _ = sender.try_send(open(at));
        return Some(receiver);
    }
    let wake = world.resource::<EngineWake>().0.clone();
    let work = move || {
        // Refused only when the call is over: then the device closes again.
        let _ = sender.try_send(open(at));
        wake.wake();
    };
    // Not joined: a device that hangs must not keep a call from ending.
    match std::thread::Builder::new().name(name.to_owned()).spawn(work) {
        Ok(_) => Some(receiver),
        Err(error) => {
            note(world, format!("cannot open a device: {error}"));
            None
        }
    }
}

/// Puts a camera to use that has been opened, unless it was turned off or the call ended meanwhile.
pub fn take_camera(world: &mut World) {
    let opening = world.resource::<Opening>();
    let opened = opening.camera.as_ref().and_then(|(owner, pipe)| Some((*owner, pipe.try_recv()?)));
    let Some((owner, opened)) = opened else { return };
    world.resource_mut::<Opening>().camera = None;
    let is_wanted = !world.resource::<Showing>().controls.camera_off;
    match opened {
        Ok(opened) => {
            let unused = match world.get_mut::<Source>(owner).filter(|_| is_wanted) {
                Some(mut source) => source.0.replace(opened),
                None => Some(opened),
            };
            close(world, unused);
        }
        Err(error) => lose_camera(world, error.text.to_string()),
    }
}

/// There is no picture to send any more: the other side is told, so that nobody takes the last one for a live one.
fn lose_camera(world: &mut World, text: String) {
    note(world, text);
    camera_off(world, calls::current(world), true);
}

/// A camera takes a picture's time to close, and a device some seconds where it or its server hangs. Whether there was one.
pub fn close<T: Send + 'static>(world: &World, device: Option<T>) -> bool {
    let is_threaded = world.resource::<Settings>().0.work == Work::Threads;
    let is_there = device.is_some();
    if let Some(device) = device.filter(|_| is_threaded) {
        // Not joined, as the openers are not. Where there is no thread to be had it closes here.
        let _ = std::thread::Builder::new().name("device closer".into()).spawn(move || drop(device));
    }
    is_there
}

/// A source that was lost is said and closed; one that is in trouble or does not answer is said. The call goes on.
pub fn watch_camera(world: &mut World, sources: &mut QueryState<&mut Source>) {
    let at = world.resource::<Now>().0;
    let (mut failed, mut changed, mut stalled) = (None, None, None);
    for mut source in sources.iter_mut(world) {
        let Some(running) = &source.0 else { continue };
        changed = running.trouble().or(changed);
        if running.is_stalled(at) {
            stalled = Some(format!("{} gives no pictures at present.", running.name()));
        }
        let failure = running.failure().map(|error| error.text.to_string());
        failed = failure.map(|text| (text, source.0.take())).or(failed);
    }
    let stalls = world.resource::<Opening>().stalls;
    if stalls != stalled.is_some() {
        world.resource_mut::<Opening>().stalls = !stalls;
        match stalled {
            Some(text) => note(world, text),
            None => quiet(world),
        }
    }
    match changed {
        Some(Some(trouble)) => note(world, format!("{trouble}. It is used again when it is back.")),
        Some(None) => quiet(world),
        None => {}
    }
    if let Some((text, source)) = failed {
        close(world, source);
        lose_camera(world, text);
    }
}

/// A camera cannot be opened again while it is open: the one before closes first.
fn open_camera(world: &mut World, call: Entity) {
    let Some(spec) = world.resource::<Settings>().0.camera.clone() else { return };
    let Some(tracks) = media::tracks_of(world, call) else { return };
    let wake = world.resource::<EngineWake>().0.clone();
    let (work, now) = (world.resource::<Settings>().0.work, world.resource::<Now>().0);
    let before = world.get_mut::<Source>(tracks.video_out).and_then(|mut source| source.0.take());
    let open = move |at| {
        drop(before);
        match work {
            Work::Threads => VideoSource::spawn(spec, wake),
            Work::Inline { .. } => VideoSource::inline(spec, at),
        }
    };
    let opened = opening(world, "camera opener", open, now);
    world.resource_mut::<Opening>().camera = opened.map(|pipe| (tracks.video_out, pipe));
    take_camera(world);
}

/// Says what happened to the camera, in the window and as a notice.
pub fn note(world: &mut World, text: String) {
    calls::tell(world, Notice::Error(text.clone()));
    world.resource_mut::<Opening>().note = text;
    show_notes(world);
}

/// What was said is over.
fn quiet(world: &mut World) {
    world.resource_mut::<Opening>().note.clear();
    show_notes(world);
}

/// The notes of all devices in one line.
pub fn show_notes(world: &mut World) {
    let [microphone, speaker] = audio::notes(world);
    let notes = [microphone, speaker, &world.resource::<Opening>().note];
    let line = notes.into_iter().filter(|note| !note.is_empty()).collect::<Vec<_>>().join(" ");
    calls::show(world, |showing| showing.controls.device_note = line);
}

fn camera_name(spec: Option<&SourceSpec>) -> String {
    spec.map_or_else(|| "none".into(), ToString::to_string)
}
