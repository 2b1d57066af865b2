//! The order of the steps: what is independent runs side by side, what fills the way runs last and alone.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;

use super::datagrams::{Line, Loss};
use super::{NetTestConfig, Told, bandwidth, doors, hops, inbound, relay};
use crate::base::pipe::{PipeSender, Wake};
use crate::base::time::{self, Duration, Instant, WallTime};
use crate::net::interfaces::address_towards;
use crate::net::mapping::Gateway;
use crate::net::service::https::{Https, Place};
use crate::net::tcp::resolve_blocking;
use crate::proto::nettest::service::{ABOUT, About};
use crate::proto::nettest::verdict::verdict;
use crate::proto::nettest::{Findings, Kind, Nat, ProxyState, Step};
use crate::proto::proxy::is_login;

pub struct Run {
    config: NetTestConfig,
    told: PipeSender<Told>,
    wake: Wake,
    redraw: Option<Arc<dyn Fn() + Send + Sync>>,
    pub quit: Arc<AtomicBool>,
    found: Mutex<Findings>,
}

/// The service, as far as it was found.
#[derive(Debug, Default)]
pub struct Service {
    pub place: Option<Place>,
    /// Its address, where the name service knows it.
    pub ip: Option<IpAddr>,
    pub about: Option<About>,
}

impl Run {
    pub fn new(
        config: NetTestConfig,
        told: PipeSender<Told>,
        wake: Wake,
        redraw: Option<Arc<dyn Fn() + Send + Sync>>,
        quit: Arc<AtomicBool>,
    ) -> Self {
        Self { config, told, wake, redraw, quit, found: Mutex::default() }
    }

    pub fn run(self) {
        let service = self.way_out();
        let line = if self.goes_on() { self.translation(&service) } else { None };
        if self.goes_on() && !self.config.quick {
            self.beside(&service, line.as_ref());
        }
        if self.goes_on() && !self.config.quick && service.about.is_some() {
            self.full(&service, line.as_ref());
        }
        if self.goes_on() {
            let found = self.found();
            let verdict = verdict(&found, self.config.base);
            self.tell(Told::Over(Box::new(found), verdict));
        }
    }

    pub fn goes_on(&self) -> bool {
        !self.quit.load(Ordering::Relaxed)
    }

    pub const fn base(&self) -> u16 {
        self.config.base
    }

