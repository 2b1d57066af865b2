//! Carries events to the call's machine and its actions out.

use std::net::SocketAddr;

use bevy_ecs::entity::Entity;
use bevy_ecs::world::World;

use super::{candidates, check, devices, files, lan, media, offer, people, report, routes, watch};
use crate::base::error::{Error, Kind, Result};
use crate::base::time::{Instant, WallTime};
use crate::device::Tone;
use crate::layout::snapshot;
use crate::media::report::Report;
use crate::net::control::{ControlEvent, LinkId};
use crate::proto::envelope::{Envelope, Party, Verified};
use crate::proto::keys;
use crate::proto::signal::action::{Action, Phase};
use crate::proto::signal::body::{Body, Name, Nonce};
use crate::proto::signal::clock::ClockOffset;
use crate::proto::signal::event::{Event, RouteFailure};
use crate::proto::signal::incoming::{Admission, Incoming};
use crate::proto::signal::machine::CallMachine;
use crate::proto::signal::media::Agreed;
use crate::proto::target::Target;
use crate::store::known::Known;
use crate::world::call::{CallState, Signalling, Times};
use crate::world::message::Notice;
use crate::world::shared::{AppEnd, Now, Settings, Showing};

/// Calls `target`. A line for the person when it cannot even be tried.
pub fn dial(world: &mut World, target: &str) {
    if !people::postpone(world, target) {
        dial_now(world, target);
    }
}

/// The same, whatever is known of who one's pals are.
pub fn dial_now(world: &mut World, target: &str) {
    if let Err(error) = try_dial(world, target) {
        show(world, |showing| {
            showing.phase = snapshot::Phase::Ended {
                peer: target.to_owned(),
                outcome: "unreachable".into(),
                reason: error.text.to_string(),
            };
        });
        let report =
            Report { version: 1, outcome: "unreachable".into(), reason: error.text.to_string(), ..Default::default() };
        let outcome = report.outcome.clone();
        tell(world, Notice::Ended { outcome, reason: error.text.to_string(), report: Box::new(report) });
    }
}

fn try_dial(world: &mut World, target: &str) -> Result<()> {
    if let Some(entity) = current(world) {
        if world.get::<CallState>(entity).is_some_and(|state| state.machine.phase() == Phase::RingingIn) {
            // Calling while one is being called: the person wants to talk.
            feed(world, entity, Event::Accept);
            return Ok(());
        }
        return Err(Error::new(Kind::Refused, "you are in a call: hang up first"));
    }
    if let Some(pal) = people::pal(world, target) {
        return dial_pal(world, pal?);
    }
    let mut parsed: Target = target.parse()?;
    if world.resource::<Settings>().0.relay_only {
        let text = "an address is called directly, which shows yours: call by name, or without --relay-only";
        return Err(Error::new(Kind::Refused, text));
    }
    if let Some(name) = parsed.bare_name().filter(|name| lan::find(world, name).is_some()) {
        parsed = Target::Lan { name: name.to_owned() };
    }
    let bare = parsed.bare_name().map(str::to_owned);
    let address = parsed.to_string();
    let (call, now) = (keys::new_call_id()?, world.resource::<Now>().0);
    let (transport, own) = offer::prepare(world, now)?;
    let name = Name::cut(target);
    let remembered = world.resource::<Signalling>().known.remembered(&address);
    let announced = || parsed.lan_name().and_then(|name| lan::announced_key(world, name));
    let expected = remembered.or_else(announced);
    let machine = CallMachine::outgoing(call, own, name, expected);
    let entity = spawn_call(world, machine, address, None, transport);
    world.resource_mut::<Signalling>().current = Some((call, entity));
    feed(world, entity, Event::Dial);
    match (parsed.literal(), parsed) {
        (Some((ip, base)), _) => routes::connect_literal(world, entity, ip, base),
        (None, Target::Direct { host, base }) => {
            routes::resolve(world, entity, host, base)?;
            if let Some(name) = bare {
                // The name service may take seconds to say that it does not know a person.
                lan::call(world, entity, &name);
            }
            Ok(())
        }
        (None, Target::Lan { name }) => {
            if !lan::call(world, entity, &name) {
                feed(world, entity, Event::RouteFailed(RouteFailure::NotHere));
            }
            Ok(())
        }
    }
}

