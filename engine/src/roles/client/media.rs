//! Makes and unmakes the media side of a call: the connection, its streams and what goes out.

use std::collections::VecDeque;
use std::net::IpAddr;

use bevy_ecs::entity::Entity;
use bevy_ecs::resource::Resource;
use bevy_ecs::world::World;
use bevy_platform::cell::SyncCell;

use super::offer::together;
use super::{calls, candidates, devices, files};
use crate::base::error::Result;
use crate::base::id::TileId;
use crate::base::thread;
use crate::base::time::{Duration, Instant};
use crate::codec::VideoCodec;
use crate::codec::opus::OpusEncoders;
use crate::codec::video_decoder::VideoDecoder;
use crate::codec::video_encoder::{EncoderConfig, VideoEncoder};
use crate::codec::worker::Work;
use crate::media::frame_length::FrameLengths;
use crate::media::jitter_video::VideoJitter;
use crate::media::playout_clock::PlayoutClock;
use crate::media::rate::{RateControl, UnitQueue};
use crate::media::sound::control::SoundControl;
use crate::media::sound::framer::Framer;
use crate::media::sound::plan::Bounds;
use crate::net::paths::Found;
use crate::net::transport::{FURTHER, LOWER, Parameters, Sources, Transport};
use crate::proto::rtp_h264::Packets;
use crate::proto::signal::action::MediaStart;
use crate::proto::signal::body::Mute;
use crate::proto::signal::media::{Candidate, CandidateKind};
use crate::voice::VoiceProcessor;
use crate::world::call::{CallState, Signalling};
use crate::world::connection::{Connection, Exchange, Inbound, LinkEstimate, Path, Tracks};
use crate::world::message::Notice;
use crate::world::outgoing::{Encoder, LocalView, Source, TargetRate, VideoQueue, VideoSent, Voice};
use crate::world::shared::{Decoding, Demux, EngineWake, FIRST_TILE, MediaPort, Now, Settings};
use crate::world::stats::{Stats, StreamStats};
use crate::world::stream::{AudioStream, Decoder, Frames, Ledger, PeerMute, StreamOf, VideoJitterBuffer};
use crate::world::tape::Tape;

/// Calls that are over and still have a goodbye to send, and until when they may.
#[derive(Resource, Default)]
pub struct Leaving(Vec<(Entity, Instant)>);

/// Pictures of a path nobody knows begin at this size.
const FIRST_SIZE: (u32, u32) = (640, 360);

/// The local accept has come, and the other side's parameters: the connection, its streams and what goes out begin.
pub fn start(world: &mut World, call: Entity, start: &MediaStart, now: Instant) {
    let Some(mut transport) = world.get_mut::<CallState>(call).and_then(|mut state| state.transport.take()) else {
        return;
    };
    let remote = &start.remote;
    let parameters = Parameters {
        ufrag: remote.ice.ufrag().to_owned(),
        password: remote.ice.pwd().to_owned(),
        fingerprint: remote.dtls.0,
        sources: Sources {
            audio: remote.ssrcs.audio,
            video: remote.ssrcs.video,
            video_rtx: remote.ssrcs.video_rtx,
            further: together(remote.ssrcs.further, remote.ssrcs.layers),
            repair: remote.ssrcs.repair,
        },
    };
    if let Err(error) = transport.start(&parameters, start.controlling, now) {
        return calls::tell(world, Notice::Error(error.text.to_string()));
    }
    // A report tells of one call, not of those before it.
    let mut stats = world.resource_mut::<Stats>();
    *stats = Stats { priority: stats.priority, ..Default::default() };
    let settings = world.resource::<Settings>().0.clone();
    transport.set_desired(settings.most);
    match spawn(world, call, *transport, &settings, now) {
        Ok(connection) => {
            if let Some(mut state) = world.get_mut::<CallState>(call) {
                state.connection = Some(connection);
                state.agreed = start.agreed.clone();
            }
            say_agreed(world, call);
            files::started(world, connection, remote.files);
            if let Some(tracks) = tracks_of(world, call)
                && let Some(mut voice) = world.get_mut::<Voice>(tracks.audio_out)
            {
                let lengths = FrameLengths::of_micros(&start.agreed.opus_frame_us);
                voice.set_reader(remote.audio.as_ref().is_some_and(|audio| audio.red), lengths);
            }
            read_repair(world, call, remote.ssrcs.repair.is_some());
        }
        Err(error) => calls::tell(world, Notice::Error(error.text.to_string())),
    }
}

