//! Two call machines joined by a link with delay, in virtual time: every outcome, both ends agreeing; two calls that
//! cross; and what happens when a program dies.

use std::time::Duration;

use engine::proto::keys::Digest;
use engine::proto::signal::action::{Action, Phase};
use engine::proto::signal::body::{Body, Mute};
use engine::proto::signal::event::{Event, RouteFailure};
use engine::proto::signal::incoming::Admission;
use engine::proto::signal::outcome::Outcome;

mod pair;

use pair::{Pair, Side, check_nothing_before_accept, media, person};

const DELAY: Duration = Duration::from_millis(40);

/// How an outcome is brought about.
type Script = fn(&mut Pair);

/// Both ends report the same outcome; a callee that was never reached reports nothing.
#[test]
fn all_ten_outcomes_come_about_and_both_ends_agree() {
    let table: [(Outcome, Script); 10] = [
        (Outcome::Ended, |pair| {
            pair.connect();
            pair.at(Side::Callee, Event::HangUp);
        }),
        (Outcome::Declined, |pair| {
            pair.ring();
            pair.at(Side::Callee, Event::Decline);
        }),
        (Outcome::Busy, |pair| {
            pair.admission = Admission::Busy;
            pair.dial();
        }),
        (Outcome::Cancelled, |pair| {
            pair.ring();
            pair.at(Side::Caller, Event::HangUp);
        }),
        (Outcome::NoAnswer, |pair| pair.ring()),
        (Outcome::AnsweredElsewhere, |pair| {
            pair.ring();
            pair.at(Side::Caller, Event::OtherLegAnswered);
        }),
        (Outcome::Unreachable, |pair| {
            pair.at(Side::Caller, Event::Dial);
            pair.at(Side::Caller, Event::RouteFailed(RouteFailure::Timeout));
        }),
        (Outcome::Refused, |pair| {
            pair.admission = Admission::KeyChanged;
            pair.dial();
        }),
        (Outcome::Incompatible, |pair| {
            let own = &mut pair.callee_own.media;
            (own.audio, own.video) = (None, None);
            pair.dial();
        }),
        (Outcome::Failed, |pair| {
            pair.ring();
            // The media never finds a way.
            pair.at(Side::Callee, Event::Accept);
        }),
    ];
    assert!(Outcome::ALL.iter().all(|outcome| table.iter().any(|(listed, _)| listed == outcome)));
    for (outcome, script) in table {
        let mut pair = Pair::new(DELAY);
        script(&mut pair);
        pair.run(Duration::from_secs(120));
        let (caller, callee) = (pair.end(Side::Caller), pair.end(Side::Callee));
        assert_eq!(caller.as_ref().map(|end| end.0), Some(outcome), "the caller's end, {caller:?}");
        let expected = (outcome != Outcome::Unreachable).then_some(outcome);
        assert_eq!(callee.as_ref().map(|end| end.0), expected, "the callee's end of {outcome}");
        for (_, reason) in [caller, callee].into_iter().flatten() {
            assert!(reason.len() > 8 && !reason.contains('\n'), "{outcome}: {reason:?}");
        }
        for side in [Side::Caller, Side::Callee] {
            check_nothing_before_accept(pair.trace(side)).unwrap_or_else(|wrong| panic!("{outcome}: {wrong}"));
        }
    }
}

#[test]
fn it_rings_a_minute_and_no_longer() {
    let mut pair = Pair::new(DELAY);
    pair.ring();
    pair.run(Duration::from_secs(59));
    assert_eq!((pair.end(Side::Caller), pair.end(Side::Callee)), (None, None));
    pair.run(Duration::from_secs(2));
    assert_eq!(pair.end(Side::Caller).map(|end| end.0), Some(Outcome::NoAnswer));
    assert_eq!(pair.end(Side::Callee).map(|end| end.0), Some(Outcome::NoAnswer));
}

#[test]
fn a_key_that_is_not_the_expected_one_ends_the_call_before_anything_rings() {
    let mut pair = Pair::new(DELAY);
    pair.expected = Some(person("somebody else").account.public());
    pair.dial();
    pair.run(Duration::from_secs(2));
    assert_eq!(pair.end(Side::Caller).map(|end| end.0), Some(Outcome::Refused));
    assert_eq!(pair.end(Side::Callee).map(|end| end.0), Some(Outcome::Refused));
    assert!(!pair.actions(Side::Callee).any(|action| matches!(action, Action::Ring { .. })));
}

