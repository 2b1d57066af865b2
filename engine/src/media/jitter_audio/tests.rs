//! Whole streams in virtual time: a path, a buffer, a stretcher and a device that pulls 2.5 ms at a time.

mod contract;
mod copies;
mod wild;

use std::sync::LazyLock;
use std::time::Duration;

use super::{AudioPacket, JitterBuffer, Next};
use crate::base::stereo::{Stereo, both};
use crate::base::time::{Instant, now};
use crate::media::stretch::Stretcher;

const FEC: u64 = 0x40 << 48;

/// A call in virtual time; microseconds since `start`.
struct Call {
    start: Instant,
    jitter: JitterBuffer,
    stretcher: Stretcher,
    frame: usize,
    /// (time of decoding, delay since the frame was complete at the sender), in microseconds.
    delays: Vec<(u64, i64)>,
    played: usize,
    /// How much slower than ours the sender's clock is, in parts per million.
    ppm: i64,
    /// Microseconds of one pull.
    pull: u64,
    /// Samples that were not the sender's: where, and how many.
    made_up: Vec<(u64, usize)>,
}

impl Call {
    fn new(frame: usize) -> Self {
        let (jitter, stretcher) = (JitterBuffer::default(), Stretcher::default());
        let (delays, made_up) = (Vec::new(), Vec::new());
        Self { start: now(), jitter, stretcher, frame, delays, played: 0, ppm: 0, pull: 2500, made_up }
    }

    /// When frame `n` is complete at the sender.
    fn made(&self, n: u64) -> u64 {
        let nominal = (n + 1) * self.frame as u64 * 1000 / 48;
        nominal.saturating_add_signed(nominal as i64 * self.ppm / 1_000_000)
    }

    fn arrive(&mut self, n: u64, micros: u64) {
        let packet = self.packet(n, micros);
        self.jitter.insert(packet);
    }

    /// Frame `n` as it comes at `micros`. Its number stands in it, whatever the header says.
    fn packet(&self, n: u64, micros: u64) -> AudioPacket {
        AudioPacket {
            sequence: 1000 + n,
            timestamp: 77_777 + n * self.frame as u64,
            arrival: self.start + Duration::from_micros(micros),
            samples: self.frame,
            // Of SILK with the flag that says it carries the frame before (RFC 6716 §4.2.4), and which frame it is.
            payload: (n | FEC).to_be_bytes().as_slice().into(),
            level: None,
            captured: None,
            copy: false,
        }
    }

    /// The device takes `count` samples at `micros`.
    fn pull(&mut self, micros: u64, count: usize) {
        let now = self.start + Duration::from_micros(micros);
        loop {
            let held = self.stretcher.len();
            let wish = self.jitter.wish(now, held, count);
            if held >= self.stretcher.appetite(count, wish, self.jitter.ready()) {
                break;
            }
            let decision = self.jitter.next(now, held, count.saturating_sub(held));
            let samples = match decision.next {
                Next::Decode(packet) => {
                    let n = u64::from_be_bytes(packet.payload[..8].try_into().expect("a frame's number")) & !FEC;
                    let delay = micros as i64 + held as i64 * 1000 / 48 - self.made(n) as i64;
                    self.delays.push((micros, delay));
                    voice(n * self.frame as u64, packet.samples)
                }
                Next::DecodeFec { samples, .. } => voice(0, samples),
                other => {
                    self.made_up.push((micros, other.samples()));
                    vec![[0.01; 2]; other.samples()]
                }
            };
            self.stretcher.push(&samples, decision.stretch, decision.ppm);
        }
        let mut out = vec![[0.0; 2]; count];
        assert_eq!(self.stretcher.pop(&mut out), 0, "the device got less than it asked for");
        self.played += count;
    }

    /// Plays `arrivals` (microseconds, frame) for `seconds`.
    fn run(&mut self, mut arrivals: Vec<(u64, u64)>, seconds: u64) {
        arrivals.sort_unstable();
        let mut arrivals = arrivals.into_iter().peekable();
        // 1.3 ms beside the packets' grid, as devices are.
        for micros in (1300..seconds * 1_000_000).step_by(self.pull as usize) {
            while let Some((at, n)) = arrivals.next_if(|(at, _)| *at <= micros) {
                self.arrive(n, at);
            }
            self.pull(micros, self.pull as usize * 48 / 1000);
        }
    }

    fn worst_delay(&self, from_seconds: f64, to_seconds: f64) -> i64 {
        let within = |at: u64| (from_seconds..to_seconds).contains(&(at as f64 / 1e6));
        self.delays.iter().filter(|(at, _)| within(*at)).map(|(_, delay)| *delay).max().expect("something was played")
    }

