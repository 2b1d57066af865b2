//! Whole inputs, from which mutated ones are made.

use std::time::Duration;

use engine::base::id::UnitNumber;
use engine::base::rate::Bitrate;
use engine::base::time::now;
use engine::codec::VideoCodec;
use engine::codec::video_encoder::{EncoderConfig, VideoEncoder};
use engine::media::rate::DelayReport;
use engine::media::sound::report::SoundReport;
use engine::proto::file::name::FileName;
use engine::proto::file::{Control, Offer, write_data};
use engine::proto::keys::Digest;
use engine::proto::mapping::{Protocol, pcp};
use engine::proto::proxy::socks5;
use engine::proto::rtp_h264::{Packets, packetise};
use engine::proto::signal::body::Line;
use engine::proto::unit_ext::UnitExt;
use engine::proto::{nal, red};
use engine::source::testcard::TestCard;

/// A keyframe and what follows it.
pub fn units() -> Vec<Vec<u8>> {
    let (start, mut card) = (now(), TestCard::new(160, 90, 30.0));
    let (codec, bitrate) = (VideoCodec::H264, Bitrate::from_kbps(300));
    let config = EncoderConfig { codec, width: 160, height: 90, frame_rate: 30.0, bitrate };
    let mut encoder = VideoEncoder::inline(config, Duration::ZERO);
    let encoded = |number: u32| {
        let at = start + Duration::from_millis(33) * number;
        // Inline it takes all; what rate control leaves out is no seed.
        let _ = encoder.submit(card.draw(at), at);
        encoder.poll(at).map(|unit| unit.data)
    };
    (0..6).filter_map(encoded).collect()
}

/// The units in packets, each with its flags, number and length in front.
pub fn payloads() -> Vec<Vec<u8>> {
    let mut packets = Packets::default();
    let stream = units().iter().zip(0u8..).fold(Vec::new(), |mut stream: Vec<u8>, (unit, number)| {
        packetise(unit, 200, &mut packets);
        for payload in packets.iter() {
            let sequence = stream.len() as u8;
            stream.extend([number << 2 | u8::from(payload.marker), sequence, payload.bytes.len() as u8]);
            stream.extend(payload.bytes);
        }
        stream
    });
    let middle = stream.len() / 2;
    vec![stream[..middle].to_vec(), stream]
}

pub fn y4m() -> Vec<Vec<u8>> {
    let header = b"YUV4MPEG2 W16 H16 F25:1 Ip C420jpeg XCOLORRANGE=FULL XMATRIX=BT601\n";
    let frame = [&b"FRAME\n"[..], &[90; 16 * 16 * 3 / 2]].concat();
    vec![[&header[..], &frame, &frame].concat(), [&b"YUV4MPEG2 W2 H2\n"[..], b"FRAME\n", &[1; 6]].concat()]
}

/// Two files of three pictures: with all of the index in front, and in a fragment.
pub fn mp4() -> Vec<Vec<u8>> {
    let units = units();
    let mut sets = [Vec::new(), Vec::new()];
    let samples: Vec<Vec<u8>> = units
        .iter()
        .take(3)
        .map(|unit| {
            let mut sample = Vec::new();
            for unit in nal::split(unit) {
                match nal::nal_type(unit) {
                    Some(nal::TYPE_SPS) => sets[0] = unit.to_vec(),
                    Some(nal::TYPE_PPS) => sets[1] = unit.to_vec(),
                    _ => {
                        sample.extend((unit.len() as u32).to_be_bytes());
                        sample.extend(unit);
                    }
                }
            }
            sample
        })
        .collect();
    let sizes: Vec<u32> = samples.iter().map(|sample| sample.len() as u32).collect();
    let start = boxed(b"ftyp", &[b"isom", &[0; 4], b"avc1"]);
    let index = |at| movie(&sets, &sizes, at, &[]);
    let at = start.len() + index(0).len() + 8;
    let data = boxed(b"mdat", &[&samples.concat()]);
    let whole = [start.clone(), index(at as u32), data.clone()].concat();
    let usual = boxed(b"mvex", &[&boxed(b"trex", &[&numbers(&[0, 1, 1, 40, 0, 0])])]);
    let fragment = |offset: u32| {
        let rows: Vec<u32> = sizes.iter().flat_map(|size| [40, *size, 40]).collect();
        let run = boxed(b"trun", &[&numbers(&[0xb01, 3, offset]), &numbers(&rows)]);
        let head = boxed(b"tfhd", &[&numbers(&[0x2_0000, 1])]);
        boxed(b"moof", &[&boxed(b"mfhd", &[&numbers(&[0, 1])]), &boxed(b"traf", &[&head, &run])])
    };
    let offset = fragment(0).len() as u32 + 8;
    vec![whole, [start, movie(&sets, &[], 0, &usual), fragment(offset), data].concat()]
}

fn movie(sets: &[Vec<u8>; 2], sizes: &[u32], at: u32, tail: &[u8]) -> Vec<u8> {
    let set = |set: &[u8]| [&(set.len() as u16).to_be_bytes()[..], set].concat();
    let avcc = boxed(b"avcC", &[&[1, 66, 0xc0, 30, 0xff, 0xe1], &set(&sets[0]), &[1], &set(&sets[1])]);
    let entry = boxed(b"avc1", &[&[0; 78], &avcc]);
    let count = sizes.len() as u32;
    let chunks = u32::from(count > 0);
    let tables = [
        boxed(b"stsd", &[&numbers(&[0, 1]), &entry]),
        boxed(b"stts", &[&numbers(&[0, 1, count, 40])]),
        boxed(b"ctts", &[&numbers(&[0, 1, count, 40])]),
        boxed(b"stsc", &[&numbers(&[0, 1, 1, count.max(1), 1])]),
        boxed(b"stsz", &[&numbers(&[0, 0, count]), &numbers(sizes)]),
        boxed(b"stco", &[&numbers(&[0, chunks]), &numbers(&[at])[..4 * chunks as usize]]),
    ];
    let media = [
        boxed(b"mdhd", &[&numbers(&[0, 0, 0, 1000, count * 40, 0])]),
        boxed(b"minf", &[&boxed(b"stbl", &[&tables.concat()])]),
    ];
    let track = [boxed(b"tkhd", &[&numbers(&[3, 0, 0, 1, 0])]), boxed(b"mdia", &[&media.concat()])];
    boxed(b"moov", &[&boxed(b"trak", &[&track.concat()]), tail])
}

