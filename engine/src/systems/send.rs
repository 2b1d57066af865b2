//! Packetises what may go and writes it to the connections.

use std::collections::VecDeque;

use bevy_ecs::system::{Query, Res};

use crate::base::time::{Duration, Instant, WallTime};
use crate::media::encoded::EncodedUnit;
use crate::net::transport::{OutgoingPacket, Track, Transport};
use crate::proto::red;
use crate::proto::rtp_h264::{Packets, packetise};
use crate::proto::unit_ext::UnitExt;
use crate::world::connection::{Connection, Path, Tracks};
use crate::world::outgoing::{TargetRate, VideoQueue, VideoSent, Voice, VoiceFrame};
use crate::world::shared::Now;

/// 1200 bytes of UDP payload (RFC 8085 §3.2 by way of WebRTC's habit) less RTP header, extensions, the RTX header
/// and the authentication tag.
const PAYLOAD: usize = 1200 - 12 - 40 - 2 - 16;

/// As large a burst as a path is trusted with before it has shown a queue: an IDR of a 720p picture at start.
const BURST: Duration = Duration::from_millis(100);

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

pub fn send_pictures(
    now: Res<Now>,
    mut connections: Query<(&mut Connection, &Tracks)>,
    mut outgoings: Query<(&mut VideoQueue, &TargetRate, &mut VideoSent)>,
) {
    for (mut connection, tracks) in &mut connections {
        for (track, video) in tracks.videos_out() {
            let Ok((mut queue, rate, mut sent)) = outgoings.get_mut(video) else { continue };
            let queue = &mut *queue;
            let pace = rate.0.pace().percent(queue.share);
            while let Some(unit) = queue.units.release(pace, BURST, now.0) {
                // Nothing was encoded before there was a path.
                let to = (&mut queue.packets, &mut connection.transport);
                send_unit(&unit, track, queue.epoch, now.0, to, &mut sent);
            }
        }
    }
}

fn send_unit(
    unit: &EncodedUnit,
    track: Track,
    epoch: Instant,
    now: Instant,
    (packets, transport): (&mut Packets, &mut Transport),
    sent: &mut VideoSent,
) {
    packetise(&unit.data, PAYLOAD, packets);
    let extension = UnitExt {
        number: unit.number,
        temporal_id: unit.temporal_id,
        discardable: unit.discardable,
        layer: 0,
        encode: unit.encoded.saturating_duration_since(unit.captured),
        queue: now.saturating_duration_since(unit.encoded),
    };
    // RFC 6184 §8.2.1: a 90 kHz clock.
    let micros = unit.captured.saturating_duration_since(epoch).as_micros();
    let timestamp = (micros * 9 / 100) as u32;
    for (index, payload) in packets.iter().enumerate() {
        let first = index == 0;
        sent.packets += 1;
        sent.bytes += payload.bytes.len() as u64;
        let packet = OutgoingPacket {
            track,
            timestamp,
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
    }
    sent.sent += 1;
}