/// What the call is without, and that one of the programs is old: the person is told.
fn say_agreed(world: &mut World, call: Entity) {
    let Some(agreed) = world.get::<CallState>(call).map(|state| state.agreed.clone()) else { return };
    for text in agreed.missing.into_iter().chain(agreed.update) {
        calls::tell(world, Notice::Error(text));
    }
    devices::show_notes(world);
}

/// The other side reads parity of pictures' packets, or does not.
fn read_repair(world: &mut World, call: Entity, reads: bool) {
    let Some(tracks) = tracks_of(world, call) else { return };
    for (_, video) in tracks.videos_out() {
        if let Some(mut queue) = world.get_mut::<VideoQueue>(video) {
            queue.repair.is_read = reads;
        }
    }
}

/// A connection over `transport` with its streams and what goes out, belonging to `call`.
///
/// # Errors
/// A codec cannot be opened.
pub fn spawn(
    world: &mut World,
    call: Entity,
    transport: Transport,
    settings: &crate::world::config::Config,
    now: Instant,
) -> Result<Entity> {
    let wake = world.resource::<EngineWake>().0.clone();
    let config = EncoderConfig {
        codec: settings.codec,
        width: FIRST_SIZE.0,
        height: FIRST_SIZE.1,
        frame_rate: 30.0,
        bitrate: RateControl::START.min(settings.most),
    };
    // Their threads start with the first picture.
    let new_encoder = || match settings.work {
        Work::Threads => VideoEncoder::asleep(config, wake.clone()),
        Work::Inline { encode, .. } => VideoEncoder::inline_slow(config, encode, settings.plant.encode),
    };
    let pool = &world.resource::<Decoding>().0;
    let new_decoder = || match settings.work {
        Work::Threads => VideoDecoder::pooled(settings.codec, pool, wake.clone()),
        Work::Inline { decode, .. } => VideoDecoder::inline(settings.codec, decode),
    };
    let (encoder, decoder) = (new_encoder(), new_decoder());
    let further_encoders: [_; FURTHER] = std::array::from_fn(|_| new_encoder());
    let lower_encoders: [_; LOWER] = std::array::from_fn(|_| new_encoder());
    let further_decoders: [_; FURTHER] = std::array::from_fn(|_| new_decoder());
    let mut encoders = OpusEncoders::new(settings.audio_rate)?;
    if settings.codec == VideoCodec::Plain {
        // A model is about sizes and times: how it sounds matters to nobody.
        encoders.set_complexity(0)?;
    }
    let around = transport.around_sound();
    let bounds = Bounds {
        forced: settings.audio_frame,
        most: settings.audio_rate,
        lengths: FrameLengths::ALL,
        copies: false,
        music: false,
        around,
    };
    let control = SoundControl::new(settings.audio_most, bounds);
    let mut voice = Voice {
        microphone: None,
        processor: SyncCell::new(VoiceProcessor::new(settings.switches())),
        figures: Default::default(),
        encoders: SyncCell::new(encoders),
        framer: Framer::new(control.plan().length),
        control,
        applied: None,
        muted: world.resource::<crate::world::shared::Showing>().controls.muted,
        music: false,
        loudness: Default::default(),
        raw: Vec::new(),
        samples: Vec::new(),
        first: None,
        frames: Vec::new(),
        sent: VecDeque::with_capacity(Voice::COPIED),
        packet: Vec::new(),
        spare: Vec::new(),
        packets: 0,
        bytes: 0,
    };
    voice.set_music(settings.music, settings.sound_most());
    voice.framer = Framer::new(voice.control.plan().length);
    let sound = AudioStream::new(&settings.policy)?;
    let video_out = spawn_outgoing(world, encoder, settings, now);
    let mut hidden = |encoder| {
        let entity = spawn_outgoing(world, encoder, settings, now);
        if let Some(mut view) = world.get_mut::<LocalView>(entity) {
            view.hidden = true;
        }
        entity
    };
    let further_out = further_encoders.map(&mut hidden);
    let lower_out = lower_encoders.map(hidden);
    let audio_out = world.spawn(voice).id();
    let connection = world.spawn_empty().id();
    let audio_in = world.spawn((StreamOf(connection), sound)).id();
    let video_in = spawn_stream(world, connection, decoder, FIRST_TILE, settings, now);
    let mut tile = FIRST_TILE;
    let further_in = further_decoders.map(|decoder| {
        tile = TileId(tile.0 + 1);
        let entity = spawn_stream(world, connection, decoder, tile, settings, now);
        if let Some(mut mute) = world.get_mut::<PeerMute>(entity) {
            mute.video = true;
        }
        entity
    });
    world.entity_mut(connection).insert((
        Connection { transport, call },
        Inbound::default(),
        Exchange::default(),
        Tracks { audio_in, video_in, audio_out, video_out, further_in, further_out, lower_out },
        Path::default(),
        LinkEstimate::default(),
    ));
    let tape = world.resource::<Tape>();
    tape.enrol(&[connection, audio_in, video_in, audio_out, video_out]);
    tape.enrol(&further_in);
    tape.enrol(&further_out);
    tape.enrol(&lower_out);
    Ok(connection)
}