/// Calls a pal by the service, which carries the envelopes and can make none.
fn dial_pal(world: &mut World, pal: people::Callee) -> Result<()> {
    let (call, now) = (keys::new_call_id()?, world.resource::<Now>().0);
    let (transport, own) = offer::prepare(world, now)?;
    let name = Name::cut(&pal.display);
    let machine = CallMachine::outgoing(call, own, name, Some(pal.key));
    let link = people::open(world, pal.name.clone(), pal.key, None);
    let entity = spawn_call(world, machine, pal.name.to_string(), Some(link), transport);
    world.resource_mut::<Signalling>().current = Some((call, entity));
    candidates::begin(world, entity);
    feed(world, entity, Event::Dial);
    feed(world, entity, Event::RouteUp);
    Ok(())
}

fn spawn_call(
    world: &mut World,
    machine: CallMachine,
    address: String,
    link: Option<LinkId>,
    transport: crate::net::transport::Transport,
) -> Entity {
    let state = CallState {
        machine,
        address,
        link,
        counter: 0,
        transport: Some(Box::new(transport)),
        connection: None,
        agreed: Agreed::default(),
        clock: ClockOffset::default(),
        ping_at: None,
        account: None,
        own_name: None,
        times: Times::default(),
        lost: false,
        mute: Default::default(),
        told: None,
    };
    world.spawn(state).id()
}

/// What came through the door, and names that were found.
pub fn take_envelopes(world: &mut World) {
    routes::take_found(world);
    let now = world.resource::<Now>().0;
    let mut signalling = world.resource_mut::<Signalling>();
    let Some(door) = &mut signalling.door else { return };
    if door.deadline().is_some_and(|at| at <= now) {
        door.handle_timeout(now);
    }
    while let Some(event) = world.resource_mut::<Signalling>().door.as_mut().and_then(|door| door.poll_event()) {
        match event {
            ControlEvent::Opened { link, peer, device, is_incoming } => {
                world.resource_mut::<Signalling>().links.insert(link, (peer, device));
                if is_incoming {
                    continue;
                }
                if let Some(entity) = call_of(world, link) {
                    feed(world, entity, Event::RouteUp);
                }
            }
            ControlEvent::Frame { link, bytes } => take_frame(world, link, &bytes, now),
            ControlEvent::Closed { link, why } => {
                world.resource_mut::<Signalling>().links.remove(&link);
                let Some(entity) = call_of(world, link) else { continue };
                let was_up = world.get::<CallState>(entity).is_some_and(|state| state.machine.peer().is_some());
                if let Some(mut state) = world.get_mut::<CallState>(entity) {
                    state.link = None;
                }
                feed(world, entity, routes::closed_event(why, was_up));
            }
        }
    }
}

pub fn call_of(world: &mut World, link: LinkId) -> Option<Entity> {
    let mut calls = world.query::<(Entity, &CallState)>();
    calls.iter(world).find(|(_, state)| state.link == Some(link)).map(|(entity, _)| entity)
}

/// One frame: a signed envelope from the device that holds the link's key, addressed to us, and new.
fn take_frame(world: &mut World, link: LinkId, bytes: &[u8], now: Instant) {
    let mut signalling = world.resource_mut::<Signalling>();
    let us = us(&signalling);
    let Some((peer, device)) = signalling.links.get(&link).copied() else { return };
    let opened = Envelope::open(bytes).ok().filter(|verified| {
        let envelope = &verified.envelope;
        envelope.from.device == device && envelope.is_for(&us)
    });
    let Some(verified) = opened else {
        if let Some(door) = &mut signalling.door {
            door.close(link, now);
        }
        signalling.links.remove(&link);
        return;
    };
    if let Some(door) = &mut signalling.door {
        door.confirm(link);
    }
    let is_verified = matches!(
        signalling.known.check(&account_name(&verified.envelope.from), &verified.envelope.from.account),
        Known::Same { verified: true }
    );
    take_envelope(world, link, peer, verified, is_verified, now);
}

