use super::*;
use crate::base::time::now;
use crate::media::rate::DelayMeter;

const SOUND: Bitrate = Bitrate::from_kbps(100);

/// A path of one narrow place, 20 ms each way, with pictures of what the control asks for and sound beside them.
struct Path {
    control: RateControl,
    meter: DelayMeter,
    start: Instant,
    millis: u64,
    /// What the narrow place carries, and bits that wait in front of it.
    capacity: f64,
    waiting: f64,
    /// How far the delay wanders, milliseconds.
    wanders: u64,
    number: u16,
    reports: VecDeque<(u64, DelayReport)>,
    /// The queue in milliseconds, each millisecond.
    queues: Vec<f64>,
    carried: f64,
    /// Somebody else's window in bits: it grows until the queue of 300 ms overflows, and is half of it then (RFC 5681).
    greedy: Option<f64>,
    /// A picture of ours is lost with it.
    overflows: bool,
    sequence: u64,
    /// Every so manyth picture is lost on the way; 0: none.
    loses: u64,
}

impl Path {
    fn new(capacity: f64, most: u64) -> Self {
        Self {
            control: RateControl::new(Bitrate::from_kbps(most), SOUND),
            meter: DelayMeter::default(),
            start: now(),
            millis: 0,
            capacity,
            waiting: 0.0,
            wanders: 0,
            number: 0,
            reports: VecDeque::new(),
            queues: Vec::new(),
            carried: 0.0,
            greedy: None,
            overflows: false,
            sequence: 0,
            loses: 0,
        }
    }

    fn at(&self, millis: u64) -> Instant {
        self.start + Duration::from_millis(millis)
    }

    /// Between points that chance set each 100 ms, on straight lines.
    fn wander(&self, millis: u64) -> f64 {
        let height = |knot: u64| (knot.wrapping_mul(2_654_435_761) >> 7) % 1000;
        let (knot, share) = (millis / 100, (millis % 100) as f64 / 100.0);
        let height = height(knot) as f64 * (1.0 - share) + height(knot + 1) as f64 * share;
        height / 1000.0 * 2.0 * self.wanders as f64
    }

    fn run(&mut self, seconds: u64) {
        for _ in 0..seconds * 1000 {
            self.millis += 1;
            let now = self.at(self.millis);
            while let Some((_, report)) = self.reports.pop_front_if(|(at, _)| *at <= self.millis) {
                self.control.set_path(SOUND, Some(Duration::from_millis(40)));
                self.control.on_report(&report, now);
            }
            let sound = if self.millis.is_multiple_of(10) { SOUND.as_bps() as usize / 800 } else { 0 };
            let picture = match self.millis.is_multiple_of(33) {
                true => self.control.target(now).bytes_in(Duration::from_millis(33)) as usize,
                false => 0,
            };
            let queue = self.waiting / self.capacity * 1e3;
            let way = ((queue + self.wander(self.millis)) * 1e3) as i64;
            let arrives = self.at(self.millis + 20 + queue as u64);
            if sound > 0 {
                self.meter.count(sound);
                self.meter.observe_sound(way, arrives);
            }
            if picture > 0 {
                let number = UnitNumber(self.number);
                self.number = self.number.wrapping_add(1);
                self.control.on_sent(picture, Some(number), now);
                self.sequence += 1 + u64::from(std::mem::take(&mut self.overflows));
                if self.loses == 0 || !u64::from(number.0 + 1).is_multiple_of(self.loses) {
                    self.meter.count(picture);
                    self.meter.count_picture(self.sequence, Some(number.0), arrives);
                    self.meter.observe_picture(way, arrives);
                }
            }
            if let Some(report) = self.meter.report(arrives) {
                self.reports.push_back((self.millis + 40 + queue as u64, report));
            }
            let comes = (sound + picture) as f64 * 8.0 + self.others();
            let goes = (self.waiting + comes).min(self.capacity / 1e3);
            self.waiting = (self.waiting + comes - goes).min(self.capacity);
            self.carried += goes;
            self.queues.push(self.waiting / self.capacity * 1e3);
        }
    }

