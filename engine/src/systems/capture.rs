//! Takes pictures and samples from their sources and feeds the encoders.

use bevy_ecs::entity::Entity;
use bevy_ecs::system::{Query, Res};
use bevy_platform::cell::SyncCell;

use crate::base::rate::Bitrate;
use crate::base::time::{Duration, Instant};
use crate::media::frame_length::FrameLength;
use crate::media::rate::{PicturePlan, PictureSource};
use crate::media::simulcast::{LAYERS, Lower, layer_of, lower, split};
use crate::media::sound::framer::Step;
use crate::media::video::{CapturedPicture, Content};
use crate::world::connection::Tracks;
use crate::world::outgoing::{
    Encoder, Handed, LocalView, Source, TargetRate, VideoQueue, VideoSent, Voice, VoiceFrame,
};
use crate::world::shared::Now;
use crate::world::tape::Tape;
use crate::world::tape::note::{EncoderFull, Samples, Sound, Watched};

/// The newest picture of each source goes to its encoder, in the size that the target rate is good for.
pub fn take_pictures(
    now: Res<Now>,
    tape: Res<Tape>,
    mut outgoings: Query<(
        Entity,
        &mut Source,
        &mut Encoder,
        &mut VideoQueue,
        &TargetRate,
        &mut LocalView,
        &mut VideoSent,
    )>,
) {
    for (entity, mut source, mut encoder, mut queue, rate, mut view, mut sent) in &mut outgoings {
        let Some(source) = &mut source.0 else { continue };
        let new = tape.take(entity, || source.take(now.0));
        if let Some(captured) = &new {
            sent.captured += 1;
            view.picture = Some(captured.picture.clone());
            view.frame += 1;
        }
        if let Some(Watched(audience)) = tape.take(entity, || queue.asked.take().map(Watched)) {
            queue.audience = audience;
        }
        // Where nobody looks nothing is made; whoever looks again gets the newest picture at once.
        if !queue.open || queue.audience.is_empty() {
            sent.skipped += u64::from(new.is_some() && queue.first.is_some());
            queue.first = new.or(queue.first.take());
            continue;
        }
        let (is_new, content) = (new.is_some() || queue.first.is_some(), source.content());
        // Behind what still waits it would only be more to wait for.
        let is_due =
            queue.units.is_empty() && queue.still.due(content == Content::Text).is_some_and(|due| due <= now.0);
        let last = view.picture.as_ref().filter(|_| is_due);
        let last = last.map(|picture| CapturedPicture { picture: picture.clone(), captured: now.0 });
        let Some(captured) = new.or(queue.first.take()).or(last) else { continue };
        let allowed = queue.allowed.unwrap_or_else(|| rate.0.allowed(now.0));
        let target = allowed.target.percent(queue.share);
        let top = (captured.picture.width, captured.picture.height);
        // Several sizes at once are for those behind a relay.
        let layers = if content == Content::Text { [true, false, false] } else { queue.audience.layers(top) };
        let first = layers.iter().position(|wanted| *wanted).unwrap_or_default();
        let rates = split(target, layers);
        queue.part = (rates[first].as_bps() * 100).checked_div(target.as_bps()).unwrap_or(100);
        let target = rates[first];
        let largest = target.bytes_in(Duration::from_millis(100)) as usize;
        let aim = split(allowed.aim.percent(queue.share), layers)[first];
        let source = PictureSource {
            width: top.0,
            height: top.1,
            wanted: match content {
                Content::Text => 0,
                Content::Motion => queue.audience.largest(top).unwrap_or_default(),
            },
            load: queue.load.level(),
            content,
            is_lossy: queue.lossy.observe(allowed.loss, allowed.round_trip, now.0),
        };
        let plan = follow_rate(aim, source, &mut queue, &encoder, now.0);
        let is_left_out = !sent.captured.is_multiple_of(u64::from(plan.every));
        if is_left_out || target == Bitrate::default() || queue.units.is_braked(target, largest, now.0) {
            sent.skipped += u64::from(is_new);
            queue.still.put_off(is_new, now.0);
            continue;
        }
        encoder.0.set_content(content);
        encoder.0.set_quantisers(plan.quantisers);
        encoder.0.set_layers(plan.layers);
        let bitrate = plan.bitrate(queue.units.left_of(target));
        queue.layer = layer_of(plan.width, top.0) as u8;
        let handed = Handed { captured: captured.clone(), rates };
        encoder.0.set_bitrate(if queue.wanted > 0 { bitrate.min(plan.most()) } else { bitrate });
        if tape.take(entity, || encoder.0.submit(captured, now.0).is_err().then_some(EncoderFull)).is_some() {
            sent.skipped += u64::from(is_new);
            queue.still.put_off(is_new, now.0);
            queue.load.on_refused(now.0);
        } else {
            queue.still.on_submitted(is_new, now.0);
            queue.handed = Some(handed);
        }
    }
}

