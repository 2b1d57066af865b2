//! Microphone, loudspeaker and camera: opened after the accept, closed with the call, changed while it runs.

use bevy_ecs::entity::Entity;
use bevy_ecs::query::QueryState;
use bevy_ecs::resource::Resource;
use bevy_ecs::world::World;
use bevy_platform::cell::SyncCell;

use super::{calls, media};
use crate::base::error::Result;
use crate::base::pipe::{PipeReceiver, pipe};
use crate::base::time::Instant;
use crate::codec::worker::Work;
use crate::device::{AudioDevices, Loudspeaker, Microphone, MicrophoneSpec, SpeakerSpec};
use crate::media::switches::Switches;
use crate::proto::signal::body::Mute;
use crate::proto::signal::event::Event;
use crate::source::{SourceSpec, VideoSource};
use crate::world::call::CallState;
use crate::world::message::Notice;
use crate::world::outgoing::{Source, Voice};
use crate::world::shared::{EngineWake, Now, Settings, Showing, Sound};

/// Devices being opened on helper threads.
#[derive(Resource, Default)]
pub struct Opening {
    microphone: Option<(Entity, PipeReceiver<Result<Microphone>>)>,
    speaker: Option<PipeReceiver<Result<Loudspeaker>>>,
    camera: Option<(Entity, PipeReceiver<Result<VideoSource>>)>,
}

/// What there is to choose from, for the window's menus.
pub fn list(world: &mut World) {
    let config = world.resource::<Settings>().0.clone();
    let uses_devices = matches!(config.microphone, MicrophoneSpec::Default | MicrophoneSpec::Named(_))
        || matches!(config.speaker, SpeakerSpec::Default | SpeakerSpec::Named(_));
    let devices = if uses_devices { AudioDevices::list() } else { Default::default() };
    let names = |entries: Vec<crate::device::DeviceEntry>| entries.into_iter().map(|entry| entry.name).collect();
    let mut showing = world.resource_mut::<Showing>();
    let controls = &mut showing.controls;
    controls.microphones = names(devices.microphones);
    controls.speakers = names(devices.speakers);
    controls.cameras = VideoSource::list();
    controls.microphone = microphone_name(&config.microphone);
    controls.processing = config.switches();
    controls.speaker = speaker_name(&config.speaker);
    controls.camera = camera_name(config.camera.as_ref());
}

/// Both persons have agreed: open what the settings name. What cannot be opened is said and the call goes on.
pub fn start_capture(world: &mut World, call: Entity, now: Instant) {
    open_speaker(world, now);
    open_microphone(world, call, now);
    if !world.resource::<Showing>().controls.camera_off {
        open_camera(world, call);
    }
}

