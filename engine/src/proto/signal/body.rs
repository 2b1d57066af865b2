//! The messages of a call, as JSON. Unknown fields and unknown messages are ignored, so that a newer side can say
//! more to one that listens.

use serde::{Deserialize, Serialize};

use crate::proto::devices::DeviceList;
use crate::proto::hex;
use crate::proto::keys::Digest;
use crate::proto::signal::media::{Candidate, MediaParameters};
use crate::proto::text::{List, Text};

/// What a person is called on a screen. Sixty-four characters fit on one line of a tile.
pub type Name = Text<64>;

/// One line for a person.
pub type Line = Text<256>;

/// One message about a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Body {
    /// Caller → callee: the first message of a call.
    Offer(Box<Offer>),
    /// Callee → caller: answer this before anything rings.
    Challenge(Challenge),
    /// Caller → callee: the nonce back, signed by the envelope.
    Response { nonce: Nonce },
    /// Callee → caller: a person is being asked.
    Ringing,
    /// Callee → caller: the person accepted.
    Answer(Box<Answer>),
    /// Either side, only after the accept: more ways to reach the sender.
    Candidates { candidates: List<Candidate, 32> },
    /// Callee → caller: the person declined.
    Decline,
    /// Callee → caller: the person is in another call.
    Busy,
    /// Caller → callee: no more ringing.
    Cancel { why: CancelReason },
    /// Caller → callee's other devices.
    AnsweredElsewhere,
    /// Either side: no medium or version in common.
    Incompatible { text: Line },
    /// Either side: the sender does not trust the receiver's key.
    Refused { text: Line },
    /// Either side: the call is over.
    Bye { why: ByeReason },
    /// Either side: what is not being sent on purpose.
    Mute(Mute),
    /// Either side: how the receiver's pictures are looked at, so that no more is sent than is seen.
    Watch(Watch),
    /// Callee → caller: open the data channel, which the caller alone does. Said again until it is open.
    Files,
    /// Either side: nothing comes by the path in use, and another one works: take that.
    Silent,
    /// Either side, at any time: for the clock offset.
    Ping { t1: u64 },
    /// t1 as it came, when it came and when this left, on the sender's wall clock, in µs.
    Pong { t1: u64, t2: u64, t3: u64 },
    /// From a newer side: ignored.
    #[serde(other)]
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    pub name: Name,
    pub devices: DeviceList,
    pub media: MediaParameters,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    pub nonce: Nonce,
    /// Who asks, so that the caller can refuse a changed key before it says more.
    pub devices: DeviceList,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub name: Name,
    pub devices: DeviceList,
    pub media: MediaParameters,
    /// SHA-256 of the OFFER's signed text: both sides saw the same one.
    pub offer: Digest,
}

/// Random bytes that are used once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nonce(#[serde(with = "hex")] pub [u8; 16]);

/// What is not being sent on purpose, so that silence and loss are never confused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Mute {
    pub audio: bool,
    pub video: bool,
    /// The camera is on, but the path carries no pictures beside sound.
    pub narrow: bool,
    /// Which of the further sources of pictures are on, a bit each, and which of all sources are screens: bit 0 is the first
    /// one, bit 1 the first further one.
    pub further: u8,
    pub screens: u8,
}

/// On which tiles the sender of this looks at the receiver's sources of pictures, the first source first. A source that is
/// not in the list is looked at as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Watch {
    /// For each source the sizes of its tiles, width and height in pixels: one between two persons, one for each layer that
    /// somebody behind a relay wants. No tile, or one of no size: it is hidden, and nothing needs to be sent.
    pub sources: List<List<(u16, u16), TILES>, SOURCES>,
}

/// The first source and the further ones.
pub const SOURCES: usize = 3;
/// There are no more sizes to choose from.
pub const TILES: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CancelReason {
    /// The caller hung up.
    Person,
    /// Nobody answered in time.
    NoAnswer,
    /// From a newer side.
    #[serde(other)]
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ByeReason {
    /// A person hung up.
    Person,
    /// The media found no way.
    NoMedia,
    /// The program is being closed.
    Quit,
    /// From a newer side.
    #[serde(other)]
    Other,
}

impl Body {
    /// The device list in this message, which the sender's envelope has to agree with.
    pub fn devices(&self) -> Option<&DeviceList> {
        match self {
            Self::Offer(offer) => Some(&offer.devices),
            Self::Challenge(challenge) => Some(&challenge.devices),
            Self::Answer(answer) => Some(&answer.devices),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_message_and_unknown_fields_are_ignored() {
        let read = |json| serde_json::from_str::<Body>(json).expect("known form");
        assert_eq!(read(r#"{"type":"hologram","depth":3}"#), Body::Unknown);
        assert_eq!(read(r#"{"type":"ringing","volume":11}"#), Body::Ringing);
        assert_eq!(
            read(r#"{"type":"mute","audio":true,"smell":true}"#),
            Body::Mute(Mute { audio: true, ..Mute::default() })
        );
        let watch = read(r#"{"type":"watch","sources":[[[640,360]],[]],"since":1}"#);
        let tiles = [vec![(640, 360)], Vec::new()].map(List::cut);
        assert_eq!(watch, Body::Watch(Watch { sources: List::cut(tiles.into()) }));
        assert_eq!(read(r#"{"type":"bye","why":"bored"}"#), Body::Bye { why: ByeReason::Other });
    }

    #[test]
    fn a_list_of_a_thousand_candidates_is_refused() {
        let one = r#"{"address":"192.0.2.1:2000","typ":"host"}"#;
        let json = |n: usize| format!(r#"{{"type":"candidates","candidates":[{}]}}"#, vec![one; n].join(","));
        assert!(serde_json::from_str::<Body>(&json(32)).is_ok());
        assert!(serde_json::from_str::<Body>(&json(1000)).is_err());
    }
}
