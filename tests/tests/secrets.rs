//! What the service's log must not hold: everything that is secret is put through it with the log at its most talkative,
//! and looked for.

use engine::proto::service::account::{LoggedIn, Refresh, Request, Secret};
use engine::proto::service::chat;
use engine::proto::service::frame::{Ask, Reply};
use engine::proto::service::names::{Bytes, Key};
use engine::proto::service::pals;
use engine::proto::text::{Prose, Text};
use tempfile::tempdir;
use visavis_tests::service::client::{Asked, Channels, Place};
use visavis_tests::service::host::Host;
use visavis_tests::service::people::Someone;

fn well<T>(asked: Asked<T>) -> T {
    asked.map_err(String::from).expect("done")
}

fn chat(channels: &mut Channels, request: chat::Request) -> chat::Reply {
    match well(channels.ask(&Ask::Chat(request))) {
        Reply::Chat(reply) => reply,
        other => panic!("another channel: {other:?}"),
    }
}

/// Those of `planted` that the log has, whether as they are, in hex, or in base64.
fn found<'a>(log: &str, planted: &[(&'a str, String)]) -> Vec<&'a str> {
    let is_there = |secret: &str| {
        let bytes = secret.as_bytes();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let base64 = serde_json::to_string(&Bytes::<1024>::new(bytes.to_vec()).expect("short")).expect("text");
        // Without what fills it up, and without its last group, which depends on what follows.
        let base64 = base64.trim_matches('"').trim_end_matches('=');
        log.contains(secret) || log.to_lowercase().contains(&hex) || log.contains(&base64[..base64.len() - 4])
    };
    planted.iter().filter(|(_, secret)| is_there(secret)).map(|(what, _)| *what).collect()
}

#[test]
fn no_log_has_a_password_a_token_a_key_or_a_text() {
    let folder = tempdir().expect("folder");
    let host = Host::start(folder.path(), "--turn-ports 0").expect("serves");
    let place = Place::of(&host);
    let (ada, ben) = (Someone::new("ada"), Someone::new("ben"));
    let registered = well(ada.register(&place));
    let mut channels = well(place.open(&registered.login.access));
    well(ben.join(&place));
    let mut planted = vec![
        ("the password", ada.password.expose().to_owned()),
        ("the access token", registered.login.access.expose().to_owned()),
        ("the refresh token", registered.login.refresh.expose().to_owned()),
        ("the recovery code", registered.recovery.expose().to_owned()),
    ];
    let pem = std::fs::read_to_string(folder.path().join("tls").join("key.pem")).expect("a key");
    let line = pem.lines().nth(1).expect("its first line");
    assert!(line.len() > 40, "{line}");
    planted.push(("the certificate's key", line.to_owned()));

    // Right and wrong, once and again: what goes wrong is what logs like to tell of.
    let wrong = Secret::new("a wrong password, planted");
    assert!(place.account::<LoggedIn>(&ada.login_with(&wrong), None).is_err());
    planted.push(("a wrong password", wrong.expose().to_owned()));
    let refresh = Request::Refresh(Refresh { refresh: registered.login.refresh.clone() });
    let renewed: LoggedIn = well(place.account(&refresh, None));
    planted.push(("the next access token", renewed.access.expose().to_owned()));
    let mut channels_again = well(place.open(&renewed.access));
    assert!(place.open(&Secret::new("a token that nobody gave, planted")).is_err());
    planted.push(("a token of nobody", "a token that nobody gave, planted".to_owned()));

    let key = |text: &str| Key::try_from(text.to_owned()).expect("a key");
    let room_password = "the password of the room, planted";
    let create = chat::Request::Create {
        name: Text::cut("quiet room"),
        topic: Text::cut("a topic of the room, planted"),
        private: true,
        password: Some(Secret::new(room_password)),
        key: key("key-create"),
    };
    let chat::Reply::Room(room) = chat(&mut channels_again, create) else { panic!("a room") };
    let text = "words of a message, planted";
    chat(&mut channels_again, chat::Request::Post { room: room.room, key: key("key-post-1"), text: Prose::cut(text) });
    planted.push(("a room's password", room_password.to_owned()));
    planted.push(("a text", text.to_owned()));
    planted.push(("a topic", "a topic of the room, planted".to_owned()));

    let envelope = b"an envelope to a pal, planted".to_vec();
    let signal = pals::Request::Signal {
        to: ben.name.clone(),
        device: None,
        envelope: Bytes::new(envelope.clone()).expect("short"),
        call: None,
    };
    let _ = channels_again.ask(&Ask::Pals(signal));
    planted.push(("an envelope", String::from_utf8(envelope).expect("text")));
    let Reply::Pals(pals::Reply::Relays(relays)) = well(channels_again.ask(&Ask::Pals(pals::Request::Relays))) else {
        panic!("relays");
    };
    planted.push(("the password of the relay", relays.password.to_string()));
    let report = pals::Request::Report { name: ben.name.clone(), text: Prose::cut("what was reported, planted") };
    well(channels_again.ask(&Ask::Pals(report)));
    planted.push(("a report", "what was reported, planted".to_owned()));
    // What is no request at all, on a connection of its own.
    let _ = channels.send_text("neither a frame nor short, planted");
    planted.push(("what is no request", "neither a frame nor short, planted".to_owned()));

    // A path is logged, and this search finds what is planted there.
    let leak = "a-leak-that-is-planted";
    let mut client = place.connect().expect("connects");
    let (status, _) =
        client.request("GET", &format!("/{leak}"), None, "text/plain", b"").map_err(String::from).expect("answered");
    assert_eq!(status, 404);
    let log = host.log();
    assert!(log.contains("\"level\":\"DEBUG\""), "the log says everything");
    assert_eq!(found(&log, &[("planted", leak.to_owned())]), ["planted"]);
    assert_eq!(found(&log, &planted), [] as [&str; 0]);
    assert_eq!(planted.len(), 15);
}
