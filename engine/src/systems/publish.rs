//! Describes the picture for the renderer.

use bevy_ecs::system::{Local, Query, Res};

use crate::base::pool::ArcPool;
use crate::base::rate::Bitrate;
use crate::base::time::{Duration, Instant};
use crate::layout::snapshot::{Busy, LatencyView, Party, PathView, Quality, TileView, ViewSnapshot};
use crate::media::video::Content;
use crate::world::connection::{LinkEstimate, Path};
use crate::world::outgoing::{LocalView, Source, VideoQueue, Voice};
use crate::world::shared::{AppEnd, FIRST_TILE, LOCAL_TILE, Now, Showing};
use crate::world::stats::{Recent, Stats};
use crate::world::stream::{AudioStream, Frames, PeerMute, StreamOf, VideoJitterBuffer};

/// Without a new frame: what is shown of time and of the path.
const IDLE: Duration = Duration::from_millis(50);
/// Levels of sound that move are shown so often, and this much is a movement.
const LEVELS: Duration = Duration::from_millis(20);
const MOVED: f32 = 0.02;

/// After this time a picture that is held up is called old.
const STANDS_STILL: Duration = Duration::from_secs(1);

/// Descriptions on their way: one in the slot, one taken from it, one shown, one being written.
const SNAPSHOTS: usize = 4;

/// What was published last.
#[derive(Debug)]
pub struct Published {
    pool: ArcPool<ViewSnapshot>,
    number: u64,
    at: Option<Instant>,
    frames: u64,
    showing: u64,
    levels: f32,
}

impl Default for Published {
    fn default() -> Self {
        Self { pool: ArcPool::new(SNAPSHOTS), number: 0, at: None, frames: 0, showing: 0, levels: 0.0 }
    }
}

/// Puts a new description into the slot when a frame changed, something a person sees changed, levels moved (50 times a
/// second at most), or 50 ms passed.
pub fn publish_view(
    now: Res<Now>,
    app: Res<AppEnd>,
    showing: Res<Showing>,
    stats: Res<Stats>,
    mut last: Local<Published>,
    connections: Query<(&LinkEstimate, &Path)>,
    videos: Query<(&Frames, &PeerMute, &StreamOf, &VideoJitterBuffer)>,
    audios: Query<(&AudioStream, &StreamOf)>,
    locals: Query<(&LocalView, &Source, &VideoQueue)>,
    voices: Query<&Voice>,
) {
    let remote: u64 = videos.iter().map(|(frames, ..)| frames.frame).sum();
    let local: u64 = locals.iter().filter(|(view, ..)| !view.hidden).map(|(view, ..)| view.frame).sum();
    let since = last.at.map_or(Duration::MAX, |at| now.0.saturating_duration_since(at));
    let heard = audios.iter().map(|(stream, _)| loudness(stream.loudness.level())).sum::<f32>();
    let levels = heard + voices.iter().map(|voice| loudness(voice.loudness.level())).sum::<f32>();
    let has_moved = since >= LEVELS && (levels - last.levels).abs() > MOVED;
    let idle = since >= IDLE || has_moved;
    // Our own picture alone waits for the next remote one or the idle beat: one draw less per pair.
    let changed = remote != last.frames || showing.changes != last.showing;
    if !changed && !(idle && (local > 0 || last.number == 0 || has_moved)) {
        return;
    }
    last.number += 1;
    (last.at, last.frames, last.showing, last.levels) = (Some(now.0), remote, showing.changes, levels);
    let last = &mut *last;
    // What nobody looks at any more lets go of its pictures: the next ones are drawn into them.
    last.pool.visit_free(|snapshot| snapshot.tiles.iter_mut().for_each(|tile| tile.picture = None));
    let snapshot = last.pool.take(ViewSnapshot::default, |snapshot| {
        let ViewSnapshot { number, tiles, phase, controls, latency, in_call_since } = snapshot;
        (*number, *in_call_since) = (last.number, showing.in_call_since);
        let remotes = || videos.iter().filter(|(frames, mute, ..)| frames.tile == FIRST_TILE || !mute.video);
        let shown = || locals.iter().filter(|(view, ..)| !view.hidden);
        tiles.resize_with(remotes().count() + shown().count(), TileView::default);
        let mut places = tiles.iter_mut();
        for ((frames, mute, of, jitter), tile) in remotes().zip(&mut places) {
            let audio = audios.iter().find(|(_, other)| other.0 == of.0);
            let (quality, muted) = connections
                .get(of.0)
                .map_or((Quality::Unknown, mute.audio), |(link, path)| (quality(link, path, now.0), mute.audio));
            let is_silent = connections.get(of.0).is_ok_and(|(_, path)| is_silent(path, now.0));
            let is_held_up = mute.narrow || is_silent || jitter.0.is_blocked();
            *tile = TileView {
                id: frames.tile,
                name: rewritten(&mut tile.name, &showing.peer),
                party: Party::Remote,
                picture: if mute.video { None } else { frames.shown.as_ref().map(|frame| frame.picture.clone()) },
                frame: frames.frame,
                unit: frames.shown.as_ref().map(|frame| frame.number),
                quality,
                muted,
                camera_off: mute.video,
                stands_still: is_held_up && is_old(frames, now.0),
                too_narrow: mute.narrow,
                level: audio.map_or(0.0, |(stream, _)| loudness(stream.loudness.level())),
                volume: audio.map_or(100, |(stream, _)| stream.seat.volume_percent()),
                hushed: audio.is_some_and(|(stream, _)| stream.seat.is_hushed()),
            };
        }
        for ((view, source, _), tile) in shown().zip(places) {
            *tile = TileView {
                id: LOCAL_TILE,
                name: rewritten(&mut tile.name, &showing.own_name),
                party: Party::Local,
                picture: view.picture.clone().filter(|_| source.0.is_some()),
                frame: view.frame,
                unit: None,
                quality: Quality::Unknown,
                muted: showing.controls.muted,
                camera_off: source.0.is_none(),
                stands_still: false,
                too_narrow: false,
                level: voices.iter().next().map_or(0.0, |voice| loudness(voice.loudness.level())),
                volume: 100,
                hushed: false,
            };
        }
        follow(phase, &showing.phase);
        follow(controls, &showing.controls);
        write_latency(latency, &stats, &connections, &videos);
        latency.busy = locals.iter().find_map(|(_, source, queue)| busy(source, queue));
    });
    app.view.put(snapshot);
    (app.redraw)();
}

