//! The network test by the program itself, in networks that lack one thing each. All of them: `proof nettest`.

use visavis_tests::judged::{Ill, PROGRAMS};
use visavis_tests::netns::missing;
use visavis_tests::skip::skip;

fn is_named(ill: Ill) {
    if let Some(why) = missing(&PROGRAMS) {
        return skip(&format!("network test: {ill:?}"), &why);
    }
    let judged = ill.judge().expect("judged");
    match ill.cause() {
        Some(cause) => assert_eq!(judged.causes.first().map(String::as_str), Some(cause), "{:#}", judged.whole),
        None => assert!(judged.healthy, "{:#}", judged.whole),
    }
    assert!(judged.seconds <= 20.0, "{} s", judged.seconds);
}

#[test]
fn a_healthy_network_is_called_healthy() {
    is_named(Ill::Nothing);
}

#[test]
fn udp_that_is_blocked_is_named() {
    is_named(Ill::UdpBlocked);
}

#[test]
fn a_proxy_that_is_needed_is_named() {
    is_named(Ill::ProxyNeeded);
}

#[test]
fn a_wrong_login_is_named() {
    is_named(Ill::ProxyLogin);
}

#[test]
fn a_missing_port_rule_is_named() {
    is_named(Ill::PortRule);
}
