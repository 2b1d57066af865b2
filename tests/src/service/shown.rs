//! People whose profiles show each field to some, and those who look: what goes over the wire to whom.

use std::path::Path;

use engine::proto::service::account::{Export, Request as AccountRequest, Secret};
use engine::proto::service::chat;
use engine::proto::service::directory::{Reply as DirectoryReply, Request as DirectoryRequest};
use engine::proto::service::frame::{Ask, Reply};
use engine::proto::service::messages::Request as MessagesRequest;
use engine::proto::service::names::{Bytes, Key, RoomId};
use engine::proto::service::pals::Request as PalsRequest;
use engine::proto::service::profile::{Field, Profile, Visibility};
use engine::proto::service::refusal::Code;
use engine::proto::text::{List, Prose, Text};
use engine::render::offscreen::save_png;
use engine::store::op::Op;
use engine::store::op::directory::Op as DirectoryOp;
use engine::store::op::pals::Op as PalsOp;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::Outcome;
use crate::capture::contains;
use crate::service::client::{Channels, Client, Failed, Place};
use crate::service::host::Host;
use crate::service::people::Someone;
use crate::service::seed::{Seeding, by, pair};
use crate::service::tap::Tap;

/// Who looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Viewer {
    /// Without an account.
    Nobody,
    Stranger,
    Pal,
    /// A pal once, until the other one blocked them.
    Blocked,
}

pub const VIEWERS: [Viewer; 4] = [Viewer::Nobody, Viewer::Stranger, Viewer::Pal, Viewer::Blocked];

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    pub requests: usize,
    /// Bytes that went to those who look.
    pub captured: usize,
    /// Fields that those saw whom they are for.
    pub seen: usize,
    /// The same that were not seen: the search would be blind.
    pub missed: usize,
    /// Fields that went over the wire to somebody they are not for.
    pub leaked: Vec<String>,
    /// People who were found by what they do not show.
    pub found_by: Vec<String>,
    /// Of fields that were shown to all afterwards, those that the same search finds with a stranger then.
    pub planted: usize,
}

/// Somebody who is looked at.
struct Subject {
    someone: Someone,
    access: Secret,
    seen: [Visibility; FIELDS],
    /// What stands for each field on the wire.
    marks: [Vec<u8>; FIELDS],
}

const FIELDS: usize = 4;
const NAMES: [&str; FIELDS] = ["the location", "a language", "the text", "the photo"];

