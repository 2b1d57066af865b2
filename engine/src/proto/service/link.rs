//! The link that leads to a service: `https://HOST[:PORT]/join#pin=HEX&invite=CODE`. What follows the `#` is never sent to
//! any server (RFC 3986 §3.5).

use std::fmt;
use std::str::FromStr;

use super::account::Secret;
use crate::base::error::{Error, Kind};
use crate::proto::hex;
use crate::proto::keys::Digest;

/// Where a service is, and how it is recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceLink {
    pub host: String,
    /// `None`: the doors are tried in their order.
    pub port: Option<u16>,
    /// SHA-256 of the SubjectPublicKeyInfo of the service's certificate. Without it the system's authorities decide.
    pub pin: Option<Digest>,
    pub invite: Option<Secret>,
}

impl ServiceLink {
    /// What a link says of a service whose links name `port`: nothing of the usual one, so that clients try all doors.
    pub fn named(port: u16) -> Option<u16> {
        Some(port).filter(|port| *port != 443)
    }
}

/// The doors in the order that a client tries them.
pub fn doors() -> impl Iterator<Item = u16> {
    [2018, 443, 9800].into_iter().chain((2010..=2030).filter(|port| *port != 2018))
}

impl FromStr for ServiceLink {
    type Err = Error;

    /// [`Kind::Refused`] with a line that says what is wrong.
    fn from_str(text: &str) -> Result<Self, Error> {
        let refused = |why: &str| Error::new(Kind::Refused, format!("that is no link to a service: {why}"));
        let text = text.trim();
        let rest = text.strip_prefix("https://").unwrap_or(text);
        if rest.contains("://") {
            return Err(refused("it begins with https://"));
        }
        let (place, fragment) = rest.split_once('#').unwrap_or((rest, ""));
        let authority = place.split(['/', '?']).next().unwrap_or_default();
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest.split_once(']').ok_or_else(|| refused("the bracket is not closed"))?;
                host.parse::<std::net::Ipv6Addr>().map_err(|_| refused("no IPv6 address in the brackets"))?;
                (host, after.strip_prefix(':').or_else(|| after.is_empty().then_some("")))
            }
            None => authority.split_once(':').map_or((authority, Some("")), |(host, port)| (host, Some(port))),
        };
        let port = match port.ok_or_else(|| refused("expected a colon after ]"))? {
            "" => None,
            port => Some(port.parse().map_err(|_| refused("the port is a number from 1 to 65535"))?),
        };
        let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
        if host.is_empty() || host.len() > 253 || !host.chars().all(is_host) || port == Some(0) {
            return Err(refused("it names no host"));
        }
        let mut link = Self { host: host.to_owned(), port, pin: None, invite: None };
        for part in fragment.split('&') {
            match part.split_once('=') {
                Some(("pin", pin)) => {
                    let pin = hex::parse(pin).ok_or_else(|| refused("its pin has not 64 hexadecimal digits"))?;
                    link.pin = Some(Digest(pin));
                }
                Some(("invite", code)) => link.invite = Some(Secret::new(code)),
                // From a newer service.
                _ => {}
            }
        }
        Ok(link)
    }
}

impl fmt::Display for ServiceLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "https://[{}]", self.host)?,
            false => write!(f, "https://{}", self.host)?,
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str("/join")?;
        let pin = self.pin.map(|pin| format!("pin={pin}"));
        let invite = self.invite.as_ref().map(|code| format!("invite={}", code.expose()));
        let parts: Vec<String> = pin.into_iter().chain(invite).collect();
        if parts.is_empty() { Ok(()) } else { write!(f, "#{}", parts.join("&")) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    #[test]
    fn a_link_is_read_as_it_was_written() {
        for text in [
            "https://chat.example/join",
            "https://chat.example:8443/join",
            &format!("https://[2001:db8::1]:443/join#pin={}&invite=abc", "0f".repeat(32)),
        ] {
            assert_eq!(text.parse::<ServiceLink>().expect(text).to_string(), text);
        }
        let bare: ServiceLink = "chat.example".parse().expect("a host");
        assert_eq!((bare.port, bare.pin), (None, None));
    }

    #[test]
    fn what_is_no_link_is_refused() {
        for text in ["", "http://a", "https://", "https://a:0/", "https://a:x", "https://a/#pin=12", "[::1", "a b"] {
            assert_eq!(text.parse::<ServiceLink>().expect_err(text).kind, Kind::Refused);
        }
    }

    proptest! {
        #[test]
        fn whatever_is_read_as_a_link_is_written_as_one(text in "(https://)?[a-z0-9.:\\[\\]-]{0,12}(:[0-9]{0,6})?/?(join)?#?(pin=[0-9a-f]{0,64})?.{0,8}") {
            if let Ok(link) = text.parse::<ServiceLink>() {
                assert_eq!(link.to_string().parse::<ServiceLink>().expect("its own form"), link);
            }
        }

        #[test]
        fn garbage_never_panics(text in any::<String>()) {
            let _ = text.parse::<ServiceLink>();
        }
    }

    #[test]
    fn the_doors_are_tried_from_2018_on_each_once() {
        let all: Vec<u16> = doors().collect();
        assert_eq!(&all[..4], &[2018, 443, 9800, 2010]);
        assert_eq!(all.len(), 23);
    }
}