/// `text` in the storage of a name that was there before.
fn rewritten(name: &mut String, text: &str) -> String {
    let mut name = std::mem::take(name);
    name.clear();
    name.push_str(text);
    name
}

/// Copies only what is another: beside the pictures hardly anything changes from one description to the next.
fn follow<T: Clone + PartialEq>(shown: &mut T, showing: &T) {
    if shown != showing {
        shown.clone_from(showing);
    }
}

/// −60 dBov and below is silence on the meter, 0 is full.
fn loudness(minus_dbov: u8) -> f32 {
    (1.0 - f32::from(minus_dbov) / 60.0).clamp(0.0, 1.0)
}

fn is_silent(path: &Path, now: Instant) -> bool {
    path.heard.is_none_or(|at| now.saturating_duration_since(at) > STANDS_STILL)
}

/// What is shown was published a while ago.
fn is_old(frames: &Frames, now: Instant) -> bool {
    let published = frames.shown.as_ref().and_then(|frame| frame.stamps.published);
    published.is_some_and(|at| now.saturating_duration_since(at) > STANDS_STILL)
}

fn quality(link: &LinkEstimate, path: &Path, now: Instant) -> Quality {
    let silent = is_silent(path, now);
    let loss = link.loss_out.unwrap_or(0.0);
    let round_trip = link.round_trip.unwrap_or_default();
    match () {
        () if !path.connected => Quality::Unknown,
        () if silent || loss > 0.08 || round_trip > Duration::from_millis(400) => Quality::Bad,
        () if loss > 0.02 || round_trip > Duration::from_millis(150) => Quality::Fair,
        () => Quality::Good,
    }
}

/// What is sent less of a source than could be, because this machine is too slow.
fn busy(source: &Source, queue: &VideoQueue) -> Option<Busy> {
    let content = source.0.as_ref()?.content();
    let plan = queue.plan.filter(|_| content == Content::Motion && queue.load.level() > 0)?;
    Some(Busy { width: plan.width, height: plan.height, every: plan.every })
}

fn write_latency(
    view: &mut LatencyView,
    stats: &Stats,
    connections: &Query<(&LinkEstimate, &Path)>,
    videos: &Query<(&Frames, &PeerMute, &StreamOf, &VideoJitterBuffer)>,
) {
    let recent = &stats.recent;
    let link = connections.iter().next().map(|(link, _)| link);
    let size =
        videos.iter().find_map(|(frames, ..)| frames.shown.as_ref().map(|f| (f.picture.width, f.picture.height)));
    let audio = [
        ("sound path", recent.audio_network.median()),
        ("jitter buffer", recent.audio_hold.median()),
        ("sound ring", recent.audio_ring.median()),
    ];
    let mut audio_stages_ms = std::mem::take(&mut view.audio_stages_ms);
    audio_stages_ms.clear();
    audio_stages_ms.extend(audio.into_iter().filter_map(|(name, value)| Some((name, value?))));
    *view = LatencyView {
        video_stages_ms: std::array::from_fn(|stage| recent.stages[stage].median()),
        glass_to_glass_ms: recent.glass_to_glass.median(),
        mouth_to_ear_ms: recent.mouth_to_ear.median(),
        audio_stages_ms,
        path: link.and_then(|link| path(link, recent)),
        loss: link.and_then(|link| link.loss_out).map(f64::from),
        sending: Bitrate::from_bps(recent.sending_bps),
        receiving: Bitrate::from_bps(recent.receiving_bps),
        width: size.map_or(0, |size| size.0),
        height: size.map_or(0, |size| size.1),
        frames_per_second: recent.frames_per_second,
        busy: None,
    };
}

/// How long the way to us takes is measured; the way to them is the rest of the round trip, by the quickest question
/// about the clocks or the transport's own figure, whichever is less.
fn path(link: &LinkEstimate, recent: &Recent) -> Option<PathView> {
    // In the order of the ledger's stages.
    const NETWORK: usize = 2;
    let to_us_ms = recent.stages[NETWORK].median()?;
    let (_, uncertainty) = link.clock_offset?;
    let uncertainty_ms = uncertainty as f64 / 1e3;
    let trip = link.round_trip.map_or(f64::INFINITY, |trip| trip.as_secs_f64() * 1e3).min(uncertainty_ms * 2.0);
    Some(PathView { to_us_ms, to_them_ms: (trip - to_us_ms).max(0.0), uncertainty_ms })
}
