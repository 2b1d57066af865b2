//! Three people with the program itself, each with a data folder, on a running service.

use std::path::Path;
use std::time::Duration;

use engine::base::time::now;
use engine::proto::keys::Digest;
use engine::render::offscreen::save_png;
use serde_json::Value;
use tempfile::tempdir;
use visavis_tests::Outcome;
use visavis_tests::ports::free_base;
use visavis_tests::service::client::PATIENCE;
use visavis_tests::service::host::Host;
use visavis_tests::service::product::{Person, is_in_files};

fn well<T>(outcome: Outcome<T>) -> T {
    outcome.expect("done")
}

fn link(host: &Host) -> String {
    host.said()["link"].as_str().expect("a link").to_owned()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// A photo that is unlike any other file, and a second of sound.
fn photo_and_clip(folder: &Path) -> (String, String) {
    let photo = folder.join("face.png");
    let pixel = |n: u32| [(n * 7) as u8, (n / 320 * 5) as u8, (n ^ (n >> 8)) as u8, 255];
    let rgba: Vec<u8> = (0..320 * 200u32).flat_map(pixel).collect();
    save_png(&photo, 320, 200, &rgba).expect("written");
    let clip = folder.join("voice.wav");
    let samples: Vec<u8> = (0..48_000u32).flat_map(|n| ((n * n / 4000 % 20_000) as i16).to_le_bytes()).collect();
    // RIFF: one channel of 16 bits at 48 kHz.
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + samples.len() as u32).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend(48_000u32.to_le_bytes());
    wav.extend(96_000u32.to_le_bytes());
    wav.extend([2, 0, 16, 0]);
    wav.extend(b"data");
    wav.extend((samples.len() as u32).to_le_bytes());
    wav.extend(samples);
    std::fs::write(&clip, wav).expect("written");
    (photo.display().to_string(), clip.display().to_string())
}

fn befriend(one: &Person, other: &Person) {
    let asked = well(one.run(&["pals", "add", &other.name]));
    assert_eq!((asked["pals"].as_bool(), asked["verified"].as_bool()), (Some(false), Some(false)));
    well(other.run(&["pals", "accept", &one.name]));
}

