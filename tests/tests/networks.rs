//! Calls between homes behind gateways of many kinds, each with real processes in a network of its own.

use std::time::Duration;

use engine::media::report::Report;
use visavis_tests::capture::{Capture, contains};
use visavis_tests::namespaces::pair::Pair;
use visavis_tests::namespaces::{self, Nat, Node, Side};
use visavis_tests::netns;
use visavis_tests::party::Party;
use visavis_tests::skip::skip;

#[test]
fn a_call_goes_directly_where_the_gateways_let_it_and_by_a_relay_where_not() {
    if let Some(why) = namespaces::missing() {
        return skip("networks", &why);
    }
    let mut pair = Pair::new("").expect("two people");
    let kinds = [
        (Nat::Port, Nat::Port, "direct"),
        (Nat::Symmetric, Nat::Port, "relay"),
        (Nat::None, Nat::UdpBlocked, "tcp"),
        (Nat::Tcp443, Nat::Port, "relay"),
    ];
    for (ada, ben, wanted) in kinds {
        pair.set(ada, ben).expect("gateways");
        let [caller, callee] = pair.call(5, "").unwrap_or_else(|why| panic!("{} × {}: {why}", ada.name(), ben.name()));
        let of = |report: &Report| report.path.kind.clone().unwrap_or_default();
        println!("{} × {}: {} {:?}", ada.name(), ben.name(), of(&caller), caller.setup_ms);
        assert_eq!([of(&caller), of(&callee)], [wanted, wanted], "{} × {}", ada.name(), ben.name());
        assert!(caller.audio.packets_received > 50 && callee.audio.packets_received > 50);
    }
}

/// Ada's addresses as they would stand in packets: in headers, and in STUN's attributes, which are masked (RFC 8489 §14.2).
const ADA: [[u8; 4]; 2] = [[5, 5, 5, 1], [192, 168, 1, 2]];
const COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];

fn names_ada(capture: &[u8]) -> bool {
    let masked = |address: [u8; 4]| std::array::from_fn::<u8, 4, _>(|n| address[n] ^ COOKIE[n]);
    ADA.iter().any(|address| contains(capture, address) || contains(capture, &masked(*address)))
}

#[test]
fn by_relays_alone_nobody_sees_where_the_other_is() {
    if let Some(why) = namespaces::missing() {
        return skip("relay-only", &why);
    }
    let mut pair = Pair::new("").expect("two people");
    pair.set(Nat::Port, Nat::Port).expect("gateways");
    let ben = pair.lab.within(Node::Client(Side::B));
    let call = |more: &str| {
        let capture = Capture::start_within(&ben, "eth0", "").expect("captures");
        let [caller, callee] = pair.call(4, more).expect("a call");
        assert!(caller.audio.packets_received > 50 && callee.audio.packets_received > 50);
        (caller.path.kind.unwrap_or_default(), capture.stop().expect("captured"))
    };
    let (kind, capture) = call("--relay-only");
    assert_eq!(kind, "relay");
    assert!(!names_ada(&capture), "nothing that comes to Ben, or leaves him, names Ada's address");
    // What would be found is found.
    let (kind, capture) = call("");
    assert_eq!(kind, "direct");
    assert!(names_ada(&capture));
}

#[test]
fn a_port_that_the_router_opens_makes_a_call_direct_and_is_closed_with_the_program() {
    if let Some(why) = namespaces::missing().or_else(|| netns::missing(&["miniupnpd"])) {
        return skip("router ports in a call", &why);
    }
    let mut pair = Pair::new("").expect("two people");
    pair.set(Nat::Symmetric, Nat::Port).expect("gateways");
    pair.start_mapping(Side::A).expect("a router that opens ports");
    let ben = pair.listen("--once").expect("Ben waits");
    let mut ada = Party::call(&pair.setup(&pair.ada, "--for 8"), "@ben").expect("Ada calls");
    ada.wait_for("in call with", Duration::from_secs(20)).expect("a call");
    assert!(pair.mapped(Side::A).expect("rules").contains("192.168.1.2"), "the port is open during the call");
    let report = ada.finish(Duration::from_secs(40)).expect("ends").ended().expect("well");
    assert_eq!(report.path.kind.as_deref(), Some("direct"), "{:?}", report.path);
    ben.finish(Duration::from_secs(20)).expect("ends").ended().expect("well");
    assert!(!pair.mapped(Side::A).expect("rules").contains("192.168.1.2"), "and closed after it");
}
