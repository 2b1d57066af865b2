use super::*;
use crate::media::parity::{Blocks, write_row};
use crate::proto::repair::Parity;

/// The parity of the unit `number` of a stream in which so many packets are expected to be lost.
fn parity_of(sent: &[Sent], number: u16, loss: f64, arrival: Instant) -> Vec<ParityIn> {
    let first = sent.iter().position(|packet| packet.unit.is_some_and(|unit| unit.number.0 == number)).expect("sent");
    let packets = 1 + sent[first..].iter().position(|packet| packet.marker).expect("whole");
    let unit = &sent[first..first + packets];
    let blocks = Blocks::new(packets, loss);
    let rows = (0..).map_while(|index| blocks.get(index)).map(|row| {
        let (mut bytes, mut payload) = (Vec::new(), Vec::new());
        let block = &unit[row.first..row.first + row.packets];
        write_row(row.row, block.iter().map(|packet| packet.payload.as_slice()), &mut bytes);
        let parity = Parity {
            source: 0,
            begins: row.begins,
            ends: row.ends,
            first: block[0].sequence as u16,
            packets: row.packets as u8,
            row: row.row,
            bytes: &bytes,
        };
        parity.write(&mut payload);
        ParityIn {
            first: parity.first,
            packets: parity.packets,
            row: parity.row,
            begins: parity.begins,
            ends: parity.ends,
            timestamp: unit[0].timestamp as u32,
            payload: payload.into(),
            arrival,
            unit: unit[0].unit,
            capture: Some(arrival),
        }
    });
    rows.collect()
}

fn repair(jitter: &mut VideoJitter, now: Instant) {
    jitter.repair(now, |compute| compute());
}

#[test]
fn what_a_keyframe_lost_is_made_good_by_its_parity_wherever_it_was() {
    // Past the wrap of what a row says of the numbers; the first packet, the last, both, and some between.
    for lost in [&[0usize][..], &[69], &[0, 69], &[3, 4, 5, 40, 68]] {
        let start = now();
        let mut jitter = VideoJitter::default();
        let mut sent = stream(3, 70, &[0, 1]);
        sent.iter_mut().for_each(|packet| packet.sequence += (1 << 16) - 1000 - 100);
        let length = sent.len() / 3;
        let at = |index: usize| start + ms(index as u64 / 10);
        for (index, packet) in sent[..length].iter().enumerate() {
            push(&mut jitter, packet, at(index));
        }
        assert_eq!(poll_all(&mut jitter, at(length)), [0]);
        for (index, packet) in sent.iter().enumerate().skip(length).take(length) {
            if !lost.iter().any(|lost| lost * length / 70 == index - length) {
                push(&mut jitter, packet, at(index));
            }
        }
        assert!(poll_all(&mut jitter, at(2 * length)).is_empty());
        let rows = parity_of(&sent, 1, 0.1, at(2 * length));
        for row in rows {
            jitter.push_parity(row);
            repair(&mut jitter, at(2 * length));
        }
        let unit = jitter.poll_unit(at(2 * length)).expect("it is whole");
        assert!(unit.keyframe && unit.number.0 == 1, "{lost:?}");
        assert!(unit.stamps.captured.is_some());
        assert!(jitter.rows.is_empty(), "{lost:?}: rows are kept that are of no use");
        sent[2 * length..].iter().for_each(|packet| push(&mut jitter, packet, at(3 * length)));
        assert_eq!(poll_all(&mut jitter, at(3 * length)), [2]);
        assert!(jitter.counters().repaired >= 1 && jitter.counters().gaps == 0);
    }
}

#[test]
fn the_first_keyframe_of_all_is_made_good_as_well() {
    let start = now();
    let mut jitter = VideoJitter::default();
    let sent = stream(1, 30, &[0]);
    let rows = parity_of(&sent, 0, 0.1, start);
    rows[..3].iter().for_each(|row| jitter.push_parity(row.clone()));
    repair(&mut jitter, start);
    for packet in &sent[2..] {
        push(&mut jitter, packet, start);
        repair(&mut jitter, start);
    }
    assert_eq!(poll_all(&mut jitter, start), [0]);
}

