//! Who is asked about, and who asks.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use engine::proto::keys::{Digest, Purpose};
use engine::proto::service::account::Secret;
use engine::proto::service::directory::Request as DirectoryRequest;
use engine::proto::service::frame::Ask;
use engine::proto::service::messages::{BlobId, Request as MessagesRequest, SealingKey};
use engine::proto::service::names::{Bytes, Key, Millis, RoomId};
use engine::proto::service::pals::{Presence, Request as PalsRequest};
use engine::proto::service::{chat, profile};
use engine::proto::text::{Prose, Text};
use engine::store::op::Op;
use engine::store::op::accounts::Op as AccountOp;
use engine::store::op::chat::Op as ChatOp;
use engine::store::op::directory::Op as DirectoryOp;
use engine::store::op::messages::Op as MessagesOp;
use engine::store::op::pals::Op as PalsOp;

use crate::Outcome;
use crate::service::client::{Channels, Client, Place};
use crate::service::host::Host;
use crate::service::people::Someone;
use crate::service::seed::{Seeding, by, pair};

/// Who is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Is there, and appears offline to everybody.
    FromAll,
    /// Is there and online, and appears offline to each of those who ask.
    FromOne,
    /// Is not there.
    Absent,
}

pub const TARGETS: [Target; 3] = [Target::FromAll, Target::FromOne, Target::Absent];

/// Three people who are alike in all but whether they are there, and those who ask about them.
pub struct Town {
    pub(super) targets: [Someone; 3],
    pub(super) probers: Vec<Prober>,
    pub(super) turn: usize,
    pub(super) browser: Client,
    hidden: [Watcher; 2],
    _host: Host,
}

/// A pal of all three.
pub(super) struct Prober {
    pub channels: Channels,
    pub access: Secret,
    pub blob: BlobId,
    /// One with each of the three.
    pub rooms: [RoomId; 3],
}

impl Town {
    /// With the service's data in `data`, and so many people who ask.
    ///
    /// # Errors
    /// The service does not start.
    pub fn new(data: &Path, probers: usize) -> Outcome<Self> {
        let targets = ["hidall", "hidone", "absent"].map(Someone::new);
        let names: Vec<String> = (0..probers).map(|n| format!("prober{n}")).collect();
        let askers: Vec<Someone> = names.iter().map(|name| Someone::new(name)).collect();
        let mut seeding = Seeding::open(data, None)?;
        let to_targets = seeding.register(&targets)?;
        let to_probers = seeding.register(&askers)?;
        seeding.run(about_targets(&targets, &to_targets)?)?;
        for (n, asker) in askers.iter().enumerate() {
            seeding.run(between(&targets, (n, asker))?)?;
        }
        drop(seeding);
        let host = Host::start(data, "")?;
        let place = Place::of(&host);
        let hidden = [
            Watcher::new(place.open(&to_targets[0])?, Presence::Offline)?,
            Watcher::new(place.open(&to_targets[1])?, Presence::Online)?,
        ];
        let open = |(n, access): (usize, Secret)| {
            let mut channels = place.open(&access)?;
            channels.ask(&Ask::Chat(chat::Request::Rooms))?;
            let rooms = std::array::from_fn(|at| room(n, at));
            Ok(Prober { channels, access, blob: blob(n), rooms })
        };
        let probers = to_probers.into_iter().enumerate().map(open).collect::<Outcome<Vec<_>>>()?;
        Ok(Self { targets, probers, turn: 0, browser: place.connect()?, hidden, _host: host })
    }

    /// Does something on the channels of one who hides.
    pub(super) fn hidden<T>(&self, who: Target, work: impl FnOnce(&mut Channels) -> Outcome<T>) -> Outcome<T> {
        let watcher = self.hidden.get(who as usize).ok_or("nobody is there")?;
        watcher.wanted.store(true, Ordering::Relaxed);
        let done = work(&mut watcher.channels.lock().unwrap_or_else(PoisonError::into_inner));
        watcher.wanted.store(false, Ordering::Relaxed);
        done
    }
}

