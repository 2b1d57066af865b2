//! Recorded calls again: without sockets, codecs, devices or a window, tick by tick, with the same decisions. What is
//! another on the way is found at its tick.
//!
//! A recording ([`crate::world::tape`]) has what came from outside in each tick and, as one number, what the tick decided.
//! [`Replay::run`] gives the one and compares the other. [`what_if`] gives only what came over the path, and lets other
//! policies decide; [`scrub`] takes everything out of a recording that decisions do not need.

pub mod file;
pub mod scrub;
pub mod what_if;

use std::path::Path;
use std::sync::Arc;

use bevy_ecs::entity::Entity;
use bevy_ecs::resource::Resource;
use bevy_ecs::schedule::{IntoScheduleConfigs, ScheduleBuildSettings};
use bevy_ecs::world::World;
use bevy_platform::cell::SyncCell;

use crate::base::axis::Axis;
use crate::base::error::Result;
use crate::base::id::Ssrc;
use crate::base::pipe::Wake;
use crate::base::rate::Bitrate;
use crate::base::time::{Duration, Instant, WallTime};
use crate::codec::VideoCodec;
use crate::codec::worker::Work;
use crate::device::{Loudspeaker, Microphone, MicrophoneSpec, SpeakerSpec};
use crate::engine::Engine;
use crate::engine::decisions::Decisions;
use crate::handle::{Link, link};
use crate::media::frame_length::FrameLength;
use crate::media::report::Report;
use crate::media::video::Content;
use crate::net::transport::plain::Plain;
use crate::net::transport::{Sources, Transport};
use crate::proto::signal::body::Mute;
use crate::roles::client::{media, report};
use crate::source::{SourceSpec, VideoSource};
use crate::systems::{record, session};
use crate::world::call::Times;
use crate::world::config::Config;
use crate::world::connection::{Path as MediaPath, Tracks};
use crate::world::outgoing::{Source, VideoQueue, Voice};
use crate::world::shared::{Now, Settings, Sound};
use crate::world::stage::Stage;
use crate::world::stats::Stats;
use crate::world::stream::{AudioStream, Frames};
use crate::world::tape::Tape;
use crate::world::tape::note::{Head, Note, Situation, TickNote};
use file::RecordedCall;

/// An engine that follows a recording.
pub struct Replay {
    engine: Engine,
    link: Link,
    decisions: Decisions,
    decided: u64,
    axis: Axis,
    frame: u64,
    sounds: u64,
}

/// What came of a replay.
#[derive(Clone, Debug)]
pub struct Replayed {
    pub ticks: u64,
    /// From the first tick to the last one.
    pub time: Duration,
    /// The first tick that decided something else; the replay ends there.
    pub difference: Option<Difference>,
    pub report: Report,
    /// The delays, in the order of time.
    pub series: Vec<Delay>,
    pub was_cut_off: bool,
    /// The version of the program that recorded it.
    pub program: String,
}

/// Where a replay went another way than the call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    pub tick: u64,
    pub at: Duration,
}

/// How late something was when it was played.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Delay {
    pub tick: u64,
    pub at: Duration,
    /// Milliseconds from capture to the loudspeaker.
    pub sound_ms: Option<f64>,
    /// Milliseconds from capture to the picture being due.
    pub picture_ms: Option<f64>,
}

/// The call that a replay follows.
#[derive(Debug, Resource)]
struct Following {
    /// Devices of this machine are asked: only what came over the path is replayed.
    is_what_if: bool,
    /// Bytes on the wire around a packet's payload, in the recorded call.
    around: u64,
    connection: Option<Entity>,
    situation: Option<Situation>,
    times: Times,
    report: Option<Report>,
}

/// In microseconds since 1970: replays lie here, so that nothing depends on when a call was.
const BEGINNING: u64 = 1_900_000_000_000_000;

impl Replay {
    /// An engine for a call with this head. `shuffle`: systems that may run in any order do so, by this seed.
    ///
    /// # Errors
    /// None that a person could do something about.
    pub fn new(head: &Head, shuffle: Option<u64>) -> Result<Self> {
        Self::open(Self::config(head), head.around, shuffle, false)
    }

    fn config(head: &Head) -> Config {
        let mut config = Config::new("replay", "", 0);
        config.most = Bitrate::from_bps(head.most);
        config.audio_frame = head.audio_frame.and_then(|micros| {
            let duration = Duration::from_micros(u64::from(micros));
            FrameLength::ALL.into_iter().find(|length| length.duration() == duration)
        });
        config.audio_rate = Bitrate::from_bps(head.audio_rate);
        config.audio_most = Bitrate::from_bps(head.audio_most);
        config.music_most = Bitrate::from_bps(head.music_most);
        config.policy = head.policy;
        config.plain = true;
        config.codec = VideoCodec::Plain;
        config.work = Work::Inline { encode: Duration::ZERO, decode: Duration::ZERO };
        config
    }

