//! Whatever comes.

use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use proptest::sample::select;

use super::{AudioPacket, Call, JitterBuffer};

/// What happens to the stream for a while.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    /// The sequence numbers go on elsewhere.
    Sequence(i64),
    /// The timestamps do.
    Timestamp(i64),
    /// Both, as with another sender.
    Both(i64, i64),
    /// Nothing for so many frames.
    Gap(u64),
    /// Every packet so many times.
    Flood(u64),
    /// The next frames come in the wrong order.
    Shuffle,
    /// Late by so many milliseconds, all at once.
    Held(u64),
    /// As copies.
    Copies,
}

const TROUBLES: [Trouble; 17] = [
    Trouble::Sequence(1),
    Trouble::Sequence(-1000),
    Trouble::Sequence(40_000),
    Trouble::Timestamp(960 * 7),
    Trouble::Timestamp(-48_000 * 5),
    Trouble::Timestamp(48_000 * 5),
    Trouble::Timestamp(48_000 * 3600),
    Trouble::Both(-500, -500 * 960),
    Trouble::Both(1 << 31, 1 << 33),
    Trouble::Both(3, -480_000),
    Trouble::Gap(3),
    Trouble::Gap(500),
    Trouble::Flood(40),
    Trouble::Shuffle,
    Trouble::Held(300),
    Trouble::Held(1900),
    Trouble::Copies,
];

/// The header of frame `n` now.
struct Numbers {
    sequence: i64,
    timestamp: i64,
}

fn play(troubles: &[(Trouble, u64)], frame: usize) -> Call {
    let mut call = Call::new(frame);
    let length = frame as u64 * 1000 / 48;
    let mut numbers = Numbers { sequence: 1 << 40, timestamp: 1 << 44 };
    let mut arrivals: Vec<(u64, AudioPacket)> = Vec::new();
    let mut n = 0;
    let mut send = |call: &Call, numbers: &Numbers, n: u64, at: u64, copy: bool| {
        let mut packet = call.packet(n, at);
        packet.sequence = (numbers.sequence + n as i64) as u64;
        packet.timestamp = (numbers.timestamp + n as i64 * frame as i64) as u64;
        packet.copy = copy;
        arrivals.push((at, packet));
    };
    for (trouble, calm) in troubles {
        for _ in 0..*calm {
            send(&call, &numbers, n, call.made(n) + 20_000, false);
            n += 1;
        }
        match *trouble {
            Trouble::Sequence(by) => numbers.sequence += by,
            Trouble::Timestamp(by) => numbers.timestamp += by,
            Trouble::Both(sequence, timestamp) => {
                numbers.sequence += sequence;
                numbers.timestamp += timestamp;
            }
            Trouble::Gap(frames) => n += frames,
            Trouble::Flood(times) => (0..times).for_each(|_| send(&call, &numbers, n, call.made(n) + 20_000, false)),
            Trouble::Shuffle => {
                for m in 0..16 {
                    send(&call, &numbers, n + m * 7 % 16, call.made(n + m) + 20_000, false);
                }
                n += 16;
            }
            Trouble::Held(millis) => {
                let frames = millis * 1000 / length;
                (0..frames).for_each(|m| send(&call, &numbers, n + m, call.made(n + frames) + 20_000, false));
                n += frames;
            }
            Trouble::Copies => (0..8).for_each(|m| send(&call, &numbers, n - m.min(n), call.made(n), true)),
        }
    }
    // Then twelve seconds of nothing special.
    let end = call.made(n) + 12_000_000;
    while call.made(n) < end {
        send(&call, &numbers, n, call.made(n) + 20_000, false);
        n += 1;
    }
    arrivals.sort_by_key(|(at, _)| *at);
    let mut arrivals = arrivals.into_iter().peekable();
    for micros in (1300..end).step_by(5000) {
        while let Some((_, packet)) = arrivals.next_if(|(at, _)| *at <= micros) {
            call.jitter.insert(packet);
            assert!(call.jitter.len() <= 800);
        }
        call.pull(micros, 240);
    }
    call
}

#[test]
fn the_contract_holds_after_each_trouble_by_itself() {
    for trouble in TROUBLES {
        let call = play(&[(trouble, 300)], 960);
        assert_back(&call).unwrap_or_else(|error| panic!("{trouble:?}: {error}"));
    }
}

/// The last five seconds of what [`play`] made are as on a path of 20 ms without jitter.
fn assert_back(call: &Call) -> Result<(), String> {
    let end = call.delays.last().map_or(0.0, |(at, _)| *at as f64 / 1e6);
    let worst = call.worst_delay(end - 5.0, end);
    let made_up = call.made_up(end - 5.0, end - 0.1);
    (worst <= 40_000 && made_up == 0).then_some(()).ok_or(format!("{worst} us, {made_up} samples made up"))
}

proptest! {
    #[test]
    fn whatever_arrives_the_device_gets_what_it_asks_for(
        events in proptest::collection::vec((any::<u16>(), 0u64..60_000, 0u64..400), 0..300),
        frame in proptest::sample::select(vec![120usize, 240, 480, 960, 2880]),
        wild in any::<bool>(),
    ) {
        let mut call = Call::new(frame);
        let mut micros = 0u64;
        for (n, (odd, jitter, shift)) in events.into_iter().enumerate() {
            micros += 2500;
            // Loss, repetition and disorder; in the wild case any number at all.
            let number = if wild { u64::from(odd) * shift } else { (n as u64).saturating_sub(shift % 9) };
            if odd % 10 != 0 {
                call.arrive(number, micros.saturating_sub(jitter));
            }
            call.pull(micros, 120 + usize::from(odd % 3) * 60);
            prop_assert!(call.jitter.len() <= 800);
        }
        let counters = call.jitter.counters();
        prop_assert!(counters.concealed_samples <= counters.total_samples);
        prop_assert_eq!(counters.received >= counters.duplicate + counters.late, true);
    }

    #[test]
    fn after_any_troubles_the_stream_is_back_in_contract(
        troubles in proptest::collection::vec((select(&TROUBLES[..]), 1u64..200), 1..8),
        frame in select(vec![240usize, 960]),
    ) {
        let call = play(&troubles, frame);
        let back = assert_back(&call);
        prop_assert!(back.is_ok(), "{}", back.unwrap_err());
    }

    #[test]
    fn any_numbers_at_all_neither_panic_nor_fill_the_memory(
        packets in proptest::collection::vec((any::<u64>(), any::<u64>(), 0usize..6000, any::<bool>()), 0..200),
    ) {
        let (mut jitter, call) = (JitterBuffer::default(), Call::new(960));
        for (n, (sequence, timestamp, samples, copy)) in packets.into_iter().enumerate() {
            let packet = call.packet(0, n as u64 * 1000);
            let arrival = packet.arrival;
            jitter.insert(AudioPacket { sequence, timestamp, samples, copy, ..packet });
            jitter.wish(arrival, samples, 120);
            jitter.next(arrival, samples % 700, 120);
            prop_assert!(jitter.len() <= 800);
        }
    }
}
