//! The report of a call, from what its components counted.

use std::collections::BTreeMap;

use bevy_ecs::entity::Entity;
use bevy_ecs::world::World;

use super::{files, media};
use crate::base::time::{Duration, Instant};
use crate::media::freeze::FreezeMeter;
use crate::media::ledger::STAGES;
use crate::media::report::{
    AudioReport, PathReport, ProcessReport, Report, SetupReport, SkewReport, TickReport, VideoReport,
};
use crate::media::summary::Samples;
use crate::world::call::{CallState, Times};
use crate::world::connection::{Path, Tracks};
use crate::world::outgoing::{VideoSent, Voice};
use crate::world::shared::Sound;
use crate::world::stats::{Stats, StreamStats};
use crate::world::stream::{AudioStream, Frames, Ledger};

/// Everything that was measured in `call`.
pub fn of_call(world: &World, call: Entity, outcome: &str, reason: &str) -> Report {
    let times = world.get::<CallState>(call).map(|state| state.times).unwrap_or_default();
    let missing = world.get::<CallState>(call).map(|state| state.agreed.missing.clone()).unwrap_or_default();
    Report { missing, ..of_connection(world, media::connection_of(world, call), &times, outcome, reason) }
}

/// Everything that was measured over `connection` in a call with these `times`.
pub fn of_connection(world: &World, connection: Option<Entity>, times: &Times, outcome: &str, reason: &str) -> Report {
    let tracks = connection.and_then(|connection| world.get::<Tracks>(connection));
    let seconds = span(times.connected, times.ended).map_or(0.0, |span| span.as_secs_f64());
    let stats = world.resource::<Stats>();
    Report {
        version: 1,
        outcome: outcome.to_owned(),
        reason: reason.to_owned(),
        seconds,
        missing: Vec::new(),
        path: connection.and_then(|connection| world.get::<Path>(connection)).map(path).unwrap_or_default(),
        setup_ms: setup(times),
        audio: tracks.map(|tracks| audio(world, tracks, stats, seconds)).unwrap_or_default(),
        video: tracks
            .map(|tracks| video(world, (tracks.video_out, tracks.video_in), times.ended, seconds))
            .unwrap_or_default(),
        further: tracks.map(|tracks| further(world, tracks, times.ended, seconds)).unwrap_or_default(),
        files: files::of_call(world),
        av_skew_ms: tracks.and_then(|tracks| skew(world, tracks)),
        ticks: TickReport {
            n: stats.ticks,
            overruns: stats.overruns,
            work_p50_us: stats.work_us.quantile(0.5),
            work_p99_us: stats.work_us.quantile(0.99),
            late_p99_us: stats.late_us.quantile(0.99),
        },
        process: process(),
    }
}

fn path(path: &Path) -> PathReport {
    PathReport {
        kind: path.heard.and(path.kind).map(|kind| kind.name().to_owned()),
        local: path.local.map(|address| address.to_string()),
        remote: path.remote.map(|address| address.to_string()),
        changes: path.changes,
        failovers: path.failovers,
    }
}

fn setup(times: &Times) -> SetupReport {
    let since = |at| span(times.accepted, at).map(|span| (span.as_secs_f64() * 1e6).round() / 1e3);
    SetupReport {
        connected: since(times.connected),
        first_audio: since(times.first_audio),
        first_video: since(times.first_video),
    }
}

fn span(from: Option<Instant>, to: Option<Instant>) -> Option<Duration> {
    Some(to?.saturating_duration_since(from?))
}

fn audio(world: &World, tracks: &Tracks, stats: &Stats, seconds: f64) -> AudioReport {
    let voice = world.get::<Voice>(tracks.audio_out);
    let stream = world.get::<AudioStream>(tracks.audio_in);
    let counters = stream.map(|stream| stream.jitter.counters()).unwrap_or_default();
    let (removed, added) = stream.map(|stream| stream.stretcher.changed()).unwrap_or_default();
    let stages = [("network", &stats.audio_network), ("jitter_buffer", &stats.audio_hold), ("ring", &stats.audio_ring)];
    let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
    AudioReport {
        packets_sent: voice.map_or(0, |voice| voice.packets),
        packets_received: counters.received,
        packets_lost: counters.lost,
        concealed_ratio: share(counters.concealed_samples, counters.total_samples),
        accelerated_ratio: share(removed, counters.total_samples),
        decelerated_ratio: share(added, counters.total_samples),
        longest_gap_ms: stream.map(|stream| stream.gaps.longest().as_secs_f64() * 1e3),
        packets_restored: counters.restored,
        underruns: world.resource::<Sound>().underruns,
        frame_ms: voice.map(|voice| voice.framer.length().duration().as_secs_f64() * 1e3),
        bitrate_bps: voice.and_then(|voice| rate(voice.bytes, seconds)),
        delay_ms: stats.audio_delay.summary(),
        mouth_to_ear_ms: stats.mouth_to_ear.summary(),
        stages_ms: stages.iter().filter_map(|(name, s)| Some(((*name).to_owned(), s.spread()?))).collect(),
        processing: voice.map(|voice| voice.figures).filter(|figures| *figures != Default::default()),
    }
}

