//! The callee's part of the call machine.

use std::time::{Duration, Instant};

use crate::base::id::CallId;
use crate::proto::envelope::{Party, Verified};
use crate::proto::keys::Digest;
use crate::proto::signal::action::{Action, Phase};
use crate::proto::signal::body::{Answer, Body, CancelReason, Challenge, Line, Nonce, Offer};
use crate::proto::signal::machine::{CallMachine, Callee, Own, Role};
use crate::proto::signal::media::{Incompatible, agree};
use crate::proto::signal::outcome::Outcome;

/// An OFFER that came in, and what the policy says about it.
#[derive(Clone, Debug)]
pub struct Incoming {
    pub call: CallId,
    pub from: Party,
    pub offer: Offer,
    /// Of the OFFER's signed text.
    pub digest: Digest,
    /// Random: [`crate::proto::keys::random`].
    pub nonce: Nonce,
    pub admission: Admission,
    /// The caller's safety number was compared before.
    pub verified: bool,
}

impl Incoming {
    /// The caller wants no candidate but a relay's.
    pub const fn offers_relay_only(&self) -> bool {
        self.offer.media.relay_only
    }
}

/// What happens once the caller has shown that it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Admission {
    Ring,
    /// The person is in another call.
    Busy,
    /// Another key is remembered under the caller's name or address.
    KeyChanged,
}

impl Incoming {
    /// `None` where the envelope holds no OFFER.
    pub fn new(verified: Verified, nonce: Nonce, admission: Admission, is_verified: bool) -> Option<Self> {
        let (envelope, digest) = (verified.envelope, verified.digest);
        let Body::Offer(offer) = envelope.body else { return None };
        let (call, from) = (envelope.call, envelope.from);
        Some(Self { call, from, offer: *offer, digest, nonce, admission, verified: is_verified })
    }
}

impl CallMachine {
    /// A call that somebody makes to this side. It challenges at once; nothing rings before the response.
    pub fn incoming(incoming: Incoming, own: Own, now: Instant, out: &mut Vec<Action>) -> Self {
        Self::called(incoming, own, false, now, out)
    }

    /// The same for one whom we were calling ourselves: accepted as soon as the response is there.
    pub(super) fn wanted(incoming: Incoming, own: Own, now: Instant, out: &mut Vec<Action>) -> Self {
        let mut machine = Self::called(incoming, own, true, now, out);
        // For the person it is still the call that was dialled.
        machine.phase = Phase::RingingOut;
        machine
    }

    fn called(incoming: Incoming, own: Own, is_wanted: bool, now: Instant, out: &mut Vec<Action>) -> Self {
        let (call, from, nonce, name) = (incoming.call, incoming.from, incoming.nonce, incoming.offer.name.clone());
        let devices = own.devices.clone();
        let callee = Callee { incoming, nonce, has_responded: false, is_wanted };
        let mut machine = Self::new(call, own, name, Role::Callee(Box::new(callee)));
        machine.peer = Some(from);
        machine.has_route = true;
        machine.until = now.checked_add(RESPONSE_WAIT);
        out.push(Action::Send(Body::Challenge(Challenge { nonce, devices })));
        machine
    }

    pub(super) fn received_as_callee(&mut self, body: Body, now: Instant, out: &mut Vec<Action>) {
        match body {
            Body::Response { nonce } => self.responded(nonce, now, out),
            Body::Cancel { why } => self.cancelled(why, out),
            Body::AnsweredElsewhere if self.phase == Phase::RingingIn => {
                self.end(Outcome::AnsweredElsewhere, "Another of your devices took the call.", out);
            }
            _ => self.ignore(),
        }
    }

