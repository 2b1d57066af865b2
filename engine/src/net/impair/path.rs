//! One direction of an impaired path: datagrams in, the same datagrams later, or never. Sans-IO and seeded.

use std::collections::VecDeque;

use str0m_netem::{
    Bitrate as LinkRate, DataSize, GilbertElliot, Input, LossModel, Netem, NetemConfig, Output, Probability,
    RandomLoss, WithLen,
};

use super::Impairment;
use crate::base::time::{Duration, Instant};

/// What one direction may hold: two seconds of 50 Mbit/s. Past that it drops, as any queue.
const MOST: usize = 10_000;
/// How often the wandering delay takes a new direction.
const KNOT: Duration = Duration::from_millis(100);

/// What happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathCounters {
    pub taken: u64,
    /// Duplicates count twice.
    pub delivered: u64,
    /// Lost in a bad spell, or because the path holds no more.
    pub refused: u64,
}

/// One direction.
pub struct ImpairedPath<T> {
    impairment: Impairment,
    seed: u64,
    random: fastrand::Rng,
    /// Spells and the wandering delay count from the first datagram.
    began: Option<Instant>,
    /// In front of the pipe, in order: what makes the delay vary.
    wandering: VecDeque<(Instant, T)>,
    pipe: Netem<T>,
    counters: PathCounters,
}

impl<T: Clone + WithLen> ImpairedPath<T> {
    pub fn new(impairment: Impairment, seed: u64) -> Self {
        Self {
            impairment,
            seed,
            random: fastrand::Rng::with_seed(seed ^ 0x5be1_1000),
            began: None,
            wandering: VecDeque::new(),
            pipe: Netem::new(pipe_config(&impairment, seed)),
            counters: PathCounters::default(),
        }
    }

    /// Takes a datagram at `now`. Times must not go back.
    pub fn push(&mut self, item: T, now: Instant) {
        self.counters.taken += 1;
        let since = now.saturating_duration_since(*self.began.get_or_insert(now));
        if self.wandering.len() + self.pipe.queue_len() >= MOST || self.is_lost_in_a_spell(since) {
            self.counters.refused += 1;
            return;
        }
        let last = self.wandering.back().map_or(now, |(at, _)| *at);
        self.wandering.push_back(((now + self.wander(since)).max(last), item));
    }

    /// The next datagram that is through at `now`. Call until `None`.
    pub fn pop(&mut self, now: Instant) -> Option<T> {
        while let Some((at, item)) = self.wandering.pop_front_if(|(at, _)| *at <= now) {
            self.pipe.handle_input(Input::Packet(at, item));
        }
        self.pipe.handle_input(Input::Timeout(now));
        while let Some(output) = self.pipe.poll_output() {
            if let Output::Packet(item) = output {
                self.counters.delivered += 1;
                return Some(item);
            }
        }
        None
    }

    /// When [`Self::pop`] has something to do next.
    pub fn next_due(&self) -> Option<Instant> {
        let pipe = (!self.pipe.is_empty()).then(|| self.pipe.poll_timeout());
        let wandering = self.wandering.front().map(|(at, _)| *at);
        [pipe, wandering].into_iter().flatten().min()
    }

    pub const fn counters(&self) -> PathCounters {
        self.counters
    }

    fn is_lost_in_a_spell(&mut self, since: Duration) -> bool {
        let Some(spell) = self.impairment.spell else { return false };
        let into = since.as_nanos() % spell.period.as_nanos().max(1);
        let is_bad = into >= spell.period.saturating_sub(spell.lasts).as_nanos();
        is_bad && self.random.f32() < spell.loss
    }

    /// What the delay is above its least, `since` the beginning: between points that chance set, on straight lines.
    fn wander(&self, since: Duration) -> Duration {
        let knot = since.as_nanos() / KNOT.as_nanos();
        let share = (since.as_nanos() % KNOT.as_nanos()) as f64 / KNOT.as_nanos() as f64;
        let height = |knot: u128| fastrand::Rng::with_seed(self.seed.wrapping_mul(0x9e37_79b9) ^ knot as u64).f64();
        let at = height(knot) * (1.0 - share) + height(knot + 1) * share;
        (self.impairment.jitter.min(self.impairment.delay) * 2).mul_f64(at)
    }
}

