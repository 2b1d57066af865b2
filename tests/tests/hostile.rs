//! Calls that somebody wants to break: they go on, and nobody without a password is answered.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::media::report::Report;
use engine::net::turn::{Turn, TurnConfig, TurnLimits};
use engine::proto::turn::TurnSecret;
use visavis_tests::attack;
use visavis_tests::hostile;
use visavis_tests::namespaces;
use visavis_tests::skip::skip;

/// One at a time: a flood is felt by everybody on the machine.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_whole([caller, callee]: &[Report; 2]) {
    for (sent, received) in [(caller, callee), (callee, caller)] {
        assert_eq!(sent.outcome, "ended");
        let share = received.audio.packets_received as f64 / sent.audio.packets_sent.max(1) as f64;
        assert!(share > 0.8, "{share}: {:?}", received.audio);
        assert!(received.video.frames_presented > 20, "{:?}", received.video);
    }
}

#[test]
fn fifty_thousand_checks_a_second_without_a_password_are_answered_by_nobody_and_the_call_goes_on() {
    let _alone = alone();
    let (flooded, reports) = hostile::flooded(50_000, Duration::from_secs(3)).expect("a call");
    println!("{flooded:?}");
    assert!(flooded.sent > 100_000, "{flooded:?}");
    assert_eq!(flooded.answered, 0, "{flooded:?}");
    is_whole(&reports);
    // Who answers is seen to answer: a relay tells everybody how it sees them.
    let config = TurnConfig {
        udp: vec![0],
        tcp: None,
        secret: TurnSecret::from_text("a secret of the tests").expect("long enough"),
        realm: "realm".into(),
        address: None,
        allowed: Vec::new(),
        relayed: None,
    };
    let turn = Turn::start(config, TurnLimits::default()).expect("a relay");
    let to = SocketAddrV4::new(Ipv4Addr::LOCALHOST, turn.udp[0]);
    assert_eq!(attack::answered(20, to).expect("asked"), 20);
}

#[test]
fn a_call_whose_handshake_others_begin_comes_about() {
    let _alone = alone();
    let (greetings, reports) = hostile::greeted(3, 7).expect("a call");
    assert!(greetings > 1000, "{greetings}");
    is_whole(&reports);
}

#[test]
fn servers_and_a_router_that_answer_nothing_right_keep_nobody_from_calling() {
    if let Some(why) = namespaces::missing() {
        return skip("servers that answer wrongly", &why);
    }
    let _alone = alone();
    let (asked, reports, grown) = hostile::misled(5, 3).expect("a call");
    assert!(asked > 20, "they were asked {asked} times");
    is_whole(&reports);
    assert!(grown < 32.0, "{grown} MB");
}
