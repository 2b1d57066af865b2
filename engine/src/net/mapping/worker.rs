//! The thread: takes what is asked for, asks the router when it is time, and tells what came of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::datagrams::{Keeps, Line, Said, lifetime, until};
use super::gateway::Gateway;
use super::held::{Held, Outcome};
use super::{Ask, MappingEvent, Method, Protocol, upnp};
use crate::base::pipe::{PipeReceiver, PipeSender, Wake};
use crate::base::time::{self, Duration};
use crate::proto::keys::random;
use crate::proto::mapping::epoch::Epoch;
use crate::proto::mapping::igd::Service;

pub(super) struct Worker {
    find: Find,
    asks: PipeReceiver<Ask>,
    events: PipeSender<MappingEvent>,
    wake: Wake,
    quit: Arc<AtomicBool>,
    gateway: Option<Gateway>,
    /// How the router was asked last with success.
    way: Option<Way>,
    epoch: Epoch,
    held: Vec<Held>,
}

/// How the gateway is found.
pub(super) type Find = Box<dyn Fn() -> Option<Gateway> + Send>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Way {
    Pcp,
    NatPmp,
    Upnp(Service),
}

impl Worker {
    pub fn new(
        find: Find,
        asks: PipeReceiver<Ask>,
        events: PipeSender<MappingEvent>,
        wake: Wake,
        quit: Arc<AtomicBool>,
    ) -> Self {
        let gateway = find();
        Self { find, asks, events, wake, quit, gateway, way: None, epoch: Epoch::default(), held: Vec::new() }
    }

    pub fn run(mut self) {
        // A fault in here must not leave doors open in somebody's router.
        let _ = catch_unwind(AssertUnwindSafe(|| self.keep()));
        let deadline = time::now().checked_add(GOODBYE).unwrap_or_else(time::now);
        for held in std::mem::take(&mut self.held) {
            self.let_go(&held, &until(deadline));
        }
    }

    fn keep(&mut self) {
        while !self.quit.load(Ordering::Relaxed) {
            let now = time::now();
            let due = self.held.iter().map(|held| held.next_at).min();
            let wait = due.map_or(LOOK, |due| due.saturating_duration_since(now).min(LOOK));
            if let Some(ask) = self.asks.recv_timeout(wait) {
                self.take(ask);
            }
            self.follow_gateway();
            self.ask_for_due();
        }
    }

    fn take(&mut self, ask: Ask) {
        let place = |held: &[Held], protocol: Protocol, port: u16| {
            held.iter().position(|held| (held.protocol, held.port) == (protocol, port))
        };
        match ask {
            Ask::Map(protocol, port) => {
                let is_known = place(&self.held, protocol, port).is_some();
                // Without randomness a mapping would be anybody's: none is asked for.
                if let (false, true, Ok(nonce)) = (is_known, self.held.len() < MOST_HELD, random()) {
                    self.held.push(Held::new(protocol, port, nonce, time::now()));
                }
            }
            Ask::Release(protocol, port) => {
                if let Some(at) = place(&self.held, protocol, port) {
                    let held = self.held.swap_remove(at);
                    let quit = self.quit.clone();
                    self.let_go(&held, &move || !quit.load(Ordering::Relaxed));
                }
            }
        }
    }

    fn follow_gateway(&mut self) {
        let found = (self.find)();
        if found == self.gateway {
            return;
        }
        (self.gateway, self.way, self.epoch) = (found, None, Epoch::default());
        let now = time::now();
        for at in 0..self.held.len() {
            let said = self.held.get_mut(at).and_then(|held| held.forget(now));
            self.say(at, said);
        }
    }

