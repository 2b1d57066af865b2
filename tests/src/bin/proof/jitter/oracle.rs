//! What a buffer would do that knew every arrival beforehand.
//!
//! Of all courses of the delay, one value for each 100 ms, that change by no more than a given slope and leave no more than the
//! given share of packets too late, the one with the least mean. Exactly: the delay is a multiple of [`STEP`], and a
//! price on each late packet is sought, by halving, at which the cheapest course (delay plus price, found by dynamic
//! programming over the whole path) is just within the share. It is told the share that was too late with ours, so it is
//! compared at equal concealment.

use std::collections::VecDeque;

use super::traces::Trace;

/// The delay holds for so long; microseconds.
const HOLD: i64 = 100_000;
/// Milliseconds.
const STEP: f64 = 1.0;
/// No delay is above this many steps.
const STEPS: usize = 400;
/// Delay per time: one part in a hundred, a change of speed that nobody hears.
pub const SLOW: f64 = 0.01;
/// One pitch period in five, which is what stretching takes out of a voice or puts in.
pub const FAST: f64 = 0.2;

/// The delay of each packet that arrived, in milliseconds, where it changes by at most `slew` (delay per time) and at most
/// the share `late` comes too late.
pub fn delays(trace: &Trace, late: f64, slew: f64) -> Vec<f64> {
    let holds = trace.packets.last().map_or(0, |packet| packet.at / HOLD + 1) as usize;
    // Of each hold: how many packets need more than so many steps; at the end how many there are.
    let mut needs = vec![[0.0f32; STEPS]; holds];
    let mut counts = vec![0usize; holds];
    for packet in &trace.packets {
        let Some(arrival) = packet.arrival else { continue };
        let hold = (packet.at / HOLD) as usize;
        let steps = ((arrival - packet.at) as f64 / 1e3 / STEP).ceil() as usize;
        needs[hold][..steps.min(STEPS)].iter_mut().for_each(|late| *late += 1.0);
        counts[hold] += 1;
    }
    let reach = (slew * HOLD as f64 / 1e3 / STEP).round().max(1.0) as usize;
    let allowed = (counts.iter().sum::<usize>() as f64 * late) as f32;
    let is_late = |course: &[usize]| course.iter().zip(&needs).map(|(delay, late)| late[*delay]).sum::<f32>();
    let (mut low, mut high) = (0.0f32, 100_000.0f32);
    let mut best = cheapest(&needs, reach, high);
    for _ in 0..24 {
        let price = (low + high) / 2.0;
        let course = cheapest(&needs, reach, price);
        if is_late(&course) <= allowed {
            high = price;
            best = course;
        } else {
            low = price;
        }
    }
    let each = best.iter().zip(counts).flat_map(|(delay, count)| std::iter::repeat_n(*delay as f64 * STEP, count));
    each.collect()
}

/// The course of the delay with the least sum of delays and of `price` for each packet that is late.
fn cheapest(needs: &[[f32; STEPS]], reach: usize, price: f32) -> Vec<usize> {
    let mut cost = vec![0.0f32; STEPS];
    let mut from: Vec<u16> = Vec::with_capacity(needs.len() * STEPS);
    let mut window = VecDeque::<usize>::new();
    for late in needs {
        let before = cost.clone();
        // The cheapest within reach, by a window that moves along.
        window.clear();
        let mut next = 0;
        for delay in 0..STEPS {
            while next < STEPS.min(delay + reach + 1) {
                while window.back().is_some_and(|last| before[*last] > before[next]) {
                    window.pop_back();
                }
                window.push_back(next);
                next += 1;
            }
            while window.front().is_some_and(|first| first + reach < delay) {
                window.pop_front();
            }
            let best = window.front().copied().unwrap_or(delay);
            cost[delay] = before[best] + delay as f32 + late[delay] * price;
            from.push(best as u16);
        }
        // Kept small, so that a float is exact enough.
        let least = cost.iter().copied().fold(f32::INFINITY, f32::min);
        cost.iter_mut().for_each(|cost| *cost -= least);
    }
    let mut delay = (0..STEPS).min_by(|a, b| cost[*a].total_cmp(&cost[*b])).unwrap_or(0);
    let mut course = vec![0; needs.len()];
    for n in (0..needs.len()).rev() {
        course[n] = delay;
        delay = usize::from(from[n * STEPS + delay]);
    }
    course
}
