//! How much goes through, in pieces that each take less than a second, and how long an answer takes meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};

use super::datagrams::{Line, delay_while};
use super::run::Run;
use crate::base::time::{self, Duration, Instant};
use crate::net::service::https::Place;
use crate::proto::nettest::service::{DOWN, MOST_BYTES, UP};

/// Bits per second one way, and the delay while it is so.
pub fn fill(run: &Run, place: &Place, line: Option<&Line>, is_up: bool) -> (Option<u64>, Option<f64>) {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let ends = || is_over.load(Ordering::Relaxed) || !run.goes_on();
        let delay = line.and_then(|line| {
            let asks = std::thread::Builder::new().name("delay".into());
            asks.spawn_scoped(scope, move || delay_while(line, &ends)).ok()
        });
        let begun = time::now();
        // One connection waits for an answer after each piece; several keep the way full.
        let carrying: Vec<_> = (0..CONNECTIONS)
            .filter_map(|_| {
                let builder = std::thread::Builder::new().name("carrying".into());
                builder.spawn_scoped(scope, move || carry(run, place, is_up, begun)).ok()
            })
            .collect();
        let carried: Vec<(usize, Instant)> = carrying.into_iter().filter_map(|one| one.join().ok()).flatten().collect();
        is_over.store(true, Ordering::Relaxed);
        let bytes: usize = carried.iter().map(|(bytes, _)| *bytes).sum();
        let last = carried.iter().map(|(_, last)| *last).max().unwrap_or(begun);
        let took = last.saturating_duration_since(begun).as_secs_f64();
        let rate = (bytes > 0 && took > 0.0).then(|| (bytes as f64 * 8.0 / took) as u64);
        (rate, delay.and_then(|delay| delay.join().ok()).flatten())
    })
}

/// What one connection carried, and when the last of it was through.
fn carry(run: &Run, place: &Place, is_up: bool, begun: Instant) -> Option<(usize, Instant)> {
    let mut https = place.connect().ok()?;
    let until = begun.checked_add(LONGEST)?;
    let (mut piece, mut carried, mut last) = (FIRST, 0usize, begun);
    let bytes = vec![b' '; MOST_BYTES];
    while run.goes_on() && carried < MOST / CONNECTIONS && time::now() < until {
        let started = time::now();
        let cut = until.checked_add(OVER)?;
        let done = match is_up {
            true => https.request_until(cut, "POST", UP, None, Some(("application/octet-stream", bytes.get(..piece)?))),
            false => https.request_until(cut, "GET", &format!("{DOWN}?bytes={piece}"), None, None),
        };
        // The service says "too often", or the way broke: what was carried before counts.
        if !done.is_ok_and(|answer| answer.status == 200) {
            break;
        }
        (carried, last) = (carried.saturating_add(piece), time::now());
        let took = last.saturating_duration_since(started).as_secs_f64().max(0.001);
        piece = ((piece as f64 * PIECE.as_secs_f64() / took) as usize).clamp(FIRST, MOST_BYTES);
    }
    Some((carried, last))
}

/// Each way: with both the test stays within ten seconds and 20 MB.
const LONGEST: Duration = Duration::from_millis(2800);
const MOST: usize = 9_000_000;
/// What the last piece may take longer.
const OVER: Duration = Duration::from_millis(700);

/// With pieces of at most 256 KiB each a megabyte is under way: a queue of half a second is filled up to 16 Mbit/s.
const CONNECTIONS: usize = 4;
const FIRST: usize = 16 * 1024;
const PIECE: Duration = Duration::from_millis(800);
