//! Whose requests are taken: each row of the table is refused, and the same request as it should be is taken.

use std::io::{Read, Write};
use std::time::Duration;

use engine::proto::service::account::{LoggedIn, Nothing, Refresh, Request, Secret};
use engine::proto::service::frame::{Ask, PATH, PROTOCOL, Reply};
use engine::proto::service::messages::{BLOB_PATH, Request as MessagesRequest, SealedKey, Stored};
use engine::proto::service::names::{Bytes, Key, Seq};
use engine::proto::service::refusal::Code;
use engine::proto::service::{chat, messages};
use engine::proto::text::{List, Prose, Text};
use rustls::version::{TLS12, TLS13};
use tempfile::tempdir;
use visavis_tests::service::client::{Asked, Channels, Failed, Place};
use visavis_tests::service::host::Host;
use visavis_tests::service::people::Someone;
use visavis_tests::service::seed::{Seeding, pair};
use visavis_tests::service::tls::connect;

const PATIENCE: Duration = Duration::from_secs(10);

/// Ada and Ben are pals; Eve is nobody's.
struct Service {
    place: Place,
    ada: Secret,
    ben: Secret,
    eve: Secret,
    /// Tokens of Carl's whose time is over.
    expired: LoggedIn,
    _host: Host,
    _folder: tempfile::TempDir,
}

fn service() -> Service {
    let folder = tempdir().expect("folder");
    let people = ["ada", "ben", "eve"].map(Someone::new);
    let mut seeding = Seeding::open(folder.path(), None).expect("a database");
    let access = seeding.register(&people).expect("registered");
    seeding.run(pair((0, &people[0]), (1, &people[1])).into()).expect("pals");
    drop(seeding);
    let host = Host::start(folder.path(), "").expect("serves");
    let place = Place::of(&host);
    let expired: LoggedIn = Someone::new("carl").register(&place).map_err(String::from).expect("registered").login;
    expire(folder.path(), &expired);
    let [ada, ben, eve] = access.try_into().expect("three");
    Service { place, ada, ben, eve, expired, _host: host, _folder: folder }
}

/// Both tokens of a session are over from now on.
fn expire(folder: &std::path::Path, login: &LoggedIn) {
    let database = rusqlite::Connection::open(folder.join("service.db")).expect("the database");
    let hash = engine::proto::keys::Digest::of(login.access.expose().as_bytes()).0;
    let update = "UPDATE tokens SET access_until = 5, refresh_until = 5 WHERE access = ?1";
    assert_eq!(database.execute(update, [hash.as_slice()]).expect("written"), 1);
}

fn well<T>(asked: Asked<T>) -> T {
    asked.map_err(String::from).expect("taken")
}

fn code<T: std::fmt::Debug>(asked: Asked<T>) -> Code {
    match asked {
        Err(Failed::Refused(refusal)) => refusal.code,
        other => panic!("it was taken: {other:?}"),
    }
}

impl Service {
    fn refreshed(&self, refresh: &Secret) -> Asked<LoggedIn> {
        self.place.account(&Request::Refresh(Refresh { refresh: refresh.clone() }), None)
    }

    /// The status of what is answered to a request as it stands there.
    fn status(&self, request: &str) -> u16 {
        let mut stream = connect(self.place.address, None, self.place.pin, &TLS13, PATIENCE).expect("connected");
        stream.write_all(request.as_bytes()).and_then(|()| stream.flush()).expect("sent");
        // Channels that are opened stay open: the line with the status is all that is waited for.
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("an answer");
        let text = String::from_utf8_lossy(&answer);
        text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    fn open(&self, token: &Secret) -> Channels {
        well(self.place.open(token))
    }
}

fn post(path: &str, lines: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}\r\n{body}")
}

fn upgrade(lines: &str) -> String {
    format!(
        "GET {PATH} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: {PROTOCOL}\r\n{lines}\r\n"
    )
}

