use bytes::Bytes;
use proptest::prelude::{Strategy, any, prop};
use proptest::{prop_assert, prop_assert_eq, proptest};
use rtc_rtp::codec::h264::{H264Packet, H264Payloader};
use rtc_rtp::packetizer::{Depacketizer, Payloader};

use super::*;
use crate::proto::nal;

fn annex_b(nals: &[Vec<u8>]) -> Vec<u8> {
    nals.iter().flat_map(|nal| [0, 0, 0, 1].into_iter().chain(nal.iter().copied())).collect()
}

/// A keyframe as an encoder makes it: two parameter sets and an IDR slice of `length` bytes.
fn keyframe(length: usize) -> Vec<Vec<u8>> {
    let slice = [0x65].into_iter().chain((0..length).map(|at| (at % 251) as u8 | 4)).collect();
    vec![vec![0x67, 66, 0xc0, 31, 9, 9], vec![0x68, 7, 7], slice]
}

fn depacketise(packets: &Packets) -> Option<Vec<u8>> {
    let mut depacketiser = Depacketiser::default();
    for payload in packets.iter() {
        depacketiser.push(payload.bytes, payload.marker).expect("our own packets");
    }
    taken(&mut depacketiser)
}

fn taken(depacketiser: &mut Depacketiser) -> Option<Vec<u8>> {
    let mut unit = Vec::new();
    depacketiser.take_into(&mut unit).then_some(unit)
}

#[test]
fn parameter_sets_share_a_packet_and_the_slice_is_cut_evenly() {
    let mut packets = Packets::default();
    packetise(&annex_b(&keyframe(2500)), 1200, &mut packets);
    let lengths: Vec<usize> = packets.iter().map(|payload| payload.bytes.len()).collect();
    assert_eq!(lengths, [1 + 2 + 6 + 2 + 3, 836, 836, 834]);
    let markers: Vec<bool> = packets.iter().map(|payload| payload.marker).collect();
    assert_eq!(markers, [false, false, false, true]);
    let first = packets.iter().next().expect("four packets").bytes;
    assert_eq!(first[0], 0x60 | STAP_A);
    assert!(begins_unit(first) && !holds_idr(first) && begins_keyframe(first));
    assert!(packets.iter().skip(2).all(|payload| !begins_keyframe(payload.bytes)), "the middle of one");
    assert!(packets.iter().skip(1).all(|payload| holds_idr(payload.bytes)));
}

#[test]
fn the_other_implementation_reads_what_we_send() {
    for length in [1, 100, 1180, 1199, 1200, 5000, 40_000] {
        let nals = keyframe(length);
        let mut packets = Packets::default();
        packetise(&annex_b(&nals), 1200, &mut packets);
        let mut oracle = H264Packet::default();
        let read: Vec<u8> = packets
            .iter()
            .flat_map(|payload| oracle.depacketize(&Bytes::copy_from_slice(payload.bytes)).expect("valid payloads"))
            .collect();
        assert_eq!(read, annex_b(&nals), "length {length}");
    }
}

#[test]
fn we_read_what_the_other_implementation_sends() {
    for length in [2, 100, 1199, 1200, 5000, 40_000] {
        let nals = keyframe(length);
        let payloads = H264Payloader::default().payload(1200, &Bytes::from(annex_b(&nals))).expect("valid unit");
        let mut depacketiser = Depacketiser::default();
        for (index, payload) in payloads.iter().enumerate() {
            depacketiser.push(payload, index + 1 == payloads.len()).expect("valid payloads");
        }
        assert_eq!(taken(&mut depacketiser), Some(annex_b(&nals)), "length {length}");
    }
}

#[test]
fn what_breaks_the_rules_is_malformed() {
    let mut depacketiser = Depacketiser::default();
    let mut push = |payload: &[u8]| depacketiser.push(payload, false).map_err(|error| error.0);
    assert_eq!(push(&[]), Err("an empty payload"));
    assert_eq!(push(&[0x7c, 0x05, 1]), Err("a fragment out of place"));
    assert_eq!(push(&[0x78, 0, 9, 1]), Err("an aggregate ends too early"));
    assert_eq!(push(&[0x78]), Err("an empty aggregate"));
    assert_eq!(push(&[0x79, 1]), Err("a payload type of another packetization mode"));
    assert_eq!(push(&[0x7c, 0x85, 1]), Ok(()));
    assert_eq!(push(&[0x41, 1]), Err("a fragment without an end"));
    assert_eq!(push(&[0x7c, 0x45, 1]), Err("a fragment out of place"));
}

#[test]
fn a_unit_without_end_stops_growing() {
    let mut depacketiser = Depacketiser::default();
    let mut payload = vec![0x55; 60_000];
    (payload[0], payload[1]) = (0x7c, 0x85);
    depacketiser.push(&payload, false).expect("the first");
    payload[1] = 0x05;
    let refused = (0..20).find_map(|_| depacketiser.push(&payload, false).err());
    assert_eq!(refused, Some(Malformed("a NAL unit above 512 KiB")));
    assert_eq!(depacketiser.unit.len(), 0);
}

fn any_nals() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let nal = (1u8..24, 0u8..4, prop::collection::vec(2u8.., 0..4000));
    prop::collection::vec(nal.prop_map(|(kind, nri, rest)| [vec![kind | (nri << 5)], rest].concat()), 1..6)
}

proptest! {
    #[test]
    fn putting_together_is_the_inverse_of_cutting(nals in any_nals(), max_payload in 64usize..1500) {
        let mut packets = Packets::default();
        packetise(&annex_b(&nals), max_payload, &mut packets);
        prop_assert!(packets.iter().all(|payload| payload.bytes.len() <= max_payload));
        let unit = depacketise(&packets).expect("a whole unit");
        let found: Vec<Vec<u8>> = nal::split(&unit).map(<[u8]>::to_vec).collect();
        prop_assert_eq!(found, nals);
    }

    #[test]
    fn random_payloads_never_panic(
        payloads in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..60), any::<bool>()), 0..40)
    ) {
        let mut depacketiser = Depacketiser::default();
        for (payload, marker) in payloads {
            let _ = depacketiser.push(&payload, marker);
            let _ = taken(&mut depacketiser);
            let _ = (begins_unit(&payload), holds_idr(&payload), begins_keyframe(&payload));
        }
    }
}
