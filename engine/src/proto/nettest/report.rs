//! What the test found, as a person reads it.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use super::verdict::Verdict;
use super::{Findings, Mapping, ProxyState, Step};

/// A step's figure in one line; `None`: it found nothing.
pub fn line(step: Step, found: &Findings, show_address: bool) -> Option<String> {
    let ms = |ms: f64| format!("{ms:.1} ms");
    let yes = |is: bool, yes: &str, no: &str| if is { yes.to_owned() } else { no.to_owned() };
    Some(match step {
        Step::Addresses => {
            let local: Vec<String> = found.local.iter().map(|ip| shown(*ip, show_address)).collect();
            let public = found.public.map(|ip| format!(", seen as {}", shown(ip, show_address)));
            format!("{}{}", if local.is_empty() { "none".into() } else { local.join(", ") }, public.unwrap_or_default())
        }
        Step::Udp => match (found.udp?, found.delay_ms) {
            (true, Some(delay)) => format!("gets out and back in {}", ms(delay)),
            (is, _) => yes(is, "gets out", "does not get out"),
        },
        Step::TcpOut => {
            let list = |passes| {
                let ports = found.doors.iter().filter(|door| door.passes == passes).map(|door| door.port);
                ports.map(|port| port.to_string()).collect::<Vec<_>>()
            };
            let (open, shut) = (list(true), list(false));
            match (open.is_empty(), shut.is_empty()) {
                (true, true) => return None,
                (_, true) => "all ports of the plan get out".to_owned(),
                (true, _) => "no port gets out".to_owned(),
                _ if open.len() <= shut.len() => format!("only {} get out", open.join(", ")),
                _ => format!("{} do not get out", shut.join(", ")),
            }
        }
        Step::Service => match &found.service_error {
            Some(why) => why.clone(),
            None => yes(found.service?, "answers", "does not answer"),
        },
        Step::Nat => {
            let nat = found.nat?;
            format!("mapping {}, filtering {}", nat.mapping, nat.filtering)
        }
        Step::Ipv6 => yes(found.ipv6?, "there", "not there"),
        Step::Proxy => match (&found.proxy, &found.proxy_near) {
            (ProxyState::Works, _) => "works".to_owned(),
            (ProxyState::WrongLogin, _) => "does not accept the login".to_owned(),
            (ProxyState::Fails(why), _) => why.clone(),
            (ProxyState::Unset, Some(place)) => format!("none is set; one answers at {place}"),
            (ProxyState::Unset, None) => "none is set".to_owned(),
        },
        Step::PortMapping => match found.mapping.as_ref()? {
            Mapping::Mapped { by, external, is_public } => {
                let external = SocketAddr::new(external.ip(), external.port());
                let ip = shown(external.ip(), show_address);
                let note = yes(*is_public, "", ", which is no public address");
                format!("{by} opens port {} of {ip}{note}", external.port())
            }
            Mapping::Refused(why) => why.clone(),
        },
        Step::Inbound => {
            let inbound = found.inbound?;
            let word = |reached: Option<bool>| match reached {
                Some(true) => "reached",
                Some(false) => "not reached",
                None => "in use here, not tried",
            };
            let base = inbound.base;
            let tcp = (0u16..).zip(inbound.tcp).map(|(n, tcp)| format!("TCP {} {}", base.saturating_add(n), word(tcp)));
            let all: Vec<String> = [format!("UDP {base} {}", word(inbound.udp))].into_iter().chain(tcp).collect();
            all.join(", ")
        }
        Step::Relay => {
            let word = |relay: &super::Relay| match relay.ms {
                Some(time) => format!("{} {}", relay.uri, ms(time)),
                None => format!("{} does not answer", relay.uri),
            };
            let all: Vec<String> = found.relays.iter().map(word).collect();
            if all.is_empty() { return None } else { all.join(", ") }
        }
        Step::Routers => format!("{} with private addresses on the way out", found.routers?),
        Step::Mtu => format!("{} bytes", found.mtu?),
        Step::Loss => {
            let jitter = found.jitter_ms.map(|jitter| format!(", jitter {}", ms(jitter))).unwrap_or_default();
            format!("{:.1} % of {} datagrams lost{jitter}", found.loss? * 100.0, found.sent?)
        }
        Step::Bandwidth => {
            let rate = |bps: Option<u64>| bps.map_or_else(|| "?".to_owned(), |bps| format!("{:.1}", bps as f64 / 1e6));
            if found.down_bps.is_none() && found.up_bps.is_none() {
                return None;
            }
            format!("{} Mbit/s down, {} Mbit/s up", rate(found.down_bps), rate(found.up_bps))
        }
        Step::DelayUnderLoad => ms(found.loaded_delay_ms?),
        Step::Clock => {
            let off = found.clock_ms?;
            format!("{:.0} ms {}", off.abs(), if off < 0.0 { "slow" } else { "fast" })
        }
    })
}