/// Makes `count` people, each field of theirs shown to whom chance says, and looks at them in all ways there are.
///
/// # Errors
/// The service breaks off.
pub fn run(data: &Path, count: usize, seed: u64) -> Outcome<Shown> {
    let mut random = StdRng::seed_from_u64(seed);
    let someones: Vec<Someone> = (0..count).map(|n| Someone::new(&format!("subject{n}"))).collect();
    let viewers = ["stranger", "pal", "blocked"].map(Someone::new);
    let mut seeding = Seeding::open(data, None)?;
    let access = seeding.register(&someones)?;
    let to_viewers = seeding.register(&viewers)?;
    for (n, someone) in someones.iter().enumerate() {
        seeding.run(befriend((n, someone), count, &viewers))?;
    }
    drop(seeding);
    let host = Host::start(data, "")?;
    let place = Place::of(&host);
    let mut subjects = Vec::new();
    for (n, (someone, access)) in someones.into_iter().zip(access).enumerate() {
        let seen = std::array::from_fn(|_| {
            *[Visibility::All, Visibility::Pals, Visibility::Nobody].choose(&mut random).unwrap_or(&Visibility::Nobody)
        });
        subjects.push(Subject::new(n, someone, access, seen, &place, data, &mut random)?);
    }
    let mut shown = Shown::default();
    let look = |viewer: Viewer| {
        let access = (viewer as usize).checked_sub(1).map(|at| to_viewers[at].clone());
        Looking::new(viewer, access, place)?.at(&subjects)
    };
    let looked = std::thread::scope(|scope| {
        let start =
            |viewer| std::thread::Builder::new().name(format!("{viewer:?}")).spawn_scoped(scope, move || look(viewer));
        let started = VIEWERS.map(start);
        let join = |thread: std::io::Result<std::thread::ScopedJoinHandle<'_, Outcome<Looked>>>| {
            thread.map_err(|error| error.to_string())?.join().map_err(|_| "somebody stopped looking".to_owned())?
        };
        started.into_iter().map(join).collect::<Outcome<Vec<_>>>()
    })?;
    for (viewer, looked) in VIEWERS.iter().zip(&looked) {
        shown.requests += looked.requests;
        shown.captured += looked.captured.len();
        shown.found_by.extend(looked.found_by.iter().map(|who| format!("{viewer:?}: {who}")));
        for subject in &subjects {
            subject.compare(*viewer, &looked.captured, &mut shown);
        }
    }
    // What was hidden is shown to all: the same search finds it now.
    for subject in subjects.iter().take(PLANTED) {
        let hidden: Vec<usize> = (0..FIELDS).filter(|field| subject.seen[*field] != Visibility::All).collect();
        subject.show([Visibility::All; FIELDS], &place)?;
        let mut looking = Looking::new(Viewer::Nobody, None, place)?;
        looking.pages(subject)?;
        let captured = looking.tap.heard();
        shown.planted += hidden.iter().filter(|field| contains(&captured, &subject.marks[**field])).count();
        shown.missed += hidden.iter().filter(|field| !contains(&captured, &subject.marks[**field])).count();
    }
    Ok(shown)
}

/// As many people show at the end what they had hidden.
const PLANTED: usize = 4;

/// The n-th of `count` is listed, has one pal, and another whom they have blocked since; all three belong to a room.
fn befriend((n, someone): (usize, &Someone), count: usize, viewers: &[Someone; 3]) -> Vec<Op> {
    let list = DirectoryRequest::List { listed: true, comment: Text::cut("is looked at") };
    let mut ops = vec![Op::Directory(Box::new(DirectoryOp { by: by(n), request: list }))];
    for viewer in [Viewer::Pal, Viewer::Blocked] {
        let at = viewer as usize - 1;
        ops.extend(pair((n, someone), (count + at, &viewers[at])));
    }
    let blocked = PalsRequest::Block { name: viewers[Viewer::Blocked as usize - 1].name.clone(), blocked: true };
    ops.push(Op::Pals(Box::new(PalsOp::Ask { by: by(n), request: Box::new(blocked) })));
    ops
}

impl Subject {
    /// Says something of themselves that is nobody else's.
    fn new(
        n: usize,
        someone: Someone,
        access: Secret,
        seen: [Visibility; FIELDS],
        place: &Place,
        folder: &Path,
        random: &mut StdRng,
    ) -> Outcome<Self> {
        let mut subject = Self { someone, access, seen, marks: Default::default() };
        let word = |what: &str| format!("{what}{:08x}", 0x9e37_79b9u32.wrapping_mul(n as u32 + 1));
        for (field, what) in ["Loc", "x-", "About"].iter().enumerate() {
            subject.marks[field] = word(what).into_bytes();
        }
        subject.show(seen, place)?;
        // Noise compresses to something that no other picture has in it.
        let rgba: Vec<u8> = (0..48 * 48 * 4).map(|_| random.random()).collect();
        let file = folder.join("face.png");
        save_png(&file, 48, 48, &rgba).map_err(|error| error.to_string())?;
        let png = std::fs::read(&file).map_err(|error| error.to_string())?;
        let mut client = place.connect()?;
        let (status, body) = client.request("POST", "/v1/account/photo", Some(&subject.access), "image/png", &png)?;
        if status != 200 {
            return Err(format!("no photo: {}", String::from_utf8_lossy(&body)));
        }
        let profile: Profile = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        subject.marks[3] = profile.photo.value.as_bytes().to_vec();
        // By its name on a page and by its bytes: the owner gets both.
        let path = subject.photo();
        let (status, jpeg) = client.request("GET", &path, Some(&subject.access), "", &[])?;
        if status != 200 || jpeg.len() < 200 {
            return Err(format!("no photo: {status}"));
        }
        Ok(subject)
    }

