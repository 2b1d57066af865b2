//! The service and those who mean no good: what they learn, what they hold up, and what firewalls leave of it.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use engine::base::time::now;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use visavis_tests::Outcome;
use visavis_tests::firewalls::{self, title, try_all};
use visavis_tests::multicast::{self, Ada};
use visavis_tests::namespaces::pair::Pair;
use visavis_tests::party::{Party, Setup};
use visavis_tests::ports::free_base;
use visavis_tests::samples::Compared;
use visavis_tests::service::flood::{Attack, Besieged, Found};
use visavis_tests::service::host::Host;
use visavis_tests::service::product::Person;
use visavis_tests::service::shown;
use visavis_tests::service::unseen::{Door, Target, Town, probe, signs};
use visavis_tests::{namespaces, netns};

use crate::service::quantile;
use crate::table::Table;

/// Of each door about each of the three.
const PROBES: usize = 10_000;

/// Enough that none of them asks more often than a client may.
const PROBERS: usize = 250;

/// One false alarm in a thousand runs, over all comparisons.
const FALSE_ALARMS: f64 = 1e-3 / (Door::ALL.len() * 2 + 2) as f64;

/// Whoever appears offline beside one who is not there.
pub fn unseen(table: &mut Table) -> Outcome<()> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut town = Town::new(folder.path(), PROBERS)?;
    let seen = probe(&mut town, &Door::ALL, PROBES, Duration::ZERO, 5)?;
    let (mut answers, mut times) = (0, 0);
    for (door, seen) in Door::ALL.iter().zip(&seen) {
        for hidden in [Target::FromAll, Target::FromOne] {
            answers += usize::from(seen.answers_differ(hidden));
            let compared = seen.compare(hidden);
            times += usize::from(compared.differ(FALSE_ALARMS));
            let who = if hidden == Target::FromAll { "offline to all" } else { "offline to me" };
            difference(table, &format!("{}, {who}", door.name()), &compared);
        }
    }
    let asked: usize = seen.iter().flat_map(|seen| &seen.times).map(Vec::len).sum();
    table.at_least("times that it was asked", Some(asked as f64), (PROBES * Door::ALL.len() * 3) as f64, "");
    table.at_most("doors whose answers tell", Some(answers as f64), 0.0, "");
    table.at_most("doors whose times tell, by two tests", Some(times as f64), 0.0, "");
    let leaky = probe(&mut town, &Door::ALL, PROBES / 20, Duration::from_millis(1), 6)?;
    let found = leaky.iter().filter(|seen| seen.compare(Target::FromAll).differ(FALSE_ALARMS)).count();
    table.at_least("doors at which a planted 1 ms is found", Some(found as f64), Door::ALL.len() as f64, "");
    let [told, planted] = signs(&mut town, 20)?;
    table.at_most("typing, reading: told to somebody", Some(told as f64), 0.0, "");
    table.at_least("the same of 20 when they do not hide", Some(planted as f64), 20.0, "");
    ports(table)?;
    network(table)
}

/// What is heard of the person on their own network.
fn network(table: &mut Table) -> Outcome<()> {
    if let Some(why) = netns::missing(&[]) {
        return Err(why);
    }
    let networks = multicast::bridge()?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let heard = |how: &str| {
        let _ada = Ada::listen(&networks, folder.path(), how)?;
        multicast::heard(&networks, PROBES, Duration::from_secs(20))
    };
    table.at_most(
        "datagrams heard on the network, of 10,000 questions",
        Some(heard("--appear-offline")? as f64),
        0.0,
        "",
    );
    table.at_least("the same where one does not hide", Some(heard("")? as f64), 3.0, "");
    Ok(())
}

fn difference(table: &mut Table, line: &str, compared: &Compared) {
    let microseconds = (compared.medians[0] - compared.medians[1]) * 1e3;
    table.goal(&format!("{line}: median later by"), Some(microseconds), "", "µs");
    table.goal("  as likely by chance, by ranks and by distance", Some(compared.by_ranks * 100.0), "", "%");
    table.goal("", Some(compared.by_distance * 100.0), "", "%");
}

/// The person's own ports: the call door and that for Quick Messages.
fn ports(table: &mut Table) -> Outcome<()> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let host = Host::start(&folder.path().join("service"), "")?;
    let ada = Person::new("ada", folder.path(), host.said()["link"].as_str().ok_or("no link")?);
    ada.register()?;
    let listen = |how: &str| {
        let mut party = Party::listen(&Setup::new("ada", how).with_data(&ada.data))?;
        party.wait_for("online as", Duration::from_secs(20))?;
        Ok::<_, String>(party)
    };
    let (party, absent) = (listen("--appear-offline")?, free_base());
    let (mut open, mut times) = (0, [Vec::new(), Vec::new()]);
    let mut random = StdRng::seed_from_u64(8);
    for _ in 0..PROBES {
        for offset in [0, 2] {
            // Which comes first is chance's choice: the second finds the way warm.
            let mut both = [(0, party.base()), (1, absent)];
            both.shuffle(&mut random);
            for (which, base) in both {
                let begun = now();
                let to = SocketAddr::from(([127, 0, 0, 1], base + offset));
                open += usize::from(TcpStream::connect(to).is_ok());
                times[which].push((now() - begun).as_secs_f64() * 1e3);
            }
        }
    }
    let compared = Compared::new(&times[0], &times[1]);
    table.at_least("tries at B and B+2", Some((times[0].len() + times[1].len()) as f64), PROBES as f64 * 4.0, "");
    table.at_most("tries that somebody answered", Some(open as f64), 0.0, "");
    difference(table, "B and B+2", &compared);
    table.at_most("ports whose times tell", Some(f64::from(u8::from(compared.differ(FALSE_ALARMS)))), 0.0, "");
    drop(party);
    let shown = listen("")?;
    let is_open = [0, 2].map(|offset| TcpStream::connect(("127.0.0.1", shown.base() + offset)).is_ok());
    table.holds("who does not hide is reached at both", is_open == [true; 2], "reached");
    Ok(())
}

