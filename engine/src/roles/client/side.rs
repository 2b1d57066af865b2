//! The two sides of the sound, as far as they differ: what they are made of, who needs them, and where they are put.

use bevy_ecs::world::World;
use bevy_platform::cell::SyncCell;

use super::audio::{Audio, Line};
use super::{devices, media};
use crate::base::error::Result;
use crate::base::time::Instant;
use crate::device::{
    Backend, DeviceEntry, DeviceList, Loudspeaker, Microphone, MicrophoneSpec, Seen, Side, SpeakerSpec,
};
use crate::layout::snapshot::Controls;
use crate::store::settings::Choices;
use crate::world::call::CallState;
use crate::world::config::Config;
use crate::world::outgoing::Voice;
use crate::world::shared::{Now, Showing, Sound};

/// How a device is opened.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    pub backend: Option<Backend>,
    /// A microphone of two channels.
    pub stereo: bool,
    /// A file waits for the disk.
    pub waits: bool,
}

/// What a side is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Device,
    /// A file or a generator: opened once.
    Made,
    Nothing,
}

/// A microphone or a loudspeaker.
pub trait Sounding: Sized + Send + 'static {
    type Spec: Clone + Send + 'static;
    const SIDE: Side;

    fn spec(config: &mut Config) -> &mut Self::Spec;
    fn source(config: &Config) -> Source;
    /// The device's name; `None`: the system's default, or no device.
    fn name(spec: &Self::Spec) -> Option<String>;
    /// As the window shows it.
    fn shown_name(spec: &Self::Spec) -> String;
    fn spec_of(name: Option<String>) -> Self::Spec;
    fn open(how: Opening, spec: &Self::Spec, at: Instant) -> Result<Self>;
    fn entry(&self) -> Option<&DeviceEntry>;

    fn line(audio: &mut Audio) -> &mut Line<Self>;
    fn seen(list: &DeviceList) -> Seen<'_>;
    /// The name a person chose and the name of what is open, as the window shows them.
    fn shown(showing: &mut Showing) -> (&mut String, &mut String);
    fn kept(choices: &mut Choices) -> &mut Option<String>;

    /// Somebody needs it: a call, or the device panel.
    fn is_wanted(world: &World) -> bool;
    /// Puts it where it is used; `None`: it could not be opened.
    fn put(world: &mut World, opened: Option<Self>);
    /// Takes out what was lost and closes it. Whether there was one.
    fn take_lost(world: &mut World) -> bool;
    /// Closes what only the panel had open.
    fn close(world: &mut World);
}

impl Sounding for Microphone {
    type Spec = MicrophoneSpec;
    const SIDE: Side = Side::Microphone;

    fn spec(config: &mut Config) -> &mut MicrophoneSpec {
        &mut config.microphone
    }

    fn source(config: &Config) -> Source {
        match config.microphone {
            MicrophoneSpec::Default | MicrophoneSpec::Named(_) => Source::Device,
            MicrophoneSpec::Wav(_) | MicrophoneSpec::Chirp => Source::Made,
            MicrophoneSpec::None => Source::Nothing,
        }
    }

    fn name(spec: &MicrophoneSpec) -> Option<String> {
        match spec {
            MicrophoneSpec::Named(name) => Some(name.clone()),
            _ => None,
        }
    }

    fn shown_name(spec: &MicrophoneSpec) -> String {
        match spec {
            MicrophoneSpec::Default => Controls::DEFAULT.into(),
            MicrophoneSpec::Named(name) => name.clone(),
            MicrophoneSpec::Wav(path) => path.display().to_string(),
            MicrophoneSpec::Chirp => "chirp".into(),
            MicrophoneSpec::None => "none".into(),
        }
    }

    fn spec_of(name: Option<String>) -> MicrophoneSpec {
        name.map_or(MicrophoneSpec::Default, MicrophoneSpec::Named)
    }

    fn open(how: Opening, spec: &MicrophoneSpec, at: Instant) -> Result<Self> {
        Self::open_on(how.backend, spec, how.stereo, at)
    }

    fn entry(&self) -> Option<&DeviceEntry> {
        self.device()
    }

    fn line(audio: &mut Audio) -> &mut Line<Self> {
        &mut audio.microphone
    }

