//! From reports to a plan: how much sound may take of the path, and what the path does to it.

use crate::base::rate::Bitrate;
use crate::base::time::{Duration, Instant};

use super::plan::{Bounds, SoundPath, SoundPlan};
use super::report::SoundReport;

/// Follows one outgoing stream of sound.
#[derive(Clone, Debug)]
pub struct SoundControl {
    most: Bitrate,
    bounds: Bounds,
    budget: Bitrate,
    round_trip: Option<Duration>,
    /// Packets that came, packets that did not, and bursts: halved every two seconds.
    received: f32,
    lost: f32,
    bursts: f32,
    /// That the path carries less than is sent.
    evidence: f32,
    /// What came through when the path was full.
    ceiling: Option<Bitrate>,
    /// When the other side reported last, or the first packet was sent.
    told: Option<Instant>,
    cut: Option<Instant>,
    raised: Option<Instant>,
    clear_since: Option<Instant>,
    /// More than the ceiling is tried after so much time without a queue: twice as much after each mistake.
    patience: Duration,
    plan: SoundPlan,
    /// While nothing is known of the path.
    starting: Option<Starting>,
    /// Since when a shorter frame could be sent.
    better_since: Option<Instant>,
}

/// A path without a queue still varies by the scheduler's and the radio's milliseconds.
const CLEAR: Duration = Duration::from_millis(30);
/// Even the quickest packet in 200 ms waited so long.
const QUEUED: Duration = Duration::from_millis(60);
const FULL: Duration = Duration::from_millis(200);
/// Three seconds of a queue that does not go, or most of one in which less than half of the sound comes: a stall
/// that is made up for, or a delay that wanders, is not a lack of room.
const ENOUGH: f32 = 16.0;
/// Sooner, where there is a reason to expect it.
const ENOUGH_AFTER_RAISE: f32 = 2.0;
/// What a cut does must be seen in a report before the next one.
const CUT_EVERY: Duration = Duration::from_millis(600);
/// Four reports, or a round trip over half the world and two.
const SILENT: Duration = Duration::from_millis(800);
const FIRST_PATIENCE: Duration = Duration::from_secs(4);
/// Where nothing speaks against more.
const QUICK: Duration = Duration::from_millis(500);
const LONGEST_PATIENCE: Duration = Duration::from_secs(60);
/// The longest frames with the least that Opus takes need 17 kbit/s.
const LEAST: Bitrate = Bitrate::from_kbps(17);
/// A queue within this time after a raise is the raise's doing.
const BLAME: Duration = Duration::from_secs(5);
/// Of what could be sent, in percent.
const USED: u64 = 75;
const FORGET: Duration = Duration::from_secs(2);
/// Shorter frames only when they could have been sent for so long.
const SETTLE: Duration = Duration::from_secs(2);
/// What a call begins with: frames of 60 ms, which the thinnest path carries. Each report without a queue that grows doubles
/// it, so a good path has short frames within two seconds; a thin one is not filled first and measured then.
const START: Bitrate = Bitrate::from_kbps(24);
/// While it is not known.
const USUAL_TRIP: Duration = Duration::from_millis(50);
/// So often it may seem full before it is believed to be.
const SETBACKS: u8 = 2;

/// How the beginning goes.
#[derive(Clone, Copy, Debug, Default)]
struct Starting {
    /// The last report told of a queue that grows: one alone is a delay that wanders.
    is_doubted: bool,
    /// How often there were two.
    setbacks: u8,
}

impl SoundControl {
    /// At most `most` on the wire.
    pub fn new(most: Bitrate, bounds: Bounds) -> Self {
        let path = SoundPath { budget: most, loss: 0.0, burst: 1.0, round_trip: None };
        Self {
            most,
            bounds,
            budget: most,
            round_trip: None,
            received: 0.0,
            lost: 0.0,
            bursts: 0.0,
            evidence: 0.0,
            ceiling: None,
            told: None,
            cut: None,
            raised: None,
            clear_since: None,
            patience: FIRST_PATIENCE,
            plan: SoundPlan::new(&path, &bounds),
            starting: None,
            better_since: None,
        }
    }

    pub const fn plan(&self) -> SoundPlan {
        self.plan
    }

    /// What is known of the path.
    pub fn path(&self) -> SoundPath {
        let all = self.received + self.lost;
        let loss = if all > 0.0 { self.lost / all } else { 0.0 };
        let burst = if self.bursts > 0.0 { (self.lost / self.bursts).max(1.0) } else { 1.0 };
        SoundPath { budget: self.budget, loss, burst, round_trip: self.round_trip }
    }