/// Everything but the wandering delay and the spells.
fn pipe_config(impairment: &Impairment, seed: u64) -> NetemConfig {
    let loss = match (impairment.loss, impairment.burst) {
        (0.0, _) => LossModel::None,
        (loss, burst) if burst > 1.0 && loss < 1.0 => {
            // All of a bad phase is lost; so long must the good phases be for the share to come out.
            let good = burst * (1.0 - loss) / loss;
            let model = GilbertElliot::new().bad_duration(burst).good_duration(good);
            LossModel::GilbertElliot(model.loss_in_bad(Probability::ONE).loss_in_good(Probability::ZERO))
        }
        (loss, _) => LossModel::Random(RandomLoss::new(Probability::new(loss))),
    };
    let mut config = NetemConfig::new()
        .latency(impairment.delay.saturating_sub(impairment.jitter))
        .loss(loss)
        .duplicate(Probability::new(impairment.duplicate))
        .seed(seed);
    if impairment.reorder > 0.0 {
        config = config.reorder_gap((1.0 / impairment.reorder).round().max(2.0) as u32);
    }
    if let Some(rate) = impairment.rate {
        let buffer = rate.bytes_in(impairment.longest()).max(3000) as i64;
        config = config.link(LinkRate::bps(rate.as_bps()), DataSize::bytes(buffer));
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rate::Bitrate;
    use crate::base::time::now;

    #[derive(Clone, Debug, PartialEq)]
    struct Numbered {
        number: u64,
        bytes: usize,
    }

    impl WithLen for Numbered {
        fn len(&self) -> usize {
            self.bytes
        }
    }

    /// A datagram of `bytes` each `every` for `time`; number and time of arrival, both from the beginning.
    fn run(impairment: Impairment, seed: u64, bytes: usize, every: Duration, time: Duration) -> Vec<(u64, Duration)> {
        let start = now();
        let mut path: ImpairedPath<Numbered> = ImpairedPath::new(impairment, seed);
        let mut arrived = Vec::new();
        let (mut number, mut next) = (0, start);
        loop {
            let due = path.next_due();
            let sending = (next < start + time).then_some(next);
            let Some(at) = [due, sending].into_iter().flatten().min() else { return arrived };
            while let Some(item) = path.pop(at) {
                arrived.push((item.number, at - start));
            }
            if sending == Some(at) {
                path.push(Numbered { number, bytes }, at);
                number += 1;
                next += every;
            }
        }
    }

    const EVERY: Duration = Duration::from_millis(5);

    fn minute(impairment: Impairment, seed: u64) -> Vec<(u64, Duration)> {
        run(impairment, seed, 200, EVERY, Duration::from_secs(60))
    }

    fn profile(name: &str) -> Impairment {
        Impairment::profile(name).expect("known")
    }

    fn delays(arrived: &[(u64, Duration)]) -> impl Iterator<Item = f64> {
        arrived.iter().map(|(number, at)| at.as_secs_f64() * 1e3 - *number as f64 * 5.0)
    }

    fn lost(arrived: &[(u64, Duration)]) -> f64 {
        1.0 - arrived.len() as f64 / 12_000.0
    }

    #[test]
    fn the_same_seed_does_the_same_and_another_does_not() {
        let bad = profile("bad");
        assert_eq!(minute(bad, 1), minute(bad, 1));
        assert_ne!(minute(bad, 1), minute(bad, 2));
    }

    #[test]
    fn an_even_path_only_delays() {
        let arrived = minute(profile("lan"), 1);
        assert_eq!(arrived.len(), 12_000);
        assert!(delays(&arrived).all(|delay| (delay - 1.0).abs() < 1e-6));
    }

    #[test]
    fn jitter_stays_in_its_bounds_uses_them_and_keeps_the_order() {
        let arrived = minute(Impairment { loss: 0.0, ..profile("home") }, 3);
        assert_eq!(arrived.len(), 12_000);
        assert!(arrived.is_sorted(), "out of order");
        let (least, most) = delays(&arrived).fold((f64::MAX, f64::MIN), |(a, b), delay| (a.min(delay), b.max(delay)));
        assert!((15.0..16.0).contains(&least) && (24.0..=25.001).contains(&most), "{least} to {most}");
        let mean = delays(&arrived).sum::<f64>() / 12_000.0;
        assert!((19.0..21.0).contains(&mean), "{mean}");
    }

    #[test]
    fn losses_and_duplicates_are_as_many_as_asked_for() {
        let share = lost(&minute(profile("bad"), 4));
        assert!((0.04..0.06).contains(&share), "{share}");
        let twice = minute(Impairment { duplicate: 0.1, ..Impairment::NONE }, 4);
        assert!((1_000..1_400).contains(&(twice.len() - 12_000)), "{}", twice.len());
    }

    #[test]
    fn bursty_losses_come_in_rows_of_their_length() {
        let arrived =
            minute(Impairment { delay: Duration::ZERO, jitter: Duration::ZERO, ..profile("international") }, 5);
        let share = lost(&arrived);
        assert!((0.07..0.13).contains(&share), "{share}");
        let rows = arrived.windows(2).filter(|pair| pair[1].0 > pair[0].0 + 1).count();
        let length = share * 12_000.0 / rows as f64;
        assert!((3.0..5.0).contains(&length), "{length}");
    }

    #[test]
    fn overtaking_happens_as_often_as_asked_for() {
        let even = Impairment { delay: ms(20), reorder: 0.01, ..Impairment::NONE };
        let arrived = minute(even, 6);
        let overtaken = arrived.windows(2).filter(|pair| pair[1].0 < pair[0].0).count();
        assert!((100..=140).contains(&overtaken), "{overtaken}");
    }

    #[test]
    fn outages_and_bad_spells_come_when_they_should() {
        let burst = minute(profile("burst"), 7);
        for (second, expected) in [(17, 200), (18, 0), (19, 0), (20, 200), (38, 0)] {
            let count = burst.iter().filter(|(_, at)| at.as_secs() == second).count();
            assert!(count.abs_diff(expected) <= 1, "second {second}: {count}");
        }
        let spiky = minute(profile("spiky"), 7);
        let between = |from: u64, to: u64| spiky.iter().filter(|(_, at)| (from..to).contains(&at.as_secs())).count();
        assert_eq!(between(0, 10), 2000);
        assert!((1300..1500).contains(&between(10, 20)), "{}", between(10, 20));
    }

    #[test]
    fn a_narrow_path_carries_its_rate_and_queues_no_longer_than_it_should() {
        let thin = profile("thin");
        let rate = thin.rate.unwrap_or(Bitrate::from_bps(1));
        // Twice of what it carries.
        let arrived = run(thin, 8, 625, Duration::from_millis(5), Duration::from_secs(20));
        let last = arrived.last().expect("some").1.as_secs_f64();
        let carried = arrived.len() as f64 * 625.0 * 8.0 / last;
        assert!((carried / rate.as_bps() as f64 - 1.0).abs() < 0.02, "{carried}");
        let longest = delays(&arrived).fold(0.0, f64::max);
        assert!((950.0..1050.0).contains(&longest), "{longest} ms");
    }

    #[test]
    fn what_it_holds_is_bounded() {
        let mut path = ImpairedPath::new(Impairment { delay: Duration::from_secs(10), ..Impairment::NONE }, 9);
        let start = now();
        for number in 0..20_000 {
            path.push(Numbered { number, bytes: 100 }, start);
        }
        assert_eq!(path.counters().refused, 10_000);
        assert_eq!(std::iter::from_fn(|| path.pop(start + Duration::from_secs(10))).count(), MOST);
        assert_eq!(path.next_due(), None);
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }
}
