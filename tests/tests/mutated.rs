//! Mutated H.264 units. One test by itself in its process, because it looks at the process's memory.

use visavis_tests::mutated::{Plan, Planted, Survived, survive};

fn sent(mutated: u64, planted: Option<Planted>) -> Survived {
    survive(&Plan { seed: 1, size: (320, 180), mutated, planted }).expect("encodes")
}

#[test]
fn mutated_units_are_survived_and_the_call_goes_on() {
    let survived = sent(20_000, None);
    assert_eq!(survived.mutated, 20_000, "{survived:?}");
    assert_eq!(survived.right, survived.whole, "{survived:?}");
    assert!(survived.whole >= 2000, "{survived:?}");
    // The mutations reach both: some are kept from the decoder, some it fails on, some are harmless.
    assert!(survived.refused > 2000 && survived.failed > 2000 && survived.shown > 200, "{survived:?}");
    assert!(survived.grown < 100_000_000, "{survived:?}");

    // What they could do would be found.
    let survived = sent(400, Some(Planted::WrongPicture));
    assert!(survived.right < survived.whole, "{survived:?}");
    let survived = sent(4000, Some(Planted::Kept));
    assert!(survived.grown > 100_000_000, "{survived:?}");
}