#[test]
fn nothing_rings_before_the_caller_has_answered_the_challenge() {
    let mut pair = Pair::new(DELAY);
    pair.dial();
    // OFFER and CHALLENGE have arrived, the RESPONSE is under way.
    pair.run(DELAY * 2 + DELAY / 2);
    assert!(!pair.actions(Side::Callee).any(|action| matches!(action, Action::Ring { .. })));
    pair.run(DELAY);
    assert!(pair.actions(Side::Callee).any(|action| matches!(action, Action::Ring { .. })));
}

#[test]
fn calls_that_cross_become_the_one_with_the_lower_id_whoever_made_it() {
    for is_ours_lower in [true, false] {
        for lead in [0, 10, 39] {
            let mut pair = Pair::new(DELAY);
            pair.cross(is_ours_lower, Duration::from_millis(lead));
            pair.run(Duration::from_secs(1));
            let (caller, callee) = (pair.machine(Side::Caller), pair.machine(Side::Callee));
            assert_eq!((caller.phase(), callee.phase()), (Phase::Connecting, Phase::Connecting), "lead {lead} ms");
            assert_eq!((caller.call(), callee.call()), (pair.lower_id(), pair.lower_id()));
            let starts = |side| pair.actions(side).filter_map(media).collect::<Vec<_>>();
            let (ours, theirs) = (starts(Side::Caller), starts(Side::Callee));
            assert_eq!((ours.len(), theirs.len()), (1, 1), "one call");
            assert_ne!(ours[0].controlling, theirs[0].controlling);
            assert_eq!((&ours[0].local, &ours[0].remote), (&theirs[0].remote, &theirs[0].local));
        }
    }
}

#[test]
fn a_dead_program_ends_the_call_when_the_media_is_silent_too_and_a_cut_connection_does_not() {
    let mut pair = Pair::new(DELAY);
    pair.connect();
    pair.at(Side::Caller, Event::PeerProcessGone);
    pair.run(Duration::from_millis(1500));
    assert_eq!(pair.machine(Side::Caller).phase(), Phase::InCall);
    pair.at(Side::Caller, Event::MediaLost);
    let (outcome, reason) = pair.end(Side::Caller).expect("over");
    assert_eq!((outcome, reason.contains("Bob's program ended unexpectedly")), (Outcome::Failed, true), "{reason}");

    let mut pair = Pair::new(DELAY);
    pair.connect();
    pair.at(Side::Caller, Event::PeerProcessGone);
    pair.run(Duration::from_secs(30));
    pair.at(Side::Caller, Event::MediaLost);
    assert_eq!(pair.machine(Side::Caller).phase(), Phase::Reconnecting);
    pair.at(Side::Caller, Event::MediaRestored);
    assert_eq!(pair.machine(Side::Caller).phase(), Phase::InCall);
}

#[test]
fn mute_survives_the_loss_of_the_route() {
    let mut pair = Pair::new(DELAY);
    pair.connect();
    let mute = Mute { audio: true, ..Mute::default() };
    pair.at(Side::Caller, Event::RouteLost);
    pair.cut = true;
    pair.at(Side::Caller, Event::Mute(mute));
    pair.run(Duration::from_secs(1));
    assert!(!pair.actions(Side::Callee).any(|action| *action == Action::PeerMuted(mute)));
    pair.cut = false;
    pair.at(Side::Caller, Event::RouteUp);
    pair.run(Duration::from_secs(1));
    assert!(pair.actions(Side::Callee).any(|action| *action == Action::PeerMuted(mute)));
}

#[test]
fn an_answer_to_another_offer_starts_nothing() {
    let mut pair = Pair::new(DELAY);
    pair.ring();
    pair.at(Side::Caller, Event::OfferSealed(Digest([0; 32])));
    pair.at(Side::Callee, Event::Accept);
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.actions(Side::Caller).filter_map(media).count(), 0);
    assert_eq!(pair.machine(Side::Caller).ignored(), 1);
}

#[test]
fn candidates_wait_for_the_accept_and_then_go() {
    let mut pair = Pair::new(DELAY);
    pair.ring();
    pair.gather(Side::Caller);
    pair.gather(Side::Callee);
    let sent = |pair: &Pair, side| {
        pair.actions(side).filter(|action| matches!(action, Action::Send(Body::Candidates { .. }))).count()
    };
    pair.run(Duration::from_secs(5));
    assert_eq!((sent(&pair, Side::Caller), sent(&pair, Side::Callee)), (0, 0));
    pair.at(Side::Callee, Event::Accept);
    pair.run(Duration::from_secs(1));
    assert_eq!((sent(&pair, Side::Caller), sent(&pair, Side::Callee)), (1, 1));
    for side in [Side::Caller, Side::Callee] {
        assert!(pair.actions(side).any(|action| matches!(action, Action::AddCandidates(list) if list.len() == 2)));
    }
}
