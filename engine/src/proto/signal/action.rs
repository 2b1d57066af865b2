//! What a call asks its surroundings to do.

use crate::proto::keys::PublicKey;
use crate::proto::signal::body::{Body, Mute, Name, Watch};
use crate::proto::signal::media::{Agreed, Candidate, MediaParameters};
use crate::proto::signal::outcome::Outcome;

/// One thing to do, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Seal this and send it on the call's route. After an OFFER, hand its digest back in `Event::OfferSealed`.
    Send(Body),
    /// The other side showed this account key. Remember it when the call connects.
    Identified(PublicKey),
    /// Ask the person. `verified`: the safety number was compared before.
    Ring {
        name: Name,
        account: PublicKey,
        verified: bool,
    },
    StopRinging,
    /// It rings there: play the tone.
    PeerRings,
    /// Set the media path up. Never before the local accept.
    StartMedia(Box<MediaStart>),
    /// From now on `Event::Gathered` sends candidates: look for them. Never before the local accept.
    SendCandidates,
    /// Ways to reach the other side.
    AddCandidates(Vec<Candidate>),
    /// Open microphone and camera. Never before the local accept.
    StartCapture,
    /// Close the media path, microphone and camera.
    StopMedia,
    /// What the other side is not sending on purpose.
    PeerMuted(Mute),
    /// The path in use carries nothing to the other side, which has another.
    PeerHearsNothing,
    /// The other side wants the data channel to be opened.
    PeerWantsFiles,
    /// How the other side looks at what we send.
    PeerWatches(Watch),
    Phase(Phase),
    /// The call is over; nothing follows. `reason` is one line: what happened, what to do.
    End {
        outcome: Outcome,
        reason: String,
    },
}

/// What the media path is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaStart {
    pub local: MediaParameters,
    pub remote: MediaParameters,
    pub agreed: Agreed,
    /// This side nominates the pair (RFC 8445 §6.1.1): the caller.
    pub controlling: bool,
}

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Not begun, or the caller is still being challenged.
    Idle,
    RingingOut,
    RingingIn,
    Connecting,
    InCall,
    Reconnecting,
    Ended,
}

impl Phase {
    /// Both persons have agreed to talk.
    pub const fn is_accepted(self) -> bool {
        matches!(self, Self::Connecting | Self::InCall | Self::Reconnecting)
    }
}
