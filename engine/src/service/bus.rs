//! Hears what the other services tell, and tells them what they have to know.

use std::collections::HashMap;

use bevy_ecs::resource::Resource;
use bevy_ecs::system::{Local, Query, Res, ResMut};
use serde_json::value::RawValue;

use crate::base::error::Result;
use crate::base::id::AccountId;
use crate::bus::log::{Heard, Log, PeerId};
use crate::bus::{Bus, Event, RELAY};
use crate::net::web::connection::Close;
use crate::proto::keys::{PublicKey, random};
use crate::service::between::{Between, Part};
use crate::service::session::{Present, Session};
use crate::service::shared::{Now, Out, Outbox};

/// This service's end of the bus, and what it has told.
#[derive(Resource, Debug)]
pub struct Peers {
    pub bus: Bus,
    pub log: Log,
    /// Leases of others and of this one, with their values.
    pub leases: Vec<(String, String)>,
    /// Of a hundred messages so many are lost: for tests of what is done about that.
    pub loss: u8,
}

impl Peers {
    /// # Errors
    /// The system gives no randomness.
    pub fn new(bus: Bus, loss: u8) -> Result<Self> {
        let me = PeerId(u64::from_be_bytes(random()?));
        Ok(Self { bus, log: Log::new(me), leases: Vec::new(), loss })
    }

    /// Where the relays that have joined are reached.
    pub fn relays(&self) -> impl Iterator<Item = String> {
        let relays = self.leases.iter().filter(|(name, _)| name.starts_with(RELAY));
        relays.filter_map(|(_, value)| {
            let value: serde_json::Value = serde_json::from_str(value).ok()?;
            Some(value["address"].as_str()?.to_owned())
        })
    }

    fn publish(&self, messages: &mut Vec<String>) {
        messages.drain(..).for_each(|message| self.bus.publish(message));
    }
}

/// Which accounts have sessions at other services.
#[derive(Resource, Debug, Default)]
pub struct Elsewhere {
    by_account: HashMap<AccountId, Vec<(PeerId, Vec<PublicKey>)>>,
}

impl Elsewhere {
    /// The devices of an account's sessions.
    pub fn devices(&self, account: AccountId) -> impl Iterator<Item = PublicKey> {
        self.by_account.get(&account).into_iter().flatten().flat_map(|(_, devices)| devices.iter().copied())
    }

    fn is_there(&self, account: AccountId) -> bool {
        self.by_account.contains_key(&account)
    }

    fn set(&mut self, at: PeerId, account: AccountId, devices: Vec<PublicKey>) {
        let places = self.by_account.entry(account).or_default();
        places.retain(|(peer, _)| *peer != at);
        places.push((at, devices));
    }

    fn remove(&mut self, at: PeerId, account: AccountId) {
        if let Some(places) = self.by_account.get_mut(&account) {
            places.retain(|(peer, _)| *peer != at);
            if places.is_empty() {
                self.by_account.remove(&account);
            }
        }
    }

    fn forget(&mut self, at: PeerId) {
        self.by_account.retain(|_, places| {
            places.retain(|(peer, _)| *peer != at);
            !places.is_empty()
        });
    }
}

/// What was heard in this tick, sorted by who takes it.
#[derive(Resource, Debug, Default)]
pub struct Overheard {
    pub pals: Vec<(PeerId, OfPals)>,
    pub chat: Vec<Between>,
    /// Another service knows nothing of this one yet.
    pub say_all: bool,
    /// A service has gone: what it did last may not have been told.
    pub has_gone: bool,
}

/// What another service tells of its accounts.
#[derive(Debug)]
pub enum OfPals {
    Here(Part),
    Left(AccountId),
    Paired {
        one: AccountId,
        other: AccountId,
        are_pals: bool,
    },
    Hidden {
        account: AccountId,
        from: AccountId,
        hidden: bool,
    },
    /// All that it has told is void.
    Void,
}

