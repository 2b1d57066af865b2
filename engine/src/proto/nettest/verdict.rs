//! From what was found to what is wrong, what to change, and what that would gain. A pure function.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Findings, Inbound, Kind, Mapping, ProxyState};

/// What can be wrong with a network. In this order: what is named first is to be changed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    ProxyLogin,
    ProxyNeeded,
    /// Nothing gets out, or the service is not there.
    NoService,
    Only443,
    UdpBlocked,
    RelayDown,
    DoubleNat,
    Symmetric,
    Loss,
    DeepQueue,
    Mtu,
    PortRule,
    NoIpv6,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Advice {
    pub cause: Cause,
    /// What is wrong, in a sentence.
    pub what: String,
    /// What to change, and where.
    pub change: String,
    /// Milliseconds of delay that it would take away; `None`: cannot be said.
    pub gain_ms: Option<f64>,
    /// What one would notice.
    pub gain: String,
}

/// What it all comes to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    pub healthy: bool,
    /// The first is the one to begin with.
    pub advice: Vec<Advice>,
}

/// Judges what was found. `base`: the first of our ports.
pub fn verdict(found: &Findings, base: u16) -> Verdict {
    let judge = Judge { found, base };
    let mut advice: Vec<Advice> = judge.way_out();
    // What stands behind a closed way out cannot be seen.
    if advice.is_empty() {
        advice.extend(judge.relays());
        advice.extend(judge.translation());
        advice.extend(judge.quality());
        advice.extend(judge.doors_in());
        advice.extend(judge.ipv6());
    }
    advice.sort_by_key(|advice| advice.cause);
    Verdict { healthy: advice.is_empty(), advice }
}

struct Judge<'a> {
    found: &'a Findings,
    base: u16,
}