    /// Shows each field to those whom `seen` says.
    fn show(&self, seen: [Visibility; FIELDS], place: &Place) -> Outcome<()> {
        let text = |field: usize| String::from_utf8_lossy(&self.marks[field]).into_owned();
        let mut profile = Profile { display: Text::cut(&self.someone.name.to_uppercase()), ..Profile::default() };
        profile.location = Field { value: Text::cut(&text(0)), seen: seen[0] };
        profile.languages = Field { value: List::cut(vec![Text::cut(&text(1))]), seen: seen[1] };
        profile.about = Field { value: Prose::cut(&text(2)), seen: seen[2] };
        profile.photo.seen = seen[3];
        let _: Profile = place.account(&AccountRequest::SetProfile(Box::new(profile)), Some(&self.access))?;
        Ok(())
    }

    fn photo(&self) -> String {
        format!("/photos/{}", String::from_utf8_lossy(&self.marks[3]))
    }

    fn compare(&self, viewer: Viewer, captured: &[u8], shown: &mut Shown) {
        for (field, name) in NAMES.iter().enumerate() {
            let may = match self.seen[field] {
                Visibility::All => true,
                Visibility::Pals => viewer == Viewer::Pal,
                Visibility::Nobody => false,
            };
            match (may, contains(captured, &self.marks[field])) {
                (true, true) => shown.seen += 1,
                (true, false) => shown.missed += 1,
                (false, true) => {
                    shown.leaked.push(format!("{name} of {} to {viewer:?}", self.someone.name));
                }
                (false, false) => {}
            }
        }
    }
}

/// One who looks, with a tap on the wire.
struct Looking {
    viewer: Viewer,
    tap: Tap,
    access: Option<Secret>,
    client: Client,
    channels: Option<Channels>,
    requests: usize,
    found_by: Vec<String>,
}

struct Looked {
    captured: Vec<u8>,
    requests: usize,
    found_by: Vec<String>,
}

impl Looking {
    fn new(viewer: Viewer, access: Option<Secret>, service: Place) -> Outcome<Self> {
        let tap = Tap::start(service)?;
        let place = tap.place();
        let channels = access.as_ref().map(|access| place.open(access)).transpose()?;
        let client = place.connect()?;
        Ok(Self { viewer, tap, access, client, channels, requests: 0, found_by: Vec::new() })
    }

    fn at(mut self, subjects: &[Subject]) -> Outcome<Looked> {
        self.common()?;
        for subject in subjects {
            self.pages(subject)?;
            self.channels(subject)?;
        }
        let Self { tap, requests, found_by, .. } = self;
        Ok(Looked { captured: tap.heard(), requests, found_by })
    }

    /// What names nobody.
    fn common(&mut self) -> Outcome<()> {
        for path in ["/", "/join", "/people/", "/photos/", "/v1/account/export", "/healthz", "/metrics"] {
            self.get(path)?;
        }
        let access = self.access.clone();
        let mut ask = |request: &AccountRequest| {
            self.requests += 1;
            match self.client.account::<serde_json::Value>(request, access.as_ref()) {
                Err(Failed::Broken(text)) => Err(text),
                _ => Ok(()),
            }
        };
        ask(&AccountRequest::Export)?;
        ask(&AccountRequest::Profile)?;
        if let Some(access) = &self.access {
            let own: Export = self.tap.place().account(&AccountRequest::Export, Some(access))?;
            self.requests += usize::from(own.export.is_object());
        }
        Ok(())
    }

