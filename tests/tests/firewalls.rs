//! The service through firewalls, with the program itself in networks of its own.

use visavis_tests::firewalls::{Done, title, try_all};
use visavis_tests::namespaces::pair::Pair;
use visavis_tests::namespaces::{self, Nat};
use visavis_tests::skip::skip;

#[test]
fn the_ports_of_the_seeds_table_are_enough_and_443_alone_is() {
    if let Some(why) = namespaces::missing() {
        return skip("the service through firewalls", &why);
    }
    let mut pair = Pair::new("").expect("two people");
    let mut behind = |kind: Nat, name: &str| -> Done {
        let done = try_all(&mut pair, kind, name).unwrap_or_else(|why| panic!("{}: {why}", title(kind)));
        println!("{}: {done:?}", title(kind));
        assert_eq!(done.failed, [] as [String; 0], "{}", title(kind));
        assert!(done.stops_inward, "{}: nobody comes in", title(kind));
        done
    };
    let seed = behind(Nat::SeedTable, "dora");
    assert_eq!((seed.door, seed.stops_3478), (Some(2018), true));
    let only = behind(Nat::Tcp443, "emil");
    assert_eq!((only.door, only.stops_3478), (Some(443), true));
    // What the firewalls are said to stop is there without them.
    let outward = behind(Nat::Port, "fay");
    assert!(!outward.stops_3478);
}
