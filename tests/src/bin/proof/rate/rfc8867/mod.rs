//! RFC 8867 §5.1 to §5.8, "Test Cases for Evaluating Congestion Control for Interactive Real-Time Media", in virtual time:
//! our rate control against the transport's estimator alone, over the same transport and the same simulated paths (without
//! the path jitter of up to 30 ms).
//!
//! Beside TCP the queue is TCP's. In 5.6 the flow without end fills it whatever we send: at every constant rate from 30 to
//! 1380 kbit/s 95 % of the packets wait for less than 275 to 296 ms, and only from 1100 kbit/s on, more than a call begins
//! with, has a flow 70 % of its share in a tenth of a second. In 5.7 two constant flows of 552 kbit/s, which know everything
//! beforehand and give way to nobody, use 53.8 % with a queue of 147 ms; of 500 kbit/s 50.1 % with 127 ms, of 600 kbit/s 58.8 %
//! with 163 ms.

mod bottleneck;
mod flow;

use std::time::Duration;

use engine::base::time::{WallTime, now};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use visavis_tests::Outcome;

use self::bottleneck::{Bottleneck, SEGMENT, Tcp};
use self::flow::{By, Flow, Flying, HEADERS};
use super::call::quantile;
use crate::table::Table;

/// What is on the paths of a case. Rates in Mbit/s, times in seconds.
struct Case {
    name: &'static str,
    seconds: f64,
    forward: &'static [(f64, f64)],
    backward: &'static [(f64, f64)],
    /// Of each flow: its direction (true: backward), one-way delay in ms, and when it has pictures.
    flows: &'static [(bool, u64, &'static [(f64, f64)])],
    /// Of each TCP flow, forward: when it begins, and its segments.
    tcp: &'static [(f64, Option<u64>)],
    /// TCP flows that fetch something small now and then, forward.
    short_tcp: usize,
    /// Something gets better for a flow, which should then have so much.
    better: &'static [(f64, usize, f64)],
}

const WIDE: &[(f64, f64)] = &[(0.0, 20.0)];
const ALL: &[(f64, f64)] = &[(0.0, 1e9)];

const CASES: [Case; 8] = [
    Case {
        name: "5.1 variable capacity, one flow",
        seconds: 100.0,
        forward: &[(0.0, 1.0), (40.0, 2.5), (60.0, 0.6), (80.0, 1.0)],
        backward: WIDE,
        flows: &[(false, 50, ALL)],
        tcp: &[],
        short_tcp: 0,
        better: &[(40.0, 0, 1.5), (80.0, 0, 1.0)],
    },
    Case {
        name: "5.2 variable capacity, two flows",
        seconds: 125.0,
        forward: &[(0.0, 4.0), (25.0, 2.0), (50.0, 3.5), (75.0, 1.0), (100.0, 2.0)],
        backward: WIDE,
        flows: &[(false, 50, ALL), (false, 50, ALL)],
        tcp: &[],
        short_tcp: 0,
        better: &[(50.0, 0, 1.5), (50.0, 1, 1.5), (100.0, 0, 1.0), (100.0, 1, 1.0)],
    },
    Case {
        name: "5.3 congested feedback, both directions",
        seconds: 100.0,
        forward: &[(0.0, 2.0), (20.0, 1.0), (40.0, 0.5), (60.0, 2.0)],
        backward: &[(0.0, 2.0), (35.0, 0.8), (70.0, 2.0)],
        flows: &[(false, 50, ALL), (true, 50, ALL)],
        tcp: &[],
        short_tcp: 0,
        better: &[(60.0, 0, 1.5), (70.0, 1, 1.5)],
    },
    Case {
        name: "5.4 competing flows of the same kind",
        seconds: 120.0,
        forward: &[(0.0, 3.5)],
        backward: WIDE,
        flows: &[(false, 50, &[(0.0, 1e9)]), (false, 50, &[(20.0, 1e9)]), (false, 50, &[(40.0, 1e9)])],
        tcp: &[],
        short_tcp: 0,
        better: &[(20.0, 1, 1.5), (40.0, 2, 1.16)],
    },
    Case {
        name: "5.5 fairness of round trips",
        seconds: 300.0,
        forward: &[(0.0, 4.0)],
        backward: WIDE,
        flows: &[
            (false, 10, &[(0.0, 1e9)]),
            (false, 25, &[(10.0, 1e9)]),
            (false, 50, &[(20.0, 1e9)]),
            (false, 100, &[(30.0, 1e9)]),
            (false, 150, &[(40.0, 1e9)]),
        ],
        tcp: &[],
        short_tcp: 0,
        better: &[(10.0, 1, 1.5), (20.0, 2, 1.33), (30.0, 3, 1.0), (40.0, 4, 0.8)],
    },
    Case {
        name: "5.6 beside a long TCP flow",
        seconds: 120.0,
        forward: &[(0.0, 2.0)],
        backward: WIDE,
        flows: &[(false, 50, &[(5.0, 1e9)])],
        tcp: &[(0.0, None)],
        short_tcp: 0,
        better: &[(5.0, 0, 1.0)],
    },
    Case {
        name: "5.7 beside short TCP flows",
        seconds: 300.0,
        forward: &[(0.0, 2.0)],
        backward: WIDE,
        flows: &[(false, 50, &[(5.0, 1e9)]), (false, 50, &[(5.0, 1e9)])],
        tcp: &[],
        short_tcp: 10,
        better: &[],
    },
    Case {
        name: "5.8 media pause and resume",
        seconds: 120.0,
        forward: &[(0.0, 3.5)],
        backward: WIDE,
        flows: &[(false, 50, &[(0.0, 40.0), (60.0, 1e9)]), (false, 50, ALL), (false, 50, ALL)],
        tcp: &[],
        short_tcp: 0,
        better: &[(60.0, 0, 1.16)],
    },
];

