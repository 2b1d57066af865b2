//! Files in calls of the program itself: equal to the byte both ways, gone on with after a break, and never where they are not
//! wanted.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::base::time::now;
use engine::media::report::FileReport;
use engine::proto::keys::Digest;
use tempfile::tempdir;
use visavis_tests::Outcome;
use visavis_tests::party::{Party, Setup};

fn well<T>(outcome: Outcome<T>) -> T {
    outcome.expect("done")
}

const MEDIA: &str = "--video testcard --mic chirp --speaker none --max-bitrate 400000";

/// Bytes that are unlike any other file's, so many of them.
fn write(path: &Path, length: usize) -> Digest {
    let mut state = length as u64 + 1;
    let bytes: Vec<u8> = (0..length)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect();
    fs::write(path, &bytes).expect("written");
    Digest::of(&bytes)
}

fn digest(path: &Path) -> Digest {
    Digest::of(&fs::read(path).expect("there"))
}

fn setup(name: &str, folder: &Path, more: &str) -> Setup {
    let files = folder.join(format!("{name}-files"));
    Setup::new(name, &format!("{MEDIA} --files {} {more}", files.display())).with_data(&folder.join(name))
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    all.sort();
    all
}

fn of(file: &FileReport) -> (&str, &str, &str) {
    (&file.direction, &file.name, &file.outcome)
}

#[test]
fn files_go_both_ways_while_two_talk_and_are_equal_to_the_byte() {
    let folder = tempdir().expect("folder");
    let (hers, his) = (folder.path().join("her photo.jpg"), folder.path().join("his notes.txt"));
    let (her_digest, his_digest) = (write(&hers, 3_000_000), write(&his, 100_001));
    // A name with a space does not survive the setup's own splitting.
    let args = |path: &Path| vec!["--send-file".to_owned(), path.display().to_string()];
    let mut ben = setup("ben", folder.path(), "--once --take-files");
    ben.args.extend(args(&his));
    let mut ada = setup("ada", folder.path(), "--take-files --for 12");
    ada.args.extend(args(&hers));
    let mut listening = well(Party::listen(&ben));
    let mut calling = well(Party::call_to(&ada, &listening));
    well(calling.wait_for("her photo.jpg has arrived there", Duration::from_secs(20)));
    well(listening.wait_for("his notes.txt has arrived there", Duration::from_secs(20)));
    let caller = well(well(calling.finish(Duration::from_secs(60))).ended());
    let callee = well(well(listening.finish(Duration::from_secs(20))).ended());
    assert_eq!(digest(&folder.path().join("ben-files/her photo.jpg")), her_digest);
    assert_eq!(digest(&folder.path().join("ada-files/his notes.txt")), his_digest);
    assert_eq!(files_in(&folder.path().join("ben-files")).len(), 1, "nothing else is left");
    let mut sent: Vec<_> = caller.files.iter().map(of).collect();
    sent.sort_unstable();
    assert_eq!(sent, [("received", "his notes.txt", "done"), ("sent", "her photo.jpg", "done")]);
    assert!(callee.files.iter().any(|file| file.sha256 == her_digest.to_string() && file.bytes == 3_000_000));
    assert!(caller.audio.packets_received > 50 && callee.audio.packets_received > 50, "they have talked meanwhile");
}

#[test]
fn a_file_that_breaks_off_with_the_call_goes_on_in_the_next_one() {
    let folder = tempdir().expect("folder");
    let file = folder.path().join("long.bin");
    let hash = write(&file, 1_500_000);
    // Some seconds long.
    let slow = "--impair delay=10,rate=3000,queue=300";
    let there = folder.path().join("ben-files");
    let send = || {
        let mut ada = setup("ada", folder.path(), slow);
        ada.args.extend(["--send-file".to_owned(), file.display().to_string()]);
        ada
    };
    let mut listening = well(Party::listen(&setup("ben", folder.path(), "--take-files")));
    let mut calling = well(Party::call_to(&send(), &listening));
    let part = || files_in(&there).first().and_then(|path| fs::metadata(path).ok()).map_or(0, |about| about.len());
    let until = now() + Duration::from_secs(40);
    while part() < 300_000 && now() < until {
        std::thread::sleep(Duration::from_millis(50));
    }
    well(calling.kill());
    drop(calling);
    well(listening.wait_for("in the next one it goes on", Duration::from_secs(60)));
    let kept = part();
    assert!((300_000..1_500_000).contains(&kept), "a part of it is there: {kept}");

    // Ben's program ends as well; what it has is on the disk.
    drop(listening);
    let listening = well(Party::listen(&setup("ben", folder.path(), "--once")));
    let calling = well(Party::call_to(&send(), &listening));
    let caller = well(well(calling.finish(Duration::from_secs(60))).ended());
    let callee = well(well(listening.finish(Duration::from_secs(20))).ended());
    assert_eq!(files_in(&there), [there.join("long.bin")]);
    assert_eq!(digest(&there.join("long.bin")), hash);
    let received = callee.files.first().expect("a file");
    assert_eq!(
        (of(received), received.began),
        (("received", "long.bin", "done"), kept),
        "what was there did not come again"
    );
    assert_eq!(caller.files.first().map(|file| file.began), Some(kept));
}

#[test]
fn what_nobody_takes_is_not_there_and_its_sender_is_told() {
    let folder = tempdir().expect("folder");
    let file = folder.path().join("unwanted.bin");
    write(&file, 1000);
    let listening = well(Party::listen(&setup("ben", folder.path(), "--once")));
    let mut ada = setup("ada", folder.path(), "");
    ada.args.extend(["--send-file".to_owned(), file.display().to_string()]);
    let calling = well(Party::call_to(&ada, &listening));
    let called = well(calling.finish(Duration::from_secs(40)));
    assert!(called.log.contains("unwanted.bin: the other side says: it was not wanted"), "{}", called.log);
    well(well(listening.finish(Duration::from_secs(20))).ended());
    assert!(files_in(&folder.path().join("ben-files")).is_empty());
}
