use std::sync::Arc;

use proptest::prelude::{any, prop};
use proptest::{prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::base::time::now;
use crate::proto::rtp_h264::{Packets, packetise};
use crate::proto::unit_ext::UnitExt;

/// Parity and units that can be left out.
mod beside;

struct Sent {
    sequence: u64,
    timestamp: u64,
    marker: bool,
    payload: Vec<u8>,
    unit: Option<UnitExt>,
}

/// A stream of units of `packets` packets each; the numbers in `keyframes` are keyframes.
fn stream(units: u64, packets: usize, keyframes: &[u64]) -> Vec<Sent> {
    let mut sent = Vec::new();
    let mut sequence = 1000;
    for number in 0..units {
        let keyframe = keyframes.contains(&number);
        let mut unit = vec![0, 0, 1];
        unit.resize(packets * 100, if keyframe { 0x65 } else { 0x41 });
        let mut out = Packets::default();
        packetise(&unit, 110, &mut out);
        for (index, payload) in out.iter().enumerate() {
            let ext =
                UnitExt { number: UnitNumber(number as u16), encode: Duration::from_millis(4), ..UnitExt::default() };
            sent.push(Sent {
                sequence,
                timestamp: 90_000 + number * 3000,
                marker: payload.marker,
                payload: payload.bytes.to_vec(),
                unit: (index == 0).then_some(ext),
            });
            sequence += 1;
        }
    }
    sent
}

fn push(jitter: &mut VideoJitter, sent: &Sent, arrival: Instant) {
    let &Sent { sequence, timestamp, marker, unit, .. } = sent;
    let capture = unit.map(|_| arrival);
    jitter.push(PacketIn {
        sequence,
        timestamp,
        marker,
        payload: sent.payload.as_slice().into(),
        arrival,
        unit,
        capture,
    });
}

fn poll_all(jitter: &mut VideoJitter, now: Instant) -> Vec<u16> {
    std::iter::from_fn(|| jitter.poll_unit(now)).map(|unit| unit.number.0).collect()
}

/// The copies of a request that was made at `asked`.
fn send_copies(jitter: &mut VideoJitter, asked: Instant) {
    (1..=REQUEST_COPIES).for_each(|n| assert!(jitter.keyframe_due(asked + REQUEST_APART * u32::from(n), None)));
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn a_unit_comes_out_with_its_last_packet_and_carries_its_stamps() {
    let start = now();
    let mut jitter = VideoJitter::default();
    let sent = stream(1, 3, &[0]);
    for (index, packet) in sent.iter().enumerate() {
        assert!(jitter.poll_unit(start).is_none());
        push(&mut jitter, packet, start + ms(index as u64));
    }
    let unit = jitter.poll_unit(start + ms(9)).expect("whole");
    assert!(unit.keyframe);
    let stamps = unit.stamps;
    assert_eq!(stamps.encoded, Some(start + ms(4)));
    assert_eq!(stamps.arrived, Some(start));
    assert_eq!(stamps.complete, Some(start + ms(sent.len() as u64 - 1)));
    assert_eq!(stamps.released, Some(start + ms(9)));
}

#[test]
fn nothing_comes_out_before_the_first_keyframe() {
    let start = now();
    let mut jitter = VideoJitter::default();
    stream(6, 2, &[4]).iter().for_each(|packet| push(&mut jitter, packet, start));
    assert_eq!(poll_all(&mut jitter, start), [4, 5]);
}

#[test]
fn a_retransmission_in_time_loses_nothing() {
    let start = now();
    let mut jitter = VideoJitter::default();
    let sent = stream(5, 2, &[0]);
    let lost = sent.iter().position(|packet| packet.timestamp == 96_000).expect("unit 2");
    for (index, packet) in sent.iter().enumerate() {
        if index != lost {
            push(&mut jitter, packet, start);
        }
    }
    assert_eq!(poll_all(&mut jitter, start), [0, 1]);
    assert_eq!(jitter.next_due(), Some(start + jitter.wait));
    push(&mut jitter, &sent[lost], start + ms(60));
    assert_eq!(poll_all(&mut jitter, start + ms(60)), [2, 3, 4]);
    assert_eq!(jitter.counters().gaps, 0);
    assert!(!jitter.is_blocked());
}

#[test]
fn a_gap_past_its_deadline_waits_for_the_next_keyframe() {
    let start = now();
    let mut jitter = VideoJitter::default();
    let sent = stream(8, 2, &[0, 6]);
    let until = |number: u64| sent.iter().filter(move |packet| packet.timestamp < 90_000 + number * 3000);
    let mut lost = false;
    for packet in until(5) {
        if packet.timestamp == 93_000 && !lost {
            lost = true;
            continue;
        }
        push(&mut jitter, packet, start);
    }
    assert_eq!(poll_all(&mut jitter, start), [0]);
    assert_eq!(poll_all(&mut jitter, start + ms(659)), [0u16; 0]);
    assert_eq!(jitter.counters().gaps, 0);
    assert_eq!(poll_all(&mut jitter, start + ms(660)), [0u16; 0]);
    assert_eq!(jitter.counters().gaps, 1);
    sent.iter().skip(until(5).count()).for_each(|packet| push(&mut jitter, packet, start + ms(661)));
    assert_eq!(poll_all(&mut jitter, start + ms(661)), [6, 7]);
    assert_eq!(jitter.bytes(), 0);
}

#[test]
fn a_keyframe_behind_a_gap_ends_the_wait() {
    let start = now();
    let mut jitter = VideoJitter::default();
    let sent = stream(5, 2, &[0, 3]);
    let lost = sent.iter().position(|packet| packet.timestamp == 96_000).expect("unit 2");
    sent.iter().enumerate().filter(|(index, _)| *index != lost).for_each(|(_, p)| push(&mut jitter, p, start));
    assert_eq!(poll_all(&mut jitter, start), [0, 1]);
    assert_eq!(poll_all(&mut jitter, start + REORDERING), [3, 4]);
}

#[test]
fn a_keyframe_is_asked_for_after_patience_and_once_per_round_trip() {
    let start = now();
    let mut jitter = VideoJitter::default();
    stream(2, 2, &[]).iter().for_each(|packet| push(&mut jitter, packet, start));
    assert_eq!(poll_all(&mut jitter, start), [0u16; 0]);
    assert!(!jitter.keyframe_due(start + ms(299), Some(ms(20))));
    assert!(jitter.keyframe_due(start + ms(300), Some(ms(20))));
    send_copies(&mut jitter, start + ms(300));
    assert!(!jitter.keyframe_due(start + ms(599), Some(ms(20))));
    assert!(jitter.keyframe_due(start + ms(600), Some(ms(20))));
    send_copies(&mut jitter, start + ms(600));
    assert!(!jitter.keyframe_due(start + ms(1000), Some(ms(500))));
    assert!(jitter.keyframe_due(start + ms(1100), Some(ms(500))));
}

#[test]
fn a_stream_that_began_before_us_is_asked_for_a_keyframe_at_once() {
    let start = now();
    let mut jitter = VideoJitter::default();
    stream(2, 2, &[]).iter().for_each(|packet| push(&mut jitter, packet, start));
    assert_eq!(poll_all(&mut jitter, start), [0u16; 0]);
    // Until then the keyframe may have been overtaken.
    assert!(!jitter.keyframe_due(start, None));
    assert_eq!(poll_all(&mut jitter, start + REORDERING), [0u16; 0]);
    assert!(jitter.keyframe_due(start + REORDERING, None));
    send_copies(&mut jitter, start + REORDERING);
    assert!(!jitter.keyframe_due(start + REORDERING + ms(299), None));
}

#[test]
fn after_a_decoder_error_a_keyframe_is_asked_for_at_once() {
    let start = now();
    let mut jitter = VideoJitter::default();
    let sent = stream(6, 2, &[0, 5]);
    sent.iter().filter(|packet| packet.timestamp < 96_000).for_each(|packet| push(&mut jitter, packet, start));
    assert_eq!(poll_all(&mut jitter, start), [0, 1]);
    assert!(!jitter.keyframe_due(start, None));
    jitter.require_keyframe(start);
    assert!(jitter.keyframe_due(start, None));
    send_copies(&mut jitter, start);
    assert!(!jitter.keyframe_due(start + ms(299), None));
    sent.iter().filter(|packet| packet.timestamp >= 96_000).for_each(|packet| push(&mut jitter, packet, start));
    assert_eq!(poll_all(&mut jitter, start), [5]);
    assert!(!jitter.keyframe_due(start + ms(900), None));
}

#[test]
fn bounds_hold_and_the_stream_recovers() {
    let start = now();
    let mut jitter = VideoJitter::default();
    let mut sent = stream(4, 2, &[0, 2]);
    push(&mut jitter, &sent[0], start);
    sent.iter_mut().for_each(|packet| packet.sequence += 1 << 40);
    sent.iter().for_each(|packet| push(&mut jitter, packet, start));
    assert_eq!(jitter.counters().resets, 1);
    assert_eq!(poll_all(&mut jitter, start), [0, 1, 2, 3]);
    let payload: Arc<[u8]> = Arc::new([0x41; 1200]);
    for sequence in 0..4000 {
        let sequence = (1 << 41) + sequence * 2;
        jitter.push(PacketIn {
            sequence,
            timestamp: 1,
            marker: false,
            payload: payload.clone(),
            arrival: start,
            unit: None,
            capture: None,
        });
        assert!(jitter.bytes() <= MAX_BYTES && jitter.slots.len() as u64 <= MAX_PACKETS);
    }
}

proptest! {
    #[test]
    fn whatever_happens_to_packets_units_come_out_in_order(
        fates in prop::collection::vec((0u8..10, 0usize..12, any::<bool>()), 120),
        spacing in 0u64..20,
    ) {
        let start = now();
        let sent = stream(40, 2, &[0, 9, 17, 30]);
        let mut order: Vec<(usize, usize)> = Vec::new();
        for index in 0..sent.len() {
            let (fate, delay, twice) = fates[index % fates.len()];
            if fate == 0 {
                continue;
            }
            order.push((index + if fate < 4 { delay } else { 0 }, index));
            if twice {
                order.push((index + delay, index));
            }
        }
        order.sort_unstable();
        let mut jitter = VideoJitter::default();
        let mut last: Option<(u16, u64)> = None;
        let mut at = start;
        for (_, index) in order {
            push(&mut jitter, &sent[index], at);
            at += ms(spacing);
            while let Some(unit) = jitter.poll_unit(at) {
                let this = (unit.number.0, unit.timestamp);
                prop_assert!(last.is_none_or(|last| this.0 > last.0 && this.1 > last.1));
                last = Some(this);
            }
        }
    }

    #[test]
    fn without_loss_every_unit_comes_out(delays in prop::collection::vec(0usize..6, 160)) {
        let start = now();
        let sent = stream(40, 2, &[0, 20]);
        let mut order: Vec<usize> = (0..sent.len()).collect();
        order.sort_by_key(|index| index + delays[index % delays.len()]);
        let mut jitter = VideoJitter::default();
        let mut out = Vec::new();
        for (turn, index) in order.into_iter().enumerate() {
            let at = start + Duration::from_micros(turn as u64 * 500);
            push(&mut jitter, &sent[index], at);
            out.extend(poll_all(&mut jitter, at));
        }
        prop_assert_eq!(out, (0..40).collect::<Vec<u16>>());
        prop_assert_eq!(jitter.counters().late, 0);
    }

    #[test]
    fn random_packets_never_panic(
        packets in prop::collection::vec(
            (0u64..60, 0u64..5, any::<bool>(), prop::collection::vec(any::<u8>(), 0..8), any::<bool>()), 0..200)
    ) {
        let start = now();
        let mut jitter = VideoJitter::default();
        for (turn, (sequence, timestamp, marker, payload, ext)) in packets.into_iter().enumerate() {
            let arrival = start + ms(turn as u64 * 7);
            let unit = ext.then(UnitExt::default);
            jitter.push(PacketIn { sequence, timestamp, marker, payload: payload.into(), arrival, unit, capture: None });
            let _ = poll_all(&mut jitter, arrival);
            let _ = (jitter.next_due(), jitter.keyframe_due(arrival, None));
        }
    }
}