    fn seen(list: &DeviceList) -> Seen<'_> {
        Seen { devices: &list.microphones, default: list.default_microphone.as_ref(), looked: None }
    }

    fn shown(showing: &mut Showing) -> (&mut String, &mut String) {
        (&mut showing.controls.microphone, &mut showing.controls.microphone_now)
    }

    fn kept(choices: &mut Choices) -> &mut Option<String> {
        &mut choices.microphone
    }

    fn is_wanted(world: &World) -> bool {
        let audio = world.resource::<Audio>();
        let is_heard = |call| world.get::<CallState>(call).is_some_and(|state| !state.agreed.opus_frame_us.is_empty());
        audio.call.is_some_and(is_heard) || audio.check.is_open
    }

    fn put(world: &mut World, opened: Option<Self>) {
        let call = world.resource::<Audio>().call;
        let tracks = call.and_then(|call| media::tracks_of(world, call));
        let voice = tracks.and_then(|tracks| world.get_mut::<Voice>(tracks.audio_out));
        let before = match voice {
            Some(mut voice) => replace(&mut voice.microphone, opened),
            None if call.is_none() => replace(&mut world.resource_mut::<Sound>().check.microphone, opened),
            None => opened.map(SyncCell::new),
        };
        devices::close(world, before);
    }

    fn take_lost(world: &mut World) -> bool {
        let take = |place: &mut Option<SyncCell<Self>>| {
            let is_lost = place.as_mut().is_some_and(|microphone| microphone.get().lost());
            if is_lost { place.take() } else { None }
        };
        let call = world.resource::<Audio>().call;
        let tracks = call.and_then(|call| media::tracks_of(world, call));
        let lost = match tracks.and_then(|tracks| world.get_mut::<Voice>(tracks.audio_out)) {
            Some(mut voice) => take(&mut voice.microphone),
            None => take(&mut world.resource_mut::<Sound>().check.microphone),
        };
        devices::close(world, lost)
    }

    fn close(world: &mut World) {
        let open = world.resource_mut::<Sound>().check.microphone.take();
        devices::close(world, open);
    }
}

impl Sounding for Loudspeaker {
    type Spec = SpeakerSpec;
    const SIDE: Side = Side::Speaker;

    fn spec(config: &mut Config) -> &mut SpeakerSpec {
        &mut config.speaker
    }

    fn source(config: &Config) -> Source {
        match config.speaker {
            SpeakerSpec::Default | SpeakerSpec::Named(_) => Source::Device,
            // A call's time goes on without a loudspeaker too.
            SpeakerSpec::Wav(_) | SpeakerSpec::None => Source::Made,
        }
    }

    fn name(spec: &SpeakerSpec) -> Option<String> {
        match spec {
            SpeakerSpec::Named(name) => Some(name.clone()),
            _ => None,
        }
    }

    fn shown_name(spec: &SpeakerSpec) -> String {
        match spec {
            SpeakerSpec::Default => Controls::DEFAULT.into(),
            SpeakerSpec::Named(name) => name.clone(),
            SpeakerSpec::Wav(path) => path.display().to_string(),
            SpeakerSpec::None => "none".into(),
        }
    }

    fn spec_of(name: Option<String>) -> SpeakerSpec {
        name.map_or(SpeakerSpec::Default, SpeakerSpec::Named)
    }

    fn open(how: Opening, spec: &SpeakerSpec, at: Instant) -> Result<Self> {
        Self::open_on(how.backend, spec, how.waits, at)
    }

    fn entry(&self) -> Option<&DeviceEntry> {
        self.device()
    }

    fn line(audio: &mut Audio) -> &mut Line<Self> {
        &mut audio.speaker
    }

    fn seen(list: &DeviceList) -> Seen<'_> {
        Seen { devices: &list.speakers, default: list.default_speaker.as_ref(), looked: None }
    }

    fn shown(showing: &mut Showing) -> (&mut String, &mut String) {
        (&mut showing.controls.speaker, &mut showing.controls.speaker_now)
    }

    fn kept(choices: &mut Choices) -> &mut Option<String> {
        &mut choices.speaker
    }

    fn is_wanted(world: &World) -> bool {
        let audio = world.resource::<Audio>();
        audio.call.is_some() || audio.check.plays
    }

    fn put(world: &mut World, opened: Option<Self>) {
        let opened = opened.or_else(|| world.resource::<Sound>().speaker.is_none().then(|| nowhere(world)).flatten());
        let before = replace(&mut world.resource_mut::<Sound>().speaker, opened);
        devices::close(world, before);
    }

    fn take_lost(world: &mut World) -> bool {
        if !world.resource_mut::<Sound>().speaker.as_mut().is_some_and(|speaker| speaker.get().lost()) {
            return false;
        }
        let nowhere = nowhere(world).map(SyncCell::new);
        let lost = std::mem::replace(&mut world.resource_mut::<Sound>().speaker, nowhere);
        devices::close(world, lost)
    }

    fn close(world: &mut World) {
        let open = world.resource_mut::<Sound>().speaker.take();
        devices::close(world, open);
    }
}

/// Puts `opened` there, where it is something; what was there before, if it was replaced.
fn replace<T>(place: &mut Option<SyncCell<T>>, opened: Option<T>) -> Option<SyncCell<T>> {
    let opened = SyncCell::new(opened?);
    place.replace(opened)
}

/// A loudspeaker that nobody hears, so that the call's time goes on.
fn nowhere(world: &World) -> Option<Loudspeaker> {
    Loudspeaker::open(&SpeakerSpec::None, world.resource::<Now>().0).ok()
}