    /// Notes what a step found, and tells it.
    pub fn done(&self, step: Step, change: impl FnOnce(&mut Findings)) {
        let found = {
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut found);
            found.clone()
        };
        if self.goes_on() {
            self.tell(Told::Done(step, Box::new(found)));
        }
    }

    pub fn found(&self) -> Findings {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tell(&self, told: Told) {
        // There is room for every step; a full pipe means that nobody takes any.
        let _ = self.told.try_send(told);
        self.wake.wake();
        if let Some(redraw) = &self.redraw {
            redraw();
        }
    }

    /// Addresses, and by which doors one gets out.
    fn way_out(&self) -> Service {
        let mut service = Service::default();
        let host = self.config.service.as_ref().map(|link| link.host.clone());
        // Behind a proxy names may be unknown.
        let resolved = host.as_ref().map(|host| resolve_blocking(host, 443).unwrap_or_default()).unwrap_or_default();
        let ips: Vec<IpAddr> = resolved.iter().map(|address| address.ip().to_canonical()).collect();
        service.ip = ips.iter().copied().find(IpAddr::is_ipv4).or_else(|| ips.first().copied());
        self.addresses(service.ip);
        std::thread::scope(|scope| {
            let ip = service.ip;
            let tries = std::thread::Builder::new().name("doors".into()).spawn_scoped(scope, move || {
                if let Some(ip) = ip {
                    let doors = doors::try_all(ip, &self.quit);
                    self.done(Step::TcpOut, |found| found.doors = doors);
                }
            });
            self.ask_service(&mut service);
            if let Ok(tries) = tries {
                let _ = tries.join();
            }
        });
        let found = self.found();
        let nothing = found.service != Some(true) && found.doors.iter().all(|door| !door.passes);
        let near = if nothing { doors::proxy_near(found.gateway, &self.quit) } else { None };
        self.done(Step::Proxy, |found| found.proxy_near = near);
        service
    }

    fn addresses(&self, service: Option<IpAddr>) {
        let gateway = Gateway::find();
        // Nothing is sent: these only ask the routing table.
        let towards = [service, gateway.map(|gateway| gateway.address.into()), Some(SOMEWHERE_6)];
        let mut local: Vec<IpAddr> = Vec::new();
        for ip in towards.into_iter().flatten().filter_map(address_towards) {
            if !ip.is_loopback() && !local.contains(&ip) {
                local.push(ip);
            }
        }
        let ipv6 = local.iter().any(|ip| matches!(ip, IpAddr::V6(ip) if !is_local_6(*ip)));
        self.done(Step::Ipv6, |found| found.ipv6 = Some(ipv6));
        self.done(Step::Addresses, |found| {
            found.local = local;
            found.gateway = gateway.map(|gateway| gateway.address);
        });
    }

    fn ask_service(&self, service: &mut Service) {
        let Some(link) = self.config.service.clone() else { return };
        let proxied = self.config.proxies.towards(&link.host).is_some();
        let asked = Place::new(link, self.quit.clone(), self.config.proxies.clone()).and_then(|mut place| {
            place.patience = PATIENCE;
            let https = place.connect()?;
            Ok((place, https))
        });
        let (place, about) = match asked {
            Ok((mut place, mut https)) => {
                place.door = Some(https.address().port());
                (Some(place), ask_about(&mut https))
            }
            Err(error) => {
                self.done(Step::Service, |found| {
                    (found.service, found.service_error) = (Some(false), Some(error.to_string()));
                    if proxied {
                        found.proxy = match is_login(&error) {
                            true => ProxyState::WrongLogin,
                            false => ProxyState::Fails(error.to_string()),
                        };
                    }
                });
                return;
            }
        };
        let asked_at = about.as_ref().map(|(_, at, ms)| (*at, *ms));
        service.place = place;
        service.about = about.map(|(about, ..)| about);
        let about = service.about.as_ref();
        self.done(Step::Service, |found| {
            found.service = Some(true);
            // An older service answers, and helps with nothing.
            found.service_error = about.is_none().then(|| "it is older than this test".to_owned());
            if proxied {
                found.proxy = ProxyState::Works;
            } else {
                found.public = about.map(|about| about.you);
            }
        });
        if let Some((about, (at, ms))) = about.zip(asked_at) {
            // Its clock was read half-way.
            let ours = WallTime::of(at).as_micros() as f64 / 1000.0 - ms / 2.0;
            self.done(Step::Clock, |found| found.clock_ms = Some(ours - about.time_us as f64 / 1000.0));
        }
    }

    /// UDP, and what routers do to it.
    fn translation(&self, service: &Service) -> Option<Line> {
        let targets = self.stun_targets(service);
        let first = *targets.first()?;
        let line = Line::open(first, self.quit.clone())?;
        let asked: Vec<_> = targets.iter().take(2).map(|target| line.ask(*target)).collect();
        let answered = asked.iter().flatten().count() > 0;
        let delay = asked.iter().flatten().map(|(ms, _)| *ms).min_by(f64::total_cmp);
        self.done(Step::Udp, |found| {
            (found.udp, found.delay_ms) = (Some(answered), delay);
            let mapped = asked.iter().flatten().find_map(|(_, answer)| answer.mapped);
            found.public = found.public.or(mapped.map(|mapped| mapped.ip()));
        });
        if !answered {
            return None;
        }
        let nat = self.nat(&line, &asked);
        self.done(Step::Nat, |found| found.nat = Some(nat));
        let mtu = line.mtu();
        self.done(Step::Mtu, |found| found.mtu = mtu);
        // One of the two may be closed at the service.
        line.towards(targets.iter().copied().zip(&asked).find(|(_, asked)| asked.is_some()).map_or(first, |(to, _)| to))
    }

    fn nat(&self, line: &Line, asked: &[super::datagrams::Asked]) -> Nat {
        let mapped: Vec<SocketAddr> = asked.iter().flatten().filter_map(|(_, answer)| answer.mapped).collect();
        let [one, rest @ ..] = mapped.as_slice() else { return Nat::default() };
        if line.is_own(*one) {
            return Nat { mapping: Kind::None, filtering: Kind::Unknown };
        }
        if rest.iter().any(|other| other != one) {
            // Two ports of one address are seen from two ports of ours.
            return Nat { mapping: Kind::AddressAndPortDependent, filtering: line.filtering(asked) };
        }
        // RFC 5780 §4.3: with one address alone the kind is not known.
        Nat { mapping: line.mapping(asked, *one), filtering: line.filtering(asked) }
    }

    /// What disturbs nothing else.
    fn beside(&self, service: &Service, line: Option<&Line>) {
        std::thread::scope(|scope| {
            beside(scope, "relays", || relay::try_all(self, service));
            beside(scope, "ports in", || inbound::try_all(self, service));
            if let Some(IpAddr::V4(ip)) = service.ip {
                beside(scope, "hops", move || {
                    let count = hops::private_routers(ip, &self.quit);
                    self.done(Step::Routers, |found| found.routers = count);
                });
            }
            if let Some(line) = line {
                beside(scope, "loss", || {
                    let loss = Loss::measure(line, SAMPLE);
                    self.done(Step::Loss, |found| loss.note(found));
                });
            }
        });
    }

    /// The way is filled, down and then up, while somebody asks how long it takes.
    fn full(&self, service: &Service, line: Option<&Line>) {
        let Some(place) = &service.place else { return };
        let (down_bps, down_ms) = bandwidth::fill(self, place, line, false);
        let (up_bps, up_ms) = bandwidth::fill(self, place, line, true);
        self.done(Step::Bandwidth, |found| (found.down_bps, found.up_bps) = (down_bps, up_bps));
        let worst = down_ms.into_iter().chain(up_ms).max_by(f64::total_cmp);
        self.done(Step::DelayUnderLoad, |found| found.loaded_delay_ms = worst);
    }

    /// Where STUN is asked: what the service names, else where services usually have it.
    fn stun_targets(&self, service: &Service) -> Vec<SocketAddr> {
        let named = service.about.as_ref().map(|about| about.relays.as_slice()).unwrap_or_default();
        let mut targets: Vec<SocketAddr> = named
            .iter()
            .filter_map(|uri| relay::Uri::parse(uri, &self.host()))
            // Whoever relays over UDP answers this as well (RFC 8656 §3).
            .filter(relay::Uri::is_udp)
            .filter_map(|uri| uri.address(service.ip))
            .collect();
        targets.dedup();
        if targets.is_empty() {
            targets.extend(service.ip.iter().flat_map(|ip| USUAL.map(|port| SocketAddr::new(*ip, port))));
        }
        targets
    }

    pub fn host(&self) -> String {
        self.config.service.as_ref().map(|link| link.host.clone()).unwrap_or_default()
    }
}

