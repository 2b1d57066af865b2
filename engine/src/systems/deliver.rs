//! Files packets into their streams' jitter buffers.

use bevy_ecs::system::{Query, Res};

use crate::base::time::WallTime;
use crate::media::jitter_audio::AudioPacket;
use crate::media::jitter_video::PacketIn;
use crate::net::transport::{ArrivedPacket, Track};
use crate::world::connection::{Connection, Exchange, LinkEstimate, Tracks};
use crate::world::shared::Now;
use crate::world::stats::StreamStats;
use crate::world::stream::{AudioStream, VideoJitterBuffer};

pub fn file_packets(
    mut connections: Query<(&mut Exchange, &Tracks, &mut LinkEstimate)>,
    mut videos: Query<(&mut VideoJitterBuffer, &mut StreamStats)>,
    mut audios: Query<&mut AudioStream>,
) {
    for (mut exchange, tracks, mut link) in &mut connections {
        for packet in exchange.0.packets.drain(..) {
            match packet.track {
                Track::Video => {
                    observe_delay(&packet, &mut link);
                    let Ok((mut jitter, mut stats)) = videos.get_mut(tracks.video_in) else { continue };
                    stats.bytes += packet.payload.len() as u64;
                    jitter.0.push(PacketIn {
                        sequence: packet.sequence,
                        timestamp: packet.timestamp,
                        marker: packet.marker,
                        payload: packet.payload,
                        arrival: packet.at,
                        unit: packet.unit,
                        capture: packet.capture_time.and_then(|time| link.local_instant(time)),
                    });
                }
                Track::Audio => {
                    let Ok(mut audio) = audios.get_mut(tracks.audio_in) else { continue };
                    let captured = packet.capture_time.and_then(|time| link.local_instant(time));
                    if let Some(packet) = audio_packet(packet, captured) {
                        audio.jitter.insert(packet);
                    }
                }
            }
        }
    }
}

/// Sends the receiver's own delay report, every 50 ms while video comes in.
pub fn report_delay(now: Res<Now>, mut connections: Query<(&mut Connection, &mut LinkEstimate)>) {
    for (mut connection, mut link) in &mut connections {
        if let Some(report) = link.delay.report(now.0) {
            connection.transport.send_feedback(&report.to_bytes());
        }
    }
}

/// A unit's first packet carries when it was sent by the peer's clock; whose offset does not matter here.
fn observe_delay(packet: &ArrivedPacket, link: &mut LinkEstimate) {
    link.delay.count(packet.payload.len());
    if let (Some(captured), Some(unit)) = (packet.capture_time, packet.unit) {
        let sent = captured.as_micros().saturating_add((unit.encode + unit.queue).as_micros() as u64);
        let delay = WallTime::of(packet.at).micros_since(WallTime::from_micros(sent));
        link.delay.observe(delay, packet.at);
    }
}

/// `None` where the payload is not Opus.
fn audio_packet(packet: ArrivedPacket, captured: Option<std::time::Instant>) -> Option<AudioPacket> {
    let samples = crate::codec::opus::packet_samples(&packet.payload)?;
    Some(AudioPacket {
        sequence: packet.sequence,
        timestamp: packet.timestamp,
        arrival: packet.at,
        samples,
        payload: packet.payload,
        level: packet.level,
        captured,
        copy: false,
    })
}
