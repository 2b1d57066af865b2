//! The messages of the WebSocket: one JSON object each.
//!
//! ```text
//! client → service   {"id":7,"channel":"chat","ask":{"type":"post","room":3,"key":"…","text":"…"}}
//! service → client   {"id":7,"channel":"chat","reply":{"type":"posted","room":3,"seq":12,"at":1790000000000}}
//!                    {"id":7,"channel":"chat","refused":{"code":"not-found","text":"…"}}
//!                    {"channel":"chat","push":{"type":"entry","room":3,"entry":{…}}}
//! ```
//!
//! The socket is opened by `GET /v1/channels` with `Authorization: Bearer ACCESS`; its subprotocol is [`PROTOCOL`].

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::refusal::{Code, Refusal};
use super::{chat, directory, messages, pals};

/// Where the WebSocket is opened.
pub const PATH: &str = "/v1/channels";

/// Its subprotocol (RFC 6455 §1.9).
pub const PROTOCOL: &str = "visavis.1";

/// The largest message of any channel, to the service.
pub const LARGEST: usize = 16 * 1024;

/// The largest message to a client: a full page.
pub const LARGEST_TO_CLIENT: usize = 240 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channel {
    Directory,
    Pals,
    Chat,
    Messages,
    /// From a newer side.
    #[serde(other)]
    Unknown,
}

/// How much of a channel a client may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelLimits {
    /// Bytes of a message.
    pub largest: usize,
    pub per_second: u32,
    pub burst: u32,
}

impl Channel {
    pub const ALL: [Self; 4] = [Self::Directory, Self::Pals, Self::Chat, Self::Messages];

    pub const fn limits(self) -> ChannelLimits {
        match self {
            Self::Directory => ChannelLimits { largest: 16 * 1024, per_second: 10, burst: 20 },
            Self::Pals => ChannelLimits { largest: 8 * 1024, per_second: 5, burst: 20 },
            Self::Chat => ChannelLimits { largest: 8 * 1024, per_second: 5, burst: 10 },
            Self::Messages | Self::Unknown => ChannelLimits { largest: 8 * 1024, per_second: 2, burst: 5 },
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    Directory(directory::Request),
    Pals(pals::Request),
    Chat(chat::Request),
    Messages(messages::Request),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Directory(directory::Reply),
    Pals(pals::Reply),
    Chat(chat::Reply),
    Messages(messages::Reply),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Push {
    Directory(directory::Push),
    Pals(pals::Push),
    Chat(chat::Push),
    Messages(messages::Push),
}

/// What the service says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Reply {
        id: u64,
        reply: Reply,
    },
    Refused {
        id: u64,
        refusal: Refusal,
    },
    Push(Push),
    /// From a newer service.
    Unknown,
}

/// The outside of a request: its channel is known before its inside is read.
#[derive(Debug, Deserialize, Serialize)]
pub struct AskFrame<'a> {
    pub id: u64,
    pub channel: Channel,
    #[serde(borrow)]
    pub ask: &'a RawValue,
}

impl<'a> AskFrame<'a> {
    /// The text says what is wrong, without repeating it.
    pub fn parse(text: &'a str) -> Result<Self, Refusal> {
        serde_json::from_str(text).map_err(|_| malformed("expected an object with id, channel and ask"))
    }

    /// The inside.
    pub fn ask(&self) -> Result<Ask, Refusal> {
        fn read<'a, T: Deserialize<'a>>(raw: &'a RawValue, make: fn(T) -> Ask) -> Result<Ask, Refusal> {
            serde_json::from_str(raw.get()).map(make).map_err(|error| malformed(&describe(&error)))
        }
        match self.channel {
            Channel::Directory => read(self.ask, Ask::Directory),
            Channel::Pals => read(self.ask, Ask::Pals),
            Channel::Chat => read(self.ask, Ask::Chat),
            Channel::Messages => read(self.ask, Ask::Messages),
            Channel::Unknown => Err(Refusal::new(Code::NotFound, "this service has no such channel")),
        }
    }
}

impl Ask {
    pub const fn channel(&self) -> Channel {
        match self {
            Self::Directory(_) => Channel::Directory,
            Self::Pals(_) => Channel::Pals,
            Self::Chat(_) => Channel::Chat,
            Self::Messages(_) => Channel::Messages,
        }
    }

    /// The message to send.
    pub fn to_text(&self, id: u64) -> String {
        let channel = self.channel();
        match self {
            Self::Directory(ask) => text(&Out { id: Some(id), ..Out::ask(channel, ask) }),
            Self::Pals(ask) => text(&Out { id: Some(id), ..Out::ask(channel, ask) }),
            Self::Chat(ask) => text(&Out { id: Some(id), ..Out::ask(channel, ask) }),
            Self::Messages(ask) => text(&Out { id: Some(id), ..Out::ask(channel, ask) }),
        }
    }
}