fn boxed(name: &[u8; 4], content: &[&[u8]]) -> Vec<u8> {
    let content = content.concat();
    [&(content.len() as u32 + 8).to_be_bytes()[..], name, &content].concat()
}

fn numbers(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}

pub fn redundant() -> Vec<Vec<u8>> {
    let mut packet = Vec::new();
    red::write([(480, &[7; 40][..]), (240, &[8; 20][..])].into_iter(), &[9; 30], &mut packet);
    let copies = packet.clone();
    red::write(std::iter::empty(), &[9; 30], &mut packet);
    vec![copies, packet]
}

pub fn unit_ext() -> Vec<Vec<u8>> {
    let unit = UnitExt { number: UnitNumber(300), temporal_id: 2, layer: 1, ..UnitExt::default() };
    vec![unit.write().to_vec()]
}

pub fn reports() -> Vec<Vec<u8>> {
    let delay = DelayReport { queue: Some(Duration::from_millis(9)), bytes: 5000, received: 7, ..Default::default() };
    vec![delay.to_bytes().to_vec(), SoundReport::default().to_bytes().to_vec()]
}

/// Answers of each protocol, and a description.
pub fn routers() -> Vec<Vec<u8>> {
    let request = pcp::Request {
        nonce: [7; 12],
        client: [192, 168, 1, 2].into(),
        protocol: Protocol::Udp,
        internal: 2000,
        suggested: None,
        lifetime: 1200,
    };
    let mut pcp = request.to_bytes();
    (pcp[1], pcp[3]) = (0x81, 0);
    let page = |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let description = "<root><service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>\
                       <controlURL>/ctl/IPConn</controlURL></service></root>";
    let soap = "<s:Body><u:AddAnyPortMappingResponse><NewReservedPort>4000</NewReservedPort>\
                </u:AddAnyPortMappingResponse></s:Body>";
    let found = "HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\
                 LOCATION: http://192.168.1.1:5555/rootDesc.xml\r\n\r\n";
    let table = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\neth0\t00000000\tFE00000A\t0003\t0\t0\t1\t00000000";
    vec![
        pcp,
        vec![0, 129, 0, 0, 0, 0, 0, 9, 7, 208, 156, 64, 0, 0, 4, 176],
        page(description).into_bytes(),
        description.as_bytes().to_vec(),
        page(soap).into_bytes(),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{soap}\r\n0\r\n\r\n", soap.len())
            .into_bytes(),
        found.as_bytes().to_vec(),
        table.as_bytes().to_vec(),
    ]
}

/// A connection made by each kind of proxy, a refusal of each, a datagram.
pub fn proxies() -> Vec<Vec<u8>> {
    let mut datagram = Vec::new();
    socks5::wrap(([192, 0, 2, 1], 3478).into(), b"hello", &mut datagram);
    vec![
        b"HTTP/1.1 200 Connection established\r\nProxy-Agent: x\r\n\r\n".to_vec(),
        b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n".to_vec(),
        [&[5, 2, 1, 0][..], &[5, 0, 0, 1, 10, 0, 0, 1, 4, 56]].concat(),
        [&[5, 2, 1, 0][..], &[5, 0, 0, 3, 5], b"proxy", &[4, 56]].concat(),
        vec![5, 0xff],
        datagram,
        b"socks5://bob:p%40ss@[2001:db8::1]:1081/".to_vec(),
    ]
}

/// A success and a refusal of STUN, what the service says, and a wish to be called back.
pub fn nettest() -> Vec<Vec<u8>> {
    let message = |kind: [u8; 2], attributes: &[u8]| {
        [&kind, &[0, attributes.len() as u8][..], &[0x21, 0x12, 0xa4, 0x42], &[7; 12], attributes].concat()
    };
    vec![
        message([1, 1], &[0, 0x20, 0, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43]),
        message([1, 1], &[0x80, 0x2c, 0, 8, 0, 1, 0x0d, 0x97, 5, 5, 5, 11]),
        message([1, 0x13], &[0, 9, 0, 4, 0, 0, 4, 1]),
        br#"{"you":"192.0.2.1","time_us":1,"relays":["turn:HOST:3478?transport=udp"]}"#.to_vec(),
        br#"{"base":2000,"cookie":7}"#.to_vec(),
    ]
}

/// One of each message about a file.
pub fn files() -> Vec<Vec<u8>> {
    let hash = Digest::of(b"a file");
    let offer = |name: &str| Control::Offer(Offer { name: FileName::of(name), size: 1 << 20, hash });
    let mut data = Vec::new();
    write_data(1 << 16, &[7; 300], &mut data);
    let said = [
        offer("notes.txt"),
        offer("a long name of many words, and an ending.tar.gz"),
        Control::Accept { hash, from: 70_000, have: hash },
        Control::Refuse { hash, why: Line::cut("there is no room") },
        Control::Got { hash, to: 81_920 },
        Control::Done { hash },
    ];
    said.iter().map(Control::to_bytes).chain([data]).collect()
}
