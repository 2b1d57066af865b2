//! How a call ended, and what a person reads about it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The ten ways a call ends. Both ends report the same one, except where two decisions crossed on the way: then
/// each reports the one that its own person saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Somebody hung up a running call.
    Ended,
    Declined,
    Busy,
    /// The caller stopped before the answer.
    Cancelled,
    NoAnswer,
    /// Another device of the callee took it.
    AnsweredElsewhere,
    Unreachable,
    /// A key is not the expected one.
    Refused,
    /// No medium or version in common.
    Incompatible,
    Failed,
}

impl Outcome {
    pub const ALL: [Self; 10] = [
        Self::Ended,
        Self::Declined,
        Self::Busy,
        Self::Cancelled,
        Self::NoAnswer,
        Self::AnsweredElsewhere,
        Self::Unreachable,
        Self::Refused,
        Self::Incompatible,
        Self::Failed,
    ];
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ended => "ended",
            Self::Declined => "declined",
            Self::Busy => "busy",
            Self::Cancelled => "cancelled",
            Self::NoAnswer => "no-answer",
            Self::AnsweredElsewhere => "answered-elsewhere",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Incompatible => "incompatible",
            Self::Failed => "failed",
        })
    }
}
