//! What transports say besides packets: connected, estimates, requests, goodbyes. Calls react to it in their role.

use bevy_ecs::system::{Query, Res};

use crate::media::rate::DelayReport;
use crate::net::transport::TransportEvent;
use crate::world::connection::{Exchange, LinkEstimate, Path, Tracks};
use crate::world::outgoing::{Encoder, TargetRate, VideoQueue, VideoSent};
use crate::world::shared::Now;

pub fn note_transport_events(
    now: Res<Now>,
    mut connections: Query<(&mut Exchange, &mut Path, &mut LinkEstimate, &Tracks)>,
    mut outgoings: Query<(&mut Encoder, &mut TargetRate, &VideoSent, &mut VideoQueue)>,
) {
    for (mut exchange, mut path, mut link, tracks) in &mut connections {
        for event in exchange.0.events.drain(..) {
            match event {
                TransportEvent::Connected => {
                    path.connected = true;
                    path.heard = Some(now.0);
                    if let Ok((.., mut queue)) = outgoings.get_mut(tracks.video_out) {
                        queue.open = true;
                    }
                }
                TransportEvent::Disconnected => {}
                TransportEvent::KeyframeRequest => {
                    if let Ok((encoder, ..)) = outgoings.get_mut(tracks.video_out) {
                        encoder.0.request_keyframe();
                    }
                }
                TransportEvent::Estimate(rate) => link.bitrate = Some(rate),
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
                    let Some(report) = DelayReport::parse(&bytes) else { continue };
                    if let Ok((_, mut rate, sent, _)) = outgoings.get_mut(tracks.video_out) {
                        rate.0.on_report(&report, sent.sent > 0, now.0);
                    }
                }
                TransportEvent::Closed(text) => path.closed = Some(text),
            }
        }
    }
}
