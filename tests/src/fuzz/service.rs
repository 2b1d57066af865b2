//! Parsers of what a service hears and what it says, and whole inputs of theirs.

use std::io::Cursor;

use engine::base::id::CallId;
use engine::base::time::now;
use engine::bus::log::{Log, PeerId};
use engine::bus::resp;
use engine::bus::url::BusUrl;
use engine::net::web::forwarded::{Forwarded, SIGNATURE};
use engine::proto::contact::{Contact, ContactLink};
use engine::proto::devices::DeviceList;
use engine::proto::envelope::{Envelope, Party};
use engine::proto::http::{LARGEST_HEAD, parse_head};
use engine::proto::http_client::parse_answer;
use engine::proto::keys::{Digest, PublicKey, Signer};
use engine::proto::quick::{Part, PartKind, Quick};
use engine::proto::service::account::{Invite, Refresh, Request, Secret};
use engine::proto::service::frame::{Ask, AskFrame, Channel, Push, Reply, Said, refusal_text};
use engine::proto::service::link::ServiceLink;
use engine::proto::service::names::{AccountName, Bytes, Key, RoomId, Seq};
use engine::proto::service::profile::Profile;
use engine::proto::service::refusal::{Code, Refusal};
use engine::proto::service::{chat, directory, messages, pals};
use engine::proto::signal::body::Body;
use engine::proto::target::Target as CallTarget;
use engine::proto::text::Prose;
use engine::proto::turn::framed;
use engine::proto::turn::uri::ServerUri;
use engine::service::between::Between;
use engine::store::blob::BlobPlace;
use engine::store::postgres::url::StoreUrl;

use crate::service::people::Someone;

/// What a client asks on channels: what is read is written and read again as the same.
pub fn asks(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(frame) = AskFrame::parse(&text) else { return };
    let id = frame.id;
    let Ok(ask) = frame.ask() else { return };
    let again = ask.to_text(id);
    let frame = AskFrame::parse(&again).expect("what we write");
    assert_eq!((frame.id, frame.ask().as_ref()), (id, Ok(&ask)), "another request is read from what was written");
}

/// What a service says on channels.
pub fn said(data: &[u8]) {
    let _ = Said::parse(&String::from_utf8_lossy(data));
}

/// Heads of requests: no path that somebody else reads otherwise.
pub fn heads(data: &[u8]) {
    if let Ok(Some((head, length))) = parse_head(data) {
        assert!(length <= data.len() && length <= LARGEST_HEAD, "a head longer than its bytes");
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~/".contains(c);
        let has_trick = ["..", "//", "/."].iter().any(|trick| head.path.contains(trick));
        assert!(head.path.starts_with('/') && head.path.chars().all(is_plain) && !has_trick, "{:?}", head.path);
    }
    if let Ok(Some((_, length))) = parse_answer(data) {
        assert!(length <= data.len(), "a head longer than its bytes");
    }
}

/// Bodies of requests, each at every path that there is.
pub fn accounts(data: &[u8]) {
    for path in ACCOUNT_PATHS {
        if let Some(Ok(request)) = Request::parse(path, data) {
            let again = Request::parse(request.path(), &request.body());
            assert!(again.is_some_and(|again| again.is_ok_and(|again| again == request)), "another request is read");
        }
    }
    let _ = (serde_json::from_slice::<Profile>(data), serde_json::from_slice::<DeviceList>(data));
}

const ACCOUNT_PATHS: [&str; 10] = [
    "/v1/account/register",
    "/v1/account/login",
    "/v1/account/refresh",
    "/v1/account/password",
    "/v1/account/recover",
    "/v1/account/devices",
    "/v1/account/profile/set",
    "/v1/account/invite",
    "/v1/account/suspend",
    "/v1/account/logout",
];

