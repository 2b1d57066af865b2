//! The caller's part of the call machine.

use std::mem;
use std::time::{Duration, Instant};

use crate::base::id::CallId;
use crate::proto::keys::{Digest, PublicKey};
use crate::proto::signal::action::{Action, Phase};
use crate::proto::signal::body::{Answer, Body, CancelReason, Challenge, Line, Name, Offer};
use crate::proto::signal::event::RouteFailure;
use crate::proto::signal::incoming::Incoming;
use crate::proto::signal::machine::{CallMachine, CallerStep, Own, Role};
use crate::proto::signal::media::agree;
use crate::proto::signal::outcome::Outcome;

impl CallMachine {
    /// A call that this side makes. `name` is what the person calls the other side; `expected` its account key where
    /// one is known: from a pal, a link, or remembered.
    pub fn outgoing(call: CallId, own: Own, name: Name, expected: Option<PublicKey>) -> Self {
        Self::new(call, own, name, Role::Caller { step: CallerStep::Dialling, expected, offer: None })
    }

    pub(super) fn dial(&mut self, now: Instant, out: &mut Vec<Action>) {
        if self.phase != Phase::Idle || !matches!(self.role, Role::Caller { .. }) {
            return self.ignore();
        }
        self.until = now.checked_add(NO_ANSWER);
        self.set_phase(Phase::RingingOut, out);
        if self.has_route {
            self.send_offer(now, out);
        }
    }

    pub(super) fn send_offer(&mut self, now: Instant, out: &mut Vec<Action>) {
        let is_dialled = self.phase == Phase::RingingOut;
        let Role::Caller { step: step @ CallerStep::Dialling, .. } = &mut self.role else { return };
        if !is_dialled {
            return;
        }
        *step = CallerStep::Offered;
        self.until = now.checked_add(CHALLENGE_WAIT);
        let Own { name, devices, media } = self.own.clone();
        out.push(Action::Send(Body::Offer(Box::new(Offer { name, devices, media }))));
    }

    pub(super) fn offer_sealed(&mut self, digest: Digest) {
        match &mut self.role {
            Role::Caller { offer, .. } => *offer = Some(digest),
            Role::Callee(_) => self.ignore(),
        }
    }

    pub(super) fn route_failed(&mut self, why: RouteFailure, out: &mut Vec<Action>) {
        if self.phase != Phase::RingingOut || self.has_route {
            return self.ignore();
        }
        let name = &self.name;
        let reason = match why {
            RouteFailure::Unreachable => format!("{name} cannot be reached: check the name and the network."),
            RouteFailure::Refused => {
                format!("{name}'s machine is there, but the program does not run on that port: ask {name} to start it.")
            }
            RouteFailure::Timeout => {
                format!("{name} does not answer: the machine is off, or a firewall drops the call's TCP port.")
            }
            RouteFailure::NotOurs => format!("What answers at {name} is another program: check the base port."),
            RouteFailure::NotHere => format!(
                "Nobody on this network is called {name}, or more than one is: see who is there, or call by address."
            ),
            RouteFailure::ProxyLogin => {
                "The proxy does not accept the user name or the password: correct them in the proxy \
                                         settings."
                    .to_owned()
            }
            RouteFailure::ProxyRefused => format!(
                "The proxy does not carry a call to {name}: ask who runs it to allow the port, or call by the service."
            ),
        };
        self.end(Outcome::Unreachable, reason, out);
    }

    pub(super) fn no_device(&mut self, why: &Line, out: &mut Vec<Action>) {
        match self.role {
            // A device that has answered was there, whatever the service says of others.
            Role::Caller { step: CallerStep::Dialling | CallerStep::Offered, .. }
                if self.phase == Phase::RingingOut =>
            {
                self.end(Outcome::Unreachable, why.to_string(), out);
            }
            _ => self.ignore(),
        }
    }

    pub(super) fn received_as_caller(&mut self, body: Body, now: Instant, out: &mut Vec<Action>) {
        let Role::Caller { step, .. } = &self.role else { return self.ignore() };
        if self.phase != Phase::RingingOut {
            return self.ignore();
        }
        let name = self.name.clone();
        match (body, *step) {
            (Body::Challenge(challenge), CallerStep::Offered) => self.challenged(&challenge, now, out),
            (Body::Ringing, CallerStep::Responded) => out.push(Action::PeerRings),
            (Body::Answer(answer), CallerStep::Responded) => self.answered(*answer, now, out),
            (Body::Decline, CallerStep::Responded) => {
                self.end(Outcome::Declined, format!("{name} declined the call."), out);
            }
            (Body::Busy, CallerStep::Responded) => {
                self.end(Outcome::Busy, format!("{name} is in another call. Try again later."), out);
            }
            _ => self.ignore(),
        }
    }