    /// What a browser gets, also by addresses that are written otherwise.
    fn pages(&mut self, subject: &Subject) -> Outcome<()> {
        let name = &*subject.someone.name;
        let photo = subject.photo();
        for path in [
            format!("/people/{name}"),
            format!("/people/{}", name.to_uppercase()),
            format!("/people/{name}?as=owner"),
            format!("/v1/account/profile?name={name}"),
        ] {
            self.get(&path)?;
        }
        // The address of a photo holds its mark: what comes back is looked at, where it is a picture.
        self.requests += 1;
        let (status, _) = self.client.request("GET", &photo, self.access.as_ref(), "", &[])?;
        let may = match subject.seen[3] {
            Visibility::All => true,
            Visibility::Pals => self.viewer == Viewer::Pal,
            Visibility::Nobody => false,
        };
        if status == 200 && !may {
            self.found_by.push(format!("the photo of {name}, by its address"));
        }
        Ok(())
    }

    /// What a client asks.
    fn channels(&mut self, subject: &Subject) -> Outcome<()> {
        let Some(channels) = &mut self.channels else { return Ok(()) };
        let name = || subject.someone.name.clone();
        let search = |text: &str, place: &str, language: &str| {
            let (text, place, language) = (Text::cut(text), Text::cut(place), Text::cut(language));
            Ask::Directory(DirectoryRequest::Search { text, place, language, after: None, limit: 0 })
        };
        let mark = |field: usize| String::from_utf8_lossy(&subject.marks[field]).into_owned();
        // By what they show, and by what they do not.
        for (field, ask) in [(0, search("", &mark(0), "")), (1, search("", "", &mark(1)))] {
            self.requests += 1;
            if let Reply::Directory(DirectoryReply::People { people, .. }) = channels.ask(&ask)?
                && !people.is_empty()
                && subject.seen[field] != Visibility::All
            {
                self.found_by.push(format!("{}, by {}", &*subject.someone.name, NAMES[field]));
            }
        }
        let envelope = Bytes::new(vec![1; 40]).ok_or("short")?;
        let asks = [
            search(&subject.someone.name, "", ""),
            search(&mark(2), "", ""),
            Ask::Pals(PalsRequest::Roster { after: None }),
            Ask::Pals(PalsRequest::Devices { name: name() }),
            Ask::Pals(PalsRequest::Add { name: name(), note: Default::default() }),
            Ask::Pals(PalsRequest::Signal { to: name(), device: None, envelope, call: None }),
            Ask::Messages(MessagesRequest::Keys { name: name() }),
            Ask::Chat(chat::Request::Members { room: RoomId(1) }),
            Ask::Chat(chat::Request::Create {
                name: Text::cut("two"),
                topic: Default::default(),
                private: true,
                password: None,
                key: Key::try_from(format!("room-{}", &*subject.someone.name))?,
            }),
        ];
        for ask in asks {
            self.requests += 1;
            let room = match channels.ask(&ask) {
                Err(Failed::Broken(text)) => return Err(text),
                Ok(Reply::Chat(chat::Reply::Room(room))) => room.room,
                Err(Failed::Refused(refusal)) if refusal.code == Code::Malformed => {
                    return Err(format!("{ask:?}: {}", &*refusal.text));
                }
                _ => continue,
            };
            self.requests += 2;
            for ask in [chat::Request::Invite { room, name: name() }, chat::Request::Members { room }] {
                channels.ask(&Ask::Chat(ask))?;
            }
        }
        Ok(())
    }

    fn get(&mut self, path: &str) -> Outcome<()> {
        self.requests += 1;
        let access = self.access.as_ref();
        if self.client.request("GET", path, access, "", &[]).is_err() {
            // Some are refused by closing.
            self.client = self.tap.place().connect()?;
        }
        Ok(())
    }
}
