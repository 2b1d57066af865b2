//! Pals who ring each other through the service, with real sound and pictures.

use std::path::Path;
use std::time::Duration;

use tempfile::tempdir;
use visavis_tests::Outcome;
use visavis_tests::party::{Party, Setup};
use visavis_tests::service::host::Host;
use visavis_tests::service::product::Person;

fn well<T>(outcome: Outcome<T>) -> T {
    outcome.expect("done")
}

const MEDIA: &str = "--video testcard --mic chirp --speaker none --max-bitrate 400000";

fn pals(folder: &Path, host: &Host) -> (Person, Person) {
    let link = host.said()["link"].as_str().expect("a link").to_owned();
    let person = |name| Person::new(name, folder, &link);
    let (ada, ben) = (person("ada"), person("ben"));
    for person in [&ada, &ben] {
        well(person.register());
    }
    well(ada.run(&["pals", "add", "ben"]));
    well(ben.run(&["pals", "accept", "ada"]));
    (ada, ben)
}

fn setup(person: &Person, more: &str) -> Setup {
    Setup::new(&person.name, &format!("{MEDIA} {more}")).with_data(&person.data)
}

#[test]
fn a_pal_is_rung_by_name_and_whoever_is_not_there_has_missed_a_call() {
    let folder = tempdir().expect("folder");
    let host = Host::start(&folder.path().join("service"), "").expect("serves");
    let (ada, ben) = pals(folder.path(), &host);
    // He is not there: said at once, and he finds it later.
    let nobody = well(Party::call(&setup(&ada, ""), "ben"));
    let ended = well(nobody.finish(Duration::from_secs(40)));
    let report = ended.report.expect("a report");
    assert_eq!((ended.code, report.outcome.as_str()), (Some(1), "unreachable"), "{}", ended.log);
    assert!(report.reason.contains("is not there"), "{}", report.reason);

    let listening = well(Party::listen(&setup(&ben, "--once")));
    let mut listening = listening;
    well(there(&ada, "ben"));
    let calling = well(Party::call(&setup(&ada, "--for 10"), "@ben"));
    let called = well(calling.finish(Duration::from_secs(60)));
    let report = called.report.expect("a report");
    assert_eq!((called.code, report.outcome.as_str()), (Some(0), "ended"), "{}", called.log);
    assert!(report.audio.packets_received > 50 && report.video.frames_decoded > 10, "{report:?}");
    well(listening.wait_for("ada calls", Duration::from_secs(5)));
    well(listening.wait_for("in call with ada", Duration::from_secs(5)));
    let answered = well(listening.finish(Duration::from_secs(20)));
    assert_eq!(answered.report.expect("a report").outcome, "ended", "{}", answered.log);

    let calls = well(ben.run(&["pals", "calls"]));
    let of = |n: usize, key: &str| calls[n][key].as_bool();
    assert_eq!(calls.as_array().map(Vec::len), Some(2));
    assert_eq!((of(0, "incoming"), of(0, "missed")), (Some(true), Some(false)));
    assert_eq!((of(1, "incoming"), of(1, "missed")), (Some(true), Some(true)));
}

#[test]
fn a_device_that_the_account_did_not_sign_is_not_rung() {
    let folder = tempdir().expect("folder");
    let host = Host::start(&folder.path().join("service"), "").expect("serves");
    let (ada, ben) = pals(folder.path(), &host);
    // Somebody has his password, and not his key.
    let stolen = Person::new("ben", &folder.path().join("elsewhere"), &ben.service);
    well(stolen.run(&["account", "login", "ben", "--service", &stolen.service]));
    let listening = well(Party::listen(&setup(&stolen, "")));
    well(there(&ada, "ben"));
    let calling = well(Party::call(&setup(&ada, ""), "@ben"));
    let ended = well(calling.finish(Duration::from_secs(60)));
    let report = ended.report.expect("a report");
    assert_eq!((ended.code, report.outcome.as_str()), (Some(1), "unreachable"), "{}", ended.log);
    assert!(!listening.log().contains("calls"), "{}", listening.log());
    // Nor is a message sealed to it.
    let sent = ada.run(&["message", "send", "ben", "for Ben alone"]);
    well(sent.map(|_| ()));
    let inbox = well(stolen.run(&["message", "inbox"]));
    assert_eq!(inbox[0]["text"], "");
    assert!(inbox[0]["trouble"].as_str().is_some_and(|trouble| !trouble.is_empty()), "{inbox}");
    assert_eq!(well(ben.run(&["message", "inbox"]))[0]["text"], "for Ben alone", "his own device reads it");
}

