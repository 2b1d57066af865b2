//! Two people, their machines, and a link with delay between them. Every message is really signed and opened.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::time::{Duration, Instant};

use engine::base::id::{CallId, Ssrc};
use engine::base::time::now;
use engine::proto::devices::DeviceList;
use engine::proto::envelope::{Envelope, Party, Verified};
use engine::proto::keys::{Digest, PublicKey, Signer};
use engine::proto::signal::action::{Action, MediaStart, Phase};
use engine::proto::signal::body::{Body, Name, Nonce};
use engine::proto::signal::event::Event;
use engine::proto::signal::incoming::{Admission, Incoming};
use engine::proto::signal::machine::{CallMachine, Own};
use engine::proto::signal::media::{
    AudioCapability, Candidate, CandidateKind, IceCredentials, MediaParameters, Ssrcs, VideoCapability,
};
use engine::proto::signal::outcome::Outcome;
use engine::proto::text::List;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Caller,
    Callee,
}

pub struct Person {
    pub name: String,
    pub account: Signer,
    pub device: Signer,
}

/// What a side saw and did, in order.
#[derive(Clone, Debug)]
pub enum Step {
    /// The person accepted here, by answering or by having dialled what is answered now.
    Accepted,
    Did(Action),
}

pub struct Pair {
    pub admission: Admission,
    pub expected: Option<PublicKey>,
    pub callee_own: Own,
    /// Nothing that is sent arrives.
    pub cut: bool,
    now: Instant,
    delay: Duration,
    people: [Person; 2],
    machines: [Option<CallMachine>; 2],
    traces: [Vec<Step>; 2],
    counter: u64,
    flying: Vec<(Instant, Side, Vec<u8>)>,
    ids: [CallId; 2],
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Caller => Self::Callee,
            Self::Callee => Self::Caller,
        }
    }
}

impl Pair {
    pub fn new(delay: Duration) -> Self {
        let people = [person("Ada"), person("Bob")];
        let callee_own = own(&people[1], 2);
        Self {
            admission: Admission::Ring,
            expected: None,
            callee_own,
            cut: false,
            now: now(),
            delay,
            people,
            machines: [None, None],
            traces: [Vec::new(), Vec::new()],
            counter: 0,
            flying: Vec::new(),
            ids: [CallId([1; 16]), CallId([2; 16])],
        }
    }

    /// Dials with a route that stands, and lets the OFFER fly.
    pub fn dial(&mut self) {
        self.at(Side::Caller, Event::Dial);
        self.at(Side::Caller, Event::RouteUp);
    }

    /// Until it rings.
    pub fn ring(&mut self) {
        self.dial();
        self.run(self.delay * 5);
        assert_eq!(self.machine(Side::Callee).phase(), Phase::RingingIn);
    }

    /// Until both are in the call.
    pub fn connect(&mut self) {
        self.ring();
        self.at(Side::Callee, Event::Accept);
        self.run(self.delay * 2);
        self.at(Side::Caller, Event::MediaConnected);
        self.at(Side::Callee, Event::MediaConnected);
        assert_eq!(self.machine(Side::Caller).phase(), Phase::InCall);
        assert_eq!(self.machine(Side::Callee).phase(), Phase::InCall);
    }

    /// Both dial, the callee `lead` later, before it has heard of the first.
    pub fn cross(&mut self, is_ours_lower: bool, lead: Duration) {
        if !is_ours_lower {
            self.ids.reverse();
        }
        self.dial();
        self.run(lead);
        let machine = CallMachine::outgoing(self.ids[1], self.callee_own.clone(), Name::cut("Ada"), None);
        self.machines[1] = Some(machine);
        self.at(Side::Callee, Event::Dial);
        self.at(Side::Callee, Event::RouteUp);
    }

    pub fn gather(&mut self, side: Side) {
        let candidate =
            |address: &str, typ| Candidate { address: address.parse().expect("address"), typ, priority: 1, tcp: false };
        let list = vec![
            candidate("192.0.2.1:2000", CandidateKind::Host),
            candidate("[2001:db8::1]:2000", CandidateKind::ServerReflexive),
        ];
        self.at(side, Event::Gathered(list));
    }

    pub fn at(&mut self, side: Side, event: Event) {
        let index = side as usize;
        if side == Side::Caller && self.machines[index].is_none() {
            let own = own(&self.people[0], 1);
            self.machines[index] = Some(CallMachine::outgoing(self.ids[0], own, Name::cut("Bob"), self.expected));
        }
        if matches!(event, Event::Accept) {
            self.traces[index].push(Step::Accepted);
        }
        let (at, mut out) = (self.now, Vec::new());
        if let Some(machine) = &mut self.machines[index] {
            machine.handle(event, at, &mut out);
        }
        self.perform(side, out);
    }

