//! Every parser of what comes from outside, given random bytes and mutated whole inputs.

use proptest::prelude::{any, prop_assert, proptest};
use visavis_tests::fuzz::{TARGETS, Target, survive};

/// Of each: a million in `proof fuzz`.
const MUTATED: u64 = 5_000;

#[test]
fn mutated_inputs_end_in_a_refusal_or_are_read() {
    for target in TARGETS {
        let survived = survive(&target, MUTATED, 3);
        assert_eq!((survived.inputs, survived.panics), (MUTATED, 0), "{}", target.name);
        assert!(survived.slowest.as_secs() < 5, "{}: {:?}", target.name, survived.slowest);
    }
}

#[test]
fn whole_inputs_are_read() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{}", target.name);
        seeds.iter().for_each(|seed| (target.run)(seed));
    }
}

#[test]
fn a_parser_that_trusts_its_input_is_found() {
    let trusting = |data: &[u8]| assert!(data.len() < 4 || data[data[3] as usize % 200] < 250, "the test's panic");
    let seeds = || vec![vec![0; 300]];
    let survived = survive(&Target { name: "trusting", run: trusting, seeds }, 2000, 3);
    assert!(survived.panics > 10, "{survived:?}");
}

proptest! {
    #[test]
    fn random_bytes_are_survived(data in proptest::collection::vec(any::<u8>(), 0..400)) {
        for target in TARGETS {
            (target.run)(&data);
        }
        prop_assert!(true);
    }
}
