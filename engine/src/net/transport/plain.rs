//! RTP in the clear, without ICE: the same face as the real transport for tests that need the same result to the
//! bit. Never offered to a peer: a call uses it only where both ends live in one test.
//!
//! Datagram: u8 kind. Kind 1 is a packet: u8 track and flags (128: marker, 64: has copies, 32: voice), u16 sequence, u32 timestamp, u64 capture time in µs
//! (0 = none), u8 length of the unit extension and that many bytes, i8 level (127 = none), payload. Kind 2 asks for a
//! keyframe (u8 which picture, counted from 0), kind 3 carries a report, kind 4 closes, kind 5 keeps alive and carries a time that kind 6 sends back, kind 7
//! asks for pictures' packets again (u8 which picture, u16 sequence numbers). All numbers are big-endian.

mod resend;

use std::net::SocketAddr;

use resend::{Missing, Sent};

use super::{ArrivedPacket, BESIDE, Drained, IDLE, OutgoingPacket, Parameters, Sources, Track, TransportEvent};
use crate::base::error::Result;
use crate::base::rate::Bitrate;
use crate::base::time::{Duration, Instant, WallTime};
use crate::net::datagram::{Class, Outbox, Received};
use crate::net::paths::Found;
use crate::proto::signal::media::Candidate;
use crate::proto::unit_ext::UnitExt;

/// Bytes on the wire around a payload: IPv4 20, UDP 8, our own 18.
pub const AROUND: u64 = 46;

const PACKET: u8 = 1;
const KEYFRAME: u8 = 2;
const FEEDBACK: u8 = 3;
const CLOSE: u8 = 4;

/// One of this kind every 250 ms keeps the other side from thinking us dead.
const ALIVE: u8 = 5;
const ECHO: u8 = 6;
const AGAIN: u8 = 7;
const ALIVE_EVERY: Duration = Duration::from_millis(250);

/// RTP in the clear.
pub struct Plain {
    parameters: Parameters,
    local: Option<SocketAddr>,
    remote: Option<SocketAddr>,
    started: bool,
    connected: bool,
    outbox: Outbox,
    sequence: [u64; TRACKS],
    received: [Extender; TRACKS],
    alive_at: Instant,
    sent: [Sent; PICTURES],
    missing: [Missing; PICTURES],
    around: u64,
}

/// Tracks of pictures: the first and those beside it.
const PICTURES: usize = 1 + BESIDE;
/// Sound, they, and what is beside them.
const TRACKS: usize = PICTURES + 2;
const REPAIR: usize = TRACKS - 1;

/// Follows a sequence number and a timestamp past their wrap.
#[derive(Clone, Copy, Debug, Default)]
struct Extender {
    sequence: Option<u64>,
    timestamp: Option<u64>,
}

/// Whether a datagram of this transport is the last packet of a picture that has several.
pub fn ends_picture(datagram: &[u8]) -> bool {
    // Video's track number with the marker's bit; the first packet of a unit carries its extension.
    matches!(datagram, [PACKET, 0x81, ..]) && datagram.get(16) == Some(&0)
}

impl Plain {
    pub fn new(sources: Sources, now: Instant) -> Self {
        let parameters = Parameters { ufrag: String::new(), password: String::new(), fingerprint: [0; 32], sources };
        Self {
            parameters,
            local: None,
            remote: None,
            started: false,
            connected: false,
            outbox: Outbox::default(),
            sequence: [0; TRACKS],
            received: [Extender::default(); TRACKS],
            alive_at: now + IDLE,
            sent: Default::default(),
            missing: Default::default(),
            around: AROUND,
        }
    }

    pub fn parameters(&self) -> Parameters {
        self.parameters.clone()
    }

    pub fn start(&mut self, _: &Parameters, _: bool, now: Instant) -> Result<()> {
        self.started = true;
        self.alive_at = now;
        Ok(())
    }

    pub fn add_local(&mut self, found: &Found) -> Option<u32> {
        self.local.get_or_insert(found.base);
        Some(1)
    }

    pub fn add_remote(&mut self, candidate: &Candidate) {
        self.remote.get_or_insert(candidate.address);
    }

    pub fn accepts(&self, datagram: &Received, _: &[u8]) -> bool {
        self.started && self.remote == Some(datagram.from)
    }

