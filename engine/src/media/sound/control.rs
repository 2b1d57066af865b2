//! From reports to a plan: how much sound may take of the path, and what the path does to it.

use crate::base::rate::Bitrate;
use crate::base::time::{Duration, Instant};
use crate::media::frame_length::FrameLengths;

use super::plan::{Bounds, SoundPath, SoundPlan};
use super::report::SoundReport;
use super::start::{LeastTrip, Starting, Step, is_another};

/// Follows one outgoing stream of sound.
#[derive(Clone, Debug)]
pub struct SoundControl {
    most: Bitrate,
    bounds: Bounds,
    budget: Bitrate,
    /// What pictures leave to sound.
    allowed: Bitrate,
    round_trip: Option<Duration>,
    /// Packets that came, packets that did not, and bursts: halved every two seconds.
    received: f32,
    lost: f32,
    bursts: f32,
    /// That the path carries less than is sent.
    evidence: f32,
    /// What came through when the path was full.
    ceiling: Option<Bitrate>,
    /// It was full since the budget was all that there can be.
    was_full: bool,
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
    /// What the path takes at least, and what it took when its limit was met.
    least: LeastTrip,
    limited: Option<Duration>,
    limited_at: Option<Instant>,
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
/// On a path that was full before.
const AGAIN: Duration = Duration::from_millis(1500);
const LONGEST_PATIENCE: Duration = Duration::from_secs(30);
/// The longest frames with the least that Opus takes need 17 kbit/s.
const LEAST: Bitrate = Bitrate::from_kbps(17);
/// A queue within this time after a raise is the raise's doing.
const BLAME: Duration = Duration::from_secs(5);
/// Of what could be sent, in percent.
const USED: u64 = 75;
/// And the plan has to need so much of the budget, in percent, before more is tried.
const NEEDED: u64 = 60;
const FORGET: Duration = Duration::from_secs(2);
/// Shorter frames only when they could have been sent for so long.
const SETTLE: Duration = Duration::from_secs(2);
/// What a call begins with: frames of 60 ms, which the thinnest path carries. Each report without a queue that grows doubles
/// it, so a good path has short frames within two seconds; a thin one is not filled first and measured then.
const START: Bitrate = Bitrate::from_kbps(24);
/// While it is not known.
const USUAL_TRIP: Duration = Duration::from_millis(50);
impl SoundControl {
    /// At most `most` on the wire.
    pub fn new(most: Bitrate, bounds: Bounds) -> Self {
        let path = SoundPath { budget: most, loss: 0.0, burst: 1.0, round_trip: None };
        Self {
            most,
            bounds,
            budget: most,
            allowed: most,
            round_trip: None,
            received: 0.0,
            lost: 0.0,
            bursts: 0.0,
            evidence: 0.0,
            ceiling: None,
            was_full: false,
            told: None,
            cut: None,
            raised: None,
            clear_since: None,
            patience: FIRST_PATIENCE,
            plan: SoundPlan::new(&path, &bounds),
            starting: None,
            least: LeastTrip::default(),
            limited: None,
            limited_at: None,
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
        SoundPath { budget: self.budget.min(self.allowed), loss, burst, round_trip: self.round_trip }
    }

    pub const fn set_round_trip(&mut self, round_trip: Option<Duration>) {
        self.round_trip = round_trip;
    }

    /// What pictures leave to sound.
    pub fn allow(&mut self, allowed: Bitrate) {
        self.allowed = allowed.max(LEAST.min(self.most));
        if self.plan.on_wire(&self.bounds) > self.allowed {
            self.plan = SoundPlan::new(&self.path(), &self.bounds);
        }
    }

    /// The path was found to carry no more than `carried`, pictures with it: sound begins there to find out for itself.
    pub fn begin_anew(&mut self, carried: Bitrate, now: Instant) {
        self.budget = carried.clamp(LEAST.min(self.most), self.most);
        (self.ceiling, self.cut, self.allowed, self.starting) = (Some(carried), Some(now), self.most, None);
        (self.clear_since, self.raised, self.evidence, self.was_full) = (None, None, 0.0, true);
        self.plan = SoundPlan::new(&self.path(), &self.bounds);
    }

    /// The path was measured to carry `carries`: what is known of a limit is no more, and more is tried at once.
    pub fn widen(&mut self, carries: Bitrate, now: Instant) {
        self.budget = self.budget.max(carries.percent(20)).min(self.most);
        (self.ceiling, self.patience, self.was_full, self.evidence) = (None, FIRST_PATIENCE, false, 0.0);
        (self.raised, self.clear_since) = (Some(now), None);
        self.plan = SoundPlan::new(&self.path(), &self.bounds);
    }

    /// What was seen to get through without a queue for two seconds; zero while something is tried.
    pub fn proven(&self, now: Instant) -> Bitrate {
        let is_long = |at: Option<Instant>| at.is_some_and(|at| now.saturating_duration_since(at) >= SETTLE);
        let is_tried = self.raised.is_some() && !is_long(self.raised);
        let on_wire = self.plan.on_wire(&self.bounds);
        let is_proven =
            self.starting.is_none() && is_long(self.clear_since) && !is_tried && on_wire >= self.budget.percent(NEEDED);
        if is_proven { self.budget } else { Bitrate::default() }
    }

    /// What it takes on the wire now.
    pub fn on_wire(&self) -> Bitrate {
        self.plan.on_wire(&self.bounds)
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

    /// The other side reads frames of these lengths.
    pub fn set_lengths(&mut self, lengths: FrameLengths) {
        if self.bounds.lengths != lengths {
            self.bounds.lengths = lengths;
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
        (self.most, self.bounds.music, self.allowed) = (most, music, most);
        self.plan = SoundPlan::new(&self.path(), &self.bounds);
    }

    /// The most on the wire.
    pub const fn most(&self) -> Bitrate {
        self.most
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
            // When it is heard of again, nothing is known of it: it may be another one.
            self.starting = Some(Starting::default());
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
        self.follow_path(now);
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

    fn start(&mut self, report: &SoundReport, now: Instant) {
        let Some(starting) = &mut self.starting else { return };
        // What the last step did is seen after so long.
        let shown = report.span + self.round_trip.unwrap_or(USUAL_TRIP);
        let is_shown = self.raised.is_none_or(|at| now.saturating_duration_since(at) >= shown);
        let step = starting.step(report, CLEAR, is_shown);
        match step {
            Step::Hold => return,
            Step::More => {
                self.budget = self.budget.percent(200).min(self.most);
                self.starting = self.starting.filter(|_| self.budget < self.most);
            }
            Step::Less | Step::Full => {
                if step == Step::Full {
                    self.starting = None;
                    self.limit(arrival_rate(report), now);
                }
                self.budget = self.budget.percent(40).max(LEAST.min(self.most));
            }
        }
        self.raised = Some(now);
    }

    /// The path was full with so much.
    fn limit(&mut self, arrives: Bitrate, now: Instant) {
        self.ceiling = Some(arrives.min(self.budget));
        (self.limited, self.limited_at) = (self.least.get(), Some(now));
    }

    /// A limit holds for the path that it was met on.
    fn follow_path(&mut self, now: Instant) {
        let Some(trip) = self.round_trip else { return };
        self.least.observe(trip, now);
        if self.ceiling.is_none() {
            return;
        }
        // It may have been met just when the path had become another one: what that takes is known a while later.
        if self.limited_at.is_some_and(|at| now.saturating_duration_since(at) >= LeastTrip::KNOWN) {
            (self.limited, self.limited_at) = (self.limited.max(self.least.get()), None);
        }
        if self.limited.is_some_and(|before| is_another(before, trip)) {
            (self.ceiling, self.patience, self.was_full) = (None, FIRST_PATIENCE, false);
            self.starting = Some(Starting::default());
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
            self.limit(arrives, now);
            self.was_full = true;
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
            self.was_full = false;
            return;
        }
        // Up to what came through a full path it may go at once, beyond that only after a while.
        let safe = self.ceiling.map(|ceiling| ceiling.percent(90));
        let (raised, patience) = match safe {
            Some(safe) if self.budget < safe => (self.budget.percent(160).min(safe), QUICK),
            Some(_) => (self.budget.percent(125), self.patience),
            None if self.was_full => (self.budget.percent(130), AGAIN),
            None => (self.budget.percent(160), QUICK),
        };
        // A pause in what is said shows nothing of how much the path would carry.
        let on_wire = self.plan.on_wire(&self.bounds);
        let is_needed = on_wire >= self.budget.percent(NEEDED);
        let is_used = arrives >= on_wire.percent(USED);
        if clear >= patience && is_needed && (is_used || safe.is_none()) {
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
mod tests;