/// Addresses, links and names, as people and operators write them: those of ours are written as they are read.
pub fn links(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(link) = text.parse::<ServiceLink>() {
        assert_eq!(
            link.to_string().parse::<ServiceLink>().ok(),
            Some(link),
            "another link is read from what was written"
        );
    }
    let _ = (text.parse::<ContactLink>().is_ok(), text.parse::<Contact>().is_ok(), text.parse::<CallTarget>().is_ok());
    let _ =
        (text.parse::<ServerUri>().is_ok(), AccountName::new(&text).is_ok(), Key::try_from(text.to_string()).is_ok());
    let _ = (StoreUrl::parse(&text).is_ok(), BusUrl::parse(&text).is_ok(), BlobPlace::parse(&text).is_ok());
}

/// Signed letters between devices, and messages that were sealed.
pub fn letters(data: &[u8]) {
    let _ = Envelope::open(data).map(|verified| verified.envelope.is_for(&nobody()));
    let _ = serde_json::from_slice::<Body>(data);
    let _ = Quick::open(data, &PublicKey([3; 32])).map(|opened| opened.quick.parts.len());
    let _ = serde_json::from_slice::<messages::SealedKey>(data);
}

/// What the services tell each other by a bus, and what the bus says itself.
pub fn bus(data: &[u8]) {
    if let Ok(Some((_, length))) = resp::parse(data) {
        assert!(length <= data.len(), "a value longer than its bytes");
    }
    let (mut log, mut out, mut heard) = (Log::new(PeerId(1)), Vec::new(), Vec::new());
    // As lines, so that several messages of one sender follow each other.
    for line in data.split(|byte| *byte == b'\n') {
        log.hear(line, now(), &mut out, &mut heard);
    }
    let _ = serde_json::from_slice::<Between>(data);
    assert!(out.len() <= 2 * data.len() + 2, "one message is answered by many");
}

/// What a balancer, or what takes itself for one, says first, and the first bytes for a relay.
pub fn ahead(data: &[u8]) {
    let mut rest = Cursor::new(data);
    if Forwarded::default().read(&mut rest).is_ok() {
        assert!(rest.position() <= data.len() as u64, "more than there is");
    }
    if let Ok(Some(framed)) = framed(data) {
        assert!(framed.length <= framed.taken && framed.taken.is_multiple_of(4), "{framed:?}");
    }
}

fn nobody() -> Party {
    Party { account: PublicKey([1; 32]), device: PublicKey([2; 32]) }
}

fn name() -> AccountName {
    AccountName::new("ada").expect("a name")
}

pub fn asks_seeds() -> Vec<Vec<u8>> {
    let key = || Key::try_from("key-00000001".to_owned()).expect("a key");
    let envelope = || Bytes::new(vec![7; 60]).expect("short");
    let asks = [
        Ask::Directory(directory::Request::List { listed: true, comment: Default::default() }),
        Ask::Pals(pals::Request::Add { name: name(), note: Default::default() }),
        Ask::Pals(pals::Request::Signal {
            to: name(),
            device: Some(PublicKey([9; 32])),
            envelope: envelope(),
            call: Some(CallId([5; 16])),
        }),
        Ask::Chat(chat::Request::Post { room: RoomId(3), key: key(), text: Prose::cut("words \u{1f600}\n\"quoted\"") }),
        Ask::Chat(chat::Request::Kick { room: RoomId(3), name: name(), ban: Some(true) }),
        Ask::Messages(messages::Request::Inbox { after: Seq(4), limit: 9 }),
    ];
    asks.iter().enumerate().map(|(id, ask)| ask.to_text(id as u64).into_bytes()).collect()
}

pub fn said_seeds() -> Vec<Vec<u8>> {
    let posted = Reply::Chat(chat::Reply::Posted { room: RoomId(1), seq: Seq(2), at: Default::default() });
    let presence = pals::Push::Presence { name: name(), presence: pals::Presence::Busy, text: Default::default() };
    let refusal = Refusal::retry_after(Code::TooOften, "wait", 250);
    let texts = [posted.to_text(5), Push::Pals(presence).to_text(), refusal_text(6, Channel::Pals, &refusal)];
    texts.into_iter().map(String::into_bytes).collect()
}

