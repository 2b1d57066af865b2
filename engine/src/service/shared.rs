//! What the service's systems share.

use std::net::IpAddr;
use std::time::Instant;

use bevy_ecs::entity::Entity;
use bevy_ecs::resource::Resource;
use bevy_ecs::system::{Res, ResMut, SystemParam};
use ipnet::IpNet;
use mio::Registry;
use tungstenite::Utf8Bytes;

use crate::base::id::AccountId;
use crate::base::time::WallTime;
use crate::net::turn::Turn;
use crate::net::web::certificate::ServiceTls;
use crate::net::web::connection::{Close, Response, WebLimits, WebRequest};
use crate::net::web::doors::Doors;
use crate::proto::keys::Digest;
use crate::proto::service::frame::{Channel, Push, Reply, refusal_text};
use crate::proto::service::names::Millis;
use crate::proto::service::refusal::Refusal;
use crate::proto::service::{chat, directory, messages, pals};
use crate::proto::turn::TurnSecret;
use crate::service::between::Between;
use crate::service::session::{Present, Session};
use crate::store::blob::Blobs;
use crate::store::op::{By, Finished, Op, Ticket};
use crate::store::worker::Store;

/// The time of this tick.
#[derive(Resource, Clone, Copy, Debug)]
pub struct Now(pub Instant);

impl Now {
    /// On the wall clock.
    pub fn wall(self) -> Millis {
        Millis(WallTime::of(self.0).as_micros() / 1000)
    }
}

/// Who may register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Registration {
    #[default]
    Open,
    /// With an invitation.
    Invite,
    Closed,
}

/// What the operator decided.
#[derive(Resource, Clone, Debug)]
pub struct Rules {
    pub registration: Registration,
    /// What links name; empty: what the request named.
    pub host: String,
    /// The port that links name.
    pub port: u16,
    /// The key of the certificate that is shown at present.
    pub pin: Digest,
    /// Networks of balancers, who say for whom they connect.
    pub balancers: Vec<IpNet>,
}

impl Rules {
    /// Whether whoever connects from there has to say first for whom, and is believed.
    pub fn is_balancer(&self, address: IpAddr) -> bool {
        self.balancers.iter().any(|net| net.contains(&address))
    }
}

/// Who carries media for those who cannot reach each other.
#[derive(Resource, Debug, Default)]
pub struct Relays {
    /// Ours.
    pub turn: Option<Turn>,
    /// Where ours or others are asked, as RFC 7064 and RFC 7065 write it. `HOST` stands for the name that the client
    /// knows the service by.
    pub uris: Vec<String>,
    pub secret: Option<TurnSecret>,
}

/// Listeners, sockets and what they need.
#[derive(Resource, Debug)]
pub struct Network {
    pub doors: Doors,
    /// The doors' first token.
    pub first_door: usize,
    /// The connections' first token.
    pub first_slot: usize,
    pub tls: ServiceTls,
    pub registry: Registry,
    pub limits: WebLimits,
    /// Which connection has which token.
    pub slots: Vec<Option<Entity>>,
    pub free: Vec<usize>,
    /// Doors at which somebody waits.
    pub waiting: Vec<usize>,
    /// Doors at which nobody could be let in for want of open files: asked again at the next sweep.
    pub stalled: Vec<usize>,
    /// Connections on which something happened.
    pub ready: Vec<Entity>,
    /// More are late than were closed in this tick.
    pub has_late: bool,
}

impl Network {
    /// Notes an event of the poll.
    pub fn note(&mut self, token: usize) {
        if let Some(slot) = token.checked_sub(self.first_slot) {
            self.ready.extend(self.slots.get(slot).copied().flatten());
        } else if let Some(door) = token.checked_sub(self.first_door)
            && !self.waiting.contains(&door)
        {
            self.waiting.push(door);
        }
    }
}

/// One request of a client on a channel.
#[derive(Debug)]
pub struct Ask<T> {
    pub from: Entity,
    pub id: u64,
    pub ask: T,
}

/// What was asked in this tick, sorted by who answers it.
#[derive(Resource, Debug, Default)]
pub struct Asked {
    /// Requests of accounts, and pages.
    pub http: Vec<(Entity, Box<WebRequest>)>,
    /// Questions of the operator's programs.
    pub figures: Vec<(Entity, Box<WebRequest>)>,
    /// Uploads and downloads of sealed messages.
    pub blobs: Vec<(Entity, Box<WebRequest>)>,
    /// Requests of network tests.
    pub nettest: Vec<(Entity, Box<WebRequest>)>,
    pub directory: Vec<Ask<directory::Request>>,
    pub pals: Vec<Ask<pals::Request>>,
    pub chat: Vec<Ask<chat::Request>>,
    pub messages: Vec<Ask<messages::Request>>,
}

/// The store's end.
#[derive(Resource, Debug)]
pub struct Storage {
    pub store: Store,
    pub blobs: Blobs,
}

impl Storage {
    /// Hands `op` over for request `id` of `from`. Where it is not taken the request is refused.
    pub fn submit(&self, from: Entity, id: u64, op: Op) -> Result<(), Refusal> {
        self.store.submit(Ticket { to: from.to_bits(), id }, op)
    }

