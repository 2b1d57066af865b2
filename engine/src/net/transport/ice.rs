//! Candidates as str0m's ICE agent has them (RFC 8445, RFC 6544).

use std::net::IpAddr;

use str0m::net::Protocol;
use str0m::{Candidate as IceCandidate, CandidateKind as IceKind, Rtc};

use super::pairs::Pair;
use crate::base::time::{Duration, Instant};
use crate::net::paths::Found;
use crate::proto::signal::media::{Candidate, CandidateKind};

pub(super) const fn protocol(tcp: bool) -> Protocol {
    if tcp { Protocol::Tcp } else { Protocol::Udp }
}

/// A way to reach us; `None` where its address is none to send to.
pub(super) fn local(found: &Found) -> Option<IceCandidate> {
    let Candidate { address, typ, tcp, .. } = found.candidate;
    let protocol = protocol(tcp);
    let made = match typ {
        CandidateKind::Host => IceCandidate::host(address, protocol),
        CandidateKind::ServerReflexive => IceCandidate::server_reflexive(address, found.base, protocol),
        CandidateKind::Relayed => IceCandidate::relayed(address, found.base, protocol),
    };
    made.ok()
}

/// A way to reach the other side, as it says; `None` where nobody can be there.
pub(super) fn remote(candidate: &Candidate) -> Option<IceCandidate> {
    let Candidate { address, typ, tcp, priority } = *candidate;
    if address.ip().is_unspecified() || address.ip().is_multicast() || address.port() == 0 {
        return None;
    }
    let kind = match typ {
        CandidateKind::Host => IceKind::Host,
        CandidateKind::ServerReflexive => IceKind::ServerReflexive,
        CandidateKind::Relayed => IceKind::Relayed,
    };
    // RFC 8445 §5.1.2: from 1 to 2^31 - 1. An older side says none: then that of a host candidate.
    let priority = if (1..1 << 31).contains(&priority) { priority } else { OF_HOST };
    let (foundation, protocol) = (address.to_string(), protocol(tcp));
    Some(IceCandidate::from_parts(foundation, 1, protocol, priority, address, kind, None, None, None))
}

/// The candidates of both sides, to take one out and put it in again.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    pub local: Vec<IceCandidate>,
    pub remote: Vec<IceCandidate>,
    /// Taken out, ours and theirs, until then.
    left: Option<(Vec<IceCandidate>, Vec<IceCandidate>, Instant)>,
    /// How long the next ones are left out.
    leave: Duration,
    revived: Option<Instant>,
}

/// A path that fell silent and comes back is the better one; one that only seems to is not to be tried all the time.
const FIRST_LEAVE: Duration = Duration::from_secs(10);
const LONGEST_LEAVE: Duration = Duration::from_secs(160);
/// With no pair left the candidates are paired anew so often.
const REVIVE_EVERY: Duration = Duration::from_millis(500);

impl Candidates {
    /// Takes `used` out in favour of `other`: what only the first one needs. `false` where both need the same.
    pub fn leave(&mut self, rtc: &mut Rtc, used: Pair, other: Pair, now: Instant) -> bool {
        let is_ours = |candidate: &&IceCandidate| {
            let is_relayed = candidate.kind() == IceKind::Relayed;
            let from = if is_relayed { candidate.addr() } else { candidate.local() };
            from == used.local && candidate.proto() == protocol(used.tcp)
        };
        let is_theirs =
            |candidate: &&IceCandidate| candidate.addr() == used.remote && candidate.proto() == protocol(used.tcp);
        let pick = |all: &[IceCandidate], is: &dyn Fn(&&IceCandidate) -> bool| -> Vec<IceCandidate> {
            all.iter().filter(|candidate| is(candidate)).cloned().collect()
        };
        let theirs = if used.remote == other.remote { Vec::new() } else { pick(&self.remote, &is_theirs) };
        let is_same_local = (used.local, used.tcp) == (other.local, other.tcp);
        let ours = if is_same_local || !theirs.is_empty() { Vec::new() } else { pick(&self.local, &is_ours) };
        let mut api = rtc.direct_api();
        let taken = ours.iter().chain(&theirs).filter(|candidate| api.invalidate_candidate(candidate)).count();
        if taken > 0 {
            self.leave = (self.leave * 2).clamp(FIRST_LEAVE, LONGEST_LEAVE);
            self.left = Some((ours, theirs, now + self.leave));
        }
        taken > 0
    }

    /// Takes out what was sent from addresses that this machine has not any more.
    pub fn drop_gone(&mut self, rtc: &mut Rtc, own: &[IpAddr]) {
        let mut api = rtc.direct_api();
        self.local.retain(|candidate| {
            let is_gone = candidate.kind() != IceKind::Relayed && !own.contains(&candidate.local().ip());
            if is_gone {
                api.invalidate_candidate(candidate);
            }
            !is_gone
        });
    }

    /// Puts in again what was taken out, once its time has come; pairs all anew where `is_lost` says that nothing works.
    pub fn revive(&mut self, rtc: &mut Rtc, is_lost: bool, now: Instant) {
        if self.left.as_ref().is_some_and(|(.., until)| is_lost || *until <= now)
            && let Some((ours, theirs, _)) = self.left.take()
        {
            for candidate in ours {
                let _ = rtc.add_local_candidate(candidate);
            }
            theirs.into_iter().for_each(|candidate| rtc.add_remote_candidate(candidate));
        }
        let is_due = self.revived.is_none_or(|at| now.saturating_duration_since(at) >= REVIVE_EVERY);
        if is_lost && is_due {
            self.revived = Some(now);
            self.remote.iter().for_each(|candidate| rtc.add_remote_candidate(candidate.clone()));
        }
    }
}

/// RFC 8445 §5.1.2.1.
const OF_HOST: u32 = (126 << 24) | (65_534 << 8) | 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_other_side_says_is_taken_only_where_somebody_can_be() {
        let said = |address: &str, priority| Candidate {
            address: address.parse().expect("an address"),
            typ: CandidateKind::Relayed,
            priority,
            tcp: false,
        };
        for nowhere in ["0.0.0.0:5", "[::]:5", "224.0.0.1:5", "[ff02::1]:5", "10.0.0.1:0"] {
            assert!(remote(&said(nowhere, 1)).is_none(), "{nowhere}");
        }
        let prio = |priority| remote(&said("10.0.0.1:5", priority)).map(|candidate| candidate.prio());
        assert_eq!([0, 7, u32::MAX].map(prio), [Some(OF_HOST), Some(7), Some(OF_HOST)]);
    }
}
