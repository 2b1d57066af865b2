//! Microphone and loudspeaker: opened where a call or the device panel needs them, and followed while it does. A device that
//! is lost never ends a call.

use bevy_ecs::entity::Entity;
use bevy_ecs::resource::Resource;
use bevy_ecs::world::World;

use super::side::{Opening, Sounding, Source};
use super::{calls, devices, media};
use crate::base::error::Result;
use crate::base::pipe::PipeReceiver;
use crate::base::time::Instant;
use crate::codec::worker::Work;
use crate::device::{DeviceEntry, DeviceList, DeviceWatch, Follow, Loudspeaker, Microphone, News, Seen, Side};
use crate::layout::snapshot::Controls;
use crate::store::settings::{Choices, SettingsWriter};
use crate::world::message::Notice;
use crate::world::outgoing::Voice;
use crate::world::shared::{EngineWake, Now, Settings, Sound};

/// Who needs sound, and how far it has come.
#[derive(Resource, Default)]
pub struct Audio {
    /// The call that both persons have agreed to.
    pub call: Option<Entity>,
    pub check: super::check::Panel,
    pub microphone: Line<Microphone>,
    pub speaker: Line<Loudspeaker>,
    seen: DeviceList,
    watch: Option<DeviceWatch>,
    choices: Choices,
    writer: Option<SettingsWriter>,
}

/// One side.
pub struct Line<T> {
    follow: Follow,
    opening: Option<PipeReceiver<Result<T>>>,
    /// What is no device is opened once.
    is_made: bool,
    /// What is wrong as long as it is; empty: nothing.
    pub note: String,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self { follow: Follow::default(), opening: None, is_made: false, note: String::new() }
    }
}

/// Takes up what was chosen before, and begins to watch the devices where any are used.
pub fn install(world: &mut World) {
    world.init_resource::<Audio>();
    recall(world);
    choose_first::<Microphone>(world);
    choose_first::<Loudspeaker>(world);
}

/// The choices of before, where nothing else was said at the start.
fn recall(world: &mut World) {
    let config = &mut world.resource_mut::<Settings>().0;
    let remember = config.remember;
    if !remember.microphone && !remember.speaker {
        return;
    }
    let (choices, broken) = Choices::load(&config.data);
    if remember.microphone {
        config.microphone = Microphone::spec_of(choices.microphone.clone());
    }
    if remember.speaker {
        config.speaker = Loudspeaker::spec_of(choices.speaker.clone());
    }
    let writer = SettingsWriter::start(&config.data);
    let mut audio = world.resource_mut::<Audio>();
    audio.choices = choices;
    let failed = match writer {
        Ok(writer) => {
            audio.writer = Some(writer);
            None
        }
        Err(error) => Some(error),
    };
    for error in broken.into_iter().chain(failed) {
        calls::tell(world, Notice::Error(error.text.into()));
    }
}

/// Changes what is kept for the next start.
pub fn keep(world: &mut World, change: impl FnOnce(&mut Choices)) {
    if world.resource::<Audio>().writer.is_none() {
        let data = world.resource::<Settings>().0.data.clone();
        let (choices, writer) = (Choices::load(&data).0, SettingsWriter::start(&data));
        match writer {
            Ok(writer) => {
                let mut audio = world.resource_mut::<Audio>();
                (audio.choices, audio.writer) = (choices, Some(writer));
            }
            Err(error) => return calls::tell(world, Notice::Error(error.text.into())),
        }
    }
    let mut audio = world.resource_mut::<Audio>();
    change(&mut audio.choices);
    if let Some(writer) = &audio.writer {
        writer.keep(audio.choices.clone());
    }
}

fn choose_first<T: Sounding>(world: &mut World) {
    let config = &mut world.resource_mut::<Settings>().0;
    let name = T::name(T::spec(config));
    let is_device = T::source(config) == Source::Device;
    let shown = T::shown_name(T::spec(config));
    calls::show(world, |showing| *T::shown(showing).0 = shown);
    if is_device {
        T::line(&mut world.resource_mut::<Audio>()).follow.want(name);
        watch(world);
    }
}

/// Devices are looked at only where they are used, and never in virtual time.
fn watch(world: &mut World) {
    let config = &world.resource::<Settings>().0;
    if config.work != Work::Threads || world.resource::<Audio>().watch.is_some() {
        return;
    }
    match DeviceWatch::start(config.backend, world.resource::<EngineWake>().0.clone()) {
        Ok(watch) => world.resource_mut::<Audio>().watch = Some(watch),
        Err(error) => calls::tell(world, Notice::Error(error.text.into())),
    }
}