/// A local source of pictures, which is off yet.
fn spawn_outgoing(
    world: &mut World,
    encoder: VideoEncoder,
    settings: &crate::world::config::Config,
    now: Instant,
) -> Entity {
    let queue = VideoQueue {
        units: UnitQueue::with_least(settings.plant.queue),
        packets: Packets::default(),
        epoch: now,
        sending: None,
        next: 0,
        repair: Default::default(),
        reference: None,
        refers: 1,
        keyframes: Default::default(),
        lossy: Default::default(),
        plan: None,
        shrunk: None,
        open: false,
        first: None,
        still: Default::default(),
        share: 100,
        allowed: None,
        layer: 0,
        handed: None,
        part: 100,
        audience: Default::default(),
        asked: None,
        wanted: 0,
        load: Default::default(),
    };
    let rate = TargetRate(RateControl::new(settings.most, settings.audio_most));
    world.spawn((Source(None), Encoder(encoder), rate, queue, LocalView::default(), VideoSent::default())).id()
}

/// A stream of pictures of `connection`.
fn spawn_stream(
    world: &mut World,
    connection: Entity,
    decoder: VideoDecoder,
    tile: TileId,
    settings: &crate::world::config::Config,
    now: Instant,
) -> Entity {
    let mut frames = Frames::new(tile, PlayoutClock::with_policy(now, settings.policy));
    frames.clock.set_extra(settings.plant.publish);
    let jitter = VideoJitterBuffer(VideoJitter::with_hold(settings.plant.hold));
    let figures = (Ledger::default(), StreamStats::default(), PeerMute::default());
    world.spawn((StreamOf(connection), jitter, Decoder(decoder), frames, figures)).id()
}

/// A way to reach us, before it is told to the other side. Its priority, or `None` where it is nothing new.
pub fn add_local(world: &mut World, call: Entity, found: &Found) -> Option<u32> {
    let connection = connection_of(world, call)?;
    world.get_mut::<Connection>(connection)?.transport.add_local(found)
}

/// These are our addresses now.
pub fn drop_gone(world: &mut World, call: Entity, own: &[IpAddr]) {
    let Some(connection) = connection_of(world, call) else { return };
    if let Some(mut connection) = world.get_mut::<Connection>(connection) {
        connection.transport.drop_gone(own);
    }
}

/// Ways to reach the other side.
pub fn add_candidates(world: &mut World, call: Entity, candidates: &[Candidate]) {
    let now = world.resource::<Now>().0;
    let relay_only = world.get::<CallState>(call).is_some_and(|state| state.machine.is_relay_only());
    let Some(connection) = connection_of(world, call) else { return };
    // An address that is none of a relay's is not sent to: whoever is there would see ours.
    for candidate in candidates.iter().filter(|candidate| !relay_only || candidate.typ == CandidateKind::Relayed) {
        if let Some(paths) = &mut world.resource_mut::<MediaPort>().paths {
            paths.permit(candidate.address.ip(), now);
        }
        if let Some(mut connection) = world.get_mut::<Connection>(connection) {
            connection.transport.add_remote(candidate);
        }
    }
}

/// The path to the other side carries no pictures beside sound.
pub fn is_too_narrow(world: &World, call: Entity) -> bool {
    let rate = tracks_of(world, call).and_then(|tracks| world.get::<TargetRate>(tracks.video_out));
    rate.is_some_and(|rate| rate.0.is_too_narrow())
}

pub fn peer_muted(world: &mut World, call: Entity, mute: Mute) {
    let Some(tracks) = tracks_of(world, call) else { return };
    mute_streams(world, &tracks, mute);
    calls::show(world, |_| {});
}