/// The picture of the first source that was just taken goes to the encoders of its smaller layers as well, where somebody looks
/// at them and the path is not so narrow that the first one is as small itself. Nothing is encoded twice, however many watch.
pub fn take_layers(
    now: Res<Now>,
    tape: Res<Tape>,
    connections: Query<&Tracks>,
    mut outgoings: Query<(&mut Encoder, &mut VideoQueue, &TargetRate, &mut VideoSent)>,
) {
    for tracks in &connections {
        let Ok((_, mut queue, rate, _)) = outgoings.get_mut(tracks.video_out) else { continue };
        let Some(Handed { captured, rates }) = queue.handed.take() else { continue };
        let Some(plan) = queue.plan else { continue };
        let (first, share) = (usize::from(queue.layer), queue.share);
        let whole = queue.allowed.unwrap_or_else(|| rate.0.allowed(now.0));
        let top = (captured.picture.width, captured.picture.height);
        for (layer, entity) in (1..LAYERS).zip(tracks.lower_out) {
            let Ok((mut encoder, mut queue, _, mut sent)) = outgoings.get_mut(entity) else { continue };
            let Some(Lower { size: (width, height), rate, part }) = lower(layer, first, top, &rates) else {
                queue.plan = None;
                continue;
            };
            queue.allowed = Some(whole);
            // Who begins to look needs a keyframe.
            if queue.plan.replace(PicturePlan { width, height, every: 1, ..plan }).is_none() {
                encoder.0.request_keyframe();
            }
            (queue.layer, queue.share, queue.part) = (layer as u8, share, part);
            encoder.0.set_size(width, height);
            encoder.0.set_bitrate(rate);
            sent.captured += 1;
            let largest = rate.bytes_in(Duration::from_millis(100)) as usize;
            let is_braked = queue.units.is_braked(rate, largest, now.0);
            let picture = captured.clone();
            let is_full =
                || tape.take(entity, || encoder.0.submit(picture, now.0).is_err().then_some(EncoderFull)).is_some();
            if is_braked || is_full() {
                sent.skipped += 1;
            }
        }
    }
}

/// Each change of size costs a keyframe: what became smaller stays so for this time.
const SETTLED: Duration = Duration::from_secs(3);

/// The encoder makes what the target is good for.
fn follow_rate(
    aim: Bitrate,
    source: PictureSource,
    queue: &mut VideoQueue,
    encoder: &Encoder,
    now: Instant,
) -> PicturePlan {
    let mut plan = PicturePlan::new(aim, source, queue.plan);
    let pixels = |plan: &PicturePlan| plan.width * plan.height;
    // Who makes a tile larger is not kept waiting.
    let is_asked_for = std::mem::replace(&mut queue.wanted, source.wanted) > source.wanted;
    if let Some(current) = queue.plan.filter(|current| pixels(current) != pixels(&plan) && !is_asked_for) {
        let is_settled = queue.shrunk.is_none_or(|at| now.saturating_duration_since(at) >= SETTLED);
        match pixels(&plan) > pixels(&current) {
            true if !is_settled => {
                (plan.width, plan.height, plan.every) = (current.width, current.height, current.every)
            }
            true => {}
            false => queue.shrunk = Some(now),
        }
    }
    queue.plan = Some(plan);
    if encoder.0.size() != (plan.width, plan.height) {
        encoder.0.set_size(plan.width, plan.height);
    }
    plan
}