    pub fn receive(&mut self, datagram: &Received, bytes: &[u8], out: &mut Drained) -> bool {
        if !self.accepts(datagram, bytes) {
            return false;
        }
        if !self.connected {
            self.connected = true;
            out.events.push(TransportEvent::Connected);
            let figures =
                TransportEvent::Figures { round_trip: None, loss_out: None, local: self.local, remote: self.remote };
            out.events.push(figures);
        }
        match bytes.split_first() {
            Some((&PACKET, rest)) => match self.read(rest, datagram.at) {
                Some(packet) => out.packets.push(packet),
                None => return false,
            },
            Some((&KEYFRAME, [0, ..] | [])) => out.events.push(TransportEvent::KeyframeRequest),
            Some((&KEYFRAME, [number, ..])) => out.events.push(TransportEvent::FurtherKeyframeRequest(number - 1)),
            Some((&FEEDBACK, report)) => out.events.push(TransportEvent::Feedback(report.into())),
            Some((&CLOSE, _)) => out.events.push(TransportEvent::Closed(String::new())),
            Some((&ALIVE, time)) => self.send(ECHO, time),
            Some((&ECHO, time)) => {
                let Some(sent) = time.first_chunk().map(|bytes| WallTime::from_micros(u64::from_be_bytes(*bytes)))
                else {
                    return false;
                };
                let micros = WallTime::of(datagram.at).micros_since(sent);
                let round_trip = u64::try_from(micros).ok().map(Duration::from_micros);
                self.missing.iter_mut().for_each(|missing| missing.round_trip = round_trip);
                out.events.push(TransportEvent::Figures { round_trip, loss_out: None, local: None, remote: None });
            }
            Some((&AGAIN, request)) => {
                let (Some(local), Some(remote)) = (self.local, self.remote) else { return false };
                let Some((number, request)) = request.split_first() else { return false };
                let Some(sent) = self.sent.get(usize::from(*number)) else { return false };
                sent.asked(request).for_each(|data| self.outbox.push(local, remote, Class::Video, data));
            }
            _ => return false,
        }
        true
    }

    pub fn write(&mut self, packet: &OutgoingPacket<'_>, _: Instant) {
        let (Some(local), Some(remote)) = (self.local, self.remote) else { return };
        let index = index_of(packet.track);
        let class = match packet.track {
            Track::Audio => Class::Audio,
            // What measures the path goes at once.
            Track::Repair if packet.unit.is_none() => Class::Audio,
            _ => Class::Video,
        };
        if index >= TRACKS {
            return;
        }
        let sequence = self.sequence[index];
        self.sequence[index] = sequence.wrapping_add(1);
        let unit = packet.unit.as_ref().map(UnitExt::write);
        let unit = unit.as_ref().map_or(&[][..], |bytes| &bytes[..]);
        let mut data = Vec::with_capacity(32 + unit.len() + packet.payload.len());
        let voice = packet.voice && packet.level.is_some();
        let flags = u8::from(voice) << 5 | u8::from(packet.redundant) << 6 | u8::from(packet.marker) << 7;
        data.extend([PACKET, index as u8 | flags]);
        data.extend((sequence as u16).to_be_bytes());
        data.extend(packet.timestamp.to_be_bytes());
        data.extend(packet.capture_time.map_or(0, WallTime::as_micros).to_be_bytes());
        data.push(unit.len() as u8);
        data.extend(unit);
        data.push(packet.level.unwrap_or(127) as u8);
        data.extend(packet.payload);
        self.outbox.push(local, remote, class, &data);
        if let Some(sent) = index.checked_sub(1).and_then(|number| self.sent.get_mut(number)) {
            sent.keep(sequence as u16, &data);
        }
    }

    pub fn next_sequence(&self, track: Track) -> u64 {
        self.sequence.get(index_of(track)).copied().unwrap_or_default()
    }

    pub fn run_timeouts(&mut self, now: Instant, out: &mut Drained) {
        if self.can_speak() && now >= self.alive_at {
            self.alive_at = now + ALIVE_EVERY;
            self.send(ALIVE, &WallTime::of(now).as_micros().to_be_bytes());
        }
        for number in 0..PICTURES {
            let request = self.missing[number].ask(now);
            if !request.is_empty() {
                self.send(AGAIN, &[&[number as u8][..], &request].concat());
            }
        }
        for (sending, bytes) in self.outbox.iter() {
            out.outbox.push(sending.from, sending.to, sending.class, bytes);
        }
        self.outbox.clear();
    }

