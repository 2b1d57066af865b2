//! People and strangers who misbehave at the service, beside those who do not. The long form: `proof flood`.

use std::time::Duration;

use tempfile::tempdir;
use visavis_tests::service::flood::{Attack, Besieged};

#[test]
fn floods_and_slow_connections_refuse_nobody_who_does_nothing_wrong() {
    let folder = tempdir().expect("folder");
    let besieged = Besieged::new(folder.path()).expect("serves");
    for attack in [Attack::SlowLoris(600), Attack::Floods(400), Attack::Oversized(40), Attack::Passwords(40)] {
        let found = besieged.under(attack, Duration::from_secs(1)).expect("measured");
        println!("{}: {} done, grown {:.0} MB", attack.name(), found.done, found.grown);
        assert_eq!(found.refused, [] as [String; 0], "{}", attack.name());
        assert!(found.done > 10 && found.attacked.len() > 10 && !found.opened_attacked.is_empty(), "{found:?}");
        assert!(found.logins > 0, "the right password is taken meanwhile");
        assert!(found.grown < 200.0, "{} MB", found.grown);
    }
    assert!(besieged.is_guarded().expect("asked"), "a wrong password is wrong, and the right one is not locked out");
}
