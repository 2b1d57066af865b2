//! The service: whether it keeps what it acknowledged, and how many people it carries.

use std::path::Path;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use visavis_tests::Outcome;
use visavis_tests::process::Holdings;
use visavis_tests::service::client::Place;
use visavis_tests::service::cluster::{Cluster, Redis};
use visavis_tests::service::durability::{self, Durability};
use visavis_tests::service::host::Host;
use visavis_tests::service::seed;
use visavis_tests::service::swarm::{self, Plan, Seen};

use crate::table::Table;

const KILLS: usize = 1000;

pub fn durable(table: &mut Table) -> Outcome<()> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let found = durability::run(&[folder.path()], KILLS, 40, 1, "")?;
    report(table, &found, 10_000.0);
    Ok(())
}

fn report(table: &mut Table, found: &Durability, most: f64) {
    table.goal("times that a service was killed", Some(found.kills as f64), "", "");
    table.at_least("messages acknowledged", Some(found.acknowledged as f64), most, "");
    table.at_most("acknowledged messages that are lost", Some(found.lost as f64), 0.0, "");
    table.at_most("messages that are there twice", Some(found.doubled as f64), 0.0, "");
    let back: Vec<f64> = found.back.iter().map(Duration::as_secs_f64).collect();
    table.at_most("from the kill to open channels, p99", quantile(back, 0.99), 10.0, "s");
}

/// The same with two services on one database, of which one at a time is killed.
pub fn durable_on_postgresql(table: &mut Table) -> Outcome<()> {
    let (cluster, redis) = (Cluster::start(true, None)?, Redis::start()?);
    let (Some(cluster), Some(redis)) = (cluster, redis) else {
        return Err("PostgreSQL or Redis are not installed".into());
    };
    let folder = || tempfile::tempdir().map_err(|error| error.to_string());
    let folders = [folder()?, folder()?];
    let args = format!("--store {} --bus {}", cluster.url(), redis.url());
    let found = durability::run(&[folders[0].path(), folders[1].path()], KILLS / 5, 40, 1, &args)?;
    report(table, &found, 2000.0);
    Ok(())
}

const PEOPLE: usize = 10_000;
const WRITERS: usize = 1000;
const ROOM: usize = 10;
const THREADS: usize = 2;

pub fn load(table: &mut Table) -> Outcome<()> {
    for (what, args) in [("this disk", ""), ("a disk of 5 ms", "--commit-delay 5")] {
        carried(table, what, None, args)?;
    }
    Ok(())
}

/// The same on PostgreSQL.
pub fn load_on_postgresql(table: &mut Table) -> Outcome<()> {
    let cluster = Cluster::start(true, None)?.ok_or("PostgreSQL is not installed")?;
    let url = cluster.url();
    carried(table, "PostgreSQL", Some(&url), &format!("--store {url}"))
}

fn carried(table: &mut Table, what: &str, store: Option<&str>, args: &str) -> Outcome<()> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let Carried { seen, holdings, commit_ms, longest_ms, retried } = carry(folder.path(), store, args)?;
    let seconds = LASTING.as_secs_f64();
    let with = |line: &str| format!("{line}, {what}");
    table.at_least(&with("people connected"), Some(seen.connected as f64 - seen.broken as f64), PEOPLE as f64, "");
    let rate = seen.acknowledged.len() as f64 / seconds;
    table.at_least(&with("messages a second, acknowledged"), Some(rate), 0.98 * WRITERS as f64, "");
    table.at_least(&with("deliveries a second"), Some(seen.entries as f64 / seconds), 9800.0, "");
    table.goal(&with("presences a second"), Some(seen.presences as f64 / seconds), "", "");
    let times: Vec<f64> = seen.acknowledged.iter().map(|time| time.as_secs_f64() * 1e3).collect();
    table.goal(&with("to the acknowledgement, p50"), quantile(times.clone(), 0.5), "", "ms");
    table.at_most(&with("to the acknowledgement, p99"), quantile(times, 0.99), 50.0, "ms");
    table.goal(&with("a commit on disk, mean"), Some(commit_ms), "", "ms");
    table.goal(&with("a commit on disk, the longest"), Some(longest_ms), "", "ms");
    table.at_most(&with("requests refused"), Some(seen.refused as f64), 0.0, "");
    if let Some(retried) = retried {
        table.goal(&with("transactions that were tried again"), Some(retried), "", "");
    }
    table.at_most(&with("memory of the service"), Some(holdings.resident as f64 / 1048576.0), 600.0, "MiB");
    Ok(())
}

const LASTING: Duration = Duration::from_secs(20);

struct Carried {
    seen: Seen,
    holdings: Holdings,
    commit_ms: f64,
    longest_ms: f64,
    /// On a database of others.
    retried: Option<f64>,
}

fn carry(data: &Path, store: Option<&str>, args: &str) -> Outcome<Carried> {
    // Each connection is an open file on this side too.
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).map_err(|error| error.to_string())?;
    let access = seed::fill(data, store, PEOPLE, WRITERS, ROOM)?;
    let host = Host::start(data, &format!("--metrics-port 0 {args}"))?;
    let place = Place::of(&host);
    let share = PEOPLE / THREADS;
    let plans: Vec<Plan> = (0..THREADS)
        .map(|thread| Plan {
            first: thread * share,
            count: share,
            writers: WRITERS,
            room: ROOM,
            each: Duration::from_secs(1),
            presence: Duration::from_millis(20),
            warm_up: Duration::from_secs(5),
            lasting: LASTING,
        })
        .collect();
    let seen = std::thread::scope(|scope| {
        let connecting: Vec<_> =
            plans.iter().map(|plan| scope.spawn(|| swarm::connect(place.address, place.pin, &access, plan))).collect();
        let members = connecting
            .into_iter()
            .map(|thread| thread.join().map_err(|_| "a client's thread died".to_owned())?)
            .collect::<Outcome<Vec<_>>>()?;
        let running: Vec<_> = members
            .into_iter()
            .zip(&plans)
            .map(|(members, plan)| scope.spawn(move || swarm::run(members, plan)))
            .collect();
        let mut all = Seen::default();
        for thread in running {
            let seen = thread.join().map_err(|_| "a client's thread died".to_owned())??;
            all.connected += seen.connected;
            all.posts += seen.posts;
            all.acknowledged.extend(seen.acknowledged);
            all.entries += seen.entries;
            all.presences += seen.presences;
            all.refused += seen.refused;
            all.broken += seen.broken;
        }
        Ok::<_, String>(all)
    })?;
    let holdings = Holdings::of(host.pid())?;
    let figure = |name: &str| host.figure(&format!("visavis_storage_commit_{name}"));
    let commit_ms = figure("seconds_sum")? / figure("seconds_count")? * 1e3;
    let retried = store.map(|_| host.figure("visavis_database_retried_total")).transpose()?;
    Ok(Carried { seen, holdings, commit_ms, longest_ms: figure("longest_seconds")? * 1e3, retried })
}

/// The value that a share of all is not above.
pub fn quantile(mut values: Vec<f64>, at: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let place = (values.len() as f64 * at).ceil() as usize;
    values.get(place.saturating_sub(1)).copied()
}
