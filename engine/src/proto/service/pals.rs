//! The pal channel: who one's pals are, whether they are there, and the Service route of signalling.

use serde::{Deserialize, Serialize};

use super::names::{AccountName, Bytes, Millis, Person};
use crate::base::id::CallId;
use crate::proto::devices::DeviceList;
use crate::proto::hex;
use crate::proto::keys::PublicKey;
use crate::proto::signal::body::Line;
use crate::proto::text::{List, Prose, Text};

/// Servers that relay media, and how to be let in (RFC 8489 §9.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relays {
    /// As RFC 7064 and RFC 7065 write them. A host `HOST` is the one that the service itself was reached at.
    pub uris: List<Text<256>, 16>,
    #[serde(default)]
    pub user: Text<128>,
    #[serde(default)]
    pub password: Text<64>,
    pub until: Millis,
}

/// The most pals of an account.
pub const MOST_PALS: usize = 1000;

/// Pals of a page.
pub const PAGE: usize = 200;

/// The largest envelope on this route: in base64 and in its frame it stays below the channel's 8 KiB.
pub const LARGEST_ENVELOPE: usize = 5632;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Request {
    /// Everything there is, a page at a time: pals by name behind `after`; who asks, waits and is blocked stands on the
    /// first page. Pushes only say what changed. → [`Reply::Roster`]
    Roster {
        #[serde(default)]
        after: Option<AccountName>,
    },
    /// A pal's devices, as their account key signed them. → [`Reply::Devices`]
    Devices { name: AccountName },
    /// Ask somebody, or accept where they asked first. → [`Reply::Done`], the same whatever the other one thinks of it.
    Add {
        name: AccountName,
        #[serde(default)]
        note: Line,
    },
    /// Say no to somebody who asked: silent. → [`Reply::Done`]
    Decline { name: AccountName },
    /// → [`Reply::Done`]
    Remove { name: AccountName },
    /// One's own state, on this device, until it is set again or the connection ends. → [`Reply::Done`]
    SetPresence {
        presence: Presence,
        #[serde(default)]
        text: Line,
    },
    /// Appear offline to one pal, or not any more; kept. → [`Reply::Done`]
    Hide { name: AccountName, hidden: bool },
    /// Silent: the other one is told nothing. → [`Reply::Done`]
    Block { name: AccountName, blocked: bool },
    /// To those who run the service. → [`Reply::Done`]
    Report { name: AccountName, text: Prose<2000> },
    /// A signed envelope to the devices of a pal, or to one of them. The service reads nothing of it. → [`Reply::Sent`]
    Signal {
        to: AccountName,
        #[serde(default)]
        device: Option<PublicKey>,
        envelope: Bytes<LARGEST_ENVELOPE>,
        /// With the first envelope of a call: a pal who is not there sees a missed call.
        #[serde(default, with = "call_id")]
        call: Option<CallId>,
    },
    /// Newest first. → [`Reply::Calls`]
    Calls {
        #[serde(default)]
        before: Option<Millis>,
        #[serde(default)]
        limit: u16,
    },
    /// Where media is relayed, with a name and a password that are good for some hours. → [`Reply::Relays`]
    Relays,
    #[serde(other)]
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Reply {
    Done,
    Roster {
        pals: List<Pal, PAGE>,
        next: Option<AccountName>,
        /// Who asks to be one, newest first.
        asked: List<Asked, 100>,
        /// Whom one asked.
        waiting: List<Person, 100>,
        blocked: List<Person, 100>,
    },
    /// To how many devices it went.
    Sent {
        devices: u16,
    },
    Calls {
        calls: List<Call, 100>,
    },
    Devices {
        devices: DeviceList,
    },
    Relays(Relays),
    #[serde(other)]
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Push {
    /// Somebody asks to be a pal.
    Asked(Asked),
    /// Somebody is a pal now.
    Added(Pal),
    /// Somebody is none any more, or does not ask any more.
    Removed { name: AccountName },
    /// Presence of a pal.
    Presence {
        name: AccountName,
        presence: Presence,
        #[serde(default)]
        text: Line,
    },
    /// An envelope of a pal.
    Signal { from: Person, device: PublicKey, envelope: Bytes<LARGEST_ENVELOPE> },
    /// Somebody called while no device was there.
    Missed(Call),
    #[serde(other)]
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pal {
    #[serde(flatten)]
    pub person: Person,
    #[serde(default)]
    pub presence: Presence,
    #[serde(default)]
    pub text: Line,
    /// One appears offline to them.
    #[serde(default)]
    pub hidden: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    #[serde(flatten)]
    pub person: Person,
    #[serde(default)]
    pub note: Line,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    #[serde(flatten)]
    pub person: Person,
    pub at: Millis,
    /// Whether the other one called.
    pub incoming: bool,
    /// Nobody was there.
    pub missed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    Online,
    Away,
    Busy,
    /// Not there, or not seen to be there. What a newer side may say reads as this.
    #[default]
    #[serde(other)]
    Offline,
}

/// An optional `CallId` in JSON.
mod call_id {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{CallId, hex};

    pub fn serialize<S: Serializer>(id: &Option<CallId>, serializer: S) -> Result<S::Ok, S::Error> {
        id.map(|id| hex::text(&id.0)).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<CallId>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        let read = |text: String| hex::parse(&text).map(CallId).ok_or_else(|| D::Error::custom("expected a call's id"));
        text.map(read).transpose()
    }
}