/// Those of the further sources, ours and theirs, of which there was a picture.
fn further(world: &World, tracks: &Tracks, ended: Option<Instant>, seconds: f64) -> Vec<VideoReport> {
    let pairs = tracks.further_out.into_iter().zip(tracks.further_in);
    let reports = pairs.map(|pair| video(world, pair, ended, seconds));
    let mut reports: Vec<VideoReport> = reports.collect();
    // By their place: one that was not used stands in front of one that was.
    while reports.pop_if(|report| report.frames_captured == 0 && report.frames_decoded == 0).is_some() {}
    reports
}

fn video(world: &World, (out, stream_in): (Entity, Entity), ended: Option<Instant>, seconds: f64) -> VideoReport {
    let sent = world.get::<VideoSent>(out).copied().unwrap_or_default();
    let stream = world.get::<StreamStats>(stream_in);
    let ledger = world.get::<Ledger>(stream_in);
    let freezes = ledger.map(|ledger| ended.map_or_else(|| ledger.freezes.clone(), |at| ledger.freezes.by_the_end(at)));
    let freezes = freezes.filter(|_| ledger.is_some_and(|ledger| ledger.presented > 0));
    let frames = world.get::<Frames>(stream_in);
    let size = frames.and_then(|frames| frames.shown.as_ref()).map(|frame| (frame.picture.width, frame.picture.height));
    let presented = ledger.map_or(0, |ledger| if ledger.markers > 0 { ledger.markers } else { ledger.presented });
    let stages: BTreeMap<_, _> = STAGES
        .iter()
        .enumerate()
        .map(|(at, name)| ((*name).to_owned(), stream.and_then(|stream| stream.stages[at].spread())))
        .collect();
    let summary = |pick: fn(&StreamStats) -> &Samples| stream.and_then(|stream| pick(stream).summary());
    VideoReport {
        frames_captured: sent.captured,
        frames_sent: sent.sent,
        frames_decoded: stream.map_or(0, |stream| stream.decoded),
        frames_presented: presented,
        freezes: freezes.as_ref().map_or(0, FreezeMeter::freezes),
        freeze_ratio: freezes.as_ref().map(FreezeMeter::ratio),
        longest_freeze_ms: freezes.as_ref().map(|freezes| freezes.longest().as_secs_f64() * 1e3),
        width: size.map(|size| size.0),
        height: size.map(|size| size.1),
        bitrate_bps: rate(sent.bytes, seconds),
        captured_to_decoded_ms: summary(|stream| &stream.captured_to_decoded),
        // By the marker where the source paints one, else by the ledger.
        glass_to_glass_ms: summary(|stream| &stream.glass_to_glass).or_else(|| summary(|stream| &stream.ledger_total)),
        keyframe_wait_ms: summary(|stream| &stream.keyframe_wait),
        ledger_error_ms: stream.and_then(|stream| stream.ledger_error.spread()),
        stages_ms: stages,
    }
}

fn rate(bytes: u64, seconds: f64) -> Option<u64> {
    (seconds > 0.0).then(|| (bytes as f64 * 8.0 / seconds) as u64)
}

/// How much later sound is than pictures, picture by picture: its median, and what its amount stays below.
fn skew(world: &World, tracks: &Tracks) -> Option<SkewReport> {
    let skew = &world.get::<StreamStats>(tracks.video_in)?.sound_after_picture;
    let mut amount = Samples::default();
    skew.values().iter().for_each(|skew| amount.push(f64::from(skew.abs())));
    Some(SkewReport { n: skew.len(), p50: skew.quantile(0.5)?, p95: amount.quantile(0.95)? })
}

/// Processor time and peak memory of this process.
fn process() -> ProcessReport {
    #[cfg(unix)]
    {
        use nix::sys::resource::{UsageWho, getrusage};
        use nix::sys::time::TimeValLike;

        let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return ProcessReport::default() };
        let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        // Linux counts kilobytes here.
        let peak = u64::try_from(usage.max_rss()).ok().map(|kilobytes| kilobytes * 1024);
        ProcessReport { cpu_s: Some(micros as f64 / 1e6), rss_peak_bytes: peak }
    }
    #[cfg(not(unix))]
    ProcessReport::default()
}