    fn open(config: Config, around: u64, shuffle: Option<u64>, is_what_if: bool) -> Result<Self> {
        let axis = Axis::on(WallTime::from_micros(BEGINNING));
        let (link, end) = link(Wake::none(), Arc::new(|| {}));
        let tape = Tape::replaying(axis, !is_what_if);
        let mut engine = Engine::without_client(config, tape, Wake::none(), end, axis.start())?;
        let following =
            Following { is_what_if, around, connection: None, situation: None, times: Times::default(), report: None };
        engine.world_mut().insert_resource(following);
        let schedule = engine.schedule_mut();
        schedule.add_systems(follow.in_set(Stage::Session).after(session::share_rate).before(record::note_situation));
        schedule.set_build_settings(ScheduleBuildSettings { shuffle_seed: shuffle, ..Default::default() });
        let decisions = Decisions::new(engine.world_mut(), axis.start());
        Ok(Self { engine, link, decisions, decided: 0, axis, frame: 0, sounds: 0 })
    }

    /// Replays the call in `path`.
    ///
    /// # Errors
    /// `Malformed` with one line for the person: the file is no recording, or not a whole one.
    pub fn run(path: &Path, shuffle: Option<u64>, partial: bool) -> Result<Replayed> {
        let mut call = RecordedCall::open(path, partial)?;
        let mut replay = Self::new(call.head(), shuffle)?;
        let (mut ticks, mut series, mut difference) = (0, Vec::new(), None);
        let (mut first, mut last) = (None, 0);
        while let Some(tick) = call.next_tick()? {
            let (number, now) = (tick.number, tick.now);
            (ticks, last) = (number + 1, now);
            let since = now.saturating_sub(*first.get_or_insert(now));
            let at = Duration::from_nanos(since.unsigned_abs());
            let is_same = replay.tick(tick);
            series.extend(replay.delay(number, at));
            if !is_same {
                difference = Some(Difference { tick: number, at });
                break;
            }
        }
        let time = Duration::from_nanos(last.saturating_sub(first.unwrap_or(last)).unsigned_abs());
        let (was_cut_off, program) = (call.was_cut_off(), call.head().program.clone());
        Ok(Replayed { ticks, time, difference, report: replay.report(), series, was_cut_off, program })
    }

    /// Runs one recorded tick. Whether it decided as it did then.
    pub fn tick(&mut self, tick: TickNote) -> bool {
        // In the last one the recorded call goes; what goes on beside it is not of this recording.
        let is_last = tick.entries.iter().any(|entry| entry.note == Note::Situation(None));
        let decided = tick.decisions;
        let now = self.engine.world().resource::<Tape>().load(tick).unwrap_or_else(|| self.axis.start());
        self.engine.tick(now);
        self.decided = self.decisions.of_media(self.engine.world_mut(), self.decided);
        (self.decided == decided || is_last) && self.engine.world().resource::<Tape>().left_over() == 0
    }

    /// What is measured up to now, or was by the end of the call.
    pub fn report(&mut self) -> Report {
        let world = self.engine.world_mut();
        conclude(world);
        world.resource::<Following>().report.clone().unwrap_or_default()
    }

    /// What began to play or to be shown in the last tick.
    fn delay(&mut self, tick: u64, at: Duration) -> Option<Delay> {
        let world = self.engine.world();
        let stats = world.resource::<Stats>();
        let sounded = stats.audio_delay.len() != self.sounds;
        self.sounds = stats.audio_delay.len();
        let sound_ms = stats.audio_delay.last().filter(|_| sounded);
        let tracks = world.resource::<Following>().connection.and_then(|connection| world.get::<Tracks>(connection));
        let frames = tracks.and_then(|tracks| world.get::<Frames>(tracks.video_in));
        let shown = frames.filter(|frames| frames.frame != self.frame).and_then(|frames| frames.shown.as_ref());
        self.frame = frames.map_or(self.frame, |frames| frames.frame);
        let picture_ms = shown.and_then(|frame| frame.stamps.until_published_ms());
        (sound_ms.is_some() || picture_ms.is_some()).then_some(Delay { tick, at, sound_ms, picture_ms })
    }
}

/// Makes the world stand as the recording says the signalling left it.
fn follow(world: &mut World) {
    let now = world.resource::<Now>().0;
    note_times(world, now);
    let (before, situation) = (world.resource::<Following>().situation, world.resource::<Tape>().situation());
    if situation == before {
        return;
    }
    world.resource_mut::<Following>().situation = situation;
    let Some(situation) = situation else {
        world.resource_mut::<Following>().times.ended = Some(now);
        conclude(world);
        if let Some(connection) = world.resource_mut::<Following>().connection.take() {
            media::despawn(world, connection);
        }
        return;
    };
    let Some(connection) = world.resource::<Following>().connection.or_else(|| spawn(world, now)) else { return };
    let Some(tracks) = world.get::<Tracks>(connection).copied() else { return };
    open_devices(world, &tracks, &situation, now);
    let mute = |of: &Situation| Mute {
        audio: of.peer_muted,
        video: of.peer_camera_off,
        narrow: false,
        further: of.peer_further,
        screens: of.peer_screens,
    };
    if before.as_ref().map(mute) != Some(mute(&situation)) {
        media::mute_streams(world, &tracks, mute(&situation));
    }
    if let Some(clock) = situation.clock {
        media::set_clock(world, connection, clock);
    }
}

