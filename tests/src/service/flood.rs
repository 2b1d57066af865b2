//! Strangers and accounts that misbehave at a service's doors, and how long everybody else waits meanwhile.

mod attackers;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::base::time::now;
use engine::proto::service::account::Secret;
use engine::proto::service::frame::Ask;
use engine::proto::service::pals::Request as PalsRequest;
use engine::proto::service::refusal::Code;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::Outcome;
use crate::process::Holdings;
use crate::service::client::{Asked, Channels, Failed, Place};
use crate::service::host::Host;
use crate::service::people::Someone;
use crate::service::seed::{self, Seeding};

/// What is done to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// Connections that say nothing, a byte now and then, or a request that never ends; closed ones are made anew.
    SlowLoris(usize),
    /// So many connections, requests or datagrams a second at each door.
    Floods(u32),
    /// Requests and messages of more than may be, a second.
    Oversized(u32),
    /// Wrong passwords of one person a second, from a few addresses, and of others.
    Passwords(u32),
}

impl Attack {
    pub const fn name(self) -> &'static str {
        match self {
            Self::SlowLoris(_) => "slow connections",
            Self::Floods(_) => "floods at each door",
            Self::Oversized(_) => "oversized frames",
            Self::Passwords(_) => "wrong passwords",
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Milliseconds to an answer on open channels, before and during it.
    pub quiet: Vec<f64>,
    pub attacked: Vec<f64>,
    /// Milliseconds in which somebody new connects and opens their channels, before and during it.
    pub opened_quiet: Vec<f64>,
    pub opened_attacked: Vec<f64>,
    /// Answers, connections and logins of people who do nothing wrong that were refused or broke.
    pub refused: Vec<String>,
    /// Logins with the right password, from an address of their own.
    pub logins: usize,
    /// MB that the service has grown by.
    pub grown: f64,
    /// What the attackers did: connections held at once for the slow ones, else things done in all.
    pub done: u64,
}

/// People who behave, and how often each asks.
const PEOPLE: usize = 12;
const EACH: Duration = Duration::from_millis(250);

/// A service, people on it, and somebody whose password is guessed.
pub struct Besieged {
    host: Host,
    place: Place,
    access: Vec<Secret>,
    victim: Someone,
    /// An account of the attackers'.
    eve: Secret,
}

impl Besieged {
    /// With its data in `data`.
    ///
    /// # Errors
    /// The service does not start.
    pub fn new(data: &Path) -> Outcome<Self> {
        // Each connection is an open file on this side too.
        let most = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).map_err(|error| error.to_string())?;
        let mut seeding = Seeding::open(data, None)?;
        let people: Vec<Someone> = (0..PEOPLE).map(|n| Someone::new(&format!("person{n}"))).collect();
        let access = seeding.register(&people)?;
        let eve = seeding.register(&[Someone::new("eve")])?.remove(0);
        let pals = (0..PEOPLE).flat_map(|n| {
            let next = (n + 1) % PEOPLE;
            seed::pair((n, &people[n]), (next, &people[next]))
        });
        seeding.run(pals.collect())?;
        drop(seeding);
        let host = Host::start(data, "--doors 0,0 --http-port 0 --turn-ports 0 --metrics-port 0")?;
        let place = Place::of(&host);
        let victim = Someone::new("victim");
        victim.register(&place)?;
        Ok(Self { host, place, access, victim, eve })
    }

