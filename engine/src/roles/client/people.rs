//! The service's people in the engine: what the window asks of the session goes to its thread, what that tells comes here, and
//! calls between pals ring by it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bevy_ecs::resource::Resource;
use bevy_ecs::world::World;

use super::{audio, calls, candidates};
use crate::base::error::{Error, Kind, Result};
use crate::base::id::CallId;
use crate::base::time::{Duration, Instant};
use crate::net::control::LinkId;
use crate::net::lan::Neighbours;
use crate::people::command::{Notice as Told, Outcome, State, Wanted};
use crate::people::direct::{Around, DOOR, Direct};
use crate::people::trust::Trust;
use crate::people::view::View;
use crate::people::{People, PeopleConfig};
use crate::proto::envelope::Envelope;
use crate::proto::keys::PublicKey;
use crate::proto::proxy::choice::Proxies;
use crate::proto::service::frame::{Ask, Push, Reply};
use crate::proto::service::names::{AccountName, Bytes, Person};
use crate::proto::service::pals::{Presence, Push as PalsPush, Reply as PalsReply, Request};
use crate::proto::signal::body::{Body, Line, Name};
use crate::proto::signal::event::Event;
use crate::world::call::{CallState, Signalling};
use crate::world::message::Notice;
use crate::world::shared::{AppEnd, EngineWake, Now, Settings};

/// The session, and the calls that it carries.
#[derive(Resource, Debug, Default)]
pub struct Service {
    people: Option<People>,
    view: Arc<View>,
    routes: HashMap<LinkId, Route>,
    /// Offers whose fate the service has not said yet.
    offers: HashMap<u64, LinkId>,
    next: u32,
    relays_asked: Option<Instant>,
    /// Who is on the same network, for messages.
    around: Around,
    /// A target that may be a pal's name, called once the session has said who one's pals are.
    postponed: Option<String>,
}

/// A call's way by the service.
#[derive(Debug)]
struct Route {
    name: AccountName,
    /// Known once a device has answered.
    device: Option<PublicKey>,
}

/// A pal who can be rung.
#[derive(Clone, Debug)]
pub struct Callee {
    pub name: AccountName,
    pub key: PublicKey,
    pub display: String,
}

/// Starts the session where the settings ask for it. An engine without it calls by address all the same.
pub fn start(world: &mut World) {
    world.init_resource::<Service>();
    let around = world.resource::<Service>().around.clone();
    let config = &world.resource::<Settings>().0;
    if !config.people {
        return;
    }
    let wake = world.resource::<EngineWake>().0.clone();
    let people = PeopleConfig {
        data: config.data.clone(),
        name: config.name.clone(),
        channels: true,
        presence: Some(if config.appear_offline { Presence::Offline } else { Presence::Online }),
        receive: true,
        proxies: config.proxies.clone(),
        direct: Direct {
            port: Some(config.base_port.saturating_add(DOOR)).filter(|_| !config.relay_only),
            is_wanted: !config.relay_only,
            around: around.clone(),
        },
    };
    match People::start(people, Arc::new(move || wake.wake())) {
        Ok(people) => {
            let mut service = world.resource_mut::<Service>();
            // What the session knows of before is there by now.
            service.view = people.view().unwrap_or_default();
            service.people = Some(people);
        }
        Err(error) => calls::tell(world, Notice::Error(error.text.into())),
    }
}

/// These are on the same network.
pub fn note_around(world: &World, neighbours: &Neighbours) {
    world.resource::<Service>().around.put(neighbours.clone());
}

/// Whether the person wants to be seen by nobody.
pub fn appears_offline(world: &World) -> bool {
    world.resource::<Settings>().0.appear_offline
}

/// From now on the person is seen, or by nobody: at our ports, too. A call that stands goes on.
fn appear(world: &mut World, offline: bool) {
    if std::mem::replace(&mut world.resource_mut::<Settings>().0.appear_offline, offline) != offline {
        audio::keep(world, |choices| choices.appear_offline = offline);
    }
    let opened = world.resource_mut::<Signalling>().door.as_mut().map(|door| door.listen(!offline));
    if let Some(Err(error)) = opened {
        calls::tell(world, Notice::Error(error.text.into()));
    }
}

