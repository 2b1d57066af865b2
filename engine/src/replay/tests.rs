use std::path::{Path, PathBuf};

use super::scrub::scrub;
use super::what_if::what_if;
use super::*;
use crate::base::error::Kind;
use crate::handle::Command;
use crate::lab::Lab;
use crate::media::policy::Policy;
use crate::net::impair::Impairment;
use crate::store::recording::{Piece, RecordingWriter};
use crate::world::tape::encode;
use crate::world::tape::note::Note;

const TIME: Duration = Duration::from_secs(6);

/// Records what Ada does in a call over `profile`, with sizes instead of codecs or with the real ones.
fn recorded(folder: &Path, profile: &str, real: bool) -> PathBuf {
    recorded_in_cells(folder, profile, real, crate::base::time::CELL)
}

fn recorded_in_cells(folder: &Path, profile: &str, real: bool, cell: Duration) -> PathBuf {
    let path = folder.join("call.rec");
    let mut lab = Lab::new(&folder.join("lab"), Impairment::profile(profile).expect("known"), 3);
    let setup = |config: &mut Config| {
        config.camera = Some(SourceSpec::TestCard { width: 640, height: 360, frame_rate: 30.0 });
        (config.microphone, config.speaker) = (MicrophoneSpec::Chirp, SpeakerSpec::None);
        (config.auto_answer, config.cell) = (true, cell);
        config.work = Work::Inline { encode: Duration::from_millis(3), decode: Duration::from_millis(2) };
        if !real {
            (config.plain, config.codec) = (true, VideoCodec::Plain);
        }
    };
    let ada = lab.add("Ada", |config: &mut Config| {
        setup(config);
        config.record = Some(path.clone());
    });
    let ada = ada.expect("an engine");
    let ben = lab.add("Ben", setup).expect("an engine");
    lab.command(ada, Command::Call(lab.target(ben)));
    lab.run_for(TIME / 2);
    // What a person does is replayed as well.
    lab.command(ada, Command::Mute(true));
    lab.command(ben, Command::CameraOff(true));
    lab.run_for(TIME / 4);
    lab.command(ben, Command::CameraOff(false));
    lab.run_for(TIME / 4);
    lab.command(ada, Command::HangUp);
    assert!(lab.run_until_ended(Duration::from_secs(60)), "the call did not end");
    lab.run_for(Duration::from_secs(1));
    path
}

fn ticks_of(path: &Path) -> (Head, Vec<TickNote>) {
    let mut call = RecordedCall::open(path, false).expect("a recording");
    let mut ticks = Vec::new();
    while let Some(tick) = call.next_tick().expect("whole") {
        ticks.push(tick);
    }
    (call.head().clone(), ticks)
}

fn write(path: &Path, head: &Head, ticks: &[TickNote]) {
    let mut writer = RecordingWriter::create(path, u64::MAX, Wake::none()).expect("a file");
    writer.put_in_time(Piece::Head, encode(head, Vec::new()).expect("a head")).expect("written");
    for tick in ticks {
        writer.put_in_time(Piece::Ticks, encode(tick, Vec::new()).expect("a tick")).expect("written");
    }
    writer.finish().expect("written");
}

#[test]
fn a_replay_decides_the_same_in_every_tick_and_under_every_legal_order() {
    let folder = tempfile::tempdir().expect("a folder");
    for (profile, real) in [("bad", false), ("home", true)] {
        let path = recorded(folder.path(), profile, real);
        let plain = Replay::run(&path, None, false).expect("a recording");
        assert_eq!(plain.difference, None, "{profile}, real: {real}");
        assert!(plain.ticks > 1500 && plain.time > TIME - Duration::from_secs(1), "{plain:?}");
        let (pictures, sounds) = (plain.report.video.frames_decoded, plain.report.audio.packets_received);
        assert!(pictures > 20 && sounds > 300, "{pictures} {sounds}");
        for seed in 1..=3 {
            let shuffled = Replay::run(&path, Some(seed), false).expect("a recording");
            assert_eq!((shuffled.difference, shuffled.ticks), (None, plain.ticks), "seed {seed}");
        }
    }
}

/// In long cells a tick takes several of a kind: four packets of sound are decoded in one, and only some are stretched.
#[test]
fn several_of_a_kind_in_a_tick_are_replayed_each_in_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = recorded_in_cells(folder.path(), "bad", true, Duration::from_millis(20));
    let replayed = Replay::run(&path, Some(1), false).expect("a recording");
    assert_eq!(replayed.difference, None);
    assert!((250..500).contains(&replayed.ticks), "{} ticks", replayed.ticks);
}

