//! Somebody who appears offline beside somebody who is not there: what anybody can ask about either, what comes back, and
//! how soon.

mod town;

use std::collections::BTreeMap;
use std::time::Duration;

use engine::base::id::CallId;
use engine::base::time::now;
use engine::proto::service::directory::Request as DirectoryRequest;
use engine::proto::service::frame::{Ask, Push, Reply};
use engine::proto::service::messages::{Reply as MessagesReply, Request as MessagesRequest, SealedKey};
use engine::proto::service::names::{Bytes, Key};
use engine::proto::service::pals::{Presence, Reply as PalsReply, Request as PalsRequest};
use engine::proto::service::refusal::Code;
use engine::proto::service::{chat, pals};
use engine::proto::text::{List, Prose, Text};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

pub use self::town::{TARGETS, Target, Town};
use crate::Outcome;
use crate::samples::Compared;
use crate::service::client::{Channels, Failed};

/// Something that can be asked about somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Door {
    /// The pal list: presence stands there.
    Roster,
    /// A call.
    Ring,
    /// An envelope to the one device that somebody has.
    RingDevice,
    Devices,
    /// Asking to be a pal.
    Add,
    /// What messages are sealed to.
    Keys,
    Message,
    /// Saying something in a room that both belong to.
    Post,
    Directory,
    Page,
}

impl Door {
    pub const ALL: [Self; 10] = [
        Self::Roster,
        Self::Ring,
        Self::RingDevice,
        Self::Devices,
        Self::Add,
        Self::Keys,
        Self::Message,
        Self::Post,
        Self::Directory,
        Self::Page,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Roster => "presence",
            Self::Ring => "ringing",
            Self::RingDevice => "an envelope to a device",
            Self::Devices => "the list of devices",
            Self::Add => "asking to be a pal",
            Self::Keys => "keys to seal to",
            Self::Message => "a Quick Message",
            Self::Post => "words in a room",
            Self::Directory => "the directory",
            Self::Page => "the profile page",
        }
    }
}

/// What a door showed.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Milliseconds to each answer, for each of [`TARGETS`].
    pub times: [Vec<f64>; 3],
    /// How often each answer came, with names and keys taken out.
    pub answers: [BTreeMap<String, usize>; 3],
}

impl Seen {
    /// Whether the answers about the one tell them from the one who is not there.
    pub fn answers_differ(&self, hidden: Target) -> bool {
        let answers = |target: Target| self.answers[target as usize].keys().collect::<Vec<_>>();
        answers(hidden) != answers(Target::Absent)
    }

    /// How long the answers took: about one who hides, and about the one who is not there.
    pub fn compare(&self, hidden: Target) -> Compared {
        Compared::new(&self.times[hidden as usize], &self.times[Target::Absent as usize])
    }
}

/// Asks `count` times at each of `doors` about each of [`TARGETS`], in an order that chance gives. `planted` is how much
/// longer each answer takes about those who hide.
///
/// # Errors
/// The service breaks off.
pub fn probe(town: &mut Town, doors: &[Door], count: usize, planted: Duration, seed: u64) -> Outcome<Vec<Seen>> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut seen = vec![Seen::default(); doors.len()];
    for _ in 0..count {
        for (door, seen) in doors.iter().zip(&mut seen) {
            let mut targets = TARGETS;
            targets.shuffle(&mut random);
            for target in targets {
                let (answer, took) = town.ask(*door, target, random.random(), planted)?;
                seen.times[target as usize].push(took);
                *seen.answers[target as usize].entry(answer).or_default() += 1;
            }
        }
    }
    Ok(seen)
}

impl Town {
    /// Asks until it is not refused for asking too often; the answer as text without names, and the milliseconds it took.
    fn ask(&mut self, door: Door, target: Target, nonce: u64, planted: Duration) -> Outcome<(String, f64)> {
        let planted = if target == Target::Absent { Duration::ZERO } else { planted };
        loop {
            self.turn = (self.turn + 1) % self.probers.len();
            let begun = now();
            let asked = match door {
                Door::Page => self.ask_page(target),
                _ => {
                    let ask = self.question(door, target, nonce);
                    self.probers[self.turn].channels.ask_once(&ask).map(|reply| self.answer(&reply, target))
                }
            };
            let answered = now();
            let took = (now() - begun).as_secs_f64() * 1e3;
            match asked {
                Ok(answer) => {
                    // A leak would make the answer come later: this is one, put there.
                    while now() - answered < planted {
                        std::hint::spin_loop();
                    }
                    let took = if planted.is_zero() { took } else { (now() - begun).as_secs_f64() * 1e3 };
                    return Ok((answer, took));
                }
                Err(Failed::Refused(refusal)) if refusal.code == Code::TooOften => {
                    let wait = u64::from(refusal.retry_after_ms.unwrap_or(10)) / self.probers.len() as u64;
                    std::thread::sleep(Duration::from_millis(wait + 1));
                }
                Err(failed) => return Err(format!("{door:?}: {}", String::from(failed))),
            }
        }
    }

