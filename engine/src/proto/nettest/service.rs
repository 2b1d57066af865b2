//! What the service does for the test, as JSON over HTTP without a login.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::proto::target::check_base;

/// Everything of the test lies below this.
pub const ABOUT: &str = "/nettest";
/// `?bytes=N`: so many bytes, at most [`MOST_BYTES`].
pub const DOWN: &str = "/nettest/down";
/// Takes at most [`MOST_BYTES`] and answers with nothing.
pub const UP: &str = "/nettest/up";
/// Takes a [`Dial`].
pub const DIAL: &str = "/nettest/dial";

/// What a connection may make the service hold.
pub const MOST_BYTES: usize = 256 * 1024;

/// What the service says of itself and of who asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Where the request came from.
    pub you: IpAddr,
    /// Microseconds since 1970.
    pub time_us: u64,
    /// STUN and TURN servers; `HOST`: the service's own name.
    pub relays: Vec<String>,
}

/// Asks the service to call back where the request came from, and nowhere else: TCP B, B + 1, B + 2 and UDP B, with a few
/// bytes each ([`token`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dial {
    pub base: u16,
    pub cookie: u64,
}

impl Dial {
    /// `None`: not of this form, or ports that are nobody's base ports.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let dial: Self = serde_json::from_slice(body).ok()?;
        check_base(dial.base).ok().map(|()| dial)
    }

    /// What is sent to a port: by it the one who asked knows which call it is.
    pub fn token(self, port: u16) -> String {
        format!("visavis {:016x} {port}\n", self.cookie)
    }

    pub const fn tcp_ports(self) -> [u16; 3] {
        [self.base, self.base.saturating_add(1), self.base.saturating_add(2)]
    }
}

/// How many bytes a request for [`DOWN`] wants.
pub fn wanted_bytes(query: &str) -> usize {
    let asked = query.split('&').find_map(|part| part.strip_prefix("bytes="));
    asked.and_then(|count| count.parse().ok()).unwrap_or(0).min(MOST_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_to_be_called_back_names_ports_that_may_be_ones() {
        let dial = Dial::parse(br#"{"base":2000,"cookie":7}"#).expect("a wish");
        assert_eq!(dial.tcp_ports(), [2000, 2001, 2002]);
        assert_eq!(dial.token(2001), "visavis 0000000000000007 2001\n");
        for wrong in [&b"{}"[..], br#"{"base":2018,"cookie":7}"#, br#"{"base":0,"cookie":7}"#, b"", b"\xff"] {
            assert_eq!(Dial::parse(wrong), None);
        }
        assert_eq!(wanted_bytes("bytes=65536"), 65_536);
        assert_eq!(wanted_bytes("a=1&bytes=99999999999"), MOST_BYTES.min(wanted_bytes("bytes=99999999")));
        assert_eq!((wanted_bytes("bytes=-1"), wanted_bytes("")), (0, 0));
    }
}