/// Hands the window's wish on.
pub fn want(world: &mut World, ticket: u64, wanted: Wanted) {
    if let Wanted::SetPresence { presence, .. } = wanted {
        appear(world, presence == Presence::Offline);
    }
    let service = world.resource::<Service>();
    if !service.people.as_ref().is_some_and(|people| people.send(ticket, wanted)) {
        calls::tell(world, Notice::Error("the service takes nothing more at the moment: try again".into()));
    }
}

/// In every tick: what the session tells.
pub fn take_told(world: &mut World) {
    hear(world);
    let (service, now) = (world.resource::<Service>(), world.resource::<Now>().0);
    let is_old = service.relays_asked.is_some_and(|at| now.saturating_duration_since(at) >= RELAYS_KEPT);
    if is_old && matches!(service.view.state, State::Online) {
        ask_relays(world);
    }
    take_postponed(world);
}

fn hear(world: &mut World) {
    let mut service = world.resource_mut::<Service>();
    let Some(people) = &service.people else { return };
    if let Some(view) = people.view() {
        service.view = view.clone();
        let app = world.resource::<AppEnd>();
        app.people.put(view);
        (app.redraw)();
    }
    while let Some(told) = world.resource::<Service>().people.as_ref().and_then(|people| people.notices().try_recv()) {
        match told {
            Told::Done { ticket, outcome } if ticket >= OWN => {
                offered(world, ticket, outcome.map_err(|e| e.to_string()))
            }
            Told::Done { ticket, outcome } => {
                let outcome = outcome.map(Box::new).map_err(|failure| failure.to_string());
                calls::tell(world, Notice::Done { ticket, outcome });
            }
            Told::State(state) => carried(world, &state),
            Told::Push(push) => {
                if let Push::Pals(PalsPush::Signal { from, device, envelope }) = *push {
                    take_signal(world, &from, device, &envelope);
                }
            }
            Told::Arrived(message) => {
                let text = format!("A message from {} is in the inbox.", message.from.name);
                calls::tell(world, Notice::Error(text));
            }
            Told::Trouble(text) => calls::tell(world, Notice::Error(text)),
        }
    }
}

/// Whether nobody knows yet if `target` is a pal: it is called as soon as that is known, or the session cannot say.
pub fn postpone(world: &mut World, target: &str) -> bool {
    let mut service = world.resource_mut::<Service>();
    let target = target.trim();
    let is_name = AccountName::new(target.strip_prefix('@').unwrap_or(target)).is_ok();
    let is_awaited = service.people.is_some()
        && !service.view.is_current
        && matches!(service.view.state, State::Connecting | State::Online)
        && service.postponed.is_none();
    if is_name && is_awaited {
        service.postponed = Some(target.to_owned());
    }
    is_name && is_awaited
}

/// The person does not want it any more.
pub fn give_up(world: &mut World) {
    world.resource_mut::<Service>().postponed = None;
}

/// Calls whom the person wanted, once it is known who that is: what the session tells comes with a tick, if only that it is lost.
fn take_postponed(world: &mut World) {
    let mut service = world.resource_mut::<Service>();
    let is_awaited = !service.view.is_current && matches!(service.view.state, State::Connecting | State::Online);
    let postponed = if is_awaited { None } else { service.postponed.take() };
    if let Some(target) = postponed {
        calls::dial_now(world, &target);
    }
}

/// The pal that `target` means: `@NAME`, or the name of one who is on the list. `None`: it is no name of a pal.
pub fn pal(world: &World, target: &str) -> Option<Result<Callee>> {
    let target = target.trim();
    let refused = |text: String| Some(Err(Error::new(Kind::Refused, text)));
    let named = target.strip_prefix('@');
    let name = AccountName::new(named.unwrap_or(target)).ok()?;
    let service = world.resource::<Service>();
    match service.view.pal(&name) {
        Some(pal) if pal.trust == Trust::Changed => refused(format!(
            "the service shows another key for {name} than before: {name} is not rung. Compare the safety number, then say \
             visavis pals verify {name}."
        )),
        Some(pal) => {
            let Person { name, key, display } = pal.pal.person.clone();
            Some(Ok(Callee { name, key, display: display.to_string() }))
        }
        None if named.is_some() => refused(format!("{name} is none of your pals: visavis pals add {name}")),
        None => None,
    }
}

