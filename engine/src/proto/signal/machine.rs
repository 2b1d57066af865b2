//! One call as a state machine without IO: events and the time go in, actions come out.
//!
//! ```text
//! caller   Idle ─Dial→ RingingOut ─ANSWER→ Connecting ─media→ InCall ⇄ Reconnecting
//! callee   Idle ─RESPONSE→ RingingIn ─Accept→ Connecting ─media→ InCall ⇄ Reconnecting
//!          every one ─→ Ended
//! ```
//!
//! The rule it keeps: no candidate, no capture and no media before the local accept. The callee accepts by
//! answering; the caller by dialling, and starts when the ANSWER is there.

use std::mem;
use std::time::{Duration, Instant};

use crate::base::id::CallId;
use crate::proto::devices::DeviceList;
use crate::proto::envelope::{Party, Verified};
use crate::proto::keys::{Digest, PublicKey};
use crate::proto::signal::action::{Action, MediaStart, Phase};
use crate::proto::signal::body::{Body, ByeReason, Line, Mute, Name, Nonce};
use crate::proto::signal::event::Event;
use crate::proto::signal::media::{Agreed, Candidate, MediaParameters};
use crate::proto::signal::outcome::Outcome;
use crate::proto::text::List;

/// How we show ourselves in a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    pub name: Name,
    pub devices: DeviceList,
    pub media: MediaParameters,
}

/// One call.
#[derive(Debug)]
pub struct CallMachine {
    pub(super) call: CallId,
    pub(super) own: Own,
    /// What the other side is called: by the person who dialled, or by itself.
    pub(super) name: Name,
    /// The device at the other end, once it has shown itself.
    pub(super) peer: Option<Party>,
    pub(super) phase: Phase,
    pub(super) role: Role,
    pub(super) has_route: bool,
    /// Ends the phase, or the step within it.
    pub(super) until: Option<Instant>,
    /// Ends the wait for another route while ringing.
    route_until: Option<Instant>,
    /// Until when silence means that the other side's program is gone.
    gone_until: Option<Instant>,
    pub(super) mute: Mute,
    held_local: Vec<Candidate>,
    held_remote: Vec<Candidate>,
    relay_only: bool,
    ignored: u64,
}

