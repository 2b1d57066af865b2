//! Ways to reach us: looked for while it rings, told to the other side once the call is accepted, and looked for again when
//! the network changes.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use bevy_ecs::entity::Entity;
use bevy_ecs::resource::Resource;
use bevy_ecs::world::World;

use super::{calls, media, people};
use crate::base::error::Result;
use crate::base::pipe::{PipeReceiver, pipe};
use crate::base::time::{Duration, Instant};
use crate::net::door::Door;
use crate::net::interfaces;
use crate::net::mapping::{Mapper, MappingState, Protocol};
use crate::net::paths::{Found, Plan, Server, Servers, SocksProxy};
use crate::net::proxy::resolve_proxy;
use crate::net::service::trust::Trust;
use crate::proto::proxy::ProxyKind;
use crate::proto::proxy::choice::Proxies;
use crate::proto::service::link::ServiceLink;
use crate::proto::service::pals::Relays;
use crate::proto::signal::event::Event;
use crate::proto::signal::media::{Candidate, CandidateKind};
use crate::proto::turn::uri::{Over, ServerUri};
use crate::store::login::Logins;
use crate::world::call::{CallState, Signalling};
use crate::world::shared::{EngineWake, MediaPort, Now, Settings};

/// What is known of servers that help, and the call that ways are looked for.
#[derive(Resource, Debug, Default)]
pub struct Reach {
    servers: Arc<Servers>,
    /// Names of servers being looked up.
    resolving: Option<PipeReceiver<Servers>>,
    /// Asks the router for ports.
    mapper: Option<Mapper>,
    /// Ports that it leads to us: over UDP or TCP, ours, and how others reach it.
    mapped: Vec<(Protocol, u16, SocketAddr)>,
    call: Option<Entity>,
    /// Found before the accept.
    held: Vec<Found>,
    /// When our addresses were looked at last.
    looked: Option<Instant>,
    is_told: bool,
}

/// The service has said who relays: their names are looked up on a helper thread, because the resolver blocks.
pub fn learn(world: &mut World, relays: Relays) {
    let (sender, receiver) = pipe(1);
    let wake = world.resource::<EngineWake>().0.clone();
    let settings = &world.resource::<Settings>().0;
    let (data, proxies) = (settings.data.clone(), settings.proxies.clone());
    let work = move || {
        // Refused only when the engine has gone on without waiting.
        let _ = sender.try_send(resolve_blocking(&data, &proxies, &relays));
        wake.wake();
    };
    // Without a thread there is no relay: calls are tried all the same. Not joined: the resolver cannot be interrupted.
    let started = std::thread::Builder::new().name("relays".into()).spawn(work).is_ok();
    world.resource_mut::<Reach>().resolving = started.then_some(receiver);
}

/// Looks the servers up. Those that have no address are left out: others may have one.
fn resolve_blocking(data: &Path, proxies: &Proxies, relays: &Relays) -> Servers {
    let proxy = resolve_proxy(proxies).unwrap_or_default();
    let login = Logins::new(data).load().ok().flatten();
    let link: Option<ServiceLink> = login.as_ref().and_then(|login| login.service.parse().ok());
    let door = login.and_then(|login| login.door);
    let host = link.as_ref().map(|link| link.host.as_str()).unwrap_or_default();
    let trust = |name: &str| -> Result<Trust> {
        // The service shows the same key at all its doors.
        Trust::new(name, link.as_ref().filter(|link| link.host == name).and_then(|link| link.pin))
    };
    let mut uris: Vec<ServerUri> = Vec::new();
    for uri in relays.uris.iter().filter_map(|uri| uri.parse::<ServerUri>().ok()) {
        let uri = uri.at(host);
        // The door that we got in by is open; the others of the service are its doors as well.
        if uri.over == Over::Tls && uri.host == host {
            let own = link.as_ref().and_then(|link| link.port).or(door);
            uris.extend(own.into_iter().chain([443]).map(|port| ServerUri { port, ..uri.clone() }));
        }
        uris.push(uri);
    }
    let mut list: Vec<Server> = Vec::new();
    for uri in uris {
        if list.iter().any(|server| server.uri == uri) {
            continue;
        }
        if let Ok(server) = Server::resolve_blocking(uri, trust, proxies, &proxy) {
            list.push(server);
        }
    }
    let by_socks = proxies.towards(host).filter(|url| url.kind == ProxyKind::Socks5);
    let socks =
        by_socks.zip(proxy.first()).map(|(url, address)| SocksProxy { url: Arc::new(url.clone()), address: *address });
    Servers { list, user: relays.user.to_string(), password: relays.password.to_string(), socks }
}