/// Whole frames of the microphone's samples, processed, and encoded as the plan says.
pub fn take_sound(now: Res<Now>, tape: Res<Tape>, mut voices: Query<(Entity, &mut Voice)>) {
    for (entity, mut voice) in &mut voices {
        let voice = &mut *voice;
        follow_plan(voice, &tape);
        let Some(microphone) = voice.microphone.as_mut().map(SyncCell::get) else { continue };
        let waiting = voice.samples.len();
        let (raw, samples, figures) = (&mut voice.raw, &mut voice.samples, &mut voice.figures);
        let processor = voice.processor.get();
        let taken = tape.take(entity, || {
            raw.clear();
            let captured = microphone.take(now.0, raw);
            let first = processor.take(raw, captured, samples);
            *figures = processor.figures();
            Some(Samples { count: samples.len() - waiting, first }).filter(|taken| taken.count > 0)
        });
        if let Some(Samples { count, first }) = taken {
            samples.resize(waiting + count, [0.0; 2]);
            if voice.muted {
                samples.iter_mut().skip(waiting).for_each(|sample| *sample = [0.0; 2]);
            }
            voice.skip_to(first, samples_time(waiting));
            voice.framer.add(count);
            // The time of what was waiting already, counted back from what came now.
            voice.first = Some(first.checked_sub(samples_time(waiting)).unwrap_or(first));
        }
        while let Some(step) = voice.framer.next_step() {
            encode(voice, &tape, entity, step, now.0);
        }
        let spare = voice.framer.take_spare();
        voice.samples.drain(..spare);
        voice.first = voice.first.map(|first| first + samples_time(spare));
        // Without a path the frames are of no use to anybody.
        let excess = voice.frames.len().saturating_sub(bound(voice.framer.length()));
        voice.spare.extend(voice.frames.drain(..excess).map(|frame| frame.data));
    }
}

/// What the path asks for now.
fn follow_plan(voice: &mut Voice, tape: &Tape) {
    let plan = voice.control.plan();
    if voice.applied == Some(plan) {
        return;
    }
    voice.framer.set_length(plan.length);
    voice.applied = Some(plan);
    // A refusal leaves the encoders as they were: sound goes on.
    tape.give(|| drop(voice.encoders.get().set(Bitrate::from_bps(plan.bitrate_bps), plan.fec)));
}

fn encode(voice: &mut Voice, tape: &Tape, entity: Entity, step: Step, now: Instant) {
    let Some(frame) = voice.samples.get(step.from..step.from + step.length.samples()) else { return };
    let (encoders, music) = (voice.encoders.get(), voice.music);
    let mut data = voice.spare.pop().unwrap_or_default();
    data.clear();
    let Some(timestamp) = step.timestamp else {
        tape.give(|| drop(encoders.hear(frame, music, step.first, &mut data)));
        voice.spare.push(data);
        return;
    };
    let is_loud = voice.loudness.observe(frame);
    let level = -(voice.loudness.level() as i8);
    // The processing listens to the microphone, also while it is muted: that is nobody's business then.
    let (processor, is_heard) = (voice.processor.get(), !voice.muted);
    let captured = voice.first.unwrap_or(now) + samples_time(voice.framer.index(timestamp) as usize);
    let encode = || {
        let encoded = encoders.encode(frame, music, step.first, &mut data);
        let is_voice = is_heard && processor.is_voice().unwrap_or(is_loud);
        Some(Sound { bytes: encoded.map_or(0, |()| data.len()), voice: is_voice })
    };
    match tape.take(entity, encode).filter(|encoded| encoded.bytes > 0) {
        Some(Sound { bytes, voice: is_voice }) => {
            data.resize(bytes, 0);
            let samples = step.length.samples() as u32;
            voice.frames.push(VoiceFrame { data, timestamp, samples, captured, level, voice: is_voice });
        }
        None => voice.spare.push(data),
    }
}

/// Frames that may wait within a tick: 200 ms of them.
fn bound(length: FrameLength) -> usize {
    (Duration::from_millis(200).as_micros() / length.duration().as_micros().max(1)) as usize
}

fn samples_time(samples: usize) -> Duration {
    Duration::from_nanos(samples as u64 * 1_000_000_000 / u64::from(crate::device::RATE))
}
