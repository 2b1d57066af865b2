//! Microphone, loudspeaker and camera: opened after the accept, closed with the call, changed while it runs.

use bevy_ecs::entity::Entity;
use bevy_ecs::world::World;
use bevy_platform::cell::SyncCell;

use super::{calls, media};
use crate::base::time::Instant;
use crate::device::{AudioDevices, Loudspeaker, Microphone, MicrophoneSpec, SpeakerSpec};
use crate::proto::signal::body::Mute;
use crate::proto::signal::event::Event;
use crate::source::{SourceSpec, VideoSource};
use crate::world::call::CallState;
use crate::world::message::Notice;
use crate::world::outgoing::{Source, Voice};
use crate::world::shared::{EngineWake, Now, Settings, Showing, Sound};

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
    if let Some(mut source) = world.get_mut::<Source>(tracks.video_out) {
        source.0 = None;
    }
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

pub fn camera_off(world: &mut World, call: Option<Entity>, off: bool) {
    calls::show(world, |showing| showing.controls.camera_off = off);
    let Some(call) = call else { return };
    if off {
        if let Some(tracks) = media::tracks_of(world, call)
            && let Some(mut source) = world.get_mut::<Source>(tracks.video_out)
        {
            source.0 = None;
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
    world.resource_mut::<Settings>().0.camera = (name == "testcard").then_some(TEST_CARD);
    calls::show(world, |showing| showing.controls.camera = name.to_owned());
    if let Some(call) = call {
        open_camera(world, call);
    }
}

fn open_microphone(world: &mut World, call: Entity, now: Instant) {
    let spec = world.resource::<Settings>().0.microphone.clone();
    let Some(tracks) = media::tracks_of(world, call) else { return };
    if spec == MicrophoneSpec::None {
        return;
    }
    match Microphone::open(&spec, now) {
        Ok(microphone) => {
            if let Some(mut voice) = world.get_mut::<Voice>(tracks.audio_out) {
                voice.microphone = Some(SyncCell::new(microphone));
            }
        }
        Err(error) => note(world, error.text.to_string()),
    }
}

/// A loudspeaker that cannot be opened is replaced by none, so that the call's time goes on.
fn open_speaker(world: &mut World, now: Instant) {
    let spec = world.resource::<Settings>().0.speaker.clone();
    let opened = Loudspeaker::open(&spec, now).or_else(|error| {
        note(world, error.text.to_string());
        Loudspeaker::open(&SpeakerSpec::None, now)
    });
    world.resource_mut::<Sound>().speaker = opened.ok().map(SyncCell::new);
}

fn open_camera(world: &mut World, call: Entity) {
    let Some(spec) = world.resource::<Settings>().0.camera.clone() else { return };
    let wake = world.resource::<EngineWake>().0.clone();
    let Some(tracks) = media::tracks_of(world, call) else { return };
    match VideoSource::spawn(spec, wake) {
        Ok(opened) => {
            if let Some(mut source) = world.get_mut::<Source>(tracks.video_out) {
                source.0 = Some(opened);
            }
        }
        Err(error) => note(world, error.text.to_string()),
    }
}

/// Says what happened to a device, in the window and as a notice.
pub fn note(world: &mut World, text: String) {
    calls::tell(world, Notice::Error(text.clone()));
    world.resource_mut::<Sound>().note.clone_from(&text);
    calls::show(world, |showing| showing.controls.device_note = text);
}

/// The card that stands in for a camera: 720p30.
const TEST_CARD: SourceSpec = SourceSpec::TestCard { width: 1280, height: 720, frame_rate: 30.0 };

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
    match spec {
        Some(SourceSpec::TestCard { .. }) => "testcard".into(),
        Some(SourceSpec::File(path)) => path.display().to_string(),
        None => "none".into(),
    }
}