    pub(super) fn accept(&mut self, now: Instant, out: &mut Vec<Action>) {
        let Role::Callee(callee) = &self.role else { return self.ignore() };
        let is_asked = self.phase == Phase::RingingIn || (callee.is_wanted && self.phase == Phase::RingingOut);
        if !is_asked || !callee.has_responded {
            return self.ignore();
        }
        let remote = callee.incoming.offer.media.clone();
        let offer = callee.incoming.digest;
        match agree(&self.own.media, &remote, &self.name) {
            Ok(agreed) => {
                if self.phase == Phase::RingingIn {
                    out.push(Action::StopRinging);
                }
                let Own { name, devices, media } = self.own.clone();
                out.push(Action::Send(Body::Answer(Box::new(Answer { name, devices, media, offer }))));
                self.start(remote, agreed, now, out);
            }
            Err(why) => self.incompatible(why, out),
        }
    }

    pub(super) fn decline(&mut self, out: &mut Vec<Action>) {
        if self.phase != Phase::RingingIn {
            return self.ignore();
        }
        out.push(Action::Send(Body::Decline));
        self.end(Outcome::Declined, "You declined the call.", out);
    }

    pub(super) fn callee_timeout(&mut self, out: &mut Vec<Action>) {
        match self.phase {
            Phase::RingingIn => self.end(Outcome::NoAnswer, format!("You missed a call from {}.", self.name), out),
            _ => self.end(Outcome::Failed, format!("{}'s program called and did not go on.", self.name), out),
        }
    }

    fn responded(&mut self, nonce: Nonce, now: Instant, out: &mut Vec<Action>) {
        let Role::Callee(callee) = &mut self.role else { return };
        if callee.has_responded || callee.nonce != nonce {
            return self.ignore();
        }
        callee.has_responded = true;
        let (account, verified) = (callee.incoming.from.account, callee.incoming.verified);
        let (admission, is_wanted) = (callee.incoming.admission, callee.is_wanted);
        let remote = callee.incoming.offer.media.clone();
        out.push(Action::Identified(account));
        if let Err(why) = agree(&self.own.media, &remote, &self.name) {
            return self.incompatible(why, out);
        }
        match admission {
            Admission::KeyChanged => {
                let text = Line::cut("another key of yours is remembered here; compare the safety number");
                out.push(Action::Send(Body::Refused { text }));
                self.end(Outcome::Refused, self.key_changed(), out);
            }
            _ if is_wanted => self.accept(now, out),
            Admission::Busy => {
                out.push(Action::Send(Body::Busy));
                self.end(Outcome::Busy, format!("{} called while you were in another call.", self.name), out);
            }
            Admission::Ring => {
                self.until = now.checked_add(RINGING);
                self.set_phase(Phase::RingingIn, out);
                out.push(Action::Send(Body::Ringing));
                out.push(Action::Ring { name: self.name.clone(), account, verified });
            }
        }
    }

    fn cancelled(&mut self, why: CancelReason, out: &mut Vec<Action>) {
        let name = &self.name;
        match (self.phase, why) {
            (Phase::InCall | Phase::Reconnecting, _) => self.ignore(),
            (Phase::Connecting, CancelReason::Person | CancelReason::Other) => {
                self.end(Outcome::Cancelled, format!("{name} cancelled while you accepted."), out);
            }
            (_, CancelReason::Person | CancelReason::Other) => {
                self.end(Outcome::Cancelled, format!("{name} cancelled the call."), out);
            }
            (_, CancelReason::NoAnswer) => {
                self.end(Outcome::NoAnswer, format!("You missed a call from {name}."), out);
            }
        }
    }

    pub(super) fn incompatible(&mut self, why: Incompatible, out: &mut Vec<Action>) {
        out.push(Action::Send(Body::Incompatible { text: Line::cut(&why.there) }));
        self.end(Outcome::Incompatible, why.here, out);
    }
}

/// A program responds by itself within a round trip; ten seconds is the door's own limit.
const RESPONSE_WAIT: Duration = Duration::from_secs(10);

/// The caller gives up after 60 s and says so; this is for the one that cannot.
const RINGING: Duration = Duration::from_secs(65);