/// A way to `name` for one call; `key` is that of the account, or of the device where one is known.
pub fn open(world: &mut World, name: AccountName, key: PublicKey, device: Option<PublicKey>) -> LinkId {
    let mut service = world.resource_mut::<Service>();
    let link = LinkId::beside(service.next);
    service.next = service.next.wrapping_add(1);
    service.routes.insert(link, Route { name, device });
    let address = service_address(&service);
    world.resource_mut::<Signalling>().links.insert(link, (address, key));
    link
}

/// Sends an envelope, where `link` leads by the service. `offer`: the call that begins with it.
pub fn put(world: &mut World, link: LinkId, bytes: &[u8], offer: Option<CallId>) -> bool {
    let mut service = world.resource_mut::<Service>();
    let Some(route) = service.routes.get(&link) else { return false };
    let (to, device) = (route.name.clone(), route.device);
    let Some(envelope) = Bytes::new(bytes.to_vec()) else {
        calls::tell(world, Notice::Error("the call's offer is longer than the service carries".into()));
        return true;
    };
    let mut ticket = 0;
    if offer.is_some() {
        ticket = OWN + u64::from(service.next);
        service.next = service.next.wrapping_add(1);
        service.offers.insert(ticket, link);
    }
    let request = Request::Signal { to, device, envelope, call: offer };
    if let Some(people) = &service.people {
        people.send(ticket, Wanted::Ask(Box::new(Ask::Pals(request))));
    }
    true
}

/// Our address is another one: the session is made anew from there.
pub fn reconnect(world: &World) {
    if let Some(people) = &world.resource::<Service>().people {
        people.send(0, Wanted::Reconnect);
    }
}

/// From now on everything is dialled through these.
pub fn dial_through(world: &World, proxies: Arc<Proxies>) {
    if let Some(people) = &world.resource::<Service>().people {
        people.set_proxies(proxies);
    }
}

/// Whether `link` leads by the service, which counts how often it is asked.
pub fn carries(world: &World, link: LinkId) -> bool {
    world.resource::<Service>().routes.contains_key(&link)
}

/// The call is over, or goes on another way.
pub fn forget(world: &mut World, link: LinkId) {
    let mut service = world.resource_mut::<Service>();
    service.routes.remove(&link);
    service.offers.retain(|_, one| *one != link);
}

/// The service has said to how many devices an offer went.
fn offered(world: &mut World, ticket: u64, outcome: Result<Outcome, String>) {
    if ticket == RELAYS {
        if let Ok(Outcome::Reply(reply)) = outcome
            && let Reply::Pals(PalsReply::Relays(relays)) = *reply
        {
            candidates::learn(world, relays);
        }
        return;
    }
    let Some(link) = world.resource_mut::<Service>().offers.remove(&ticket) else { return };
    let Some(entity) = calls::call_of(world, link) else { return };
    let name = world.get::<CallState>(entity).map(CallState::peer_name).unwrap_or_default();
    let text = match outcome {
        Ok(Outcome::Reply(reply)) => match *reply {
            Reply::Pals(PalsReply::Sent { devices: 1.. }) => return,
            _ => format!("{name} is not there; they see that you called."),
        },
        Ok(_) => return,
        Err(text) => format!("{name} cannot be rung: {text}"),
    };
    calls::feed(world, entity, Event::NoDevice(Line::cut(&text)));
}

/// Who relays, and how one is let in there. An older service does not know them: its people are called directly.
fn ask_relays(world: &mut World) {
    let now = world.resource::<Now>().0;
    let mut service = world.resource_mut::<Service>();
    if let Some(people) = &service.people
        && people.send(RELAYS, Wanted::Ask(Box::new(Ask::Pals(Request::Relays))))
    {
        service.relays_asked = Some(now);
    }
}