/// What a run showed.
struct Found {
    /// Pictures' share of what the paths could carry of them.
    used: f64,
    p95: f64,
    recovery: Option<f64>,
}

pub fn rfc8867(table: &mut Table) -> Outcome<()> {
    for case in &CASES {
        let [ours, theirs] = [run(case, By::Us)?, run(case, By::Transport)?];
        table.goal(&format!("{}: used, estimator alone", case.name), Some(theirs.used * 100.0), "", "%");
        table.at_least("  used, ours", Some(ours.used * 100.0), theirs.used * 95.0, "%");
        table.goal("  queue p95, estimator alone", Some(theirs.p95), "", "ms");
        table.at_most("  queue p95, ours", Some(ours.p95), theirs.p95 * 0.5, "ms");
        if let (Some(ours), Some(theirs)) = (ours.recovery, theirs.recovery) {
            table.goal("  recovery, estimator alone", Some(theirs), "", "s");
            table.at_most("  recovery, ours", Some(ours), theirs * 0.5, "s");
        }
    }
    Ok(())
}

/// What goes through a bottleneck.
enum Item {
    /// Flow, the end it goes to, datagram.
    Media(usize, usize, Vec<u8>),
    Segment,
}

fn run(case: &Case, by: By) -> Outcome<Found> {
    const STEP: Duration = Duration::from_millis(1);
    let begin = WallTime::from_micros(1_900_000_000_000_000).to_instant().unwrap_or_else(now);
    let mut flows: Vec<Flow> = (0u8..)
        .zip(case.flows)
        .map(|(n, (_, ms, sends))| Flow::new(by, n, Duration::from_millis(*ms), sends.to_vec(), begin))
        .collect();
    let start = meet(&mut flows, begin)?;
    let mbit = |rates: &[(f64, f64)]| rates.iter().map(|(at, rate)| (*at, rate * 1e6)).collect::<Vec<_>>();
    let mut ways = [case.forward, case.backward].map(|rates| Bottleneck::new(start, &mbit(rates)));
    let short = short_flows(case.short_tcp, case.seconds);
    let mut tcp: Vec<Tcp> = (case.tcp.iter().chain(&short))
        .map(|(at, segments)| Tcp::new(*at, *segments, Duration::from_millis(50)))
        .collect();
    let (mut flying, mut queues) = (Flying::new(), Vec::new());
    // Bytes of pictures that came of each flow, by tenths of a second.
    let mut came = vec![vec![0usize; (case.seconds * 10.0) as usize + 2]; flows.len()];
    let mut at = start;
    while (at - start).as_secs_f64() < case.seconds {
        let seconds = (at - start).as_secs_f64();
        for (n, flow) in flows.iter_mut().enumerate() {
            let backward = case.flows[n].0;
            for (end, bytes) in flow.run(seconds, at) {
                let way = usize::from((end == 1) != backward);
                let (length, is_media) = (bytes.len() + HEADERS, end == 0 && flow::is_media(&bytes));
                let waits = ways[way].push(Item::Media(n, 1 - end, bytes), length, at);
                queues.extend(waits.filter(|_| is_media).map(|waits| waits.as_secs_f64() * 1e3));
            }
        }
        for flow in tcp.iter_mut().filter(|flow| flow.begins <= seconds) {
            for _ in 0..flow.may_send(at) {
                let waits = ways[0].push(Item::Segment, SEGMENT, at);
                flow.sent(waits, at);
            }
        }
        for way in &mut ways {
            while let Some(item) = way.pop(at) {
                let Item::Media(n, end, bytes) = item else { continue };
                let due = at + flows[n].one_way;
                if end == 1 && flow::is_media(&bytes) {
                    came[n][(seconds * 10.0) as usize] += bytes.len() + HEADERS;
                }
                let place = flying.partition_point(|(other, ..)| *other <= due);
                flying.insert(place, (due, n, end, bytes));
            }
        }
        while let Some((_, n, end, bytes)) = flying.pop_front_if(|(due, ..)| *due <= at) {
            flows[n].arrive(end, &bytes, at);
        }
        at += STEP;
    }
    Ok(Found {
        used: used(case, &came),
        p95: quantile(queues, 0.95).unwrap_or(f64::INFINITY),
        recovery: recovery(case, &came),
    })
}

