//! What the operator's programs ask: whether the service is well, and its figures in Prometheus' text form.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use bevy_ecs::system::{Query, Res, ResMut};

use crate::bus::Health as BusHealth;
use crate::bus::log::Log;
use crate::net::turn::TurnCounters;
use crate::net::web::connection::Response;
use crate::proto::http::Method;
use crate::service::bus::Peers;
use crate::service::session::{Connection, Present, Session, Strangers};
use crate::service::shared::{Asked, Counters, Outbox, Relays, Storage};
use crate::store::postgres::Health;
use crate::store::worker::Commits;

pub fn answer_figures(
    connections: Query<&Connection>,
    sessions: Query<&Session>,
    mut asked: ResMut<Asked>,
    mut outbox: ResMut<Outbox>,
    counters: Res<Counters>,
    present: Res<Present>,
    strangers: Res<Strangers>,
    storage: Res<Storage>,
    (relays, peers): (Res<Relays>, Res<Peers>),
) {
    for (from, request) in asked.figures.drain(..) {
        let response = match (request.head.method, request.head.path.as_str()) {
            // Storage that refuses work is not well, whatever else is.
            (Method::Get, "/healthz") if storage.store.is_full() => Response::text(503, "the storage does not keep up"),
            (Method::Get, "/healthz") if storage.store.health().is_some_and(|health| !health.is_reachable()) => {
                Response::text(503, "the database cannot be reached")
            }
            (Method::Get, "/healthz") => Response::text(200, "well"),
            (Method::Get, "/metrics") => {
                let gauges = [
                    ("connections", connections.iter().count() as u64),
                    ("sessions", sessions.iter().count() as u64),
                    ("accounts_present", present.accounts() as u64),
                    ("strangers", strangers.count() as u64),
                    ("storage_waiting", storage.store.waiting() as u64),
                ];
                let mut text = text(&counters, storage.store.refused(), &gauges);
                text.push_str(&committed(storage.store.commits()));
                if let Some(health) = storage.store.health() {
                    text.push_str(&shared(health));
                }
                if let Some(health) = peers.bus.health() {
                    text.push_str(&told(health, &peers.log));
                    text.push_str(&joined(peers.relays()));
                }
                if let Some(turn) = &relays.turn {
                    text.push_str(&relayed(&turn.counters));
                }
                Response { content_type: "text/plain; version=0.0.4", ..Response::json(200, text.into_bytes()) }
            }
            _ => Response::text(404, "there are /healthz and /metrics"),
        };
        outbox.answer(from, response);
    }
}

fn text(counters: &Counters, refused: u64, gauges: &[(&str, u64)]) -> String {
    let Counters { accepted, crowded, closed, late, malformed, slow, requests, asks, texts_out, posts, .. } = *counters;
    let totals = [
        ("connections_accepted", accepted),
        ("connections_crowded", crowded),
        ("connections_closed", closed),
        ("connections_late", late),
        ("connections_malformed", malformed),
        ("connections_slow", slow),
        ("http_requests", requests),
        ("channel_requests", asks),
        ("channel_requests_refused", counters.refused),
        ("messages_out", texts_out),
        ("chat_posts", posts),
        ("storage_refused", refused),
    ];
    let mut out = String::new();
    for (name, value) in totals {
        // Writing to a text does not fail.
        let _ = write!(out, "# TYPE visavis_{name}_total counter\nvisavis_{name}_total {value}\n");
    }
    for (name, value) in gauges {
        let _ = write!(out, "# TYPE visavis_{name} gauge\nvisavis_{name} {value}\n");
    }
    out
}

/// How long the disk took for what it was asked to keep.
fn committed(commits: &Commits) -> String {
    let (count, all, longest) = commits.told();
    let (all, longest) = (all.as_secs_f64(), longest.as_secs_f64());
    format!(
        "# TYPE visavis_storage_commit_seconds summary\nvisavis_storage_commit_seconds_sum {all}\n\
         visavis_storage_commit_seconds_count {count}\n# TYPE visavis_storage_commit_longest_seconds gauge\n\
         visavis_storage_commit_longest_seconds {longest}\n"
    )
}