/// The session came or went: so did the way of the calls that it carries.
fn carried(world: &mut World, state: &State) {
    if matches!(state, State::Online) {
        ask_relays(world);
    }
    let reached = world.resource::<Service>().view.reached;
    if matches!(state, State::Online) && reached.is_some_and(|address| !address.is_loopback()) {
        candidates::map_ports(world);
    }
    if matches!(state, State::Online)
        && let Some(person) = &world.resource::<Service>().view.person
    {
        calls::tell(world, Notice::Online { name: person.name.to_string() });
    }
    let event = match state {
        State::Online => Event::RouteUp,
        State::Offline { .. } | State::LoggedOut | State::Nobody => Event::RouteLost,
        State::Connecting => return,
    };
    let links: Vec<LinkId> = world.resource::<Service>().routes.keys().copied().collect();
    for link in links {
        if let Some(entity) = calls::call_of(world, link) {
            calls::feed(world, entity, event.clone());
        }
    }
}

/// An envelope that the service brought: by a device that its account vouches for, and of the account that is known.
fn take_signal(world: &mut World, from: &Person, device: PublicKey, bytes: &[u8]) {
    let now = world.resource::<Now>().0;
    let us = calls::us(world.resource::<Signalling>());
    let opened = Envelope::open(bytes).ok().filter(|verified| {
        let envelope = &verified.envelope;
        envelope.from.device == device && envelope.from.account == from.key && envelope.is_for(&us)
    });
    let Some(mut verified) = opened else { return };
    let service = world.resource::<Service>();
    // Whoever is no pal here, and a pal whose key has changed, does not ring.
    let Some(pal) = service.view.pal(&from.name).filter(|pal| pal.pal.person.key == from.key) else { return };
    if pal.trust == Trust::Changed {
        return;
    }
    let is_verified = pal.trust == Trust::Verified;
    // Pals are called what the list calls them, not what they say of themselves.
    let name =
        Name::cut(if pal.pal.person.display.is_empty() { &pal.pal.person.name } else { &pal.pal.person.display });
    match &mut verified.envelope.body {
        Body::Offer(offer) => offer.name = name,
        Body::Answer(answer) => answer.name = name,
        _ => {}
    }
    let address = service_address(service);
    let envelope = &verified.envelope;
    let is_offer = matches!(envelope.body, Body::Offer(_));
    let known = find_route(world, &from.name, envelope.call);
    let link = match known {
        Some(link) => link,
        None if is_offer => open(world, from.name.clone(), device, Some(device)),
        None => return,
    };
    // The first device that answers is the one that is talked to.
    if matches!(envelope.body, Body::Challenge(_)) {
        let mut service = world.resource_mut::<Service>();
        if let Some(route) = service.routes.get_mut(&link).filter(|route| route.device.is_none()) {
            route.device = Some(device);
            world.resource_mut::<Signalling>().links.insert(link, (address, device));
        }
    }
    calls::take_envelope(world, link, address, verified, is_verified, now);
}

/// The way of the call that an envelope of `name` is about.
fn find_route(world: &mut World, name: &AccountName, call: CallId) -> Option<LinkId> {
    let mut states = world.query::<&CallState>();
    let links: Vec<LinkId> =
        states.iter(world).filter(|state| state.machine.call() == call).filter_map(|state| state.link).collect();
    let service = world.resource::<Service>();
    links.into_iter().find(|link| service.routes.get(link).is_some_and(|route| route.name == *name))
}

/// The service's end of the session: on the way there lie those of our addresses that others may reach.
fn service_address(service: &Service) -> SocketAddr {
    SocketAddr::new(service.view.reached.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), 0)
}

/// Tickets from here on are the engine's own.
const OWN: u64 = 1 << 63;

/// Asks who relays.
const RELAYS: u64 = u64::MAX;

/// What lets one in at relays holds for twelve hours.
const RELAYS_KEPT: Duration = Duration::from_secs(6 * 3600);
