//! Several services on one database: people at different ones see, write to and ring each other as at one.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use engine::base::time::now;
use engine::bus::LEASE;
use engine::proto::service::chat::{Push as ChatPush, Reply as ChatReply, Request as ChatRequest, What};
use engine::proto::service::frame::{Ask, Push, Reply};
use engine::proto::service::messages::{Push as MessagePush, Request as MessageRequest, SealedKey, Stored};
use engine::proto::service::names::{Bytes, Key, RoomId, Seq};
use engine::proto::service::pals::{Presence, Push as PalsPush, Reply as PalsReply, Request as PalsRequest};
use engine::proto::text::{List, Prose, Text};
use tempfile::{TempDir, tempdir};
use visavis_tests::Outcome;
use visavis_tests::party::program;
use visavis_tests::ports::free_base;
use visavis_tests::service::client::{Channels, Failed, Place};
use visavis_tests::service::cluster::{Cluster, Redis};
use visavis_tests::service::durability;
use visavis_tests::service::host::Host;
use visavis_tests::service::people::Someone;
use visavis_tests::skip::skip;

/// Two services on one database, with one bus where there is one.
struct Two {
    cluster: Cluster,
    redis: Redis,
    folders: [TempDir; 2],
    hosts: [Option<Host>; 2],
    args: String,
}

impl Two {
    /// `None` where PostgreSQL or Redis are not installed.
    fn start(name: &str, with_bus: bool, more: &str) -> Option<Self> {
        let (cluster, redis) = (Cluster::start(false, None).expect("started"), Redis::start().expect("started"));
        let (Some(cluster), Some(redis)) = (cluster, redis) else {
            skip(name, "PostgreSQL or Redis are not installed");
            return None;
        };
        let bus = if with_bus { format!("--bus {}", redis.url()) } else { String::new() };
        let args = format!("--store {} {bus} --metrics-port 0 {more}", cluster.url());
        let folders = [tempdir().expect("folder"), tempdir().expect("folder")];
        let mut two = Self { cluster, redis, folders, hosts: [None, None], args };
        two.begin(0);
        two.begin(1);
        Some(two)
    }

    fn begin(&mut self, n: usize) {
        self.hosts[n] = Some(Host::start(self.folders[n].path(), &self.args).expect("serves"));
    }

    fn host(&self, n: usize) -> &Host {
        self.hosts[n].as_ref().expect("runs")
    }

    fn place(&self, n: usize) -> Place {
        Place::of(self.host(n))
    }

