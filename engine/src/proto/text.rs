//! Text and lists from the network that cannot be too long.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

/// At most MAX characters, without control characters: what a peer may put on a person's screen.
/// Longer text is cut when it is made here, and refused when it comes from the network.
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Text<const MAX: usize>(String);

impl<const MAX: usize> Text<MAX> {
    /// `text` without control characters, cut to MAX characters.
    pub fn cut(text: &str) -> Self {
        Self(text.chars().filter(|c| !is_unwanted(*c)).take(MAX).collect())
    }
}

impl<const MAX: usize> TryFrom<String> for Text<MAX> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.chars().take(MAX.saturating_add(1)).count() > MAX {
            return Err(format!("a text of more than {MAX} characters"));
        }
        Ok(Self::cut(&text))
    }
}

impl<const MAX: usize> From<Text<MAX>> for String {
    fn from(text: Text<MAX>) -> Self {
        text.0
    }
}

impl<const MAX: usize> Deref for Text<MAX> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> fmt::Debug for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// At most MAX characters in lines: [`Text`] with line feeds and tabs.
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prose<const MAX: usize>(String);

impl<const MAX: usize> Prose<MAX> {
    /// `text` without other control characters, cut to MAX characters.
    pub fn cut(text: &str) -> Self {
        Self(text.chars().filter(|c| matches!(c, '\n' | '\t') || !is_unwanted(*c)).take(MAX).collect())
    }
}

impl<const MAX: usize> TryFrom<String> for Prose<MAX> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.chars().take(MAX.saturating_add(1)).count() > MAX {
            return Err(format!("a text of more than {MAX} characters"));
        }
        Ok(Self::cut(&text))
    }
}

impl<const MAX: usize> From<Prose<MAX>> for String {
    fn from(text: Prose<MAX>) -> Self {
        text.0
    }
}

impl<const MAX: usize> Deref for Prose<MAX> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> fmt::Debug for Prose<MAX> {
    /// Never the words: they are what people say to each other.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of text", self.0.len())
    }
}

/// At most MAX items; a longer list is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<T>", into = "Vec<T>")]
#[serde(bound(serialize = "T: Clone + Serialize", deserialize = "T: Deserialize<'de>"))]
pub struct List<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> List<T, MAX> {
    /// The first MAX of `items`.
    pub fn cut(mut items: Vec<T>) -> Self {
        items.truncate(MAX);
        Self(items)
    }

    pub fn into_vec(self) -> Vec<T> {
        self.0
    }
}

impl<T, const MAX: usize> Default for List<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MAX: usize> TryFrom<Vec<T>> for List<T, MAX> {
    type Error = String;

    fn try_from(items: Vec<T>) -> Result<Self, String> {
        if items.len() > MAX { Err(format!("a list of more than {MAX} items")) } else { Ok(Self(items)) }
    }
}

impl<T, const MAX: usize> From<List<T, MAX>> for Vec<T> {
    fn from(list: List<T, MAX>) -> Self {
        list.0
    }
}

impl<T, const MAX: usize> Deref for List<T, MAX> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

/// Control characters, and the ones that turn the direction of writing: a name must not be able to disguise
/// another (Unicode UAX #9 §2).
fn is_unwanted(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_the_network_is_bounded_and_printable() {
        let read = |json| serde_json::from_str::<Text<4>>(json).map(|text| text.to_string());
        assert_eq!(read(r#""a\u0007\u202eb""#).ok().as_deref(), Some("ab"));
        assert!(read(r#""abcde""#).is_err());
        assert_eq!(&*Text::<4>::cut("abcde"), "abcd");
    }

    #[test]
    fn prose_keeps_its_lines_and_is_not_printed() {
        let read = serde_json::from_str::<Prose<6>>(r#""a\nb\u0007\tc""#).expect("short");
        assert_eq!(&*read, "a\nb\tc");
        assert_eq!(format!("{read:?}"), "5 bytes of text");
        assert!(serde_json::from_str::<Prose<2>>(r#""abc""#).is_err());
    }

    #[test]
    fn a_list_beyond_its_bound_is_refused() {
        assert!(serde_json::from_str::<List<u8, 2>>("[1,2]").is_ok());
        assert!(serde_json::from_str::<List<u8, 2>>("[1,2,3]").is_err());
    }
}