pub fn heads_seeds() -> Vec<Vec<u8>> {
    let texts = [
        "GET /people/ada?x=1 HTTP/1.1\r\nHost: localhost:443\r\nAuthorization: Bearer 0123\r\nOrigin: https://localhost:443\r\n\r\n",
        "POST /v1/account/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
        "GET /v1/channels HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: visavis.1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nSec-WebSocket-Accept: abc\r\n\r\n",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}

pub fn accounts_seeds() -> Vec<Vec<u8>> {
    let someone = Someone::new("ada");
    let requests = [
        someone.registration(),
        someone.login_with(&Secret::new("password")),
        Request::Refresh(Refresh { refresh: Secret::new("token") }),
        Request::Invite(Invite { uses: 3 }),
        Request::SetProfile(Box::default()),
    ];
    requests.iter().map(Request::body).collect()
}

pub fn links_seeds() -> Vec<Vec<u8>> {
    let (host, port) = ("service.example".to_owned(), Some(8443));
    let link = ServiceLink { host, port, pin: Some(Digest([7; 32])), invite: Some(Secret::new("0123")) };
    let texts = [
        link.to_string(),
        "postgres://user:a%20b@[2001:db8::1]:5432/base?sslmode=require".to_owned(),
        "redis://:secret@127.0.0.1:6379".to_owned(),
        "s3://key:secret@127.0.0.1:9000/bucket/prefix?region=x&tls=off".to_owned(),
        "turns:[2001:db8::1]:443?transport=tcp".to_owned(),
        "visavis://192.0.2.1:2000/#key=00".to_owned(),
        "host.example:2100".to_owned(),
    ];
    texts.into_iter().map(String::into_bytes).collect()
}

pub fn letters_seeds() -> Vec<Vec<u8>> {
    let someone = Someone::new("ada");
    let parts = vec![Part { kind: PartKind::Photo, bytes: vec![3; 40] }, Part { kind: PartKind::Voice, bytes: vec![] }];
    let quick = Quick { text: Prose::cut("words"), parts, reply_to: None };
    let key = Key::try_from("key-00000001".to_owned()).expect("a key");
    let quick = quick.sign(&someone.device, &someone.devices, PublicKey([3; 32]), &key).expect("short");
    let envelope = |signer: &Signer| {
        let from = Party { account: someone.account.public(), device: someone.device.public() };
        let envelope = Envelope { call: CallId([1; 16]), from, to: nobody().account, counter: 3, body: Body::Ringing };
        envelope.seal(signer).expect("short").bytes
    };
    vec![quick, envelope(&someone.device)]
}

pub fn bus_seeds() -> Vec<Vec<u8>> {
    let frames = [
        r#"{"from":7,"type":"beat","number":3}"#,
        r#"{"from":7,"type":"tell","number":4,"body":{"type":"left","account":3}}"#,
        r#"{"from":7,"type":"again","number":1,"last":2,"of":1}"#,
        r#"{"from":7,"type":"lost","number":2}"#,
        r#"{"from":7,"type":"bye"}"#,
    ];
    let between =
        r#"{"type":"here","parts":[{"account":1,"name":"ada","devices":[],"said":["busy","x"],"seen_by":[2]}]}"#;
    let resp = "*3\r\n$7\r\nmessage\r\n$5\r\nhints\r\n$2\r\n{}\r\n+OK\r\n-ERR no\r\n:12\r\n$-1\r\n";
    [&frames.join("\n"), between, resp].map(|text| text.as_bytes().to_vec()).to_vec()
}

pub fn ahead_seeds() -> Vec<Vec<u8>> {
    let header = |family: u8, addresses: &[u8]| {
        let length = (addresses.len() as u16).to_be_bytes();
        [&SIGNATURE[..], &[0x21, family], &length, addresses, b"rest"].concat()
    };
    let v4 = [192, 0, 2, 1, 198, 51, 100, 1, 0x10, 0, 1, 0xbb];
    let v6 = [7; 36];
    vec![header(0x11, &v4), header(0x21, &v6), vec![0, 1, 0, 4, 0x21, 0x12, 0xa4, 0x42], vec![0x40, 0, 0, 3, 1, 2, 3]]
}