#[test]
fn one_changed_packet_is_found_at_its_tick() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = recorded(folder.path(), "lan", false);
    let (head, ticks) = ticks_of(&path);
    let sounds = |tick: &TickNote| {
        tick.entries.iter().any(|entry| match &entry.note {
            Note::Path(path) => path.packets.iter().any(|packet| packet.track == 0),
            _ => false,
        })
    };
    let with_sound: Vec<usize> = (0..ticks.len()).filter(|at| sounds(&ticks[*at])).collect();
    let tick = with_sound[with_sound.len() / 2];
    let change = |how: fn(&mut Vec<crate::world::tape::note::PacketNote>)| {
        let mut changed = ticks.clone();
        for entry in &mut changed[tick].entries {
            if let Note::Path(path) = &mut entry.note {
                how(&mut path.packets);
            }
        }
        let other = folder.path().join("changed.rec");
        write(&other, &head, &changed);
        Replay::run(&other, None, false).expect("a recording").difference.map(|difference| difference.tick)
    };
    assert_eq!(change(|_| {}), None, "written again unchanged");
    assert_eq!(change(|packets| packets.retain(|packet| packet.track > 0)), Some(tick as u64), "a packet less");
    assert_eq!(change(|packets| packets[0].sequence += 1), Some(tick as u64), "another number");
    assert_eq!(change(|packets| packets[0].payload = vec![0xff; 9]), Some(tick as u64), "not Opus any more");
}

#[test]
fn a_scrubbed_recording_has_nothing_of_the_media_and_the_same_delays() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = recorded(folder.path(), "home", true);
    let clean = folder.path().join("clean.rec");
    let scrubbed = scrub(&path, &clean, false).expect("scrubbed");
    let (_, ticks) = ticks_of(&path);
    assert_eq!(scrubbed.ticks, ticks.len() as u64);
    let (before, after) = [&path, &clean].map(|path| Replay::run(path, None, false).expect("a recording")).into();
    assert_eq!(after.difference, None);
    assert!(before.series.len() > 300, "{} delays", before.series.len());
    assert_eq!(before.series, after.series);
    let payloads: Vec<Vec<u8>> = ticks.iter().cloned().flat_map(|tick| tick.entries).flat_map(payloads).collect();
    let bytes = std::fs::read(&clean).expect("readable");
    let original = std::fs::read(&path).expect("readable");
    let whole: usize = payloads.iter().map(Vec::len).sum();
    assert!(scrubbed.bytes == whole as u64 && whole > 100_000, "{whole} bytes of payload");
    assert!(common_runs(&payloads, &original) > 1000, "the search finds what is there");
    assert_eq!(common_runs(&payloads, &bytes), 0);
    assert!(!bytes.windows(4).any(|four| four == [10, 0, 0, 1] || four == [10, 0, 0, 2]), "an address is left");
    assert!(original.windows(4).any(|four| four == [10, 0, 0, 2]), "there was an address");
    let (_, left) = ticks_of(&clean);
    assert!(spoken(&ticks) > 0);
    assert_eq!(spoken(&left), 0, "how loud the voice was, and when there was one");
    let same = scrub(&path, &path, false).expect_err("itself");
    assert_eq!(same.kind, Kind::Malformed);
}

#[test]
fn what_parity_made_good_is_replayed_also_without_the_media() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = recorded(folder.path(), "bad", false);
    let clean = folder.path().join("clean.rec");
    scrub(&path, &clean, false).expect("scrubbed");
    let restored = |path: &Path| -> Vec<Vec<u8>> {
        let entries = ticks_of(path).1.into_iter().flat_map(|tick| tick.entries);
        let packets = entries.flat_map(|entry| match entry.note {
            Note::Restored(packets) => packets,
            _ => Vec::new(),
        });
        packets.map(|(_, payload)| payload).collect()
    };
    let (before, after) = (restored(&path), restored(&clean));
    assert!(!before.is_empty(), "nothing was lost that parity makes good");
    assert_eq!(before.len(), after.len());
    assert_eq!(common_runs(&before, &std::fs::read(&clean).expect("readable")), 0);
    for path in [&path, &clean] {
        assert_eq!(Replay::run(path, None, false).expect("a recording").difference, None);
        assert!(what_if(path, Policy::default(), false).expect("a recording").video.frames_decoded > 20);
    }
}

/// How many notes say how loud a voice was, or that there was one.
fn spoken(ticks: &[TickNote]) -> usize {
    let entries = ticks.iter().flat_map(|tick| &tick.entries);
    let says = entries.map(|entry| match &entry.note {
        Note::Path(path) => path.packets.iter().filter(|packet| packet.level.is_some() || packet.voice).count(),
        Note::Sound { voice, .. } => usize::from(*voice),
        _ => 0,
    });
    says.sum()
}

fn payloads(entry: crate::world::tape::note::Entry) -> Vec<Vec<u8>> {
    match entry.note {
        Note::Path(path) => path.packets.into_iter().map(|packet| packet.payload).collect(),
        _ => Vec::new(),
    }
}

/// How many runs of sixteen bytes of the payloads stand in `bytes`.
fn common_runs(payloads: &[Vec<u8>], bytes: &[u8]) -> usize {
    let there: std::collections::HashSet<&[u8]> = bytes.windows(16).collect();
    payloads.iter().flat_map(|payload| payload.windows(16)).filter(|run| there.contains(run)).count()
}

