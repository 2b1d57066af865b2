//! Whom to call: what a person writes after `call`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::base::error::{Error, Kind};

/// The base port of somebody who changed nothing.
pub const DEFAULT_BASE: u16 = 2000;

/// A reading of a target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// `host[:base]`, `[IPv6][:base]` or a bare IPv6 address.
    Direct { host: String, base: u16 },
    /// `lan:NAME`: somebody on this network.
    Lan { name: String },
}

impl Target {
    /// The address, where the host is a literal one and needs no name service.
    pub fn literal(&self) -> Option<(IpAddr, u16)> {
        match self {
            Self::Direct { host, base } => host.parse().ok().map(|ip| (ip, *base)),
            Self::Lan { .. } => None,
        }
    }

    /// The name, where somebody on this network is meant.
    pub fn lan_name(&self) -> Option<&str> {
        match self {
            Self::Lan { name } => Some(name),
            Self::Direct { .. } => None,
        }
    }

    /// A name that may be a machine's or a person's on this network: without dots and without a port of its own.
    pub fn bare_name(&self) -> Option<&str> {
        match self {
            Self::Direct { host, base: DEFAULT_BASE } if !host.contains(['.', ':']) => Some(host),
            _ => None,
        }
    }
}

/// What a key is remembered under.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct { host, base } => write!(f, "{host}:{base}"),
            Self::Lan { name } => write!(f, "lan:{name}"),
        }
    }
}

impl FromStr for Target {
    type Err = Error;

    /// [`Kind::Refused`] with a line that says what is wrong: show it, do not try again.
    fn from_str(text: &str) -> Result<Self, Error> {
        let refused = |why: &str| Error::new(Kind::Refused, format!("cannot call {text:?}: {why}"));
        let text_trimmed = text.trim();
        if text_trimmed.is_empty() {
            return Err(refused("say whom, as HOST or HOST:BASE-PORT"));
        }
        // A host called "lan" has a number behind its colon.
        if let Some(name) = text_trimmed.strip_prefix("lan:").filter(|rest| rest.parse::<u16>().is_err()) {
            let name = name.trim();
            if name.is_empty() || name.chars().count() > 64 || name.contains(char::is_control) {
                return Err(refused("say whom on this network, as lan:NAME"));
            }
            return Ok(Self::Lan { name: name.to_owned() });
        }
        // A bare IPv6 address has colons of its own.
        if text_trimmed.parse::<std::net::Ipv6Addr>().is_ok() {
            return Ok(Self::Direct { host: text_trimmed.to_owned(), base: DEFAULT_BASE });
        }
        let (host, base) = if let Some(rest) = text_trimmed.strip_prefix('[') {
            let (host, after) = rest.split_once(']').ok_or_else(|| refused("the bracket is not closed"))?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| refused("no IPv6 address in the brackets"))?;
            match after {
                "" => (host, None),
                _ => (host, Some(after.strip_prefix(':').ok_or_else(|| refused("expected a colon after ]"))?)),
            }
        } else {
            match text_trimmed.split_once(':') {
                Some((host, base)) => (host, Some(base)),
                None => (text_trimmed, None),
            }
        };
        if !is_host(host) {
            return Err(refused("that is neither a host name nor an address"));
        }
        let base = match base {
            None => DEFAULT_BASE,
            Some(base) => base.parse().map_err(|_| refused("the base port is a number from 1 to 65433"))?,
        };
        check_base(base).map_err(|error| refused(&error.text))?;
        Ok(Self::Direct { host: host.to_owned(), base })
    }
}

/// That a base port leaves room for the media range and keeps off the directory's doors. [`Kind::Refused`] with a
/// line for the person.
pub fn check_base(base: u16) -> Result<(), Error> {
    // Media takes UDP B … B+100, and TCP B … B+2 must not touch 2010–2030.
    if base == 0 || base > u16::MAX - 102 {
        return Err(Error::new(Kind::Refused, "the base port is a number from 1 to 65433"));
    }
    if base <= 2030 && base + 2 >= 2010 {
        return Err(Error::new(Kind::Refused, "base ports from 2008 to 2030 are taken by the directory"));
    }
    Ok(())
}

/// Letters, digits, `-`, `_` and `.`, or an IPv6 address (RFC 1123 §2.1).
fn is_host(host: &str) -> bool {
    let is_name = !host.is_empty()
        && host.len() <= 253
        && !host.starts_with(['-', '.'])
        && host.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
    is_name || host.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_with_and_without_base_port_are_read() {
        for (text, host, base) in [
            ("ada.example", "ada.example", 2000),
            (" 192.0.2.7:2100 ", "192.0.2.7", 2100),
            ("[2001:db8::1]:3000", "2001:db8::1", 3000),
            ("[::1]", "::1", 2000),
            ("2001:db8::1", "2001:db8::1", 2000),
            ("my_box:2007", "my_box", 2007),
        ] {
            assert_eq!(text.parse::<Target>().ok(), Some(Target::Direct { host: host.into(), base }), "{text}");
        }
    }

    #[test]
    fn what_is_no_target_is_said_in_one_line() {
        for text in
            ["", "ada:", "ada:x", "ada:70000", "ada:0", "ada:2010", "ada:2008", "[::1", "[x]:1", "a b", "-a", ":1"]
        {
            let error = text.parse::<Target>().expect_err(text);
            assert_eq!(error.kind, Kind::Refused);
            assert!(error.text.contains("cannot call") && !error.text.contains('\n'), "{error}");
        }
    }

    #[test]
    fn people_on_this_network_are_called_by_name() {
        for (text, name) in [("lan:Ada Lovelace", "Ada Lovelace"), (" lan: ben ", "ben")] {
            let target: Target = text.parse().expect(text);
            assert_eq!((target.lan_name(), target.literal(), target.bare_name()), (Some(name), None, None));
            assert_eq!(target.to_string().parse().ok(), Some(target));
        }
        assert!("lan:".parse::<Target>().is_err() && "lan:a\u{7}".parse::<Target>().is_err());
        assert!("lan:2100".parse::<Target>().is_ok_and(|target| target.to_string() == "lan:2100"));
        let bare = |text: &str| text.parse::<Target>().expect("a target").bare_name().map(ToOwned::to_owned);
        assert_eq!(bare("ada").as_deref(), Some("ada"));
        assert_eq!((bare("ada:2100"), bare("ada.example"), bare("::1")), (None, None, None));
    }

    #[test]
    fn only_literal_addresses_need_no_name_service() {
        let literal = |text: &str| text.parse::<Target>().expect("target").literal();
        assert_eq!(literal("[::1]:2100"), Some(("::1".parse().expect("ip"), 2100)));
        assert_eq!(literal("ada.example"), None);
    }
}
