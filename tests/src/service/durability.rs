//! A service that is killed under load: whether all that it acknowledged is there afterwards, once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use engine::base::time::now;
use engine::proto::service::account::Secret;
use engine::proto::service::chat::{Reply as ChatReply, Request, What};
use engine::proto::service::frame::{Ask, Reply};
use engine::proto::service::names::{Key, RoomId, Seq};
use engine::proto::text::{Prose, Text};
use rand::{Rng, SeedableRng};

use crate::Outcome;
use crate::ports::free_base;
use crate::service::client::{Channels, Failed, Place};
use crate::service::host::Host;
use crate::service::people::Someone;

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Durability {
    pub kills: usize,
    pub acknowledged: usize,
    /// Acknowledged, and not in the room's log under the number that was said.
    pub lost: usize,
    /// In the log more than once.
    pub doubled: usize,
    /// In the log without an acknowledgement: said, and the answer died with the service.
    pub unacknowledged: usize,
    /// From each kill to each writer's next open channels.
    pub back: Vec<Duration>,
}

/// Kills services, each with its data in one of the folders `data`, `kills` times in all while `writers` people write into
/// one room. Of several only one is away at a time, and its writers go to another.
///
/// # Errors
/// A service does not come back, or cannot be written to at all.
pub fn run(data: &[&Path], kills: usize, writers: usize, seed: u64, args: &str) -> Outcome<Durability> {
    let ports: Vec<u16> = data.iter().map(|_| free_base()).collect();
    let start = |at: usize| Host::start_on(data[at], ports[at], args);
    let mut hosts = (0..data.len()).map(|at| start(at).map(Some)).collect::<Outcome<Vec<_>>>()?;
    let places: Vec<Place> = hosts.iter().flatten().map(Place::of).collect();
    let place = *places.first().ok_or("no service")?;
    let mut people: Vec<(Secret, RoomId)> = Vec::new();
    for n in 0..writers {
        people.push(enter(&place, n, people.first().map(|(_, room)| *room))?);
    }
    let room = people.first().ok_or("nobody writes")?.1;
    let shared = Arc::new(Shared::default());
    let threads: Vec<_> = people
        .into_iter()
        .enumerate()
        .map(|(n, (access, _))| {
            let shared = shared.clone();
            let mut places = places.clone();
            places.rotate_left(n % data.len());
            let write = move || write(&places, &access, room, n, &shared);
            std::thread::Builder::new().name(format!("writer {n}")).spawn(write).map_err(|error| error.to_string())
        })
        .collect::<Outcome<_>>()?;
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let mut outcome = Ok(());
    for _ in 0..kills {
        // Long enough for writers to be back and for commits to be under way at any point.
        std::thread::sleep(Duration::from_millis(random.random_range(60..400)));
        let at = random.random_range(0..data.len());
        hosts[at].take().into_iter().for_each(Host::kill);
        *shared.killed.lock().unwrap_or_else(PoisonError::into_inner) = Some(now());
        match start(at) {
            Ok(started) => hosts[at] = Some(started),
            Err(error) => {
                outcome = Err(error);
                break;
            }
        }
    }
    if outcome.is_ok() {
        // The last one is written to as well.
        std::thread::sleep(Duration::from_millis(500));
    }
    shared.stop.store(true, Ordering::Relaxed);
    let acknowledged: Vec<BTreeMap<String, Seq>> = threads.into_iter().filter_map(|one| one.join().ok()).collect();
    outcome?;
    let reader = Someone::new("reader");
    let mut channels = reader.join(&place)?;
    channels.ask(&Ask::Chat(Request::Join { room, password: None }))?;
    let log = history(&mut channels, room)?;
    let mut seen: BTreeMap<&str, Vec<Seq>> = BTreeMap::new();
    log.iter().for_each(|(seq, text)| seen.entry(text.as_str()).or_default().push(*seq));
    let promised: BTreeMap<&str, Seq> =
        acknowledged.iter().flatten().map(|(text, seq)| (text.as_str(), *seq)).collect();
    let back = std::mem::take(&mut *shared.back.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(Durability {
        kills,
        acknowledged: promised.len(),
        lost: promised.iter().filter(|(text, seq)| !seen.get(*text).is_some_and(|found| found.contains(seq))).count(),
        doubled: seen.values().filter(|found| found.len() > 1).count(),
        unacknowledged: seen.keys().filter(|text| !promised.contains_key(*text)).count(),
        back,
    })
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    killed: Mutex<Option<Instant>>,
    back: Mutex<Vec<Duration>>,
}

fn enter(place: &Place, n: usize, room: Option<RoomId>) -> Outcome<(Secret, RoomId)> {
    let someone = Someone::new(&format!("writer{n}"));
    let access = someone.register(place)?.login.access;
    let mut channels = place.open(&access)?;
    let first = Request::Create {
        name: Text::cut("log"),
        topic: Default::default(),
        private: false,
        password: None,
        key: Key::try_from("the-room".to_owned())?,
    };
    let ask = room.map_or(first, |room| Request::Join { room, password: None });
    match channels.ask(&Ask::Chat(ask))? {
        Reply::Chat(ChatReply::Room(room)) => Ok((access, room.room)),
        other => Err(format!("no room: {other:?}")),
    }
}

/// Says one thing after another, each until it is acknowledged; what was acknowledged, with its number.
fn write(places: &[Place], access: &Secret, room: RoomId, n: usize, shared: &Shared) -> BTreeMap<String, Seq> {
    let mut acknowledged = BTreeMap::new();
    let mut channels: Option<Channels> = None;
    let mut missed = None;
    let mut count = 0;
    let mut to_try = places.iter().cycle();
    while !shared.stop.load(Ordering::Relaxed) {
        let Some(open) = &mut channels else {
            missed = missed.or(*shared.killed.lock().unwrap_or_else(PoisonError::into_inner));
            let Some(place) = to_try.next() else { break };
            match place.open(access) {
                Ok(open) => {
                    channels = Some(open);
                    if let Some(killed) = missed.take() {
                        let mut back = shared.back.lock().unwrap_or_else(PoisonError::into_inner);
                        back.push(now() - killed);
                    }
                }
                // Its port is closed for a moment.
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
            continue;
        };
        let text = format!("writer {n} says {count}");
        let key = Key::try_from(format!("{n:04}-{count:08}")).expect("a key");
        match open.ask(&Ask::Chat(Request::Post { room, key, text: Prose::cut(&text) })) {
            Ok(Reply::Chat(ChatReply::Posted { seq, .. })) => {
                acknowledged.insert(text, seq);
                count += 1;
            }
            Err(Failed::Refused(refusal)) => {
                let wait = refusal.retry_after_ms.unwrap_or(100);
                std::thread::sleep(Duration::from_millis(wait.into()));
            }
            Ok(_) | Err(Failed::Broken(_)) => channels = None,
        }
    }
    acknowledged
}

/// The texts of a room, oldest first.
fn history(channels: &mut Channels, room: RoomId) -> Outcome<Vec<(Seq, String)>> {
    let (mut log, mut after) = (Vec::new(), Seq(0));
    loop {
        let (entries, more) =
            match channels.ask(&Ask::Chat(Request::History { room, after: Some(after), before: None, limit: 0 })) {
                Ok(Reply::Chat(ChatReply::History { entries, more, .. })) => (entries, more),
                Err(Failed::Refused(refusal)) => {
                    std::thread::sleep(Duration::from_millis(refusal.retry_after_ms.unwrap_or(100).into()));
                    continue;
                }
                other => return Err(format!("no history: {other:?}")),
            };
        for entry in entries.into_vec() {
            after = entry.seq;
            if let What::Text { text, .. } = entry.what {
                log.push((entry.seq, text.to_string()));
            }
        }
        if !more {
            return Ok(log);
        }
    }
}