/// An envelope whose sender is who the route says it is. `is_verified`: the sender's key was compared.
pub fn take_envelope(
    world: &mut World,
    link: LinkId,
    peer: SocketAddr,
    verified: Verified,
    is_verified: bool,
    now: Instant,
) {
    let (call, counter, device) = (verified.envelope.call, verified.envelope.counter, verified.envelope.from.device);
    if !world.resource_mut::<Signalling>().dedup.is_first(call, device, counter) {
        return;
    }
    if matches!(verified.envelope.body, Body::Offer(_)) {
        return take_offer(world, link, peer, verified, is_verified, now);
    }
    let Some(entity) = call_of(world, link) else { return };
    match verified.envelope.body.clone() {
        Body::Ping { t1 } => {
            let at = WallTime::of(now).as_micros();
            send(world, entity, ClockOffset::pong(t1, at, WallTime::of(now).as_micros()));
        }
        Body::Pong { t1, t2, t3 } => media::note_clock(world, entity, t1, t2, t3, WallTime::of(now).as_micros()),
        body => {
            let mut actions = Vec::new();
            if let Some(mut state) = world.get_mut::<CallState>(entity) {
                if let Body::Answer(answer) = body {
                    state.own_name = Some(answer.name.to_string());
                }
                state.machine.receive(&verified, now, &mut actions);
            }
            carry_out(world, entity, actions);
        }
    }
}

/// Somebody calls.
fn take_offer(world: &mut World, link: LinkId, peer: SocketAddr, verified: Verified, is_verified: bool, now: Instant) {
    let from = verified.envelope.from;
    let address = peer.ip().to_canonical().to_string();
    let signalling = world.resource::<Signalling>();
    let current = signalling.current;
    let Ok(nonce) = keys::random().map(Nonce) else { return };
    let admission = if current.is_some() { Admission::Busy } else { Admission::Ring };
    let Some(incoming) = Incoming::new(verified, nonce, admission, is_verified) else { return };
    if let Some((_, entity)) = current
        && is_crossing(world, entity, &from, peer)
    {
        let call = incoming.call;
        let mut actions = Vec::new();
        let Some(mut state) = world.get_mut::<CallState>(entity) else { return };
        state.machine.handle(Event::Crossed(Box::new(incoming)), now, &mut actions);
        if state.machine.call() == call {
            // Their call is the one that goes on, by the way they came; ours is given up.
            let given_up = state.link.replace(link);
            world.resource_mut::<Signalling>().current = Some((call, entity));
            routes::close(world, given_up, now);
        }
        carry_out(world, entity, actions);
        if world.get::<CallState>(entity).is_some_and(|state| state.machine.call() != call && state.link.is_none()) {
            // Our call goes on, and their link is a route to them.
            if let Some(mut state) = world.get_mut::<CallState>(entity) {
                state.link = Some(link);
            }
            feed(world, entity, Event::RouteUp);
        }
        return;
    }
    let Ok((transport, own)) = offer::prepare(world, now) else { return };
    let mut actions = Vec::new();
    let is_ours = admission == Admission::Ring;
    let machine = CallMachine::incoming(incoming, own, now, &mut actions);
    let call = machine.call();
    let entity = spawn_call(world, machine, address, Some(link), transport);
    if is_ours {
        world.resource_mut::<Signalling>().current = Some((call, entity));
        candidates::begin(world, entity);
    }
    carry_out(world, entity, actions);
}

/// Whether the caller is the one whom the current call rings: by its key where that is known, else by its address.
fn is_crossing(world: &World, entity: Entity, from: &Party, peer: SocketAddr) -> bool {
    let Some(state) = world.get::<CallState>(entity) else { return false };
    if !matches!(state.machine.phase(), Phase::Idle | Phase::RingingOut) {
        return false;
    }
    let known = state.link.and_then(|link| world.resource::<Signalling>().links.get(&link));
    match known {
        // A pal who was rung by the service is known by the account alone.
        Some((_, key)) => *key == from.device || *key == from.account,
        None => state.address.starts_with(&peer.ip().to_canonical().to_string()),
    }
}

