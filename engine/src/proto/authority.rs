//! The part of a URL that says who asks whom: `USER:PASSWORD@HOST:PORT` (RFC 3986 §3.2).

use std::fmt;

/// Who asks, and whom.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Authority {
    /// Empty: none was said.
    pub user: String,
    pub password: String,
    /// A name or an address, without brackets.
    pub host: String,
    pub port: Option<u16>,
}

impl Authority {
    /// # Errors
    /// What is wrong with it, never with its password.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (who, place) = text.rsplit_once('@').unwrap_or(("", text));
        let (user, password) = who.split_once(':').unwrap_or((who, ""));
        let (host, port) = match place.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
            Some((host, port)) => (host, Some(port.parse().map_err(|_| "that is no port")?)),
            None => (place, None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err("no host is named");
        }
        let plain = |text: &str| decode(text).ok_or("a percent sign stands before two digits");
        Ok(Self { user: plain(user)?, password: plain(password)?, host: host.to_owned(), port })
    }

    /// Whether it is this machine.
    pub fn is_here(&self) -> bool {
        self.host == "localhost" || self.host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, host, port, .. } = self;
        let at = if user.is_empty() { "" } else { "@" };
        match port {
            Some(port) => write!(f, "{user}{at}{host}:{port}"),
            None => write!(f, "{user}{at}{host}"),
        }
    }
}

/// RFC 3986 §2.1.
pub fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut left = text.bytes();
    while let Some(byte) = left.next() {
        match byte {
            b'%' => {
                let digit =
                    |byte: Option<u8>| char::from(byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                let (high, low) = (digit(left.next())?, digit(left.next())?);
                bytes.push((high << 4) | low);
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_and_whom_are_told_apart_and_the_password_is_not_shown() {
        let whole = Authority::parse("visavis:p%40s:s@db.example:6432").expect("whole");
        assert_eq!((whole.user.as_str(), whole.password.as_str()), ("visavis", "p@s:s"));
        assert_eq!((whole.host.as_str(), whole.port), ("db.example", Some(6432)));
        assert_eq!(format!("{whole:?}"), "visavis@db.example:6432");
        let short = Authority::parse("[::1]").expect("whole");
        assert!(short.host == "::1" && short.port.is_none() && short.is_here());
        for wrong in ["", "a:b@", "a:b@host:x", "a:%zz@host", "a:%4@host"] {
            assert!(Authority::parse(wrong).is_err(), "{wrong}");
        }
    }
}
