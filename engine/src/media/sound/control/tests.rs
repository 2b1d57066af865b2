//! Reports of paths that are made up, and what the control makes of them.

use super::*;
use crate::base::time::now;
use crate::media::frame_length::{FrameLength, FrameLengths};
use crate::media::sound::plan::AROUND;

const BOUNDS: Bounds = Bounds {
    forced: None,
    most: Bitrate::from_kbps(64),
    lengths: FrameLengths::ALL,
    copies: true,
    music: false,
    around: AROUND,
};
const MOST: Bitrate = Bitrate::from_kbps(300);

/// A path that carries `kbps` with a queue of a second in front: what the receiver reports of what the plan sends.
struct Narrow {
    control: SoundControl,
    queue: f64,
    at: Instant,
    /// Highest queue, in seconds, in each second.
    highest: Vec<f64>,
}

impl Narrow {
    fn new() -> Self {
        Self { control: SoundControl::new(MOST, BOUNDS), queue: 0.0, at: now(), highest: Vec::new() }
    }

    fn run(&mut self, kbps: f64, seconds: usize) {
        let span = Duration::from_millis(200);
        for _ in 0..seconds {
            let mut highest = 0f64;
            for _ in 0..5 {
                let wire = self.control.plan().on_wire(&BOUNDS).as_bps() as f64 / 1e3;
                let before = self.queue;
                self.queue = (self.queue + 0.2 * (wire - kbps) / kbps).clamp(0.0, 1.0);
                let carried = wire.min(kbps) + if before > self.queue { kbps - wire.min(kbps) } else { 0.0 };
                let report = SoundReport {
                    queue: Duration::from_secs_f64(before.min(self.queue)),
                    span,
                    bytes: (carried * 25.0) as u32,
                    advanced: (9600.0 * (0.2 - (self.queue - before)) / 0.2) as u32,
                    received: 40,
                    ..SoundReport::default()
                };
                self.at += span;
                self.control.on_report(&report, false, self.at);
                highest = highest.max(self.queue);
            }
            self.highest.push(highest);
        }
    }
}

#[test]
fn a_narrow_path_gets_long_frames_and_no_queue() {
    let mut narrow = Narrow::new();
    narrow.run(25.0, 30);
    assert_eq!(narrow.control.plan().length, FrameLength::Ms60);
    let late = &narrow.highest[12..];
    assert!(late.iter().filter(|queue| **queue > 0.2).count() <= 5, "{:?}", narrow.highest);
    // And short ones again when there is room.
    narrow.run(1000.0, 60);
    assert_eq!(narrow.control.plan().length, FrameLength::Ms5, "{:?}", narrow.control);
    assert_eq!(narrow.control.path().budget, MOST);
}

#[test]
fn a_call_begins_thin_and_has_all_that_the_path_carries_within_two_seconds() {
    for (kbps, most) in [(25.0, 0.4), (60.0, 0.5), (1000.0, 0.001)] {
        let mut narrow = Narrow::new();
        narrow.control = SoundControl::new(MOST, Bounds { copies: false, ..BOUNDS });
        narrow.control.set_copies(true);
        assert_eq!(narrow.control.plan().length, FrameLength::Ms60);
        narrow.run(kbps, 2);
        assert!(kbps < 500.0 || narrow.control.plan().length == FrameLength::Ms5, "{:?}", narrow.control);
        narrow.run(kbps, 9);
        assert!(narrow.highest.iter().all(|queue| *queue < most), "{kbps}: {:?}", narrow.highest);
    }
}

#[test]
fn a_wide_path_is_left_alone_and_so_is_one_that_stalls() {
    let mut wide = Narrow::new();
    wide.run(400.0, 10);
    assert_eq!(wide.control.plan().length, FrameLength::Ms5);
    let stalled = SoundReport {
        queue: Duration::from_millis(300),
        span: Duration::from_millis(400),
        bytes: 14_000,
        advanced: 19_200,
        received: 80,
        ..SoundReport::default()
    };
    let at = wide.at + Duration::from_millis(400);
    wide.control.on_report(&stalled, false, at);
    assert_eq!(wide.control.path().budget, MOST);
}

#[test]
fn losses_are_remembered_for_some_seconds_and_make_copies() {
    let (mut control, start) = (SoundControl::new(MOST, BOUNDS), now());
    let report = |lost: u16, bursts: u16| SoundReport {
        span: Duration::from_millis(200),
        bytes: 7000,
        advanced: 9600,
        received: 40 - lost,
        lost,
        bursts,
        ..SoundReport::default()
    };
    let mut at = start;
    let mut feed = |control: &mut SoundControl, lost, bursts, times| {
        for _ in 0..times {
            at += Duration::from_millis(200);
            control.on_report(&report(lost, bursts), false, at);
        }
    };
    feed(&mut control, 8, 7, 10);
    let path = control.path();
    assert!((path.loss - 0.2).abs() < 0.01 && (path.burst - 8.0 / 7.0).abs() < 0.01, "{path:?}");
    assert!(control.plan().copies.count() >= 2);
    feed(&mut control, 0, 0, 100);
    assert_eq!(control.plan().copies.count(), 1);
}

#[test]
fn sound_takes_no_more_than_pictures_leave_and_begins_anew_with_what_was_carried() {
    let (mut control, start) = (SoundControl::new(MOST, BOUNDS), now());
    control.allow(Bitrate::from_kbps(90));
    assert!(control.on_wire() <= Bitrate::from_kbps(90));
    control.begin_anew(Bitrate::from_kbps(60), start);
    assert!(control.on_wire() <= Bitrate::from_kbps(60) && control.path().budget == Bitrate::from_kbps(60));
    // What has just begun is proven by nothing.
    assert_eq!(control.proven(start), Bitrate::default());
}

#[test]
fn pictures_give_way_first() {
    let (mut control, start) = (SoundControl::new(MOST, BOUNDS), now());
    let queued = SoundReport {
        queue: Duration::from_millis(500),
        span: Duration::from_millis(200),
        bytes: 1000,
        advanced: 4000,
        received: 10,
        ..SoundReport::default()
    };
    (1..20).for_each(|n| control.on_report(&queued, true, start + Duration::from_millis(200 * n)));
    assert_eq!(control.path().budget, MOST);
    (20..40).for_each(|n| control.on_report(&queued, false, start + Duration::from_millis(200 * n)));
    assert!(control.path().budget < Bitrate::from_kbps(60));
}
