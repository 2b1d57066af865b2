//! Whatever happens in whatever order: no candidate, no capture and no media before the local accept.

use std::time::Duration;

use engine::proto::keys::Digest;
use engine::proto::signal::action::Action;
use engine::proto::signal::body::Mute;
use engine::proto::signal::event::{Event, RouteFailure};
use engine::proto::signal::incoming::Admission;
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof, proptest};
use proptest::test_runner::Config;

mod pair;

use pair::{Pair, Side, Step, check_nothing_before_accept};

#[derive(Clone, Debug)]
enum Move {
    Wait(u64),
    Gather(bool),
    Cut(bool),
    Happen(bool, u8),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        (0u64..70_000).prop_map(Move::Wait),
        (0u64..120).prop_map(Move::Wait),
        any::<bool>().prop_map(Move::Gather),
        any::<bool>().prop_map(Move::Cut),
        (any::<bool>(), 0u8..16).prop_map(|(side, event)| Move::Happen(side, event)),
    ];
    vec(one, 0..40)
}

fn event(number: u8) -> Event {
    match number {
        0 => Event::Dial,
        1 | 2 => Event::RouteUp,
        3 => Event::RouteLost,
        4 => Event::PeerProcessGone,
        5 | 6 => Event::Accept,
        7 => Event::Decline,
        8 => Event::HangUp,
        9 => Event::OtherLegAnswered,
        10 => Event::KeyChanged,
        11 => Event::Mute(Mute { audio: true, video: true, ..Mute::default() }),
        12 => Event::MediaConnected,
        13 => Event::MediaLost,
        14 => Event::OfferSealed(Digest([3; 32])),
        _ => Event::RouteFailed(RouteFailure::Refused),
    }
}

fn side(is_caller: bool) -> Side {
    if is_caller { Side::Caller } else { Side::Callee }
}

proptest! {
    #![proptest_config(Config { cases: 400, ..Config::default() })]

    #[test]
    fn nothing_starts_before_the_accept_in_any_order(moves in moves(), busy in 0u8..8) {
        let mut pair = Pair::new(Duration::from_millis(40));
        if busy == 0 {
            pair.admission = Admission::Busy;
        }
        pair.gather(Side::Caller);
        pair.dial();
        for one in moves {
            match one {
                Move::Wait(ms) => pair.run(Duration::from_millis(ms)),
                Move::Gather(is_caller) => pair.gather(side(is_caller)),
                Move::Cut(is_cut) => pair.cut = is_cut,
                Move::Happen(is_caller, number) => pair.at(side(is_caller), event(number)),
            }
        }
        for side in [Side::Caller, Side::Callee] {
            check_nothing_before_accept(pair.trace(side)).expect("the rule");
            // Nothing follows the end, and there is one.
            let ends: Vec<_> = pair.actions(side).map(|action| matches!(action, Action::End { .. })).collect();
            assert!(ends.iter().position(|is_end| *is_end).is_none_or(|at| at + 1 == ends.len()));
        }
    }
}

#[test]
fn the_checker_finds_a_candidate_planted_before_the_accept() {
    let mut pair = Pair::new(Duration::from_millis(40));
    pair.gather(Side::Callee);
    pair.connect();
    pair.gather(Side::Callee);
    let good = pair.trace(Side::Callee).to_vec();
    check_nothing_before_accept(&good).expect("as recorded");
    let accept = good.iter().position(|step| matches!(step, Step::Accepted)).expect("accepted");
    let starts = |step: &&Step| {
        matches!(step, Step::Did(Action::SendCandidates | Action::StartCapture | Action::StartMedia(_)))
            || matches!(step, Step::Did(Action::Send(engine::proto::signal::body::Body::Candidates { .. })))
    };
    let planted: Vec<_> = good.iter().filter(starts).cloned().collect();
    assert_eq!(planted.len(), 4, "{planted:?}");
    for step in planted {
        let mut bad = good.clone();
        bad.insert(accept, step);
        check_nothing_before_accept(&bad).expect_err("planted");
    }
}
