//! How the service says no: a code for the program, a line for the person.

use serde::{Deserialize, Serialize};

use crate::proto::signal::body::Line;

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub code: Code,
    /// For the person: what happened, what to do.
    pub text: Line,
    /// With [`Code::TooOften`] and [`Code::Busy`]: when to try again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u32>,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The request is not of its form. Do not send it again.
    Malformed,
    /// No token, or one that is not good any more: refresh it, or log in.
    Unauthorized,
    /// Name or password are wrong, or the recovery code is.
    WrongPassword,
    /// Not allowed to this account.
    Forbidden,
    /// There is no such thing, or it is not shown to this account.
    NotFound,
    /// The name is taken.
    Taken,
    /// The room has a password.
    PasswordNeeded,
    /// Registration is closed, or needs an invitation.
    Closed,
    /// Longer or more than the limit.
    TooLarge,
    /// Too many requests: wait.
    TooOften,
    /// The service has more to do than it can: try again later.
    Busy,
    /// No room on the service's disk.
    Full,
    /// From a newer service.
    #[serde(other)]
    Other,
}

impl Refusal {
    pub fn new(code: Code, text: &str) -> Self {
        Self { code, text: Line::cut(text), retry_after_ms: None }
    }

    pub fn retry_after(code: Code, text: &str, milliseconds: u32) -> Self {
        Self { retry_after_ms: Some(milliseconds), ..Self::new(code, text) }
    }

    /// RFC 9110 §15.
    pub const fn status(&self) -> u16 {
        match self.code {
            Code::Malformed | Code::Other => 400,
            Code::Unauthorized | Code::WrongPassword => 401,
            Code::Forbidden | Code::Closed | Code::PasswordNeeded => 403,
            Code::NotFound => 404,
            Code::Taken => 409,
            Code::TooLarge => 413,
            Code::TooOften => 429,
            Code::Busy => 503,
            Code::Full => 507,
        }
    }
}
