//! Where the bus is: `redis://:PASSWORD@HOST:PORT`.

use std::fmt;

use crate::base::error::{Error, Kind, Result};
use crate::proto::authority::Authority;

/// Where the bus is, and what it is asked with.
#[derive(Clone, PartialEq, Eq)]
pub struct BusUrl {
    pub at: Authority,
    /// Before all names: several systems may share a bus.
    pub prefix: String,
}

impl BusUrl {
    /// # Errors
    /// [`Kind::Refused`]: what is wrong with it, never with its password.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |what: &str| Error::new(Kind::Refused, format!("the bus: {what}: redis://:PASSWORD@HOST:PORT"));
        let rest = text.strip_prefix("redis://").or_else(|| text.strip_prefix("valkey://"));
        let rest = rest.ok_or_else(|| wrong("no such kind of bus"))?;
        // Redis' database number has no meaning for messages: here it keeps systems apart.
        let (authority, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if !prefix.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(wrong("after the port stand letters and digits only"));
        }
        let prefix = if prefix.is_empty() { "visavis".to_owned() } else { format!("visavis-{prefix}") };
        Ok(Self { at: Authority::parse(authority).map_err(wrong)?, prefix })
    }
}

impl fmt::Debug for BusUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "redis://{:?}/{}", self.at, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_the_host_and_never_shows_its_password() {
        let url = BusUrl::parse("redis://:secret@10.0.0.1:7000/calls").expect("whole");
        assert_eq!(
            (url.at.password.as_str(), url.at.port, url.prefix.as_str()),
            ("secret", Some(7000), "visavis-calls")
        );
        assert_eq!(format!("{url:?}"), "redis://10.0.0.1:7000/visavis-calls");
        assert_eq!(BusUrl::parse("valkey://localhost").expect("whole").prefix, "visavis");
        for wrong in ["http://a", "redis://", "redis://:secret@a:x", "redis://:secret@a/*"] {
            let error = BusUrl::parse(wrong).expect_err(wrong);
            assert!(!error.text.contains("secret"), "{error}");
        }
    }
}