    /// Hands over an operation for whose outcome nobody waits. Where it is not taken it does not happen.
    pub fn note(&self, op: Op) {
        let _ = self.store.submit(Ticket::default(), op);
    }
}

/// Where questions of the channels go: to the store, or back with a refusal.
#[derive(SystemParam)]
pub struct Desk<'w> {
    pub storage: Res<'w, Storage>,
    pub outbox: ResMut<'w, Outbox>,
    now: Res<'w, Now>,
}

impl Desk<'_> {
    /// Whoever holds this session, now.
    pub fn by(&self, session: &Session) -> By {
        By { account: session.account, at: self.now.wall() }
    }

    /// Hands `op` over for request `id` of `from`, who is refused where it is not taken.
    pub fn submit(&mut self, from: Entity, id: u64, channel: Channel, op: Op) {
        let taken = self.storage.submit(from, id, op);
        self.refuse_unless(taken, from, id, channel);
    }

    /// Refuses request `id` of `from` unless it was taken.
    pub fn refuse_unless(&mut self, taken: Result<(), Refusal>, from: Entity, id: u64, channel: Channel) {
        if let Err(refusal) = taken {
            self.outbox.refuse(from, id, channel, &refusal);
        }
    }
}

/// The connection that a ticket names; `None` for one that nobody waits for.
pub fn asker(ticket: Ticket) -> Option<Entity> {
    if ticket.to == 0 { None } else { Entity::try_from_bits(ticket.to) }
}

/// What the store has done since the last tick.
#[derive(Resource, Debug, Default)]
pub struct Collected(pub Finished);

/// What goes out in this tick: to connections of this service, and to the other services.
#[derive(Resource, Debug, Default)]
pub struct Outbox(pub Vec<(Entity, Out)>, pub Vec<Between>);

#[derive(Debug)]
pub enum Out {
    Answer(Response),
    /// Goes on as a WebSocket with this key.
    Upgrade(String),
    Text(Utf8Bytes),
    /// The same, of what nobody waits for: written after all answers of the tick, so that no answer tells by its time
    /// whether somebody else was there to be told.
    Push(Utf8Bytes),
    Close(Close),
}

impl Outbox {
    pub fn answer(&mut self, to: Entity, response: Response) {
        self.0.push((to, Out::Answer(response)));
    }

    pub fn refuse_http(&mut self, to: Entity, refusal: &Refusal) {
        let body = serde_json::to_vec(refusal).unwrap_or_default();
        let mut response = Response::json(refusal.status(), body);
        if let Some(wait) = refusal.retry_after_ms {
            response.headers.push(format!("Retry-After: {}", wait.div_ceil(1000)));
        }
        self.answer(to, response);
    }

    pub fn reply(&mut self, to: Entity, id: u64, reply: &Reply) {
        self.0.push((to, Out::Text(reply.to_text(id).into())));
    }

    pub fn refuse(&mut self, to: Entity, id: u64, channel: Channel, refusal: &Refusal) {
        self.0.push((to, Out::Text(refusal_text(id, channel, refusal).into())));
    }

    /// The same to many: written once.
    pub fn push(&mut self, to: impl IntoIterator<Item = Entity>, push: &Push) {
        let mut text: Option<Utf8Bytes> = None;
        for to in to {
            let text = text.get_or_insert_with(|| push.to_text().into());
            self.0.push((to, Out::Push(text.clone())));
        }
    }

    /// To all sessions of an account, wherever they are, but to `except`.
    pub fn push_to(&mut self, account: AccountId, except: Option<Entity>, present: &Present, push: &Push) {
        let text = Utf8Bytes::from(push.to_text());
        let here = present.of(account).iter().filter(|one| Some(**one) != except);
        self.0.extend(here.map(|one| (*one, Out::Push(text.clone()))));
        self.1.push(Between::Push { account, device: None, text: text.to_string() });
    }

    /// For the other services.
    pub fn tell(&mut self, told: Between) {
        self.1.push(told);
    }

    pub fn close(&mut self, to: Entity, why: Close) {
        self.0.push((to, Out::Close(why)));
    }
}

/// Sessions that came and went in this tick.
#[derive(Resource, Debug, Default)]
pub struct Changes {
    pub came: Vec<Entity>,
    /// With the session that was; `true`: the account's last one.
    pub went: Vec<(Entity, Session, bool)>,
}

/// What was counted since the start.
#[derive(Resource, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub accepted: u64,
    pub crowded: u64,
    pub closed: u64,
    pub late: u64,
    pub malformed: u64,
    pub slow: u64,
    pub requests: u64,
    pub asks: u64,
    pub refused: u64,
    pub texts_out: u64,
    pub posts: u64,
}

/// When the next tick is due, where nothing happens before.
#[derive(Resource, Clone, Copy, Debug, Default)]
pub struct Due(pub Option<Instant>);

/// Connections that ended in this tick.
#[derive(Resource, Debug, Default)]
pub struct Ended(pub Vec<(Entity, Close)>);
