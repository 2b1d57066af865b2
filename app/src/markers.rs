//! The markers that were seen, one a line: what a comparison with another program is computed from.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use engine::base::time::{Instant, WallTime};
use engine::layout::snapshot::Presented;

/// A test card that was painted at one end of a call and seen at the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub counter: u32,
    pub painted: WallTime,
    /// When that which draws the received picture had it.
    pub handed: WallTime,
    /// When it was drawn, where that is known.
    pub drawn: Option<WallTime>,
}

/// Writes them down.
#[derive(Debug)]
pub struct MarkerLog(BufWriter<File>);

impl MarkerLog {
    /// # Errors
    /// The file cannot be written.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self(BufWriter::new(File::create(path)?)))
    }

    /// Adds what was `drawn` of a picture that was `handed` over before; one without a marker is left out.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add(&mut self, handed: Instant, drawn: &Presented) -> io::Result<()> {
        let Some(marker) = drawn.marker else { return Ok(()) };
        let [painted, handed, drawn] =
            [marker.drawn, WallTime::of(handed), WallTime::of(drawn.at)].map(WallTime::as_micros);
        writeln!(self.0, "{} {painted} {handed} {drawn}", marker.counter)
    }
}

/// Reads what a [`MarkerLog`] wrote.
///
/// # Errors
/// There is no such file, or another one.
pub fn read(path: &Path) -> Result<Vec<Seen>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let seen = |line: &str| {
        let numbers: Option<Vec<u64>> = line.split(' ').map(|number| number.parse().ok()).collect();
        let [counter, painted, handed, drawn] = numbers?[..] else { return None };
        let [painted, handed, drawn] = [painted, handed, drawn].map(WallTime::from_micros);
        Some(Seen { counter: u32::try_from(counter).ok()?, painted, handed, drawn: Some(drawn) })
    };
    let all: Option<Vec<Seen>> = text.lines().map(seen).collect();
    all.with_context(|| format!("{} has other lines than those of markers", path.display()))
}

#[cfg(test)]
mod tests {
    use engine::base::id::TileId;
    use engine::base::time::now;
    use engine::media::marker::Marker;

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("markers");
        let at = now();
        let painted = WallTime::of(at);
        let drawn = |marker| Presented { tile: TileId(1), frame: 1, at, marker, refresh: None };
        let mut log = MarkerLog::create(&path).expect("writable");
        log.add(at, &drawn(Some(Marker { counter: 7, drawn: painted }))).expect("written");
        log.add(at, &drawn(None)).expect("nothing to write");
        drop(log);
        assert_eq!(
            read(&path).expect("its own"),
            [Seen { counter: 7, painted, handed: painted, drawn: Some(painted) }]
        );
        for wrong in ["7 8\n", "7 8 9 x\n", "7 8 9 10 11\n", "\n"] {
            std::fs::write(&path, wrong).expect("writable");
            assert!(read(&path).is_err(), "{wrong:?}");
        }
    }
}