    pub const fn set_round_trip(&mut self, round_trip: Option<Duration>) {
        self.round_trip = round_trip;
    }

    /// Whether the other side reads copies of earlier frames.
    pub fn set_copies(&mut self, copies: bool) {
        if self.bounds.copies != copies {
            self.bounds.copies = copies;
            // Who reads them reports as well.
            if copies && self.told.is_none() && self.bounds.forced.is_none() {
                self.starting = Some(Starting::default());
                self.budget = START.min(self.most);
            }
            self.plan = SoundPlan::new(&self.path(), &self.bounds);
        }
    }

    /// So many bytes are around each frame on the wire.
    pub fn set_around(&mut self, around: u64) {
        if self.bounds.around != around {
            self.bounds.around = around;
            self.plan = SoundPlan::new(&self.path(), &self.bounds);
        }
    }

    /// Stereo in short frames, or one voice; from now on at most `most` on the wire.
    pub fn set_music(&mut self, music: bool, most: Bitrate) {
        // What was not held back by the path is not held back now.
        self.budget = if self.budget >= self.most { most } else { self.budget.min(most) };
        (self.most, self.bounds.music) = (most, music);
        self.plan = SoundPlan::new(&self.path(), &self.bounds);
    }

    pub const fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Something is sent at `now`. Where the other side has said nothing about it for long, its reports do not come through
    /// what we send: less of it may let them.
    pub fn on_sent(&mut self, now: Instant) {
        let told = *self.told.get_or_insert(now);
        // Where packets are lost, so are reports.
        let patience = SILENT.div_f32((1.0 - self.path().loss).max(0.3).powi(3));
        let is_silent = self.bounds.copies && now.saturating_duration_since(told) > patience;
        if is_silent && self.cut.is_none_or(|at| now.saturating_duration_since(at) >= CUT_EVERY) {
            self.budget = self.budget.percent(30).max(LEAST.min(self.most));
            (self.cut, self.clear_since) = (Some(now), None);
            self.plan = SoundPlan::new(&self.path(), &self.bounds);
        }
    }

    /// The receiver's report. `shared`: pictures take more of the path than they need; they give way first.
    pub fn on_report(&mut self, report: &SoundReport, shared: bool, now: Instant) {
        let keep = 0.5f32.powf(report.span.as_secs_f32() / FORGET.as_secs_f32());
        self.told = Some(now);
        self.received = self.received * keep + f32::from(report.received);
        self.lost = self.lost * keep + f32::from(report.lost);
        self.bursts = self.bursts * keep + f32::from(report.bursts);
        let is_starting = self.starting.is_some();
        if is_starting {
            self.start(report, now);
        } else {
            self.follow_queue(report, shared, now);
        }
        let plan = SoundPlan::new(&self.path(), &self.bounds);
        if plan.length >= self.plan.length || is_starting {
            (self.plan, self.better_since) = (plan, None);
            return;
        }
        let since = *self.better_since.get_or_insert(now);
        if now.saturating_duration_since(since) >= SETTLE {
            (self.plan, self.better_since) = (plan, None);
            return;
        }
        // The same length meanwhile, with what it can have.
        let bounds = Bounds { forced: Some(self.plan.length), ..self.bounds };
        self.plan = SoundPlan::new(&self.path(), &bounds);
    }

    /// Doubles what is sent until the path seems full, or all is sent that there is.
    fn start(&mut self, report: &SoundReport, now: Instant) {
        let Some(starting) = &mut self.starting else { return };
        // What the last step did is seen after so long.
        let shown = report.span + self.round_trip.unwrap_or(USUAL_TRIP);
        let is_shown = self.raised.is_none_or(|at| now.saturating_duration_since(at) >= shown);
        let advance = report.advanced as f32 / 48_000.0 / report.span.as_secs_f32().max(1e-3);
        let grows = advance < 0.8 || (report.queue > CLEAR && advance < 0.95);
        if grows && std::mem::replace(&mut starting.is_doubted, true) {
            starting.setbacks += 1;
            starting.is_doubted = false;
            if starting.setbacks == SETBACKS {
                self.starting = None;
                self.ceiling = Some(arrival_rate(report).min(self.budget));
            }
            // Less than what was carried before, so that what waits is gone soon.
            self.budget = self.budget.percent(40).max(LEAST.min(self.most));
            self.raised = Some(now);
        } else if !grows && is_shown {
            starting.is_doubted = false;
            // What waits after a setback goes first.
            if starting.setbacks == 0 || report.queue <= CLEAR {
                self.budget = self.budget.percent(200).min(self.most);
                self.starting = self.starting.filter(|_| self.budget < self.most);
                self.raised = Some(now);
            }
        }
    }