/// Fields of profiles on the wire.
pub fn profiles(table: &mut Table) -> Outcome<()> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let shown = shown::run(folder.path(), 100, 3)?;
    table.goal("requests by nobody, a stranger, a pal, one blocked", Some(shown.requests as f64), "", "");
    table.goal("bytes that went to them", Some(shown.captured as f64), "", "");
    table.at_most("fields that went to whom they are not for", Some(shown.leaked.len() as f64), 0.0, "");
    table.at_most("people found by what they do not show", Some(shown.found_by.len() as f64), 0.0, "");
    table.at_least("fields seen by whom they are for", Some(shown.seen as f64), 300.0, "");
    table.at_most("the same, and not found in the capture", Some(shown.missed as f64), 0.0, "");
    table.at_least("planted fields found by the same search", Some(shown.planted as f64), 5.0, "");
    shown.leaked.iter().chain(&shown.found_by).for_each(|line| println!("      {line}"));
    Ok(())
}

/// As many slow connections at once.
const SLOW: usize = 10_000;

/// What misbehaves, beside those who do not.
pub fn floods(table: &mut Table) -> Outcome<()> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let besieged = Besieged::new(folder.path())?;
    for attack in [Attack::SlowLoris(SLOW), Attack::Floods(1500), Attack::Oversized(100), Attack::Passwords(200)] {
        let found = besieged.under(attack, Duration::from_secs(20))?;
        let with = |line: &str| format!("{}: {line}", attack.name());
        let unit = if matches!(attack, Attack::SlowLoris(_)) { "held at once" } else { "done meanwhile" };
        let most = if let Attack::SlowLoris(count) = attack { count as f64 * 0.9 } else { 1000.0 };
        table.at_least(&with(unit), Some(found.done as f64), most, "");
        waits(table, &with("an answer"), &found.quiet, &found.attacked);
        waits(table, &with("somebody new"), &found.opened_quiet, &found.opened_attacked);
        refusals(table, &with("people refused"), &found);
        table.at_least(&with("logins with the right password"), Some(found.logins as f64), 10.0, "");
        table.at_most(&with("memory that the service grew by"), Some(found.grown), 600.0, "MB");
    }
    table.holds("a wrong password is refused as wrong, the right one taken", besieged.is_guarded()?, "both");
    Ok(())
}

fn waits(table: &mut Table, line: &str, quiet: &[f64], attacked: &[f64]) {
    let p99 = |values: &[f64]| quantile(values.to_vec(), 0.99);
    table.goal(&format!("{line}, p99 before"), p99(quiet), "", "ms");
    // Below a millisecond it is the machine that is measured.
    let most = p99(quiet).unwrap_or_default().max(1.0) * 2.0;
    table.at_most(&format!("{line}, p99 meanwhile"), p99(attacked), most, "ms");
}

fn refusals(table: &mut Table, line: &str, found: &Found) {
    table.at_most(line, Some(found.refused.len() as f64), 0.0, "");
    found.refused.iter().take(5).for_each(|why| println!("      {why}"));
}

/// The service through firewalls.
pub fn behind_firewalls(table: &mut Table) -> Outcome<()> {
    if let Some(why) = namespaces::missing() {
        return Err(why);
    }
    let mut pair = Pair::new("")?;
    for (kind, name) in firewalls::KINDS.into_iter().zip(["gil", "hal", "ida"]) {
        let done = try_all(&mut pair, kind, name)?;
        let with = |line: &str| format!("{}: {line}", title(kind));
        table.at_most(&with("an account and a session, in"), Some(done.seconds), 20.0, "s");
        table.goal(&with("came in by port"), done.door.map(|door| door as f64), "", "");
        table.at_most(&with("of 14 steps, not done"), Some(done.failed.len() as f64), 0.0, "");
        done.failed.iter().for_each(|why| println!("      {why}"));
        table.holds(&with("nobody comes in"), done.stops_inward, "stopped");
        let wanted = kind != namespaces::Nat::Port;
        table.holds(&with("TCP 3478 goes out"), done.stops_3478 == wanted, if wanted { "stopped" } else { "goes" });
    }
    Ok(())
}