    fn ask_for_due(&mut self) {
        for at in 0..self.held.len() {
            let is_due = self.held.get(at).is_some_and(|held| held.next_at <= time::now());
            if !is_due || self.quit.load(Ordering::Relaxed) {
                continue;
            }
            let Some(held) = self.held.get(at).cloned() else { continue };
            let quit = self.quit.clone();
            let (outcome, count) = self.ask(&held, &move || !quit.load(Ordering::Relaxed));
            let now = time::now();
            if count.is_some_and(|count| self.epoch.is_reset(count, now)) {
                // RFC 6887 §8.5: the router has forgotten them all.
                self.held.iter_mut().filter(|other| other.external.is_some()).for_each(|other| other.next_at = now);
            }
            let by = self.way.as_ref().map(Way::method);
            let said = self.held.get_mut(at).and_then(|held| held.take(&outcome, by, now));
            self.say(at, said);
        }
    }

    /// By the way that worked last, else by all in turn.
    fn ask(&mut self, held: &Held, keeps: Keeps<'_>) -> (Outcome, Option<u32>) {
        let Some(gateway) = self.gateway else { return (Outcome::Silent, None) };
        if let Some(way) = self.way.clone() {
            let (outcome, count) = ask_by(gateway, &way, held, keeps);
            if outcome != Outcome::Silent {
                return (outcome, count);
            }
            self.way = None;
        }
        let mut refused = None;
        let mut try_way = |way: Way| {
            let (outcome, count) = ask_by(gateway, &way, held, keeps);
            match outcome {
                Outcome::Mapped { .. } => Some((way, outcome, count)),
                Outcome::Refused { .. } => {
                    refused.get_or_insert((outcome, count));
                    None
                }
                Outcome::Silent => None,
            }
        };
        let found = try_way(Way::Pcp)
            .or_else(|| try_way(Way::NatPmp))
            .or_else(|| try_way(Way::Upnp(upnp::discover(gateway, keeps)?)));
        match found {
            Some((way, outcome, count)) => {
                self.way = Some(way);
                (outcome, count)
            }
            None => refused.unwrap_or((Outcome::Silent, None)),
        }
    }

    fn let_go(&self, held: &Held, keeps: Keeps<'_>) {
        let (Some(gateway), Some(external)) = (self.gateway, held.external) else { return };
        match &self.way {
            Some(Way::Upnp(service)) => upnp::unmap(service, held.protocol, external.port(), keeps),
            Some(way) => {
                let _ = Line::open(gateway).map(|line| match way {
                    Way::Pcp => line.pcp(gateway, held, lifetime(false), keeps),
                    _ => line.natpmp(held, lifetime(false), keeps),
                });
            }
            None => {}
        }
    }

    fn say(&self, at: usize, state: Option<super::MappingState>) {
        let (Some(held), Some(state)) = (self.held.get(at), state) else { return };
        // Full: nobody looks; it is counted.
        let _ = self.events.try_send(MappingEvent { protocol: held.protocol, port: held.port, state });
        self.wake.wake();
    }
}

impl Way {
    const fn method(&self) -> Method {
        match self {
            Self::Pcp => Method::Pcp,
            Self::NatPmp => Method::NatPmp,
            Self::Upnp(_) => Method::Upnp,
        }
    }
}

fn ask_by(gateway: Gateway, way: &Way, held: &Held, keeps: Keeps<'_>) -> (Outcome, Option<u32>) {
    let said = match way {
        Way::Upnp(service) => return (upnp::map(gateway, service, held, keeps), None),
        Way::Pcp => Line::open(gateway).map(|line| line.pcp(gateway, held, lifetime(true), keeps)),
        Way::NatPmp => Line::open(gateway).map(|line| line.natpmp(held, lifetime(true), keeps)),
    };
    match said {
        Some(Said::Outcome(outcome, count)) => (outcome, count),
        Some(Said::OtherVersion) | None => (Outcome::Silent, None),
    }
}

/// Another gateway, and an end of the program, are noticed within this.
const LOOK: Duration = Duration::from_secs(1);

/// What taking all mappings away may take at the end.
const GOODBYE: Duration = Duration::from_millis(1000);

const MOST_HELD: usize = 16;
