//! Paths as sequences of packets: when each was sent, and when it came, if it came. From a seed alone.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// One packet; microseconds since the trace began.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// When its sound was complete.
    pub at: i64,
    /// `None` where the path lost it.
    pub arrival: Option<i64>,
}

/// One path.
pub struct Trace {
    pub name: &'static str,
    pub packets: Vec<Sent>,
    /// Microseconds of sound in a packet, by the sender's clock.
    pub frame: i64,
}

/// A path by its name and what it does.
pub struct Kind {
    pub name: &'static str,
    make: fn(&mut Path) -> Fate,
    /// Parts per million by which the sender's clock is slower than ours.
    ppm: i64,
    /// Packets may overtake each other.
    overtaking: bool,
}

/// What happens to one packet.
struct Fate {
    /// Microseconds.
    delay: f64,
    lost: bool,
}

/// A path's state while it is made.
struct Path {
    random: StdRng,
    /// Seconds since the trace began.
    now: f64,
    /// From when until when it is in its present state, and what that state is about.
    begun: f64,
    until: f64,
    level: f64,
    bad: bool,
}

pub const KINDS: [Kind; 11] = [
    Kind { name: "lan", make: lan, ppm: 0, overtaking: false },
    Kind { name: "home", make: home, ppm: 0, overtaking: false },
    Kind { name: "wi-fi", make: wifi, ppm: 0, overtaking: false },
    Kind { name: "lte", make: lte, ppm: 0, overtaking: false },
    Kind { name: "spikes", make: spikes, ppm: 0, overtaking: false },
    Kind { name: "drift", make: drift, ppm: 400, overtaking: false },
    Kind { name: "reorder", make: reorder, ppm: 0, overtaking: true },
    Kind { name: "loss", make: loss, ppm: 0, overtaking: false },
    Kind { name: "bad", make: bad, ppm: -60, overtaking: true },
    Kind { name: "calm and storm", make: storm, ppm: 0, overtaking: false },
    Kind { name: "moving", make: moving, ppm: 0, overtaking: false },
];

impl Kind {
    /// `seconds` of packets of `frame` microseconds.
    pub fn trace(&self, seed: u64, frame: i64, seconds: i64) -> Trace {
        let random = StdRng::seed_from_u64(seed);
        let mut path = Path { random, now: 0.0, begun: 0.0, until: 0.0, level: 0.0, bad: false };
        let mut last = 0;
        let packets = (1..=seconds * 1_000_000 / frame).map(|n| {
            let at = n * frame + n * frame * self.ppm / 1_000_000;
            path.now = at as f64 / 1e6;
            let fate = (self.make)(&mut path);
            let mut arrival = at + fate.delay as i64;
            if !self.overtaking {
                arrival = arrival.max(last);
                last = arrival;
            }
            Sent { at, arrival: (!fate.lost).then_some(arrival) }
        });
        Trace { name: self.name, packets: packets.collect(), frame }
    }
}

impl Path {
    fn uniform(&mut self, from: f64, to: f64) -> f64 {
        self.random.random_range(from..to)
    }

    /// With the mean `mean`.
    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.uniform(1e-9, 1.0).ln()
    }

    /// Of the sum of three: bell-shaped enough, and never negative.
    fn bell(&mut self, mean: f64) -> f64 {
        (self.uniform(0.0, 1.0) + self.uniform(0.0, 1.0) + self.uniform(0.0, 1.0)) * mean / 1.5
    }

    fn chance(&mut self, of: f64) -> bool {
        self.uniform(0.0, 1.0) < of
    }

    fn arrives(&self, delay: f64) -> Fate {
        Fate { delay, lost: false }
    }
}

/// A cable: a millisecond, and what a switch adds.
fn lan(path: &mut Path) -> Fate {
    let queue = path.exponential(150.0).min(3_000.0);
    path.arrives(1_000.0 + queue)
}

/// A line at home: 20 ms, bell-shaped jitter of ±5 ms, now and then a longer queue, 0.5 % lost.
fn home(path: &mut Path) -> Fate {
    let queue = if path.chance(0.01) { path.exponential(8_000.0).min(40_000.0) } else { 0.0 };
    let delay = 15_000.0 + path.bell(5_000.0) + queue;
    Fate { delay, lost: path.chance(0.005) }
}