    fn question(&self, door: Door, target: Target, nonce: u64) -> Ask {
        let (prober, someone) = (&self.probers[self.turn], &self.targets[target as usize]);
        let name = || someone.name.clone();
        let key = || Key::try_from(format!("probe-{nonce:020}")).expect("a key");
        let ring = |device, call| {
            let envelope = Bytes::new(vec![1; 400]).expect("short");
            PalsRequest::Signal { to: name(), device, envelope, call }
        };
        match door {
            Door::Roster | Door::Page => Ask::Pals(PalsRequest::Roster { after: None }),
            Door::Ring => {
                let (half, mut id) = (nonce.to_be_bytes(), [0; 16]);
                id[..8].copy_from_slice(&half);
                Ask::Pals(ring(None, Some(CallId(id))))
            }
            Door::RingDevice => Ask::Pals(ring(Some(someone.device.public()), None)),
            Door::Devices => Ask::Pals(PalsRequest::Devices { name: name() }),
            Door::Add => Ask::Pals(PalsRequest::Add { name: name(), note: Default::default() }),
            Door::Keys => Ask::Messages(MessagesRequest::Keys { name: name() }),
            Door::Message => {
                let device = someone.device.public();
                let bytes = |length| vec![7; length];
                let (encapsulated, ciphertext) = (Bytes::new(bytes(32)), Bytes::new(bytes(48)));
                let (encapsulated, ciphertext) = (encapsulated.expect("short"), ciphertext.expect("short"));
                let sealed = List::cut(vec![SealedKey { device, encapsulated, ciphertext }]);
                Ask::Messages(MessagesRequest::Send { to: name(), key: key(), blob: prober.blob.clone(), sealed })
            }
            Door::Post => {
                let (room, text) = (prober.rooms[target as usize], Prose::cut("words that somebody may hear"));
                Ask::Chat(chat::Request::Post { room, key: key(), text })
            }
            Door::Directory => Ask::Directory(DirectoryRequest::Search {
                text: Text::cut(&someone.name),
                place: Default::default(),
                language: Default::default(),
                after: None,
                limit: 0,
            }),
        }
    }

    /// The page of somebody, as a browser with the prober's token gets it.
    fn ask_page(&mut self, target: Target) -> Result<String, Failed> {
        let token = self.probers[self.turn].access.clone();
        let path = format!("/people/{}", &*self.targets[target as usize].name);
        let (status, body) = self.browser.request("GET", &path, Some(&token), "", &[])?;
        Ok(self.strip(&format!("{status} {}", String::from_utf8_lossy(&body)), target))
    }

    /// The answer as text, without what is anybody's own.
    fn answer(&self, reply: &Reply, target: Target) -> String {
        let someone = &self.targets[target as usize];
        let text = match reply {
            Reply::Pals(PalsReply::Roster { pals, .. }) => {
                let of = pals.iter().filter(|pal| pal.person.name == someone.name);
                format!("{:?}", of.collect::<Vec<_>>())
            }
            Reply::Messages(MessagesReply::Keys { devices, keys }) => {
                format!("{} devices, {} keys", devices.devices.len(), keys.len())
            }
            Reply::Messages(MessagesReply::Sent { .. }) => "sent".to_owned(),
            Reply::Chat(chat::Reply::Posted { .. }) => "posted".to_owned(),
            other => format!("{other:?}"),
        };
        self.strip(&text, target)
    }

    fn strip(&self, text: &str, target: Target) -> String {
        let someone = &self.targets[target as usize];
        let text = text.replace(&*someone.name, "NAME").replace(&someone.name.to_uppercase(), "NAME");
        let own = [
            someone.account.public().to_string(),
            someone.device.public().to_string(),
            someone.devices.signature.to_string(),
        ];
        own.iter().fold(text, |text, own| text.replace(own, "OWN"))
    }
}

/// Those who hide type, read in rooms and look through their inbox. How many of the probers were told anything of it by the
/// time they have an answer that was asked for afterwards; the last number is about somebody who does not hide.
///
/// # Errors
/// The service breaks off.
pub fn signs(town: &mut Town, probers: usize) -> Outcome<[usize; 2]> {
    let mut told = [0; 2];
    for target in [Target::FromAll, Target::FromOne] {
        told[0] += town.signs_of(target, probers)?;
    }
    // Whoever does not hide any more is seen to do the same: the search finds what there is.
    let shown = PalsRequest::SetPresence { presence: Presence::Online, text: Default::default() };
    town.quiet(Target::FromAll, |channels| channels.ask(&Ask::Pals(shown)).map(drop).map_err(String::from))?;
    told[1] += town.signs_of(Target::FromAll, probers)?;
    Ok(told)
}

impl Town {
    fn signs_of(&mut self, target: Target, probers: usize) -> Outcome<usize> {
        let mut told = 0;
        for n in 0..probers {
            self.drain(n)?;
            let room = self.probers[n].rooms[target as usize];
            self.quiet(target, |channels| {
                let read = chat::Request::Read { room, seq: engine::proto::service::names::Seq(1) };
                for ask in [
                    Ask::Chat(chat::Request::Typing { room }),
                    Ask::Chat(read),
                    Ask::Messages(MessagesRequest::Inbox { after: Default::default(), limit: 1 }),
                ] {
                    channels.ask(&ask).map_err(String::from)?;
                }
                Ok(())
            })?;
            told += usize::from(self.drain(n)?);
        }
        Ok(told)
    }

    /// Takes what was pushed to a prober before the answer to a question that is asked now: whether anything was about
    /// what somebody does.
    fn drain(&mut self, n: usize) -> Outcome<bool> {
        let channels = &mut self.probers[n].channels;
        channels.ask(&Ask::Pals(PalsRequest::Roster { after: None }))?;
        let mut told = false;
        let is_sign = |push: &Push| match push {
            Push::Chat(chat::Push::Typing { .. } | chat::Push::Read { .. }) => true,
            Push::Pals(pals::Push::Presence { presence, .. }) => *presence != Presence::Offline,
            Push::Messages(_) => true,
            _ => false,
        };
        for push in channels.take_pushes() {
            told |= is_sign(&push);
        }
        Ok(told)
    }

    /// Does something on the channels of one who hides.
    fn quiet<T>(&mut self, target: Target, work: impl FnOnce(&mut Channels) -> Outcome<T>) -> Outcome<T> {
        self.hidden(target, work)
    }
}
