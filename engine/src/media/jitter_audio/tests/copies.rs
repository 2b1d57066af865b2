//! Copies that later packets carried (RFC 2198), and pauses of the sender (RFC 7587 §3.1.3).

use std::time::Duration;

use super::{AudioPacket, Call, Next, random};

/// Frames of 5 ms, each of which carries the one before; of those sent from `lossy.0` to `lossy.1` seconds 5 % are lost.
fn with_copies(lossy: (u64, u64), seconds: u64, copies: bool) -> Call {
    let (mut call, mut seed) = (Call::new(240), 3);
    let mut next = 0;
    for micros in (1300..seconds * 1_000_000).step_by(2500) {
        while call.made(next) + 400 <= micros {
            let at = call.made(next) + 400;
            let is_lossy = (lossy.0 * 1_000_000..lossy.1 * 1_000_000).contains(&at);
            if !is_lossy || !random(&mut seed).is_multiple_of(20) {
                if copies && next > 0 {
                    let copy = AudioPacket { copy: true, ..call.packet(next - 1, at) };
                    call.jitter.insert(copy);
                }
                call.arrive(next, at);
            }
            next += 1;
        }
        call.pull(micros, 120);
    }
    call
}

#[test]
fn copies_restore_what_is_lost_and_the_delay_covers_them_only_while_there_are_losses() {
    let call = with_copies((10, 30), 45, true);
    let counters = call.jitter.counters();
    // 5 % of 4000, and of those the twentieth whose carrier is lost as well.
    assert!((150..260).contains(&counters.lost), "{counters:?}");
    assert!(counters.restored * 10 >= counters.lost * 9, "{counters:?}");
    assert_eq!((counters.late, counters.duplicate, counters.dropped), (0, 0, 0));
    let (before, during, after) =
        (call.mean_delay(4.0, 10.0), call.mean_delay(15.0, 30.0), call.mean_delay(36.0, 45.0));
    assert!(during - before > 3_000.0 && during - before < 12_000.0, "before {before}, during {during}");
    assert!(after - before < 1_000.0, "before {before}, after {after}");
    let made_up = |call: &Call| call.made_up(15.0, 30.0);
    let without = with_copies((10, 30), 45, false);
    assert!(made_up(&call) * 5 < made_up(&without), "{} and {} without", made_up(&call), made_up(&without));
}

#[test]
fn copies_that_are_not_needed_change_nothing() {
    let (with, without) = (with_copies((0, 0), 10, true), with_copies((0, 0), 10, false));
    assert_eq!(with.jitter.counters(), without.jitter.counters());
    assert_eq!(with.delays, without.delays);
}

#[test]
fn the_original_of_a_copy_is_a_duplicate_whether_the_copy_was_played_or_not() {
    for played in [false, true] {
        let mut call = Call::new(240);
        call.arrive(0, 0);
        call.pull(0, 240);
        call.arrive(2, 10_000);
        let copy = AudioPacket { copy: true, ..call.packet(1, 10_000) };
        call.jitter.insert(copy);
        if played {
            call.pull(10_000, 240);
            assert_eq!(call.jitter.counters().restored, 1);
        }
        call.arrive(1, 11_000);
        let counters = call.jitter.counters();
        assert_eq!((counters.duplicate, counters.late, counters.received), (1, 0, 3), "played: {played}");
    }
}

#[test]
fn copies_of_what_was_before_the_stream_are_not_played() {
    let mut call = Call::new(240);
    let copy = AudioPacket { copy: true, ..call.packet(4, 1_000) };
    call.jitter.insert(copy.clone());
    assert!(call.jitter.is_empty());
    call.arrive(5, 1_000);
    call.jitter.insert(copy);
    assert_eq!(call.jitter.len(), 1);
}

#[test]
fn a_pause_is_the_rooms_noise_and_what_follows_it_waits_for_its_time() {
    let mut call = Call::new(960);
    let mut seed = 5;
    // Six seconds, of which the sender pauses in the last two of every three; up to 30 ms of jitter.
    let mut sent: Vec<(u64, AudioPacket)> = Vec::new();
    let mut sequence = 0;
    for n in 0..1500u64 {
        let pausing = n % 150 >= 50;
        // In a pause one packet in twenty, of one byte.
        if pausing && n % 20 != 0 && n % 150 != 50 {
            continue;
        }
        let at = call.made(n) + 20_000 + u64::from(random(&mut seed) % 30_000);
        let mut packet = AudioPacket { sequence, ..call.packet(n, at) };
        if pausing {
            packet.payload = [0xf8].as_slice().into();
        }
        sequence += 1;
        sent.push((at, packet));
    }
    sent.sort_by_key(|(at, _)| *at);
    let (mut sent, mut noise, mut early) = (sent.into_iter().peekable(), 0, 0);
    for micros in (1300..30_000_000).step_by(2500) {
        while let Some((_, packet)) = sent.next_if(|(at, _)| *at <= micros) {
            call.jitter.insert(packet);
        }
        let (now, mut held) = (call.start + Duration::from_micros(micros), call.stretcher.len());
        while held < 120 {
            call.jitter.wish(now, held, 120);
            let decision = call.jitter.next(now, held, 120 - held);
            match &decision.next {
                Next::Noise { samples } => noise += samples,
                Next::Decode(packet) if micros > 9_000_000 && packet.payload.len() > 2 => {
                    let n = u64::from_be_bytes(packet.payload[..8].try_into().expect("a frame's number")) & !super::FEC;
                    early += u32::from(micros < call.made(n) + 40_000);
                }
                _ => {}
            }
            call.stretcher.push(&vec![[0.0; 2]; decision.next.samples()], decision.stretch, decision.ppm);
            held = call.stretcher.len();
        }
        call.stretcher.pop(&mut [[0.0; 2]; 120]);
    }
    let counters = call.jitter.counters();
    assert!(noise > 48_000 * 14, "{noise}");
    assert!(counters.concealed_samples < 48_000, "{counters:?}");
    assert_eq!(counters.lost, counters.late, "{counters:?}");
    // The delay stays what the jitter asks for over the pauses; else every first packet would be played at once.
    assert!(early < 150, "{early}");
}
