//! The link that leads to a person: `https://HOST[:PORT]/people/NAME#key=HEX&pin=HEX`. In a browser it is the person's page;
//! for the program it carries the account key's fingerprint, which no server sees (RFC 3986 §3.5).

use std::fmt;
use std::str::FromStr;

use crate::base::error::{Error, Kind};
use crate::proto::hex;
use crate::proto::keys::{Digest, PublicKey};
use crate::proto::service::link::ServiceLink;
use crate::proto::service::names::AccountName;

/// Who, where, and with which key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactLink {
    pub service: ServiceLink,
    pub name: AccountName,
    /// SHA-256 of the account key.
    pub key: Digest,
}

/// A person as one says whom one means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contact {
    /// Whoever the service says it is: unverified.
    Name(AccountName),
    Link(Box<ContactLink>),
}

impl Contact {
    pub const fn name(&self) -> &AccountName {
        match self {
            Self::Name(name) => name,
            Self::Link(link) => &link.name,
        }
    }

    /// Whether `key` is the one that the link names; a name alone says nothing of it.
    pub fn permits(&self, key: &PublicKey) -> bool {
        match self {
            Self::Name(_) => true,
            Self::Link(link) => link.key == key.fingerprint(),
        }
    }
}

impl FromStr for Contact {
    type Err = Error;

    /// [`Kind::Refused`] with a line that says what is wrong.
    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        if text.contains('/') {
            return text.parse().map(|link| Self::Link(Box::new(link)));
        }
        let name = text.strip_prefix('@').unwrap_or(text);
        AccountName::new(name).map(Self::Name).map_err(|error| Error::new(Kind::Refused, error))
    }
}

impl FromStr for ContactLink {
    type Err = Error;

    /// [`Kind::Refused`] with a line that says what is wrong.
    fn from_str(text: &str) -> Result<Self, Error> {
        let refused = |why: &str| Error::new(Kind::Refused, format!("that is no link to a person: {why}"));
        let service: ServiceLink = text.parse()?;
        let (place, fragment) = text.trim().split_once('#').ok_or_else(|| refused("it names no key"))?;
        let name = place.split_once("/people/").map(|(_, name)| name).unwrap_or_default();
        let name = AccountName::new(name).map_err(|_| refused("it names nobody"))?;
        let key = fragment.split('&').find_map(|part| part.strip_prefix("key="));
        let key = key.and_then(hex::parse).map(Digest).ok_or_else(|| refused("it names no key"))?;
        Ok(Self { service, name, key })
    }
}

impl fmt::Display for ContactLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = ServiceLink { pin: None, invite: None, ..self.service.clone() }.to_string();
        let place = plain.strip_suffix("/join").unwrap_or(&plain);
        write!(f, "{place}/people/{}#key={}", self.name, self.key)?;
        self.service.pin.map_or(Ok(()), |pin| write!(f, "&pin={pin}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    #[test]
    fn a_link_is_read_as_it_was_written_and_knows_its_key() {
        let key = PublicKey([7; 32]);
        for service in ["https://chat.example/join", &format!("[::1]:8443#pin={}", "0f".repeat(32))] {
            let service: ServiceLink = service.parse().expect("a link");
            let link = ContactLink { service, name: AccountName::new("ada").expect("a name"), key: key.fingerprint() };
            let read: Contact = link.to_string().parse().expect("its own form");
            assert_eq!(read, Contact::Link(Box::new(link)));
            assert!(read.permits(&key) && !read.permits(&PublicKey([8; 32])));
        }
    }

    #[test]
    fn a_name_is_somebody_and_what_is_neither_is_refused() {
        let ada = AccountName::new("ada").expect("a name");
        assert_eq!("@Ada".parse::<Contact>().expect("a name"), Contact::Name(ada));
        for text in
            ["", "a b", "https://a/people/ada", "https://a/people/#key=00", "https://a/#key=00", "a/people/ada#key=1"]
        {
            assert_eq!(text.parse::<Contact>().expect_err(text).kind, Kind::Refused);
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(text in any::<String>(), like in "https://a/people/[a-z]{0,5}#key=[0-9a-f]{0,64}") {
            for text in [text, like] {
                let _ = text.parse::<Contact>();
            }
        }
    }
}