/// Hands an event to a call's machine and carries out what it asks.
pub fn feed(world: &mut World, entity: Entity, event: Event) {
    let now = world.resource::<Now>().0;
    let mut actions = Vec::new();
    if let Some(mut state) = world.get_mut::<CallState>(entity) {
        state.machine.handle(event, now, &mut actions);
    }
    carry_out(world, entity, actions);
}

/// The current call's entity.
pub fn current(world: &World) -> Option<Entity> {
    world.resource::<Signalling>().current.map(|(_, entity)| entity)
}

fn carry_out(world: &mut World, entity: Entity, actions: Vec<Action>) {
    let now = world.resource::<Now>().0;
    for action in actions {
        match action {
            Action::Send(body) => send(world, entity, body),
            Action::Identified(account) => identified(world, entity, account),
            Action::Ring { name, verified, .. } => ring(world, entity, &name, verified),
            Action::StopRinging | Action::PeerRings => {}
            Action::StartMedia(start) => {
                if let Some(mut state) = world.get_mut::<CallState>(entity) {
                    state.times.accepted = Some(now);
                }
                media::start(world, entity, &start, now);
            }
            Action::SendCandidates => candidates::tell(world, entity),
            Action::AddCandidates(candidates) => media::add_candidates(world, entity, &candidates),
            Action::StartCapture => devices::start_capture(world, entity),
            Action::StopMedia => media::stop(world, entity, now),
            Action::PeerMuted(mute) => media::peer_muted(world, entity, mute),
            Action::PeerHearsNothing => watch::leave_path(world, entity, now),
            Action::PeerWantsFiles => files::open_channel(world, entity),
            Action::PeerWatches(watched) => watch::heed(world, entity, &watched),
            Action::Phase(phase) => show_phase(world, entity, phase, now),
            Action::End { outcome, reason } => return ended(world, entity, &outcome.to_string(), reason, now),
        }
    }
}

/// The account key behind the peer: refused where another one is remembered under the address that was dialled.
fn identified(world: &mut World, entity: Entity, account: keys::PublicKey) {
    let Some(mut state) = world.get_mut::<CallState>(entity) else { return };
    state.account = Some(account);
    let address = state.address.clone();
    let is_dialled = address.contains(':');
    let known = world.resource::<Signalling>().known.check(&address, &account);
    if is_dialled && matches!(known, Known::Changed { .. }) {
        feed(world, entity, Event::KeyChanged);
    }
}

fn ring(world: &mut World, entity: Entity, name: &Name, verified: bool) {
    let peer = name.to_string();
    show(world, |showing| showing.phase = snapshot::Phase::RingingIn { peer: peer.clone(), verified });
    tell(world, Notice::Ringing { peer: name.to_string(), incoming: true });
    if world.resource::<Settings>().0.auto_answer {
        feed(world, entity, Event::Accept);
    }
}

/// Seals a body and puts it on the call's link.
pub fn send(world: &mut World, entity: Entity, body: Body) {
    let is_offer = matches!(body, Body::Offer(_));
    let Some(mut state) = world.get_mut::<CallState>(entity) else { return };
    let Some(link) = state.link else { return };
    let (call, counter, peer) = (state.machine.call(), state.counter, state.machine.peer().copied());
    state.counter += 1;
    let signalling = world.resource::<Signalling>();
    let Some((_, device)) = signalling.links.get(&link).copied() else { return };
    let to = peer.map_or(device, |peer| peer.device);
    let envelope = Envelope { call, from: us(signalling), to, counter, body };
    let Ok(sealed) = envelope.seal(signalling.identity.device()) else { return };
    routes::put(world, link, &sealed.bytes, is_offer.then_some(call));
    if is_offer {
        feed(world, entity, Event::OfferSealed(sealed.digest));
    }
}