    pub fn deadline(&self) -> Instant {
        // Nothing can be said before there is somebody to say it to; the first word then goes out at once.
        let alive = if self.can_speak() { self.alive_at } else { self.alive_at + IDLE };
        self.missing.iter().filter_map(Missing::next_due).fold(alive, |alive, due| alive.min(due))
    }

    const fn can_speak(&self) -> bool {
        self.started && self.local.is_some() && self.remote.is_some()
    }

    pub fn is_written(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// The same figure as another transport's, whose place this one takes.
    pub const fn set_around(&mut self, bytes: u64) {
        self.around = bytes;
    }

    pub const fn around_sound(&self) -> u64 {
        self.around
    }

    pub fn request_keyframe(&mut self, track: Track) {
        let number = if let Track::Further(number) = track { number + 1 } else { 0 };
        self.send(KEYFRAME, &[number]);
    }

    pub fn send_feedback(&mut self, report: &[u8]) {
        self.send(FEEDBACK, report);
    }

    pub fn set_desired(&mut self, _: Bitrate) {}

    pub fn reset_estimate(&mut self, _: Bitrate) {}

    pub fn forget_sent(&mut self) {
        self.sent.iter_mut().for_each(Sent::forget);
    }

    pub fn close(&mut self) {
        self.send(CLOSE, &[]);
        self.started = false;
    }

    fn send(&mut self, kind: u8, body: &[u8]) {
        if let (Some(local), Some(remote)) = (self.local, self.remote) {
            let mut data = vec![kind];
            data.extend(body);
            self.outbox.push(local, remote, Class::Audio, &data);
        }
    }

    fn read(&mut self, mut rest: &[u8], at: Instant) -> Option<ArrivedPacket> {
        let flags = take::<1>(&mut rest)?[0];
        let (track, index) = match flags & 0x1f {
            0 => (Track::Audio, 0),
            1 => (Track::Video, 1),
            index if usize::from(index) <= PICTURES => (Track::Further(index - 2), usize::from(index)),
            index if usize::from(index) == REPAIR => (Track::Repair, REPAIR),
            _ => return None,
        };
        let sequence = u16::from_be_bytes(take(&mut rest)?);
        let timestamp = u32::from_be_bytes(take(&mut rest)?);
        let capture = u64::from_be_bytes(take(&mut rest)?);
        let unit_length = usize::from(take::<1>(&mut rest)?[0]);
        let (unit, after) = rest.split_at_checked(unit_length)?;
        rest = after;
        let level = take::<1>(&mut rest)?[0] as i8;
        let extender = &mut self.received[index];
        let sequence = extend(&mut extender.sequence, u64::from(sequence), 1 << 16);
        if let Some(missing) = index.checked_sub(1).and_then(|number| self.missing.get_mut(number)) {
            missing.arrived(sequence, at);
        }
        Some(ArrivedPacket {
            track,
            sequence,
            timestamp: extend(&mut extender.timestamp, u64::from(timestamp), 1 << 32),
            marker: flags & 0x80 != 0,
            redundant: flags & 0x40 != 0,
            payload: rest.into(),
            at,
            capture_time: (capture != 0).then_some(WallTime::from_micros(capture)),
            unit: UnitExt::parse(unit),
            level: (level != 127).then_some(level),
            voice: flags & 0x20 != 0,
        })
    }
}

fn index_of(track: Track) -> usize {
    match track {
        Track::Audio => 0,
        Track::Video => 1,
        Track::Further(number) => 2 + usize::from(number),
        Track::Repair => REPAIR,
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

/// The number nearest to the last one that ends in `low` modulo `modulus`.
fn extend(last: &mut Option<u64>, low: u64, modulus: u64) -> u64 {
    let near = last.unwrap_or(modulus);
    let base = near - near % modulus + low;
    let candidates = [base.saturating_sub(modulus), base, base.saturating_add(modulus)];
    let best = candidates.into_iter().min_by_key(|c| c.abs_diff(near)).unwrap_or(base);
    *last = Some(last.map_or(best, |last| last.max(best)));
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_followed_past_their_wrap_and_back() {
        let mut last = None;
        let first = extend(&mut last, 65_534, 1 << 16);
        assert_eq!(extend(&mut last, 2, 1 << 16), first + 4);
        assert_eq!(extend(&mut last, 65_535, 1 << 16), first + 1);
        assert_eq!(extend(&mut last, 3, 1 << 16), first + 5);
    }
}
