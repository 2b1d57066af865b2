//! What the service acknowledged is there after it was killed, and what misbehaves at its doors harms nobody else.

use std::io::Write;
use std::time::Duration;

use engine::base::time::now;
use engine::proto::service::frame::{Ask, Said};
use engine::proto::service::pals;
use engine::proto::service::refusal::Code;
use rustls::version::TLS13;
use tempfile::tempdir;
use visavis_tests::process::Holdings;
use visavis_tests::service::client::{Channels, Place};
use visavis_tests::service::durability;
use visavis_tests::service::host::Host;
use visavis_tests::service::people::Someone;
use visavis_tests::service::tls::connect;

#[test]
fn nothing_acknowledged_is_lost_or_doubled_when_the_service_is_killed() {
    let folder = tempdir().expect("folder");
    let seed = 20;
    let found = durability::run(&[folder.path()], 50, 20, seed, "").expect("measured");
    println!(
        "seed {seed}: {} kills, {} acknowledged, {} unacknowledged",
        found.kills, found.acknowledged, found.unacknowledged
    );
    // As many as a busy machine gets done between fifty deaths.
    assert!(found.acknowledged > 200, "{} acknowledged", found.acknowledged);
    assert_eq!((found.lost, found.doubled), (0, 0));
    assert!(found.back.len() > 50, "writers were cut off: {}", found.back.len());
    assert!(found.back.iter().all(|back| *back < Duration::from_secs(10)));
}

#[test]
fn what_is_too_large_or_no_request_costs_its_sender_only() {
    let folder = tempdir().expect("folder");
    let host = Host::start(folder.path(), "").expect("serves");
    let place = Place::of(&host);
    let (ada, eve) = (Someone::new("ada"), Someone::new("eve"));
    let mut to_ada = ada.join(&place).map_err(String::from).expect("joined");
    let at_eve = eve.register(&place).map_err(String::from).expect("registered").login;
    let roster = || Ask::Pals(pals::Request::Roster { after: None });
    let answers = |channels: &mut Channels| channels.ask(&roster()).map(|_| ()).map_err(String::from);
    // Longer than its channel permits: refused with words, and the connection goes on.
    let mut to_eve = place.open(&at_eve.access).map_err(String::from).expect("opened");
    let padded = |length: usize| {
        let text = roster().to_text(7);
        format!("{}{}", text, " ".repeat(length - text.len()))
    };
    to_eve.send_text(&padded(9000)).map_err(String::from).expect("sent");
    let said = to_eve.read(Duration::from_secs(10)).map_err(String::from).expect("goes on");
    assert!(matches!(&said, Some(Said::Refused { id: 7, refusal }) if refusal.code == Code::TooLarge), "{said:?}");
    answers(&mut to_eve).expect("goes on");
    // Longer than any channel permits, or no request at all: that connection is closed.
    for text in [padded(20_000), "hello".to_owned(), r#"{"id":1,"channel":"chat"}"#.to_owned(), "[".repeat(10_000)] {
        let mut to_eve = place.open(&at_eve.access).map_err(String::from).expect("opened");
        let _ = to_eve.send_text(&text);
        assert!(to_eve.read(Duration::from_secs(10)).is_err(), "{:.30}", text);
        answers(&mut to_ada).expect("nobody else notices");
    }
    // More requests than its channel permits: refused until there is room again.
    let mut to_eve = place.open(&at_eve.access).map_err(String::from).expect("opened");
    // All at once: how long an answer takes on a busy machine is no part of it.
    (100..160).for_each(|id| to_eve.send_text(&roster().to_text(id)).map_err(String::from).expect("sent"));
    let refused = (0..60).filter(|_| {
        let said = to_eve.read(Duration::from_secs(10)).map_err(String::from).expect("answered");
        matches!(said, Some(Said::Refused { refusal, .. }) if refusal.code == Code::TooOften)
    });
    assert!(refused.count() >= 20);
    answers(&mut to_eve).expect("after a while");
    answers(&mut to_ada).expect("her requests are her own");
}

#[test]
fn connections_that_say_nothing_or_speak_slowly_keep_nobody_out() {
    let folder = tempdir().expect("folder");
    let host = Host::start(folder.path(), "").expect("serves");
    let place = Place::of(&host);
    let ada = Someone::new("ada");
    ada.register(&place).map_err(String::from).expect("registered");
    let before = Holdings::of(host.pid()).expect("running");
    // Half of them never speak; the others send a head byte by byte, and never its end.
    let (silent, slow) = (600, 100);
    let bad = "127.0.0.2:0".parse().ok();
    let _silent: Vec<_> = (0..silent).filter_map(|_| std::net::TcpStream::connect(place.address).ok()).collect();
    let mut slow: Vec<_> = (0..slow)
        .filter_map(|_| connect(place.address, bad, place.pin, &TLS13, Duration::from_secs(20)).ok())
        .collect();
    let begun = now();
    let mut logins = 0;
    while now() - begun < Duration::from_secs(12) {
        for stream in &mut slow {
            let _ = stream.write_all(b"G").and_then(|()| stream.flush());
        }
        let asked = now();
        ada.log_in(&place).map_err(String::from).expect("logged in all the same");
        assert!(now() - asked < Duration::from_secs(5));
        logins += 1;
    }
    assert!(logins > 3);
    // All of them are past their limits by now, and the service has let go of them.
    let until = now() + Duration::from_secs(20);
    let mut after = Holdings::of(host.pid()).expect("running");
    while after.sockets > before.sockets + 2 && now() < until {
        std::thread::sleep(Duration::from_millis(200));
        after = Holdings::of(host.pid()).expect("running");
    }
    assert!(after.sockets <= before.sockets + 2, "{before:?} {after:?}");
    assert!(after.grown_mb(&before) < 64.0, "{before:?} {after:?}");
}
