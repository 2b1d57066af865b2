//! A service whose disk is full: refused with words, nothing corrupt, and it goes on when there is room.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use engine::base::time::now;
use engine::proto::service::frame::{Ask, Reply};
use engine::proto::service::messages::BLOB_PATH;
use engine::proto::service::names::{Key, RoomId};
use engine::proto::service::refusal::Refusal;
use engine::proto::service::{chat, refusal::Code};
use engine::proto::text::{Prose, Text};
use tempfile::tempdir;
use visavis_tests::Outcome;
use visavis_tests::service::client::{Asked, Channels, Failed, Place};
use visavis_tests::service::host::Host;
use visavis_tests::service::people::Someone;
use visavis_tests::skip::skip;

/// A small disk. Dropping it takes it away.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    fn new(place: &'a Path, size: &str) -> Outcome<Self> {
        let said =
            Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"]).arg(place).output();
        let said = said.map_err(|error| error.to_string())?;
        let words = String::from_utf8_lossy(&said.stderr).into_owned();
        if said.status.success() { Ok(Self(place)) } else { Err(format!("no disk of its own: {words}")) }
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

/// Says one thing; `Err`: refused.
fn say(channels: &mut Channels, room: RoomId, n: usize) -> Result<(), Refusal> {
    let key = Key::try_from(format!("key-{n:08}")).expect("a key");
    let text = Prose::cut(&format!("{n} {}", "x".repeat(3000)));
    match channels.ask(&Ask::Chat(chat::Request::Post { room, key, text })) {
        Ok(_) => Ok(()),
        Err(Failed::Refused(refusal)) => Err(refusal),
        Err(Failed::Broken(text)) => panic!("{text}"),
    }
}

fn well<T>(asked: Asked<T>) -> T {
    asked.map_err(String::from).expect("done")
}

/// The numbers of what was said in a room.
fn said(channels: &mut Channels, room: RoomId) -> Vec<usize> {
    let (mut after, mut all) = (Default::default(), Vec::new());
    loop {
        let ask = chat::Request::History { room, after: Some(after), before: None, limit: 0 };
        let Reply::Chat(chat::Reply::History { entries, more, .. }) = well(channels.ask(&Ask::Chat(ask))) else {
            panic!("no history")
        };
        for entry in entries.iter() {
            after = entry.seq;
            if let chat::What::Text { text, .. } = &entry.what {
                all.extend(text.split(' ').next().and_then(|number| number.parse::<usize>().ok()));
            }
        }
        if !more {
            return all;
        }
    }
}

#[test]
fn a_full_disk_is_said_and_what_was_acknowledged_is_there_when_there_is_room() {
    let folder = tempdir().expect("folder");
    let disk = match Disk::new(folder.path(), "6m") {
        Ok(disk) => disk,
        Err(why) => return skip("a full disk", &why),
    };
    let host = Host::start(folder.path(), "").expect("serves");
    let place = Place::of(&host);
    let ada = Someone::new("ada");
    let access = well(ada.register(&place)).login.access;
    let mut channels = well(place.open(&access));
    let (name, key) = (Text::cut("log"), Key::try_from("the-room".to_owned()).expect("a key"));
    let create = chat::Request::Create { name, topic: Default::default(), private: false, password: None, key };
    let Reply::Chat(chat::Reply::Room(room)) = well(channels.ask(&Ask::Chat(create))) else { panic!("no room") };
    let room = room.room;
    say(&mut channels, room, 0).expect("there is room");

    // Something else fills the disk.
    let filler = folder.path().join("something else");
    let mut filled = Vec::new();
    while std::fs::write(&filler, &filled).is_ok() {
        filled.resize(filled.len() + 32 * 1024, 7);
    }
    let mut acknowledged = vec![0];
    let refusal = (1..400).find_map(|n| match say(&mut channels, room, n) {
        Ok(()) => {
            acknowledged.push(n);
            None
        }
        Err(refusal) => Some(refusal),
    });
    let refusal = refusal.expect("refused in the end");
    assert_eq!(refusal.code, Code::Full, "{refusal:?}");
    assert!(refusal.text.len() > 10, "with words: {refusal:?}");
    // What is read is answered, and an upload is refused with words as well.
    assert_eq!(said(&mut channels, room), acknowledged);
    let mut client = place.connect().expect("connected");
    let (status, body) =
        well(client.request("POST", BLOB_PATH, Some(&access), "application/octet-stream", &vec![9; 900_000]));
    let words = serde_json::from_slice::<Refusal>(&body).expect("words");
    assert!(status >= 500 && words.text.len() > 10, "{status}: {words:?}");

    // There is room again: it goes on by itself.
    std::fs::remove_file(&filler).expect("removed");
    let until = now() + Duration::from_secs(20);
    while let Err(refusal) = say(&mut channels, room, 1000) {
        assert!(now() < until, "{refusal:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
    acknowledged.push(1000);
    assert_eq!(said(&mut channels, room), acknowledged, "once each");
    host.kill();
    let database = rusqlite::Connection::open(folder.path().join("service.db")).expect("the database");
    let whole: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("read");
    assert_eq!(whole, "ok");
    drop(database);
    let host = Host::start(folder.path(), "").expect("serves again");
    let mut channels = well(Place::of(&host).open(&access));
    assert_eq!(said(&mut channels, room), acknowledged, "after a kill, too");
    drop(host);
    drop(disk);
}
