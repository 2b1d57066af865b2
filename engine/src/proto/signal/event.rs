//! What can happen to a call.

use crate::proto::keys::Digest;
use crate::proto::signal::body::{Body, Line, Mute};
use crate::proto::signal::incoming::Incoming;
use crate::proto::signal::media::Candidate;

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The person calls; a route is being opened.
    Dial,
    /// A route to the other side stands: the first one, or one after [`Event::RouteLost`].
    RouteUp,
    /// No route could be opened.
    RouteFailed(RouteFailure),
    /// The service has no device of theirs to ring, or does not ring it: why, for the person.
    NoDevice(Line),
    /// The last route broke without a word about why: a timeout, our own network.
    RouteLost,
    /// The last route was closed by the other side's system without a goodbye: its program is gone.
    PeerProcessGone,
    /// The OFFER was sealed for sending; its digest is what the ANSWER has to name.
    OfferSealed(Digest),
    /// A message from the other side of this call. `CallMachine::receive` checks the sender first.
    Received(Body),
    /// The one we are calling is calling us.
    Crossed(Box<Incoming>),
    /// The person accepts.
    Accept,
    /// The person declines.
    Decline,
    /// The person stops it: cancels what rings there, declines what rings here, ends what runs.
    HangUp,
    /// Another device of the callee took the call: this leg is over.
    OtherLegAnswered,
    /// The person, or the policy, does not trust the other side's key.
    KeyChanged,
    /// Ways to reach us were found.
    Gathered(Vec<Candidate>),
    /// The person mutes, unmutes, turns the camera off or on.
    Mute(Mute),
    /// The first media packet, or the transport's handshake, came through.
    MediaConnected,
    /// Nothing came on the media path for 1 to 1.5 s.
    MediaLost,
    /// The other side closed the media path, encrypted as all that comes by it: it hung up, and its word for that may be lost.
    MediaClosed,
    /// Something came again.
    MediaRestored,
    /// `CallMachine::deadline` has come.
    Timeout,
}

/// Why there is no route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteFailure {
    /// The name has no address, or the network no way there.
    Unreachable,
    /// The machine is there, the program is not.
    Refused,
    /// Nobody answered within the time.
    Timeout,
    /// What answers there is not this program.
    NotOurs,
    /// Nobody on this network is called so, or more than one.
    NotHere,
    /// The proxy on the way wants another login.
    ProxyLogin,
    /// The proxy on the way does not carry calls there.
    ProxyRefused,
}
