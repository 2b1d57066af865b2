//! Where a STUN or TURN server is, as RFC 7064 §3.1 and RFC 7065 §3.1 write it.

use std::fmt;
use std::str::FromStr;

use crate::base::error::{Error, Kind, Result};

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Over {
    Udp,
    Tcp,
    Tls,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerUri {
    /// It relays (TURN); else it only says where one is seen from (STUN).
    pub relays: bool,
    pub over: Over,
    /// A name, or an address without brackets.
    pub host: String,
    pub port: u16,
}

/// What stands for the host of the service that gave the address.
const SAME_HOST: &str = "HOST";

impl ServerUri {
    /// With the host of the service in the place of `HOST`.
    #[must_use]
    pub fn at(mut self, service: &str) -> Self {
        if self.host == SAME_HOST {
            service.clone_into(&mut self.host);
        }
        self
    }
}

impl FromStr for ServerUri {
    type Err = Error;

    /// [`Kind::Refused`] with the reason for anything else.
    fn from_str(text: &str) -> Result<Self> {
        let refused = |why: &str| Error::new(Kind::Refused, format!("{text} is no address of a relay: {why}"));
        let (scheme, rest) = text.split_once(':').ok_or_else(|| refused("expected turn:HOST:PORT"))?;
        let (relays, is_secure) = match scheme.to_ascii_lowercase().as_str() {
            "stun" => (false, false),
            "stuns" => (false, true),
            "turn" => (true, false),
            "turns" => (true, true),
            _ => return Err(refused("it begins with none of stun, stuns, turn and turns")),
        };
        let (place, query) = rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));
        let over = match (query, is_secure) {
            (None | Some("transport=udp"), false) => Over::Udp,
            (Some("transport=tcp"), false) => Over::Tcp,
            (None | Some("transport=tcp"), true) => Over::Tls,
            (Some("transport=udp"), true) => return Err(refused("DTLS is not spoken")),
            _ => return Err(refused("the transport is udp or tcp")),
        };
        let (host, port) = match place.strip_prefix('[') {
            Some(bracketed) => {
                let (host, rest) = bracketed.split_once(']').ok_or_else(|| refused("a bracket is open"))?;
                (host, rest.strip_prefix(':'))
            }
            None => place.rsplit_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
        };
        let usual = if is_secure { 5349 } else { 3478 };
        let port = port.map_or(Some(usual), |port| port.parse().ok().filter(|port| *port > 0));
        let port = port.ok_or_else(|| refused("the port is a number from 1 to 65535"))?;
        let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '_');
        if host.is_empty() || host.len() > 253 || !host.chars().all(is_host) {
            return Err(refused("the host is a name or an address"));
        }
        Ok(Self { relays, over, host: host.to_owned(), port })
    }
}

impl fmt::Display for ServerUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secure = if self.over == Over::Tls { "s" } else { "" };
        let kind = if self.relays { "turn" } else { "stun" };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        write!(f, "{kind}{secure}:{host}:{}", self.port)?;
        match self.over {
            Over::Tcp => f.write_str("?transport=tcp"),
            Over::Udp | Over::Tls => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_as_the_rfcs_write_them() {
        let read = |text: &str| {
            let uri: ServerUri = text.parse().expect(text);
            (uri.relays, uri.over, uri.host, uri.port)
        };
        let host = || "example.org".to_owned();
        assert_eq!(read("stun:example.org"), (false, Over::Udp, host(), 3478));
        assert_eq!(read("turn:example.org:2100?transport=udp"), (true, Over::Udp, host(), 2100));
        assert_eq!(read("turn:example.org?transport=tcp"), (true, Over::Tcp, host(), 3478));
        assert_eq!(read("turns:example.org:443?transport=tcp"), (true, Over::Tls, host(), 443));
        assert_eq!(read("TURNS:[2001:db8::10]"), (true, Over::Tls, "2001:db8::10".into(), 5349));
        let same: ServerUri = "turn:HOST:3478".parse().expect("a server");
        assert_eq!(same.at("calls.example").host, "calls.example");
    }

    #[test]
    fn what_is_written_reads_the_same() {
        for text in ["stun:a.b:1", "turn:a.b:3478", "turn:[::1]:3478?transport=tcp", "turns:a-b:443"] {
            let uri: ServerUri = text.parse().expect(text);
            assert_eq!(uri.to_string(), text);
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_reason() {
        let texts = ["", "turn", "http:a:1", "turn:", "turn:a:0", "turn:a:70000", "turn:a?transport=sctp", "turn:[::1"];
        for text in texts.into_iter().chain(["turns:a?transport=udp", "turn:a b:1"]) {
            let error = text.parse::<ServerUri>().expect_err(text);
            assert!(error.text.contains("is no address of a relay: "), "{text}");
        }
    }
}
