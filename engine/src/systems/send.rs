//! Packetises what may go and writes it to the connections.

use bevy_ecs::system::{Query, Res};

use crate::base::time::{Duration, Instant, WallTime};
use crate::media::encoded::EncodedUnit;
use crate::net::transport::{OutgoingPacket, Track, Transport};
use crate::proto::rtp_h264::{Packets, packetise};
use crate::proto::unit_ext::UnitExt;
use crate::world::connection::{Connection, Path, Tracks};
use crate::world::outgoing::{TargetRate, VideoQueue, VideoSent, Voice};
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
                voice.packets += 1;
                voice.bytes += frame.data.len() as u64;
                let packet = OutgoingPacket {
                    track: Track::Audio,
                    timestamp: frame.timestamp,
                    marker: false,
                    payload: &frame.data,
                    captured: frame.captured,
                    capture_time: Some(WallTime::of(frame.captured)),
                    unit: None,
                    level: Some(frame.level),
                };
                connection.transport.write(&packet, now.0);
            }
            voice.spare.push(frame.data);
        }
    }
}

pub fn send_pictures(
    now: Res<Now>,
    mut connections: Query<(&mut Connection, &Tracks)>,
    mut outgoings: Query<(&mut VideoQueue, &TargetRate, &mut VideoSent)>,
) {
    for (mut connection, tracks) in &mut connections {
        let Ok((mut queue, rate, mut sent)) = outgoings.get_mut(tracks.video_out) else { continue };
        let queue = &mut *queue;
        while let Some(unit) = queue.units.release(rate.0.pace(), BURST, now.0) {
            // Nothing was encoded before there was a path.
            send_unit(&unit, queue.epoch, now.0, &mut queue.packets, &mut connection.transport, &mut sent);
        }
    }
}

fn send_unit(
    unit: &EncodedUnit,
    epoch: Instant,
    now: Instant,
    packets: &mut Packets,
    transport: &mut Transport,
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
            track: Track::Video,
            timestamp,
            marker: payload.marker,
            payload: payload.bytes,
            captured: unit.captured,
            capture_time: first.then(|| WallTime::of(unit.captured)),
            unit: first.then_some(extension),
            level: None,
        };
        transport.write(&packet, now);
    }
    sent.sent += 1;
}