impl Reply {
    pub fn to_text(&self, id: u64) -> String {
        match self {
            Self::Directory(reply) => text(&Out { id: Some(id), ..Out::reply(Channel::Directory, reply) }),
            Self::Pals(reply) => text(&Out { id: Some(id), ..Out::reply(Channel::Pals, reply) }),
            Self::Chat(reply) => text(&Out { id: Some(id), ..Out::reply(Channel::Chat, reply) }),
            Self::Messages(reply) => text(&Out { id: Some(id), ..Out::reply(Channel::Messages, reply) }),
        }
    }
}

impl Push {
    pub fn to_text(&self) -> String {
        match self {
            Self::Directory(push) => text(&Out::push(Channel::Directory, push)),
            Self::Pals(push) => text(&Out::push(Channel::Pals, push)),
            Self::Chat(push) => text(&Out::push(Channel::Chat, push)),
            Self::Messages(push) => text(&Out::push(Channel::Messages, push)),
        }
    }
}

impl Said {
    /// What the service said; an error for what is none of its messages.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        #[derive(Deserialize)]
        struct In<'a> {
            #[serde(default)]
            id: Option<u64>,
            channel: Channel,
            #[serde(borrow, default)]
            reply: Option<&'a RawValue>,
            #[serde(borrow, default)]
            push: Option<&'a RawValue>,
            #[serde(default)]
            refused: Option<Refusal>,
        }
        fn read<'a, T: Deserialize<'a>, U>(raw: &'a RawValue, make: fn(T) -> U) -> Result<U, Refusal> {
            serde_json::from_str(raw.get()).map(make).map_err(|error| malformed(&describe(&error)))
        }
        let frame: In<'_> = serde_json::from_str(text).map_err(|error| malformed(&describe(&error)))?;
        let In { id, channel, reply, push, refused } = frame;
        match (id, reply, push, refused) {
            (Some(id), _, _, Some(refusal)) => Ok(Self::Refused { id, refusal }),
            (Some(id), Some(raw), ..) => {
                let reply = match channel {
                    Channel::Directory => read(raw, Reply::Directory)?,
                    Channel::Pals => read(raw, Reply::Pals)?,
                    Channel::Chat => read(raw, Reply::Chat)?,
                    Channel::Messages => read(raw, Reply::Messages)?,
                    Channel::Unknown => return Ok(Self::Unknown),
                };
                Ok(Self::Reply { id, reply })
            }
            (None, _, Some(raw), _) => Ok(Self::Push(match channel {
                Channel::Directory => read(raw, Push::Directory)?,
                Channel::Pals => read(raw, Push::Pals)?,
                Channel::Chat => read(raw, Push::Chat)?,
                Channel::Messages => read(raw, Push::Messages)?,
                Channel::Unknown => return Ok(Self::Unknown),
            })),
            _ => Ok(Self::Unknown),
        }
    }
}

/// The message that refuses request `id` of `channel`.
pub fn refusal_text(id: u64, channel: Channel, refusal: &Refusal) -> String {
    text(&Out::<()> { id: Some(id), channel, ask: None, reply: None, push: None, refused: Some(refusal) })
}

#[derive(Serialize)]
struct Out<'a, T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    channel: Channel,
    #[serde(skip_serializing_if = "Option::is_none")]
    ask: Option<&'a T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<&'a T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    push: Option<&'a T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<&'a Refusal>,
}

impl<'a, T> Out<'a, T> {
    const fn ask(channel: Channel, ask: &'a T) -> Self {
        Self { id: None, channel, ask: Some(ask), reply: None, push: None, refused: None }
    }

    const fn reply(channel: Channel, reply: &'a T) -> Self {
        Self { id: None, channel, ask: None, reply: Some(reply), push: None, refused: None }
    }

    const fn push(channel: Channel, push: &'a T) -> Self {
        Self { id: None, channel, ask: None, reply: None, push: Some(push), refused: None }
    }
}

fn text<T: Serialize>(out: &T) -> String {
    // These types have no map with keys that are not text, which is all that can fail.
    serde_json::to_string(out).unwrap_or_default()
}

/// What was wrong, without the words of whoever sent it: they may be a secret.
fn describe(error: &serde_json::Error) -> String {
    format!("not of its form at line {}, column {}", error.line(), error.column())
}

fn malformed(text: &str) -> Refusal {
    Refusal::new(Code::Malformed, text)
}

#[cfg(test)]
mod tests;
