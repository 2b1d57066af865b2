//! Both transports through the same moves, in virtual time, joined by a list instead of a network.

use std::net::{Ipv4Addr, SocketAddr};

use super::plain::Plain;
use super::webrtc::Webrtc;
use super::{Drained, OutgoingPacket, Parameters, Sources, Track, Transport, TransportEvent};
use crate::base::id::Ssrc;
use crate::base::time::{Duration, Instant, WallTime, now};
use crate::net::datagram::Inbox;
use crate::net::paths::Found;

struct End {
    transport: Transport,
    address: SocketAddr,
    seen: Drained,
}

impl End {
    fn new(real: bool, n: u8, at: Instant) -> Self {
        let n32 = u32::from(n);
        let sources = Sources {
            audio: Ssrc(n32 * 10),
            video: Ssrc(n32 * 10 + 1),
            video_rtx: Ssrc(n32 * 10 + 2),
            further: Default::default(),
            repair: Some(Ssrc(n32 * 10 + 3)),
        };
        let mut transport = if real {
            Transport::Webrtc(Box::new(Webrtc::new(sources, at)))
        } else {
            Transport::Plain(Box::new(Plain::new(sources, at)))
        };
        let address = SocketAddr::from((Ipv4Addr::new(10, 0, 0, n), 2000));
        let _ = transport.add_local(&Found::host(address, false));
        Self { transport, address, seen: Drained::default() }
    }
}

/// Two started ends.
fn pair(real: bool, at: Instant) -> [End; 2] {
    let mut ends = [End::new(real, 1, at), End::new(real, 2, at)];
    let told: Vec<(Parameters, SocketAddr)> =
        ends.iter().map(|end| (end.transport.parameters(), end.address)).collect();
    for (index, end) in ends.iter_mut().enumerate() {
        let (parameters, address) = &told[1 - index];
        end.transport.start(parameters, index == 0, at).expect("parameters of our own making");
        end.transport.add_remote(&Found::host(*address, false).candidate);
    }
    ends
}

/// Runs both ends millisecond by millisecond until `done`, at most ten virtual seconds.
fn run(ends: &mut [End; 2], at: &mut Instant, mut done: impl FnMut(&[End; 2]) -> bool) -> bool {
    let end = *at + Duration::from_secs(10);
    while *at < end {
        if done(ends) {
            return true;
        }
        for index in 0..2 {
            let mut drained = Drained::default();
            ends[index].transport.run_timeouts(*at, &mut drained);
            let mut inbox = Inbox::default();
            for (sending, bytes) in drained.outbox.iter() {
                inbox.push(ends[index].address, sending.to, *at, bytes);
            }
            ends[index].seen.packets.append(&mut drained.packets);
            ends[index].seen.events.append(&mut drained.events);
            for n in 0..inbox.datagrams().len() {
                let (datagram, bytes) = inbox.read(n).expect("just pushed");
                let other = &mut ends[1 - index];
                let mut seen = std::mem::take(&mut other.seen);
                other.transport.receive(datagram, bytes, &mut seen);
                // What a receive brings out to send goes by way of the next `run_timeouts` in this test only for
                // its own transport, so it is handed over here at once.
                let mut back = Inbox::default();
                for (sending, bytes) in seen.outbox.iter() {
                    back.push(other.address, sending.to, *at, bytes);
                }
                seen.outbox.clear();
                other.seen = seen;
                for n in 0..back.datagrams().len() {
                    let (datagram, bytes) = back.read(n).expect("just pushed");
                    let this = &mut ends[index];
                    let mut seen = std::mem::take(&mut this.seen);
                    this.transport.receive(datagram, bytes, &mut seen);
                    this.seen = seen;
                }
            }
        }
        *at += Duration::from_millis(1);
    }
    done(ends)
}

