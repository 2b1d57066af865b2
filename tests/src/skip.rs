//! What could not be tested here is said, never left out in silence.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

/// Names the file that collects the skipped tests of a whole run, one `name: why` a line.
const COLLECTED_IN: &str = "VISAVIS_SKIPPED";

/// Says that the test `name` cannot run here and `why`; the test then returns. `make test` counts and names such
/// tests, and with `FAIL_ON_SKIP=1` fails for them.
pub fn skip(name: &str, why: &str) {
    println!("SKIPPED: {name}: {why}");
    if let Some(file) = std::env::var_os(COLLECTED_IN) {
        note(Path::new(&file), name, why).expect("the file of skipped tests can be written");
    }
}

/// One write of one line at the end: test processes that run side by side do not cut each other's lines.
fn note(file: &Path, name: &str, why: &str) -> io::Result<()> {
    let line = format!("{name}: {}\n", why.replace('\n', " "));
    OpenOptions::new().create(true).append(true).open(file)?.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_tests_are_collected_one_a_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("skipped");
        note(&file, "window", "no Xvfb\nhere").expect("written");
        note(&file, "capture", "no tcpdump").expect("written");
        let collected = std::fs::read_to_string(&file).expect("readable");
        assert_eq!(collected, "window: no Xvfb here\ncapture: no tcpdump\n");
    }
}
