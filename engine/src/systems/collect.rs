//! Takes what workers and the window have ready.

use bevy_ecs::entity::Entity;
use bevy_ecs::system::{Query, Res, ResMut};

use crate::base::time::WallTime;
use crate::media::ledger::{Stamps, millis_between};
use crate::world::connection::LinkEstimate;
use crate::world::outgoing::{Encoder, VideoQueue};
use crate::world::shared::{AppEnd, Now};
use crate::world::stats::{Stats, StreamStats};
use crate::world::stream::{Decoder, Frames, Ledger, PeerMute, StreamOf};
use crate::world::tape::{NOBODY, Tape};

/// Encoded units from the encoder workers.
pub fn take_units(now: Res<Now>, tape: Res<Tape>, mut outgoings: Query<(Entity, &mut Encoder, &mut VideoQueue)>) {
    for (entity, mut encoder, mut queue) in &mut outgoings {
        while let Some(unit) = tape.take(entity, || encoder.0.poll(now.0)) {
            queue.still.on_unit(unit.data.len());
            if unit.keyframe {
                queue.keyframes.on_keyframe(now.0);
            }
            queue.load.on_unit(unit.captured, unit.encoded, now.0);
            if queue.units.push(unit) {
                encoder.0.request_keyframe();
                queue.still.ask();
            }
        }
    }
}

/// Decoded frames from the decoder workers.
pub fn take_frames(
    now: Res<Now>,
    tape: Res<Tape>,
    mut streams: Query<(Entity, &mut Decoder, &mut Frames, &mut StreamStats)>,
) {
    for (entity, mut decoder, mut frames, mut stats) in &mut streams {
        while let Some(frame) = tape.take(entity, || decoder.0.poll(now.0)) {
            stats.decoded += 1;
            if let (Some(captured), Some(decoded)) = (frame.stamps.captured, frame.stamps.decoded) {
                stats.captured_to_decoded.push(millis_between(captured, decoded));
            }
            // What the path varies is smoothed; what the codecs vary under load is not made longer.
            let Stamps { captured, encoded, complete, decoded, .. } = frame.stamps;
            let encode = captured.zip(encoded).map(|(from, to)| to.saturating_duration_since(from));
            let arrived = complete.or(decoded).unwrap_or(now.0);
            frames.clock.on_frame(frame.timestamp, arrived, encode.unwrap_or_default(), captured);
            if frames.waiting.len() >= Frames::BOUND {
                frames.waiting.pop_front();
                frames.skipped += 1;
            }
            frames.waiting.push_back(frame);
        }
    }
}

/// What the renderer says it has shown: the ninth stamp, and the marker it read.
pub fn take_presented(
    now: Res<Now>,
    app: Res<AppEnd>,
    tape: Res<Tape>,
    mut stats: ResMut<Stats>,
    links: Query<&LinkEstimate>,
    mut streams: Query<(&Frames, &PeerMute, &StreamOf, &mut Ledger, &mut StreamStats)>,
) {
    while let Some(shown) = tape.take(NOBODY, || app.presented.try_recv()) {
        let Some((_, mute, of, mut ledger, mut stream)) =
            streams.iter_mut().find(|(frames, ..)| frames.tile == shown.tile)
        else {
            continue;
        };
        while ledger.pending.front().is_some_and(|(frame, _)| *frame < shown.frame) {
            ledger.pending.pop_front();
        }
        let Some((_, mut stamps)) = ledger.pending.pop_front_if(|(frame, _)| *frame == shown.frame) else { continue };
        stamps.presented = Some(shown.at);
        ledger.presented += 1;
        if mute.screen {
            ledger.freezes.pause();
        }
        ledger.freezes.presented(shown.at);
        let total = stamps.total_ms();
        if let (Some(refresh), Some(captured)) = (shown.refresh, stamps.captured) {
            let round_trip = links.get(of.0).ok().and_then(|link| link.round_trip).unwrap_or_default();
            ledger.phase.on_presented(refresh, captured, round_trip, now.0);
        }
        for (samples, stage) in stream.stages.iter_mut().zip(stamps.stages_ms()) {
            samples.push(stage.unwrap_or(f64::NAN));
        }
        for (recent, stage) in stats.recent.stages.iter_mut().zip(stamps.stages_ms()) {
            recent.push(stage.unwrap_or(f64::NAN));
        }
        if let Some(total) = total {
            stats.recent.glass_to_glass.push(total);
            stream.ledger_total.push(total);
            if let Some(sound) = ledger.sound_ms {
                stream.sound_after_picture.push(sound - total);
            }
        }
        // A picture of a source that stands still is sent again to become sharper: what it shows is as old as it is.
        let new = shown.marker.filter(|marker| ledger.last_marker != Some(marker.counter));
        if let Some(marker) = new {
            ledger.last_marker = Some(marker.counter);
            ledger.markers += 1;
            let glass = WallTime::of(shown.at).micros_since(marker.drawn) as f64 / 1e3 + stream.clock_offset_ms;
            stream.glass_to_glass.push(glass);
            if let Some(total) = total {
                stream.ledger_error.push((total - glass).abs());
            }
        }
    }
}