/// What the other side says about its microphone and camera, for its streams.
pub fn mute_streams(world: &mut World, tracks: &Tracks, mute: Mute) {
    for (number, (_, video)) in tracks.videos_in().enumerate() {
        let is_off = if number == 0 { mute.video } else { mute.further >> (number - 1) & 1 == 0 };
        let screen = mute.screens >> number & 1 == 1;
        if let Some(mut peer) = world.get_mut::<PeerMute>(video) {
            *peer = PeerMute { audio: mute.audio, video: is_off, narrow: mute.narrow, screen };
        }
        if let Some(mut frames) = world.get_mut::<Frames>(video) {
            frames.clock.set_at_once(screen);
        }
        if let Some(mut ledger) = world.get_mut::<Ledger>(video)
            && (is_off || mute.narrow)
        {
            ledger.freezes.pause();
        }
        if !is_off {
            continue;
        }
        // Its last picture is not the first one of what may come later.
        if let Some(mut frames) = world.get_mut::<Frames>(video).filter(|_| number > 0) {
            frames.waiting.clear();
            frames.shown = None;
        }
    }
    // Silence on purpose is no loss.
    if let Some(mut stream) = world.get_mut::<AudioStream>(tracks.audio_in) {
        stream.jitter.set_expecting(!mute.audio);
    }
}

/// What PONG says about the other side's clock.
pub fn note_clock(world: &mut World, call: Entity, t1: u64, t2: u64, t3: u64, t4: u64) {
    let Some(mut state) = world.get_mut::<CallState>(call) else { return };
    state.clock.handle_pong(t1, t2, t3, t4);
    let best = state.clock.best(t4);
    let (Some(best), Some(connection)) = (best, state.connection) else { return };
    set_clock(world, connection, significant(best.micros, best.uncertainty));
}

/// The other side's clock minus ours and how wrong that may be, microseconds.
pub fn set_clock(world: &mut World, connection: Entity, (micros, uncertainty): (i64, u64)) {
    let video_in = world.get::<Tracks>(connection).map(|tracks| tracks.video_in);
    if let Some(mut link) = world.get_mut::<LinkEstimate>(connection) {
        link.clock_offset = Some((micros, uncertainty));
    }
    if let Some(mut stats) = video_in.and_then(|entity| world.get_mut::<StreamStats>(entity)) {
        stats.clock_offset_ms = micros as f64 / 1e3;
    }
}

/// Less than a millisecond, and less than its own uncertainty, is no evidence of a difference: between two programs on one
/// machine the clocks are the same, and a guess of 100 µs would only blur the ledger.
fn significant(micros: i64, uncertainty: u64) -> (i64, u64) {
    if micros.unsigned_abs() <= uncertainty.min(1000) { (0, uncertainty) } else { (micros, uncertainty) }
}

/// Microphone, camera and loudspeaker close at once; the transport says goodbye in this tick's Flush.
pub fn stop(world: &mut World, call: Entity, _: Instant) {
    devices::stop_capture(world, call);
    let Some(connection) = connection_of(world, call) else { return };
    if let Some(mut connection) = world.get_mut::<Connection>(connection) {
        connection.transport.close();
    }
}

/// The call is over: its entities go once the goodbye is out.
pub fn leave(world: &mut World, call: Entity, now: Instant) {
    // One tick flushes the goodbye; a lost one is found by the other side's silence.
    world.resource_mut::<Leaving>().0.push((call, now + Duration::from_millis(20)));
}

/// Despawns what has left.
pub fn bury(world: &mut World) {
    let now = world.resource::<Now>().0;
    let mut gone = Vec::new();
    world.resource_mut::<Leaving>().0.retain(|(call, at)| {
        let over = *at <= now;
        if over {
            gone.push(*call);
        }
        !over
    });
    let was_last = !gone.is_empty() && world.resource::<Signalling>().current.is_none();
    for call in gone {
        candidates::end(world, call, now);
        if let Some(connection) = connection_of(world, call) {
            world.resource_mut::<Demux>().known.retain(|_, owner| *owner != connection);
            despawn(world, connection);
        }
        world.despawn(call);
    }
    if was_last {
        thread::trim_heap();
    }
}

/// A connection goes, and all that belongs to it.
pub fn despawn(world: &mut World, connection: Entity) {
    if let Some(tracks) = world.get::<Tracks>(connection).copied() {
        world.despawn(tracks.audio_out);
        for (_, video) in tracks.sending() {
            world.despawn(video);
        }
    }
    // Its streams go with it.
    world.despawn(connection);
}

pub fn connection_of(world: &World, call: Entity) -> Option<Entity> {
    world.get::<CallState>(call)?.connection
}

pub fn tracks_of(world: &World, call: Entity) -> Option<Tracks> {
    world.get::<Tracks>(connection_of(world, call)?).copied()
}