pub fn us(signalling: &Signalling) -> Party {
    Party { account: signalling.identity.account(), device: signalling.identity.device().public() }
}

/// Under which name an incoming caller's key is remembered: its own.
fn account_name(party: &Party) -> String {
    format!("account {}", party.account)
}

fn show_phase(world: &mut World, entity: Entity, phase: Phase, now: Instant) {
    let Some(state) = world.get::<CallState>(entity) else { return };
    let (peer, address, account) = (state.peer_name(), state.address.clone(), state.account);
    if current(world) != Some(entity) {
        return;
    }
    let shown = match phase {
        Phase::Idle | Phase::Ended | Phase::RingingIn => None,
        Phase::RingingOut => Some(snapshot::Phase::RingingOut { peer: peer.clone() }),
        Phase::Connecting => Some(snapshot::Phase::Connecting { peer: peer.clone() }),
        Phase::InCall => Some(snapshot::Phase::InCall { peer: peer.clone() }),
        Phase::Reconnecting => Some(snapshot::Phase::Reconnecting { peer: peer.clone() }),
    };
    if phase == Phase::RingingOut {
        tell(world, Notice::Ringing { peer: peer.clone(), incoming: false });
    }
    let before = &world.resource::<Showing>().phase;
    let bell = match phase {
        Phase::Reconnecting => Some(Tone::LOST),
        Phase::InCall if matches!(before, snapshot::Phase::Reconnecting { .. }) => Some(Tone::BACK),
        _ => None,
    };
    if let Some(bell) = bell {
        check::ring_bell(world, bell);
    }
    if phase == Phase::InCall {
        let is_dialled = address.contains(':');
        let mut signalling = world.resource_mut::<Signalling>();
        if let Some(account) = account.filter(|_| is_dialled)
            && signalling.known.check(&address, &account) == Known::New
        {
            // A full or unwritable disk does not end a call; the key is asked about again next time.
            let _ = signalling.known.remember(&address, account, false);
        }
        if let Some(mut state) = world.get_mut::<CallState>(entity)
            && state.times.connected.is_none()
        {
            state.times.connected = Some(now);
            tell(world, Notice::Connected { peer: peer.clone() });
        }
    }
    show(world, |showing| {
        if let Some(shown) = shown {
            showing.phase = shown;
        }
        showing.peer = peer;
        if phase == Phase::InCall {
            showing.in_call_since.get_or_insert(now);
        }
    });
}

fn ended(world: &mut World, entity: Entity, outcome: &str, reason: String, now: Instant) {
    let Some(mut state) = world.get_mut::<CallState>(entity) else { return };
    state.times.ended = Some(now);
    let (peer, link) = (state.peer_name(), state.link.take());
    routes::close(world, link, now);
    if current(world) == Some(entity) {
        let report = Box::new(report::of_call(world, entity, outcome, &reason));
        world.resource_mut::<Signalling>().current = None;
        show(world, |showing| {
            showing.phase = snapshot::Phase::Ended { peer, outcome: outcome.to_owned(), reason: reason.clone() };
            showing.in_call_since = None;
        });
        tell(world, Notice::Ended { outcome: outcome.to_owned(), reason, report });
    }
    media::leave(world, entity, now);
}

/// Changes what the window shows.
pub fn show(world: &mut World, change: impl FnOnce(&mut Showing)) {
    let mut showing = world.resource_mut::<Showing>();
    change(&mut showing);
    showing.changes += 1;
}

/// Tells the app. A full pipe means an app that does not read: the snapshot says the same.
pub fn tell(world: &World, notice: Notice) {
    let app = world.resource::<AppEnd>();
    let _ = app.notices.try_send(notice);
    (app.redraw)();
}

/// The program ends: whatever call runs ends with a word to the other side.
pub fn hang_up_for_quit(world: &mut World) {
    if let Some(entity) = current(world) {
        feed(world, entity, Event::HangUp);
    }
}