/// A person chose: from now on this device, `None` being the system's default.
pub fn choose<T: Sounding>(world: &mut World, name: Option<String>) {
    *T::spec(&mut world.resource_mut::<Settings>().0) = T::spec_of(name.clone());
    let shown = name.clone().unwrap_or_else(|| Controls::DEFAULT.to_owned());
    let mut audio = world.resource_mut::<Audio>();
    let line = T::line(&mut audio);
    line.follow.want(name.clone());
    (line.opening, line.note) = (None, String::new());
    *T::kept(&mut audio.choices) = name;
    if let Some(writer) = &audio.writer {
        writer.keep(audio.choices.clone());
    }
    calls::show(world, |showing| *T::shown(showing).0 = shown);
    watch(world);
    follow::<T>(world);
}

/// What is open is opened anew, in another way.
pub fn reopen<T: Sounding>(world: &mut World) {
    T::put(world, None);
    rest::<T>(world);
    follow::<T>(world);
}

/// Both persons have agreed: what the settings name is opened in the next moment. What the panel has open is used on.
pub fn start(world: &mut World, call: Entity) {
    world.resource_mut::<Audio>().call = Some(call);
    let open = world.resource_mut::<Sound>().check.microphone.take();
    if let Some(tracks) = media::tracks_of(world, call)
        && let Some(mut voice) = world.get_mut::<Voice>(tracks.audio_out)
    {
        voice.microphone = open;
    }
    follow::<Loudspeaker>(world);
    follow::<Microphone>(world);
}

/// The call is over: both close at once.
pub fn stop(world: &mut World, call: Entity) {
    let mut sound = world.resource_mut::<Sound>();
    let mut speaker = sound.speaker.take();
    if let Some(speaker) = &mut speaker {
        sound.underruns = Some(speaker.get().underruns());
    }
    devices::close(world, speaker);
    let tracks = media::tracks_of(world, call);
    let voice = tracks.and_then(|tracks| world.get_mut::<Voice>(tracks.audio_out));
    let microphone = voice.and_then(|mut voice| voice.microphone.take());
    devices::close(world, microphone);
    world.resource_mut::<Audio>().call = None;
    rest::<Microphone>(world);
    rest::<Loudspeaker>(world);
}

/// In every tick: what was opened is put to use, what was lost is replaced, what changed is followed.
pub fn follow_devices(world: &mut World) {
    let audio = world.resource::<Audio>();
    if let Some(list) = audio.watch.as_ref().and_then(DeviceWatch::news) {
        show_list(world, list);
    }
    let failure = world.resource::<Audio>().writer.as_ref().and_then(SettingsWriter::failure);
    if let Some(error) = failure {
        calls::tell(world, Notice::Error(error.text.into()));
    }
    follow::<Loudspeaker>(world);
    follow::<Microphone>(world);
}

fn follow<T: Sounding>(world: &mut World) {
    let now = world.resource::<Now>().0;
    if !T::is_wanted(world) {
        let mut audio = world.resource_mut::<Audio>();
        let line = T::line(&mut audio);
        if line.opening.is_some() || line.is_made || line.follow.device().is_some() {
            T::close(world);
            rest::<T>(world);
        }
        return;
    }
    take_opened::<T>(world, now);
    if T::take_lost(world) {
        let name = T::line(&mut world.resource_mut::<Audio>()).follow.lost(now).unwrap_or_default();
        say::<T>(world, format!("The {} {name} was lost.", T::SIDE.word()), true);
    }
    let Some(spec) = wanted::<T>(world, now) else { return };
    let config = &world.resource::<Settings>().0;
    let how = Opening { backend: config.backend, stereo: config.music, waits: config.work != Work::Threads };
    let name = format!("{} opener", T::SIDE.word());
    let opening = devices::opening(world, &name, move |at| T::open(how, &spec, at), now);
    T::line(&mut world.resource_mut::<Audio>()).opening = opening;
    take_opened::<T>(world, now);
}

