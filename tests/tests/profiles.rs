//! What people do not show of themselves never leaves the service.

use tempfile::tempdir;
use visavis_tests::service::shown;

#[test]
fn fields_go_over_the_wire_to_those_they_are_for_and_to_nobody_else() {
    let folder = tempdir().expect("folder");
    let shown = shown::run(folder.path(), 6, 21).expect("looked");
    println!("{shown:?}");
    assert_eq!(shown.leaked, [] as [String; 0]);
    assert_eq!(shown.found_by, [] as [String; 0]);
    assert!(shown.seen > 20 && shown.requests > 250, "{shown:?}");
    assert_eq!(shown.missed, 0, "what may be seen is found by the same search");
    assert!(shown.planted > 5, "{shown:?}");
}
