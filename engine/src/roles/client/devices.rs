//! The camera: opened after the accept, closed with the call, changed while it runs; and what all devices share.

use bevy_ecs::entity::Entity;
use bevy_ecs::query::QueryState;
use bevy_ecs::resource::Resource;
use bevy_ecs::world::World;

use super::side::{self, Sounding};
use super::{audio, calls, media, shares};
use crate::base::error::Result;
use crate::base::pipe::{PipeReceiver, pipe};
use crate::base::time::Instant;
use crate::codec::worker::Work;
use crate::device::Microphone;
use crate::media::switches::Switches;
use crate::net::transport::Track;
use crate::proto::signal::body::Mute;
use crate::proto::signal::event::Event;
use crate::source::{SourceSpec, VideoSource};
use crate::world::call::CallState;
use crate::world::message::Notice;
use crate::world::outgoing::{Source, Voice};
use crate::world::shared::{EngineWake, Now, Settings, Showing};

/// Sources of pictures being opened on helper threads, and what went wrong with the last one.
#[derive(Resource, Default)]
pub struct Opening {
    /// At most one for each that there may be.
    sources: Vec<(Entity, PipeReceiver<Result<VideoSource>>)>,
    note: String,
    /// The note is of a source that does not answer.
    stalls: bool,
}

/// What there is to choose from, for the window's menus. Sound devices are listed when they have been looked at.
pub fn list(world: &mut World) {
    let config = &world.resource::<Settings>().0;
    let (camera, switches, music) = (camera_name(config.camera.as_ref()), config.switches(), config.music);
    let shared = config.further[0].as_ref().map(ToString::to_string).unwrap_or_default();
    let motion = config.screen_motion;
    let controls = &mut world.resource_mut::<Showing>().controls;
    let names = VideoSource::list();
    controls.camera = camera;
    // Its windows are listed when somebody looks for one.
    controls.shares = names.iter().filter(|name| *name == "screen").cloned().collect();
    controls.cameras = names;
    controls.shared = shared;
    (controls.processing, controls.music, controls.screen_motion) = (switches, music, motion);
}

/// Both persons have agreed: open what the settings name. What cannot be opened is said and the call goes on.
pub fn start_capture(world: &mut World, call: Entity) {
    audio::start(world, call);
    if !world.resource::<Showing>().controls.camera_off {
        open_source(world, call, Track::Video);
    }
    let config = &world.resource::<Settings>().0;
    let further: Vec<bool> = config.further.iter().map(Option::is_some).collect();
    let is_screen = config.camera.as_ref().is_some_and(SourceSpec::is_screen);
    for (number, _) in (0u8..).zip(&further).filter(|(_, is_there)| **is_there) {
        open_source(world, call, Track::Further(number));
    }
    // What the other side takes for granted is one source that moves.
    if is_screen || further.contains(&true) {
        tell_mute(world, call);
    }
}

pub fn stop_capture(world: &mut World, call: Entity) {
    audio::stop(world, call);
    let Some(tracks) = media::tracks_of(world, call) else { return };
    tracks.videos_out().for_each(|(_, video)| close_source(world, video));
}

fn close_source(world: &mut World, video: Entity) {
    let source = world.get_mut::<Source>(video).and_then(|mut source| source.0.take());
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
            close_source(world, tracks.video_out);
        }
    } else {
        open_source(world, call, Track::Video);
    }
    tell_mute(world, call);
}

/// Tells the other side what is not sent, and why.
pub fn tell_mute(world: &mut World, call: Entity) {
    let narrow = media::is_too_narrow(world, call);
    let (controls, config) = (&world.resource::<Showing>().controls, &world.resource::<Settings>().0);
    let bits = |is: &dyn Fn(&SourceSpec) -> bool, specs: &[Option<SourceSpec>]| {
        specs
            .iter()
            .enumerate()
            .fold(0, |bits, (number, spec)| bits | u8::from(spec.as_ref().is_some_and(is)) << number)
    };
    let screens = bits(&SourceSpec::is_screen, std::slice::from_ref(&config.camera))
        | bits(&SourceSpec::is_screen, &config.further) << 1;
    let further = bits(&|_| true, &config.further);
    let narrow = narrow && !controls.camera_off;
    let mute = Mute { audio: controls.muted, video: controls.camera_off, narrow, further, screens };
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
        open_source(world, call, Track::Video);
        tell_mute(world, call);
    }
}