/// RFC 8868 §6.1: each is a sequence of downloads of 30 to 50 kB with idle periods between, of 10 s on average and
/// exponentially distributed; two begin at once, the others with an idle period.
fn short_flows(count: usize, seconds: f64) -> Vec<(f64, Option<u64>)> {
    const AT_ONCE: usize = 2;
    let mut random = StdRng::seed_from_u64(8867);
    let mut flows = Vec::new();
    for number in 0..count {
        let idle = |random: &mut StdRng| -10.0 * (1.0 - random.random::<f64>()).ln();
        let mut at = if number < AT_ONCE { 0.0 } else { idle(&mut random) };
        while at < seconds {
            flows.push((at, Some(random.random_range(30_000..=50_000u64).div_ceil(SEGMENT as u64))));
            at += idle(&mut random);
        }
    }
    flows
}

/// Lets all ends find each other on a path without bounds.
fn meet(flows: &mut [Flow], begin: engine::base::time::Instant) -> Outcome<engine::base::time::Instant> {
    let mut at = begin;
    for _ in 0..10_000 {
        for flow in flows.iter_mut() {
            for (end, bytes) in flow.run(0.0, at) {
                flow.arrive(1 - end, &bytes, at);
            }
        }
        if flows.iter().all(Flow::is_connected) {
            flows.iter_mut().for_each(|flow| flow.begin(at));
            return Ok(at);
        }
        at += Duration::from_millis(1);
    }
    Err("the ends did not find each other".to_owned())
}

/// What came of what the flows could have had: the capacity, and no more than all of them want.
fn used(case: &Case, came: &[Vec<usize>]) -> f64 {
    let (mut had, mut could) = (0.0, 0.0);
    for (backward, rates) in [(false, case.forward), (true, case.backward)] {
        let tenths = (case.seconds * 10.0) as usize;
        (0..tenths).for_each(|tenth| {
            let seconds = tenth as f64 / 10.0;
            let rate = rates.iter().rev().find(|(from, _)| *from <= seconds).map_or(0.0, |(_, rate)| *rate);
            let here = case.flows.iter().enumerate().filter(|(_, flow)| flow.0 == backward);
            let sends = |(_, flow): &(usize, &(bool, u64, &[(f64, f64)]))| {
                flow.2.iter().any(|(from, to)| (*from..*to).contains(&seconds))
            };
            let wanted = here.clone().filter(sends).count() as f64 * flow::MOST.as_bps() as f64 / 1e6;
            could += rate.min(wanted) * 0.1;
            had += here.map(|(n, _)| came[n][tenth]).sum::<usize>() as f64 * 8.0 / 1e6;
        });
    }
    had / could.max(1e-9)
}

/// How long after something got better a flow has 70 % of what it should have for half a second from then on; the mean. Nothing
/// where it had that all the time.
fn recovery(case: &Case, came: &[Vec<usize>]) -> Option<f64> {
    let times: Vec<f64> = case
        .better
        .iter()
        .map(|(at, flow, mbit)| {
            let first = (at * 10.0) as usize;
            let last = came[*flow].len().saturating_sub(5);
            let enough =
                |from: &usize| came[*flow][*from..*from + 5].iter().sum::<usize>() as f64 * 16.0 >= 0.7 * mbit * 1e6;
            let risen = (first..last).find(enough).unwrap_or(last);
            (risen - first) as f64 / 10.0
        })
        .collect();
    (!times.is_empty()).then(|| times.iter().sum::<f64>() / times.len() as f64)
}
