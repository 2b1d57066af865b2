//! A device's key as people carry it to another of their devices: groups of letters and digits with a check at the end.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32_NOPAD;

use crate::base::error::{Error, Kind};
use crate::proto::keys::{Digest, PublicKey};

/// What the new device shows, and the one that holds the account's key is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceCode(pub PublicKey);

impl fmt::Display for DeviceCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = BASE32_NOPAD.encode(&[self.0.0.as_slice(), &check(&self.0)].concat());
        for (at, c) in text.chars().enumerate() {
            if at > 0 && at.is_multiple_of(GROUP) {
                f.write_str("-")?;
            }
            write!(f, "{c}")?;
        }
        Ok(())
    }
}

impl FromStr for DeviceCode {
    type Err = Error;

    /// Small letters, spaces and other groups are fine. [`Kind::Refused`] with a line for the person.
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |what: &'static str| Error::new(Kind::Refused, what);
        if text.len() > LONGEST {
            return Err(wrong("that is longer than a device's code"));
        }
        // 0, 1 and 8 are in no code: whoever reads one means the letter that looks like it (RFC 4648 §6).
        let like = |c: char| match c.to_ascii_uppercase() {
            '0' => 'O',
            '1' => 'I',
            '8' => 'B',
            c => c,
        };
        let text: String = text.chars().filter(|c| !c.is_whitespace() && *c != '-').map(like).collect();
        let bytes = BASE32_NOPAD.decode(text.as_bytes()).map_err(|_| wrong("that is no device's code"))?;
        let (key, checked) = bytes.split_first_chunk::<32>().ok_or_else(|| wrong("a part of the code is missing"))?;
        let key = PublicKey(*key);
        if checked != check(&key) {
            return Err(wrong("the code has a mistake in it: compare it with what the other device shows"));
        }
        Ok(Self(key))
    }
}

/// A mistake stays unseen once in 16 million times.
fn check(key: &PublicKey) -> [u8; CHECK] {
    let digest = Digest::of(&[b"visavis device code 1\0".as_slice(), &key.0].concat());
    let mut check = [0; CHECK];
    check.iter_mut().zip(digest.0).for_each(|(to, from)| *to = from);
    check
}

/// With the key's 32 bytes it makes 35: 56 letters, fourteen groups.
const CHECK: usize = 3;
const GROUP: usize = 4;
const LONGEST: usize = 200;

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    #[test]
    fn a_code_is_fourteen_groups_and_forgives_how_it_is_typed() {
        let code = DeviceCode(PublicKey([0xa5; 32]));
        let text = code.to_string();
        assert_eq!((text.len(), text.split('-').count()), (69, 14), "{text}");
        let typed = text.to_lowercase().replace('-', " ").replace('o', "0");
        assert_eq!(typed.parse::<DeviceCode>().expect("read"), code);
        assert!("".parse::<DeviceCode>().is_err() && text[..60].parse::<DeviceCode>().is_err());
        assert!(format!("{text}-{text}-{text}").parse::<DeviceCode>().is_err());
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_and_another_letter_is_a_mistake(key in any::<[u8; 32]>(), at in 0usize..69, other in "[A-Z2-7]") {
            let code = DeviceCode(PublicKey(key));
            let text = code.to_string();
            assert_eq!(text.parse::<DeviceCode>().expect("read"), code);
            let mut wrong = text.clone();
            if text.as_bytes()[at] != b'-' && text[at..=at] != other {
                wrong.replace_range(at..=at, &other);
                assert!(wrong.parse::<DeviceCode>().is_err(), "{text} {wrong}");
            }
        }

        #[test]
        fn anything_is_read_without_harm(text in any::<String>()) {
            let _ = text.parse::<DeviceCode>();
        }
    }
}