    /// Lets `time` pass: messages arrive, deadlines come.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let arrival = self.flying.iter().map(|flight| flight.0).min();
            let deadline = self.machines.iter().flatten().filter_map(CallMachine::deadline).min();
            let Some(next) = [arrival, deadline].into_iter().flatten().min().filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            if let Some(at) = self.flying.iter().position(|flight| flight.0 <= self.now) {
                let (_, side, bytes) = self.flying.remove(at);
                self.arrive(side, &bytes);
            } else {
                for side in [Side::Caller, Side::Callee] {
                    self.at(side, Event::Timeout);
                }
            }
        }
        self.now = end;
    }

    pub fn machine(&self, side: Side) -> &CallMachine {
        self.machines[side as usize].as_ref().expect("a machine")
    }

    pub fn trace(&self, side: Side) -> &[Step] {
        &self.traces[side as usize]
    }

    pub fn actions(&self, side: Side) -> impl Iterator<Item = &Action> {
        self.trace(side).iter().filter_map(|step| match step {
            Step::Did(action) => Some(action),
            Step::Accepted => None,
        })
    }

    pub fn end(&self, side: Side) -> Option<(Outcome, String)> {
        self.actions(side).find_map(|action| match action {
            Action::End { outcome, reason } => Some((*outcome, reason.clone())),
            _ => None,
        })
    }

    pub fn lower_id(&self) -> CallId {
        self.ids[0].min(self.ids[1])
    }

    fn arrive(&mut self, side: Side, bytes: &[u8]) {
        let verified = Envelope::open(bytes).expect("sealed here");
        let us = self.people[side as usize].party();
        assert!(verified.envelope.is_for(&us));
        // The caller has accepted by dialling: it may start when it is answered, or, where both have dialled, when
        // the other side has shown that it is there.
        let dialled =
            self.traces[side as usize].iter().any(|step| matches!(step, Step::Did(Action::Phase(Phase::RingingOut))));
        if dialled && matches!(verified.envelope.body, Body::Answer(_) | Body::Response { .. }) {
            self.traces[side as usize].push(Step::Accepted);
        }
        let mut out = Vec::new();
        match &mut self.machines[side as usize] {
            Some(machine) if machine.call() == verified.envelope.call => machine.receive(&verified, self.now, &mut out),
            Some(machine) => {
                if let Some(incoming) = incoming(verified, self.admission) {
                    machine.handle(Event::Crossed(Box::new(incoming)), self.now, &mut out);
                }
            }
            place => {
                let incoming = incoming(verified, self.admission).expect("the first message is an OFFER");
                *place = Some(CallMachine::incoming(incoming, self.callee_own.clone(), self.now, &mut out));
            }
        }
        self.perform(side, out);
    }

    fn perform(&mut self, side: Side, out: Vec<Action>) {
        for action in out {
            self.traces[side as usize].push(Step::Did(action.clone()));
            if let Action::Send(body) = action {
                self.send(side, body);
            }
        }
    }

    fn send(&mut self, side: Side, body: Body) {
        let (from, to) = (&self.people[side as usize], &self.people[side.other() as usize]);
        let call = self.machine(side).call();
        let is_offer = matches!(body, Body::Offer(_));
        self.counter += 1;
        let to = to.device.public();
        let sealed = Envelope { call, from: from.party(), to, counter: self.counter, body }
            .seal(&from.device)
            .expect("below the bound");
        if is_offer {
            self.at(side, Event::OfferSealed(sealed.digest));
        }
        if !self.cut {
            self.flying.push((self.now + self.delay, side.other(), sealed.bytes));
        }
    }
}

impl Person {
    pub fn party(&self) -> Party {
        Party { account: self.account.public(), device: self.device.public() }
    }
}

pub fn person(name: &str) -> Person {
    let key = || Signer::generate().expect("key");
    Person { name: name.to_owned(), account: key(), device: key() }
}

pub fn own(person: &Person, number: u8) -> Own {
    let media = MediaParameters {
        dtls: Digest([number; 32]),
        ice: IceCredentials::new(format!("ufrag{number}"), "0123456789012345678901").expect("credentials"),
        ssrcs: Ssrcs {
            audio: Ssrc(10),
            video: Ssrc(20),
            video_rtx: Ssrc(u32::from(number)),
            further: [None; 2],
            repair: None,
            layers: [None; 2],
        },
        audio: Some(AudioCapability { opus_frame_us: List::cut(vec![5_000, 20_000]), red: true }),
        video: Some(VideoCapability { h264: true, max_width: 1280, max_height: 720 }),
        base_port: 2000,
        version: 1,
        needs: 1,
        relay_only: false,
        files: false,
    };
    let devices = DeviceList::sign(&person.account, 1, vec![person.device.public()]);
    Own { name: Name::cut(&person.name), devices, media }
}

pub fn incoming(verified: Verified, admission: Admission) -> Option<Incoming> {
    Incoming::new(verified, Nonce([9; 16]), admission, false)
}

pub fn media(action: &Action) -> Option<&MediaStart> {
    match action {
        Action::StartMedia(start) => Some(start),
        _ => None,
    }
}

/// The rule of the design: no candidate, no capture and no media before the local accept.
pub fn check_nothing_before_accept(trace: &[Step]) -> Result<(), String> {
    let accept = trace.iter().position(|step| matches!(step, Step::Accepted)).unwrap_or(trace.len());
    let early = trace.iter().take(accept).find(|step| {
        matches!(
            step,
            Step::Did(
                Action::Send(Body::Candidates { .. } | Body::Answer(_))
                    | Action::SendCandidates
                    | Action::StartCapture
                    | Action::StartMedia(_)
            )
        )
    });
    early.map_or(Ok(()), |step| Err(format!("before the accept: {step:?}")))
}
