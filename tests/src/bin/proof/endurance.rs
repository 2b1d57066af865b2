//! What a call and a party live through.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use engine::base::time::now;
use visavis_tests::Outcome;
use visavis_tests::attack::Attacker;
use visavis_tests::party::{Party, Setup};
use visavis_tests::process::Holdings;

use crate::table::Table;

const SILENT: &str = "--mic chirp --speaker none";
const BLIND: &str = "--video none --mic none --speaker none";
const SOON: Duration = Duration::from_secs(20);

/// A million datagrams and ten thousand connections of strangers during a call.
pub fn attack(table: &mut Table) -> Outcome<()> {
    const DATAGRAMS: usize = 1_000_000;
    const CONNECTIONS: usize = 10_000;
    let mut callee = Party::listen(&Setup::new("Ben", &format!("--once {SILENT}")))?;
    let mut caller = Party::call_to(&Setup::new("Ada", SILENT), &callee)?;
    for party in [&mut caller, &mut callee] {
        party.wait_for("in call with", SOON)?;
    }
    // Pools and queues have grown to what a call takes by then.
    std::thread::sleep(Duration::from_secs(4));
    let before = Holdings::of(callee.pid())?;
    let at = |port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
    let (media, control, peer) = (at(callee.base()), at(callee.base()), at(caller.base()));
    let connecting = std::thread::Builder::new()
        .name("connections".into())
        .spawn(move || Attacker::new(2).connect(CONNECTIONS, control.into(), Duration::from_secs(150)))
        .map_err(|error| error.to_string())?;
    let forged = Attacker::new(1).send_datagrams(DATAGRAMS, media, peer)?;
    let connected = connecting.join().map_err(|_| "the attacker panicked".to_owned())?;
    std::thread::sleep(Duration::from_secs(2));
    let after = Holdings::of(callee.pid())?;
    caller.terminate()?;
    let (caller, callee) = (caller.finish(SOON)?, callee.finish(SOON)?);
    table.goal("datagrams sent", Some(DATAGRAMS as f64), "", "");
    table.goal("of them in the other side's name", Some(forged as f64), "", "");
    table.at_least("connections opened", Some(connected as f64), CONNECTIONS as f64 * 0.9, "");
    let panicked = [&caller.log, &callee.log].iter().any(|log| log.contains("panicked"));
    table.holds("nothing panicked", !panicked, "");
    table.at_most("memory grown", Some(after.grown_mb(&before)), 32.0, "MB");
    table.at_most("files left open", Some(after.files.saturating_sub(before.files) as f64), 0.0, "");
    let (caller, callee) = (caller.ended()?, callee.ended()?);
    table.holds("the call went on until it was hung up", true, "ended");
    let received = callee.audio.packets_received as f64 / caller.audio.packets_sent.max(1) as f64 * 100.0;
    table.goal("sound that arrived meanwhile", Some(received), "", "%");
    table.goal("longest gap of the picture meanwhile", callee.video.longest_freeze_ms, "", "ms");
    Ok(())
}

/// One side disappears.
pub fn kill(table: &mut Table) -> Outcome<()> {
    let mut callee = Party::listen(&Setup::new("Ben", BLIND))?;
    let mut caller = Party::call_to(&Setup::new("Ada", BLIND), &callee)?;
    caller.wait_for("in call with", SOON)?;
    let killed = now();
    callee.kill()?;
    let end = caller.wait_for("failed: ", SOON)?;
    let after = (now() - killed).as_secs_f64();
    table.at_most("kill -9 of the callee: the caller ends after", Some(after), 5.0, "s");
    println!("      {end}");
    table.holds("the reason names whom", end.contains(&format!("127.0.0.1:{}", callee.base())), "");
    let finished = caller.finish(SOON)?;
    table.holds("exit status 1", finished.code == Some(1), "");

    let mut callee = Party::listen(&Setup::new("Ben", &format!("--once {BLIND}")))?;
    let mut caller = Party::call_to(&Setup::new("Ada", BLIND), &callee)?;
    callee.wait_for("in call with", SOON)?;
    let killed = now();
    caller.kill()?;
    callee.wait_for("failed: ", SOON)?;
    table.at_most("kill -9 of the caller: the callee ends after", Some((now() - killed).as_secs_f64()), 5.0, "s");
    Ok(())
}

/// A hundred calls with one listener.
pub fn hundred(table: &mut Table) -> Outcome<()> {
    const CALLS: usize = 100;
    let mut callee = Party::listen(&Setup::new("Ben", SILENT))?;
    let mut first = None;
    for nth in 1..=CALLS {
        let caller = Party::call_to(&Setup::new("Ada", &format!("--for 0.5 {SILENT}")), &callee)?;
        caller.finish(SOON)?.ended()?;
        callee.wait_for_nth("ended: ", nth, SOON)?;
        if nth == 1 {
            // Threads end some time after they are told to.
            std::thread::sleep(Duration::from_secs(1));
            first = Some((Holdings::of(callee.pid())?, callee.temporary_files()));
        }
    }
    std::thread::sleep(Duration::from_secs(1));
    let (first, files) = first.ok_or("no first call")?;
    let last = Holdings::of(callee.pid())?;
    let more = |before: usize, after: usize| Some(after as f64 - before as f64);
    table.goal("calls in a row", Some(CALLS as f64), "", "");
    table.at_most("threads left", more(first.threads, last.threads), 0.0, "");
    table.at_most("sockets left", more(first.sockets, last.sockets), 0.0, "");
    table.at_most("files left open", more(first.files, last.files), 0.0, "");
    table.at_most("temporary files left", more(files, callee.temporary_files()), 0.0, "");
    table.at_most("memory grown", Some(last.grown_mb(&first)), 5.0, "MB");
    Ok(())
}