pub fn stop_capture(world: &mut World, call: Entity) {
    let mut sound = world.resource_mut::<Sound>();
    if let Some(mut speaker) = sound.speaker.take() {
        sound.underruns = Some(speaker.get().underruns());
    }
    let Some(tracks) = media::tracks_of(world, call) else { return };
    if let Some(mut voice) = world.get_mut::<Voice>(tracks.audio_out) {
        voice.microphone = None;
    }
    let source = world.get_mut::<Source>(tracks.video_out).and_then(|mut source| source.0.take());
    close_source(world, source);
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

/// As the settings say.
fn switch(world: &mut World, call: Option<Entity>) {
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
            close_source(world, source);
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

pub fn choose_microphone(world: &mut World, call: Option<Entity>, name: &str) {
    world.resource_mut::<Settings>().0.microphone = MicrophoneSpec::Named(name.to_owned());
    calls::show(world, |showing| showing.controls.microphone = name.to_owned());
    switch(world, call);
    if let Some(call) = call {
        let now = world.resource::<Now>().0;
        open_microphone(world, call, now);
    }
}

pub fn choose_speaker(world: &mut World, call: Option<Entity>, name: &str) {
    world.resource_mut::<Settings>().0.speaker = SpeakerSpec::Named(name.to_owned());
    calls::show(world, |showing| showing.controls.speaker = name.to_owned());
    if call.is_some_and(|call| media::tracks_of(world, call).is_some()) {
        let now = world.resource::<Now>().0;
        open_speaker(world, now);
    }
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

fn open_microphone(world: &mut World, call: Entity, now: Instant) {
    let spec = world.resource::<Settings>().0.microphone.clone();
    let Some(tracks) = media::tracks_of(world, call) else { return };
    if spec == MicrophoneSpec::None {
        return;
    }
    let opened = opening(world, "microphone opener", move |at| Microphone::open(&spec, at), now);
    world.resource_mut::<Opening>().microphone = opened.map(|pipe| (tracks.audio_out, pipe));
    take_opened(world);
}

/// A loudspeaker that cannot be opened is replaced by none, so that the call's time goes on.
fn open_speaker(world: &mut World, now: Instant) {
    let spec = world.resource::<Settings>().0.speaker.clone();
    let opened = opening(world, "speaker opener", move |at| Loudspeaker::open(&spec, at), now);
    world.resource_mut::<Opening>().speaker = opened;
    take_opened(world);
}

/// Opens a device on a helper thread: a sound server or a camera may take seconds to answer, and the call goes on meanwhile.
fn opening<T: Send + 'static>(
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

/// Puts devices that have been opened to use; says what could not be opened. A call without a loudspeaker plays into
/// nothing, so that its time goes on.
pub fn take_opened(world: &mut World) {
    let now = world.resource::<Now>().0;
    let mut opening = world.resource_mut::<Opening>();
    let microphone = opening.microphone.as_ref().and_then(|(owner, pipe)| Some((*owner, pipe.try_recv()?)));
    let speaker = opening.speaker.as_ref().and_then(PipeReceiver::try_recv);
    if let Some((owner, opened)) = microphone {
        opening.microphone = None;
        match opened {
            Ok(microphone) => {
                if let Some(mut voice) = world.get_mut::<Voice>(owner) {
                    voice.microphone = Some(SyncCell::new(microphone));
                }
            }
            Err(error) => note(world, error.text.to_string()),
        }
    }
    take_camera(world);
    if let Some(opened) = speaker {
        world.resource_mut::<Opening>().speaker = None;
        let opened = opened.or_else(|error| {
            note(world, error.text.to_string());
            Loudspeaker::open(&SpeakerSpec::None, now)
        });
        // A call that ended while the device was being opened has no use for it.
        if calls::current(world).is_some() {
            world.resource_mut::<Sound>().speaker = opened.ok().map(SyncCell::new);
        }
    }
}

/// Puts a camera to use that has been opened, unless it was turned off or the call ended meanwhile.
fn take_camera(world: &mut World) {
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
            close_source(world, unused);
        }
        Err(error) => lose_camera(world, error.text.to_string()),
    }
}

/// There is no picture to send any more: the other side is told, so that nobody takes the last one for a live one.
fn lose_camera(world: &mut World, text: String) {
    note(world, text);
    camera_off(world, calls::current(world), true);
}

/// A camera takes a picture's time to close, and some seconds where it hangs.
fn close_source(world: &World, source: Option<VideoSource>) {
    let is_threaded = world.resource::<Settings>().0.work == Work::Threads;
    if let Some(source) = source.filter(|_| is_threaded) {
        // Not joined, as the openers are not. Where there is no thread to be had it closes here.
        let _ = std::thread::Builder::new().name("camera closer".into()).spawn(move || drop(source));
    }
}

/// A device that was lost is said and closed; the call goes on.
pub fn watch_devices(world: &mut World, voices: &mut QueryState<&mut Voice>, sources: &mut QueryState<&mut Source>) {
    let now = world.resource::<Now>().0;
    let mut sound = world.resource_mut::<Sound>();
    if sound.speaker.as_mut().is_some_and(|speaker| speaker.get().lost()) {
        sound.speaker = Loudspeaker::open(&SpeakerSpec::None, now).ok().map(SyncCell::new);
        note(world, "The loudspeaker was lost: choose another one.".into());
    }
    let mut lost = false;
    for mut voice in voices.iter_mut(world) {
        if voice.microphone.as_mut().is_some_and(|microphone| microphone.get().lost()) {
            voice.microphone = None;
            lost = true;
        }
    }
    if lost {
        note(world, "The microphone was lost: choose another one.".into());
    }
    let mut failed = None;
    for mut source in sources.iter_mut(world) {
        let failure = source.0.as_ref().and_then(VideoSource::failure).map(|error| error.text.to_string());
        failed = failure.map(|text| (text, source.0.take())).or(failed);
    }
    if let Some((text, source)) = failed {
        close_source(world, source);
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
    take_opened(world);
}

/// Says what happened to a device, in the window and as a notice.
pub fn note(world: &mut World, text: String) {
    calls::tell(world, Notice::Error(text.clone()));
    calls::show(world, |showing| showing.controls.device_note = text);
}

fn microphone_name(spec: &MicrophoneSpec) -> String {
    match spec {
        MicrophoneSpec::Default => "default".into(),
        MicrophoneSpec::Named(name) => name.clone(),
        MicrophoneSpec::Wav(path) => path.display().to_string(),
        MicrophoneSpec::Chirp => "chirp".into(),
        MicrophoneSpec::None => "none".into(),
    }
}

fn speaker_name(spec: &SpeakerSpec) -> String {
    match spec {
        SpeakerSpec::Default => "default".into(),
        SpeakerSpec::Named(name) => name.clone(),
        SpeakerSpec::Wav(path) => path.display().to_string(),
        SpeakerSpec::None => "none".into(),
    }
}

fn camera_name(spec: Option<&SourceSpec>) -> String {
    spec.map_or_else(|| "none".into(), ToString::to_string)
}