    fn mean_delay(&self, from_seconds: f64, to_seconds: f64) -> f64 {
        let within = |at: u64| (from_seconds..to_seconds).contains(&(at as f64 / 1e6));
        let delays: Vec<i64> = self.delays.iter().filter(|(at, _)| within(*at)).map(|(_, delay)| *delay).collect();
        delays.iter().sum::<i64>() as f64 / delays.len() as f64
    }

    /// Samples that were not the sender's.
    fn made_up(&self, from_seconds: f64, to_seconds: f64) -> usize {
        let within = |at: u64| (from_seconds..to_seconds).contains(&(at as f64 / 1e6));
        self.made_up.iter().filter(|(at, _)| within(*at)).map(|(_, samples)| samples).sum()
    }

    fn concealed_percent(&self) -> f64 {
        let counters = self.jitter.counters();
        counters.concealed_samples as f64 * 100.0 / counters.total_samples as f64
    }
}

/// A 120 Hz buzz: what is stretched worst, for it never pauses. A second of it, which fits to itself.
static BUZZ: LazyLock<Vec<f32>> = LazyLock::new(|| {
    let sample = |n: u32| {
        let t = n as f32 / 48_000.0 * std::f32::consts::TAU * 120.0;
        (t.sin() + (t * 2.0).sin() * 0.5 + (t * 3.0).sin() * 0.3) * 0.2
    };
    (0..48_000).map(sample).collect()
});

fn voice(from: u64, count: usize) -> Vec<Stereo> {
    (from..from + count as u64).map(|n| both(BUZZ[(n % 48_000) as usize])).collect()
}

fn random(seed: &mut u32) -> u32 {
    *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    *seed >> 8
}

#[test]
fn on_a_clean_path_the_buffer_adds_at_most_one_frame() {
    let mut call = Call::new(240);
    let arrivals = (0..4000).map(|n| (call.made(n) + 100 + n % 7 * 20, n)).collect();
    call.run(arrivals, 20);
    assert!(call.worst_delay(0.2, 20.0) <= 5_200, "{} us", call.worst_delay(0.2, 20.0));
    let counters = call.jitter.counters();
    assert_eq!((counters.lost, counters.late, counters.dropped), (0, 0, 0));
    assert!(call.concealed_percent() < 0.1, "{}", call.concealed_percent());
}

#[test]
fn after_half_a_second_of_outage_the_delay_is_back_within_five_seconds_and_stays() {
    let mut call = Call::new(240);
    let arrivals = (0..4000)
        .map(|n| (call.made(n), n))
        .map(|(at, n)| (if (5_000_000..5_500_000).contains(&at) { 5_500_000 + n } else { at + 200 }, n));
    call.run(arrivals.collect(), 20);
    let before = call.worst_delay(1.0, 5.0);
    let after = call.worst_delay(10.5, 20.0);
    assert!(after <= before + 20_000, "before {before}, after {after}");
    assert_eq!(call.played, 20 * 48_000);
}

#[test]
fn a_drift_of_1500_ppm_either_way_is_followed_for_five_minutes_without_creeping() {
    for ppm in [-1500, 1500] {
        let mut call = Call::new(240);
        call.ppm = ppm;
        let arrivals = (0..60_500).map(|n| (call.made(n) + 500, n)).collect();
        call.run(arrivals, 300);
        let (first, last) = (call.worst_delay(5.0, 60.0), call.worst_delay(240.0, 300.0));
        assert!(last <= 20_000, "{ppm} ppm: {first} then {last}");
        assert!(last <= first + 5_000, "{ppm} ppm: {first} then {last}");
        assert!(call.concealed_percent() < 1.0, "{ppm} ppm: {} %", call.concealed_percent());
        assert_eq!(call.jitter.counters().dropped, 0);
    }
}

#[test]
fn jitter_raises_the_delay_and_calm_lowers_it_within_five_seconds() {
    let mut call = Call::new(960);
    let mut seed = 7;
    let arrivals = (0..1500).map(|n| {
        let at = call.made(n);
        let jitter = if (5_000_000..15_000_000).contains(&at) { u64::from(random(&mut seed) % 40_000) } else { 0 };
        (at + 20_000 + jitter, n)
    });
    let arrivals = arrivals.collect();
    call.run(arrivals, 30);
    let (calm, again) = (call.worst_delay(2.0, 5.0), call.worst_delay(20.0, 30.0));
    assert!(again <= calm + 20_000, "calm {calm}, again {again}");
    assert!(call.worst_delay(6.0, 15.0) < 90_000, "{}", call.worst_delay(6.0, 15.0));
    assert!(call.concealed_percent() < 3.0, "{}", call.concealed_percent());
}

