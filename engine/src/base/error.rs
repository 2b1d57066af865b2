//! Errors, sorted by what the caller should do next.

use std::borrow::Cow;
use std::fmt;

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The same call may work a moment later.
    Retry,
    /// Close the thing and open it anew.
    Reopen,
    /// The other side, the system or a person said no. Ask the person.
    Refused,
    /// The input is not of its form. Count it, drop it; a file: tell the person.
    Malformed,
    /// A bounded place is full. The sender's policy decides.
    Full,
    /// The thing is not there any more.
    Gone,
}

/// One line a person can read (what happened, what to do) and the kind a caller can act on.
#[derive(Clone, Debug, thiserror::Error)]
pub struct Error {
    pub kind: Kind,
    pub text: Cow<'static, str>,
}

impl Error {
    pub fn new(kind: Kind, text: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, text: text.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

pub type Result<T, E = Error> = std::result::Result<T, E>;
