//! Somebody at home behind a firewall, with the program itself: what works of the service through it.

use std::time::Duration;

use engine::base::time::now;
use engine::render::offscreen::save_png;
use serde_json::Value;

use crate::Outcome;
use crate::namespaces::pair::Pair;
use crate::namespaces::{Nat, Node, SERVER, Side};
use crate::party::Party;
use crate::service::product::Person;

/// What somebody behind a firewall has got done.
#[derive(Clone, Debug, Default)]
pub struct Done {
    /// The port that the session came in by.
    pub door: Option<u64>,
    /// Seconds to make an account, with the session that it is asked by.
    pub seconds: f64,
    /// What did not work, with its words.
    pub failed: Vec<String>,
    /// Whether the firewall stops what it is to stop: a connection inward, and one to the server's TCP port 3478.
    pub stops_inward: bool,
    pub stops_3478: bool,
}

/// The firewalls: nothing comes in, exactly the ports of the seed's table go out, only TCP 443 goes out.
pub const KINDS: [Nat; 3] = [Nat::Port, Nat::SeedTable, Nat::Tcp443];

/// What is put in front of the person who tries.
pub const fn title(kind: Nat) -> &'static str {
    match kind {
        Nat::SeedTable => "the seed's table",
        Nat::Tcp443 => "only 443",
        _ => "only outward",
    }
}

/// Somebody new behind a firewall of this kind makes an account, logs in on another device, is listed and finds people,
/// chats, and sends and gets photos and messages. The other one of `pair` is at home behind a usual gateway.
///
/// # Errors
/// The networks cannot be set up.
pub fn try_all(pair: &mut Pair, kind: Nat, name: &str) -> Outcome<Done> {
    pair.set(kind, Nat::Port)?;
    let new = |folder: &str| Person {
        name: name.to_owned(),
        data: pair.folder().join(format!("{name}-{folder}")),
        ..pair.ada.clone()
    };
    let (person, again) = (new("first"), new("second"));
    let mut done = Done::default();
    let begun = now();
    person.register().map_err(|why| format!("{}: no account: {why}", title(kind)))?;
    done.seconds = (now() - begun).as_secs_f64();
    done.door = door(&person);
    let photo = pair.folder().join(format!("{name}.png"));
    let rgba: Vec<u8> = (0..64 * 64u32).flat_map(|n| [(n * 5) as u8, (n / 64 * 3) as u8, n as u8, 255]).collect();
    save_png(&photo, 64, 64, &rgba).map_err(|error| error.to_string())?;
    let photo = photo.display().to_string();
    let mut step = |what: &str, worked: Outcome<bool>| match worked {
        Ok(true) => {}
        Ok(false) => done.failed.push(format!("{what}: something else came")),
        Err(why) => done.failed.push(format!("{what}: {why}")),
    };
    let ok = |outcome: Outcome<Value>| outcome.map(|_| true);
    let is_found = |outcome: Outcome<Value>, name: &str| outcome.map(|found| found[0]["name"] == name);
    step("login", ok(again.run(&["account", "login", name, "--service", &again.service])));
    step("be listed", ok(person.run(&["pals", "listed", "behind a firewall"])));
    step("directory", is_found(pair.ben.run(&["pals", "search", name]), name));
    step("search", is_found(person.run(&["pals", "search", name]), name));
    let room = format!("room of {name}");
    step("a room", ok(person.run(&["chat", "create", &room])));
    step("chat", ok(person.run(&["chat", "send", &room, "words"])));
    let history = person.run(&["chat", "history", &room]);
    step(
        "history",
        history.map(|entries| entries.as_array().is_some_and(|all| all.iter().any(|one| one["text"] == "words"))),
    );
    step("a photo of oneself", ok(person.run(&["account", "photo", &photo])));
    step("ask a pal", ok(person.run(&["pals", "add", "ben"])));
    step("a pal accepts", ok(pair.ben.run(&["pals", "accept", name])));
    step("a message with a photo", ok(person.run(&["message", "send", "ben", "look", "--photo", &photo])));
    let newest = |inbox: &Value| inbox.as_array().and_then(|inbox| inbox.last().cloned()).unwrap_or_default();
    let is_whole = |inbox: Value, from: &str| {
        let message = newest(&inbox);
        message["from"]["name"] == from && message["parts"].as_array().is_some_and(|parts| parts.len() == 1)
    };
    step("it arrives", pair.ben.run(&["message", "inbox"]).map(|inbox| is_whole(inbox, name)));
    step("an answer with a photo", ok(pair.ben.run(&["message", "send", name, "yes", "--photo", &photo])));
    step("it arrives, too", person.run(&["message", "inbox"]).map(|inbox| is_whole(inbox, "ben")));

    // What the firewall is there for: nobody comes in, and nothing else goes out.
    let mut listening = Party::listen(&pair.setup(&person, ""))?;
    listening.wait_for("online as", Duration::from_secs(30))?;
    let reaches = |from: Node, to: &str| pair.lab.exec(from, &format!("timeout 2 bash -c </dev/tcp/{to}")).is_ok();
    let client = Node::Client(Side::A);
    if !reaches(client, "192.168.1.2/2000") {
        return Err("nobody listens behind the firewall".into());
    }
    done.stops_inward = !reaches(Node::Server, "5.5.5.1/2000");
    done.stops_3478 = !reaches(client, &format!("{SERVER}/3478"));
    Ok(done)
}

/// The door of the service that the session came in by, as the program keeps it.
fn door(person: &Person) -> Option<u64> {
    let files = std::fs::read_dir(&person.data).ok()?.flatten();
    let read = |path: std::path::PathBuf| serde_json::from_slice::<Value>(&std::fs::read(path).ok()?).ok();
    files.filter_map(|file| read(file.path())).find_map(|value| value["door"].as_u64())
}