    /// Bits that somebody else sends in this millisecond.
    fn others(&mut self) -> f64 {
        let trip = 40.0 + self.waiting / self.capacity * 1e3;
        let Some(window) = &mut self.greedy else { return 0.0 };
        *window += 12_000.0 / trip;
        if self.waiting > self.capacity * 0.3 {
            (*window, self.overflows) = (*window / 2.0, true);
        }
        *window / trip
    }

    /// Share of the capacity that is used in the next `seconds`.
    fn used(&mut self, seconds: u64) -> f64 {
        self.carried = 0.0;
        self.run(seconds);
        self.carried / (self.capacity * seconds as f64)
    }
}

#[test]
fn a_path_is_filled_without_a_queue_and_a_drop_and_a_rise_are_followed() {
    let mut path = Path::new(2e6, 6000);
    path.run(10);
    assert!(path.used(10) > 0.85);
    path.capacity = 6e5;
    path.waiting = path.waiting.min(path.capacity);
    let drop = path.queues.len();
    path.run(2);
    path.run(8);
    let late = &path.queues[drop + 2000..];
    assert!(late.iter().all(|queue| *queue < 150.0), "{:?}", late.iter().copied().fold(0.0, f64::max));
    assert!(path.used(10) > 0.85);
    path.capacity = 2e6;
    path.run(9);
    assert!(path.used(1) > 0.7);
    let mut queues = path.queues.clone();
    queues.sort_unstable_by(f64::total_cmp);
    assert!(queues[queues.len() * 95 / 100] < 250.0, "{}", queues[queues.len() * 95 / 100]);
}

#[test]
fn a_delay_that_wanders_is_not_taken_for_a_queue_whatever_is_lost() {
    for (wanders, loses) in [(5, 0), (40, 0), (100, 0), (40, 20), (100, 10)] {
        let mut path = Path::new(1e9, 2500);
        (path.wanders, path.loses) = (wanders, loses);
        path.run(30);
        let target = path.control.target(path.at(path.millis));
        assert!(target > Bitrate::from_kbps(1800), "±{wanders} ms, every {loses}th lost: {target}");
    }
}

#[test]
fn pictures_go_off_where_there_is_room_for_sound_alone_and_are_tried_again_when_sound_gets_more() {
    let mut path = Path::new(1.3e5, 2500);
    path.run(5);
    assert!(path.control.is_too_narrow());
    let at = path.at(path.millis);
    assert_eq!(path.control.target(at), Bitrate::default());
    path.control.on_sound(Bitrate::from_kbps(120), Duration::ZERO, at);
    assert!(path.control.is_too_narrow());
    path.control.on_sound(Bitrate::from_kbps(300), Duration::ZERO, at + Duration::from_secs(20));
    assert!(!path.control.is_too_narrow());
}

#[test]
fn one_late_report_of_a_machine_that_stood_still_turns_no_pictures_off() {
    let mut path = Path::new(1e9, 2500);
    path.run(10);
    let at = path.at(path.millis);
    let before = path.control.target(at);
    let queue = Some(Duration::from_millis(180));
    let span = Duration::from_millis(183);
    let late =
        DelayReport { queue, bytes: 150, span, received: 0, lost: 0, newest: path.number, spread: Default::default() };
    path.control.on_report(&late, at);
    assert!(!path.control.is_too_narrow());
    path.run(1);
    assert!(!path.control.is_too_narrow());
    let after = path.control.target(path.at(path.millis));
    assert!(after > before.percent(50), "{before} before, {after} a second later");
}

#[test]
fn where_nothing_is_reported_only_a_small_picture_is_sent_now_and_then() {
    let start = now();
    let mut control = RateControl::new(Bitrate::from_kbps(2500), SOUND);
    let at = |millis| start + Duration::from_millis(millis);
    assert!(control.target(at(0)) > Bitrate::from_kbps(500));
    control.on_sent(1000, Some(UnitNumber(0)), at(0));
    assert!(control.target(at(200)) > Bitrate::from_kbps(500));
    assert!(control.take_forget(at(390)), "what was sent is not to be sent again");
    assert!(!control.take_forget(at(391)));
    assert_eq!(control.target(at(391)), Bitrate::default());
    assert!(control.target(at(450)) > Bitrate::default() && control.target(at(450)) <= Bitrate::from_kbps(100));
}