fn carries_everything(real: bool) {
    let mut at = now();
    let mut ends = pair(real, at);
    let connected = |end: &End| end.seen.events.contains(&TransportEvent::Connected);
    assert!(run(&mut ends, &mut at, |ends| ends.iter().all(connected)), "both sides connect");
    let unit = crate::proto::unit_ext::UnitExt::default();
    let captured = WallTime::of(at);
    let packet = OutgoingPacket {
        track: Track::Video,
        timestamp: 90_000,
        marker: true,
        redundant: false,
        payload: b"a picture",
        captured: at,
        capture_time: Some(captured),
        unit: Some(unit),
        level: None,
        voice: false,
    };
    ends[0].transport.write(&packet, at);
    let sound = OutgoingPacket {
        track: Track::Audio,
        payload: b"a sound",
        unit: None,
        level: Some(-70),
        voice: true,
        marker: false,
        redundant: false,
        ..packet
    };
    ends[0].transport.write(&sound, at);
    let next = ends[0].transport.next_sequence(Track::Video);
    let repair = OutgoingPacket { track: Track::Repair, payload: b"parity", marker: false, ..packet };
    ends[0].transport.write(&repair, at);
    assert_eq!(ends[0].transport.next_sequence(Track::Video), next, "it has numbers of its own");
    assert!(run(&mut ends, &mut at, |ends| ends[1].seen.packets.len() >= 3), "all packets arrive");
    let repair = ends[1].seen.packets.iter().find(|p| p.track == Track::Repair).expect("repair");
    assert_eq!((&repair.payload[..], repair.unit), (&b"parity"[..], Some(unit)));
    let video = ends[1].seen.packets.iter().find(|p| p.track == Track::Video).expect("video");
    assert_eq!(video.sequence as u16 + 1, next as u16, "a number that the other side can know it by");
    assert_eq!((&video.payload[..], video.marker, video.unit), (&b"a picture"[..], true, Some(unit)));
    let error = video.capture_time.expect("capture time").micros_since(captured);
    assert!(error.abs() <= 1, "{error} µs");
    let audio = ends[1].seen.packets.iter().find(|p| p.track == Track::Audio).expect("audio");
    assert_eq!((&audio.payload[..], audio.level, audio.voice), (&b"a sound"[..], Some(-70), true));
    assert!(!video.voice);

    ends[1].transport.request_keyframe(Track::Video);
    ends[1].transport.send_feedback(b"report");
    let asked = |ends: &[End; 2]| {
        let events = &ends[0].seen.events;
        let reported = events.iter().any(|e| matches!(e, TransportEvent::Feedback(r) if r.starts_with(b"report")));
        reported && events.contains(&TransportEvent::KeyframeRequest)
    };
    assert!(run(&mut ends, &mut at, asked), "a keyframe request and a report arrive: {:?}", ends[0].seen.events);
    ends[0].transport.close();
    let closed = |ends: &[End; 2]| ends[1].seen.events.iter().any(|e| matches!(e, TransportEvent::Closed(_)));
    assert!(run(&mut ends, &mut at, closed), "the other side learns of the close");
}

#[test]
fn webrtc_carries_media_requests_and_goodbyes() {
    carries_everything(true);
}

#[test]
fn plain_carries_media_requests_and_goodbyes() {
    carries_everything(false);
}

#[test]
fn a_wrong_fingerprint_never_connects() {
    let mut at = now();
    let mut ends = [End::new(true, 1, at), End::new(true, 2, at)];
    let mut told: Vec<Parameters> = ends.iter().map(|end| end.transport.parameters()).collect();
    told[1].fingerprint = told[0].fingerprint;
    let addresses = [ends[0].address, ends[1].address];
    for (index, end) in ends.iter_mut().enumerate() {
        end.transport.start(&told[1 - index], index == 0, at).expect("well-formed parameters");
        end.transport.add_remote(&Found::host(addresses[1 - index], false).candidate);
    }
    let connected = |ends: &[End; 2]| ends[0].seen.events.contains(&TransportEvent::Connected);
    assert!(!run(&mut ends, &mut at, connected), "the side that was told another certificate refuses");
}
