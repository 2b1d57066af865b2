//! Carries events to the call's machine and its actions out.

use std::net::SocketAddr;

use bevy_ecs::entity::Entity;
use bevy_ecs::resource::Resource;
use bevy_ecs::world::World;

use super::{devices, media, report, watch};
use crate::base::error::{Error, Kind, Result};
use crate::base::pipe::{PipeReceiver, pipe};
use crate::base::time::{Instant, WallTime};
use crate::layout::snapshot;
use crate::media::report::Report;
use crate::net::control::{CloseReason, ControlEvent, LinkId};
use crate::net::door::Door;
use crate::net::{interfaces, tcp};
use crate::proto::envelope::{Envelope, Party, Verified};
use crate::proto::keys;
use crate::proto::signal::action::{Action, Phase};
use crate::proto::signal::body::{Body, Name, Nonce};
use crate::proto::signal::clock::ClockOffset;
use crate::proto::signal::event::{Event, RouteFailure};
use crate::proto::signal::incoming::{Admission, Incoming};
use crate::proto::signal::machine::CallMachine;
use crate::proto::signal::media::{Candidate, CandidateKind};
use crate::proto::target::Target;
use crate::store::known::Known;
use crate::world::call::{CallState, Signalling, Times};
use crate::world::message::Notice;
use crate::world::shared::{AppEnd, EngineWake, MediaPort, Now, Settings, Showing};

/// A name being looked up on a helper thread: the resolver blocks.
#[derive(Resource, Default)]
pub struct Resolving(Option<(Entity, PipeReceiver<Result<Vec<SocketAddr>>>)>);

/// Calls `target`. A line for the person when it cannot even be tried.
pub fn dial(world: &mut World, target: &str) {
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
    let parsed: Target = target.parse()?;
    let Target::Direct { host, base } = &parsed;
    let address = format!("{host}:{base}");
    let (call, now) = (keys::new_call_id()?, world.resource::<Now>().0);
    let (transport, own) = media::prepare(world, now)?;
    let name = Name::cut(target);
    let expected = world.resource::<Signalling>().known.remembered(&address);
    let machine = CallMachine::outgoing(call, own, name, expected);
    let entity = spawn_call(world, machine, address, None, transport);
    world.resource_mut::<Signalling>().current = Some((call, entity));
    feed(world, entity, Event::Dial);
    match parsed.literal() {
        Some((ip, base)) => connect(world, entity, &[SocketAddr::new(ip, base)]),
        None => resolve(world, entity, host.clone(), *base)?,
    }
    Ok(())
}

fn resolve(world: &mut World, entity: Entity, host: String, base: u16) -> Result<()> {
    let (sender, receiver) = pipe(1);
    let wake = world.resource::<EngineWake>().0.clone();
    let work = move || {
        // Refused only when the engine has gone on without waiting.
        let _ = sender.try_send(tcp::resolve_blocking(&host, base));
        wake.wake();
    };
    // Not joined: the system's resolver cannot be interrupted, and an engine that ends must not wait for it.
    std::thread::Builder::new()
        .name("resolver".into())
        .spawn(work)
        .map_err(|error| Error::new(Kind::Retry, format!("cannot start the resolver: {error}")))?;
    world.resource_mut::<Resolving>().0 = Some((entity, receiver));
    Ok(())
}

fn connect(world: &mut World, entity: Entity, addresses: &[SocketAddr]) {
    let now = world.resource::<Now>().0;
    let mut signalling = world.resource_mut::<Signalling>();
    let link = signalling.door.as_mut().and_then(|door| door.connect(addresses, now).ok());
    match link {
        Some(link) => {
            if let Some(mut state) = world.get_mut::<CallState>(entity) {
                state.link = Some(link);
            }
        }
        None => feed(world, entity, Event::RouteFailed(RouteFailure::Unreachable)),
    }
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
    let found = world.resource::<Resolving>().0.as_ref().and_then(|(entity, pipe)| Some((*entity, pipe.try_recv()?)));
    if let Some((entity, found)) = found {
        world.resource_mut::<Resolving>().0 = None;
        match found {
            Ok(addresses) if !addresses.is_empty() => connect(world, entity, &addresses),
            _ => feed(world, entity, Event::RouteFailed(RouteFailure::Unreachable)),
        }
    }
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
                feed(world, entity, closed_event(why, was_up));
            }
        }
    }
}