#[test]
fn each_way_to_speak_for_somebody_else_is_refused_and_the_right_one_is_taken() {
    let service = service();
    let Service { place, ada, eve, expired, .. } = &service;
    let own = |token: &Secret| place.account::<serde_json::Value>(&Request::Profile, Some(token));
    let bearer = |token: &Secret| format!("Authorization: Bearer {}\r\n", token.expose());
    let good = format!("{}Content-Length: 2\r\n", bearer(ada));
    let profile = "/v1/account/profile";
    // What is wrong, the request with it, the status it has, and the same request as it should be.
    let right = post(profile, &good, "{}");
    let rows: Vec<(&str, String, u16, String)> = vec![
        ("no token", post(profile, "Content-Length: 2\r\n", "{}"), 401, right.clone()),
        ("an expired token", right.replace(ada.expose(), expired.access.expose()), 401, right.clone()),
        ("a token of nobody", right.replace(ada.expose(), &"0".repeat(64)), 401, right.clone()),
        ("a token for something else", right.replace(ada.expose(), expired.refresh.expose()), 401, right.clone()),
        ("channels without a token", upgrade(""), 401, upgrade(&bearer(ada))),
        ("channels with an expired one", upgrade(&bearer(&expired.access)), 401, upgrade(&bearer(ada))),
        (
            "channels from another site",
            upgrade(&format!("{}Origin: https://evil.example\r\n", bearer(ada))),
            403,
            upgrade(&format!("{}Origin: https://localhost\r\n", bearer(ada))),
        ),
        (
            "a request from another site",
            post(profile, &format!("{good}Origin: https://evil.example\r\n"), "{}"),
            403,
            post(profile, &format!("{good}Origin: https://localhost\r\n"), "{}"),
        ),
        ("a site without a name", post(profile, &format!("{good}Origin: null\r\n"), "{}"), 403, right.clone()),
        (
            "a site in the clear",
            post(profile, &format!("{good}Origin: http://localhost\r\n"), "{}"),
            403,
            right.clone(),
        ),
        ("a step up", post("/v1/x/../account/profile", &good, "{}"), 400, right.clone()),
        ("a step up that is written otherwise", post("/v1/x/%2e%2e/account/profile", &good, "{}"), 400, right.clone()),
        ("a backslash", post("/v1\\account\\profile", &good, "{}"), 400, right.clone()),
        ("a parameter of a part", post("/v1/account;x/profile", &good, "{}"), 400, right.clone()),
        (
            "length and chunks",
            post(profile, &format!("{good}Transfer-Encoding: chunked\r\n"), "2\r\n{}\r\n0\r\n\r\n"),
            400,
            right.clone(),
        ),
        ("a space before the colon", right.replace("Content-Length:", "Content-Length :"), 400, right.clone()),
        ("a length with a sign", right.replace("Length: 2", "Length: +2"), 400, right.clone()),
        ("two lengths", post(profile, &format!("{good}Content-Length: 3\r\n"), "{}"), 400, right.clone()),
    ];
    for (what, wrong, status, right) in &rows {
        assert_eq!(service.status(wrong), *status, "{what}");
        let taken = if right.starts_with("GET") { 101 } else { 200 };
        assert_eq!(service.status(right), taken, "{what}: as it should be");
    }
    // Expired, used twice, and after it was given back.
    assert_eq!(code(service.refreshed(&expired.refresh)), Code::Unauthorized, "expired");
    let login = well(Someone::new("dora").register(place)).login;
    let renewed = well(service.refreshed(&login.refresh));
    assert!(own(&renewed.access).is_ok());
    assert_eq!(code(own(&login.access)), Code::Unauthorized, "the one before");
    assert_eq!(code(service.refreshed(&login.refresh)), Code::Unauthorized, "used twice");
    assert_eq!(code(own(&renewed.access)), Code::Unauthorized, "and its whole session is over");
    let login = well(Someone::new("emil").register(place)).login;
    well(place.account::<Nothing>(&Request::Logout, Some(&login.access)));
    assert_eq!(code(own(&login.access)), Code::Unauthorized, "given back");
    assert!(own(eve).is_ok(), "others go on");
    // An older version of TLS, by its own name and by a downgrade of what is offered.
    assert!(connect(place.address, None, place.pin, &TLS12, PATIENCE).is_err());
    assert!(connect(place.address, None, place.pin, &TLS13, PATIENCE).is_ok());
}

