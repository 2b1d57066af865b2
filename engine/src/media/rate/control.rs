//! How much the path carries, from what the receiver reports; and what of it pictures get.

mod compete;
mod estimate;
mod judge;
mod room;

use std::collections::VecDeque;

use self::compete::Competing;
use self::room::Room;
use super::arrivals::Arrivals;
use super::probe::{ProbeReport, Prober, Train};
use super::report::DelayReport;
use super::share;
use super::trend::DelayTrend;
use crate::base::id::UnitNumber;
use crate::base::rate::Bitrate;
use crate::base::time::{Duration, Instant};

/// The sender's view of one connection. `total` is what everything may take on the wire, sound included.
#[derive(Clone, Debug)]
pub struct RateControl {
    /// What pictures may take at most, and sound.
    most_pictures: Bitrate,
    most_sound: Bitrate,
    total: Bitrate,
    /// What sound takes now.
    sound: Bitrate,
    trend: DelayTrend,
    arrivals: Arrivals,
    /// Units of which nothing was reported yet, and when they began to be sent.
    unheard: VecDeque<(UnitNumber, Instant)>,
    round_trip: Duration,
    /// What the path carried when it was last full.
    ceiling: Option<Bitrate>,
    emptying: Option<Emptying>,
    /// A change is judged by reports about packets that were sent after it.
    blind: Option<Instant>,
    cut: Option<Cut>,
    raised: Option<Instant>,
    clear_since: Option<Instant>,
    /// More than the ceiling is tried after so much time: the longer the oftener that failed.
    patience: Duration,
    /// Raises above it without a queue, each larger than the one before.
    raises: u64,
    /// What pictures were made for before the first of them: more than that is only tried.
    known: Option<Bitrate>,
    room: Room,
    /// Queues in a row that were there though everything arrived.
    innocent: u32,
    /// What was sent before the first of them, and when that was.
    before: Option<Bitrate>,
    innocent_since: Option<Instant>,
    /// Others fill the queue, whatever we do.
    competing: Option<Competing>,
    competed: Option<Instant>,
    anew: bool,
    forget: bool,
    was_unheard: bool,
    /// Pictures are tried again so long after they went off; when that was done last.
    retry: Duration,
    tried: Option<Instant>,
    /// The last report says that the path carries no pictures.
    is_doubted: bool,
    pictures: Pictures,
    prober: Prober,
    /// The queue that sound met lately.
    sound_queue: Duration,
    /// What the transport's estimator says.
    estimate: Option<Bitrate>,
}

/// What the path leaves for pictures at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Allowed {
    /// What is sent as pictures, without what is around it; zero where none are to be sent now.
    pub target: Bitrate,
    /// The same but for a queue that is to go: what pictures are made for.
    pub aim: Bitrate,
    /// What the bucket is filled with, and as much as it holds.
    pub pace: Bitrate,
    pub keyframe_pace: Bitrate,
    pub burst: Duration,
    /// Share of the packets lost on the way, but for what a full queue threw away.
    pub loss: f64,
    /// The same as it is to be expected where little is known.
    pub expected_loss: f64,
    pub round_trip: Option<Duration>,
}

/// Whether pictures are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pictures {
    Sent,
    /// The path carries sound alone, since when.
    Off(Instant),
}

/// Until then less is sent, so that the queue goes.
#[derive(Clone, Copy, Debug)]
struct Emptying {
    until: Instant,
    total: Bitrate,
}

/// When less was sent because of how long a queue.
#[derive(Clone, Copy, Debug)]
struct Cut {
    at: Instant,
    queue: Duration,
    /// What was sent before, and what was known to be carried.
    before: Bitrate,
    ceiling: Option<Bitrate>,
}

/// Beside a round trip: the time until the next report, and what a path may take before it is called full.
const SILENT: Duration = Duration::from_millis(200);
/// Two seconds of units; past that the oldest says nothing new.
const UNHEARD: usize = 64;
const TRICKLE_EVERY: Duration = Duration::from_millis(400);
const TRICKLE: Bitrate = Bitrate::from_kbps(100);
/// So many packets lost by one report, which is of 50 ms.
const MANY: u16 = 3;
/// A queue of this length may have thrown something away.
const OVERFLOWING: Duration = Duration::from_millis(150);
/// With a longer queue than this the path is not measured.
const PROBED: Duration = Duration::from_millis(60);
/// So long what was lost is counted.
const LOSSES: Duration = Duration::from_secs(2);
/// A picture of less than this is only late.
const LEAST_WHILE_EMPTYING: Bitrate = Bitrate::from_kbps(30);
/// Reports come every 50 ms, and a picture every 33.
const REPORTING: Duration = Duration::from_millis(80);
/// So long more than what the path was known to carry is only tried: a queue that grows by a tenth of the time is seen by then.
const TRIED: Duration = Duration::from_millis(1500);
const FIRST_PATIENCE: Duration = Duration::from_millis(800);
/// The first try after pictures went off, and the longest time between two.
const RETRY: Duration = Duration::from_secs(5);

