//! Parsers of what comes from outside, each given anything: `fn(&[u8])` that must come back, whatever the bytes are. Driven
//! by random bytes and by mutated whole inputs.

mod seeds;
mod service;

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use engine::base::time::now;
use engine::media::jitter_video::{PacketIn, VideoJitter};
use engine::media::rate::DelayReport;
use engine::media::sound::report::SoundReport;
use engine::media::video::Picture;
use engine::proto::file::{Control, LARGEST, Message};
use engine::proto::mapping::{igd, natpmp, pcp, route, ssdp};
use engine::proto::nettest::service::{About, Dial};
use engine::proto::nettest::stun;
use engine::proto::proxy::{Destination, Handshake, ProxyUrl, socks5};
use engine::proto::rtp_h264::{Depacketiser, begins_keyframe, begins_unit, holds_idr};
use engine::proto::unit_ext::UnitExt;
use engine::proto::{nal, red};
use engine::source::file::mp4::Mp4Track;
use engine::source::file::y4m::Y4mReader;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A parser, and whole inputs of it to mutate.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: [Target; 19] = [
    Target { name: "MP4 index and samples", run: mp4, seeds: seeds::mp4 },
    Target { name: "Y4M header and frames", run: y4m, seeds: seeds::y4m },
    Target { name: "H.264 NAL units", run: nal_units, seeds: seeds::units },
    Target { name: "RTP payloads of H.264", run: rtp, seeds: seeds::payloads },
    Target { name: "copies of sound (RED)", run: redundant, seeds: seeds::redundant },
    Target { name: "the unit extension", run: unit_ext, seeds: seeds::unit_ext },
    Target { name: "answers of routers", run: routers, seeds: seeds::routers },
    Target { name: "answers of proxies", run: proxies, seeds: seeds::proxies },
    Target { name: "answers to the network test", run: nettest, seeds: seeds::nettest },
    Target { name: "the receiver's reports", run: reports, seeds: seeds::reports },
    Target { name: "messages about files", run: files, seeds: seeds::files },
    Target { name: "requests on channels", run: service::asks, seeds: service::asks_seeds },
    Target { name: "what a service says on channels", run: service::said, seeds: service::said_seeds },
    Target { name: "heads of HTTP", run: service::heads, seeds: service::heads_seeds },
    Target { name: "requests of accounts", run: service::accounts, seeds: service::accounts_seeds },
    Target { name: "links, addresses and names", run: service::links, seeds: service::links_seeds },
    Target { name: "envelopes and Quick Messages", run: service::letters, seeds: service::letters_seeds },
    Target { name: "what services tell each other", run: service::bus, seeds: service::bus_seeds },
    Target { name: "a balancer's header, a relay's frames", run: service::ahead, seeds: service::ahead_seeds },
];

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Survived {
    pub inputs: u64,
    pub panics: u64,
    pub slowest: Duration,
}

/// Gives `target` so many mutated inputs.
pub fn survive(target: &Target, inputs: u64, seed: u64) -> Survived {
    let (seeds, mut random) = ((target.seeds)(), StdRng::seed_from_u64(seed));
    let mut survived = Survived::default();
    let mut input = Vec::new();
    while survived.inputs < inputs {
        mutate(&mut random, &seeds, &mut input);
        let begun = now();
        let is_fine = catch_unwind(AssertUnwindSafe(|| (target.run)(&input))).is_ok();
        survived.slowest = survived.slowest.max(now() - begun);
        survived.panics += u64::from(!is_fine);
        survived.inputs += 1;
    }
    survived
}

/// One of `seeds` with something wrong in it, or noise.
fn mutate(random: &mut StdRng, seeds: &[Vec<u8>], out: &mut Vec<u8>) {
    out.clear();
    let any = |random: &mut StdRng| &seeds[random.random_range(0..seeds.len())];
    if seeds.is_empty() || random.random_range(0..20) == 0 {
        out.resize(random.random_range(0..600), 0);
        random.fill(&mut out[..]);
        return;
    }
    out.extend(any(random));
    for _ in 0..random.random_range(1..5) {
        let length = out.len();
        let at = random.random_range(0..=length);
        match random.random_range(0..7) {
            0 if length > 0 => out[at.min(length - 1)] ^= 1 << random.random_range(0..8),
            1 if length > 0 => out[at.min(length - 1)] = random.random(),
            2 => out.truncate(at),
            3 => out.splice(at..at, [0xff; 4]).for_each(drop),
            // A number that is very large, or one too many.
            4 => {
                let end = (at + 4).min(length);
                let large: u32 = [u32::MAX, 1 << 31, 1 << 24, 0][random.random_range(0..4)];
                out.splice(at..end, large.to_be_bytes()).for_each(drop);
            }
            5 => {
                let end = random.random_range(at..=length.min(at + 200));
                let middle = out[at..end].to_vec();
                out.splice(at..at, middle).for_each(drop);
            }
            _ => {
                let other = any(random);
                let from = random.random_range(0..=other.len());
                out.truncate(at);
                out.extend(&other[from..]);
            }
        }
    }
}

/// Reads the index and the first samples.
pub fn mp4(data: &[u8]) {
    let Ok(mut track) = Mp4Track::new("fuzzed".into(), Cursor::new(data), data.len() as u64) else { return };
    for number in 0..track.count().min(16) {
        let _ = (track.unit(number).map(<[u8]>::len), track.step(number));
    }
}