/// A crowded channel: the access point holds everything for 20 to 90 ms once or twice a second, then sends it at once.
fn wifi(path: &mut Path) -> Fate {
    if path.now >= path.until {
        path.bad = !path.bad;
        path.until = path.now + if path.bad { path.uniform(0.02, 0.09) } else { path.exponential(0.6) };
    }
    let held = if path.bad { (path.until - path.now) * 1e6 } else { 0.0 };
    let delay = 5_000.0 + path.exponential(1_500.0).min(15_000.0) + held;
    path.arrives(delay)
}

/// A cell's queue that fills over 1.5 to 5 s and is emptied at once: a saw of up to 120 ms, on a grid of 5 ms.
fn lte(path: &mut Path) -> Fate {
    if path.now >= path.until {
        path.begun = path.now;
        path.until = path.now + path.uniform(1.5, 5.0);
        path.level = path.uniform(10_000.0, 30_000.0);
    }
    // `level` a second from the tooth's beginning on.
    let height = ((path.now - path.begun) * path.level).min(120_000.0);
    let delay = 30_000.0 + height + path.exponential(2_000.0).min(20_000.0);
    let arrival = (path.now * 1e6 + delay) / 5_000.0;
    path.arrives(arrival.ceil() * 5_000.0 - path.now * 1e6)
}

/// A good path on which everything stands still for 100 to 250 ms every ten seconds or so.
fn spikes(path: &mut Path) -> Fate {
    if path.now >= path.until {
        path.bad = !path.bad;
        path.until = path.now + if path.bad { path.uniform(0.1, 0.25) } else { 2.0 + path.exponential(8.0) };
    }
    let held = if path.bad { (path.until - path.now) * 1e6 } else { 0.0 };
    let delay = 25_000.0 + path.bell(3_000.0) + held;
    path.arrives(delay)
}

/// A clean line whose sender's clock is 400 ppm slow.
fn drift(path: &mut Path) -> Fate {
    let delay = 12_000.0 + path.bell(1_500.0);
    path.arrives(delay)
}

/// Two ways of different length: one packet in thirty comes 15 to 45 ms later, behind its followers.
fn reorder(path: &mut Path) -> Fate {
    let longer = if path.chance(0.033) { path.uniform(15_000.0, 45_000.0) } else { 0.0 };
    let delay = 30_000.0 + path.bell(3_000.0) + longer;
    path.arrives(delay)
}

/// 5 % lost in bursts of two on the average (Gilbert and Elliott's two states), jitter of ±8 ms.
fn loss(path: &mut Path) -> Fate {
    path.bad = if path.bad { path.chance(0.5) } else { path.chance(0.026) };
    let delay = 40_000.0 + path.bell(8_000.0);
    Fate { delay, lost: path.bad }
}

/// 80 ±40 ms, 5 % lost, one in a hundred behind its followers.
fn bad(path: &mut Path) -> Fate {
    let longer = if path.chance(0.01) { 20_000.0 } else { 0.0 };
    let delay = 40_000.0 + path.bell(40_000.0) + longer;
    Fate { delay, lost: path.chance(0.05) }
}

/// Ten seconds of a good path, ten of one with up to 60 ms of jitter.
fn storm(path: &mut Path) -> Fate {
    let jitter = if (path.now as i64 / 10) % 2 == 1 { path.uniform(0.0, 60_000.0) } else { path.bell(1_000.0) };
    path.arrives(20_000.0 + jitter)
}

/// A telephone that goes from cell to cell: another delay every 15 s or so, and jitter that goes with it.
fn moving(path: &mut Path) -> Fate {
    if path.now >= path.until {
        path.until = path.now + 5.0 + path.exponential(10.0);
        path.level = path.uniform(20_000.0, 120_000.0);
    }
    let jitter = path.bell(path.level / 8.0);
    Fate { delay: path.level + jitter, lost: path.chance(0.01) }
}