/// Sends a screen beside the camera, or none any more.
pub fn share(world: &mut World, call: Option<Entity>, name: Option<String>) {
    world.resource_mut::<Settings>().0.further[0] = name.as_ref().and_then(|name| name.parse().ok());
    calls::show(world, |showing| showing.controls.shared = name.unwrap_or_default());
    let Some(call) = call else { return };
    if world.resource::<Settings>().0.further[0].is_some() {
        open_source(world, call, Track::Further(0));
    } else if let Some(tracks) = media::tracks_of(world, call) {
        close_source(world, tracks.further_out[0]);
    }
    tell_mute(world, call);
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

/// Puts sources to use that have been opened, unless they were turned off or the call ended meanwhile.
pub fn take_camera(world: &mut World) {
    loop {
        let mut opened = None;
        world.resource_mut::<Opening>().sources.retain(|(owner, pipe)| {
            if opened.is_none() {
                opened = pipe.try_recv().map(|source| (*owner, source));
            }
            opened.as_ref().is_none_or(|(taken, _)| taken != owner)
        });
        let Some((owner, opened)) = opened else { return };
        let is_wanted = match track_of(world, owner) {
            Some(Track::Further(number)) => {
                world.resource::<Settings>().0.further.get(usize::from(number)).is_some_and(Option::is_some)
            }
            _ => !world.resource::<Showing>().controls.camera_off,
        };
        match opened {
            Ok(mut opened) => {
                shares::prepare(world, &mut opened);
                let unused = match world.get_mut::<Source>(owner).filter(|_| is_wanted) {
                    Some(mut source) => source.0.replace(opened),
                    None => Some(opened),
                };
                close(world, unused);
            }
            Err(error) => lose_source(world, owner, error.text.to_string()),
        }
    }
}

/// Which of the current call's pictures `owner` is.
fn track_of(world: &World, owner: Entity) -> Option<Track> {
    let tracks = media::tracks_of(world, calls::current(world)?)?;
    tracks.videos_out().find(|(_, video)| *video == owner).map(|(track, _)| track)
}

/// There is no picture to send any more: the other side is told, so that nobody takes the last one for a live one.
fn lose_source(world: &mut World, owner: Entity, text: String) {
    note(world, text);
    let call = calls::current(world);
    match track_of(world, owner) {
        Some(Track::Further(0)) => share(world, call, None),
        Some(Track::Further(number)) => {
            if let Some(spec) = world.resource_mut::<Settings>().0.further.get_mut(usize::from(number)) {
                *spec = None;
            }
            call.into_iter().for_each(|call| tell_mute(world, call));
        }
        _ => camera_off(world, call, true),
    }
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
pub fn watch_camera(world: &mut World, sources: &mut QueryState<(Entity, &mut Source)>) {
    let at = world.resource::<Now>().0;
    let (mut failed, mut changed, mut stalled) = (None, None, None);
    for (owner, mut source) in sources.iter_mut(world) {
        let Some(running) = &source.0 else { continue };
        changed = running.trouble().or(changed);
        if running.is_stalled(at) {
            stalled = Some(format!("{} gives no pictures at present.", running.name()));
        }
        let failure = running.failure().map(|error| error.text.to_string());
        failed = failure.map(|text| (owner, text, source.0.take())).or(failed);
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
    if let Some((owner, text, source)) = failed {
        close(world, source);
        lose_source(world, owner, text);
    }
}

/// A camera cannot be opened again while it is open: the one before closes first.
fn open_source(world: &mut World, call: Entity, track: Track) {
    let config = &world.resource::<Settings>().0;
    let (work, spec) = match track {
        Track::Further(number) => (config.work, config.further.get(usize::from(number)).cloned().flatten()),
        _ => (config.work, config.camera.clone()),
    };
    // Nobody there looks at pictures.
    let is_seen = world.get::<CallState>(call).is_some_and(|state| state.agreed.video.is_some());
    let (Some(spec), Some(tracks), true) = (spec, media::tracks_of(world, call), is_seen) else { return };
    let Some(video) = tracks.video_out(track) else { return };
    let (wake, now) = (world.resource::<EngineWake>().0.clone(), world.resource::<Now>().0);
    let before = world.get_mut::<Source>(video).and_then(|mut source| source.0.take());
    let open = move |at| {
        drop(before);
        match work {
            Work::Threads => VideoSource::spawn(spec, wake),
            Work::Inline { .. } => VideoSource::inline(spec, at),
        }
    };
    let opened = opening(world, "camera opener", open, now);
    let mut openings = world.resource_mut::<Opening>();
    openings.sources.retain(|(owner, _)| *owner != video);
    openings.sources.extend(opened.map(|pipe| (video, pipe)));
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

/// The notes of all devices in one line, and what the call is without.
pub fn show_notes(world: &mut World) {
    let [microphone, speaker] = audio::notes(world);
    let call = calls::current(world).and_then(|call| world.get::<CallState>(call));
    let missing = call.map(|state| state.agreed.missing.join("; ")).filter(|text| !text.is_empty());
    let missing = missing.map(|text| format!("This call has {text}.")).unwrap_or_default();
    let update = call.and_then(|state| state.agreed.update.clone()).map(|text| text + ".").unwrap_or_default();
    let notes = [microphone, speaker, &world.resource::<Opening>().note, &missing, &update];
    let line = notes.into_iter().filter(|note| !note.is_empty()).collect::<Vec<_>>().join(" ");
    calls::show(world, |showing| showing.controls.device_note = line);
}

fn camera_name(spec: Option<&SourceSpec>) -> String {
    spec.map_or_else(|| "none".into(), ToString::to_string)
}