#[test]
fn three_people_find_each_other_talk_and_leave_a_message_for_one_who_is_not_there() {
    let folder = tempdir().expect("folder");
    let service = folder.path().join("service");
    let host = Host::start(&service, "").expect("serves");
    let person = |name| Person::new(name, folder.path(), &link(&host));
    let (ada, ben, eve) = (person("ada"), person("ben"), person("eve"));
    for person in [&ada, &ben, &eve] {
        let registered = well(person.register());
        assert!(text(&registered, "recovery").len() > 20 && text(&registered, "link").contains("#key="));
    }
    well(ada.run(&["account", "set", "--display", "Ada L", "--location", "Trieste", "--seen", "location=all"]));

    // Listed when she wants to be, found, befriended.
    assert_eq!(well(eve.run(&["pals", "search", "ada"])).as_array().map(Vec::len), Some(0));
    well(ada.run(&["pals", "listed", "speaks of bridges"]));
    let found = well(eve.run(&["pals", "search", "bridges", "--place", "tries"]));
    assert_eq!((text(&found[0], "name"), text(&found[0], "location")), ("ada", "Trieste"));
    befriend(&eve, &ada);
    befriend(&ben, &ada);

    // Presence is seen within a second.
    let watching = well(ada.follow(&["pals", "watch"]));
    assert!(watching.next(PATIENCE, |said| said["pals"].is_array()).is_some(), "the list comes first");
    let there = |name: &'static str, presence: &'static str| {
        move |said: &Value| said["type"] == "presence" && said["name"] == name && said["presence"] == presence
    };
    let eves = well(eve.follow(&["pals", "watch", "--presence", "busy"]));
    assert!(eves.next(PATIENCE, |said| said["pals"][0]["presence"] == "online").is_some(), "she sees Ada");
    assert!(watching.next(Duration::from_secs(1), there("eve", "busy")).is_some(), "Ada sees her within a second");
    eves.stop();
    assert!(watching.next(PATIENCE, there("eve", "offline")).is_some());
    watching.stop();

    // A room, in one order for all.
    let room = well(ada.run(&["chat", "create", "bridges", "--topic", "old ones"]));
    let number = room["room"].as_u64().expect("a room").to_string();
    assert_eq!(text(&well(eve.run(&["chat", "rooms", "bri"]))[0], "name"), "bridges");
    well(eve.run(&["chat", "join", &number]));
    let following = well(ada.follow(&["chat", "follow"]));
    assert!(following.next(PATIENCE, Value::is_array).is_some(), "her rooms come first");
    let first = well(eve.run(&["chat", "send", "bridges", "is the stone one open?"]));
    let heard = |said: &Value| said["type"] == "entry" && said["entry"]["text"] == "is the stone one open?";
    assert!(following.next(PATIENCE, heard).is_some());
    following.stop();
    let second = well(ada.run(&["chat", "send", &number, "it is"]));
    assert!(second["seq"].as_u64() > first["seq"].as_u64());
    let history = well(eve.run(&["chat", "history", "bridges"]));
    let texts: Vec<&str> =
        history.as_array().expect("entries").iter().filter_map(|entry| entry["text"].as_str()).collect();
    assert_eq!(texts, ["is the stone one open?", "it is"]);

    // A message with a photo and a voice clip for Ben, who is not there.
    let (photo, clip) = photo_and_clip(folder.path());
    let words = "meet me at the stone bridge, and tell nobody";
    let sent = well(ada.run(&["message", "send", "ben", words, "--photo", &photo, "--voice", &clip]));
    let digests: Vec<&str> = sent["parts"].as_array().expect("parts").iter().map(|part| text(part, "sha256")).collect();
    assert_eq!(digests.len(), 2);
    // What the service holds is unreadable: the same search finds what it may read.
    let parts: Vec<Vec<u8>> = files_of(&well(ben.run(&["message", "inbox"]))[0]);
    assert_eq!(parts.iter().map(|bytes| Digest::of(bytes).to_string()).collect::<Vec<_>>(), digests, "bytes equal");
    assert!(parts[0].starts_with(&[0xff, 0xd8]) && parts[1].starts_with(b"OggS"));
    assert!(is_in_files(&service, b"is the stone one open?"), "a room can be read, and this search finds what can be");
    let planted = service.join("blobs").join("planted");
    std::fs::write(&planted, &parts[0]).expect("planted");
    assert!(is_in_files(&service, &parts[0][200..264]), "a planted photo is found");
    std::fs::remove_file(&planted).expect("removed");
    for secret in [words.as_bytes(), &parts[0][200..264], &parts[1][200..264]] {
        assert!(!is_in_files(&service, secret), "the service could read a message");
    }

    // It was delivered once.
    let inbox = well(ben.run(&["message", "inbox"]));
    assert_eq!(inbox.as_array().map(Vec::len), Some(1));
    let message = well(ben.run(&["message", "read", &inbox[0]["number"].to_string()]));
    assert_eq!((text(&message, "text"), text(&message["from"], "name"), text(&message, "trouble")), (words, "ada", ""));
    assert_eq!(well(ben.run(&["message", "inbox", "--unread"])).as_array().map(Vec::len), Some(0));
    assert!(!host.log().contains(words) && !host.log().contains("the password of"), "nor do its logs say any of it");
}