impl Judge<'_> {
    fn way_out(&self) -> Vec<Advice> {
        let found = self.found;
        let udp = found.udp == Some(true);
        match &found.proxy {
            ProxyState::WrongLogin => {
                return vec![advice(
                    Cause::ProxyLogin,
                    "The proxy does not accept the user name or the password.",
                    "Correct them under Networking, Proxy Settings (or --proxy http://USER:PASSWORD@HOST:PORT). If they are \
                     right, ask your administrator.",
                    None,
                    "With the right login calls by the service are possible.",
                )];
            }
            ProxyState::Fails(why) => {
                return vec![advice(
                    Cause::ProxyNeeded,
                    &format!("The proxy that is set does not carry the connection: {why}."),
                    "Check its address under Networking, Proxy Settings, or ask your administrator.",
                    None,
                    "With a proxy that works calls by the service are possible.",
                )];
            }
            ProxyState::Works | ProxyState::Unset => {}
        }
        let open = |port: u16| found.doors.iter().any(|door| door.port == port && door.passes);
        let any = found.doors.iter().any(|door| door.passes);
        let is_served = found.service == Some(true);
        if !udp && !any && !is_served && (found.udp.is_some() || !found.doors.is_empty()) {
            return vec![match &found.proxy_near {
                Some(place) => advice(
                    Cause::ProxyNeeded,
                    &format!("This network lets nothing out but through a proxy; one answers at {place}."),
                    &format!(
                        "Set it under Networking, Proxy Settings (or --proxy http://{place}). It may want a login: ask \
                              your administrator."
                    ),
                    None,
                    "Calls by the service become possible.",
                ),
                None => advice(
                    Cause::NoService,
                    "Nothing gets out of this network, and no proxy answers.",
                    "Check the cable or the wireless network. If other programs get out by a proxy, set it under Networking, \
                     Proxy Settings; else ask your administrator.",
                    None,
                    "Without it only people on the same network can be called.",
                ),
            }];
        }
        let others = found.doors.iter().filter(|door| door.port != 443);
        if !udp && found.udp.is_some() && open(443) && others.clone().count() > 0 && others.clone().all(|d| !d.passes) {
            return vec![advice(
                Cause::Only443,
                "This network lets out only TCP port 443.",
                &format!("Ask your administrator to let out UDP {} and 3478, and TCP 2018.", self.media_range()),
                self.relay_ms("turns:"),
                "Calls go through the relay inside TLS: a lost packet holds up all that follow it. UDP takes that away.",
            )];
        }
        if found.udp == Some(false) {
            return vec![advice(
                Cause::UdpBlocked,
                "This network lets no UDP out.",
                &format!(
                    "Let out UDP {} and 3478 in the router's firewall; if it is not yours, ask your administrator.",
                    self.media_range()
                ),
                self.relay_ms("turns:").or_else(|| self.relay_ms("turn:")),
                "Sound and picture go over TCP: a lost packet holds up all that follow it, for a way there and back at least.",
            )];
        }
        if found.service == Some(false) {
            let why = found.service_error.as_deref().unwrap_or("it does not answer");
            return vec![advice(
                Cause::NoService,
                &format!("The network lets out what it has to, but the service cannot be used: {why}."),
                "Check its name, or ask who runs it.",
                None,
                "Pals can be called again.",
            )];
        }
        Vec::new()
    }

    fn relays(&self) -> Option<Advice> {
        let relays = &self.found.relays;
        let is_down = !relays.is_empty() && relays.iter().all(|relay| relay.ms.is_none());
        is_down.then(|| {
            advice(
                Cause::RelayDown,
                "The relay does not answer, on any of its ways.",
                "Tell whoever runs the service: its TURN server is down. Nothing is to be changed here.",
                None,
                "People whose networks cannot be reached directly cannot be called until it is back.",
            )
        })
    }

    /// What routers do to addresses.
    fn translation(&self) -> Vec<Advice> {
        let mut all = Vec::new();
        let mapped_inside = matches!(self.found.mapping, Some(Mapping::Mapped { is_public: false, .. }));
        if mapped_inside || self.found.routers.is_some_and(|count| count > 1) {
            all.push(advice(
                Cause::DoubleNat,
                "There are two routers one behind the other, each with addresses of its own.",
                &format!(
                    "Set the inner router to bridge mode (or access point), or give both the same rules: {}. If the outer one \
                     is the provider's, ask for a public address.",
                    self.rules()
                ),
                self.detour_ms(),
                "Others can reach this machine directly, without the relay.",
            ));
        }
        if self.found.nat.is_some_and(|nat| nat.mapping == Kind::AddressAndPortDependent) {
            all.push(advice(
                Cause::Symmetric,
                "The router gives each connection another outer port (symmetric NAT): many people cannot be reached directly.",
                &format!(
                    "Turn on UPnP or PCP in the router, or set the rules {}, or look for \"cone NAT\" or \"preserve source \
                     ports\" in its settings.",
                    self.rules()
                ),
                self.detour_ms(),
                "Calls that go through the relay now go directly.",
            ));
        }
        all
    }

    fn quality(&self) -> Vec<Advice> {
        let found = self.found;
        let mut all = Vec::new();
        let lost = found.loss.zip(found.sent).map(|(loss, sent)| (loss, (loss * f64::from(sent)).round()));
        if let Some((loss, _)) = lost.filter(|(loss, count)| *loss >= LOSS && *count >= 2.0) {
            all.push(advice(
                Cause::Loss,
                &format!("{:.1} % of the packets are lost.", loss * 100.0),
                "Use a cable instead of wireless, or come nearer to the access point; if it is lost with a cable too, ask the \
                 provider.",
                found.delay_ms,
                "Each lost part of a picture is asked for again, which takes a way there and back; sound gets worse.",
            ));
        }
        if let (Some(idle), Some(loaded)) = (found.delay_ms, found.loaded_delay_ms)
            && loaded - idle >= QUEUE_MS
        {
            let rate = found.up_bps.map(|bps| format!(" to {} kbit/s up", bps * 9 / 10 / 1000)).unwrap_or_default();
            all.push(advice(
                Cause::DeepQueue,
                &format!("When the connection is busy, packets wait {:.0} ms in a queue of the router.", loaded - idle),
                &format!(
                    "Turn on smart queue management (SQM, fq_codel, CAKE) in the router, or limit its rate{rate}; or do not \
                     upload during calls."
                ),
                Some(loaded - idle),
                "Calls stay quick while something else is sent.",
            ));
        }
        if let Some(mtu) = found.mtu.filter(|mtu| *mtu < SMALL_MTU) {
            all.push(advice(
                Cause::Mtu,
                &format!("Packets of more than {mtu} bytes do not get through (1500 is usual)."),
                "Look for a VPN or tunnel on this machine, and for the MTU in the router's settings for the connection.",
                Some(0.0),
                if mtu >= OUR_PACKETS {
                    "Calls are not affected: their packets are smaller. Other programs may hang."
                } else {
                    "Pictures become possible: their packets are larger than what gets through now."
                },
            ));
        }
        all
    }

    fn doors_in(&self) -> Option<Advice> {
        let Inbound { udp, tcp, .. } = self.found.inbound?;
        let closed = udp == Some(false) || tcp.contains(&Some(false));
        // Behind two routers, rules of one of them are no help, and that was said.
        let is_said = self.found.routers.is_some_and(|count| count > 1)
            || matches!(self.found.mapping, Some(Mapping::Mapped { is_public: false, .. }));
        let behind_router =
            self.found.gateway.is_some() && self.found.public.is_some_and(|ip| !self.found.local.contains(&ip));
        (closed && !is_said).then(|| {
            let open = [(udp, "UDP", self.base)]
                .into_iter()
                .chain((0..).zip(tcp).map(|(n, tcp)| (tcp, "TCP", self.base.saturating_add(n))));
            let missing: Vec<String> = open
                .filter(|(reached, ..)| *reached == Some(false))
                .map(|(_, protocol, port)| format!("{protocol} {port}"))
                .collect();
            let missing = missing.join(", ");
            let change = match behind_router {
                true => format!(
                    "No change is needed to call. For a better way in, turn on UPnP or PCP in the router, or set there: {}. \
                     If the router is not yours, ask your administrator.",
                    self.rules()
                ),
                false => format!("No change is needed to call. For a better way in, let {missing} in through the firewall."),
            };
            advice(
                Cause::PortRule,
                &format!("From outside this machine cannot be reached on {missing}."),
                &change,
                self.detour_ms(),
                "People call you directly, also without a service, and calls that go through the relay now go directly.",
            )
        })
    }

    fn ipv6(&self) -> Option<Advice> {
        (self.found.ipv6 == Some(false)).then(|| {
            advice(
                Cause::NoIpv6,
                "This network has no IPv6.",
                "Turn IPv6 on in the router, if the provider has it.",
                Some(0.0),
                "People who only have IPv6 are reached directly instead of through the relay.",
            )
        })
    }

    fn media_range(&self) -> String {
        format!("{}–{}", self.base, self.base.saturating_add(100))
    }

    fn rules(&self) -> String {
        let local = self.found.local.iter().find(|ip| matches!(ip, IpAddr::V4(_)));
        let local = local.map_or_else(|| "this machine".to_owned(), ToString::to_string);
        super::port_table::router_rules(self.base, &local).join("; ")
    }

    /// What a relay costs at most: the way to it and back, where the other side is near.
    fn detour_ms(&self) -> Option<f64> {
        self.relay_ms("turn:").or(self.found.delay_ms)
    }

    fn relay_ms(&self, scheme: &str) -> Option<f64> {
        let times = self.found.relays.iter().filter(|relay| relay.uri.starts_with(scheme)).filter_map(|relay| relay.ms);
        times.min_by(f64::total_cmp)
    }
}

fn advice(cause: Cause, what: &str, change: &str, gain_ms: Option<f64>, gain: &str) -> Advice {
    Advice { cause, what: what.into(), change: change.into(), gain_ms, gain: gain.into() }
}

/// Below this nobody notices; above it pictures stop now and then.
const LOSS: f64 = 0.01;

/// Speech becomes hard to interleave beyond 150 ms one way (ITU-T G.114): a queue alone must not take that.
const QUEUE_MS: f64 = 150.0;

/// PPPoE, which is everywhere, has 1492; tunnels that work have 1400 and more.
const SMALL_MTU: u16 = 1400;

/// Our largest packet with what a relay and IPv6 put around it.
const OUR_PACKETS: u16 = 1200 + 76;

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