    fn challenged(&mut self, challenge: &Challenge, now: Instant, out: &mut Vec<Action>) {
        let Role::Caller { step, expected, .. } = &mut self.role else { return };
        let account = challenge.devices.account;
        if expected.is_some_and(|expected| expected != account) {
            let text = Line::cut("the key you showed is not the expected one");
            out.push(Action::Send(Body::Refused { text }));
            return self.end(Outcome::Refused, self.key_changed(), out);
        }
        *step = CallerStep::Responded;
        // From now on nobody but this account may answer.
        *expected = Some(account);
        self.until = now.checked_add(NO_ANSWER);
        out.push(Action::Identified(account));
        out.push(Action::Send(Body::Response { nonce: challenge.nonce }));
    }

    fn answered(&mut self, answer: Answer, now: Instant, out: &mut Vec<Action>) {
        let Role::Caller { expected, offer, .. } = &self.role else { return };
        if *expected != Some(answer.devices.account) || *offer != Some(answer.offer) {
            // An answer to another offer, or by somebody else: as good as none.
            return self.ignore();
        }
        let name = if answer.name.is_empty() { &self.name } else { &answer.name };
        match agree(&self.own.media, &answer.media, name) {
            Ok(agreed) => self.start(answer.media, agreed, now, out),
            Err(why) => self.incompatible(why, out),
        }
    }

    /// Both call each other: the lower call id wins, and the other call becomes it.
    pub(super) fn crossed(&mut self, incoming: Incoming, now: Instant, out: &mut Vec<Action>) {
        let Role::Caller { expected, .. } = &self.role else { return self.ignore() };
        let is_other = expected.is_some_and(|expected| expected != incoming.from.account)
            || self.peer.is_some_and(|peer| peer != incoming.from);
        if self.phase != Phase::RingingOut || is_other || self.call <= incoming.call {
            return self.ignore();
        }
        let own = self.own.clone();
        let (mute, name) = (mem::take(&mut self.mute), self.name.clone());
        *self = Self::wanted(incoming, own, now, out);
        (self.mute, self.name) = (mute, name);
    }

    pub(super) fn cancel(&mut self, out: &mut Vec<Action>) {
        // A callee that still challenges says nothing: it has not shown that anybody is there.
        if matches!(self.role, Role::Caller { .. }) {
            self.tell_if_offered(Body::Cancel { why: CancelReason::Person }, out);
        } else if self.phase == Phase::RingingOut {
            out.push(Action::Send(Body::Decline));
        }
        self.end(Outcome::Cancelled, "You cancelled the call.", out);
    }

    pub(super) fn other_leg_answered(&mut self, out: &mut Vec<Action>) {
        if self.phase != Phase::RingingOut {
            return self.ignore();
        }
        self.tell_if_offered(Body::AnsweredElsewhere, out);
        self.end(Outcome::AnsweredElsewhere, format!("{} answered on another device.", self.name), out);
    }

    pub(super) fn caller_timeout(&mut self, out: &mut Vec<Action>) {
        let Role::Caller { step, .. } = &self.role else { return };
        let name = self.name.clone();
        match step {
            CallerStep::Dialling => self.route_failed(RouteFailure::Timeout, out),
            CallerStep::Offered => {
                let reason = format!("{name}'s program took the call and did not go on: ask {name} to start it anew.");
                self.tell_if_offered(Body::Cancel { why: CancelReason::NoAnswer }, out);
                self.end(Outcome::Unreachable, reason, out);
            }
            CallerStep::Responded => {
                self.tell_if_offered(Body::Cancel { why: CancelReason::NoAnswer }, out);
                self.end(Outcome::NoAnswer, format!("{name} did not answer. Try again later."), out);
            }
        }
    }

    fn tell_if_offered(&self, body: Body, out: &mut Vec<Action>) {
        if matches!(self.role, Role::Caller { step: CallerStep::Offered | CallerStep::Responded, .. }) {
            out.push(Action::Send(body));
        }
    }
}

/// How long it rings: a minute, as a telephone does.
const NO_ANSWER: Duration = Duration::from_secs(60);

/// A program answers by itself within a round trip; ten seconds is the door's own limit.
const CHALLENGE_WAIT: Duration = Duration::from_secs(10);