impl RateControl {
    /// Where a call starts on a path it does not know.
    pub const START: Bitrate = Bitrate::from_kbps(1000);

    /// Pictures may take `most`, sound `most_sound` on the wire.
    pub fn new(most: Bitrate, most_sound: Bitrate) -> Self {
        Self {
            most_pictures: most,
            most_sound,
            total: sum(Self::START.min(most), most_sound),
            sound: most_sound,
            trend: DelayTrend::default(),
            arrivals: Arrivals::default(),
            unheard: VecDeque::with_capacity(UNHEARD),
            round_trip: Duration::from_millis(100),
            ceiling: None,
            emptying: None,
            blind: None,
            cut: None,
            raised: None,
            clear_since: None,
            patience: FIRST_PATIENCE,
            raises: 0,
            known: None,
            room: Room::default(),
            innocent: 0,
            before: None,
            innocent_since: None,
            competing: None,
            competed: None,
            anew: false,
            forget: false,
            was_unheard: false,
            retry: RETRY,
            tried: None,
            is_doubted: false,
            pictures: Pictures::Sent,
            prober: Prober::default(),
            sound_queue: Duration::ZERO,
            estimate: None,
        }
    }

    /// Bytes of pictures were sent, with what is around them; `begins`: the first of the unit with this number.
    pub fn on_sent(&mut self, bytes: usize, begins: Option<UnitNumber>, now: Instant) {
        self.arrivals.on_sent(bytes);
        if let Some(number) = begins {
            if self.unheard.len() == UNHEARD {
                self.unheard.pop_front();
            }
            self.unheard.push_back((number, now));
        }
    }

    /// What sound may take at most.
    pub const fn set_most_sound(&mut self, most: Bitrate) {
        self.most_sound = most;
    }

    /// What sound takes on the wire now, and how long a word takes to and fro.
    pub fn set_path(&mut self, sound: Bitrate, round_trip: Option<Duration>) {
        self.sound = sound;
        // Without the queues in it: what is there for a while is the way's own length, and grows by a tenth per second at most.
        let longest = self.round_trip.mul_f64(1.005);
        self.round_trip = round_trip.map_or(self.round_trip, |time| time.min(longest.max(Duration::from_millis(1))));
    }

    /// What the receiver reports.
    pub fn on_report(&mut self, report: &DelayReport, now: Instant) {
        self.file(report, now);
        self.room.observe(report.spread, now);
        if self.emptying.is_some_and(|emptying| now >= emptying.until) {
            self.emptying = None;
        }
        if let Some(queue) = report.queue {
            self.trend.observe(queue, self.is_blind(now) && queue > OVERFLOWING, now);
            // A full queue throws away: what it did is known only when the rest is through.
            let was_full = self.cut.is_some_and(|cut| cut.queue > OVERFLOWING) && self.is_blind(now);
            self.anew |= report.lost >= MANY && (queue > OVERFLOWING || was_full);
        }
        if self.compete(report, now) {
            return;
        }
        let Some(queue) = self.trend.standing() else { return };
        let threshold = self.threshold();
        if std::mem::take(&mut self.is_doubted) && queue > threshold && self.pictures == Pictures::Sent {
            self.turn_off(now);
        }
        if queue > threshold {
            self.clear_since = None;
            if !self.is_blind(now) || self.is_worse(queue, now) {
                self.judge(queue, now);
            }
        } else if queue < threshold / 2 + Duration::from_millis(4) {
            self.innocent = 0;
            self.take_back(now);
            self.grow(now);
        }
    }