#[test]
fn what_cannot_be_sent_goes_out_once_when_the_service_is_back_and_nobody_misses_it() {
    let folder = tempdir().expect("folder");
    let (service, port) = (folder.path().join("service"), free_base());
    let host = Host::start_on(&service, port, "").expect("serves");
    let person = |name| Person::new(name, folder.path(), &link(&host));
    let (ada, eve) = (person("ada"), person("eve"));
    for person in [&ada, &eve] {
        well(person.register());
    }
    befriend(&ada, &eve);
    let room = well(ada.run(&["chat", "create", "bridges"]))["room"].as_u64().expect("a room").to_string();
    well(eve.run(&["chat", "join", &room]));
    let following = well(eve.follow(&["chat", "follow"]));
    assert!(following.next(PATIENCE, Value::is_array).is_some(), "her rooms come first");
    let heard = |words: &'static str| move |said: &Value| said["entry"]["text"] == words;
    well(ada.run(&["chat", "send", &room, "before"]));
    assert!(following.next(PATIENCE, heard("before")).is_some());

    assert_eq!(text(&well(ada.run(&["pals", "list"]))["pals"][0], "name"), "eve");

    host.kill();
    for words in ["one", "two"] {
        assert!(well(ada.run(&["chat", "send", &room, words]))["queued"].is_string());
    }
    assert!(well(ada.run(&["message", "send", "eve", "three"]))["queued"].is_string());
    let roster = well(ada.run(&["pals", "list"]));
    assert_eq!(text(&roster["pals"][0], "name"), "eve", "what was known is shown without a network");

    let host = Host::start_on(&service, port, "").expect("serves again");
    // Whoever is connected again sends what waited.
    let watching = well(ada.follow(&["pals", "watch"]));
    assert!(following.next(PATIENCE, heard("one")).is_some(), "she is back by herself");
    assert!(following.next(PATIENCE, heard("two")).is_some(), "in the order in which it was said");
    let inbox = || well(eve.run(&["message", "inbox"]));
    let until = now() + PATIENCE;
    while inbox().as_array().is_none_or(Vec::is_empty) && now() < until {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(text(&inbox()[0], "text"), "three");
    watching.stop();
    // Once more: there is nothing left to send.
    well(ada.run(&["chat", "send", &room, "after"]));
    let history = well(eve.run(&["chat", "history", &room]));
    let texts: Vec<&str> =
        history.as_array().expect("entries").iter().filter_map(|entry| entry["text"].as_str()).collect();
    assert_eq!(texts, ["before", "one", "two", "after"]);
    assert_eq!(inbox().as_array().map(Vec::len), Some(1));
    drop(host);
}

#[test]
fn a_room_is_kept_by_its_host_and_moderators_and_reports_are_read_by_who_runs_the_service() {
    let folder = tempdir().expect("folder");
    let service = folder.path().join("service");
    let host = Host::start(&service, "").expect("serves");
    let person = |name| Person::new(name, folder.path(), &link(&host));
    let (ada, ben, eve) = (person("ada"), person("ben"), person("eve"));
    for person in [&ada, &ben, &eve] {
        well(person.register());
    }
    let room = well(ada.run(&["chat", "create", "bridges"]))["room"].as_u64().expect("a room").to_string();
    for person in [&ben, &eve] {
        well(person.run(&["chat", "join", &room]));
    }
    let following = well(ben.follow(&["chat", "follow"]));
    assert!(following.next(PATIENCE, Value::is_array).is_some(), "his rooms come first");

    // Somebody writes, names him, says it otherwise and takes it back: all hear it, and nothing of it is left.
    well(eve.run(&["chat", "typing", &room]));
    assert!(following.next(PATIENCE, |said| said["type"] == "typing" && said["name"] == "eve").is_some());
    let said = well(eve.run(&["chat", "send", &room, "@ben look at the old one"]));
    let number = said["seq"].to_string();
    let names_him = |said: &Value| said["entry"]["mentions"][0] == "ben";
    assert!(following.next(PATIENCE, names_him).is_some());
    let named = |person: &Person| {
        let history = well(person.run(&["chat", "history", &room, "--named"]));
        history.as_array().map(Vec::len)
    };
    assert_eq!((named(&ben), named(&ada)), (Some(1), Some(0)));
    assert!(ben.run(&["chat", "edit", &room, &number, "mine"]).is_err_and(|said| said.contains("somebody else's")));
    well(eve.run(&["chat", "edit", &room, &number, "@ben look at the new one"]));
    assert!(following.next(PATIENCE, |said| said["entry"]["what"] == "edit").is_some());
    assert!(ben.run(&["chat", "delete", &room, &number]).is_err(), "he does not moderate yet");

    // Ada makes him a moderator; he keeps the room.
    assert!(ben.run(&["chat", "role", &room, "ben", "host"]).is_err_and(|said| said.contains("host")));
    well(ada.run(&["chat", "role", &room, "ben", "moderator"]));
    assert!(following.next(PATIENCE, |said| said["type"] == "role" && said["role"] == "moderator").is_some());
    well(ben.run(&["chat", "delete", &room, &number]));
    assert!(following.next(PATIENCE, |said| said["entry"]["what"] == "delete").is_some());
    let texts = well(eve.run(&["chat", "history", &room])).to_string();
    assert!(!texts.contains("the old one") && !texts.contains("the new one"), "{texts}");
    well(ben.run(&["chat", "notice", &room, "be kind"]));
    let set = |said: &Value| said["type"] == "settings" && said["notice"] == "be kind" && said["slow_seconds"] == 0;
    assert!(following.next(PATIENCE, set).is_some());
    well(ben.run(&["chat", "topic", &room, "old and new"]));
    assert!(following.next(PATIENCE, |said| said["entry"]["topic"] == "old and new").is_some());
    well(ben.run(&["chat", "slow", &room, "600"]));
    let mine = well(eve.run(&["chat", "list"]));
    assert_eq!((&mine[0]["slow_seconds"], text(&mine[0], "notice")), (&Value::from(600), "be kind"));
    well(ben.run(&["chat", "slow", &room, "0"]));
    well(eve.run(&["chat", "send", &room, "two"]));

    // Out, back in, out for good, forgiven.
    assert!(ben.run(&["chat", "kick", &room, "ada"]).is_err(), "the host has more to say");
    well(ben.run(&["chat", "kick", &room, "eve"]));
    assert!(eve.run(&["chat", "send", &room, "three"]).is_err());
    well(eve.run(&["chat", "join", &room]));
    well(ben.run(&["chat", "ban", &room, "eve"]));
    assert!(eve.run(&["chat", "join", &room]).is_err_and(|said| said.contains("banned")));
    well(ben.run(&["chat", "ban", &room, "eve", "--off"]));
    well(eve.run(&["chat", "join", &room]));
    let members = well(ada.run(&["chat", "members", &room]));
    let roles: Vec<_> =
        members.as_array().expect("members").iter().map(|one| (text(one, "name"), text(one, "role"))).collect();
    assert_eq!(roles, [("ada", "host"), ("ben", "moderator"), ("eve", "member")]);
    following.stop();

    // Reports are read by who runs the service, and by nobody else.
    well(ben.run(&["pals", "report", "eve", "she says three"]));
    assert!(ada.run(&["account", "reports"]).is_err_and(|said| said.contains("run")), "she does not run it");
    assert!(eve.run(&["account", "suspend", "ben"]).is_err());
    well(host.admin("ada"));
    let reports = well(ada.run(&["account", "reports"]));
    let report = (text(&reports[0]["by"], "name"), text(&reports[0]["about"], "name"), text(&reports[0], "text"));
    assert_eq!(report, ("ben", "eve", "she says three"));
    well(ada.run(&["account", "suspend", "eve"]));
    assert!(eve.run(&["account", "login", "eve", "--service", &eve.service]).is_err());
    well(ada.run(&["account", "close-report", &reports[0]["number"].to_string()]));
    assert_eq!(well(ada.run(&["account", "reports"])).as_array().map(Vec::len), Some(0));
    well(ada.run(&["account", "suspend", "eve", "--off"]));
    well(eve.run(&["account", "login", "eve", "--service", &eve.service]));
}

#[test]
fn an_account_is_changed_left_entered_again_and_deleted() {
    let folder = tempdir().expect("folder");
    let host = Host::start(&folder.path().join("service"), "").expect("serves");
    let ada = Person::new("ada", folder.path(), &link(&host));
    let registered = well(ada.register());
    let profile =
        well(ada.run(&["account", "set", "--about", "bridges", "--languages", "en,it", "--seen", "about=pals"]));
    assert_eq!((text(&profile["about"], "value"), text(&profile["about"], "seen")), ("bridges", "pals"));
    let (photo, _) = photo_and_clip(folder.path());
    assert!(!text(&well(ada.run(&["account", "photo", &photo]))["photo"], "value").is_empty());
    assert_eq!(well(ada.run(&["account", "export"]))["account"]["name"], "ada");
    let invited = well(ada.run(&["account", "invite"]));
    assert!(text(&invited, "link").contains("invite="));

    // A new password ends what was open before; the old one is not good any more.
    let new = [("VISAVIS_NEW_PASSWORD", "a new and longer password")];
    well(ada.run_with(&["account", "password"], &new));
    well(ada.run(&["account", "profile"]));
    well(ada.run(&["account", "logout"]));
    assert!(ada.run(&["account", "profile"]).is_err_and(|said| said.contains("log in first")));
    let login = ["account", "login", "ada", "--service", &ada.service];
    assert!(ada.run(&login).is_err_and(|said| said.contains("password")));
    well(ada.run_with(&login, &[("VISAVIS_PASSWORD", "a new and longer password")]));

    // The recovery code replaces it once.
    let recover = ["account", "recover", "ada", "--service", &ada.service];
    let with_code =
        [("VISAVIS_RECOVERY", text(&registered, "recovery")), ("VISAVIS_NEW_PASSWORD", "the password of ada")];
    assert_ne!(text(&well(ada.run_with(&recover, &with_code)), "recovery"), text(&registered, "recovery"));
    assert!(ada.run_with(&recover, &with_code).is_err(), "a code is good once");

    // A service with another key is told nothing: neither the password nor the name.
    let other = Host::start(&folder.path().join("other"), "").expect("serves");
    let pin = link(&host).split_once("pin=").expect("a pin").1.to_owned();
    let wrong = format!("https://localhost:{}/join#pin={pin}", other.address().port());
    let refused = ada.run(&["account", "login", "ada", "--service", &wrong]).expect_err("another key");
    assert!(refused.contains("another key than its link says"), "{refused}");
    assert!(!other.log().contains("/v1/account"), "{}", other.log());
    assert!(host.log().contains("/v1/account/login"), "the same search finds what was asked");

    well(ada.run(&["account", "delete"]));
    assert!(ada.run(&login).is_err(), "it is gone");
}

fn files_of(message: &Value) -> Vec<Vec<u8>> {
    let parts = message["parts"].as_array().expect("parts");
    parts.iter().map(|part| std::fs::read(text(part, "file")).expect("a file")).collect()
}