/// What a file claims is not believed: none of these asks for much memory, and none panics.
#[test]
fn impossible_claims_end_a_replay() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = recorded(folder.path(), "lan", false);
    let (head, ticks) = ticks_of(&path);
    let middle = ticks.len() / 2;
    let other = folder.path().join("claims.rec");
    let claim = |how: &dyn Fn(&mut TickNote)| {
        let mut changed = ticks.clone();
        how(&mut changed[middle]);
        write(&other, &head, &changed);
        Replay::run(&other, None, false)
    };
    for note in [
        Note::Deficit(u32::MAX),
        Note::Made(i32::MIN),
        Note::Samples { count: u32::MAX, first: i64::MIN },
        Note::Sound { bytes: u32::MAX, voice: true },
        Note::Plays(i64::MAX),
        Note::Presented {
            tile: 1,
            frame: u64::MAX,
            at: i64::MIN,
            marker: Some((0, i64::MIN)),
            refresh: Some((u32::MAX, 0)),
        },
    ] {
        let replayed = claim(&|tick| {
            (0..5).for_each(|of| tick.entries.insert(0, crate::world::tape::note::Entry { of, note: note.clone() }));
        });
        let difference = replayed.expect("a recording").difference;
        assert_eq!(difference.map(|difference| difference.tick), Some(middle as u64), "{note:?}");
    }
    for now in [i64::MIN, -1, i64::MAX] {
        let error = claim(&|tick| tick.now = now).expect_err("impossible");
        assert!(error.kind == Kind::Malformed, "{now}: {error}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// A piece whose checksum is right may hold anything.
    #[test]
    fn any_ticks_are_refused_or_replayed(body in proptest::prelude::prop::collection::vec(proptest::prelude::any::<u8>(), 1..400)) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("any.rec");
        let head = Head { program: String::new(), audio_frame: None, audio_rate: 64_000, audio_most: 300_000, music_most: 600_000, most: 1_000_000, around: 81, policy: Policy::default() };
        let mut writer = RecordingWriter::create(&path, u64::MAX, Wake::none()).expect("a file");
        writer.put_in_time(Piece::Head, encode(&head, Vec::new()).expect("a head")).expect("written");
        writer.put_in_time(Piece::Ticks, body).expect("written");
            writer.finish().expect("written");
        let _ = Replay::run(&path, None, true);
        let _ = scrub(&path, &folder.path().join("clean.rec"), true);
        let _ = what_if(&path, Policy::default(), true);
    }
}

#[test]
fn a_recording_that_was_cut_off_is_replayed_as_far_as_it_goes_when_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = recorded(folder.path(), "lan", false);
    let whole = Replay::run(&path, None, false).expect("a recording");
    let bytes = std::fs::read(&path).expect("readable");
    std::fs::write(&path, &bytes[..bytes.len() * 3 / 4]).expect("written");
    let error = Replay::run(&path, None, false).expect_err("cut off");
    assert!(error.kind == Kind::Malformed && error.text.contains("was cut off"), "{error}");
    let part = Replay::run(&path, None, true).expect("what is there");
    assert!(part.was_cut_off && part.difference.is_none(), "{part:?}");
    assert!(part.ticks > whole.ticks / 2 && part.ticks < whole.ticks);
    // A piece is half a second: no more than that and the cut is lost.
    assert!(part.time > whole.time * 3 / 5, "{:?} of {:?}", part.time, whole.time);
}

#[test]
fn another_policy_trades_delay_for_losses() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = recorded(folder.path(), "bad", false);
    let report = |policy: &str| {
        let policy = if policy.is_empty() { Policy::default() } else { policy.parse().expect("known") };
        what_if(&path, policy, false).expect("a recording")
    };
    let (usual, patient, hasty) = (report(""), report("sound.least=150"), report("sound.late=20"));
    let delay = |report: &Report| report.audio.delay_ms.expect("sound was played").p50;
    let concealed = |report: &Report| report.audio.concealed_ratio.expect("sound was played");
    assert!(delay(&patient) > delay(&usual) + 10.0, "{} and {}", delay(&patient), delay(&usual));
    assert!(delay(&hasty) < delay(&usual), "{} and {}", delay(&hasty), delay(&usual));
    assert!(concealed(&usual) < concealed(&hasty), "{} and {}", concealed(&usual), concealed(&hasty));
    // The same path by the usual policy is about what was.
    let was = Replay::run(&path, None, false).expect("a recording").report;
    assert!((delay(&usual) - delay(&was)).abs() < 10.0, "{} and {}", delay(&usual), delay(&was));
    let shown = |report: &Report| report.video.frames_presented;
    assert!(shown(&usual).abs_diff(shown(&was)) <= shown(&was) / 10, "{} and {}", shown(&usual), shown(&was));
}
