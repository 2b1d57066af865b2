//! What is done about a queue: whose it is, how much less is sent for it, and how soon more is tried again.

use super::{
    Cut, Emptying, FIRST_PATIENCE, OVERFLOWING, Pictures, REPORTING, RETRY, RateControl, TRIED, compete, share, sum,
};
use crate::base::rate::Bitrate;
use crate::base::time::{Duration, Instant};

/// A path that wanders by less than this in 100 ms is steady.
const STEADY: Duration = Duration::from_millis(5);
/// A queue of our own is gone by then.
const STUBBORN: Duration = Duration::from_secs(4);
/// So many cuts in a row that did not help.
const MOST_INNOCENT: u32 = 3;
const INNOCENT_FOR: Duration = Duration::from_millis(1500);
/// A queue is to be gone within this time, or as soon as nothing but sound can make it.
const EMPTY_WITHIN: Duration = Duration::from_millis(300);
const LONGEST_EMPTYING: Duration = Duration::from_millis(1500);
/// Who has little of a path that others share gets as much more as they do.
const LEAST_RAISE: Bitrate = Bitrate::from_kbps(100);
/// The largest there are, in bytes, and the longest that one takes where there are such.
const PACKET: u64 = 1200;
const LONGEST_PACKET: Duration = Duration::from_millis(10);
const COMPARED: Duration = Duration::from_millis(150);
const LONGEST_PATIENCE: Duration = Duration::from_secs(4);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

impl RateControl {
    /// What was cut was not enough: the queue grows on.
    pub(super) fn is_worse(&self, queue: Duration, now: Instant) -> bool {
        let Some(cut) = self.cut else { return false };
        let is_seen = now.saturating_duration_since(cut.at) >= self.round_trip + REPORTING * 2;
        is_seen && queue > cut.queue * 13 / 10 + Duration::from_millis(30)
    }

    /// Less than this is no queue. A packet takes its time on a path that became narrower, whatever waits.
    pub(super) fn threshold(&self) -> Duration {
        self.trend.threshold() + self.total.time_for(PACKET).min(LONGEST_PACKET)
    }

    /// Every packet met a queue. Whether it is ours: less arrives than was sent, or it is no matter of chance any more.
    pub(super) fn judge(&mut self, queue: Duration, now: Instant) {
        let window = self.trend.window().max(COMPARED);
        let (arrives, sent) = self.flow(window, now);
        let (noise, threshold) = (self.trend.noise(), self.threshold());
        // What a delay that wanders by three times its noise moves into or out of the window.
        let chance = 300.0 * noise.as_secs_f64() / window.as_secs_f64();
        let come = sent.as_bps() as f64 * (1.0 - self.arrivals.loss());
        let is_full = come * 100.0 > arrives.as_bps() as f64 * (108.0 + chance);
        let is_long = queue > threshold * 2;
        let carries = match () {
            () if is_long => arrives.min(self.total),
            // A queue as short as that is not there because most of what is sent is too much.
            () if is_full => arrives.max(self.total.percent(75)).min(self.total),
            () if noise < STEADY => sent.percent(97).min(self.total),
            () => return,
        };
        let (before, ceiling) = (self.total, self.ceiling);
        // A path that wanders is not called narrow for a delay alone.
        if is_full || (is_long && noise < STEADY) {
            let is_tried = self.raised.is_some_and(|at| now.saturating_duration_since(at) < Duration::from_secs(2));
            let is_same = self.ceiling.is_some_and(|ceiling| carries >= ceiling.percent(75));
            self.patience = match is_tried && is_same {
                true => (self.patience * 2).min(LONGEST_PATIENCE),
                false => FIRST_PATIENCE,
            };
            self.ceiling = Some(carries);
            (self.raises, self.known) = (0, None);
        }
        // A queue of our own goes when we send less; one that stays, or is there though everything arrives, is others'.
        let stays = |cut: Cut| now.saturating_duration_since(cut.at) < STUBBORN && queue * 2 >= cut.queue;
        let is_stubborn = !self.is_blind(now) && self.cut.is_some_and(stays);
        self.innocent = if is_full && !is_stubborn { 0 } else { self.innocent + 1 };
        if self.innocent <= 1 {
            (self.before, self.innocent_since) = (Some(self.total), Some(now));
        }
        let innocent_for = self.innocent_since.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let most = if self.has_competed(now) { 2 } else { MOST_INNOCENT };
        if self.innocent >= most && innocent_for >= INNOCENT_FOR {
            // Less was sent time and again, all of it arrived, and the queue stays: it is not ours, or the way is longer now.
            self.innocent = 0;
            let least = if self.has_competed(now) { compete::LEAST_AGAIN } else { compete::LEAST_QUEUE };
            let is_queue = noise < compete::NOISY && queue >= least;
            match is_queue && self.cut.is_some_and(|cut| cut.queue >= least) {
                true => self.begin_to_compete(now),
                false => self.trend.disown(),
            }
            return;
        }
        self.cut = Some(Cut { at: now, queue, before, ceiling });
        self.room.on_queue(now);
        self.forget |= queue > OVERFLOWING;
        self.clear_since = None;
        self.set(carries.percent(95));
        if self.trend.is_shared() {
            // There is no emptying it.
            self.blind = Some(now + self.round_trip + REPORTING);
            self.set(self.total.max(self.least_shared()));
            return;
        }
        self.empty(queue, carries, now);
        self.is_doubted = !share::carries_pictures(self.total, self.most_sound);
    }