#[test]
fn what_nothing_refers_to_is_gone_on_without_and_what_something_does_is_waited_for() {
    for (lost, expected) in [(2, vec![0, 1, 3, 4, 5]), (3, vec![0, 1, 2])] {
        let start = now();
        let mut jitter = VideoJitter::default();
        jitter.set_round_trip(Some(ms(100)), Duration::ZERO);
        let mut sent = stream(6, 2, &[0]);
        // 0 and 1, 3, 5 build on each other; 2 and 4 on the one before them.
        for packet in &mut sent {
            if let Some(unit) = &mut packet.unit {
                let number = unit.number.0;
                unit.discardable = number == 2 || number == 4;
                (unit.temporal_id, unit.refers) =
                    (u8::from(unit.discardable), if number == 3 || number == 5 { 2 } else { 1 });
            }
        }
        let mut number = 0;
        let mut out = Vec::new();
        for (index, packet) in sent.iter().enumerate() {
            number = packet.unit.map_or(number, |unit| unit.number.0);
            if number != lost {
                push(&mut jitter, packet, start + ms(33 * u64::from(number)));
            }
            out.extend(poll_all(&mut jitter, start + ms(33 * u64::from(number) + index as u64 % 2)));
        }
        out.extend(poll_all(&mut jitter, start + ms(33 * 5 + 20)));
        assert_eq!(out, expected, "without {lost}");
        assert_eq!(jitter.counters().skipped, u64::from(lost == 2));
    }
}

#[test]
fn a_request_has_two_copies_and_is_renewed_later() {
    let start = now();
    let mut jitter = VideoJitter::default();
    jitter.require_keyframe(start);
    let asked: Vec<u64> = (0..400).filter(|n| jitter.keyframe_due(start + ms(*n), Some(ms(100)))).collect();
    assert_eq!(asked, [0, 20, 40, 300, 320, 340]);
}

/// As a recording has them: what is claimed of places outside the block, or of packets that came, is not taken.
#[test]
fn packets_may_be_made_good_from_elsewhere_and_only_those_that_are_missing() {
    let start = now();
    let mut jitter = VideoJitter::default();
    let sent = stream(2, 10, &[0, 1]);
    let length = sent.len() / 2;
    sent[..length].iter().for_each(|packet| push(&mut jitter, packet, start));
    assert_eq!(poll_all(&mut jitter, start), [0]);
    sent[length + 1..].iter().for_each(|packet| push(&mut jitter, packet, start));
    for row in parity_of(&sent, 1, 0.1, start) {
        jitter.push_parity(ParityIn { payload: vec![0; 9].into(), ..row });
    }
    let first = sent[length].payload.clone();
    let claims = [(0, first), (1, vec![1; 3]), (200, vec![1; 3])];
    let before = jitter.bytes();
    jitter.repair(start, |_| Some(Restored(claims.to_vec())));
    assert_eq!((jitter.counters().repaired, jitter.bytes() - before), (1, claims[0].1.len()));
    assert_eq!(poll_all(&mut jitter, start), [1]);
}

proptest! {
    #[test]
    fn whatever_parity_says_nothing_panics_and_what_is_kept_is_bounded(
        rows in prop::collection::vec(
            (any::<u16>(), 0u8..80, 0u8..40, any::<bool>(), prop::collection::vec(any::<u8>(), 0..40)), 0..200),
        numbers in prop::collection::vec(0u64..70_000, 0..60),
    ) {
        let start = now();
        let mut jitter = VideoJitter::default();
        for (turn, (first, packets, row, flag, payload)) in rows.into_iter().enumerate() {
            if let Some(sequence) = numbers.get(turn) {
                jitter.push(PacketIn {
                    sequence: *sequence,
                    timestamp: 1,
                    marker: flag,
                    payload: vec![0x41; 9].into(),
                    arrival: start,
                    unit: None,
                    capture: None,
                });
            }
            let unit = flag.then(UnitExt::default);
            jitter.push_parity(ParityIn {
                first,
                packets,
                row,
                begins: flag,
                ends: !flag,
                timestamp: 7,
                payload: payload.into(),
                arrival: start,
                unit,
                capture: None,
            });
            repair(&mut jitter, start);
            let _ = poll_all(&mut jitter, start);
            prop_assert!(jitter.rows.len() <= 128 && jitter.slots.len() as u64 <= MAX_PACKETS);
        }
    }
}
