//! What the path does to packets: how late sound has to be played so that no more than a few come too late.
//!
//! The last four seconds are kept as slots of 100 ms. Of each slot the least and the greatest lag are known, and how far
//! a packet rose above the least lag of the slots just before. A slot, not a packet, is what may be too late: what was
//! held up together is heard as one gap, however many packets there are in it.
//!
//! Three guesses of the lag at which sound should be played, and the least of them holds:
//! - the greatest lags of the four seconds: right where the path stands still for moments, for it will again;
//! - the least lag of the last 300 ms, and the greatest rises above that within the four seconds: right where the path's
//!   delay grows and falls slowly against that, as a queue's does, for the guess goes up and down with it;
//! - the same with a second.
//!
//! Where the two clocks differ, all lags grow or fall with time by themselves: what was seen is taken as it would be seen now.
//!
//! A packet that others have overtaken shows by them that it is missing, and until its own length has been made up it is still
//! taken: it costs what was made up meanwhile. As long as there are few of them they count as less late by that.
//!
//! Of the greatest values a few are given up, where that saves enough delay: a path that stands still once in a while is
//! not worth waiting for all the time. What came twice within half a second is not once in a while.

use crate::media::policy::Policy;

/// Statistics of the lag (48 kHz samples).
#[derive(Clone, Debug)]
pub struct LagEstimate {
    slots: [Slot; SLOTS],
    /// Number of the newest slot.
    newest: i64,
    baseline: Option<i64>,
    /// Above the baseline.
    target: i64,
    /// At most so many slots may hold a packet that is too late.
    late: usize,
    /// Each of them has to save so much delay.
    price: i64,
    /// Added to what the path asks for, where it asks for anything.
    margin: i64,
    /// The target is never below this.
    floor: i64,
    /// By how much a lag grows in a slot because of the clocks.
    drift: f32,
}

/// 100 ms of arrivals.
#[derive(Clone, Copy, Debug)]
struct Slot {
    number: i64,
    least: i64,
    /// By what they were, and with what overtaken packets may be late by.
    most: [i64; 2],
    rises: [[i64; REACHES.len()]; 2],
    /// Samples by which overtaken packets may be late.
    spared: i64,
}

/// 100 ms.
const SLOT: i64 = 4_800;
/// Four seconds. What was seen is forgotten after that at once, which leaves one of the delay contract's five seconds for
/// playing what waits faster.
const SLOTS: usize = 40;
/// The baseline is the least lag of three seconds. A drift of 1500 ppm moves it by at most 4.5 ms in that time.
const BASELINE: usize = 30;
/// Rises are counted from the least lag of so many slots.
const REACHES: [usize; 2] = [3, 10];
/// Half a second.
const TWICE: usize = 5;
/// Three slots in ten is the most that may be late, whatever is wanted.
const MOST_LATE: usize = 12;
/// What is more than 400 ms above the baseline is an outage, not jitter: no delay makes it good.
const MOST: i64 = 19_200;
/// In 100 ms there are five packets of 20 ms; a late slot is one of them.
const PACKETS: f32 = 5.0;
/// 2 ms: less is not worth a gap in four seconds, where one packet in a hundred may be late.
const PRICE: f32 = 96.0;
const USUAL: f32 = 0.01;
/// 10 ms more than the path asks for is what the safest adds.
const MARGIN: i64 = 480;

/// Overtaken packets may be late by so much for each slot seen (4 ms, of four seconds 160 ms), of which about half is made up: 2 %.
/// Where there are more of them the path is such, and they are waited for.
const SPARED: i64 = 192;

const EMPTY: Slot =
    Slot { number: i64::MIN, least: i64::MAX, most: [i64::MIN; 2], rises: [[0; REACHES.len()]; 2], spared: 0 };

impl LagEstimate {
    pub fn new(policy: &Policy) -> Self {
        let mut this = Self {
            slots: [EMPTY; SLOTS],
            newest: 0,
            baseline: None,
            target: 0,
            late: 0,
            price: 0,
            margin: 0,
            floor: 0,
            drift: 0.0,
        };
        this.set_policy(policy);
        this
    }

    /// Other wishes, for what was seen already.
    pub fn set_policy(&mut self, policy: &Policy) {
        // Ten times as many late slots at 0 as at 50, a tenth at 100; the price a hundredth and a hundred times.
        let safety = (f32::from(policy.sound_safety.min(100)) - 50.0) / 50.0;
        let late = policy.sound_late * PACKETS * SLOTS as f32 * 10f32.powf(-safety);
        self.late = (late.round() as usize).min(MOST_LATE);
        self.price = (PRICE * USUAL / policy.sound_late.max(1e-4) * 100f32.powf(safety)) as i64;
        self.margin = (MARGIN as f32 * safety.max(0.0)) as i64;
        self.floor = policy.sound_least.as_micros() as i64 * 48 / 1000;
        self.aim();
    }