/// Reads the header and some pictures.
pub fn y4m(data: &[u8]) {
    let Ok(mut reader) = Y4mReader::new("fuzzed".into(), Cursor::new(data)) else { return };
    let mut picture = Picture::default();
    (0..3).take_while(|_| reader.read(&mut picture).is_ok()).count();
}

/// The parser in front of the decoder.
pub fn nal_units(data: &[u8]) {
    let _ = nal::inspect(data);
    for unit in nal::split(data) {
        let _ = nal::parse_sps(unit);
    }
}

/// Payloads with their length in front, in any order, through what puts units together and through the jitter buffer.
pub fn rtp(data: &[u8]) {
    let (mut depacketiser, mut unit) = (Depacketiser::default(), Vec::new());
    let (mut jitter, at) = (VideoJitter::default(), now());
    let mut rest = data;
    while let Some((head, after)) = rest.split_first_chunk::<3>() {
        let [flags, sequence, length] = *head;
        let (payload, after) = after.split_at(usize::from(length).min(after.len()));
        rest = after;
        let _ = (begins_unit(payload), holds_idr(payload), begins_keyframe(payload));
        if depacketiser.push(payload, flags & 1 != 0).is_ok() && flags & 2 != 0 {
            let _ = depacketiser.finish();
        }
        depacketiser.take_into(&mut unit);
        jitter.push(PacketIn {
            sequence: u64::from(sequence),
            timestamp: u64::from(flags >> 2) * 3000,
            marker: flags & 1 != 0,
            payload: payload.into(),
            arrival: at,
            unit: UnitExt::parse(payload),
            capture: None,
        });
        while jitter.poll_unit(at).is_some() {}
    }
}

pub fn redundant(data: &[u8]) {
    for block in red::read(data).into_iter().flatten() {
        // What it says lies within the packet.
        assert!(data.get(block.range).is_some(), "a block outside of its packet");
    }
}

pub fn unit_ext(data: &[u8]) {
    if let Some(unit) = UnitExt::parse(data) {
        assert_eq!(UnitExt::parse(&unit.write()), Some(unit));
    }
}

/// What a receiver says about the path.
pub fn reports(data: &[u8]) {
    if let Some(report) = DelayReport::parse(data) {
        let _ = (report.arrives(), report.to_bytes());
    }
    if let Some(report) = SoundReport::parse(data) {
        let _ = report.to_bytes();
    }
}

/// What comes over a call's data channel.
pub fn files(data: &[u8]) {
    match Message::parse(data) {
        Some(Message::Data { offset, bytes }) => {
            assert!(offset + bytes.len() as u64 <= LARGEST && !bytes.is_empty(), "a part outside of any file");
        }
        Some(Message::Control(Control::Offer(offer))) => {
            assert!(!offer.name.contains(['/', '\\', '\0']) && !offer.name.starts_with('.'), "a name that is a path");
        }
        _ => {}
    }
}

/// What a router, or what takes itself for one, says of ports.
pub fn routers(data: &[u8]) {
    let _ = (pcp::Answer::parse(data), natpmp::Answer::parse(data));
    let text = String::from_utf8_lossy(data);
    let _ = route::default_gateway(&text);
    let _ = igd::parse_answer(200, &text);
    if let Some(place) = ssdp::location(data) {
        assert!(place.path.starts_with('/') && !place.path.contains('\n'), "a path with a line of its own");
    }
    for is_over in [false, true] {
        if let Ok(Some((_, body))) = igd::page(data, is_over) {
            assert!(body.len() <= igd::LARGEST_BODY, "a page without end");
        }
    }
    let page = ssdp::Place::parse("http://192.168.1.1:80/d.xml").expect("a place");
    if let Some(service) = igd::find_service(&text, &page) {
        assert_eq!(service.control.address.ip(), page.address.ip(), "another machine is believed");
    }
}

/// What a proxy, or what takes itself for one, says before and after a connection stands.
pub fn proxies(data: &[u8]) {
    let _ = String::from_utf8_lossy(data).parse::<ProxyUrl>();
    if let Some((_, payload)) = socks5::unwrap(data) {
        assert!(payload.len() < data.len(), "a header of no bytes");
    }
    for proxy in ["http://proxy:1", "socks5://user:password@proxy:1"] {
        let proxy: ProxyUrl = proxy.parse().expect("a proxy");
        let mut handshake = Handshake::connect(&proxy, &Destination::of("192.0.2.1", 443)).expect("short");
        let mut rest = data;
        while handshake.wants() > 0 && !rest.is_empty() {
            let (now, later) = rest.split_at(handshake.wants().min(rest.len()));
            rest = later;
            if !matches!(handshake.handle(now), Ok(false)) {
                break;
            }
        }
    }
}

/// What a STUN server and a service say to the network test, and what the service is asked.
pub fn nettest(data: &[u8]) {
    let _ = (stun::answer(data, &[7; 12]), stun::whole(data));
    let _ = serde_json::from_slice::<About>(data);
    if let Some(dial) = Dial::parse(data) {
        assert!(dial.tcp_ports().iter().all(|port| !(2010..=2030).contains(port)), "a port of the directory is called");
    }
}
