//! What the device panel offers: how loud the microphone is, a tone, and one's own voice two seconds later.

use bevy_ecs::world::World;
use bevy_platform::cell::SyncCell;

use super::audio::Audio;
use super::{calls, media};
use crate::base::stereo::Stereo;
use crate::base::time::{Duration, Instant};
use crate::device::{Echo, Tone};
use crate::media::level::level;
use crate::world::outgoing::Voice;
use crate::world::shared::{Now, Sound};

/// The panel's own state.
#[derive(Debug, Default)]
pub struct Panel {
    /// Somebody looks at it: the microphone is open.
    pub is_open: bool,
    /// A tone or an echo was asked for since: the loudspeaker is open.
    pub plays: bool,
    /// The echo ends then.
    until: Option<Instant>,
    /// The loudest level since the last one that was shown, and when that was.
    loudest: f32,
    shown: Option<Instant>,
    samples: Vec<Stereo>,
}

/// Long enough for some sentences; nobody forgets a microphone that is heard in the room.
const ECHO: Duration = Duration::from_secs(20);
/// 50 levels a second.
const SHOW_EVERY: Duration = Duration::from_millis(20);

pub fn open(world: &mut World, is_open: bool) {
    world.resource_mut::<Audio>().check.is_open = is_open;
    if !is_open {
        let check = &mut world.resource_mut::<Sound>().check;
        (check.tone, check.echo) = (None, None);
        world.resource_mut::<Audio>().check = Panel::default();
        calls::show(world, |showing| {
            (showing.controls.microphone_level, showing.controls.echo_test) = (None, false);
        });
    }
}

pub fn play_tone(world: &mut World) {
    world.resource_mut::<Audio>().check.plays = true;
    world.resource_mut::<Sound>().check.tone = Some(Tone::TEST);
}

/// In a call: it has broken off, or is back.
pub fn ring_bell(world: &mut World, tone: Tone) {
    world.resource_mut::<Sound>().check.tone = Some(tone);
}

/// In a call one would hear oneself and the other side at once: it is not begun.
pub fn play_echo(world: &mut World, on: bool) {
    let now = world.resource::<Now>().0;
    let on = on && calls::current(world).is_none();
    let panel = &mut world.resource_mut::<Audio>().check;
    panel.is_open |= on;
    panel.plays |= on;
    panel.until = on.then(|| now + ECHO);
    world.resource_mut::<Sound>().check.echo = on.then(Echo::default);
    calls::show(world, |showing| showing.controls.echo_test = on);
}

/// In every tick while the panel is open.
pub fn listen(world: &mut World) {
    let panel = &world.resource::<Audio>().check;
    if !panel.is_open {
        return;
    }
    let now = world.resource::<Now>().0;
    if panel.until.is_some_and(|until| until <= now || calls::current(world).is_some()) {
        play_echo(world, false);
    }
    let loud = match world.resource::<Audio>().call {
        Some(call) => media::tracks_of(world, call)
            .and_then(|tracks| world.get::<Voice>(tracks.audio_out))
            .map_or(0.0, |voice| share(voice.loudness.level())),
        None => hear(world, now),
    };
    let panel = &mut world.resource_mut::<Audio>().check;
    panel.loudest = panel.loudest.max(loud);
    if panel.shown.is_some_and(|at| now.saturating_duration_since(at) < SHOW_EVERY) {
        return;
    }
    panel.shown = Some(now);
    let level = std::mem::take(&mut panel.loudest);
    calls::show(world, |showing| showing.controls.microphone_level = Some(level));
}

/// Takes what the microphone heard, outside of a call. How loud it was.
fn hear(world: &mut World, now: Instant) -> f32 {
    let mut samples = std::mem::take(&mut world.resource_mut::<Audio>().check.samples);
    samples.clear();
    let check = &mut world.resource_mut::<Sound>().check;
    if let Some(microphone) = check.microphone.as_mut().map(SyncCell::get) {
        microphone.take(now, &mut samples);
        if let Some(echo) = &mut check.echo {
            echo.push(&samples);
        }
    }
    let loud = share(level(samples.as_flattened()));
    world.resource_mut::<Audio>().check.samples = samples;
    loud
}

/// A level in −dBov as a share of a meter from −60 dB to full scale.
fn share(level: u8) -> f32 {
    (1.0 - f32::from(level) / 60.0).max(0.0)
}
