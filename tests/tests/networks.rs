//! Calls between homes behind gateways of many kinds, each with real processes in a network of its own.

use visavis_tests::namespaces::pair::Pair;
use visavis_tests::namespaces::{self, Nat};
use visavis_tests::skip::skip;

#[test]
fn a_call_goes_directly_where_the_gateways_let_it_and_by_a_relay_where_not() {
    if let Some(why) = namespaces::missing() {
        return skip("networks", &why);
    }
    let pair = Pair::new("").expect("two people");
    let kinds = [
        (Nat::Port, Nat::Port, "direct"),
        (Nat::Symmetric, Nat::Port, "relay"),
        (Nat::None, Nat::UdpBlocked, "tcp"),
        (Nat::Tcp443, Nat::Port, "relay"),
    ];
    for (ada, ben, wanted) in kinds {
        pair.set(ada, ben).expect("gateways");
        let [caller, callee] = pair.call(5, "").unwrap_or_else(|why| panic!("{} × {}: {why}", ada.name(), ben.name()));
        let of = |report: &engine::media::report::Report| report.path.kind.clone().unwrap_or_default();
        println!("{} × {}: {} {:?}", ada.name(), ben.name(), of(&caller), caller.setup_ms);
        assert_eq!([of(&caller), of(&callee)], [wanted, wanted], "{} × {}", ada.name(), ben.name());
        assert!(caller.audio.packets_received > 50 && callee.audio.packets_received > 50);
    }
}