#[test]
fn all_devices_of_an_account_ring_until_one_answers_and_each_reads_its_messages() {
    let folder = tempdir().expect("folder");
    let host = Host::start(&folder.path().join("service"), "").expect("serves");
    let (ada, ben) = pals(folder.path(), &host);
    // Ben's laptop shows its code, and the device that he made the account on signs it.
    let laptop = Person::new("ben", &folder.path().join("laptop"), &ben.service);
    let linking = well(laptop.follow(&["account", "link", "ben", "--service", &laptop.service]));
    let said = linking.next(Duration::from_secs(20), |said| said["code"].is_string()).expect("a code");
    let code = said["code"].as_str().expect("text");
    let wrong = if code.starts_with('A') { code.replacen('A', "B", 1) } else { format!("A{}", &code[1..]) };
    assert!(ben.run(&["account", "add-device", &wrong]).is_err_and(|said| said.contains("mistake")));
    let added = well(ben.run(&["account", "add-device", code]));
    let linked = linking.next(Duration::from_secs(20), |said| said["account_key"].is_string()).expect("linked");
    assert_eq!((&linked["account_key"], linked["devices"].as_array().map(Vec::len)), (&added["account_key"], Some(2)));
    drop(linking);
    assert!(laptop.run(&["account", "add-device", code]).is_err_and(|said| said.contains("on the device that")));

    // Both ring; the laptop answers, and the other one stops.
    let mut first = well(Party::wait(&setup(&ben, "--once")));
    let mut second = well(Party::listen(&Setup::new("laptop", &format!("{MEDIA} --once")).with_data(&laptop.data)));
    for party in [&mut first, &mut second] {
        well(party.wait_for("online as ben", Duration::from_secs(20)));
    }
    let calling = well(Party::call(&setup(&ada, "--for 6"), "@ben"));
    well(first.wait_for("ada calls", Duration::from_secs(20)));
    well(second.wait_for("in call with ada", Duration::from_secs(30)));
    let stopped = well(first.finish(Duration::from_secs(20)));
    assert!(stopped.log.contains("Another of your devices took the call"), "{}", stopped.log);
    let called = well(well(calling.finish(Duration::from_secs(60))).ended());
    assert!(called.audio.packets_received > 50, "{called:?}");
    well(well(second.finish(Duration::from_secs(20))).ended());

    // Both ring and none answers: the caller gives up, and both stop.
    let mut waiting: Vec<Party> = [&ben, &laptop].map(|one| well(Party::wait(&setup(one, "--once")))).into();
    for party in &mut waiting {
        well(party.wait_for("online as ben", Duration::from_secs(20)));
    }
    let calling = well(Party::call(&setup(&ada, ""), "@ben"));
    for party in &mut waiting {
        well(party.wait_for("ada calls", Duration::from_secs(20)));
    }
    well(calling.terminate());
    for party in waiting {
        let stopped = well(party.finish(Duration::from_secs(20)));
        assert!(stopped.log.contains("ada cancelled the call"), "{}", stopped.log);
    }

    // A message is sealed to both.
    well(ada.run(&["message", "send", "ben", "wherever you are"]));
    for device in [&ben, &laptop] {
        assert_eq!(well(device.run(&["message", "inbox"]))[0]["text"], "wherever you are");
    }
}

/// Waits until `name` is seen online.
fn there(person: &Person, name: &str) -> Outcome<()> {
    let watching = person.follow(&["pals", "watch", "--presence", "offline"])?;
    let is_there = |said: &serde_json::Value| {
        let on_list =
            said["pals"].as_array().into_iter().flatten().any(|pal| pal["name"] == name && pal["presence"] == "online");
        on_list || (said["type"] == "presence" && said["name"] == name && said["presence"] == "online")
    };
    let seen = watching.next(Duration::from_secs(20), is_there);
    watching.stop();
    seen.map(|_| ()).ok_or_else(|| format!("{name} was not seen"))
}
