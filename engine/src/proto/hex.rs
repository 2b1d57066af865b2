//! Fixed-length bytes as lower-case hexadecimal text in JSON: for `#[serde(with = "hex")]`.

use std::borrow::Cow;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

/// Writes `bytes` as 2·N characters.
pub fn serialize<S: Serializer, const N: usize>(bytes: &[u8; N], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&HEXLOWER.encode(bytes))
}

/// Reads exactly N bytes; any other length or character is an error.
pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(deserializer: D) -> Result<[u8; N], D::Error> {
    let text = Cow::<'de, str>::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| D::Error::custom(format_args!("expected {N} bytes as hexadecimal text")))
}

/// `text` as exactly N bytes; `None` for any other length or character.
pub fn parse<const N: usize>(text: &str) -> Option<[u8; N]> {
    // The length goes first: nothing is allocated for a text that cannot fit.
    if text.len() != N.checked_mul(2)? {
        return None;
    }
    HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?.try_into().ok()
}

/// `bytes` as lower-case hexadecimal text.
pub fn text(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_length_is_read() {
        assert_eq!(parse::<2>("01fF"), Some([1, 255]));
        assert_eq!(parse::<2>("01f"), None);
        assert_eq!(parse::<2>("01ff00"), None);
        assert_eq!(parse::<2>("01fg"), None);
        assert_eq!(text(&[1, 255]), "01ff");
    }
}