/// What a closed link means to its call.
fn closed_event(why: CloseReason, was_up: bool) -> Event {
    match (why, was_up) {
        (CloseReason::PeerGone, true) => Event::PeerProcessGone,
        (_, true) => Event::RouteLost,
        (CloseReason::ConnectRefused, _) => Event::RouteFailed(RouteFailure::Refused),
        (CloseReason::Timeout, _) => Event::RouteFailed(RouteFailure::Timeout),
        (CloseReason::Handshake | CloseReason::Malformed, _) => Event::RouteFailed(RouteFailure::NotOurs),
        _ => Event::RouteFailed(RouteFailure::Unreachable),
    }
}

fn call_of(world: &mut World, link: LinkId) -> Option<Entity> {
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
    let (call, counter) = (verified.envelope.call, verified.envelope.counter);
    if let Some(door) = &mut signalling.door {
        door.confirm(link);
    }
    if !signalling.dedup.is_first(call, device, counter) {
        return;
    }
    if matches!(verified.envelope.body, Body::Offer(_)) {
        return take_offer(world, link, peer, verified, now);
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
fn take_offer(world: &mut World, link: LinkId, peer: SocketAddr, verified: Verified, now: Instant) {
    let from = verified.envelope.from;
    let address = peer.ip().to_canonical().to_string();
    let signalling = world.resource::<Signalling>();
    let known = signalling.known.check(&account_name(&from), &from.account);
    let current = signalling.current;
    let Ok(nonce) = keys::random().map(Nonce) else { return };
    let admission = if current.is_some() { Admission::Busy } else { Admission::Ring };
    let is_verified = matches!(known, Known::Same { verified: true });
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
            close_link(world, given_up, now);
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
    let Ok((transport, own)) = media::prepare(world, now) else { return };
    let mut actions = Vec::new();
    let is_ours = admission == Admission::Ring;
    let machine = CallMachine::incoming(incoming, own, now, &mut actions);
    let call = machine.call();
    let entity = spawn_call(world, machine, address, Some(link), transport);
    if is_ours {
        world.resource_mut::<Signalling>().current = Some((call, entity));
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
        Some((_, device)) => *device == from.device,
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
            Action::SendCandidates => gather(world, entity),
            Action::AddCandidates(candidates) => media::add_candidates(world, entity, &candidates),
            Action::StartCapture => devices::start_capture(world, entity),
            Action::StopMedia => media::stop(world, entity, now),
            Action::PeerMuted(mute) => media::peer_muted(world, entity, mute),
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

fn gather(world: &mut World, entity: Entity) {
    let port = world.resource::<MediaPort>().port;
    let signalling = world.resource::<Signalling>();
    let link = world.get::<CallState>(entity).and_then(|state| state.link);
    let peer = link.and_then(|link| signalling.links.get(&link)).map(|(peer, _)| peer.ip().to_canonical());
    let own = signalling.door.as_ref().and_then(Door::own_ip);
    let ours = own.or_else(|| peer.and_then(interfaces::address_towards));
    let addresses: Vec<SocketAddr> = ours.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
    media::add_local(world, entity, &addresses);
    let candidates = addresses
        .into_iter()
        .map(|address| Candidate { address, typ: CandidateKind::Host, priority: 0, tcp: false })
        .collect();
    feed(world, entity, Event::Gathered(candidates));
}

/// Seals a body and puts it on the call's link.
pub fn send(world: &mut World, entity: Entity, body: Body) {
    let now = world.resource::<Now>().0;
    let is_offer = matches!(body, Body::Offer(_));
    let Some(mut state) = world.get_mut::<CallState>(entity) else { return };
    let Some(link) = state.link else { return };
    let (call, counter, peer) = (state.machine.call(), state.counter, state.machine.peer().copied());
    state.counter += 1;
    let mut signalling = world.resource_mut::<Signalling>();
    let Some((_, device)) = signalling.links.get(&link).copied() else { return };
    let to = peer.map_or(device, |peer| peer.device);
    let envelope = Envelope { call, from: us(&signalling), to, counter, body };
    let Ok(sealed) = envelope.seal(signalling.identity.device()) else { return };
    if let Some(door) = &mut signalling.door {
        // A refusal closes the link; the event that follows tells the machine.
        let _ = door.send(link, &sealed.bytes, now);
    }
    if is_offer {
        feed(world, entity, Event::OfferSealed(sealed.digest));
    }
}

fn us(signalling: &Signalling) -> Party {
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
    close_link(world, link, now);
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

fn close_link(world: &mut World, link: Option<LinkId>, now: Instant) {
    let mut signalling = world.resource_mut::<Signalling>();
    if let Some(link) = link {
        signalling.links.remove(&link);
        if let Some(door) = &mut signalling.door {
            door.close(link, now);
        }
    }
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