pub fn hear_bus(
    sessions: Query<&Session>,
    mut peers: ResMut<Peers>,
    mut overheard: ResMut<Overheard>,
    mut elsewhere: ResMut<Elsewhere>,
    mut outbox: ResMut<Outbox>,
    present: Res<Present>,
    now: Res<Now>,
    mut out: Local<Vec<String>>,
    mut heard: Local<Vec<Heard>>,
) {
    *overheard = Overheard::default();
    let peers = &mut *peers;
    while let Some(event) = peers.bus.poll() {
        match event {
            Event::Message(_) if peers.loss > 0 && fastrand::u8(..100) < peers.loss => {}
            Event::Message(text) => peers.log.hear(&text, now.0, &mut out, &mut heard),
            Event::Leases(leases) => peers.leases = leases,
        }
    }
    if peers.bus.health().is_some_and(|health| !health.is_connected()) {
        peers.leases.clear();
    }
    if peers.bus.is_shared() {
        peers.log.handle_timeout(now.0, &mut out, &mut heard);
    }
    peers.publish(&mut out);
    for heard in heard.drain(..) {
        match heard {
            Heard::Told(from, body) => {
                // What cannot be read is of a later version.
                let Ok(told) = serde_json::from_str(body.get()) else { continue };
                take(from, told, &sessions, &mut overheard, &mut elsewhere, &mut outbox, &present);
            }
            Heard::Anew(from) | Heard::Gone(from) => {
                tracing::info!(target: "bus", peer = from.0, peers = peers.log.peers(), "a service came or went");
                elsewhere.forget(from);
                overheard.pals.push((from, OfPals::Void));
                overheard.has_gone = true;
            }
            Heard::SayAll => overheard.say_all = true,
        }
    }
}

fn take(
    from: PeerId,
    told: Between,
    sessions: &Query<&Session>,
    overheard: &mut Overheard,
    elsewhere: &mut Elsewhere,
    outbox: &mut Outbox,
    present: &Present,
) {
    let meant = |account: AccountId, device: Option<PublicKey>| {
        let is_meant = move |session: &Session| device.is_none_or(|device| session.device == device);
        let of_account = present.of(account).iter().copied();
        of_account.filter(move |one| sessions.get(*one).is_ok_and(is_meant))
    };
    match told {
        Between::Here { parts } => {
            for part in parts {
                elsewhere.set(from, part.account, part.devices.clone());
                overheard.pals.push((from, OfPals::Here(part)));
            }
        }
        Between::Left { account } => {
            elsewhere.remove(from, account);
            overheard.pals.push((from, OfPals::Left(account)));
        }
        Between::Paired { one, other, are_pals } => {
            overheard.pals.push((from, OfPals::Paired { one, other, are_pals }));
        }
        Between::Hidden { account, from: viewer, hidden } => {
            overheard.pals.push((from, OfPals::Hidden { account, from: viewer, hidden }));
        }
        Between::Push { account, device, text } => {
            let text = tungstenite::Utf8Bytes::from(text);
            outbox.0.extend(meant(account, device).map(|one| (one, Out::Push(text.clone()))));
        }
        Between::Close { account, device } => {
            meant(account, device).for_each(|one| outbox.close(one, Close::Ended));
        }
        told @ (Between::Room { .. } | Between::Member { .. } | Between::Typing { .. } | Between::Settings { .. }) => {
            overheard.chat.push(told);
        }
        Between::Unknown => {}
    }
}

/// Tells the others what this tick has brought.
pub fn tell_bus(mut peers: ResMut<Peers>, mut outbox: ResMut<Outbox>, elsewhere: Res<Elsewhere>) {
    let is_shared = peers.bus.is_shared();
    for told in outbox.1.drain(..) {
        let is_wanted = match &told {
            Between::Push { account, .. } => elsewhere.is_there(*account),
            _ => true,
        };
        if !is_shared || !is_wanted {
            continue;
        }
        // These types have no map with keys that are not text, which is all that can fail.
        let Ok(body) = serde_json::to_string(&told).and_then(RawValue::from_string) else { continue };
        let message = peers.log.tell(body);
        peers.bus.publish(message);
    }
}
