//! The ports of the plan, with the base port that is in use: for the guide and for advice.

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub port: String,
    pub direction: &'static str,
    pub what: &'static str,
}

/// All of them.
pub fn rows(base: u16) -> Vec<Row> {
    let at = |offset: u16| base.saturating_add(offset);
    let row = |port: String, direction, what| Row { port, direction, what };
    vec![
        row(format!("UDP {base}–{}", at(100)), "in and out", "sound and picture, on the first free one"),
        row(format!("TCP {base}"), "in and out", "calls: ringing, answering"),
        row(format!("TCP {}", at(1)), "in and out", "sound and picture where UDP is blocked"),
        row(format!("TCP {}", at(2)), "in and out", "messages from person to person"),
        row("TCP 2018".into(), "out", "the service: pals, presence, calls between them"),
        row("TCP 443".into(), "out", "the service, where nothing else is let out"),
        row("TCP 9800".into(), "out", "the service: rooms"),
        row("TCP 2010–2030".into(), "out", "the service: directory"),
        row("TCP 80".into(), "out", "only says where the service is"),
        row("UDP and TCP 3478".into(), "out", "finding one's own address; the relay"),
    ]
}

/// TCP ports that are tried on the way out.
pub fn doors() -> impl Iterator<Item = u16> {
    [443, 2018, 9800, 80, 3478].into_iter().chain((2010..=2030).filter(|port| *port != 2018))
}

/// A rule for a router, a line each.
pub fn router_rules(base: u16, local: &str) -> Vec<String> {
    let last = base.saturating_add(2);
    vec![format!("UDP {base} → {local} port {base}"), format!("TCP {base}–{last} → {local} ports {base}–{last}")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_follows_the_base_port() {
        let text: Vec<String> = rows(2100).iter().map(|row| row.port.clone()).collect();
        assert_eq!(text[..4], ["UDP 2100–2200", "TCP 2100", "TCP 2101", "TCP 2102"]);
        assert_eq!(doors().count(), 25);
        assert_eq!(router_rules(2100, "192.168.1.7")[1], "TCP 2100–2102 → 192.168.1.7 ports 2100–2102");
    }
}
