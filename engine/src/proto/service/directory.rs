//! The directory channel: who lets themselves be found, and which rooms there are.

use serde::{Deserialize, Serialize};

use super::names::{Person, RoomId};
use super::profile::Language;
use crate::proto::signal::body::Line;
use crate::proto::text::{List, Text};

/// Entries of a page.
pub const PAGE: usize = 100;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Request {
    /// Be listed, with a comment, or not any more. → [`Reply::Listed`]
    List {
        listed: bool,
        #[serde(default)]
        comment: Line,
    },
    /// Those who are listed, by name. Each filter that is not empty has to fit. → [`Reply::People`]
    Search {
        /// A part of the name, the display name or the comment.
        #[serde(default)]
        text: Text<64>,
        #[serde(default)]
        place: Text<64>,
        #[serde(default)]
        language: Language,
        /// `next` of the page before.
        #[serde(default)]
        after: Option<Text<64>>,
        /// At most [`PAGE`]; 0: as many.
        #[serde(default)]
        limit: u16,
    },
    /// Rooms that are open to all, by name. → [`Reply::Rooms`]
    Rooms {
        #[serde(default)]
        text: Text<64>,
        #[serde(default)]
        after: Option<Text<64>>,
        #[serde(default)]
        limit: u16,
    },
    #[serde(other)]
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Reply {
    Listed {
        listed: bool,
    },
    People {
        people: List<Listing, PAGE>,
        next: Option<Text<64>>,
    },
    Rooms {
        rooms: List<RoomListing, PAGE>,
        next: Option<Text<64>>,
    },
    #[serde(other)]
    Unknown,
}

/// Somebody who is listed. Location and languages only where everybody may see them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    #[serde(flatten)]
    pub person: Person,
    #[serde(default)]
    pub location: Text<64>,
    #[serde(default)]
    pub languages: List<Language, 8>,
    #[serde(default)]
    pub comment: Line,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomListing {
    pub room: RoomId,
    pub name: Text<64>,
    #[serde(default)]
    pub topic: Line,
    /// How many belong to it.
    pub members: u32,
    /// Whether it takes a password.
    #[serde(default)]
    pub locked: bool,
}

/// Nothing is pushed on this channel yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Push {
    #[serde(other)]
    Unknown,
}
