//! Decides what is due: units to the decoder as soon as they are decodable, decoded frames to the picture when their
//! time has come, samples to the loudspeaker as many as its ring is short of.

use bevy_ecs::entity::Entity;
use bevy_ecs::system::{Query, Res, ResMut};
use bevy_platform::cell::SyncCell;

use crate::base::stereo::{Stereo, to_mono};
use crate::base::time::{Duration, Instant, WallTime};
use crate::codec::opus::OpusDecoder;
use crate::device::RATE;
use crate::media::audible::{self, hand_over};
use crate::media::chirp;
use crate::media::jitter_audio::Next;
use crate::media::ledger::millis_between;
use crate::media::stretch::Stretch;
use crate::world::connection::{Connection, LinkEstimate, Tracks};
use crate::world::outgoing::Voice;
use crate::world::shared::{FIRST_TILE, Now, Recording, Sound};
use crate::world::stats::{Stats, StreamStats};
use crate::world::stream::{AudioStream, Decoder, Frames, Heard, Ledger, PeerMute, VideoJitterBuffer};
use crate::world::tape::note::{Deficit, KeyframeWanted, Made, Plays};
use crate::world::tape::{NOBODY, Tape};

/// Submits every decodable unit; asks for a keyframe where nothing is decodable.
pub fn feed_decoders(
    now: Res<Now>,
    tape: Res<Tape>,
    mut connections: Query<(&mut Connection, &LinkEstimate, &Tracks)>,
    mut streams: Query<(&mut VideoJitterBuffer, &mut Decoder, &Frames, &mut StreamStats)>,
) {
    for (mut connection, link, tracks) in &mut connections {
        for (track, video) in tracks.videos_in() {
            let Ok((mut jitter, mut decoder, frames, mut stats)) = streams.get_mut(video) else { continue };
            jitter.0.set_round_trip(link.round_trip, frames.clock.target());
            while let Some(unit) = jitter.0.poll_unit(now.0) {
                // A refused unit is counted by the decoder, which then wants a keyframe.
                tape.give(|| {
                    let _ = decoder.0.submit(unit, now.0);
                });
            }
            if let Some(wait) = jitter.0.take_answered() {
                stats.keyframe_wait.push(wait.as_secs_f64() * 1e3);
            }
            if tape.take(video, || decoder.0.wants_keyframe().then_some(KeyframeWanted)).is_some() {
                jitter.0.require_keyframe(now.0);
            }
            if jitter.0.keyframe_due(now.0, link.round_trip) {
                connection.transport.request_keyframe(track);
            }
        }
    }
}

/// Pictures wait for the sound that belongs to them.
pub fn keep_lips_together(
    connections: Query<&Tracks>,
    sounds: Query<&AudioStream>,
    mut streams: Query<(&PeerMute, &mut Frames, &mut Ledger)>,
) {
    for tracks in &connections {
        let Ok(sound) = sounds.get(tracks.audio_in) else { continue };
        for (_, video) in tracks.videos_in() {
            let Ok((mute, mut frames, mut ledger)) = streams.get_mut(video) else { continue };
            frames.clock.set_sound(sound.delay.usual().filter(|_| !mute.audio));
            ledger.sound_ms = sound.delay.newest_ms().filter(|_| !mute.audio);
        }
    }
}

/// Makes the newest due frame the shown one.
pub fn choose_frames(now: Res<Now>, recording: Res<Recording>, mut streams: Query<(&mut Frames, &mut Ledger)>) {
    for (mut frames, mut ledger) in &mut streams {
        let frames = &mut *frames;
        let Some(due) = frames.clock.choose(frames.waiting.iter().map(|frame| frame.timestamp), now.0) else {
            continue;
        };
        frames.skipped += due as u64;
        frames.waiting.drain(..due);
        let Some(mut frame) = frames.waiting.pop_front() else { continue };
        frame.stamps.published = Some(now.0);
        frames.frame += 1;
        if ledger.pending.len() >= Ledger::BOUND {
            ledger.pending.pop_front();
        }
        ledger.pending.push_back((frames.frame, frame.stamps));
        if let Some(recorder) = recording.0.as_ref().filter(|_| frames.tile == FIRST_TILE) {
            recorder.push(&frame.picture);
        }
        frames.shown = Some(frame);
    }
}

