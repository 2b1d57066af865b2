//! Names and numbers that the service gives and takes.

use std::fmt;
use std::ops::Deref;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use crate::proto::keys::PublicKey;
use crate::proto::signal::body::Name;

/// What an account is called by others and logs in with: 3 to 32 of `a-z 0-9 . _ -`, beginning and ending with a
/// letter or digit. Capital letters are made small, so that two accounts never differ by them alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountName(String);

impl AccountName {
    /// The text says what is wrong with the name, for the person.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        let name = text.trim().to_ascii_lowercase();
        let is_edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
        if !(3..=32).contains(&name.len()) {
            return Err("an account's name has 3 to 32 characters");
        }
        if !name.chars().all(is_inner) || !is_edge(name.chars().next()) || !is_edge(name.chars().last()) {
            return Err("an account's name is made of letters a to z, digits, and . _ - inside");
        }
        Ok(Self(name))
    }
}

impl TryFrom<String> for AccountName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        Self::new(&text)
    }
}

impl From<AccountName> for String {
    fn from(name: AccountName) -> Self {
        name.0
    }
}

impl Deref for AccountName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Somebody as the service shows them. The key is what the service says: a client remembers the first one and checks it
/// against links.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    pub name: AccountName,
    pub key: PublicKey,
    #[serde(default)]
    pub display: Name,
}

/// A room or a private chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RoomId(pub u64);

/// A place in the one order of a room or an inbox; the first is 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

/// Milliseconds since 1970-01-01 00:00 UTC on the service's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

/// Names one intention of a client: the same request with the same key, however often sent, has one effect and the same
/// answer. 8 to 64 visible ASCII characters; random.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Key(String);

impl TryFrom<String> for Key {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        if !(8..=64).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a key is 8 to 64 visible ASCII characters");
        }
        Ok(Self(text))
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.0
    }
}

impl Deref for Key {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// At most MAX bytes, as base64 (RFC 4648 §4) in JSON.
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bytes<const MAX: usize>(Vec<u8>);

impl<const MAX: usize> Bytes<MAX> {
    /// `None` where there are too many.
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() <= MAX).then_some(Self(bytes))
    }

    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }
}

impl<const MAX: usize> TryFrom<String> for Bytes<MAX> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bytes = BASE64.decode(text.as_bytes()).map_err(|_| "expected base64".to_owned())?;
        Self::new(bytes).ok_or_else(|| format!("more than {MAX} bytes"))
    }
}

impl<const MAX: usize> From<Bytes<MAX>> for String {
    fn from(bytes: Bytes<MAX>) -> Self {
        BASE64.encode(&bytes.0)
    }
}

impl<const MAX: usize> Deref for Bytes<MAX> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<const MAX: usize> fmt::Debug for Bytes<MAX> {
    /// Never the bytes: they may be somebody's message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};

    use super::*;

    #[test]
    fn names_that_differ_by_case_alone_are_one() {
        assert_eq!(AccountName::new(" Ada.L "), AccountName::new("ada.l"));
        for wrong in ["ab", "-ada", "ada.", "a da", "ada/..", "ädä", &"a".repeat(33)] {
            assert!(AccountName::new(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_its_own_name_and_no_path(text in any::<String>(), like in "[A-Za-z0-9._ -]{0,40}") {
            for text in [text, like] {
                if let Ok(name) = AccountName::new(&text) {
                    assert_eq!(AccountName::new(&name), Ok(name.clone()));
                    assert!(!name.contains(['/', '\\']) && !name.starts_with('.') && name.is_ascii());
                }
            }
        }

        #[test]
        fn bytes_are_read_as_they_were_written(bytes in vec(any::<u8>(), 0..40)) {
            let written = serde_json::to_string(&Bytes::<32>::new(bytes.clone())).expect("written");
            let read = serde_json::from_str::<Option<Bytes<32>>>(&written).expect("read");
            assert_eq!(read.map(Bytes::into_vec), (bytes.len() <= 32).then_some(bytes));
        }
    }

    #[test]
    fn bytes_and_keys_beyond_their_bounds_are_refused() {
        assert!(serde_json::from_str::<Bytes<3>>(r#""AAAA""#).is_ok());
        assert!(serde_json::from_str::<Bytes<3>>(r#""AAAAAA==""#).is_err());
        assert!(serde_json::from_str::<Bytes<3>>(r#""AA""#).is_err());
        assert!(serde_json::from_str::<Key>(r#""01234567""#).is_ok());
        assert!(serde_json::from_str::<Key>(r#""0123 4567""#).is_err());
        assert!(serde_json::from_str::<Key>(r#""short""#).is_err());
    }
}
