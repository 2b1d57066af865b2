use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::base::pipe::Wake;

/// A recording of two pieces and its end.
fn written(folder: &Path) -> PathBuf {
    let path = folder.join("call.rec");
    let mut writer = RecordingWriter::create(&path, u64::MAX, Wake::none()).expect("a file");
    for (piece, body) in [(Piece::Head, &b"head"[..]), (Piece::Ticks, b"ticks")] {
        writer.put(piece, body.to_vec()).expect("room");
    }
    drop(writer);
    path
}

/// Everything in it up to its end.
fn read(path: &Path) -> Result<(Vec<(Piece, Vec<u8>)>, Next), Error> {
    let (mut reader, mut pieces) = (RecordingReader::open(path)?, Vec::new());
    loop {
        match reader.next_piece()? {
            Next::Piece(piece, body) => pieces.push((piece, body)),
            end => return Ok((pieces, end)),
        }
    }
}

#[test]
fn what_was_written_is_read_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let (pieces, end) = read(&written(folder.path())).expect("whole");
    let expected = [(Piece::Head, b"head".to_vec()), (Piece::Ticks, b"ticks".to_vec()), (Piece::End, Vec::new())];
    assert_eq!((pieces, end), (expected.to_vec(), Next::End));
}

#[test]
fn a_file_cut_off_anywhere_gives_the_whole_pieces_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = written(folder.path());
    let bytes = fs::read(&path).expect("readable");
    for length in 0..bytes.len() {
        fs::write(&path, &bytes[..length]).expect("written");
        match read(&path) {
            Ok((pieces, end)) => {
                // The head is 10 bytes; pieces of 4, 5 and 0 bytes follow with 9 each in front.
                let whole = usize::from(length >= 23) + usize::from(length >= 37);
                assert_eq!((pieces.len(), end), (whole, Next::CutOff), "{length} bytes");
            }
            Err(error) => assert!(length < 10 && error.kind == Kind::Malformed, "{length} bytes: {error}"),
        }
    }
}

#[test]
fn a_changed_byte_anywhere_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = written(folder.path());
    let bytes = fs::read(&path).expect("readable");
    for place in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[place] ^= 0x10;
        fs::write(&path, &changed).expect("written");
        let found = read(&path);
        let is_found = match &found {
            Err(error) => error.kind == Kind::Malformed && !error.text.contains('\n'),
            // A length that now reaches past the end cannot be told from a file that was cut off.
            Ok((_, end)) => *end == Next::CutOff,
        };
        assert!(is_found, "byte {place}: {found:?}");
    }
}

#[test]
fn what_follows_the_end_is_damage() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = written(folder.path());
    let mut bytes = fs::read(&path).expect("readable");
    bytes.extend(b"more");
    fs::write(&path, bytes).expect("written");
    assert!(read(&path).is_err_and(|error| error.text.contains("follows its end")));
}

#[test]
fn the_limit_ends_a_recording_that_can_still_be_closed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("call.rec");
    let mut writer = RecordingWriter::create(&path, 2_000, Wake::none()).expect("a file");
    let mut count = 0;
    let error = loop {
        match writer.put(Piece::Ticks, vec![7; 500]) {
            Ok(_) => count += 1,
            Err(error) => break error,
        }
        assert!(count < 10, "no limit");
    };
    assert_eq!((error.kind, count), (Kind::Full, 3));
    drop(writer);
    let (pieces, end) = read(&path).expect("whole");
    assert_eq!((pieces.len(), end), (4, Next::End));
    assert!(fs::metadata(&path).expect("there").len() <= 2_000);
}

#[test]
fn what_was_recorded_before_stays_until_something_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = written(folder.path());
    let before = fs::read(&path).expect("readable");
    drop(RecordingWriter::create(&path, u64::MAX, Wake::none()).expect("a file"));
    assert_eq!(fs::read(&path).expect("still there"), before);
    let fresh = folder.path().join("fresh.rec");
    let writer = RecordingWriter::create(&fresh, u64::MAX, Wake::none()).expect("a file");
    assert!(fresh.exists());
    drop(writer);
    assert!(!fresh.exists(), "nothing was recorded");
    let nowhere = RecordingWriter::create(&folder.path().join("a/b"), u64::MAX, Wake::none());
    assert!(nowhere.is_err_and(|error| error.kind == Kind::Malformed));
}

#[cfg(unix)]
#[test]
fn a_recording_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().expect("a folder");
    let mode = fs::metadata(written(folder.path())).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_said_and_nothing_waits_for_it() {
    let path = Path::new("/dev/full");
    let mut writer = RecordingWriter::create(path, u64::MAX, Wake::none()).expect("it can be opened");
    let until = crate::base::time::now() + std::time::Duration::from_secs(20);
    let error = loop {
        assert!(crate::base::time::now() < until, "a full disk is never said");
        if let Err(error) = writer.put(Piece::Ticks, vec![7; 500]) {
            break error;
        }
    };
    // Either the pipe filled before the thread had tried, or it has tried.
    assert!(matches!(error.kind, Kind::Refused | Kind::Full), "{error}");
    assert!(error.text.contains("the call goes on"), "{error}");
}
