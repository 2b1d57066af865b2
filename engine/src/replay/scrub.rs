//! Takes out of a recording what decisions do not need, so that it can go into a bug report: sound and pictures become a
//! pattern of the same sizes, addresses ones that are kept for documentation, texts empty.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use super::file::RecordedCall;
use crate::base::error::{Error, Kind, Result};
use crate::base::pipe::Wake;
use crate::media::phase::PhaseReport;
use crate::media::rate::DelayReport;
use crate::media::rate::probe::ProbeReport;
use crate::media::sound::report::SoundReport;
use crate::proto::blank;
use crate::store::recording::{Piece, RecordingWriter};
use crate::world::tape::encode;
use crate::world::tape::note::{EventNote, Note, PacketNote, TickNote};

/// What was taken out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    pub ticks: u64,
    pub packets: u64,
    pub bytes: u64,
    pub addresses: u64,
}

/// Writes the recording in `from` without its content to `to`.
///
/// # Errors
/// `Malformed`: `from` is no recording, or not a whole one; otherwise `to` cannot be written.
pub fn scrub(from: &Path, to: &Path, partial: bool) -> Result<Scrubbed> {
    let mut call = RecordedCall::open(from, partial)?;
    if is_same_file(from, to) {
        return Err(Error::new(Kind::Malformed, "a recording cannot be scrubbed onto itself: name another file"));
    }
    let mut writer = RecordingWriter::create(to, u64::MAX, Wake::none())?;
    let mut body = writer.put_in_time(Piece::Head, encode(call.head(), Vec::new())?)?;
    let (mut scrubbed, mut addresses) = (Scrubbed::default(), HashMap::new());
    while let Some(mut tick) = call.next_tick()? {
        scrub_tick(&mut tick, &mut scrubbed, &mut addresses);
        body = encode(&tick, body)?;
        if body.len() > PIECE {
            body = writer.put_in_time(Piece::Ticks, body)?;
        }
    }
    writer.put_in_time(Piece::Ticks, body)?;
    writer.finish()?;
    scrubbed.addresses = addresses.len() as u64;
    Ok(scrubbed)
}

/// Of about this many bytes a piece is made.
const PIECE: usize = 256 << 10;

fn scrub_tick(tick: &mut TickNote, scrubbed: &mut Scrubbed, addresses: &mut HashMap<SocketAddr, SocketAddr>) {
    scrubbed.ticks += 1;
    for entry in &mut tick.entries {
        let path = match &mut entry.note {
            Note::Path(path) => path,
            // When somebody spoke is theirs too; nothing is decided by it.
            Note::Sound { voice, .. } => {
                *voice = false;
                continue;
            }
            Note::Restored(packets) => {
                packets.iter_mut().for_each(|(_, payload)| blank::blank_h264(payload));
                continue;
            }
            _ => continue,
        };
        for packet in &mut path.packets {
            scrubbed.packets += 1;
            scrubbed.bytes += packet.payload.len() as u64;
            blank_packet(packet);
        }
        for event in &mut path.events {
            match event {
                EventNote::Figures { local, remote, .. } => {
                    [local, remote].into_iter().flatten().for_each(|address| *address = stand_in(*address, addresses));
                }
                EventNote::Closed(text) => text.clear(),
                // Whatever else the other side wrote there; decisions read only what is a report.
                EventNote::Feedback(bytes) => {
                    let delay = DelayReport::parse(bytes).map(|report| report.to_bytes().to_vec());
                    let sound = || SoundReport::parse(bytes).map(|report| report.to_bytes().to_vec());
                    let probe = || ProbeReport::parse(bytes).map(|report| report.to_bytes().to_vec());
                    let phase = || PhaseReport::parse(bytes).map(|report| report.to_bytes().to_vec());
                    *bytes = delay.or_else(sound).or_else(probe).or_else(phase).unwrap_or_default();
                }
                _ => {}
            }
        }
    }
}

fn blank_packet(packet: &mut PacketNote) {
    // How loud the voice was, moment by moment, is the voice's melody.
    (packet.level, packet.voice) = (None, false);
    if packet.is_repair() {
        // Of which packets it is stays. What it would restore is nothing any more.
        return blank::blank_repair(&mut packet.payload);
    }
    match (packet.track > 0, packet.redundant) {
        (true, _) => blank::blank_h264(&mut packet.payload),
        (false, false) => blank::blank_opus(&mut packet.payload),
        (false, true) => blank::blank_red(&mut packet.payload),
    }
}

/// Another address for each one, the same for the same: of 192.0.2.0/24 (RFC 5737 §3).
fn stand_in(address: SocketAddr, known: &mut HashMap<SocketAddr, SocketAddr>) -> SocketAddr {
    let number = known.len();
    *known.entry(address).or_insert_with(|| {
        let host = IpAddr::V4(Ipv4Addr::new(192, 0, 2, (number % 250) as u8 + 1));
        SocketAddr::new(host, 2000 + (number / 250) as u16)
    })
}

fn is_same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
