//! The messages channel: Quick Messages for people who are not there. They are sealed to the recipient's devices before
//! they are sent; the service holds what it cannot read.
//!
//! What is sealed is uploaded first: `POST /v1/blobs` with at most [`LARGEST`] bytes, answered with a [`Stored`];
//! `GET /v1/blobs/ID` gives it to its sender and its recipient.

use serde::{Deserialize, Serialize};

use super::names::{AccountName, Bytes, Key, Millis, Person, Seq};
use crate::proto::devices::DeviceList;
use crate::proto::keys::{PublicKey, Signature};
use crate::proto::text::{List, Text};

/// The largest sealed message.
pub const LARGEST: usize = 4 * 1024 * 1024;

/// Where sealed messages are uploaded and, with `/ID`, fetched.
pub const BLOB_PATH: &str = "/v1/blobs";

/// Entries of a page.
pub const PAGE: usize = 50;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Request {
    /// What messages to this device are sealed to. → [`Reply::Done`]
    PublishKey { key: SealingKey },
    /// What to seal a message for somebody to. → [`Reply::Keys`]
    Keys { name: AccountName },
    /// → [`Reply::Sent`]: it is on disk.
    Send {
        to: AccountName,
        key: Key,
        blob: BlobId,
        /// For each device the key of the message, sealed to that device.
        sealed: List<SealedKey, 16>,
    },
    /// Oldest first. → [`Reply::Inbox`]
    Inbox {
        #[serde(default)]
        after: Seq,
        #[serde(default)]
        limit: u16,
    },
    /// → [`Reply::Done`]
    Read { seq: Seq },
    /// → [`Reply::Done`]
    Delete { seq: Seq },
    #[serde(other)]
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Reply {
    Done,
    Keys {
        devices: DeviceList,
        keys: List<SealingKey, 16>,
    },
    Sent {
        at: Millis,
    },
    Inbox {
        messages: List<Message, PAGE>,
        #[serde(default)]
        more: bool,
    },
    #[serde(other)]
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Push {
    Arrived(Box<Message>),
    /// One of one's own devices has read it.
    Read {
        seq: Seq,
    },
    #[serde(other)]
    Unknown,
}

/// A message in the inbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub seq: Seq,
    pub at: Millis,
    pub from: Person,
    pub blob: BlobId,
    pub size: u32,
    pub sealed: List<SealedKey, 16>,
    #[serde(default)]
    pub read: bool,
}

/// Names an upload; from [`Stored`].
pub type BlobId = Text<64>;

/// The answer to an upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    pub blob: BlobId,
}

/// The X25519 key (RFC 7748) that messages to a device are sealed to, signed by the device
/// ([`Purpose::Sealing`](crate::proto::keys::Purpose::Sealing) over the 32 bytes).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealingKey {
    pub device: PublicKey,
    pub public: Bytes<32>,
    pub signature: Signature,
}

/// A message's key, sealed to one device (RFC 9180, base mode).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedKey {
    pub device: PublicKey,
    pub encapsulated: Bytes<32>,
    pub ciphertext: Bytes<64>,
}