/// What belongs to somebody is for them: with another's token it is not there.
#[test]
fn a_token_is_good_for_what_belongs_to_its_holder() {
    let service = service();
    let Service { place, ada, ben, eve, .. } = &service;
    let (mut to_ada, mut to_ben, mut to_eve) = (service.open(ada), service.open(ben), service.open(eve));
    let key = |text: &str| Key::try_from(format!("key-{text:0>8}")).expect("a key");
    let chat = |channels: &mut Channels, request| match channels.ask(&Ask::Chat(request))? {
        Reply::Chat(reply) => Ok(reply),
        other => panic!("another channel: {other:?}"),
    };
    let name = Text::cut("ours");
    let create =
        chat::Request::Create { name, topic: Default::default(), private: true, password: None, key: key("room") };
    let chat::Reply::Room(room) = well(chat(&mut to_ada, create)) else { panic!("a room") };
    let room = room.room;
    well(chat(&mut to_ada, chat::Request::Post { room, key: key("post"), text: Prose::cut("ours alone") }));
    let asks: [(&str, chat::Request); 9] = [
        ("history", chat::Request::History { room, after: None, before: None, limit: 0 }),
        ("members", chat::Request::Members { room }),
        ("post", chat::Request::Post { room, key: key("theirs"), text: Prose::cut("hello") }),
        ("edit", chat::Request::Edit { room, key: key("edit"), seq: Seq(2), text: Prose::cut("other words") }),
        ("delete", chat::Request::Delete { room, key: key("delete"), seq: Seq(2) }),
        ("topic", chat::Request::SetTopic { room, topic: Text::cut("theirs") }),
        ("slow mode", chat::Request::Slow { room, seconds: 100 }),
        ("join", chat::Request::Join { room, password: None }),
        ("typing", chat::Request::Typing { room }),
    ];
    for (what, ask) in &asks {
        assert_eq!(code(chat(&mut to_eve, ask.clone())), Code::NotFound, "{what}");
    }
    for (what, ask) in asks {
        assert!(chat(&mut to_ada, ask).is_ok(), "{what}: her own");
    }

    // A message to Ben: its upload, the message, and its place in his inbox.
    let mut client = place.connect().expect("connected");
    let (status, body) = well(client.request("POST", BLOB_PATH, Some(ada), "application/octet-stream", &[9; 500]));
    assert_eq!(status, 200);
    let stored: Stored = serde_json::from_slice(&body).expect("stored");
    let send = |key: Key| {
        let sealed = SealedKey {
            device: engine::proto::keys::PublicKey([1; 32]),
            encapsulated: Bytes::new(vec![1; 32]).expect("short"),
            ciphertext: Bytes::new(vec![2; 48]).expect("short"),
        };
        let to = engine::proto::service::names::AccountName::new("ben").expect("a name");
        MessagesRequest::Send { to, key, blob: stored.blob.clone(), sealed: List::cut(vec![sealed]) }
    };
    let ask = |channels: &mut Channels, request| channels.ask(&Ask::Messages(request));
    assert_eq!(code(ask(&mut to_eve, send(key("eve")))), Code::NotFound, "with another's upload");
    well(ask(&mut to_ada, send(key("ada"))));
    let Reply::Messages(messages::Reply::Inbox { messages, .. }) =
        well(ask(&mut to_ben, MessagesRequest::Inbox { after: Seq(0), limit: 0 }))
    else {
        panic!("an inbox")
    };
    let seq = messages[0].seq;
    let path = format!("{BLOB_PATH}/{}", &*stored.blob);
    let mut fetch = |token| well(client.request("GET", &path, token, "", &[])).0;
    assert_eq!((fetch(None), fetch(Some(eve)), fetch(Some(ben)), fetch(Some(ada))), (401, 404, 200, 200));
    for request in [MessagesRequest::Read { seq }, MessagesRequest::Delete { seq }] {
        assert_eq!(code(ask(&mut to_eve, request.clone())), Code::NotFound, "{request:?}");
        well(ask(&mut to_ben, request));
    }
}
