//! Quick Messages from program to program: with the service and without it, to nobody else, from nobody else, and once.

use std::path::Path;
use std::time::Duration;

use engine::base::time::now;
use engine::people::direct::send::send;
use engine::proto::quick::Quick;
use engine::proto::text::Prose;
use engine::store::identity::Identity;
use engine::store::mailbox::new_key;
use serde_json::Value;
use tempfile::tempdir;
use visavis_tests::Outcome;
use visavis_tests::party::{Party, Setup};
use visavis_tests::service::host::Host;
use visavis_tests::service::product::Person;

fn well<T>(outcome: Outcome<T>) -> T {
    outcome.expect("done")
}

/// A program that waits for calls and messages, once it is online.
fn listening(person: &Person) -> Party {
    let setup = Setup::new(&person.name, "--video none --mic none --speaker none").with_data(&person.data);
    let mut party = well(Party::listen(&setup));
    well(party.wait_for("online as", Duration::from_secs(20)));
    party
}

fn texts(person: &Person) -> Vec<String> {
    let inbox = well(person.run(&["message", "inbox"]));
    let text = |message: &Value| message["text"].as_str().unwrap_or_default().to_owned();
    inbox.as_array().expect("messages").iter().map(text).collect()
}

fn at(party: &Party) -> String {
    format!("127.0.0.1:{}", party.base())
}

/// What `from` sends to Ben at `place`, and whether it went from program to program.
fn send_to_ben(from: &Person, words: &str, place: &str) -> Option<bool> {
    let sent = well(from.run(&["message", "send", "ben", words, "--at", place]));
    sent["direct"].as_bool()
}

fn befriend(one: &Person, other: &Person) {
    well(one.run(&["pals", "add", &other.name]));
    well(other.run(&["pals", "accept", &one.name]));
}

fn people(folder: &Path, host: &Host) -> [Person; 3] {
    let link = host.said()["link"].as_str().expect("a link").to_owned();
    let all = ["ada", "ben", "eve"].map(|name| Person::new(name, folder, &link));
    all.iter().for_each(|person| drop(well(person.register())));
    befriend(&all[0], &all[1]);
    all
}

#[test]
fn a_pal_who_can_be_reached_has_the_message_without_the_service_and_once() {
    let folder = tempdir().expect("folder");
    let service = folder.path().join("service");
    let host = Host::start(&service, "").expect("serves");
    let [ada, ben, eve] = people(folder.path(), &host);
    let bens = listening(&ben);
    assert_eq!(send_to_ben(&ada, "over the garden fence", &at(&bens)), Some(true));
    let uploaded = std::fs::read_dir(service.join("blobs")).map_or(0, Iterator::count);
    assert_eq!(uploaded, 0, "nothing was uploaded");
    assert_eq!(texts(&ben), ["over the garden fence"]);
    // Where he is not, the service has it.
    assert_eq!(send_to_ben(&ada, "by the post", "127.0.0.1:9"), Some(false));
    let until = now() + Duration::from_secs(20);
    while texts(&ben).len() < 2 && now() < until {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(texts(&ben), ["over the garden fence", "by the post"]);

    // Somebody else's program at that address gets nothing, and the message arrives all the same.
    let eves = listening(&eve);
    assert_eq!(send_to_ben(&ada, "not for Eve", &at(&eves)), Some(false));
    assert_eq!(texts(&eve), [""; 0]);

    // The same message comes once, however often and whichever way it is sent.
    let [hers, theirs] = [&ada, &eve].map(|person| Identity::load_or_create(&person.data, "").expect("an identity"));
    let to = Identity::load_or_create(&ben.data, "").expect("an identity").account();
    let (key, quick) = (new_key().expect("a key"), Quick { text: Prose::cut("twice"), ..Quick::default() });
    let ways = [format!("127.0.0.1:{}", bens.base() + 2).parse().expect("an address")];
    for _ in 0..2 {
        assert!(send(&ways, &hers, to, &key, &quick).expect("taken"), "he has one device");
    }
    // Who is no pal is told nothing, and leaves nothing.
    assert!(send(&ways, &theirs, to, &new_key().expect("a key"), &quick).is_err());
    assert_eq!(texts(&ben).iter().filter(|text| *text == "twice").count(), 1);
    assert!(send(&ways, &hers, theirs.account(), &key, &quick).is_err(), "somebody else was meant");

    // Without the service it goes on; with nobody there it waits.
    host.kill();
    assert_eq!(send_to_ben(&ada, "the service is gone", &at(&bens)), Some(true));
    drop(bens);
    assert_eq!(send_to_ben(&ada, "nobody is there", "127.0.0.1:9"), None, "it waits");
    let inbox = well(ben.run(&["message", "inbox"]));
    let kept = inbox.as_array().expect("messages").iter().any(|message| message["text"] == "the service is gone");
    assert!(kept, "{inbox}");
}

#[test]
fn whoever_appears_offline_or_wants_relays_only_has_no_door() {
    let folder = tempdir().expect("folder");
    let host = Host::start(&folder.path().join("service"), "").expect("serves");
    let [ada, ben, _] = people(folder.path(), &host);
    let setup = Setup::new("ben", "--relay-only --video none --mic none --speaker none").with_data(&ben.data);
    let mut relayed = well(Party::listen(&setup));
    well(relayed.wait_for("online as", Duration::from_secs(20)));
    assert_eq!(send_to_ben(&ada, "by the service", &at(&relayed)), Some(false));
    drop(relayed);
    // Nor does one who shows their address to nobody knock at others' doors.
    let bens = listening(&ben);
    let sent = well(ada.run(&["message", "send", "ben", "quietly", "--at", &at(&bens), "--relay-only"]));
    assert_eq!(sent["direct"].as_bool(), Some(false));
    assert_eq!(send_to_ben(&ada, "openly", &at(&bens)), Some(true), "the same way is open");
}
