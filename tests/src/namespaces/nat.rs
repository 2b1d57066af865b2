//! Kinds of gateways, as rules of nftables. Names of RFC 4787: how a mapping depends on the other end (endpoint-independent, or
//! on its address and port), and who may send to it.

/// A kind of gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Nat {
    /// The client has public addresses, of both families.
    None,
    /// Endpoint-independent mapping and filtering.
    FullCone,
    /// Endpoint-independent mapping, address-dependent filtering.
    Addr,
    /// Endpoint-independent mapping, address- and port-dependent filtering: most homes.
    Port,
    /// Address- and port-dependent mapping to a random port, and filtering: many companies and mobile networks.
    Symmetric,
    /// No UDP but for names.
    UdpBlocked,
    /// Nothing but TCP 443 goes out.
    Tcp443,
    /// Outward exactly the ports of the seed's table.
    SeedTable,
    /// Nothing is forwarded; an HTTP proxy on the gateway goes out.
    ProxyOnly,
    /// The same with a SOCKS proxy.
    SocksOnly,
    V6Only,
    V4Only,
    /// Nothing goes through.
    BlackHole,
}

impl Nat {
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::FullCone => "fullcone",
            Self::Addr => "addr",
            Self::Port => "port",
            Self::Symmetric => "symmetric",
            Self::UdpBlocked => "udpblock",
            Self::Tcp443 => "tcp443",
            Self::SeedTable => "seedtable",
            Self::ProxyOnly => "proxyonly",
            Self::SocksOnly => "socksonly",
            Self::V6Only => "v6only",
            Self::V4Only => "v4only",
            Self::BlackHole => "blackhole",
        }
    }

    /// Whether the home has IPv6 as well, or alone.
    pub(super) const fn has_v6(self) -> bool {
        matches!(self, Self::None | Self::V6Only)
    }

    /// The rules of the gateway of home `n`.
    pub(crate) fn rules(self, n: u8) -> String {
        let client = format!("192.168.{n}.2");
        let masquerade = r#"chain out { type nat hook postrouting priority srcnat;
            oifname "wan" meta nfproto ipv4 masquerade; }"#;
        let body = match self {
            Self::None => format!(
                r#"chain in {{ type nat hook prerouting priority dstnat; iifname "wan" ip daddr 5.5.5.{n} dnat ip to {client}; }}
                chain out {{ type nat hook postrouting priority srcnat; oifname "wan" ip saddr {client} snat ip to 5.5.5.{n}; }}"#
            ),
            Self::FullCone => format!(
                r#"set used {{ type inet_service; flags timeout,dynamic; timeout 120s; }}
                chain note {{ type filter hook forward priority -1; iifname "lan" meta l4proto udp update @used {{ udp sport }}; }}
                chain in {{ type nat hook prerouting priority dstnat; iifname "wan" udp dport @used dnat ip to {client}; }}
                {masquerade}
                {V6}
                {CLOSED}"#
            ),
            Self::Addr => format!(
                r#"set seen {{ type ipv4_addr . inet_service; flags timeout,dynamic; timeout 120s; }}
                chain note {{ type filter hook forward priority -1;
                    iifname "lan" meta l4proto udp update @seen {{ ip daddr . udp sport }}; }}
                chain in {{ type nat hook prerouting priority dstnat;
                    iifname "wan" ip saddr . udp dport @seen dnat ip to {client}; }}
                {masquerade}
                {V6}
                {CLOSED}"#
            ),
            Self::Port => format!("{masquerade}\n{V6}\n{CLOSED}"),
            Self::Symmetric => format!(
                r#"chain out {{ type nat hook postrouting priority srcnat;
                    oifname "wan" ip protocol udp masquerade to :1024-65535 fully-random;
                    oifname "wan" meta nfproto ipv4 masquerade; }}
                {V6}
                {CLOSED}"#
            ),
            Self::UdpBlocked => format!(
                r#"chain without {{ type filter hook forward priority 0; meta l4proto udp udp dport != 53 drop; }}
                {masquerade}
                {V6}
                {CLOSED}"#
            ),
            Self::Tcp443 => format!("{masquerade}\n{CLOSED}\n{}", outward("tcp dport 443 accept;")),
            Self::SeedTable => format!(
                "{masquerade}\n{CLOSED}\n{}",
                outward(
                    "tcp dport { 80, 443, 2000-2002, 2010-2030, 9800 } accept; udp dport 2000-2100 accept; udp dport 53 accept;"
                )
            ),
            Self::ProxyOnly | Self::SocksOnly | Self::BlackHole => {
                "chain none { type filter hook forward priority 0; policy drop; }".to_owned()
            }
            Self::V6Only => V6.to_owned(),
            Self::V4Only => format!("{masquerade}\n{CLOSED}"),
        };
        format!("table inet n {{\n{body}\n}}\n")
    }
}

/// What nobody asked for stays outside, as in most homes.
const CLOSED: &str = r#"chain closed { type filter hook input priority 0; policy accept;
    iifname "wan" ct state new udp dport 1024-65535 drop; iifname "wan" ct state new tcp flags syn drop; }"#;

/// The firewall for IPv6 of a home.
const V6: &str = r#"chain six { type filter hook forward priority 0; policy accept;
    meta nfproto ipv6 iifname "wan" ct state established,related accept;
    meta nfproto ipv6 iifname "wan" icmpv6 type { packet-too-big, echo-request, destination-unreachable } accept;
    meta nfproto ipv6 iifname "wan" drop; }"#;

/// Only what the rules let out goes out, in both families.
fn outward(rules: &str) -> String {
    format!(
        r#"chain outward {{ type filter hook forward priority 0; policy drop;
            ct state established,related accept; icmpv6 type packet-too-big accept; iifname "lan" jump allowed; }}
        chain allowed {{ {rules}
        }}"#
    )
}