/// Which end this is, and how far its part of the handshake has come.
#[derive(Debug)]
pub(super) enum Role {
    Caller { step: CallerStep, expected: Option<PublicKey>, offer: Option<Digest> },
    Callee(Box<Callee>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallerStep {
    Dialling,
    Offered,
    Responded,
}

#[derive(Debug)]
pub(super) struct Callee {
    pub(super) incoming: super::incoming::Incoming,
    pub(super) nonce: Nonce,
    pub(super) has_responded: bool,
    /// We were calling them already: nobody needs to be asked.
    pub(super) is_wanted: bool,
}

impl CallMachine {
    pub(super) fn new(call: CallId, own: Own, name: Name, role: Role) -> Self {
        Self {
            call,
            own,
            name,
            peer: None,
            phase: Phase::Idle,
            role,
            has_route: false,
            until: None,
            route_until: None,
            gone_until: None,
            mute: Mute::default(),
            held_local: Vec::new(),
            held_remote: Vec::new(),
            relay_only: false,
            ignored: 0,
        }
    }

    /// Takes an opened envelope: only of this call, and only from the device at its other end. Others are counted
    /// and dropped. Ask `Dedup` and `Envelope::is_for` before.
    pub fn receive(&mut self, verified: &Verified, now: Instant, out: &mut Vec<Action>) {
        let envelope = &verified.envelope;
        let is_known = match &self.peer {
            Some(peer) => *peer == envelope.from,
            // The first word of a callee is the CHALLENGE; its device list was checked when it was opened.
            None => matches!(envelope.body, Body::Challenge(_)),
        };
        if envelope.call != self.call || !is_known {
            return self.ignore();
        }
        if self.peer.is_none() && self.phase == Phase::RingingOut {
            self.peer = Some(envelope.from);
        }
        self.handle(Event::Received(envelope.body.clone()), now, out);
    }

    /// Takes one event. What does not fit the state is counted and dropped.
    pub fn handle(&mut self, event: Event, now: Instant, out: &mut Vec<Action>) {
        if self.phase == Phase::Ended {
            return self.ignore();
        }
        match event {
            Event::Dial => self.dial(now, out),
            Event::RouteUp => self.route_up(now, out),
            Event::RouteFailed(why) => self.route_failed(why, out),
            Event::NoDevice(why) => self.no_device(&why, out),
            Event::RouteLost => self.route_lost(now, out),
            Event::PeerProcessGone => self.peer_gone(now, out),
            Event::OfferSealed(digest) => self.offer_sealed(digest),
            Event::Received(body) => self.received(body, now, out),
            Event::Crossed(incoming) => self.crossed(*incoming, now, out),
            Event::Accept => self.accept(now, out),
            Event::Decline => self.decline(out),
            Event::HangUp => self.hang_up(out),
            Event::OtherLegAnswered => self.other_leg_answered(out),
            Event::KeyChanged => self.refuse_key(out),
            Event::Gathered(candidates) => self.gathered(candidates, out),
            Event::Mute(mute) => self.set_mute(mute, out),
            Event::MediaConnected | Event::MediaRestored => self.media_up(out),
            Event::MediaLost => self.media_lost(now, out),
            Event::MediaClosed => match self.phase {
                Phase::InCall | Phase::Reconnecting => {
                    self.end(Outcome::Ended, format!("{} hung up.", self.name), out);
                }
                _ => self.ignore(),
            },
            Event::Timeout => self.timeout(now, out),
        }
    }

    /// When [`Event::Timeout`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        [self.until, self.route_until].into_iter().flatten().min()
    }

    /// No candidate but a relay's: either side wants it so, as far as is known by now.
    pub fn is_relay_only(&self) -> bool {
        let offered = match &self.role {
            Role::Callee(callee) => callee.incoming.offers_relay_only(),
            Role::Caller { .. } => false,
        };
        self.relay_only || self.own.media.relay_only || offered
    }

    /// This side called.
    pub const fn is_caller(&self) -> bool {
        matches!(self.role, Role::Caller { .. })
    }

    pub const fn call(&self) -> CallId {
        self.call
    }

    pub const fn phase(&self) -> Phase {
        self.phase
    }

    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// The device at the other end, once it has shown itself. A callee's is what envelopes are addressed to.
    pub const fn peer(&self) -> Option<&Party> {
        self.peer.as_ref()
    }

    /// How many events did not fit the state.
    pub const fn ignored(&self) -> u64 {
        self.ignored
    }

    fn received(&mut self, body: Body, now: Instant, out: &mut Vec<Action>) {
        let name = self.name.clone();
        match body {
            Body::Bye { why } if self.phase.is_accepted() => match why {
                ByeReason::NoMedia => self.end(Outcome::Failed, NO_MEDIA, out),
                ByeReason::Quit => self.end(Outcome::Ended, format!("{name} closed the program."), out),
                ByeReason::Person | ByeReason::Other => self.end(Outcome::Ended, format!("{name} hung up."), out),
            },
            Body::Incompatible { text } if self.peer_may_refuse() => {
                self.end(Outcome::Incompatible, format!("{name}'s program says: {text}"), out);
            }
            Body::Refused { text } if self.peer_may_refuse() => {
                self.end(Outcome::Refused, format!("{name}'s program refused the call: {text}"), out);
            }
            Body::Mute(mute) if self.phase.is_accepted() => out.push(Action::PeerMuted(mute)),
            Body::Watch(watch) if self.phase.is_accepted() => out.push(Action::PeerWatches(watch)),
            Body::Candidates { candidates } => self.peer_candidates(candidates, out),
            Body::Silent => {
                if self.phase.is_accepted() {
                    out.push(Action::PeerHearsNothing);
                }
            }
            Body::Files if self.phase.is_accepted() => out.push(Action::PeerWantsFiles),
            Body::Ping { .. } | Body::Pong { .. } | Body::Unknown => {}
            other => match self.role {
                Role::Caller { .. } => self.received_as_caller(other, now, out),
                Role::Callee(_) => self.received_as_callee(other, now, out),
            },
        }
    }

    /// Media may start: the accept is there on this side, the parameters from both.
    pub(super) fn start(&mut self, remote: MediaParameters, agreed: Agreed, now: Instant, out: &mut Vec<Action>) {
        let controlling = matches!(self.role, Role::Caller { .. });
        self.relay_only = agreed.relay_only;
        self.set_phase(Phase::Connecting, out);
        // ICE over a relay with losses takes 5 to 10 s; a person gives up at about 30.
        self.until = now.checked_add(MEDIA_SETUP);
        self.route_until = None;
        let local = self.own.media.clone();
        out.push(Action::StartMedia(Box::new(MediaStart { local, remote, agreed, controlling })));
        out.push(Action::SendCandidates);
        out.push(Action::StartCapture);
        if self.mute != Mute::default() {
            out.push(Action::Send(Body::Mute(self.mute)));
        }
        let held = mem::take(&mut self.held_remote);
        if !held.is_empty() {
            out.push(Action::AddCandidates(held));
        }
        self.send_held(out);
    }

    pub(super) fn end(&mut self, outcome: Outcome, reason: impl Into<String>, out: &mut Vec<Action>) {
        if self.phase == Phase::RingingIn {
            out.push(Action::StopRinging);
        }
        if self.phase.is_accepted() {
            out.push(Action::StopMedia);
        }
        self.set_phase(Phase::Ended, out);
        (self.until, self.route_until, self.gone_until) = (None, None, None);
        out.push(Action::End { outcome, reason: reason.into() });
    }

    pub(super) fn set_phase(&mut self, phase: Phase, out: &mut Vec<Action>) {
        if self.phase != phase {
            self.phase = phase;
            out.push(Action::Phase(phase));
        }
    }

    pub(super) fn ignore(&mut self) {
        self.ignored = self.ignored.saturating_add(1);
    }

    fn route_up(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.has_route = true;
        (self.route_until, self.gone_until) = (None, None);
        if self.phase.is_accepted() {
            // What was said while there was no route may not have arrived.
            out.push(Action::Send(Body::Mute(self.mute)));
            self.send_held(out);
        } else {
            self.send_offer(now, out);
        }
    }

    fn route_lost(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.has_route = false;
        match self.phase {
            Phase::RingingOut | Phase::RingingIn => self.route_until = now.checked_add(ROUTE_GRACE),
            Phase::Idle => self.end(Outcome::Failed, self.lost(), out),
            // The media has its own path: the call goes on.
            _ => {}
        }
    }

    fn peer_gone(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.has_route = false;
        if self.phase == Phase::InCall {
            // A middlebox may have cut the connection: media that goes on shows that the program lives.
            self.gone_until = now.checked_add(GONE_WINDOW);
        } else {
            self.end(Outcome::Failed, self.gone(), out);
        }
    }

    fn media_up(&mut self, out: &mut Vec<Action>) {
        match self.phase {
            Phase::Connecting | Phase::Reconnecting => {
                self.until = None;
                self.set_phase(Phase::InCall, out);
            }
            _ => self.ignore(),
        }
    }

    fn media_lost(&mut self, now: Instant, out: &mut Vec<Action>) {
        if self.phase != Phase::InCall {
            return self.ignore();
        }
        if self.gone_until.is_some_and(|until| now <= until) {
            return self.end(Outcome::Failed, self.gone(), out);
        }
        // Silence means reconnecting, until the person stops it: no deadline.
        self.set_phase(Phase::Reconnecting, out);
    }

    fn gathered(&mut self, candidates: Vec<Candidate>, out: &mut Vec<Action>) {
        hold(&mut self.held_local, candidates);
        self.send_held(out);
    }

    fn send_held(&mut self, out: &mut Vec<Action>) {
        if self.phase.is_accepted() && self.has_route && !self.held_local.is_empty() {
            let candidates = List::cut(mem::take(&mut self.held_local));
            out.push(Action::Send(Body::Candidates { candidates }));
        }
    }

    fn peer_candidates(&mut self, candidates: List<Candidate, 32>, out: &mut Vec<Action>) {
        if self.phase.is_accepted() {
            out.push(Action::AddCandidates(candidates.into_vec()));
        } else if matches!(self.role, Role::Caller { step: CallerStep::Responded, .. }) {
            // With several routes the candidates may overtake the ANSWER.
            hold(&mut self.held_remote, candidates.into_vec());
        } else {
            self.ignore();
        }
    }

    fn set_mute(&mut self, mute: Mute, out: &mut Vec<Action>) {
        let is_new = mem::replace(&mut self.mute, mute) != mute;
        if is_new && self.phase.is_accepted() {
            out.push(Action::Send(Body::Mute(mute)));
        }
    }

    fn hang_up(&mut self, out: &mut Vec<Action>) {
        match self.phase {
            Phase::RingingIn => self.decline(out),
            Phase::Idle | Phase::RingingOut => self.cancel(out),
            _ => {
                out.push(Action::Send(Body::Bye { why: ByeReason::Person }));
                self.end(Outcome::Ended, "You hung up.", out);
            }
        }
    }

    fn refuse_key(&mut self, out: &mut Vec<Action>) {
        if matches!(self.phase, Phase::InCall | Phase::Reconnecting) {
            return self.ignore();
        }
        let text = Line::cut("your key is not the one remembered here; compare the safety number by another way");
        out.push(Action::Send(Body::Refused { text }));
        self.end(Outcome::Refused, self.key_changed(), out);
    }

    fn timeout(&mut self, now: Instant, out: &mut Vec<Action>) {
        if self.route_until.is_some_and(|until| until <= now) {
            return self.end(Outcome::Failed, self.lost(), out);
        }
        if self.until.is_none_or(|until| until > now) {
            return;
        }
        if self.phase == Phase::Connecting {
            out.push(Action::Send(Body::Bye { why: ByeReason::NoMedia }));
            return self.end(Outcome::Failed, NO_MEDIA, out);
        }
        match self.role {
            Role::Caller { .. } => self.caller_timeout(out),
            Role::Callee(_) => self.callee_timeout(out),
        }
    }

    /// A refusal counts until the media runs; also while a callee still challenges, for the caller may not trust the
    /// key that the challenge showed.
    const fn peer_may_refuse(&self) -> bool {
        matches!(self.phase, Phase::Idle | Phase::RingingOut | Phase::RingingIn | Phase::Connecting)
    }

    fn lost(&self) -> String {
        format!("The connection to {} was lost before the call began. Check the network and call again.", self.name)
    }

    fn gone(&self) -> String {
        format!("{}'s program ended unexpectedly. Call again when it runs.", self.name)
    }

    pub(super) fn key_changed(&self) -> String {
        format!(
            "{}'s key is not the one remembered. Compare the safety number; if it is right, call again with \
             --trust-new-key.",
            self.name
        )
    }
}

fn hold(held: &mut Vec<Candidate>, more: Vec<Candidate>) {
    // As many as one message takes: a machine with more addresses is reachable at these as well.
    let room = 32usize.saturating_sub(held.len());
    held.extend(more.into_iter().take(room));
}

/// A person gives up after about half a minute of "connecting".
const MEDIA_SETUP: Duration = Duration::from_secs(30);

/// A route that breaks while it rings may be opened again within this time.
const ROUTE_GRACE: Duration = Duration::from_secs(5);

/// Media is found silent 1 to 1.5 s after a program's death; a busy machine's check may be late.
const GONE_WINDOW: Duration = Duration::from_secs(5);

const NO_MEDIA: &str = "No way for sound and picture was found. Let the program's UDP ports through the firewall, or \
                        use a service with a relay.";