/// A connection to nobody, with its streams and what goes out.
fn spawn(world: &mut World, now: Instant) -> Option<Entity> {
    let settings = world.resource::<Settings>().0.clone();
    let sources = Sources {
        audio: Ssrc(1),
        video: Ssrc(2),
        video_rtx: Ssrc(3),
        further: Default::default(),
        repair: Some(Ssrc(4)),
    };
    let mut transport = Plain::new(sources, now);
    transport.set_around(world.resource::<Following>().around);
    let transport = Transport::Plain(Box::new(transport));
    // Codecs that are only asked for their settings: there is nothing that could fail but memory.
    let connection = media::spawn(world, Entity::PLACEHOLDER, transport, &settings, now).ok();
    let mut following = world.resource_mut::<Following>();
    following.connection = connection;
    following.times.accepted = Some(now);
    connection
}

/// Devices that stand for those of the call. In a whole replay nobody asks them anything; otherwise a loudspeaker plays at
/// its own pace, and nothing is sent.
fn open_devices(world: &mut World, tracks: &Tracks, situation: &Situation, now: Instant) {
    /// As small and slow as there is.
    const CARD: SourceSpec = SourceSpec::TestCard { width: 16, height: 16, frame_rate: 1.0 };
    let sends = !world.resource::<Following>().is_what_if;
    let config = &world.resource::<Settings>().0;
    let most = if situation.music { config.music_most } else { config.audio_most };
    if let Some(mut voice) = world.get_mut::<Voice>(tracks.audio_out) {
        let microphone = (situation.microphone && sends).then(|| Microphone::open(&MicrophoneSpec::None, now).ok());
        voice.microphone = microphone.flatten().map(SyncCell::new);
        voice.muted = situation.muted;
        voice.set_music(situation.music, most);
        voice.control.set_around(situation.around_sound);
        voice.set_reader(situation.peer_reads_copies, situation.peer_reads_lengths);
    }
    for (number, (_, video)) in tracks.videos_out().enumerate() {
        let is_on = if number == 0 { situation.camera } else { situation.further >> (number - 1) & 1 == 1 };
        let is_screen = situation.screens >> number & 1 == 1;
        if let Some(mut queue) = world.get_mut::<VideoQueue>(video) {
            queue.repair.is_read = situation.peer_reads_repair;
        }
        let Some(mut source) = world.get_mut::<Source>(video) else { continue };
        if source.0.is_some() != (is_on && sends) {
            source.0 = (is_on && sends).then(|| VideoSource::inline(CARD, now).ok()).flatten();
        }
        if let Some(source) = &mut source.0 {
            source.set_content(if is_screen { Content::Text } else { Content::Motion });
        }
    }
    let mut sound = world.resource_mut::<Sound>();
    if sound.speaker.is_some() != situation.loudspeaker {
        let opened = situation.loudspeaker.then(|| Loudspeaker::open(&SpeakerSpec::None, now).ok());
        sound.speaker = opened.flatten().map(SyncCell::new);
    }
}

/// The moments that a call's setup is judged by.
fn note_times(world: &mut World, now: Instant) {
    let Some(connection) = world.resource::<Following>().connection else { return };
    let is_connected = world.get::<MediaPath>(connection).is_some_and(|path| path.connected);
    let tracks = world.get::<Tracks>(connection).copied();
    let sounded = tracks.and_then(|tracks| world.get::<AudioStream>(tracks.audio_in)?.first_played);
    let showed = tracks.and_then(|tracks| world.get::<Frames>(tracks.video_in)).is_some_and(|frames| frames.frame > 0);
    let times = &mut world.resource_mut::<Following>().times;
    times.connected = times.connected.or(is_connected.then_some(now));
    times.first_audio = times.first_audio.or(sounded);
    times.first_video = times.first_video.or(showed.then_some(now));
}

/// Writes the report, while there still is something to tell of.
fn conclude(world: &mut World) {
    let (connection, mut times) = (world.resource::<Following>().connection, world.resource::<Following>().times);
    let Some(connection) = connection else { return };
    times.ended.get_or_insert(world.resource::<Now>().0);
    let report = report::of_connection(world, Some(connection), &times, "replayed", "");
    world.resource_mut::<Following>().report = Some(report);
}

#[cfg(test)]
mod tests;