/// How the database is that others have too.
fn shared(health: &Health) -> String {
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let totals = [("retried", of(&health.retried)), ("given_up", of(&health.given_up)), ("lost", of(&health.lost))];
    let mut out = String::new();
    for (name, value) in totals {
        let _ = write!(out, "# TYPE visavis_database_{name}_total counter\nvisavis_database_{name}_total {value}\n");
    }
    let reachable = u8::from(health.is_reachable());
    let _ = write!(out, "# TYPE visavis_database_reachable gauge\nvisavis_database_reachable {reachable}\n");
    out
}

/// What the services have told each other.
fn told(health: &BusHealth, log: &Log) -> String {
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let counters = log.counters();
    let totals = [
        ("told", counters.told),
        ("heard", counters.heard),
        ("missed", counters.missed),
        ("missed_for_good", counters.lost),
        ("malformed", counters.malformed),
        ("unsent", of(&health.unsent)),
        ("connections_lost", of(&health.lost)),
    ];
    let mut out = String::new();
    for (name, value) in totals {
        let _ = write!(out, "# TYPE visavis_bus_{name}_total counter\nvisavis_bus_{name}_total {value}\n");
    }
    for (name, value) in [("connected", u64::from(health.is_connected())), ("peers", log.peers() as u64)] {
        let _ = write!(out, "# TYPE visavis_bus_{name} gauge\nvisavis_bus_{name} {value}\n");
    }
    out
}

/// Relays that have joined, each with its address.
fn joined(addresses: impl Iterator<Item = String>) -> String {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || ".:[]-_".contains(*c);
    let mut lines: Vec<String> = addresses
        .map(|address| {
            let address: String = address.chars().filter(is_plain).take(128).collect();
            format!("visavis_relay_joined{{address=\"{address}\"}} 1\n")
        })
        .collect();
    lines.sort();
    let count = lines.len();
    format!(
        "# TYPE visavis_relays gauge\nvisavis_relays {count}\n# TYPE visavis_relay_joined gauge\n{}",
        lines.concat()
    )
}

/// What the relay has counted.
fn relayed(counters: &TurnCounters) -> String {
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let totals = [
        ("allocated", of(&counters.allocated)),
        ("refused", of(&counters.refused)),
        ("datagrams", of(&counters.carried)),
        ("bytes", of(&counters.carried_bytes)),
        ("dropped", of(&counters.dropped)),
    ];
    let mut out = String::new();
    for (name, value) in totals {
        let _ = write!(out, "# TYPE visavis_relay_{name}_total counter\nvisavis_relay_{name}_total {value}\n");
    }
    let allocations = of(&counters.allocations);
    let _ = write!(out, "# TYPE visavis_relay_allocations gauge\nvisavis_relay_allocations {allocations}\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relays_are_listed_with_their_addresses_and_nothing_else() {
        let text = joined(["b:2".to_owned(), "a:1\"} 1\nx".to_owned()].into_iter());
        assert!(text.contains("visavis_relays 2\n") && text.contains("visavis_relay_joined{address=\"b:2\"} 1\n"));
        assert_eq!(text.lines().count(), 5);
    }

    #[test]
    fn figures_have_prometheus_form() {
        let text = text(&Counters { posts: 7, ..Counters::default() }, 3, &[("sessions", 2)]);
        assert!(text.contains("# TYPE visavis_chat_posts_total counter\nvisavis_chat_posts_total 7\n"));
        assert!(text.contains("visavis_storage_refused_total 3\n") && text.contains("visavis_sessions 2\n"));
        assert!(text.lines().all(|line| line.starts_with("# TYPE ") || line.split(' ').count() == 2));
    }
}
