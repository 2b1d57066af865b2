//! Files packets into their streams' jitter buffers.

use bevy_ecs::entity::Entity;
use bevy_ecs::system::{Query, Res};

use crate::base::slice::SharedSlice;
use crate::base::time::{Duration, Instant, WallTime};
use crate::codec::opus::packet_samples;
use crate::device::RATE;
use crate::media::jitter_audio::AudioPacket;
use crate::media::jitter_video::{PacketIn, ParityIn};
use crate::media::sound::report::Counted;
use crate::net::transport::{ArrivedPacket, Track};
use crate::proto::red;
use crate::proto::repair::Repair;
use crate::world::connection::{Connection, Exchange, LinkEstimate, Tracks};
use crate::world::shared::Now;
use crate::world::stats::StreamStats;
use crate::world::stream::{AudioStream, Ledger, VideoJitterBuffer};
use crate::world::tape::Tape;

pub fn file_packets(
    tape: Res<Tape>,
    mut connections: Query<(&Connection, &mut Exchange, &Tracks, &mut LinkEstimate)>,
    mut videos: Query<(&mut VideoJitterBuffer, &mut StreamStats)>,
    mut audios: Query<&mut AudioStream>,
) {
    for (connection, mut exchange, tracks, mut link) in &mut connections {
        let around = connection.transport.around_sound() as usize;
        for packet in exchange.0.packets.drain(..) {
            match packet.track {
                Track::Video | Track::Further(_) => {
                    link.delay.count(packet.payload.len() + around);
                    if packet.track == Track::Video {
                        observe_delay(&packet, around, &mut link);
                    }
                    let Some(video) = tracks.video_in(packet.track) else { continue };
                    let Ok((mut jitter, mut stats)) = videos.get_mut(video) else { continue };
                    stats.bytes += packet.payload.len() as u64;
                    let at = packet.at;
                    jitter.0.push(PacketIn {
                        sequence: packet.sequence,
                        timestamp: packet.timestamp,
                        marker: packet.marker,
                        payload: packet.payload,
                        arrival: packet.at,
                        unit: packet.unit,
                        capture: packet.capture_time.and_then(|time| link.local_instant(time)),
                    });
                    repair(&mut jitter, &tape, video, at);
                }
                Track::Repair => {
                    link.delay.count(packet.payload.len() + around);
                    file_repair(packet, around, &tape, &mut link, tracks, &mut videos);
                }
                Track::Audio => {
                    let Ok(mut audio) = audios.get_mut(tracks.audio_in) else { continue };
                    link.delay.count(packet.payload.len() + around);
                    if let Some(way) = file_sound(&packet, around, &link, &mut audio) {
                        link.delay.observe_sound(way, packet.at);
                    }
                }
            }
        }
    }
}

/// Sends the receiver's own reports: every 50 ms while video comes in, every 200 ms while sound does.
/// And when pictures should be taken, for the screen they are shown on.
pub fn report_delay(
    now: Res<Now>,
    mut connections: Query<(&mut Connection, &mut LinkEstimate, &Tracks)>,
    mut audios: Query<&mut AudioStream>,
    mut videos: Query<&mut Ledger>,
) {
    for (mut connection, mut link, tracks) in &mut connections {
        if let Some(report) = videos.get_mut(tracks.video_in).ok().and_then(|mut ledger| ledger.phase.take_report()) {
            connection.transport.send_feedback(&report.to_bytes());
        }
        if let Some(report) = link.delay.report(now.0) {
            connection.transport.send_feedback(&report.to_bytes());
        }
        if let Some(report) = link.probes.report(now.0) {
            connection.transport.send_feedback(&report.to_bytes());
        }
        let sound = audios.get_mut(tracks.audio_in).ok().and_then(|mut audio| audio.meter.report(now.0));
        if let Some(report) = sound {
            connection.transport.send_feedback(&report.to_bytes());
        }
    }
}

