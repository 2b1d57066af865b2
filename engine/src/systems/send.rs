//! Packetises what may go and writes it to the connections.

use std::collections::VecDeque;

use bevy_ecs::system::{Query, Res};

use crate::base::id::UnitNumber;
use crate::base::time::{Instant, WallTime};
use crate::media::parity::{self, Blocks, Row};
use crate::media::rate::probe::Train;
use crate::net::transport::{OutgoingPacket, Track, Transport};
use crate::proto::red;
use crate::proto::repair::Parity;
use crate::proto::rtp_h264::{Packets, Payload, packetise};
use crate::proto::unit_ext::UnitExt;
use crate::world::connection::{Connection, Path, Tracks};
use crate::world::outgoing::{Repairing, TargetRate, VideoQueue, VideoSent, Voice, VoiceFrame};
use crate::world::shared::Now;

/// 1200 bytes of UDP payload (RFC 8085 §3.2 by way of WebRTC's habit) less RTP header, extensions, the RTX header
/// and the authentication tag; and what stands before a row of parity.
const PAYLOAD: usize = 1200 - 12 - 40 - 2 - 16 - 8;

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
        let transport = &mut connection.transport;
        let around = transport.around_sound() as usize;
        let mut further = 0;
        for (source, (track, video)) in tracks.videos_out().enumerate() {
            let Ok((mut queue, mut rate, mut sent)) = outgoings.get_mut(video) else { continue };
            if track == Track::Video && rate.0.take_forget(now.0) {
                transport.forget_sent();
            }
            let allowed = queue.allowed.unwrap_or_else(|| rate.0.allowed(now.0));
            // Nothing was encoded before there was a path.
            while queue.may_leave(&allowed, now.0) {
                let of = Of { track, source: source as u8, loss: allowed.expected_loss };
                let Some((bytes, begins)) = send_packet(&mut queue, of, now.0, transport) else { break };
                sent.packets += 1;
                sent.bytes += bytes as u64;
                let is_last = queue.sending.is_none();
                sent.sent += u64::from(is_last);
                queue.units.left(bytes + around, is_last);
                match track {
                    Track::Video => rate.0.on_sent(bytes + around, begins, now.0),
                    _ => further += bytes + around,
                }
            }
        }
        // The first one's control is that of the path.
        let Ok((mut queue, mut rate, _)) = outgoings.get_mut(tracks.video_out) else { continue };
        if further > 0 {
            rate.0.on_sent(further, None, now.0);
        }
        if queue.repair.is_read
            && let Some(train) = rate.0.take_train(now.0)
        {
            send_train(&train, &mut queue.repair.payload, now.0, transport);
        }
    }
}

/// Whose packets they are, and how many of them are lost on the way.
#[derive(Clone, Copy)]
struct Of {
    track: Track,
    source: u8,
    loss: f64,
}

/// Sends the next packet there is; how long its payload was, and the number of its unit where it is the first of it.
fn send_packet(
    queue: &mut VideoQueue,
    of: Of,
    now: Instant,
    transport: &mut Transport,
) -> Option<(usize, Option<UnitNumber>)> {
    if queue.sending.is_none() {
        let unit = queue.units.take(now)?;
        packetise(&unit.data, PAYLOAD, &mut queue.packets);
        // What a keyframe takes longer nobody can see; another picture is sent again.
        let loss = if unit.keyframe && queue.repair.is_read { of.loss } else { 0.0 };
        queue.repair.blocks = Blocks::new(queue.packets.len(), loss);
        queue.repair.first = transport.next_sequence(of.track);
        queue.refers = queue.reference.map_or(1, |last| unit.number.0.wrapping_sub(last.0).clamp(1, 4) as u8);
        queue.reference = Some(unit.number).filter(|_| !unit.discardable).or(queue.reference);
        (queue.sending, queue.next) = (Some(unit), 0);
    }
    let VideoQueue { sending, packets, next, repair, epoch, refers, .. } = &mut *queue;
    let unit = sending.as_ref()?;
    let (first, parity) = (*next == 0, next.checked_sub(packets.len()));
    let row = parity.and_then(|index| repair.blocks.get(index));
    let payload = match (packets.payload(*next), row) {
        (Some(payload), _) => payload,
        (None, Some(row)) => Payload { bytes: parity_of(row, of.source, packets, repair), marker: false },
        // A unit of nothing that can be sent.
        (None, None) => {
            *sending = None;
            return Some((0, None));
        }
    };
    let extension = UnitExt {
        number: unit.number,
        temporal_id: unit.temporal_id,
        discardable: unit.discardable,
        refers: *refers,
        layer: 0,
        encode: unit.encoded.saturating_duration_since(unit.captured),
        queue: now.saturating_duration_since(unit.encoded),
    };
    // RFC 6184 §8.2.1: a 90 kHz clock.
    let micros = unit.captured.saturating_duration_since(*epoch).as_micros();
    let is_described = first || row.is_some();
    let packet = OutgoingPacket {
        track: if row.is_some() { Track::Repair } else { of.track },
        timestamp: (micros * 9 / 100) as u32,
        marker: payload.marker,
        redundant: false,
        payload: payload.bytes,
        captured: unit.captured,
        capture_time: is_described.then(|| WallTime::of(unit.captured)),
        unit: is_described.then_some(extension),
        level: None,
        voice: false,
    };
    transport.write(&packet, now);
    let sent = (payload.bytes.len(), first.then_some(unit.number));
    queue.next += 1;
    if queue.next >= queue.packets.len() + queue.repair.blocks.len() {
        queue.sending = None;
    }
    Some(sent)
}

/// The payload with one row of parity.
fn parity_of<'a>(row: Row, source: u8, packets: &Packets, repair: &'a mut Repairing) -> &'a [u8] {
    let block = (row.first..row.first + row.packets).filter_map(|index| Some(packets.payload(index)?.bytes));
    parity::write_row(row.row, block, &mut repair.row);
    let parity = Parity {
        source,
        begins: row.begins,
        ends: row.ends,
        first: repair.first.wrapping_add(row.first as u64) as u16,
        packets: row.packets as u8,
        row: row.row,
        bytes: &repair.row,
    };
    parity.write(&mut repair.payload);
    &repair.payload
}

/// A train goes all at once: how far its packets come apart is what the path does to them.
fn send_train(train: &Train, payload: &mut Vec<u8>, now: Instant, transport: &mut Transport) {
    for place in 0..train.packets {
        train.probe(place).write(train.payload, payload);
        let packet = OutgoingPacket {
            track: Track::Repair,
            timestamp: 0,
            marker: false,
            redundant: false,
            payload,
            captured: now,
            capture_time: None,
            unit: None,
            level: None,
            voice: false,
        };
        transport.write(&packet, now);
    }
}
