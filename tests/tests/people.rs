//! Three people on a running service: found, befriended, seen, written to, and left a message.

use std::time::Duration;

use engine::base::id::CallId;
use engine::base::time::now;
use engine::proto::keys::Purpose;
use engine::proto::service::account::{Request as Account, Secret};
use engine::proto::service::frame::{Ask, Push, Reply};
use engine::proto::service::messages::{BLOB_PATH, SealedKey, SealingKey, Stored};
use engine::proto::service::names::{Bytes, Key, RoomId, Seq};
use engine::proto::service::pals::Presence;
use engine::proto::service::profile::{Field, Profile, Visibility};
use engine::proto::service::refusal::Code;
use engine::proto::service::{chat, directory, messages, pals};
use engine::proto::text::{List, Prose, Text};
use tempfile::tempdir;
use visavis_tests::service::client::{Asked, Channels, Failed, PATIENCE, Place};
use visavis_tests::service::host::Host;
use visavis_tests::service::people::Someone;

fn well<T>(asked: Asked<T>) -> T {
    asked.map_err(String::from).expect("done")
}

fn code<T: std::fmt::Debug>(asked: Asked<T>) -> Code {
    match asked {
        Err(Failed::Refused(refusal)) => refusal.code,
        other => panic!("expected a refusal: {other:?}"),
    }
}

fn key(text: &str) -> Key {
    Key::try_from(format!("key-{text:0>8}")).expect("a key")
}

fn pals(channels: &mut Channels, request: pals::Request) -> Asked<pals::Reply> {
    channels.ask(&Ask::Pals(request)).map(|reply| match reply {
        Reply::Pals(reply) => reply,
        other => panic!("another channel: {other:?}"),
    })
}

fn chat(channels: &mut Channels, request: chat::Request) -> Asked<chat::Reply> {
    channels.ask(&Ask::Chat(request)).map(|reply| match reply {
        Reply::Chat(reply) => reply,
        other => panic!("another channel: {other:?}"),
    })
}

fn befriend(one: &Someone, to_one: &mut Channels, other: &Someone, to_other: &mut Channels) {
    well(pals(to_one, pals::Request::Add { name: other.name.clone(), note: Default::default() }));
    let asked = |push: &Push| matches!(push, Push::Pals(pals::Push::Asked(asked)) if asked.person.name == one.name);
    assert!(well(to_other.push(PATIENCE, asked)).is_some(), "{} is asked", other.name);
    well(pals(to_other, pals::Request::Add { name: one.name.clone(), note: Default::default() }));
    let added = |push: &Push| matches!(push, Push::Pals(pals::Push::Added(pal)) if pal.person.name == other.name);
    assert!(well(to_one.push(PATIENCE, added)).is_some(), "{} knows", one.name);
}

fn set_presence(channels: &mut Channels, presence: Presence) {
    well(pals(channels, pals::Request::SetPresence { presence, text: Default::default() }));
}

fn presence_of<'a>(someone: &'a Someone, wanted: Presence) -> impl FnMut(&Push) -> bool + 'a {
    move |push| {
        matches!(push, Push::Pals(pals::Push::Presence { name, presence, .. })
            if *name == someone.name && *presence == wanted)
    }
}