    /// Waits until a figure of a service is what it is to be.
    fn wait(&self, n: usize, figure: &str, wanted: impl Fn(f64) -> bool) {
        let until = now() + Duration::from_secs(20);
        while !self.host(n).figure(figure).is_ok_and(&wanted) {
            assert!(now() < until, "{figure}: {:?}\n{}", self.host(n).figure(figure), self.host(n).log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn ask(channels: &mut Channels, ask: Ask) -> Reply {
    channels.ask(&ask).map_err(String::from).expect("answered")
}

fn key(text: &str) -> Key {
    Key::try_from(text.to_owned()).expect("a key")
}

fn befriend(one: &mut Channels, other: &mut Channels, names: [&Someone; 2]) {
    for (channels, of) in [(one, names[1]), (other, names[0])] {
        let add = PalsRequest::Add { name: of.name.clone(), note: Default::default() };
        assert!(matches!(ask(channels, Ask::Pals(add)), Reply::Pals(PalsReply::Done)));
    }
}

fn say(channels: &mut Channels, presence: Presence) {
    ask(channels, Ask::Pals(PalsRequest::SetPresence { presence, text: Default::default() }));
}

/// Waits until a pal is seen so; how long it took.
fn sees(channels: &mut Channels, of: &Someone, wanted: Presence) -> Duration {
    let begun = now();
    let seen = channels.push(
        Duration::from_secs(20),
        |push| matches!(push, Push::Pals(PalsPush::Presence { name, presence, .. }) if *name == of.name && *presence == wanted),
    );
    assert!(seen.map_err(String::from).expect("open").is_some(), "{} is not seen as {wanted:?}", &*of.name);
    now() - begun
}

fn room_of(channels: &mut Channels, request: ChatRequest) -> RoomId {
    match ask(channels, Ask::Chat(request)) {
        Reply::Chat(ChatReply::Room(room)) => room.room,
        other => panic!("no room: {other:?}"),
    }
}

fn create(private: bool) -> ChatRequest {
    ChatRequest::Create {
        name: Text::cut("hall"),
        topic: Default::default(),
        private,
        password: None,
        key: key("the-room"),
    }
}

fn post(room: RoomId, text: &str) -> Ask {
    Ask::Chat(ChatRequest::Post {
        room,
        key: key(&format!("key-of-{}", text.replace(' ', "-"))),
        text: Prose::cut(text),
    })
}

/// The entries that are pushed until `last` is among them: number and text.
fn hears(channels: &mut Channels, last: Seq) -> Vec<(Seq, String)> {
    let mut heard: Vec<(Seq, String)> = Vec::new();
    while heard.last().is_none_or(|(seq, _)| *seq < last) {
        let push = channels.push(Duration::from_secs(20), |push| matches!(push, Push::Chat(ChatPush::Entry { .. })));
        match push.map_err(String::from).expect("open") {
            Some(Push::Chat(ChatPush::Entry { entry, .. })) => {
                let text = if let What::Text { text, .. } = &entry.what { text.to_string() } else { String::new() };
                heard.push((entry.seq, text));
            }
            _ => panic!("nothing after {:?} of {last:?}", heard.last()),
        }
    }
    heard
}

/// Posts `count` texts without waiting between them; the number of the last one.
fn post_many(channels: &mut Channels, room: RoomId, who: &str, count: usize) -> Outcome<Seq> {
    let mut last = Seq(0);
    for n in 0..count {
        let Reply::Chat(ChatReply::Posted { seq, .. }) = channels.ask(&post(room, &format!("{who}-{n:06}")))? else {
            return Err("not posted".into());
        };
        last = last.max(seq);
    }
    Ok(last)
}

#[test]
fn people_at_two_services_see_write_to_and_ring_each_other() {
    let Some(two) = Two::start("people_at_two_services", true, "") else { return };
    let (ada, ben) = (Someone::new("ada"), Someone::new("ben"));
    let mut to_ada = ada.join(&two.place(0)).map_err(String::from).expect("joined");
    let registered = ben.register(&two.place(0)).map_err(String::from).expect("registered");
    // A session of one service is good at the other.
    let access = registered.login.access;
    let mut to_ben = two.place(1).open(&access).map_err(String::from).expect("opened");
    two.wait(0, "visavis_bus_peers", |peers| peers == 1.0);
    two.wait(1, "visavis_bus_peers", |peers| peers == 1.0);

    // Being asked, being accepted.
    ask(&mut to_ada, Ask::Pals(PalsRequest::Add { name: ben.name.clone(), note: Text::cut("hello") }));
    let asked = to_ben.push(Duration::from_secs(20), |push| matches!(push, Push::Pals(PalsPush::Asked(_))));
    assert!(asked.map_err(String::from).expect("open").is_some());
    ask(&mut to_ben, Ask::Pals(PalsRequest::Add { name: ada.name.clone(), note: Default::default() }));
    let added = to_ada.push(Duration::from_secs(20), |push| matches!(push, Push::Pals(PalsPush::Added(_))));
    assert!(added.map_err(String::from).expect("open").is_some());

    // Presence, in both directions, and what a roster shows.
    say(&mut to_ada, Presence::Online);
    let took = sees(&mut to_ben, &ada, Presence::Online);
    println!("presence across took {took:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    say(&mut to_ben, Presence::Busy);
    sees(&mut to_ada, &ben, Presence::Busy);
    let Reply::Pals(PalsReply::Roster { pals, .. }) = ask(&mut to_ben, Ask::Pals(PalsRequest::Roster { after: None }))
    else {
        panic!("no roster")
    };
    assert_eq!(pals.iter().map(|pal| pal.presence).collect::<Vec<_>>(), [Presence::Online]);
    // Appearing offline to one, at another service.
    let hide = |hidden| Ask::Pals(PalsRequest::Hide { name: ben.name.clone(), hidden });
    ask(&mut to_ada, hide(true));
    sees(&mut to_ben, &ada, Presence::Offline);
    let ring = |to: &Someone| {
        let envelope = Bytes::new(b"an envelope".to_vec()).expect("short");
        Ask::Pals(PalsRequest::Signal { to: to.name.clone(), device: None, envelope, call: None })
    };
    assert!(matches!(ask(&mut to_ben, ring(&ada)), Reply::Pals(PalsReply::Sent { devices: 0 })), "as if not there");
    ask(&mut to_ada, hide(false));
    sees(&mut to_ben, &ada, Presence::Online);
    // A ring.
    assert!(matches!(ask(&mut to_ben, ring(&ada)), Reply::Pals(PalsReply::Sent { devices: 1 })));
    let rung = to_ada.push(
        Duration::from_secs(20),
        |push| matches!(push, Push::Pals(PalsPush::Signal { from, .. }) if from.name == ben.name),
    );
    assert!(rung.map_err(String::from).expect("open").is_some());

    // Chat: one order for both, and as soon as it is said.
    let room = room_of(&mut to_ada, create(false));
    ask(&mut to_ben, Ask::Chat(ChatRequest::Rooms));
    room_of(&mut to_ben, ChatRequest::Join { room, password: None });
    ask(&mut to_ada, Ask::Chat(ChatRequest::Rooms));
    let begun = now();
    let Reply::Chat(ChatReply::Posted { seq, .. }) = ask(&mut to_ada, post(room, "hello")) else {
        panic!("not posted")
    };
    hears(&mut to_ben, seq);
    let took = now() - begun;
    println!("a text across took {took:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    ask(&mut to_ada, Ask::Chat(ChatRequest::Typing { room }));
    let typing = to_ben.push(Duration::from_secs(20), |push| matches!(push, Push::Chat(ChatPush::Typing { .. })));
    assert!(typing.map_err(String::from).expect("open").is_some());

    // A Quick Message.
    let body = vec![7; 1000];
    let mut http = two.place(1).connect().expect("connected");
    let (status, stored) = http
        .request("POST", "/v1/blobs", Some(&access), "application/octet-stream", &body)
        .map_err(String::from)
        .expect("sent");
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&stored));
    let stored: Stored = serde_json::from_slice(&stored).expect("stored");
    let sealed = List::cut(Vec::<SealedKey>::new());
    let send = MessageRequest::Send { to: ada.name.clone(), key: key("message-1"), blob: stored.blob, sealed };
    ask(&mut to_ben, Ask::Messages(send));
    let arrived = to_ada.push(Duration::from_secs(20), |push| matches!(push, Push::Messages(MessagePush::Arrived(_))));
    assert!(arrived.map_err(String::from).expect("open").is_some());
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled_when_one_of_two_services_is_killed() {
    let (cluster, redis) = (Cluster::start(false, None).expect("started"), Redis::start().expect("started"));
    let (Some(cluster), Some(redis)) = (cluster, redis) else {
        return skip("one_of_two_services_is_killed", "PostgreSQL or Redis are not installed");
    };
    let folders = [tempdir().expect("folder"), tempdir().expect("folder")];
    let (seed, args) = (20, format!("--store {} --bus {}", cluster.url(), redis.url()));
    let found = durability::run(&[folders[0].path(), folders[1].path()], 6, 8, seed, &args).expect("measured");
    println!(
        "seed {seed}: {} kills, {} acknowledged, {} unacknowledged, {} times back",
        found.kills,
        found.acknowledged,
        found.unacknowledged,
        found.back.len()
    );
    assert!(found.acknowledged > 50, "{} acknowledged", found.acknowledged);
    assert_eq!((found.lost, found.doubled), (0, 0));
    assert!(found.back.iter().all(|back| *back < Duration::from_secs(10)), "{:?}", found.back);
}

#[test]
fn a_bus_that_loses_messages_and_is_killed_costs_no_text_and_no_order() {
    // A tenth of what each service hears is lost, beside what the killed bus takes with it.
    let Some(mut two) = Two::start("a_bus_that_loses_messages", true, "--bus-loss 10") else { return };
    let (ada, ben) = (Someone::new("ada"), Someone::new("ben"));
    let mut to_ada = ada.join(&two.place(0)).map_err(String::from).expect("joined");
    let mut to_ben = ben.join(&two.place(1)).map_err(String::from).expect("joined");
    befriend(&mut to_ada, &mut to_ben, [&ada, &ben]);
    let room = room_of(&mut to_ada, create(false));
    room_of(&mut to_ben, ChatRequest::Join { room, password: None });
    for channels in [&mut to_ada, &mut to_ben] {
        ask(channels, Ask::Chat(ChatRequest::Rooms));
    }
    let first = post_many(&mut to_ada, room, "ada", 8).expect("posted");
    let before = hears(&mut to_ben, first);
    two.redis.end();
    two.wait(0, "visavis_bus_connected", |connected| connected == 0.0);
    two.wait(1, "visavis_bus_connected", |connected| connected == 0.0);
    // Without the bus people write on, and read what the others write.
    let last = post_many(&mut to_ben, room, "ben", 4).expect("posted");
    let second = post_many(&mut to_ada, room, "more", 4).expect("posted").max(last);
    let without = hears(&mut to_ben, second);
    two.redis.begin().expect("started");
    two.wait(0, "visavis_bus_peers", |peers| peers == 1.0);
    two.wait(1, "visavis_bus_peers", |peers| peers == 1.0);
    let third = post_many(&mut to_ada, room, "again", 4).expect("posted");
    let after = hears(&mut to_ben, third);
    let numbers: Vec<u64> = before.iter().chain(&without).chain(&after).map(|(seq, _)| seq.0).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    // And they see each other as before.
    say(&mut to_ada, Presence::Away);
    sees(&mut to_ben, &ada, Presence::Away);
}

#[test]
fn a_database_that_goes_away_is_said_and_nothing_is_acknowledged_meanwhile() {
    let Some(mut two) = Two::start("a_database_that_goes_away", false, "") else { return };
    let ada = Someone::new("ada");
    let mut to_ada = ada.join(&two.place(0)).map_err(String::from).expect("joined");
    let room = room_of(&mut to_ada, create(false));
    two.cluster.end();
    let refused = to_ada.ask_once(&post(room, "is anybody there")).map_err(Failed::refusal);
    let refusal = refused.expect_err("refused").expect("with words");
    assert!(refusal.text.contains("cannot reach its database") && refusal.retry_after_ms.is_some(), "{refusal:?}");
    two.wait(0, "visavis_database_reachable", |reachable| reachable == 0.0);
    two.cluster.begin().expect("started");
    let until = now() + Duration::from_secs(20);
    let seq = loop {
        match to_ada.ask_once(&post(room, "is anybody there")) {
            Ok(Reply::Chat(ChatReply::Posted { seq, .. })) => break seq,
            other => assert!(now() < until, "{other:?}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(seq, Seq(2), "once, after who joined");
    two.wait(0, "visavis_database_reachable", |reachable| reachable == 1.0);
}

#[test]
fn a_relay_that_joins_is_listed_until_its_lease_ends() {
    let Some(two) = Two::start("a_relay_that_joins", true, "") else { return };
    two.wait(0, "visavis_bus_connected", |connected| connected == 1.0);
    let mut relay = Command::new(program().expect("built"))
        .args(["relay", "--address", "192.0.2.7:2000", "--join", &two.redis.url()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("started");
    for n in [0, 1] {
        two.wait(n, "visavis_relays", |relays| relays == 1.0);
    }
    two.wait(0, "visavis_relay_joined{address=\"192.0.2.7:2000\"}", |joined| joined == 1.0);
    relay.kill().expect("killed");
    let killed = now();
    relay.wait().expect("ended");
    two.wait(0, "visavis_relays", |relays| relays == 0.0);
    let took = now() - killed;
    println!("the lease was gone after {took:?}");
    assert!(took < LEASE + Duration::from_secs(3), "{took:?}");
}

/// A server that speaks S3 (npm's s3rver). It looks at no signatures: theirs is a vector of AWS.
struct S3(Child);

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "s3rver is in no package of the system: npm install -g s3rver, then make proof runs this"]
fn blobs_are_kept_at_a_server_that_speaks_s3() {
    let (folder, data, port) = (tempdir().expect("folder"), tempdir().expect("folder"), free_base());
    let server = Command::new("s3rver")
        .args(["-d", &folder.path().to_string_lossy(), "-a", "127.0.0.1", "-p", &port.to_string()])
        .args(["--configure-bucket", "calls", "--silent"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _server = S3(server.expect("npm install -g s3rver"));
    let until = now() + Duration::from_secs(20);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(now() < until, "s3rver does not answer");
        std::thread::sleep(Duration::from_millis(50));
    }
    let blob = |bucket: &str| format!("--blob s3://S3RVER:S3RVER@127.0.0.1:{port}/{bucket}/blobs");
    let refused = Host::start(data.path(), &blob("nowhere")).err().expect("refused");
    assert!(refused.contains("blobs cannot be kept") && !refused.contains("S3RVER"), "{refused}");
    let host = Host::start(data.path(), &blob("calls")).expect("serves");
    let place = Place::of(&host);
    let ada = Someone::new("ada").register(&place).map_err(String::from).expect("registered").login.access;
    let body: Vec<u8> = (0..200_000u32).map(|n| n.to_le_bytes()[0]).collect();
    let mut http = place.connect().expect("connected");
    let mut ask = |method: &str, path: &str, body: &[u8]| {
        http.request(method, path, Some(&ada), "application/octet-stream", body)
            .map_err(String::from)
            .expect("answered")
    };
    for _ in 0..3 {
        let (status, stored) = ask("POST", "/v1/blobs", &body);
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&stored));
        let stored: Stored = serde_json::from_slice(&stored).expect("stored");
        let (status, back) = ask("GET", &format!("/v1/blobs/{}", &*stored.blob), b"");
        assert!(status == 200 && back == body);
    }
    assert!(!data.path().join("blobs").exists(), "nothing of it is in the service's folder");
}
