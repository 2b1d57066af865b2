//! What the services on one database tell each other.

use serde::{Deserialize, Serialize};

use crate::base::id::AccountId;
use crate::proto::keys::PublicKey;
use crate::proto::service::names::{AccountName, RoomId, Seq};
use crate::proto::service::pals::Presence;
use crate::proto::signal::body::Line;
use crate::proto::text::Prose;

/// One thing that a service tells the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Between {
    /// These accounts have sessions here, and this is how they are.
    Here { parts: Vec<Part> },
    /// The account has none here any more.
    Left { account: AccountId },
    /// The two are pals from now on, or not any more.
    Paired { one: AccountId, other: AccountId, are_pals: bool },
    /// The account appears offline to the other from now on, or not any more.
    Hidden { account: AccountId, from: AccountId, hidden: bool },
    /// For the sessions of an account, or that of one device.
    Push { account: AccountId, device: Option<PublicKey>, text: String },
    /// Sessions of the account are over, or that of one device.
    Close { account: AccountId, device: Option<PublicKey> },
    /// The room's log goes up to there.
    Room { room: RoomId, seq: Seq },
    /// The account has come into the room, whose log goes up to there, or is out of it.
    Member { room: RoomId, account: AccountId, last: Option<Seq> },
    Typing {
        room: RoomId,
        account: AccountId,
        name: AccountName,
        /// Those who are not told.
        #[serde(default)]
        hidden_from: Vec<AccountId>,
    },
    /// The room's moderators have set these anew.
    Settings { room: RoomId, notice: Prose<1000>, slow_seconds: u16 },
    /// Of a later version.
    #[serde(other)]
    Unknown,
}

/// The part of an account that is at one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub account: AccountId,
    pub name: AccountName,
    pub devices: Vec<PublicKey>,
    /// What its sessions say; `None`: nothing yet.
    pub said: Option<(Presence, Line)>,
    /// Who sees it, in order; `None` until its service knows.
    pub seen_by: Option<Vec<AccountId>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_heard_and_what_a_later_version_tells_is_passed_over() {
        let part = Part {
            account: AccountId(7),
            name: AccountName::new("ada").expect("a name"),
            devices: vec![PublicKey([1; 32])],
            said: Some((Presence::Busy, Line::cut("in a call"))),
            seen_by: Some(vec![AccountId(2), AccountId(9)]),
        };
        for told in [
            Between::Here { parts: vec![part] },
            Between::Push { account: AccountId(1), device: None, text: "{\"a\":\"\\\"\"}".into() },
            Between::Room { room: RoomId(3), seq: Seq(9) },
        ] {
            let text = serde_json::to_string(&told).expect("text");
            assert_eq!(serde_json::from_str::<Between>(&text).expect("heard"), told);
        }
        assert_eq!(serde_json::from_str::<Between>("{\"type\":\"fly\"}").expect("heard"), Between::Unknown);
    }
}
