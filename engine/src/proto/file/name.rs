//! What a file that somebody sends is called here.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

/// A name that is no path, is no hidden file, means no device, and shows its ending where a person expects it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct FileName(String);

impl FileName {
    /// What is left of `text` as a name; "file" where that is nothing.
    pub fn of(text: &str) -> Self {
        let last = text.rsplit(['/', '\\']).next().unwrap_or_default();
        let kept: String = last.chars().filter(|c| !is_unwanted(*c)).collect();
        // Windows drops dots and spaces at the end; a dot in front hides a file elsewhere.
        let kept = trim(&kept);
        let (stem, ending) = match kept.rsplit_once('.') {
            Some((stem, ending)) if !stem.is_empty() && ending.len() <= ENDING => (stem, ending),
            _ => (kept, ""),
        };
        let dot = if ending.is_empty() { "" } else { "." };
        let stem = trim(cut(stem, MOST.saturating_sub(ending.len()).saturating_sub(dot.len())));
        let is_device = DEVICES.iter().any(|device| before_dot(stem).eq_ignore_ascii_case(device));
        let under = if is_device { "_" } else { "" };
        match stem.is_empty() {
            true => Self("file".to_owned()),
            false => Self(format!("{under}{stem}{dot}{ending}")),
        }
    }

    /// The same with a number in front of its ending, for where it is taken.
    pub fn numbered(&self, number: u32) -> String {
        match self.0.rsplit_once('.') {
            Some((stem, ending)) => format!("{stem} ({number}).{ending}"),
            None => format!("{} ({number})", self.0),
        }
    }
}

impl From<String> for FileName {
    fn from(text: String) -> Self {
        Self::of(&text)
    }
}

impl From<FileName> for String {
    fn from(name: FileName) -> Self {
        name.0
    }
}

impl Deref for FileName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c == '.' || c.is_whitespace())
}

fn before_dot(text: &str) -> &str {
    text.split('.').next().unwrap_or_default().trim_end()
}

/// At most so many bytes, and whole characters.
fn cut(text: &str, most: usize) -> &str {
    let end = text.char_indices().map(|(at, c)| at.saturating_add(c.len_utf8())).take_while(|end| *end <= most).last();
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// Control characters, what Windows takes in no name, and what turns the direction of writing, so that an ending looks like
/// another one.
fn is_unwanted(c: char) -> bool {
    c.is_control()
        || matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Bytes of a name: with a number and on an encrypted file system, which takes 143, there is room for it.
const MOST: usize = 120;

/// What is longer is no ending but a sentence.
const ENDING: usize = 16;

/// What a file on Windows must not be called, whatever its ending.
const DEVICES: [&str; 22] = [
    "CON", "PRN", "AUX", "NUL", "COM1", "COM2", "COM3", "COM4", "COM5", "COM6", "COM7", "COM8", "COM9", "LPT1", "LPT2",
    "LPT3", "LPT4", "LPT5", "LPT6", "LPT7", "LPT8", "LPT9",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    #[test]
    fn a_name_is_no_path_no_device_and_not_hidden() {
        for (text, name) in [
            ("report.pdf", "report.pdf"),
            ("Größe 1.tar.gz", "Größe 1.tar.gz"),
            ("../../etc/passwd", "passwd"),
            ("..\\..\\boot.ini", "boot.ini"),
            ("/etc/shadow", "shadow"),
            (".bashrc", "bashrc"),
            ("..", "file"),
            ("", "file"),
            ("a\u{202e}fdp.exe", "afdp.exe"),
            ("a\0b\n.txt", "ab.txt"),
            ("con", "_con"),
            ("NUL.txt", "_NUL.txt"),
            ("aux .tar.gz", "_aux .tar.gz"),
            ("trailing. . ", "trailing"),
        ] {
            assert_eq!(&*FileName::of(text), name, "{text:?}");
        }
        let long = FileName::of(&format!("{}.pdf", "ä".repeat(500)));
        assert!(long.len() <= MOST && long.ends_with("ä.pdf"), "{long}");
        assert_eq!(FileName::of("a.tar.gz").numbered(2), "a.tar (2).gz");
        assert_eq!(FileName::of("notes").numbered(3), "notes (3)");
    }

    proptest! {
        #[test]
        fn whatever_is_sent_a_name_stays_in_its_folder(text in any::<String>(), like in "[a-zA-Z./\\\\: \u{202e}]{0,200}") {
            for text in [text, like] {
                let name = FileName::of(&text);
                assert!(!name.is_empty() && name.len() <= MOST + 1, "{name:?}");
                assert!(!name.contains(['/', '\\', '\0', ':']) && !name.starts_with('.') && !name.ends_with('.'), "{name:?}");
                assert_eq!(FileName::of(&name), name, "it is its own name");
            }
        }
    }
}
