//! How much the path carries, from what the receiver reports; and what of it pictures get.

use std::collections::VecDeque;

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
    /// What arrived by each report, and what was sent since the one before it.
    arrived: VecDeque<Arrived>,
    sent: u64,
    /// Units of which nothing was reported yet, and when they began to be sent.
    unheard: VecDeque<(UnitNumber, Instant)>,
    told: Option<Instant>,
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
    /// Queues in a row that were there though everything arrived.
    innocent: u32,
    anew: bool,
    forget: bool,
    was_unheard: bool,
    /// Pictures are tried again so long after they went off; when that was done last.
    retry: Duration,
    tried: Option<Instant>,
    pictures: Pictures,
}

/// Whether pictures are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pictures {
    Sent,
    /// The path carries sound alone, since when.
    Off(Instant),
}

#[derive(Clone, Copy, Debug)]
struct Arrived {
    at: Instant,
    span: Duration,
    bytes: u64,
    sent: u64,
    received: u16,
    lost: u16,
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
}

/// A path that wanders by less than this in 100 ms is steady.
const STEADY: Duration = Duration::from_millis(5);
/// A queue of our own is gone by then.
const STUBBORN: Duration = Duration::from_secs(4);
/// So many cuts in a row that did not help.
const MOST_INNOCENT: u32 = 3;
/// A queue is to be gone within this time, or as soon as nothing but sound can make it.
const EMPTY_WITHIN: Duration = Duration::from_millis(300);
const LONGEST_EMPTYING: Duration = Duration::from_millis(1500);
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
/// A picture of less than this is only late.
const LEAST_WHILE_EMPTYING: Bitrate = Bitrate::from_kbps(30);
/// Reports come every 50 ms, and a picture every 33.
const REPORTING: Duration = Duration::from_millis(80);
/// Two seconds of reports.
const REPORTS: usize = 40;
const FIRST_PATIENCE: Duration = Duration::from_millis(800);
const LONGEST_PATIENCE: Duration = Duration::from_secs(4);
/// The first try after pictures went off, and the longest time between two.
const RETRY: Duration = Duration::from_secs(5);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

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
            arrived: VecDeque::with_capacity(REPORTS),
            sent: 0,
            unheard: VecDeque::with_capacity(UNHEARD),
            told: None,
            round_trip: Duration::from_millis(100),
            ceiling: None,
            emptying: None,
            blind: None,
            cut: None,
            raised: None,
            clear_since: None,
            patience: FIRST_PATIENCE,
            raises: 0,
            innocent: 0,
            anew: false,
            forget: false,
            was_unheard: false,
            retry: RETRY,
            tried: None,
            pictures: Pictures::Sent,
        }
    }

    /// Bytes of pictures were sent, with what is around them; `begins`: the first of the unit with this number.
    pub fn on_sent(&mut self, bytes: usize, begins: Option<UnitNumber>, now: Instant) {
        self.sent += bytes as u64;
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
        if self.emptying.is_some_and(|emptying| now >= emptying.until) {
            self.emptying = None;
        }
        if let Some(queue) = report.queue {
            self.trend.observe(queue, self.is_blind(now) && queue > OVERFLOWING, now);
            // A full queue throws away: what it did is known only when the rest is through.
            self.anew |= report.lost >= MANY && (queue > OVERFLOWING || self.is_blind(now));
        }
        let Some(queue) = self.trend.standing() else { return };
        let threshold = self.trend.threshold();
        if queue > threshold {
            self.clear_since = None;
            if !self.is_blind(now) || self.is_worse(queue, now) {
                self.judge(queue, now);
            }
        } else if queue < threshold / 2 + Duration::from_millis(4) {
            self.innocent = 0;
            self.grow(now);
        }
    }

    /// What is sent as pictures, without what is around it; zero where none are to be sent now.
    pub fn target(&self, now: Instant) -> Bitrate {
        let emptying = self.emptying.filter(|emptying| now < emptying.until);
        let target = self.pictures_of(emptying.map_or(self.total, |emptying| emptying.total));
        if self.is_unheard(now) {
            // One small picture now and then, so that there is something to report about.
            let last = self.unheard.back();
            let is_time = last.is_none_or(|(_, at)| now.saturating_duration_since(*at) >= TRICKLE_EVERY);
            return if is_time { target.min(TRICKLE) } else { Bitrate::default() };
        }
        if target < LEAST_WHILE_EMPTYING { Bitrate::default() } else { target }
    }

    /// The same but for a queue that is to go: what pictures are made for.
    pub fn aim(&self) -> Bitrate {
        self.pictures_of(self.total)
    }

    /// Of what was sent nothing has been reported for long: it waits in a queue, or the reports do.
    fn is_unheard(&self, now: Instant) -> bool {
        let patience = SILENT + self.round_trip + self.trend.noise() * 4;
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
        let again = ((self.loss() * 100.0) as u64).min(15);
        Bitrate::from_bps(left.min(self.most_pictures.as_bps())).percent(92 * 100 / (100 + again))
    }

    /// What the bucket of pictures is filled with. An encoder that spends all of its target would wait for ever behind its
    /// own keyframe in a bucket that is filled no faster (28 ms at the median, measured); but what the path was seen to
    /// carry is not exceeded for one.
    pub fn pace(&self, now: Instant) -> Bitrate {
        let target = self.target(now);
        match self.ceiling {
            None => target.percent(220),
            Some(_) if target.as_bps() == 0 => target,
            Some(ceiling) => {
                let room = ceiling.percent(95).as_bps().saturating_sub(self.sound.as_bps());
                Bitrate::from_bps(room).min(target.percent(220)).max(target.percent(120))
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

    /// While pictures are off: what sound was found to get through by itself.
    pub fn on_sound(&mut self, budget: Bitrate, now: Instant) {
        let Pictures::Off(since) = self.pictures else { return };
        let is_carried = share::carries_pictures(budget.percent(90), self.most_sound);
        if is_carried && now.saturating_duration_since(since) >= self.retry {
            self.come_back(budget.percent(90), now);
        }
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
        self.told = None;
        self.unheard.clear();
        self.arrived.clear();
    }

    fn file(&mut self, report: &DelayReport, now: Instant) {
        let is_reported = |number: UnitNumber| report.newest.wrapping_sub(number.0) < 1 << 15;
        while self.unheard.pop_front_if(|(number, _)| is_reported(*number)).is_some() {}
        if self.arrived.len() == REPORTS {
            self.arrived.pop_front();
        }
        let since = self.told.map_or(report.span, |told| now.saturating_duration_since(told));
        self.told = Some(now);
        self.arrived.push_back(Arrived {
            at: now,
            span: report.span,
            bytes: report.bytes,
            sent: self.sent + self.sound.bytes_in(since),
            received: report.received,
            lost: report.lost,
        });
        self.sent = 0;
    }

    /// A change was made so lately that what is reported is what was before.
    fn is_blind(&self, now: Instant) -> bool {
        self.blind.is_some_and(|until| now < until)
    }

    /// What arrives, and what was sent a round trip before that, over the last `window`.
    fn flow(&self, window: Duration, now: Instant) -> (Bitrate, Bitrate) {
        let recent = |at: Instant| now.saturating_duration_since(at) < window;
        let (mut bytes, mut span) = (0, Duration::ZERO);
        for arrived in self.arrived.iter().rev().take_while(|arrived| recent(arrived.at)) {
            (bytes, span) = (bytes + arrived.bytes, span + arrived.span);
        }
        let back = self.round_trip.min(Duration::from_millis(800));
        let (mut sent, mut time) = (0, Duration::ZERO);
        let mut after = now;
        for arrived in self.arrived.iter().rev() {
            let (age, length) =
                (now.saturating_duration_since(arrived.at), after.saturating_duration_since(arrived.at));
            after = arrived.at;
            if age >= back && age < back + window {
                (sent, time) = (sent + arrived.sent, time + length);
            }
        }
        let rate = |bytes: u64, time: Duration| Bitrate::from_bps(bytes * 8_000_000 / (time.as_micros().max(1) as u64));
        let sent = if time.is_zero() { self.total } else { rate(sent, time) };
        (rate(bytes, span), sent)
    }

    /// Share of the packets of pictures lost in the last two seconds.
    pub fn loss(&self) -> f64 {
        let (received, lost) = self.arrived.iter().fold((0u32, 0u32), |(received, lost), arrived| {
            (received + u32::from(arrived.received), lost + u32::from(arrived.lost))
        });
        f64::from(lost) / f64::from((received + lost).max(1))
    }

    /// What was cut was not enough: the queue grows on.
    fn is_worse(&self, queue: Duration, now: Instant) -> bool {
        let Some(cut) = self.cut else { return false };
        let is_seen = now.saturating_duration_since(cut.at) >= self.round_trip + REPORTING * 2;
        is_seen && queue > cut.queue * 13 / 10 + Duration::from_millis(30)
    }

    /// Every packet met a queue. Whether it is ours: less arrives than was sent, or it is no matter of chance any more.
    fn judge(&mut self, queue: Duration, now: Instant) {
        let window = self.trend.window().max(Duration::from_millis(150));
        let (arrives, sent) = self.flow(window, now);
        let (noise, threshold) = (self.trend.noise(), self.trend.threshold());
        // What a delay that wanders by three times its noise moves into or out of the window.
        let chance = 300.0 * noise.as_secs_f64() / window.as_secs_f64();
        let come = sent.as_bps() as f64 * (1.0 - self.loss());
        let is_full = come * 100.0 > arrives.as_bps() as f64 * (108.0 + chance);
        let is_long = queue > threshold * 2;
        let carries = match () {
            () if is_full || is_long => arrives.min(self.total),
            () if noise < STEADY => sent.percent(97).min(self.total),
            () => return,
        };
        // A path that wanders is not called narrow for a delay alone.
        if is_full || (is_long && noise < STEADY) {
            let is_tried = self.raised.is_some_and(|at| now.saturating_duration_since(at) < Duration::from_secs(2));
            let is_same = self.ceiling.is_some_and(|ceiling| carries >= ceiling.percent(75));
            self.patience = match is_tried && is_same {
                true => (self.patience * 2).min(LONGEST_PATIENCE),
                false => FIRST_PATIENCE,
            };
            self.ceiling = Some(carries);
            self.raises = 0;
        }
        // A queue of our own goes when we send less; one that stays, or is there though everything arrives, is others'.
        let stays = |cut: Cut| now.saturating_duration_since(cut.at) < STUBBORN && queue * 2 >= cut.queue;
        let is_stubborn = !self.is_blind(now) && self.cut.is_some_and(stays);
        self.innocent = if is_full && !is_stubborn { 0 } else { self.innocent + 1 };
        if self.innocent >= MOST_INNOCENT {
            // Less was sent time and again, all of it arrived, and the queue stays: it is not ours, or the way is longer now.
            self.trend.disown();
            self.innocent = 0;
            return;
        }
        self.cut = Some(Cut { at: now, queue });
        self.forget |= queue > OVERFLOWING;
        self.clear_since = None;
        self.set(carries.percent(95));
        if self.trend.is_shared() {
            // There is no emptying it.
            self.blind = Some(now + self.round_trip + REPORTING);
            return;
        }
        self.empty(queue, carries, now);
        if !share::carries_pictures(self.total, self.most_sound) {
            let is_tried = self.tried.is_some_and(|at| now.saturating_duration_since(at) < RETRY * 2);
            self.retry = if is_tried { (self.retry * 2).min(LONGEST_RETRY) } else { RETRY };
            self.pictures = Pictures::Off(now);
            (self.anew, self.forget) = (true, true);
        }
    }

    /// Sends less than the path carries until `queue` is gone.
    fn empty(&mut self, queue: Duration, carries: Bitrate, now: Instant) {
        let sound = self.sound.min(share::sound(carries, self.most_sound)).as_bps();
        let room = carries.as_bps().saturating_sub(sound).max(carries.as_bps() / 10);
        let waiting = carries.bytes_in(queue) * 8;
        let alone = Duration::from_secs_f64(waiting as f64 / room.max(1) as f64);
        let time = alone.max(EMPTY_WITHIN).min(LONGEST_EMPTYING);
        let less = Bitrate::from_bps((waiting as f64 / time.as_secs_f64()) as u64);
        let total = Bitrate::from_bps(carries.as_bps().saturating_sub(less.as_bps()));
        self.emptying = Some(Emptying { until: now + time, total: total.min(self.total) });
        self.blind = Some(now + time + self.round_trip + REPORTING);
    }

    fn grow(&mut self, now: Instant) {
        let since = |at: Option<Instant>| at.map_or(Duration::MAX, |at| now.saturating_duration_since(at));
        let step = Duration::from_millis(100) + self.round_trip + self.trend.window();
        let clear = now.saturating_duration_since(*self.clear_since.get_or_insert(now));
        if self.emptying.is_some() || self.is_blind(now) || clear < step / 2 || since(self.raised) < step {
            return;
        }
        if self.total >= self.most() {
            return;
        }
        let safe = self.ceiling.map(|ceiling| ceiling.percent(95));
        match safe {
            Some(safe) if self.total < safe => self.set(self.total.percent(140).min(safe)),
            Some(safe) => {
                let (_, sent) = self.flow(step, now);
                let is_used = sent.as_bps() >= self.total.percent(75).as_bps();
                if !is_used || clear < self.patience.min(step * 3) || since(self.raised) < self.patience.min(step * 2) {
                    return;
                }
                if self.total > safe.percent(150) {
                    // There was more room than that: the path is another one now.
                    (self.ceiling, self.patience) = (None, FIRST_PATIENCE);
                }
                self.set(self.total.percent(106 + 3 * self.raises));
                self.raises = (self.raises + 1).min(5);
            }
            None => self.set(self.total.percent(140)),
        }
        self.raised = Some(now);
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