/// What the three say of themselves, and what they are found by.
fn about_targets(targets: &[Someone], access: &[Secret]) -> Outcome<Vec<Op>> {
    let mut ops = Vec::new();
    for (n, someone) in targets.iter().enumerate() {
        let list = DirectoryRequest::List { listed: true, comment: Text::cut("is found") };
        ops.push(Op::Directory(Box::new(DirectoryOp { by: by(n), request: list })));
        let public = Bytes::new(vec![5; 32]).ok_or("32 bytes")?;
        let (device, signature) = (someone.device.public(), someone.device.sign(Purpose::Sealing, &public));
        let request = Box::new(MessagesRequest::PublishKey { key: SealingKey { device, public, signature } });
        ops.push(Op::Messages(Box::new(MessagesOp::Ask { by: by(n), device, request })));
        let about = profile::Field { value: Prose::cut("Somebody."), seen: profile::Visibility::Pals };
        let display = Text::cut(&someone.name.to_uppercase());
        let profile = Box::new(profile::Profile { display, about, ..Default::default() });
        let access = Digest::of(access[n].expose().as_bytes());
        ops.push(Op::Accounts(Box::new(AccountOp::SetProfile { access, profile, at: Millis(1) })));
    }
    Ok(ops)
}

/// The n-th of those who ask becomes a pal of all three, has a room with each, and something to send.
fn between(targets: &[Someone; 3], (n, asker): (usize, &Someone)) -> Outcome<Vec<Op>> {
    let account = targets.len() + n;
    let mut ops = Vec::new();
    for (at, target) in targets.iter().enumerate() {
        ops.extend(pair((at, target), (account, asker)));
        let key = Key::try_from(format!("room-{n:08}-{at}"))?;
        let (name, topic) = (Text::cut("two"), Default::default());
        let create = ChatOp::Create { by: by(account), name, topic, private: false, password: None, key };
        let join = ChatOp::Join { by: by(at), room: room(n, at), password: None, checked: None };
        ops.extend([create, join].map(|op| Op::Chat(Box::new(op))));
    }
    let hide = PalsRequest::Hide { name: asker.name.clone(), hidden: true };
    let hider = by(Target::FromOne as usize);
    ops.push(Op::Pals(Box::new(PalsOp::Ask { by: hider, request: Box::new(hide) })));
    let keep = MessagesOp::Keep { account: by(account).account, blob: blob(n), size: 1000, at: FAR };
    ops.push(Op::Messages(Box::new(keep)));
    Ok(ops)
}

/// Uploads that belong to no message go after a while: not these.
const FAR: Millis = Millis(4_000_000_000_000);

const fn room(n: usize, target: usize) -> RoomId {
    RoomId((n * TARGETS.len() + target + 1) as u64)
}

fn blob(n: usize) -> BlobId {
    Text::cut(&format!("blob-{n}"))
}

/// One who is there, and reads what comes.
struct Watcher {
    channels: Arc<Mutex<Channels>>,
    /// Somebody else wants the channels.
    wanted: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    fn new(mut channels: Channels, presence: Presence) -> Outcome<Self> {
        channels.ask(&Ask::Pals(PalsRequest::SetPresence { presence, text: Default::default() }))?;
        channels.ask(&Ask::Chat(chat::Request::Rooms))?;
        let channels = Arc::new(Mutex::new(channels));
        let [wanted, over] = std::array::from_fn(|_| Arc::new(AtomicBool::new(false)));
        let read = {
            let (channels, wanted, over) = (channels.clone(), wanted.clone(), over.clone());
            move || {
                while !over.load(Ordering::Relaxed) {
                    let read = channels.lock().unwrap_or_else(PoisonError::into_inner).read(Duration::from_millis(5));
                    if read.is_err() {
                        return;
                    }
                    while wanted.load(Ordering::Relaxed) {
                        std::thread::yield_now();
                    }
                }
            }
        };
        let thread = std::thread::Builder::new().name("one who hides".into()).spawn(read);
        Ok(Self { channels, wanted, over, thread: Some(thread.map_err(|error| error.to_string())?) })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