    /// What the path leaves for pictures now.
    pub fn allowed(&self, now: Instant) -> Allowed {
        // What a full queue throws away is not lost on the way.
        let is_full = self.cut.is_some_and(|cut| now.saturating_duration_since(cut.at) < LOSSES);
        let loss = |loss: f64| if is_full { 0.0 } else { loss };
        Allowed {
            target: self.target(now),
            aim: self.aim(now),
            pace: self.pace(now),
            keyframe_pace: self.keyframe_pace(now),
            burst: self.burst(),
            loss: loss(self.arrivals.known_loss()),
            expected_loss: loss(self.arrivals.expected_loss()),
            round_trip: Some(self.round_trip),
        }
    }

    /// What is sent as pictures, without what is around it; zero where none are to be sent now.
    pub fn target(&self, now: Instant) -> Bitrate {
        let emptying = self.emptying.filter(|emptying| now < emptying.until);
        let target = self.pictures_of(emptying.map_or_else(|| self.combined(now), |emptying| emptying.total));
        if self.is_unheard(now) {
            // One small picture now and then, so that there is something to report about.
            let last = self.unheard.back();
            let is_time = last.is_none_or(|(_, at)| now.saturating_duration_since(*at) >= TRICKLE_EVERY);
            return if is_time { target.min(TRICKLE) } else { Bitrate::default() };
        }
        if target < LEAST_WHILE_EMPTYING { Bitrate::default() } else { target }
    }

    /// The same but for a queue that is to go, and for what is only tried: what pictures are made for. A larger one begins with
    /// a keyframe, which on a path that turns out to be full becomes the queue that is to be avoided.
    pub fn aim(&self, now: Instant) -> Bitrate {
        let is_tried = self.raised.is_some_and(|at| now.saturating_duration_since(at) < TRIED);
        let all = self.pictures_of(self.total);
        self.known.filter(|_| is_tried).map_or(all, |known| known.min(all))
    }

    /// Of what was sent nothing has been reported for long: it waits in a queue, or the reports do.
    fn is_unheard(&self, now: Instant) -> bool {
        let queue = if self.competing.is_some() { compete::LONGEST } else { Duration::ZERO };
        let patience = SILENT + self.round_trip + queue + self.trend.noise() * 4;
        self.unheard.front().is_some_and(|(_, sent)| now.saturating_duration_since(*sent) > patience)
    }

    /// What was sent is not to be sent again where it is lost: the path is full. Said once.
    pub fn take_forget(&mut self, now: Instant) -> bool {
        self.try_again_without_sound(now);
        let is_unheard = self.is_unheard(now);
        let begins = is_unheard && !std::mem::replace(&mut self.was_unheard, is_unheard);
        self.was_unheard = is_unheard;
        std::mem::replace(&mut self.forget, false) || begins
    }

    /// Too much was lost in a full queue: what follows begins anew. Said once.
    pub const fn take_anew(&mut self) -> bool {
        std::mem::replace(&mut self.anew, false)
    }

    fn pictures_of(&self, total: Bitrate) -> Bitrate {
        if self.pictures != Pictures::Sent {
            return Bitrate::default();
        }
        let left = total.as_bps().saturating_sub(self.sound.as_bps().min(self.sound_may_take().as_bps()));
        // RTP, its extensions, UDP and IP; and what is lost is sent again, but for what a full queue threw away.
        let again = ((self.arrivals.loss() * 100.0) as u64).min(15);
        Bitrate::from_bps(left.min(self.most_pictures.as_bps())).percent(92 * 100 / (100 + again))
    }

    /// What the bucket of pictures is filled with. An encoder that spends all of its target would wait for ever behind its
    /// own keyframe in a bucket that is filled no faster (28 ms at the median, measured); but what the path was seen to
    /// carry is not exceeded for one.
    pub fn pace(&self, now: Instant) -> Bitrate {
        // Packets that come apart less than they left tell of more room.
        self.pace_of(150, now)
    }

    /// The same for a keyframe, which is large enough to be a queue.
    pub fn keyframe_pace(&self, now: Instant) -> Bitrate {
        self.pace_of(120, now)
    }

    /// At least `least` percent of the target.
    fn pace_of(&self, least: u64, now: Instant) -> Bitrate {
        let target = self.target(now);
        match self.ceiling {
            // What waits in front of the path is in nobody's way; in the queue that is to go it would be in that of sound.
            _ if self.emptying.is_some_and(|emptying| now < emptying.until) => target.percent(105),
            None => target.percent(220),
            Some(_) if target.as_bps() == 0 => target,
            Some(ceiling) => {
                let room = ceiling.percent(95).as_bps().saturating_sub(self.sound.as_bps());
                Bitrate::from_bps(room).min(target.percent(220)).max(target.percent(least))
            }
        }
    }

