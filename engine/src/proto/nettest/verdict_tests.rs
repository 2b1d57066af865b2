use super::super::{Door, Nat, Relay, port_table};
use super::*;

/// A home that lacks nothing.
fn healthy() -> Findings {
    let relay = |uri: &str, ms| Relay { uri: uri.into(), ms: Some(ms) };
    Findings {
        local: vec!["192.168.1.2".parse().expect("an address")],
        gateway: Some([192, 168, 1, 1].into()),
        public: Some("5.5.5.1".parse().expect("an address")),
        service: Some(true),
        udp: Some(true),
        delay_ms: Some(20.0),
        doors: port_table::doors().map(|port| Door { port, passes: true, ms: Some(20.0) }).collect(),
        inbound: Some(Inbound { base: 2000, udp: Some(true), tcp: [Some(true); 3] }),
        nat: Some(Nat { mapping: Kind::EndpointIndependent, filtering: Kind::Unknown }),
        ipv6: Some(true),
        relays: vec![relay("turn:x:3478?transport=udp", 21.0), relay("turns:x:443?transport=tcp", 45.0)],
        routers: Some(1),
        mtu: Some(1500),
        loaded_delay_ms: Some(35.0),
        loss: Some(0.0),
        sent: Some(150),
        jitter_ms: Some(1.0),
        clock_ms: Some(3.0),
        ..Findings::default()
    }
}

fn nothing_out(found: &mut Findings) {
    (found.service, found.udp, found.delay_ms) = (Some(false), Some(false), None);
    found.doors.iter_mut().for_each(|door| door.passes = false);
    (found.inbound, found.nat, found.relays, found.mtu) = (None, None, Vec::new(), None);
    (found.loss, found.sent, found.loaded_delay_ms, found.public) = (None, None, None, None);
}

#[test]
fn a_healthy_network_is_called_healthy() {
    assert_eq!(verdict(&healthy(), 2000), Verdict { healthy: true, advice: Vec::new() });
}

#[test]
fn each_of_the_twelve_causes_is_named() {
    type Spoil = fn(&mut Findings);
    let table: [(Cause, Option<f64>, Spoil); 12] = [
        (Cause::UdpBlocked, Some(45.0), |found| {
            (found.udp, found.delay_ms, found.loss, found.sent) = (Some(false), None, None, None);
            found.relays[0].ms = None;
            found.inbound = Some(Inbound { base: 2000, udp: Some(false), tcp: [Some(true); 3] });
        }),
        (Cause::Only443, Some(45.0), |found| {
            found.udp = Some(false);
            found.doors.iter_mut().for_each(|door| door.passes = door.port == 443);
            found.relays[0].ms = None;
            found.inbound = Some(Inbound { base: 2000, udp: Some(false), tcp: [Some(false); 3] });
        }),
        (Cause::ProxyNeeded, None, |found| {
            nothing_out(found);
            found.proxy_near = Some("192.168.1.1:3128".into());
        }),
        (Cause::ProxyLogin, None, |found| {
            nothing_out(found);
            found.proxy = ProxyState::WrongLogin;
        }),
        (Cause::Symmetric, Some(21.0), |found| {
            found.nat = Some(Nat { mapping: Kind::AddressAndPortDependent, filtering: Kind::Unknown });
        }),
        (Cause::NoIpv6, Some(0.0), |found| found.ipv6 = Some(false)),
        (Cause::Mtu, Some(0.0), |found| found.mtu = Some(1280)),
        (Cause::DeepQueue, Some(480.0), |found| found.loaded_delay_ms = Some(500.0)),
        (Cause::Loss, Some(20.0), |found| found.loss = Some(0.05)),
        (Cause::RelayDown, None, |found| found.relays.iter_mut().for_each(|relay| relay.ms = None)),
        (Cause::DoubleNat, Some(21.0), |found| {
            found.routers = Some(2);
            found.inbound = Some(Inbound { base: 2000, udp: Some(false), tcp: [Some(false); 3] });
        }),
        (Cause::PortRule, Some(21.0), |found| {
            found.inbound = Some(Inbound { base: 2000, udp: Some(false), tcp: [Some(false), Some(false), None] });
        }),
    ];
    for (cause, gain, spoil) in table {
        let mut found = healthy();
        spoil(&mut found);
        let verdict = verdict(&found, 2000);
        let causes: Vec<Cause> = verdict.advice.iter().map(|advice| advice.cause).collect();
        assert_eq!(causes, [cause], "one cause, and no consequence of it");
        assert!(!verdict.healthy);
        let advice = &verdict.advice[0];
        assert_eq!(advice.gain_ms, gain, "{cause:?}");
        assert!(!advice.what.is_empty() && !advice.change.is_empty() && !advice.gain.is_empty());
    }
}

#[test]
fn advice_names_the_protocol_the_ports_and_the_address() {
    let mut found = healthy();
    found.inbound = Some(Inbound { base: 2100, udp: Some(false), tcp: [Some(false); 3] });
    let verdict = verdict(&found, 2100);
    let text = &verdict.advice[0];
    assert!(text.what.contains("UDP 2100, TCP 2100, TCP 2101, TCP 2102"), "{}", text.what);
    for part in ["UDP 2100 → 192.168.1.2", "TCP 2100–2102 → 192.168.1.2", "ask your administrator"] {
        assert!(text.change.contains(part), "{}", text.change);
    }
}

#[test]
fn without_a_router_it_is_the_firewall() {
    let mut found = healthy();
    found.public = found.local.first().copied();
    found.inbound = Some(Inbound { base: 2000, udp: Some(true), tcp: [Some(false), None, None] });
    let text = &verdict(&found, 2000).advice[0].change;
    assert!(text.contains("let TCP 2000 in through the firewall"), "{text}");
}

#[test]
fn a_proxy_that_works_hides_no_other_cause_and_a_dead_cable_is_no_proxy() {
    let mut found = healthy();
    found.proxy = ProxyState::Works;
    assert!(verdict(&found, 2000).healthy);
    let mut found = healthy();
    nothing_out(&mut found);
    assert_eq!(verdict(&found, 2000).advice[0].cause, Cause::NoService);
}

#[test]
fn what_was_not_measured_is_no_fault() {
    assert!(verdict(&Findings::default(), 2000).healthy);
    let mut found = healthy();
    (found.loss, found.sent) = (Some(0.01), Some(100));
    assert!(verdict(&found, 2000).healthy, "one of a hundred");
}
