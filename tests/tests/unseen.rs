//! Whoever appears offline is, for everybody else, one who is not there: at the service, and at their own ports.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::Duration;

use tempfile::tempdir;
use visavis_tests::party::{Party, Setup};
use visavis_tests::service::host::Host;
use visavis_tests::service::product::Person;
use visavis_tests::service::unseen::{Door, Target, Town, probe, signs};

/// One false alarm in ten thousand runs, over all comparisons of a run.
const FALSE_ALARMS: f64 = 1e-4 / (Door::ALL.len() * 2) as f64;

#[test]
fn who_appears_offline_and_who_is_not_there_are_answered_alike_and_as_soon() {
    let folder = tempdir().expect("folder");
    let mut town = Town::new(folder.path(), 24).expect("a town");
    let seen = probe(&mut town, &Door::ALL, 40, Duration::ZERO, 5).expect("answered");
    for (door, seen) in Door::ALL.iter().zip(&seen) {
        for hidden in [Target::FromAll, Target::FromOne] {
            assert!(!seen.answers_differ(hidden), "{door:?}: {:?}", seen.answers);
            let compared = seen.compare(hidden);
            println!("{door:?}, {hidden:?}: {compared:?}");
            assert!(!compared.differ(FALSE_ALARMS), "{door:?}, {hidden:?}: {compared:?}");
        }
    }
    // A leak that is put there is found.
    let leaky = probe(&mut town, &[Door::Roster], 80, Duration::from_millis(1), 6).expect("answered");
    let compared = leaky[0].compare(Target::FromAll);
    assert!(compared.differ(FALSE_ALARMS), "{compared:?}");
    assert_eq!(signs(&mut town, 3).expect("asked"), [0, 3], "nothing of what they do, until they do not hide");
    let shown = probe(&mut town, &[Door::Roster, Door::Ring], 1, Duration::ZERO, 7).expect("answered");
    assert!(shown.iter().all(|seen| seen.answers_differ(Target::FromAll)), "the same probes see who does not hide");
}

#[test]
fn the_ports_of_one_who_appears_offline_are_those_of_a_machine_without_the_program() {
    let folder = tempdir().expect("folder");
    let host = Host::start(&folder.path().join("service"), "").expect("serves");
    let ada = Person::new("ada", folder.path(), host.said()["link"].as_str().expect("a link"));
    ada.register().expect("registered");
    // For calls, and for Quick Messages.
    let found = |how: &str| {
        let mut party = Party::listen(&Setup::new("ada", how).with_data(&ada.data)).expect("listens");
        party.wait_for("online as", Duration::from_secs(20)).expect("a session");
        let reach = |port| TcpStream::connect(("127.0.0.1", port)).map(drop).map_err(|error| error.kind());
        [party.base(), party.base() + 2].map(reach)
    };
    assert_eq!(found("--appear-offline"), [Err(ErrorKind::ConnectionRefused); 2]);
    assert_eq!(found(""), [Ok(()); 2], "and is reached where she does not hide");
}