    fn follow_queue(&mut self, report: &SoundReport, shared: bool, now: Instant) {
        let since = |at: Option<Instant>| at.map_or(Duration::MAX, |at| now.saturating_duration_since(at));
        let is_tried = since(self.raised) < BLAME;
        let arrives = arrival_rate(report);
        self.weigh(report, is_tried);
        let enough = if is_tried { ENOUGH_AFTER_RAISE } else { ENOUGH };
        if self.evidence >= enough && since(self.cut) >= CUT_EVERY && !shared {
            if is_tried && self.ceiling.is_some() {
                self.patience = (self.patience * 2).min(LONGEST_PATIENCE);
            }
            // What waits is to be gone within two seconds or so. One report is not believed everything, unless most is lost.
            let share = (85 - (report.queue.as_millis() / 25).min(35)) as u64;
            let wanted = arrives.percent(share).min(self.budget.percent(share));
            self.ceiling = Some(arrives.min(self.budget));
            let believed = if report.lost > report.received { 10 } else { 30 };
            self.budget = wanted.max(self.budget.percent(believed)).max(LEAST.min(self.most));
            // What a full queue dropped is no reason for copies.
            (self.received, self.lost, self.bursts) = (0.0, 0.0, 0.0);
            (self.cut, self.clear_since, self.raised, self.evidence) = (Some(now), None, None, 0.0);
        }
        // Before anything is known of a limit only a queue that does not go speaks against more.
        if report.queue > CLEAR && (self.ceiling.is_some() || self.evidence > 0.0) {
            self.clear_since = None;
            return;
        }
        let clear = now.saturating_duration_since(*self.clear_since.get_or_insert(now));
        if self.budget >= self.most {
            return;
        }
        // Up to what came through a full path it may go at once, beyond that only after a while.
        let safe = self.ceiling.map(|ceiling| ceiling.percent(90));
        let (raised, patience) = match safe {
            Some(safe) if self.budget < safe => (self.budget.percent(160).min(safe), QUICK),
            Some(_) => (self.budget.percent(125), self.patience),
            None => (self.budget.percent(160), QUICK),
        };
        // A pause in what is said shows nothing of how much the path would carry.
        let is_used = arrives >= self.plan.on_wire(&self.bounds).percent(USED);
        if clear >= patience && (is_used || safe.is_none()) {
            if safe.is_some_and(|safe| self.budget > safe) {
                // There was more room than that: the path is another one now.
                (self.ceiling, self.patience) = (None, FIRST_PATIENCE);
            }
            self.budget = raised.min(self.most);
            (self.raised, self.clear_since) = (Some(now), Some(now));
        }
    }

    /// Whether the path carries less than is sent: what speaks for it, in reports of 200 ms.
    fn weigh(&mut self, report: &SoundReport, is_tried: bool) {
        let span = report.span.as_secs_f32();
        let (advance, reports) = (report.advanced as f32 / 48_000.0 / span.max(1e-3), (span / 0.2).min(5.0));
        let queued = if is_tried { CLEAR } else { QUEUED };
        self.evidence = match () {
            () if report.queue <= queued => 0.0,
            // The queue is being made up for.
            () if advance > 1.05 => 0.0,
            () if advance < 0.5 || report.lost > report.received => self.evidence + 4.0 * reports,
            () if advance < 0.95 || report.queue > FULL => self.evidence + reports,
            () => self.evidence,
        };
    }
}

/// What came, with all that is around it.
fn arrival_rate(report: &SoundReport) -> Bitrate {
    let micros = report.span.as_micros().max(1) as u64;
    Bitrate::from_bps(u64::from(report.bytes) * 8_000_000 / micros)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::now;
    use crate::media::frame_length::FrameLength;
    use crate::media::sound::plan::AROUND;

    const BOUNDS: Bounds =
        Bounds { forced: None, most: Bitrate::from_kbps(64), copies: true, music: false, around: AROUND };
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
}