/// What is to be opened now, if anything.
fn wanted<T: Sounding>(world: &mut World, now: Instant) -> Option<T::Spec> {
    let source = T::source(&world.resource::<Settings>().0);
    let mut audio = world.resource_mut::<Audio>();
    let audio = &mut *audio;
    if source == Source::Device {
        let looked = audio.watch.as_ref().map(DeviceWatch::looked);
        let seen = std::mem::take(&mut audio.seen);
        let next = T::line(audio).follow.next(now, Seen { looked, ..T::seen(&seen) });
        audio.seen = seen;
        return next.map(T::spec_of);
    }
    if std::mem::replace(&mut T::line(audio).is_made, true) || source == Source::Nothing {
        return None;
    }
    Some(T::spec(&mut world.resource_mut::<Settings>().0).clone())
}

fn take_opened<T: Sounding>(world: &mut World, now: Instant) {
    let mut audio = world.resource_mut::<Audio>();
    let line = T::line(&mut audio);
    let Some(opened) = line.opening.as_ref().and_then(PipeReceiver::try_recv) else { return };
    line.opening = None;
    match opened {
        Ok(opened) => {
            let entry = opened.entry().cloned();
            let news = entry.clone().map(|entry| line.follow.opened(entry, now));
            T::put(world, Some(opened));
            if let (Some(entry), Some(news)) = (entry, news) {
                say_news::<T>(world, &entry, news);
            }
        }
        Err(error) => {
            let is_said = line.is_made || line.follow.failed(now);
            T::put(world, None);
            if is_said {
                say::<T>(world, error.text.into(), true);
            }
        }
    }
}

fn say_news<T: Sounding>(world: &mut World, entry: &DeviceEntry, news: News) {
    let word = T::SIDE.word();
    let was_wrong = !T::line(&mut world.resource_mut::<Audio>()).note.is_empty();
    calls::show(world, |showing| entry.name.clone_into(T::shown(showing).1));
    match news {
        News::Nothing if was_wrong => say::<T>(world, format!("The {word} {} is back.", entry.name), false),
        News::Nothing => {}
        News::Now(name) => say::<T>(world, format!("The {word} is {name} now."), false),
        News::Back(name) => say::<T>(world, format!("The {word} {name} is back."), false),
        News::StandsIn { wanted, name } => {
            say::<T>(world, format!("The {word} {wanted} is not there: {name} is used until it is back."), true);
        }
    }
}

/// Says it; in the window for as long as it holds.
fn say<T: Sounding>(world: &mut World, text: String, holds: bool) {
    let mut audio = world.resource_mut::<Audio>();
    let note = &mut T::line(&mut audio).note;
    note.clear();
    if holds {
        note.push_str(&text);
    }
    calls::tell(world, Notice::Error(text));
    devices::show_notes(world);
}

/// Nobody needs the side any more.
fn rest<T: Sounding>(world: &mut World) {
    let mut audio = world.resource_mut::<Audio>();
    let line = T::line(&mut audio);
    line.follow.close();
    (line.opening, line.is_made) = (None, false);
    if !line.note.is_empty() {
        line.note.clear();
        devices::show_notes(world);
    }
}

/// The window's menus. What a loudspeaker's monitor hears is no microphone of a person.
fn show_list(world: &mut World, list: DeviceList) {
    let names = |entries: &[DeviceEntry], side: Side| -> Vec<String> {
        let is_shown = |entry: &&DeviceEntry| side == Side::Speaker || !entry.id.ends_with(".monitor");
        entries.iter().filter(is_shown).map(|entry| entry.name.clone()).collect()
    };
    let audio = world.resource::<Audio>();
    let open = |device: Option<&DeviceEntry>, default: &Option<DeviceEntry>| {
        device.or(default.as_ref()).map(|entry| entry.name.clone()).unwrap_or_default()
    };
    let microphone = open(audio.microphone.follow.device(), &list.default_microphone);
    let speaker = open(audio.speaker.follow.device(), &list.default_speaker);
    calls::show(world, |showing| {
        let controls = &mut showing.controls;
        controls.microphones = names(&list.microphones, Side::Microphone);
        controls.speakers = names(&list.speakers, Side::Speaker);
        (controls.microphone_now, controls.speaker_now) = (microphone, speaker);
    });
    let mut audio = world.resource_mut::<Audio>();
    audio.seen = list;
    audio.microphone.follow.changed();
    audio.speaker.follow.changed();
}

/// The notes of both sides.
pub fn notes(world: &World) -> [&str; 2] {
    let audio = world.resource::<Audio>();
    [&audio.microphone.note, &audio.speaker.note]
}
