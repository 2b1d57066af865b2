//! The network test by the program itself, in networks that lack one thing each. All of them: `proof nettest`.

use std::sync::Mutex;

use visavis_tests::judged::{Ill, Judged, PROGRAMS};
use visavis_tests::netns::missing;
use visavis_tests::skip::skip;

/// Those of the list that fit into half a minute.
const SOME: [Ill; 6] =
    [Ill::UdpBlocked, Ill::RelayDown, Ill::Nothing, Ill::ProxyNeeded, Ill::ProxyLogin, Ill::PortRule];

/// At once: each mostly waits.
const SIDE_BY_SIDE: usize = 3;

#[test]
fn networks_that_lack_one_thing_are_told_from_a_healthy_one() {
    if let Some(why) = missing(&PROGRAMS) {
        return skip("the network test", &why);
    }
    let waiting = Mutex::new(SOME.to_vec());
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            let work = || {
                while let Some(ill) = { waiting.lock().expect("unpoisoned").pop() } {
                    check(ill, &ill.judge().expect("judged"));
                }
            };
            std::thread::Builder::new().name("judge".into()).spawn_scoped(scope, work).expect("a thread");
        }
    });
}

fn check(ill: Ill, judged: &Judged) {
    match ill.cause() {
        Some(cause) => assert_eq!(judged.causes.first().map(String::as_str), Some(cause), "{:#}", judged.whole),
        None => assert!(judged.healthy, "{:#}", judged.whole),
    }
    assert!(judged.seconds <= 20.0, "{ill:?}: {} s", judged.seconds);
    if matches!(ill, Ill::RelayDown | Ill::PortRule) {
        // The STUN server has two addresses (RFC 5780): somebody else's, or the service itself.
        let nat = &judged.whole["findings"]["nat"];
        assert_eq!(nat["mapping"], "endpoint_independent", "{:#}", judged.whole);
        assert_eq!(nat["filtering"], "address_and_port_dependent", "{:#}", judged.whole);
    }
}