/// A call may come to be: ways are looked for. Nobody is told of them before [`tell`].
pub fn begin(world: &mut World, call: Entity) {
    let now = world.resource::<Now>().0;
    let own = own_addresses(world, call);
    let relay_only = world.get::<CallState>(call).is_some_and(|state| state.machine.is_relay_only());
    let mut reach = world.resource_mut::<Reach>();
    (reach.call, reach.is_told) = (Some(call), false);
    reach.held.clear();
    let plan = Plan { servers: reach.servers.clone(), own: own.clone(), relay_only };
    let mut port = world.resource_mut::<MediaPort>();
    let number = port.port;
    match &mut port.paths {
        Some(paths) => {
            paths.gather(plan, now);
            offer_mapped(world, 0);
        }
        // In virtual time there is one way.
        None => {
            let hosts = own.into_iter().map(|ip| Found::host((ip, number).into(), false));
            world.resource_mut::<Reach>().held.extend(hosts);
        }
    }
}

/// The session stands at a service that is not on this machine: the router is asked to lead to us, once.
pub fn map_ports(world: &mut World) {
    let settings = &world.resource::<Settings>().0;
    if !settings.map_ports || settings.relay_only || world.resource::<Reach>().mapper.is_some() {
        return;
    }
    // Without a thread for it calls find other ways.
    let Ok(mapper) = Mapper::start(world.resource::<EngineWake>().0.clone()) else { return };
    let port = world.resource::<MediaPort>();
    let tcp = port.paths.as_ref().and_then(|paths| paths.tcp_port());
    let ports = [(Protocol::Udp, Some(port.port)), (Protocol::Tcp, tcp)];
    for (protocol, port) in ports.into_iter().filter_map(|(protocol, port)| Some((protocol, port?))) {
        let _ = mapper.ask(protocol, port);
    }
    world.resource_mut::<Reach>().mapper = Some(mapper);
}

/// What the router has said.
fn take_mapped(world: &mut World) {
    while let Some(event) = world.resource::<Reach>().mapper.as_ref().and_then(Mapper::poll_event) {
        let mut reach = world.resource_mut::<Reach>();
        let Reach { mapped, .. } = &mut *reach;
        mapped.retain(|(protocol, port, _)| (*protocol, *port) != (event.protocol, event.port));
        if let MappingState::Mapped { external, .. } = event.state {
            mapped.push((event.protocol, event.port, external));
            if reach.call.is_some() {
                offer_mapped(world, event.port);
            }
        }
    }
}

/// Mapped ports become ways: that one, or all (0).
fn offer_mapped(world: &mut World, only: u16) {
    let Some(call) = world.resource::<Reach>().call else { return };
    let Some(own) = own_addresses(world, call).into_iter().find(IpAddr::is_ipv4) else { return };
    let mut reach = world.resource_mut::<Reach>();
    let Reach { mapped, held, .. } = &mut *reach;
    for (protocol, port, external) in mapped.iter().filter(|(_, port, _)| only == 0 || only == *port) {
        let tcp = *protocol == Protocol::Tcp;
        let candidate = Candidate { address: *external, typ: CandidateKind::ServerReflexive, priority: 0, tcp };
        held.push(Found { candidate, base: SocketAddr::new(own, *port) });
    }
}

