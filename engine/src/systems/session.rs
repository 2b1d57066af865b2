//! What transports say besides packets: connected, estimates, requests, goodbyes. Calls react to it in their role.

use bevy_ecs::system::{Query, Res};

use crate::base::rate::Bitrate;
use crate::media::phase::PhaseReport;
use crate::media::rate::DelayReport;
use crate::media::rate::probe::ProbeReport;
use crate::media::sound::report::SoundReport;
use crate::media::video::Content;
use crate::net::transport::{Track, TransportEvent};
use crate::world::connection::{Exchange, LinkEstimate, Path, Tracks};
use crate::world::outgoing::{Encoder, Source, TargetRate, VideoQueue, Voice};
use crate::world::shared::Now;

pub fn note_transport_events(
    now: Res<Now>,
    mut connections: Query<(&mut Exchange, &mut Path, &mut LinkEstimate, &Tracks)>,
    mut outgoings: Query<(&mut Encoder, &mut TargetRate, &mut VideoQueue)>,
    sources: Query<&Source>,
    mut voices: Query<&mut Voice>,
) {
    for (mut exchange, mut path, mut link, tracks) in &mut connections {
        for event in exchange.0.events.drain(..) {
            match event {
                TransportEvent::Connected => {
                    path.connected = true;
                    path.heard = Some(now.0);
                    for (_, video) in tracks.sending() {
                        if let Ok((.., mut queue)) = outgoings.get_mut(video) {
                            queue.open = true;
                        }
                    }
                }
                TransportEvent::Disconnected => {}
                TransportEvent::KeyframeRequest | TransportEvent::FurtherKeyframeRequest(_) => {
                    let track = match event {
                        TransportEvent::FurtherKeyframeRequest(number) => Track::Further(number),
                        _ => Track::Video,
                    };
                    let video = tracks.video_out(track).and_then(|video| outgoings.get_mut(video).ok());
                    if let Some((encoder, .., mut queue)) = video
                        && queue.keyframes.is_new(link.round_trip, now.0)
                    {
                        encoder.0.request_keyframe();
                        queue.still.ask();
                    }
                }
                TransportEvent::Estimate(estimate) => {
                    link.bitrate = Some(estimate);
                    if let Ok((_, mut rate, _)) = outgoings.get_mut(tracks.video_out) {
                        rate.0.on_estimate(estimate);
                    }
                }
                TransportEvent::Figures { round_trip, loss_out, local, remote } => {
                    link.round_trip = round_trip.or(link.round_trip);
                    link.loss_out = loss_out.or(link.loss_out);
                    if path.remote.is_some() && remote.is_some() && path.remote != remote {
                        path.changes += 1;
                    }
                    path.local = local.or(path.local);
                    path.remote = remote.or(path.remote);
                }
                TransportEvent::Feedback(bytes) => {
                    let Ok((encoder, mut rate, mut queue)) = outgoings.get_mut(tracks.video_out) else { continue };
                    let Ok(mut voice) = voices.get_mut(tracks.audio_out) else { continue };
                    // While pictures could give way, they do.
                    let has_pictures = sources.get(tracks.video_out).is_ok_and(|source| source.0.is_some());
                    rate.0.set_most_sound(voice.control.most());
                    if let Some(report) = DelayReport::parse(&bytes) {
                        let sound = voice.microphone.as_ref().map_or(Bitrate::default(), |_| voice.control.on_wire());
                        let was_too_narrow = rate.0.is_too_narrow();
                        rate.0.set_path(sound, link.round_trip);
                        rate.0.on_report(&report, now.0);
                        if rate.0.is_too_narrow() && !was_too_narrow {
                            // What was found is what comes out of a full queue: it is to become empty.
                            voice.control.begin_anew(rate.0.total().percent(70), now.0);
                        }
                        if rate.0.take_anew() {
                            queue.units.clear();
                            encoder.0.request_keyframe();
                        }
                    }
                    if let Some(report) = PhaseReport::parse(&bytes)
                        && let Some(source) = sources.get(tracks.video_out).ok().and_then(|source| source.0.as_ref())
                    {
                        source.set_shift(report.later_micros);
                    }
                    if let Some(report) = SoundReport::parse(&bytes) {
                        voice.control.set_round_trip(link.round_trip);
                        voice.control.on_report(&report, has_pictures && !rate.0.is_too_narrow(), now.0);
                        rate.0.on_sound(voice.control.proven(now.0), report.queue, now.0);
                    }
                    if let Some(report) = ProbeReport::parse(&bytes)
                        && let Some(carries) = rate.0.on_probe(&report, now.0)
                    {
                        voice.control.widen(carries, now.0);
                    }
                    let most = voice.control.most();
                    voice.control.allow(if has_pictures { rate.0.sound_may_take() } else { most });
                }
                TransportEvent::Closed(text) => path.closed = Some(text),
            }
        }
    }
}

/// All sources of pictures of a connection share what its path leaves for them: in equal parts, but for screens that stand
/// still, which need nothing.
pub fn share_rate(
    now: Res<Now>,
    connections: Query<&Tracks>,
    mut outgoings: Query<(&TargetRate, &mut VideoQueue, &Source)>,
) {
    for tracks in &connections {
        let runs = |source: &Source, queue: &VideoQueue| match &source.0 {
            Some(source) => source.content() == Content::Motion || queue.still.is_busy(now.0),
            None => false,
        };
        let videos = tracks.videos_out().filter_map(|(_, video)| outgoings.get(video).ok());
        let running = videos.filter(|(_, queue, source)| runs(source, queue)).count() as u64;
        // The first one follows the path; where there are more, they have what it has found.
        let has_more = tracks
            .videos_out()
            .skip(1)
            .any(|(_, video)| outgoings.get(video).is_ok_and(|(.., source)| source.0.is_some()));
        let whole = outgoings.get(tracks.video_out).ok().filter(|_| has_more).map(|(rate, ..)| rate.0.allowed(now.0));
        for (track, video) in tracks.videos_out() {
            let Ok((_, mut queue, source)) = outgoings.get_mut(video) else { continue };
            // What stands still may begin at any time: it is given a part as well.
            let sharing = if runs(source, &queue) { running } else { running + 1 };
            queue.share = 100 / sharing.max(1);
            queue.allowed = whole.filter(|_| track != Track::Video);
        }
    }
}