#[test]
fn a_lost_packet_costs_one_frame_and_fec_restores_it() {
    for fec in [false, true] {
        let mut call = Call::new(960);
        call.jitter.set_fec(fec);
        // Some jitter makes the buffer hold a packet, so that the one after the lost one is there in time.
        let arrivals = (0..1000).filter(|n| n % 50 != 25).map(|n| (call.made(n) + (n % 3) * 12_000, n)).collect();
        call.run(arrivals, 19);
        let counters = call.jitter.counters();
        assert!((18..=22).contains(&counters.lost), "{counters:?}");
        // Late ones only before the path is known.
        assert!(counters.late <= 2, "{counters:?}");
        if fec {
            // A lost packet whose follower is itself 12 or 24 ms late cannot be restored in time: two of three.
            assert!(counters.restored >= 5, "{counters:?}");
        } else {
            assert_eq!(counters.restored, 0);
        }
    }
}

#[test]
fn what_is_left_of_an_overtaken_packet_is_heard_and_the_delay_does_not_grow_for_it() {
    let mut call = Call::new(960);
    call.jitter.set_fec(false);
    // A delay of 15 ms, and once in three seconds a packet that needs 28 ms: the one after it is there before it.
    let late = |n: u64| if n % 150 == 75 { 28_000 } else { n % 3 * 7_500 };
    call.run((0..2_000).map(|n| (call.made(n) + late(n), n)).collect(), 38);
    let counters = call.jitter.counters();
    assert!(counters.lost <= 1 && counters.late <= 1, "{counters:?}");
    // Twelve of them: not a packet is made up for each, but what was missing.
    let made_up = call.made_up(3.0, 38.0) / 48;
    assert!((12 * 8..12 * 18).contains(&made_up), "{made_up} ms");
    let delay = call.mean_delay(4.0, 38.0) / 1e3;
    assert!(delay < 20.0, "{delay} ms");
}

#[test]
fn a_muted_sender_is_silence_and_not_loss() {
    let mut call = Call::new(240);
    call.run((0..200).map(|n| (call.made(n), n)).collect(), 1);
    let before = call.jitter.counters();
    call.jitter.set_expecting(false);
    for pull in 400..2000 {
        call.pull(pull * 2500 + 1300, 120);
    }
    let after = call.jitter.counters();
    assert_eq!((after.lost, after.concealed_samples), (before.lost, before.concealed_samples));
}

#[test]
fn a_pause_with_consecutive_numbers_is_no_loss() {
    let mut jitter = JitterBuffer::default();
    let start = now();
    for n in 0..2u64 {
        jitter.insert(AudioPacket {
            sequence: n,
            timestamp: n * 48_000,
            arrival: start + Duration::from_secs(n),
            samples: 240,
            payload: [].as_slice().into(),
            level: None,
            captured: None,
            copy: false,
        });
        let decision = jitter.next(start + Duration::from_secs(n), 0, 120);
        assert!(matches!(decision.next, Next::Decode(packet) if packet.sequence == n));
    }
    assert_eq!(jitter.counters().lost, 0);
}

#[test]
fn two_seconds_of_packets_are_the_most_that_is_kept() {
    let mut call = Call::new(240);
    for n in 0..5000 {
        call.arrive(n, n);
    }
    assert!(call.jitter.len() <= 401, "{}", call.jitter.len());
    assert_eq!(call.jitter.counters().dropped as usize, 5000 - call.jitter.len());
}

#[test]
fn safety_trades_delay_for_concealment_at_once() {
    // Of every second the path stands still for up to 80 ms once.
    let with = |before: u8, after: u8| {
        let (mut call, mut seed) = (Call::new(960), 21);
        let mut free = 0;
        let arrivals = (0..1450).map(|n| {
            let at = call.made(n) + 20_000;
            free = if n % 53 == 0 { at + u64::from(random(&mut seed) % 80_000) } else { free };
            (at.max(free), n)
        });
        let mut arrivals = arrivals.collect::<Vec<_>>().into_iter().peekable();
        for micros in (1300..29_000_000).step_by(2500) {
            call.jitter.set_safety(if micros < 14_500_000 { before } else { after });
            while let Some((at, n)) = arrivals.next_if(|(at, _)| *at <= micros) {
                call.arrive(n, at);
            }
            call.pull(micros, 120);
        }
        call
    };
    let [fast, usual, safe] = [0, 50, 100].map(|safety| with(safety, safety));
    let delay = |call: &Call| call.mean_delay(5.0, 29.0);
    let made_up = |call: &Call| call.made_up(5.0, 29.0);
    assert!(delay(&fast) + 5_000.0 < delay(&usual), "{} {}", delay(&fast), delay(&usual));
    assert!(delay(&usual) + 5_000.0 < delay(&safe), "{} {}", delay(&usual), delay(&safe));
    let all = [&fast, &usual, &safe].map(made_up);
    assert!(all[0] > all[1] && all[1] > all[2] * 2, "{all:?}");
    // From the middle on: half a second later the delay is the other one's.
    let changed = with(0, 100);
    assert!(changed.mean_delay(15.0, 17.0) > changed.mean_delay(12.0, 14.0) + 10_000.0);
}