/// Parity goes to the stream whose packets it repairs; a packet of a train is counted.
fn file_repair(
    packet: ArrivedPacket,
    around: usize,
    tape: &Tape,
    link: &mut LinkEstimate,
    tracks: &Tracks,
    videos: &mut Query<(&mut VideoJitterBuffer, &mut StreamStats)>,
) {
    match Repair::parse(&packet.payload) {
        Some(Repair::Parity(parity)) => {
            let video = tracks.videos_in().nth(parity.source.into()).map(|(_, video)| video);
            let Some((video, Ok((mut jitter, mut stats)))) = video.map(|video| (video, videos.get_mut(video))) else {
                return;
            };
            stats.bytes += packet.payload.len() as u64;
            let at = packet.at;
            jitter.0.push_parity(ParityIn {
                first: parity.first,
                packets: parity.packets,
                row: parity.row,
                begins: parity.begins,
                ends: parity.ends,
                timestamp: packet.timestamp as u32,
                arrival: packet.at,
                unit: packet.unit,
                capture: packet.capture_time.and_then(|time| link.local_instant(time)),
                payload: packet.payload,
            });
            repair(&mut jitter, tape, video, at);
        }
        Some(Repair::Probe(probe)) => link.probes.observe(&probe, packet.payload.len() + around, packet.at),
        None => {}
    }
}

/// What parity makes good stands on the tape: a recording without its media has nothing to compute it from.
fn repair(jitter: &mut VideoJitterBuffer, tape: &Tape, video: Entity, now: Instant) {
    jitter.0.repair(now, |compute| tape.take_of_path(video, compute));
}

/// A unit's first packet carries when it was sent by the peer's clock; whose offset does not matter here.
fn observe_delay(packet: &ArrivedPacket, around: usize, link: &mut LinkEstimate) {
    link.delay.observe_spread(packet.timestamp, packet.sequence, packet.payload.len() + around, packet.at);
    link.delay.count_picture(packet.sequence, packet.unit.map(|unit| unit.number.0), packet.at);
    if let (Some(captured), Some(unit)) = (packet.capture_time, packet.unit) {
        let sent = captured.as_micros().saturating_add((unit.encode + unit.queue).as_micros() as u64);
        let delay = WallTime::of(packet.at).micros_since(WallTime::from_micros(sent));
        link.delay.observe_picture(delay, packet.at);
    }
}

/// Files a packet's own frame and the copies of earlier ones in it. What is not Opus is left out. `around` bytes are around
/// the payload on the wire. How long it was on its way, where the sender says when it left: microseconds on two unrelated clocks.
pub fn file_sound(packet: &ArrivedPacket, around: usize, link: &LinkEstimate, audio: &mut AudioStream) -> Option<i64> {
    let payload = SharedSlice::from(packet.payload.clone());
    let captured = packet.capture_time.and_then(|time| link.local_instant(time));
    if !packet.redundant {
        let samples = file_frame(packet, captured, payload, 0, audio);
        return count_sound(packet, around, samples, audio);
    }
    let mut way = None;
    for block in red::read(&packet.payload)? {
        let samples = file_frame(packet, captured, payload.part(block.range), block.before, audio);
        if block.before == 0 {
            way = count_sound(packet, around, samples, audio);
        }
    }
    way
}

/// Files the frame that begins `before` samples earlier than the packet says. How long it is.
fn file_frame(
    packet: &ArrivedPacket,
    captured: Option<Instant>,
    payload: SharedSlice,
    before: u32,
    audio: &mut AudioStream,
) -> Option<usize> {
    let samples = packet_samples(&payload)?;
    // A copy is of a frame as long as those between.
    let frames = u64::from(before) / samples as u64;
    if frames * samples as u64 != u64::from(before) {
        return None;
    }
    let earlier = Duration::from_nanos(u64::from(before) * 1_000_000_000 / u64::from(RATE));
    audio.jitter.insert(AudioPacket {
        sequence: packet.sequence.checked_sub(frames)?,
        timestamp: packet.timestamp.checked_sub(u64::from(before))?,
        arrival: packet.at,
        samples,
        payload,
        level: packet.level,
        captured: captured.and_then(|at| at.checked_sub(earlier)),
        copy: before > 0,
    });
    Some(samples)
}

/// Counts a packet for the sender's sake. A frame is sent when it is whole: its length is not the way's doing.
fn count_sound(packet: &ArrivedPacket, around: usize, samples: Option<usize>, audio: &mut AudioStream) -> Option<i64> {
    let length = samples? as i64 * 1_000_000 / i64::from(RATE);
    let way = packet.capture_time.map(|captured| WallTime::of(packet.at).micros_since(captured).saturating_sub(length));
    audio.meter.observe(&Counted {
        sequence: packet.sequence,
        timestamp: packet.timestamp,
        bytes: packet.payload.len() + around,
        way,
        arrival: packet.at,
    });
    way
}