    /// As large a burst as the path is trusted with: an IDR of a 720p picture before it has shown a queue.
    pub const fn burst(&self) -> Duration {
        Duration::from_millis(if self.ceiling.is_some() { 15 } else { 100 })
    }

    /// What sound may take while there are pictures; all that it can get where there are none.
    pub fn sound_may_take(&self) -> Bitrate {
        match self.pictures {
            Pictures::Sent => share::sound(self.total, self.most_sound),
            Pictures::Off(_) => self.most_sound,
        }
    }

    /// The path carries no pictures beside sound.
    pub fn is_too_narrow(&self) -> bool {
        self.pictures != Pictures::Sent
    }

    pub const fn total(&self) -> Bitrate {
        self.total
    }

    pub const fn trend(&self) -> &DelayTrend {
        &self.trend
    }

    /// While pictures are off: what sound was found to get through by itself, and the queue that it met lately.
    pub fn on_sound(&mut self, budget: Bitrate, queue: Duration, now: Instant) {
        self.sound_queue = queue;
        let Pictures::Off(since) = self.pictures else { return };
        let is_carried = share::carries_pictures(budget.percent(90), self.most_sound);
        if is_carried && now.saturating_duration_since(since) >= self.retry {
            self.come_back(budget.percent(90), now);
        }
    }

    /// A train of packets to measure the path with, where it is time for one: while it carries sound alone.
    pub fn take_train(&mut self, now: Instant) -> Option<Train> {
        // What waits already makes a train longer than the path does.
        if self.pictures == Pictures::Sent || self.sound_queue > PROBED {
            return None;
        }
        self.prober.take_train(self.total.max(self.sound), now)
    }

    /// What the other side says of a train: what the path carries, where that is enough for pictures.
    pub fn on_probe(&mut self, report: &ProbeReport, now: Instant) -> Option<Bitrate> {
        let carries = self.prober.on_report(report, self.total.max(self.sound))?;
        // Half of what was measured, and that has to be worth it: what is tried in vain costs a queue.
        let half = carries.percent(50);
        let is_enough = share::carries_pictures(half.percent(80), self.most_sound);
        if self.pictures == Pictures::Sent || !is_enough {
            return None;
        }
        self.come_back(half.min(sum(Self::START, self.most_sound)), now);
        Some(half)
    }

    /// Where there is no sound to find out by, pictures are tried now and then.
    fn try_again_without_sound(&mut self, now: Instant) {
        if self.sound == Bitrate::default()
            && matches!(self.pictures, Pictures::Off(since) if now.saturating_duration_since(since) >= self.retry)
        {
            self.come_back(share::PICTURES_NEED.percent(200), now);
        }
    }

    fn come_back(&mut self, total: Bitrate, now: Instant) {
        self.tried = Some(now);
        (self.total, self.pictures) = (total.min(self.most()), Pictures::Sent);
        (self.ceiling, self.emptying, self.clear_since) = (Some(total), None, None);
        self.blind = Some(now + self.round_trip + REPORTING);
        self.unheard.clear();
        self.arrivals.clear();
    }

    fn file(&mut self, report: &DelayReport, now: Instant) {
        let is_reported = |number: UnitNumber| report.newest.wrapping_sub(number.0) < 1 << 15;
        while self.unheard.pop_front_if(|(number, _)| is_reported(*number)).is_some() {}
        self.arrivals.file(report, self.sound, now);
    }

    /// A change was made so lately that what is reported is what was before.
    fn is_blind(&self, now: Instant) -> bool {
        self.blind.is_some_and(|until| now < until)
    }

    /// What arrives, and what was sent a round trip before that, over the last `window`.
    fn flow(&self, window: Duration, now: Instant) -> (Bitrate, Bitrate) {
        let (arrives, sent) = self.arrivals.flow(window, self.round_trip, now);
        (arrives, sent.unwrap_or(self.total))
    }

    fn most(&self) -> Bitrate {
        sum(self.most_pictures, self.most_sound)
    }

    fn set(&mut self, total: Bitrate) {
        let most = self.most();
        self.total = total.clamp(Bitrate::from_kbps(10).min(most), most);
    }
}

fn sum(a: Bitrate, b: Bitrate) -> Bitrate {
    Bitrate::from_bps(a.as_bps().saturating_add(b.as_bps()))
}

#[cfg(test)]
mod tests;