/// The service looks at everything four times a second, whatever happens. What it answers must not wait for that: forty
/// answers one after another would take ten seconds then, and take a fraction of one.
#[test]
fn an_answer_waits_for_the_storage_and_for_nothing_else() {
    let folder = tempdir().expect("folder");
    let host = Host::start(folder.path(), "").expect("serves");
    let mut channels = well(Someone::new("ada").join(&Place::of(&host)));
    let begun = now();
    for _ in 0..40 {
        well(pals(&mut channels, pals::Request::Roster { after: None }));
    }
    let took = now() - begun;
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn people_are_found_when_they_want_to_be_and_pals_see_each_other() {
    let folder = tempdir().expect("folder");
    let host = Host::start(folder.path(), "").expect("serves");
    let place = Place::of(&host);
    let (ada, ben, eve) = (Someone::new("ada"), Someone::new("ben"), Someone::new("eve"));
    let (mut to_ada, mut to_ben, mut to_eve) = (well(ada.join(&place)), well(ben.join(&place)), well(eve.join(&place)));

    // Listed only when one asks for it, and found by a part of the name.
    let search = |channels: &mut Channels, text: &str, place: &str| {
        let request = directory::Request::Search {
            text: Text::cut(text),
            place: Text::cut(place),
            language: Default::default(),
            after: None,
            limit: 0,
        };
        match well(channels.ask(&Ask::Directory(request))) {
            Reply::Directory(directory::Reply::People { people, .. }) => people.into_vec(),
            other => panic!("no people: {other:?}"),
        }
    };
    assert!(search(&mut to_ada, "", "").is_empty());
    let list = directory::Request::List { listed: true, comment: Text::cut("speaks of bridges") };
    well(to_ben.ask(&Ask::Directory(list)));
    assert_eq!(search(&mut to_ada, "BRIDGES", "").len(), 1);
    assert_eq!(search(&mut to_ada, "be", "").first().map(|found| found.person.key), Some(ben.account.public()));
    assert!(search(&mut to_ada, "tunnels", "").is_empty());

    // A pal is one who wants to be.
    befriend(&ada, &mut to_ada, &ben, &mut to_ben);
    let begun = now();
    set_presence(&mut to_ben, Presence::Online);
    assert!(well(to_ada.push(PATIENCE, presence_of(&ben, Presence::Online))).is_some());
    let seen_after = now() - begun;
    assert!(seen_after < Duration::from_secs(1), "{seen_after:?}");
    set_presence(&mut to_ada, Presence::Busy);
    assert!(well(to_ben.push(PATIENCE, presence_of(&ada, Presence::Busy))).is_some());

    // Envelopes go to pals, and to nobody else.
    let envelope = Bytes::new(b"signed by somebody".to_vec()).expect("short");
    let signal = |to: &Someone| pals::Request::Signal {
        to: to.name.clone(),
        device: None,
        envelope: envelope.clone(),
        call: Some(CallId([9; 16])),
    };
    let pals::Reply::Sent { devices } = well(pals(&mut to_ada, signal(&ben))) else { panic!("sent") };
    assert_eq!(devices, 1);
    let is_signal = |push: &Push| matches!(push, Push::Pals(pals::Push::Signal { .. }));
    let Some(Push::Pals(pals::Push::Signal { from, device, envelope: got })) = well(to_ben.push(PATIENCE, is_signal))
    else {
        panic!("no envelope");
    };
    assert_eq!((from.key, device, &got), (ada.account.public(), ada.device.public(), &envelope));
    assert_eq!(code(pals(&mut to_eve, signal(&ben))), Code::NotFound);

    // Whoever appears offline is not seen and not rung.
    well(pals(&mut to_ben, pals::Request::Hide { name: ada.name.clone(), hidden: true }));
    assert!(well(to_ada.push(PATIENCE, presence_of(&ben, Presence::Offline))).is_some());
    let pals::Reply::Sent { devices } = well(pals(&mut to_ada, signal(&ben))) else { panic!("sent") };
    assert_eq!(devices, 0);
    assert!(well(to_ben.push(PATIENCE, |push| matches!(push, Push::Pals(pals::Push::Missed(_))))).is_some());
    well(pals(&mut to_ben, pals::Request::Hide { name: ada.name.clone(), hidden: false }));
    assert!(well(to_ada.push(PATIENCE, presence_of(&ben, Presence::Online))).is_some());

    // Gone is seen too; and a block is silent.
    drop(to_ben);
    assert!(well(to_ada.push(PATIENCE, presence_of(&ben, Presence::Offline))).is_some());
    well(pals(&mut to_ada, pals::Request::Block { name: eve.name.clone(), blocked: true }));
    let add = pals::Request::Add { name: ada.name.clone(), note: Default::default() };
    assert_eq!(well(pals(&mut to_eve, add)), pals::Reply::Done, "as if she had been asked");
    let pals::Reply::Roster { asked, pals, .. } = well(pals(&mut to_ada, pals::Request::Roster { after: None })) else {
        panic!("a roster");
    };
    assert!(asked.is_empty());
    assert_eq!(pals.first().map(|pal| (pal.person.name.clone(), pal.presence)), Some((ben.name, Presence::Offline)));
}

#[test]
fn whoever_appears_offline_answers_like_one_who_is_not_there() {
    let folder = tempdir().expect("folder");
    let host = Host::start(folder.path(), "").expect("serves");
    let place = Place::of(&host);
    let (ada, ben, mia) = (Someone::new("ada"), Someone::new("ben"), Someone::new("mia"));
    let (mut to_ada, mut to_ben, mut to_mia) = (well(ada.join(&place)), well(ben.join(&place)), well(mia.join(&place)));
    befriend(&ada, &mut to_ada, &ben, &mut to_ben);
    befriend(&ada, &mut to_ada, &mia, &mut to_mia);
    // Ben is there and hides from Ada; Mia is not there.
    well(pals(&mut to_ben, pals::Request::Hide { name: ada.name.clone(), hidden: true }));
    set_presence(&mut to_ben, Presence::Online);
    drop(to_mia);
    // All that a pal can ask about somebody, as it comes back, with the names and keys taken out.
    let probe = |to_ada: &mut Channels, of: &Someone| -> Vec<String> {
        let name = || of.name.clone();
        let envelope = Bytes::new(vec![1; 40]).expect("short");
        let asks = [
            Ask::Pals(pals::Request::Signal { to: name(), device: None, envelope: envelope.clone(), call: None }),
            Ask::Pals(pals::Request::Signal { to: name(), device: Some(of.device.public()), envelope, call: None }),
            Ask::Messages(messages::Request::Keys { name: name() }),
            Ask::Pals(pals::Request::Add { name: name(), note: Default::default() }),
        ];
        let mut answers: Vec<String> = asks.iter().map(|ask| format!("{:?}", to_ada.ask(ask))).collect();
        let pals::Reply::Roster { pals, .. } = well(pals(to_ada, pals::Request::Roster { after: None })) else {
            panic!("a roster");
        };
        answers.extend(pals.iter().filter(|pal| pal.person.name == of.name).map(|pal| format!("{pal:?}")));
        let strip = |text: String| {
            let text = text.replace(&*of.name, "-").replace(&of.name.to_uppercase(), "-");
            let text = text.replace(&of.account.public().to_string(), "-");
            text.replace(&of.device.public().to_string(), "-").replace(&of.devices.signature.to_string(), "-")
        };
        answers.into_iter().map(strip).collect()
    };
    let absent = probe(&mut to_ada, &mia);
    assert_eq!(probe(&mut to_ada, &ben), absent);
    let pushed = to_ada.push(Duration::from_millis(300), presence_of(&ben, Presence::Online));
    assert!(well(pushed).is_none(), "nothing was pushed either");
    // The same probes tell them apart as soon as he does not hide: they are able to.
    well(pals(&mut to_ben, pals::Request::Hide { name: ada.name.clone(), hidden: false }));
    assert!(well(to_ada.push(PATIENCE, presence_of(&ben, Presence::Online))).is_some());
    assert_ne!(probe(&mut to_ada, &ben), absent);
}

#[test]
fn what_is_said_in_a_room_has_one_order_and_is_said_once() {
    let folder = tempdir().expect("folder");
    let host = Host::start(folder.path(), "").expect("serves");
    let place = Place::of(&host);
    let (ada, ben, eve) = (Someone::new("ada"), Someone::new("ben"), Someone::new("eve"));
    let (mut to_ada, mut to_ben, mut to_eve) = (well(ada.join(&place)), well(ben.join(&place)), well(eve.join(&place)));
    for channels in [&mut to_ada, &mut to_ben, &mut to_eve] {
        well(chat(channels, chat::Request::Rooms));
    }
    let create = |private, password: Option<&str>, name: &str| chat::Request::Create {
        name: Text::cut(name),
        topic: Default::default(),
        private,
        password: password.map(Secret::new),
        key: key(name),
    };
    let room_of = |reply: chat::Reply| match reply {
        chat::Reply::Room(room) => room.room,
        other => panic!("no room: {other:?}"),
    };
    let room = room_of(well(chat(&mut to_ada, create(false, None, "bridges"))));
    assert_eq!(room_of(well(chat(&mut to_ada, create(false, None, "bridges")))), room, "the same key, the same room");
    let post =
        |room, n: u32, text: &str| chat::Request::Post { room, key: key(&n.to_string()), text: Prose::cut(text) };
    assert_eq!(code(chat(&mut to_ben, post(room, 1, "hello"))), Code::NotFound, "one joins first");
    well(chat(&mut to_ben, chat::Request::Join { room, password: None }));
    let posted = |reply: chat::Reply| match reply {
        chat::Reply::Posted { seq, .. } => seq,
        other => panic!("not posted: {other:?}"),
    };
    let first = posted(well(chat(&mut to_ben, post(room, 1, "hello @ada\nand @eve"))));
    assert_eq!(posted(well(chat(&mut to_ben, post(room, 1, "hello again")))), first, "the same key, said once");
    let is_text = |push: &Push| matches!(push, Push::Chat(chat::Push::Entry { entry, .. }) if matches!(entry.what, chat::What::Text { .. }));
    let Some(Push::Chat(chat::Push::Entry { entry, .. })) = well(to_ada.push(PATIENCE, is_text)) else {
        panic!("nothing is heard");
    };
    let chat::What::Text { text, mentions, .. } = &entry.what else { panic!("text") };
    assert_eq!((&**text, entry.by.name.clone(), entry.seq), ("hello @ada\nand @eve", ben.name.clone(), first));
    assert_eq!(&mentions[..], std::slice::from_ref(&ada.name), "eve does not belong to the room");

    // Edits and deletions are entries too; others' words are not one's own.
    let edit = |seq| chat::Request::Edit { room, key: key("edit"), seq, text: Prose::cut("hello all") };
    assert_eq!(code(chat(&mut to_ada, edit(first))), Code::Forbidden);
    well(chat(&mut to_ben, edit(first)));
    let typing = well(chat(&mut to_ben, chat::Request::Typing { room }));
    assert_eq!(typing, chat::Reply::Done);
    assert!(well(to_ada.push(PATIENCE, |push| matches!(push, Push::Chat(chat::Push::Typing { .. })))).is_some());
    let second = posted(well(chat(&mut to_ada, post(room, 2, "and a secret"))));
    well(chat(&mut to_ada, chat::Request::Delete { room, key: key("delete"), seq: second }));
    let history = |channels: &mut Channels, after: u64| {
        let request = chat::Request::History { room, after: Some(Seq(after)), before: None, limit: 0 };
        match well(chat(channels, request)) {
            chat::Reply::History { entries, more, .. } => (entries.into_vec(), more),
            other => panic!("no history: {other:?}"),
        }
    };
    let (entries, more) = history(&mut to_ada, 0);
    assert!(!more);
    let numbers: Vec<u64> = entries.iter().map(|entry| entry.seq.0).collect();
    assert_eq!(numbers, (1..=entries.len() as u64).collect::<Vec<_>>(), "one order without gaps");
    let text_of = |seq: Seq| entries.iter().find(|entry| entry.seq == seq).map(|entry| entry.what.clone());
    assert!(matches!(text_of(first), Some(chat::What::Text { text, edited: true, .. }) if &*text == "hello all"));
    assert!(matches!(text_of(second), Some(chat::What::Text { text, deleted: true, .. }) if text.is_empty()));
    assert_eq!(history(&mut to_ben, 0).0, entries, "the same for all");

    // A private chat takes its password or an invitation; others find nothing.
    let private = room_of(well(chat(&mut to_ada, create(true, Some("open sesame"), "private"))));
    let join = |password: Option<&str>| chat::Request::Join { room: private, password: password.map(Secret::new) };
    assert_eq!(code(chat(&mut to_ben, join(None))), Code::NotFound);
    assert_eq!(code(chat(&mut to_ben, join(Some("open says me")))), Code::WrongPassword);
    well(chat(&mut to_ben, join(Some("open sesame"))));
    well(chat(&mut to_ada, chat::Request::Invite { room: private, name: eve.name.clone() }));
    assert!(well(to_eve.push(PATIENCE, |push| matches!(push, Push::Chat(chat::Push::Invited { .. })))).is_some());
    well(chat(&mut to_eve, join(None)));
    assert_eq!(code(chat(&mut to_eve, chat::Request::Join { room: RoomId(999), password: None })), Code::NotFound);

    // The host puts somebody out for good.
    let kick = |name| chat::Request::Kick { room: private, name, ban: Some(true) };
    assert_eq!(code(chat(&mut to_ben, kick(eve.name.clone()))), Code::Forbidden);
    well(chat(&mut to_ada, kick(eve.name.clone())));
    assert!(well(to_eve.push(PATIENCE, |push| matches!(push, Push::Chat(chat::Push::Out { .. })))).is_some());
    assert_eq!(code(chat(&mut to_eve, join(Some("open sesame")))), Code::Forbidden);
}

#[test]
fn a_message_waits_for_somebody_who_is_not_there_and_is_not_read_by_the_service() {
    let folder = tempdir().expect("folder");
    let host = Host::start(folder.path(), "").expect("serves");
    let place = Place::of(&host);
    let (ada, ben) = (Someone::new("ada"), Someone::new("ben"));
    let registered = well(ada.register(&place));
    let access = &registered.login.access;
    let (mut to_ada, mut to_ben) = (well(place.open(access)), well(ben.join(&place)));
    befriend(&ada, &mut to_ada, &ben, &mut to_ben);
    let messages = |channels: &mut Channels, request: messages::Request| {
        channels.ask(&Ask::Messages(request)).map(|reply| match reply {
            Reply::Messages(reply) => reply,
            other => panic!("another channel: {other:?}"),
        })
    };
    // Ben's device says what to seal to; a key that somebody else signed is not taken.
    let public = Bytes::new(vec![5; 32]).expect("32 bytes");
    let publish = |signer: &Someone| {
        let signature = signer.device.sign(Purpose::Sealing, &public);
        let key = SealingKey { device: ben.device.public(), public: public.clone(), signature };
        messages::Request::PublishKey { key }
    };
    assert_eq!(code(messages(&mut to_ben, publish(&ada))), Code::Forbidden);
    well(messages(&mut to_ben, publish(&ben)));
    drop(to_ben);
    let Reply::Messages(messages::Reply::Keys { devices, keys }) =
        well(to_ada.ask(&Ask::Messages(messages::Request::Keys { name: ben.name.clone() })))
    else {
        panic!("keys");
    };
    assert!(devices.verify(&ben.device.public()).is_ok() && keys.len() == 1);

    let sealed_bytes: Vec<u8> = (0..300_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let (status, body) =
        well(well_connect(&place).request("POST", BLOB_PATH, Some(access), "application/octet-stream", &sealed_bytes));
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    let stored: Stored = serde_json::from_slice(&body).expect("stored");
    let sealed = SealedKey {
        device: ben.device.public(),
        encapsulated: Bytes::new(vec![1; 32]).expect("32 bytes"),
        ciphertext: Bytes::new(vec![2; 48]).expect("48 bytes"),
    };
    let send = || messages::Request::Send {
        to: ben.name.clone(),
        key: key("message"),
        blob: stored.blob.clone(),
        sealed: List::cut(vec![sealed.clone()]),
    };
    let sent = well(messages(&mut to_ada, send()));
    assert_eq!(well(messages(&mut to_ada, send())), sent, "the same key, sent once");

    let login = well(ben.log_in(&place));
    let mut to_ben = well(place.open(&login.access));
    let inbox = |channels: &mut Channels| match well(messages(
        channels,
        messages::Request::Inbox { after: Seq(0), limit: 0 },
    )) {
        messages::Reply::Inbox { messages, .. } => messages.into_vec(),
        other => panic!("an inbox: {other:?}"),
    };
    let waiting = inbox(&mut to_ben);
    assert_eq!(waiting.len(), 1);
    let message = &waiting[0];
    assert_eq!(
        (message.from.key, message.size as usize, message.read),
        (ada.account.public(), sealed_bytes.len(), false)
    );
    assert_eq!(&message.sealed[..], std::slice::from_ref(&sealed));
    let path = format!("{BLOB_PATH}/{}", &*message.blob);
    let fetch = |token| well(well_connect(&place).request("GET", &path, token, "", &[]));
    assert_eq!(fetch(Some(&login.access)), (200, sealed_bytes));
    assert_eq!(fetch(None).0, 401);
    let eve = well(Someone::new("eve").register(&place));
    assert_eq!(fetch(Some(&eve.login.access)).0, 404, "neither hers nor for her");
    well(messages(&mut to_ben, messages::Request::Read { seq: message.seq }));
    assert!(inbox(&mut to_ben)[0].read);
    well(messages(&mut to_ben, messages::Request::Delete { seq: message.seq }));
    assert!(inbox(&mut to_ben).is_empty());
    assert_eq!(fetch(Some(&login.access)).0, 404, "it is gone");
    assert_eq!(well(messages(&mut to_ada, send())), sent, "still the same key");
    assert!(inbox(&mut to_ben).is_empty(), "and not delivered again");
}

fn well_connect(place: &Place) -> visavis_tests::service::client::Client {
    place.connect().expect("connected")
}

#[test]
fn a_profile_page_shows_each_field_to_those_it_is_for() {
    let folder = tempdir().expect("folder");
    let host = Host::start(folder.path(), "").expect("serves");
    let place = Place::of(&host);
    let (ada, ben, eve) = (Someone::new("ada"), Someone::new("ben"), Someone::new("eve"));
    let (at_ada, at_ben, at_eve) = (well(ada.register(&place)), well(ben.register(&place)), well(eve.register(&place)));
    let (mut to_ada, mut to_ben) = (well(place.open(&at_ada.login.access)), well(place.open(&at_ben.login.access)));
    befriend(&ada, &mut to_ada, &ben, &mut to_ben);
    let mut profile = Profile { display: Text::cut("Ada <L>"), ..Profile::default() };
    profile.location = Field { value: Text::cut("Trieste"), seen: Visibility::All };
    profile.about = Field { value: Prose::cut("For pals."), seen: Visibility::Pals };
    profile.languages = Field { value: List::cut(vec![Text::cut("tlh")]), seen: Visibility::Nobody };
    profile.photo.seen = Visibility::Pals;
    let set = Account::SetProfile(Box::new(profile));
    let _: Profile = well(place.account(&set, Some(&at_ada.login.access)));
    // A one-pixel PNG, which is kept as a JPEG.
    let png =
        data_of("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==");
    let token = Some(&at_ada.login.access);
    let (status, body) = well(well_connect(&place).request("POST", "/v1/account/photo", token, "image/png", &png));
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    let with_photo: Profile = serde_json::from_slice(&body).expect("a profile");
    let photo = format!("/photos/{}", &*with_photo.photo.value);
    let get = |path: &str, token: Option<&Secret>| well(well_connect(&place).request("GET", path, token, "", &[]));
    let page = |token: Option<&Secret>| {
        let (status, body) = get("/people/ada", token);
        assert_eq!(status, 200);
        let text = String::from_utf8(body).expect("text");
        ["Ada &lt;L&gt;", "Trieste", "For pals.", "tlh", "/photos/"].map(|part| text.contains(part))
    };
    assert_eq!(page(None), [true, true, false, false, false]);
    assert_eq!(page(Some(&at_eve.login.access)), [true, true, false, false, false]);
    assert_eq!(page(Some(&at_ben.login.access)), [true, true, true, false, true]);
    assert_eq!(page(token), [true, true, true, true, true]);
    assert_eq!(get(&photo, None).0, 404);
    let (status, jpeg) = get(&photo, Some(&at_ben.login.access));
    assert_eq!((status, &jpeg[..2]), (200, &[0xff, 0xd8][..]));
    assert_eq!(get("/people/nobody", None).0, 404);
    assert_eq!(get("/", None).0, 200);
}

fn data_of(base64: &str) -> Vec<u8> {
    Bytes::<4096>::try_from(base64.to_owned()).expect("base64").into_vec()
}