    /// The path seemed to carry no pictures beside sound, and the next report says so too: one alone may be of a machine that
    /// stood still.
    pub(super) fn turn_off(&mut self, now: Instant) {
        let is_tried = self.tried.is_some_and(|at| now.saturating_duration_since(at) < RETRY * 2);
        self.retry = if is_tried { (self.retry * 2).min(LONGEST_RETRY) } else { RETRY };
        self.pictures = Pictures::Off(now);
        self.prober.restart(now);
        (self.anew, self.forget) = (true, true);
    }

    /// A queue that went long before what was cut could have emptied it was somebody's burst.
    pub(super) fn take_back(&mut self, now: Instant) {
        let (Some(emptying), Some(cut)) = (self.emptying, self.cut) else { return };
        let half = emptying.until.saturating_duration_since(cut.at) / 2;
        if now < cut.at + self.round_trip + half {
            self.total = cut.before.percent(97);
            (self.ceiling, self.emptying, self.blind) = (cut.ceiling, None, None);
        }
    }

    /// Sends less than the path carries until `queue` is gone.
    pub(super) fn empty(&mut self, queue: Duration, carries: Bitrate, now: Instant) {
        let sound = self.sound.min(share::sound(carries, self.most_sound)).as_bps();
        let room = carries.as_bps().saturating_sub(sound).max(carries.as_bps() / 10);
        let waiting = carries.bytes_in(queue) * 8;
        let alone = Duration::from_secs_f64(waiting as f64 / room.max(1) as f64);
        let time = alone.max(EMPTY_WITHIN).min(LONGEST_EMPTYING);
        let less = Bitrate::from_bps((waiting as f64 / time.as_secs_f64()) as u64);
        let total = Bitrate::from_bps(carries.as_bps().saturating_sub(less.as_bps()));
        self.emptying = Some(Emptying { until: now + time, total: total.min(self.total) });
        // What is sent and what arrives is compared over a while of its own.
        self.blind = Some(now + time + self.round_trip + REPORTING + COMPARED);
    }

    pub(super) fn grow(&mut self, now: Instant) {
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
            Some(_) if self.room.is_seen(self.total, now) => {
                self.known = Some(self.pictures_of(self.total));
                self.set(self.total.percent(140));
                self.ceiling = Some(self.total.percent(105));
                self.room.on_raised(now);
            }
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
                // One raise upon another is no proof of the first.
                let is_tried = since(self.raised) < TRIED;
                self.known = self.ceiling.and(self.known.filter(|_| is_tried).or(Some(self.aim(now))));
                let least = LEAST_RAISE.min(self.total.percent(15));
                self.set(sum(self.total, least).max(self.total.percent(106 + 3 * self.raises)));
                self.raises = (self.raises + 1).min(5);
            }
            None => self.set(self.total.percent(140)),
        }
        self.raised = Some(now);
    }
}