/// Without a thread the step is not measured, and says so.
fn beside<'scope>(scope: &'scope Scope<'scope, '_>, name: &str, work: impl FnOnce() + Send + 'scope) {
    let _ = std::thread::Builder::new().name(name.into()).spawn_scoped(scope, work);
}

/// What the service says, when that was, and how long it took.
fn ask_about(https: &mut Https) -> Option<(About, Instant, f64)> {
    let begun = time::now();
    let until = begun.checked_add(PATIENCE)?;
    let answer = https.request_until(until, "GET", ABOUT, None, None).ok()?;
    let now = time::now();
    let ms = now.saturating_duration_since(begun).as_secs_f64() * 1000.0;
    Some((answer.json().ok()?, now, ms))
}

const fn is_local_6(ip: Ipv6Addr) -> bool {
    ip.is_unicast_link_local() || ip.is_unique_local()
}

/// An address of the Internet (RFC 4291 §2.4), asked only of our routing table.
const SOMEWHERE_6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 1));

/// Where a service answers STUN: its own port, and the last one of the media range.
const USUAL: [u16; 2] = [3478, 2100];

/// All that the way to the service may take: the whole test has twenty seconds.
const PATIENCE: Duration = Duration::from_millis(4000);

/// At 25 a second 150 datagrams: of a loss of 5 % fewer than two are missed once in 200 tests.
const SAMPLE: Duration = Duration::from_millis(6000);