    /// Measures for `lasting`, then again under an attack.
    ///
    /// # Errors
    /// The service breaks off.
    pub fn under(&self, attack: Attack, lasting: Duration) -> Outcome<Found> {
        let before = Holdings::of(self.host.pid())?;
        let mut found = Found::default();
        let quiet = self.measure(lasting)?;
        (found.quiet, found.opened_quiet) = (quiet.answers, quiet.openings);
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicU64::new(0));
        let attackers = attackers::start(self, attack, &stop, &done)?;
        let until = now() + Duration::from_secs(60);
        while !attackers::are_there(attack, done.load(Ordering::Relaxed)) && now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        let measured = self.measure(lasting);
        found.done = done.load(Ordering::Relaxed);
        found.grown = Holdings::of(self.host.pid())?.grown_mb(&before);
        stop.store(true, Ordering::Relaxed);
        for attacker in attackers {
            attacker.join().map_err(|_| "an attacker's thread died".to_owned())?;
        }
        let measured = measured?;
        (found.attacked, found.opened_attacked) = (measured.answers, measured.openings);
        (found.logins, found.refused) = (measured.logins, quiet.refused);
        found.refused.extend(measured.refused);
        Ok(found)
    }

    /// People ask, come, and log in for a while.
    fn measure(&self, lasting: Duration) -> Outcome<Measured> {
        let (measured, until) = (Mutex::new(Measured::default()), now() + lasting);
        let note = |what: &dyn Fn(&mut Measured)| what(&mut measured.lock().unwrap_or_else(PoisonError::into_inner));
        std::thread::scope(|scope| {
            for (n, access) in self.access.iter().enumerate() {
                let work = move || {
                    let place = Place { from: Some(([127, 0, 0, 10 + n as u8], 0).into()), ..self.place };
                    let mut channels = match place.open(access) {
                        Ok(channels) => channels,
                        Err(failed) => return note(&|all| all.refused.push(failed.to_string())),
                    };
                    std::thread::sleep(EACH.mul_f64(n as f64 / PEOPLE as f64));
                    while now() < until {
                        let begun = now();
                        match roster(&mut channels) {
                            Ok(()) => note(&|all| all.answers.push((now() - begun).as_secs_f64() * 1e3)),
                            Err(failed) => return note(&|all| all.refused.push(failed.to_string())),
                        }
                        std::thread::sleep(EACH.saturating_sub(now() - begun));
                    }
                };
                std::thread::Builder::new().name(format!("person {n}")).spawn_scoped(scope, work).expect("a thread");
            }
            let come = || {
                let place = Place { from: Some(([127, 0, 0, 200], 0).into()), ..self.place };
                while now() < until {
                    let begun = now();
                    match place.open(&self.access[0]) {
                        Ok(_) => note(&|all| all.openings.push((now() - begun).as_secs_f64() * 1e3)),
                        Err(failed) => note(&|all| all.refused.push(failed.to_string())),
                    }
                    std::thread::sleep(EACH / 2);
                }
            };
            std::thread::Builder::new().name("newcomers".into()).spawn_scoped(scope, come).expect("a thread");
            let log_in = || {
                let place = Place { from: Some(([127, 0, 0, 201], 0).into()), ..self.place };
                while now() < until {
                    match self.victim.log_in(&place) {
                        Ok(_) => note(&|all| all.logins += 1),
                        Err(failed) => note(&|all| all.refused.push(failed.to_string())),
                    }
                    // An address may log in once a second.
                    std::thread::sleep(Duration::from_millis(1100));
                }
            };
            std::thread::Builder::new().name("the victim".into()).spawn_scoped(scope, log_in).expect("a thread");
        });
        Ok(measured.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a wrong password of the victim's is still refused as wrong, and the right one taken from elsewhere.
    ///
    /// # Errors
    /// The service breaks off.
    pub fn is_guarded(&self) -> Outcome<bool> {
        let from = |n: u8| Place { from: Some(([127, 0, 0, n], 0).into()), ..self.place };
        let wrong: Asked<serde_json::Value> =
            from(202).account(&self.victim.login_with(&Secret::new("another wrong one")), None);
        let is_wrong = matches!(wrong, Err(Failed::Refused(refusal)) if refusal.code == Code::WrongPassword);
        Ok(is_wrong && self.victim.log_in(&from(203)).is_ok())
    }
}

#[derive(Debug, Default)]
struct Measured {
    answers: Vec<f64>,
    openings: Vec<f64>,
    logins: usize,
    refused: Vec<String>,
}

fn roster(channels: &mut Channels) -> Asked<()> {
    channels.ask_once(&Ask::Pals(PalsRequest::Roster { after: None })).map(drop)
}