    /// The other side's clock is so much slower than ours, in parts per million.
    pub fn set_drift(&mut self, ppm: f32) {
        self.drift = ppm * SLOT as f32 / 1e6;
    }

    /// A packet came at `arrival` with `lag`; an overtaken one may be late by `spare` samples.
    pub fn observe(&mut self, arrival: i64, lag: i64, spare: i64) {
        let number = arrival.div_euclid(SLOT).max(self.newest);
        self.newest = number;
        let least = REACHES.map(|reach| self.least(reach));
        let slot = &mut self.slots[number.rem_euclid(SLOTS as i64) as usize];
        if slot.number != number {
            *slot = Slot { number, ..EMPTY };
        }
        slot.least = slot.least.min(lag);
        slot.spared += spare;
        for (lag, (most, rises)) in [lag, lag - spare].into_iter().zip(slot.most.iter_mut().zip(&mut slot.rises)) {
            *most = lag.max(*most);
            for (rise, least) in rises.iter_mut().zip(least) {
                *rise = least.map_or(0, |least| lag - least).max(*rise);
            }
        }
        self.aim();
    }

    /// The least recent lag.
    pub const fn baseline(&self) -> Option<i64> {
        self.baseline
    }

    /// How far above the baseline sound should be played.
    pub const fn target(&self) -> i64 {
        self.target
    }

    fn aim(&mut self) {
        self.baseline = self.least(BASELINE);
        let Some(baseline) = self.baseline else {
            self.target = self.floor;
            return;
        };
        let (seen, spared) = self.recent(SLOTS).fold((0, 0), |(seen, spared), slot| (seen + 1, spared + slot.spared));
        let spares = usize::from(spared <= SPARED * seen);
        let standing = self.worth_covering(|slot| self.now(slot, slot.most[spares]));
        let wanted = REACHES.iter().enumerate().fold(standing, |wanted, (n, reach)| {
            let (cost, lag) = self.worth_covering(|slot| slot.rises[spares][n]);
            let least = self.least(*reach).unwrap_or(baseline);
            wanted.min((least + cost, least + lag))
        });
        let [most, twice] = self.greatest::<2>(TWICE, |slot| self.now(slot, slot.most[spares]));
        let wanted = if twice > wanted.1 { most } else { wanted.1 } - baseline;
        // Below a millisecond the path is clean, and no margin is worth its delay.
        let margin = if wanted < 48 { 0 } else { self.margin };
        self.target = (wanted + margin).clamp(0, MOST).max(self.floor);
    }

    /// The least lag of the newest `reach` slots.
    fn least(&self, reach: usize) -> Option<i64> {
        self.recent(reach).map(|slot| self.now(slot, slot.least)).min()
    }

    /// What the lag `then`, in `slot`, would be now.
    fn now(&self, slot: &Slot, then: i64) -> i64 {
        then.saturating_add(((self.newest - slot.number) as f32 * self.drift) as i64)
    }

    /// The value of the slots' that is worth waiting for, and before it what it costs, delay and gaps together.
    fn worth_covering(&self, of: impl Fn(&Slot) -> i64) -> (i64, i64) {
        let seen = self.recent(SLOTS).count().max(1);
        let greatest = self.greatest::<{ MOST_LATE + 1 }>(SLOTS, of);
        // Of a call's first seconds a gap is a greater part.
        let price = self.price.saturating_mul((SLOTS / seen) as i64);
        let costs = greatest[..=self.late]
            .iter()
            .zip(0..)
            .map(|(lag, late)| (lag.saturating_add(price.saturating_mul(late)), *lag));
        costs.take(seen).min().unwrap_or_default()
    }

    /// The greatest values of the newest `reach` slots, greatest first; `i64::MIN` where there are fewer.
    fn greatest<const N: usize>(&self, reach: usize, of: impl Fn(&Slot) -> i64) -> [i64; N] {
        let mut greatest = [i64::MIN; N];
        for slot in self.recent(reach) {
            let mut value = of(slot);
            for place in &mut greatest {
                if value > *place {
                    std::mem::swap(&mut value, place);
                }
            }
        }
        greatest
    }

    fn recent(&self, reach: usize) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(move |slot| slot.number > self.newest - reach as i64)
    }
}