/// Our addresses: the one towards the other side first.
fn own_addresses(world: &World, call: Entity) -> Vec<IpAddr> {
    let signalling = world.resource::<Signalling>();
    if let Some(own) = signalling.door.as_ref().and_then(Door::own_ip) {
        return vec![own];
    }
    let link = world.get::<CallState>(call).and_then(|state| state.link);
    let peer = link.and_then(|link| signalling.links.get(&link)).map(|(peer, _)| peer.ip().to_canonical());
    let mut own: Vec<_> = peer.and_then(interfaces::address_towards).into_iter().collect();
    // Somebody on this machine is reached here; a service on it says nothing of where its people are.
    let is_here = own.first().is_some_and(|ip| ip.is_loopback());
    if !is_here || link.is_some_and(|link| people::carries(world, link)) {
        own.extend(interfaces::own_addresses());
    }
    let mut seen = Vec::new();
    own.retain(|ip| {
        !seen.contains(ip) && {
            seen.push(*ip);
            true
        }
    });
    own
}

/// Both have accepted: what was found is told, and what is found from now on.
pub fn tell(world: &mut World, call: Entity) {
    if world.resource::<Reach>().call != Some(call) {
        begin(world, call);
    }
    world.resource_mut::<Reach>().is_told = true;
    take_found(world);
}

/// In every tick: ways that were found.
pub fn take_found(world: &mut World) {
    take_mapped(world);
    let resolved = world.resource::<Reach>().resolving.as_ref().and_then(PipeReceiver::try_recv);
    if let Some(servers) = resolved {
        let mut reach = world.resource_mut::<Reach>();
        let is_first = reach.servers.list.is_empty();
        (reach.servers, reach.resolving) = (Arc::new(servers), None);
        let (now, servers) = (world.resource::<Now>().0, world.resource::<Reach>().servers.clone());
        if is_first && let Some(paths) = &mut world.resource_mut::<MediaPort>().paths {
            // A call that began before they were known.
            paths.ask(servers, now);
        }
    }
    while let Some(found) = world.resource_mut::<MediaPort>().paths.as_mut().and_then(|paths| paths.poll_found()) {
        world.resource_mut::<Reach>().held.push(found);
    }
    let reach = world.resource::<Reach>();
    let Some(call) = reach.call.filter(|_| reach.is_told && !reach.held.is_empty()) else { return };
    let held = std::mem::take(&mut world.resource_mut::<Reach>().held);
    let relay_only = world.get::<CallState>(call).is_some_and(|state| state.machine.is_relay_only());
    let is_good = |found: &&Found| !relay_only || found.candidate.typ == CandidateKind::Relayed;
    let mut candidates = Vec::new();
    for found in held.iter().filter(is_good) {
        if let Some(priority) = media::add_local(world, call, found) {
            let mut candidate = found.candidate;
            candidate.priority = priority;
            candidates.push(candidate);
        }
    }
    if !candidates.is_empty() {
        calls::feed(world, call, Event::Gathered(candidates));
    }
}

/// Nothing comes: our addresses may have changed, or how they are seen.
pub fn look_again(world: &mut World, call: Entity, now: Instant) {
    let reach = world.resource::<Reach>();
    let is_due = reach.looked.is_none_or(|at| now.saturating_duration_since(at) >= LOOK_EVERY);
    if reach.call != Some(call) || !reach.is_told || !is_due {
        return;
    }
    let own = own_addresses(world, call);
    let mut reach = world.resource_mut::<Reach>();
    reach.looked = Some(now);
    let mut port = world.resource_mut::<MediaPort>();
    let has_changed = port.paths.as_mut().is_some_and(|paths| paths.look_again(own.clone(), now));
    if has_changed {
        media::drop_gone(world, call, &own);
        // What was connected from the old address stays silent until it is given up.
        people::reconnect(world);
    }
}

/// How often it is looked whether something has changed while nothing comes.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The call is over.
pub fn end(world: &mut World, call: Entity, now: Instant) {
    let mut reach = world.resource_mut::<Reach>();
    if reach.call == Some(call) {
        reach.call = None;
        reach.held.clear();
        if let Some(paths) = &mut world.resource_mut::<MediaPort>().paths {
            paths.close(now);
        }
    }
}