/// The whole report.
pub fn text(found: &Findings, verdict: &Verdict, show_address: bool) -> String {
    let mut out = String::new();
    for step in Step::ALL {
        let line = line(step, found, show_address).unwrap_or_else(|| "not measured".to_owned());
        let _ = writeln!(out, "{step:<17} {line}");
    }
    out.push('\n');
    if verdict.healthy {
        out.push_str("This network is healthy: nothing is to be changed.\n");
    }
    for advice in &verdict.advice {
        let _ = writeln!(out, "{}\n  What to change: {}", advice.what, advice.change);
        let gain = match advice.gain_ms {
            Some(ms) if ms >= 1.0 => format!("up to {ms:.0} ms less delay. "),
            Some(_) => "no delay. ".to_owned(),
            None => String::new(),
        };
        let _ = writeln!(out, "  What it gains: {gain}{}", advice.gain);
    }
    if !verdict.healthy {
        out.push_str("This is advice: a failed test stops no call.\n");
    }
    out
}

/// An address; of a public one only what everybody in its network has.
pub fn shown(ip: IpAddr, whole: bool) -> String {
    if whole || !crate::proto::mapping::is_public(ip) {
        return ip.to_string();
    }
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            format!("{a}.{b}.x.x")
        }
        IpAddr::V6(ip) => {
            let [a, b, ..] = ip.segments();
            format!("{a:x}:{b:x}:x")
        }
    }
}

/// The findings as they may be kept: without the part of public addresses that names a person.
pub fn masked(found: &Findings) -> serde_json::Value {
    let mut value = serde_json::to_value(found).unwrap_or_default();
    let mask = |place: &mut serde_json::Value| {
        let Some(text) = place.as_str() else { return };
        if let Ok(address) = text.parse::<SocketAddr>() {
            *place = format!("{}:{}", shown(address.ip(), false), address.port()).into();
        } else if let Ok(ip) = text.parse::<IpAddr>() {
            *place = shown(ip, false).into();
        }
    };
    let mut waiting = vec![&mut value];
    while let Some(next) = waiting.pop() {
        match next {
            serde_json::Value::Array(all) => waiting.extend(all),
            serde_json::Value::Object(all) => waiting.extend(all.values_mut()),
            other => mask(other),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::super::verdict::verdict;
    use super::*;

    #[test]
    fn public_addresses_are_masked_unless_asked_for() {
        let found = Findings {
            local: vec!["192.168.1.2".parse().expect("an address"), "2001:db8:1::2".parse().expect("an address")],
            public: "5.6.7.8".parse().ok(),
            mapping: Some(Mapping::Mapped {
                by: "PCP".into(),
                external: "5.6.7.8:2000".parse().expect("an address"),
                is_public: true,
            }),
            ..Findings::default()
        };
        let verdict = verdict(&found, 2000);
        let hidden = text(&found, &verdict, false);
        assert!(hidden.contains("192.168.1.2") && !hidden.contains("5.6.7.8") && !hidden.contains("2001:db8:1::2"));
        assert!(hidden.contains("5.6.x.x"), "{hidden}");
        assert!(text(&found, &verdict, true).contains("seen as 5.6.7.8"));
        let json = masked(&found).to_string();
        assert!(json.contains("5.6.x.x:2000") && !json.contains("5.6.7.8") && json.contains("192.168.1.2"), "{json}");
    }

    #[test]
    fn what_was_not_measured_is_said_so() {
        let text = text(&Findings::default(), &verdict(&Findings::default(), 2000), false);
        assert!(text.lines().filter(|line| line.ends_with("not measured")).count() >= 10, "{text}");
        assert!(!text.contains(" 0.0"), "{text}");
    }
}