#[test]
fn beside_somebody_who_fills_the_queue_a_share_is_kept_and_without_him_there_is_no_queue_again() {
    let mut path = Path::new(2e6, 1500);
    path.run(5);
    path.greedy = Some(100_000.0);
    path.run(20);
    let sent = |path: &mut Path| {
        let totals = (0..30).map(|_| (path.run(1), path.control.total().as_bps()).1);
        totals.sum::<u64>() / 30
    };
    let share = sent(&mut path);
    assert!(share > 400_000, "{share} bit/s");
    path.greedy = None;
    path.run(8);
    let begun = path.queues.len();
    path.run(10);
    let longest = path.queues[begun..].iter().copied().fold(0.0, f64::max);
    assert!(longest < 100.0, "{longest} ms");
    assert!(path.used(5) > 0.7);
}

#[test]
fn the_most_holds() {
    let mut path = Path::new(1e8, 700);
    path.run(10);
    let target = path.control.target(path.at(path.millis));
    assert!(target <= Bitrate::from_kbps(700) && target >= Bitrate::from_kbps(600), "{target}");
}

#[test]
fn more_that_is_only_tried_makes_no_larger_picture() {
    let (mut control, start) = (RateControl::new(Bitrate::from_kbps(3000), SOUND), now());
    let at = |ms| start + Duration::from_millis(ms);
    (control.total, control.ceiling) = (Bitrate::from_kbps(500), Some(Bitrate::from_kbps(500)));
    let before = control.aim(at(0));
    (control.known, control.raised, control.total) = (Some(before), Some(at(0)), Bitrate::from_kbps(575));
    assert_eq!(control.aim(at(1000)), before);
    assert!(control.target(at(1000)) > before, "it is spent on the picture there is");
    assert!(control.aim(at(2000)) > before, "no queue has come of it");
}

#[test]
fn what_waits_here_does_not_go_into_the_queue_that_is_to_go() {
    let (mut control, start) = (RateControl::new(Bitrate::from_kbps(3000), SOUND), now());
    let at = |ms| start + Duration::from_millis(ms);
    (control.total, control.ceiling) = (Bitrate::from_kbps(500), Some(Bitrate::from_kbps(500)));
    control.emptying = Some(Emptying { until: at(300), total: Bitrate::from_kbps(300) });
    for (ms, hurries) in [(0, false), (299, false), (300, true)] {
        assert_eq!(control.pace(at(ms)) > control.target(at(ms)).percent(105), hurries, "{ms} ms");
    }
}

#[test]
fn what_the_transport_says_is_more_where_nothing_queues_and_never_less() {
    let (mut control, start) = (RateControl::new(Bitrate::from_kbps(3000), SOUND), now());
    let at = |ms| start + Duration::from_millis(ms);
    (control.total, control.ceiling) = (Bitrate::from_kbps(1000), Some(Bitrate::from_kbps(1000)));
    let alone = control.target(at(0));
    // What it says, and what that makes of a megabit, kbit/s.
    for (says, all) in [(500, 1000), (1200, 1100), (1400, 1200), (9000, 1300)] {
        control.on_estimate(Bitrate::from_kbps(says));
        assert_eq!(control.combined(at(0)), Bitrate::from_kbps(all), "{says}");
        assert!(control.target(at(0)) >= alone);
    }
    // The path has just become narrower, which it does not know yet.
    let queue = Duration::from_millis(80);
    control.cut = Some(Cut { at: at(0), queue, before: Bitrate::from_kbps(4000), ceiling: None });
    assert_eq!(control.target(at(5900)), alone);
    assert!(control.target(at(6100)) > alone);
    // And where there is a queue nothing is sent into it.
    (0..8).for_each(|n| control.trend.observe(queue, false, at(7000 + n * 50)));
    assert_eq!(control.target(at(7400)), alone);
}
