//! Packetises what may go and writes it to the connections.

use std::collections::VecDeque;

use bevy_ecs::system::{Query, Res};

use crate::base::id::UnitNumber;
use crate::base::time::{Instant, WallTime};
use crate::net::transport::{OutgoingPacket, Track, Transport};
use crate::proto::red;
use crate::proto::rtp_h264::packetise;
use crate::proto::unit_ext::UnitExt;
use crate::world::connection::{Connection, Path, Tracks};
use crate::world::outgoing::{TargetRate, VideoQueue, VideoSent, Voice, VoiceFrame};
use crate::world::shared::Now;

/// 1200 bytes of UDP payload (RFC 8085 §3.2 by way of WebRTC's habit) less RTP header, extensions, the RTX header
/// and the authentication tag.
const PAYLOAD: usize = 1200 - 12 - 40 - 2 - 16;

pub fn send_sound(
    now: Res<Now>,
    mut connections: Query<(&mut Connection, &Path, &Tracks)>,
    mut voices: Query<&mut Voice>,
) {
    for (mut connection, path, tracks) in &mut connections {
        let Ok(mut voice) = voices.get_mut(tracks.audio_out) else { continue };
        let voice = &mut *voice;
        for frame in voice.frames.drain(..) {
            if path.connected {
                let copies = voice.control.plan().copies;
                let redundant = copies.count() > 0;
                if redundant {
                    let earlier = copies.distances().rev().filter_map(|distance| copy(&voice.sent, &frame, distance));
                    red::write(earlier, &frame.data, &mut voice.packet);
                }
                let payload = if redundant { &voice.packet } else { &frame.data };
                voice.control.on_sent(now.0);
                voice.packets += 1;
                voice.bytes += payload.len() as u64;
                let packet = OutgoingPacket {
                    track: Track::Audio,
                    timestamp: frame.timestamp as u32,
                    marker: false,
                    redundant,
                    payload,
                    captured: frame.captured,
                    capture_time: Some(WallTime::of(frame.captured)),
                    unit: None,
                    level: Some(frame.level),
                    voice: frame.voice,
                };
                connection.transport.write(&packet, now.0);
            }
            if voice.sent.len() >= Voice::COPIED {
                voice.spare.extend(voice.sent.pop_front().map(|oldest| oldest.data));
            }
            voice.sent.push_back(frame);
        }
    }
}

/// The frame so many before `frame`, and how many samples. Only of the same length and without a gap between, so that the
/// other side knows from the distance which one it is.
fn copy<'a>(sent: &'a VecDeque<VoiceFrame>, frame: &VoiceFrame, distance: usize) -> Option<(u32, &'a [u8])> {
    let earlier = sent.get(sent.len().checked_sub(distance)?)?;
    let before = u32::try_from(frame.timestamp.checked_sub(earlier.timestamp)?).ok()?;
    let is_plain = earlier.samples == frame.samples && before == distance as u32 * frame.samples;
    is_plain.then_some((before, earlier.data.as_slice()))
}

/// Packets of pictures leave one by one as the bucket fills, so that sound never waits behind a whole picture.
pub fn send_pictures(
    now: Res<Now>,
    mut connections: Query<(&mut Connection, &Tracks)>,
    mut outgoings: Query<(&mut VideoQueue, &mut TargetRate, &mut VideoSent)>,
) {
    for (mut connection, tracks) in &mut connections {
        let mut further = 0;
        for (track, video) in tracks.sending() {
            let Ok((mut queue, mut rate, mut sent)) = outgoings.get_mut(video) else { continue };
            let (pace, burst) = (queue.pace(&rate.0, now.0), rate.0.burst());
            if track == Track::Video && rate.0.take_forget(now.0) {
                connection.transport.forget_sent();
            }
            // Nothing was encoded before there was a path.
            while queue.units.may_leave(pace, burst, now.0) {
                let Some((bytes, begins)) = send_packet(&mut queue, track, now.0, &mut connection.transport) else {
                    break;
                };
                sent.packets += 1;
                sent.bytes += bytes as u64;
                let on_wire = bytes + connection.transport.around_sound() as usize;
                let is_last = queue.sending.is_none();
                sent.sent += u64::from(is_last);
                queue.units.left(on_wire, is_last);
                match track {
                    Track::Video => rate.0.on_sent(on_wire, begins, now.0),
                    _ => further += on_wire,
                }
            }
        }
        // The first one's control is that of the path.
        if further > 0
            && let Ok((_, mut rate, _)) = outgoings.get_mut(tracks.video_out)
        {
            rate.0.on_sent(further, None, now.0);
        }
    }
}

/// Sends the next packet there is; how long its payload was, and the number of its unit where it is the first of it.
fn send_packet(
    queue: &mut VideoQueue,
    track: Track,
    now: Instant,
    transport: &mut Transport,
) -> Option<(usize, Option<UnitNumber>)> {
    if queue.sending.is_none() {
        let unit = queue.units.take(now)?;
        packetise(&unit.data, PAYLOAD, &mut queue.packets);
        (queue.sending, queue.next) = (Some(unit), 0);
    }
    let (Some(unit), Some(payload)) = (&queue.sending, queue.packets.payload(queue.next)) else {
        // A unit of nothing that can be sent.
        queue.sending = None;
        return Some((0, None));
    };
    let first = queue.next == 0;
    let extension = UnitExt {
        number: unit.number,
        temporal_id: unit.temporal_id,
        discardable: unit.discardable,
        layer: queue.layer,
        encode: unit.encoded.saturating_duration_since(unit.captured),
        queue: now.saturating_duration_since(unit.encoded),
    };
    // RFC 6184 §8.2.1: a 90 kHz clock.
    let micros = unit.captured.saturating_duration_since(queue.epoch).as_micros();
    let packet = OutgoingPacket {
        track,
        timestamp: (micros * 9 / 100) as u32,
        marker: payload.marker,
        redundant: false,
        payload: payload.bytes,
        captured: unit.captured,
        capture_time: first.then(|| WallTime::of(unit.captured)),
        unit: first.then_some(extension),
        level: None,
        voice: false,
    };
    transport.write(&packet, now);
    let (sent, last) = ((payload.bytes.len(), first.then_some(unit.number)), payload.marker);
    queue.next += 1;
    if last {
        queue.sending = None;
    }
    Some(sent)
}