/// As many samples as the loudspeaker's ring is short of, mixed from all streams: never a count of missed ticks.
pub fn fill_speaker(
    now: Res<Now>,
    tape: Res<Tape>,
    mut sound: ResMut<Sound>,
    mut stats: ResMut<Stats>,
    connections: Query<&LinkEstimate>,
    mut streams: Query<(Entity, &mut AudioStream)>,
    mut voices: Query<&mut Voice>,
) {
    let Sound { speaker, mix, voice, middle, limiter, chirps, check, .. } = &mut *sound;
    let Some(speaker) = speaker.as_mut().map(SyncCell::get) else { return };
    let deficit = tape.take(NOBODY, || Some(Deficit(speaker.deficit(now.0))).filter(|deficit| deficit.0 > 0));
    let Some(Deficit(wanted)) = deficit else { return };
    mix.clear();
    mix.resize(wanted, [0.0; 2]);
    voice.resize(wanted, [0.0; 2]);
    let change = hand_over(streams.iter().map(|(entity, stream)| (entity, &stream.seat)), audible::MOST);
    for (entity, mut stream) in &mut streams {
        let stream = &mut *stream;
        if change.begins == Some(entity) || change.ends == Some(entity) {
            stream.seat.set_heard(change.begins == Some(entity));
        }
        make_samples(stream, &tape, entity, now.0, wanted);
        stream.stretcher.pop(voice);
        stream.loudness.observe(voice);
        stream.seat.mix_into(mix, voice);
    }
    check.mix_into(mix);
    limiter.apply(mix);
    let plays = tape.take(NOBODY, || Some(Plays(speaker.push(mix, now.0)))).map_or(now.0, |plays| plays.0);
    to_mono(mix, middle);
    // The microphone hears it as well.
    tape.give(|| voices.iter_mut().for_each(|mut voice| voice.processor.get().play(middle, plays)));
    for (_, mut stream) in &mut streams {
        let Some(heard) = stream.heard.take() else { continue };
        note_delay(&heard, plays, now.0, &mut stats);
        if let Some(captured) = heard.captured {
            stream.delay.on_heard(captured, heard_at(&heard, plays));
        }
        stream.first_played.get_or_insert(plays);
    }
    let Some(finder) = chirps else { return };
    let offset = connections.iter().find_map(|link| link.clock_offset).map_or(0, |(micros, _)| micros);
    finder.push(middle, plays, |found| {
        let heard = WallTime::from_micros(WallTime::of(found.at).as_micros().saturating_add_signed(offset));
        let (_, delay) = chirp::delay_of(found.variant, heard);
        stats.mouth_to_ear.push(delay as f64 / 1e3);
        stats.recent.mouth_to_ear.push(delay as f64 / 1e3);
    });
}

/// Decodes, conceals and stretches until `wanted` samples wait. How many a stretched or resampled step makes stands in no
/// decision, so the tape has to know.
pub fn make_samples(stream: &mut AudioStream, tape: &Tape, entity: Entity, now: Instant, wanted: usize) {
    // Each turn makes at least one sample; a packet makes at least 120.
    for _ in 0..wanted + 64 {
        let held = stream.stretcher.len();
        let wish = stream.jitter.wish(now, held, wanted);
        let goal = stream.stretcher.appetite(wanted, wish, stream.jitter.ready());
        if held >= goal {
            return;
        }
        let decision = stream.jitter.next(now, held, goal - held);
        stream.gaps.note(&decision.next);
        if let Next::Decode(packet) = &decision.next {
            stream.seat.observe(packet.level, packet.samples);
        }
        let AudioStream { decoder, stretcher, scratch, seat, .. } = &mut *stream;
        tape.give(|| {
            scratch.clear();
            match seat.is_silent() {
                true => scratch.resize(decision.next.samples(), [0.0; 2]),
                false => decode(&decision.next, decoder.get(), scratch),
            }
            stretcher.push(scratch, decision.stretch, decision.ppm);
        });
        let made = match (decision.stretch, decision.ppm) {
            (Stretch::None, 0) => decision.next.samples() as isize,
            _ => tape.take(entity, || Some(Made(stretcher.len() as isize - held as isize))).map_or(0, |made| made.0),
        };
        stretcher.set_len(held.saturating_add_signed(made));
        if let Next::Decode(packet) = decision.next {
            stream.heard = Some(Heard { captured: packet.captured, arrived: packet.arrival, before: held });
        }
    }
}

/// Appends the samples of one step to `out`; what cannot be decoded is concealed.
fn decode(next: &Next, decoder: &mut OpusDecoder, out: &mut Vec<Stereo>) {
    let (done, samples) = match next {
        Next::Decode(packet) => (decoder.decode(&packet.payload, out).is_ok(), packet.samples),
        Next::DecodeFec { from, samples } => (decoder.decode_fec(from, *samples, out).is_ok(), *samples),
        // The library's concealment goes over into the noise of the room, which is what a pause sounds like.
        Next::Conceal { samples } | Next::Noise { samples } => (false, *samples),
        Next::Silence { samples } => return out.resize(*samples, [0.0; 2]),
    };
    if !done {
        decoder.conceal(samples, out);
    }
}

/// When the first sample of the packet decoded last plays.
fn heard_at(heard: &Heard, plays: Instant) -> Instant {
    plays + Duration::from_nanos(heard.before as u64 * 1_000_000_000 / u64::from(RATE))
}

/// Files the delay of the packet decoded last: from its capture to the moment its first sample plays.
fn note_delay(heard: &Heard, plays: Instant, now: Instant, stats: &mut Stats) {
    let ring = millis_between(now, plays);
    stats.audio_ring.push(ring);
    stats.recent.audio_ring.push(ring);
    let hold = millis_between(heard.arrived, now);
    stats.audio_hold.push(hold);
    stats.recent.audio_hold.push(hold);
    let Some(captured) = heard.captured else { return };
    let network = millis_between(captured, heard.arrived);
    stats.audio_network.push(network);
    stats.recent.audio_network.push(network);
    stats.audio_delay.push(millis_between(captured, heard_at(heard, plays)));
}

#[cfg(test)]
mod seams;
