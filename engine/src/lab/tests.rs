mod versions;
mod watching;

use super::*;
use crate::codec::VideoCodec;
use crate::codec::worker::Work;
use crate::device::{MicrophoneSpec, SpeakerSpec};
use crate::source::SourceSpec;

const CARD: SourceSpec = SourceSpec::TestCard { width: 640, height: 360, frame_rate: 30.0 };

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Sizes instead of codecs, everything in the clear.
fn model(config: &mut Config) {
    real(config);
    (config.plain, config.codec) = (true, VideoCodec::Plain);
}

/// The real transport and codecs.
fn real(config: &mut Config) {
    config.camera = Some(CARD);
    (config.microphone, config.speaker) = (MicrophoneSpec::Chirp, SpeakerSpec::None);
    config.find_chirps = true;
    config.auto_answer = true;
    config.work = Work::Inline { encode: ms(3), decode: ms(2) };
}

struct Ran {
    reports: [Report; 2],
    decisions: [u64; 2],
    schedule: (u64, u64),
}

/// A call of `time` between two.
fn call(profile: &str, seed: u64, time: Duration, setup: fn(&mut Config)) -> Ran {
    let folder = tempfile::tempdir().expect("a folder");
    let impairment = if profile.is_empty() { Impairment::NONE } else { profile.parse().expect("known") };
    let mut lab = Lab::new(folder.path(), impairment, seed);
    let ada = lab.add("Ada", setup).expect("an engine");
    let ben = lab.add("Ben", setup).expect("an engine");
    lab.command(ada, Command::Call(lab.target(ben)));
    lab.run_for(time);
    lab.command(ada, Command::HangUp);
    assert!(lab.run_until_ended(Duration::from_secs(10)), "the call did not end");
    let report = |member| lab.report(member).expect("ended").clone();
    Ran {
        reports: [report(ada), report(ben)],
        decisions: [lab.decisions(ada), lab.decisions(ben)],
        schedule: lab.schedule(),
    }
}

#[test]
fn two_engines_hold_a_call_without_a_clock() {
    let ran = call("lan", 1, Duration::from_secs(5), model);
    for report in &ran.reports {
        assert_eq!(report.outcome, "ended", "{report:?}");
        assert!((145..=152).contains(&report.video.frames_captured), "{:?}", report.video);
        assert!(report.video.frames_presented + 2 >= report.video.frames_captured, "{:?}", report.video);
        let glass = report.video.glass_to_glass_ms.expect("markers were read");
        // Encode 3, path 1, decode 2, and what the grid rounds.
        assert!((6.0..7.0).contains(&glass.p50), "{glass:?}");
        let ear = report.audio.mouth_to_ear_ms.expect("chirps were found");
        assert!(ear.n >= 5 && (5.0..25.0).contains(&ear.p50), "{ear:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_call_to_the_bit_and_another_does_not() {
    let [one, same, other] = [7, 7, 8].map(|seed| call("bad", seed, Duration::from_secs(8), model));
    assert_eq!(one.schedule, same.schedule);
    assert_eq!(one.decisions, same.decisions);
    let text = |ran: &Ran| serde_json::to_string(&ran.reports).expect("a report");
    assert_eq!(text(&one), text(&same));
    assert_ne!(one.schedule, other.schedule);
    assert_ne!(one.decisions, other.decisions);
}

#[test]
fn the_real_transport_and_codecs_agree_with_the_model_on_a_short_path() {
    let ran = call("lan", 3, Duration::from_secs(4), real);
    for report in &ran.reports {
        assert_eq!(report.outcome, "ended", "{report:?}");
        // A handful of round trips; a lost first message of the handshake would cost a second.
        assert!(report.setup_ms.connected.is_some_and(|ms| ms < 100.0), "{:?}", report.setup_ms);
        let glass = report.video.glass_to_glass_ms.expect("markers were read");
        assert!((6.0..8.0).contains(&glass.p50), "{glass:?}");
        assert!(report.audio.concealed_ratio.is_some_and(|ratio| ratio < 0.01), "{:?}", report.audio);
    }
}

#[test]
fn what_is_planted_in_a_stage_is_found_in_that_stage_and_nowhere_else() {
    use super::case::{Case, Media};
    use crate::media::ledger::STAGES;

    let folder = tempfile::tempdir().expect("a folder");
    let stages = |planted: Option<&str>| {
        let case = Case {
            impairment: Impairment::profile("lan").expect("known"),
            media: Media::Small,
            real: false,
            time: Duration::from_secs(4),
            seed: 5,
            planted: planted.map(|stage| format!("{stage}=20").parse().expect("a stage")),
        };
        let measured = case.run(folder.path()).expect("a call");
        let stages = measured.reports[0].video.stages_ms.clone();
        STAGES.map(|stage| stages[stage].expect("measured").p50)
    };
    let without = stages(None);
    for (at, planted) in STAGES.iter().enumerate() {
        let with = stages(Some(planted));
        for (other, name) in STAGES.iter().enumerate() {
            let (found, expected) = (with[other] - without[other], if other == at { 20.0 } else { 0.0 });
            assert!((found - expected).abs() <= 2.0, "20 ms in {planted}: {name} has {found:+.2} ms");
        }
    }
}

#[test]
fn a_wrong_clock_is_known_within_two_seconds_and_within_its_bound() {
    let voice = |config: &mut Config| {
        model(config);
        (config.camera, config.find_chirps) = (None, false);
    };
    let mut random = fastrand::Rng::with_seed(11);
    let late = |ms: u64| Impairment { delay: Duration::from_millis(ms), ..Impairment::NONE };
    for run in 0..100 {
        let folder = tempfile::tempdir().expect("a folder");
        let skew = Skew { ahead: random.i64(-5_000_000..=5_000_000), ppm: random.f64() * 400.0 - 200.0 };
        let mut lab = Lab::new(folder.path(), Impairment::NONE, run);
        let ada = lab.add("Ada", voice).expect("an engine");
        let ben = lab.add_with_clock("Ben", skew, voice).expect("an engine");
        let (there, back) = if run % 2 == 0 { (10, 40) } else { (40, 10) };
        lab.set_way(ada, ben, late(there));
        lab.set_way(ben, ada, late(back));
        lab.command(ada, Command::Call(lab.target(ben)));
        for seconds in [2, 3] {
            lab.run_for(Duration::from_secs(seconds));
            for (one, other) in [(ada, ben), (ben, ada)] {
                let (micros, bound) = lab.look(one).clock.expect("it was asked");
                let wrong = micros.abs_diff(lab.clock_difference(one, other));
                assert!(bound <= 25_000 + 2_000, "run {run}: ±{bound} µs");
                assert!(wrong <= bound, "run {run}, {skew:?}: {wrong} µs wrong, ±{bound}");
                // The ways differ by 30 ms, which no clock can see: half of that is wrong, so the test is no easy one.
                assert!(wrong >= 10_000, "run {run}: {wrong} µs");
            }
        }
    }
}

#[test]
fn a_path_too_narrow_for_pictures_carries_sound_says_so_and_has_pictures_again_when_it_widens() {
    let folder = tempfile::tempdir().expect("a folder");
    let is = |kbps: u64| format!("delay=20,rate={kbps},queue=1000").parse::<Impairment>().expect("a path");
    let mut lab = Lab::new(folder.path(), is(100), 1);
    let [ada, ben] = ["Ada", "Ben"].map(|name| lab.add(name, model).expect("an engine"));
    lab.command(ada, Command::Call(lab.target(ben)));
    lab.run_for(Duration::from_secs(15));
    let narrow = |lab: &mut Lab| {
        let world = lab.engine_mut(ada).world_mut();
        world.query::<&crate::world::stream::PeerMute>().iter(world).any(|mute| mute.narrow && !mute.video)
    };
    assert!(narrow(&mut lab), "Ada was not told why there are no pictures");
    lab.look(ada);
    lab.run_for(Duration::from_secs(5));
    let concealed = lab.look(ada).concealed.expect("sound is played");
    assert!(concealed < 0.1, "{concealed}");
    lab.change_paths(is(4000));
    lab.run_for(Duration::from_secs(45));
    assert!(!narrow(&mut lab), "the path is wide again");
    let shown = lab.glass_ms(ada).len();
    lab.run_for(Duration::from_secs(2));
    assert!(lab.glass_ms(ada).len() > shown + 30, "pictures are shown again");
}

/// Whether `member` has a source of pictures open, and whether it was told that the other side sends none.
fn pictures(lab: &mut Lab, member: MemberId) -> (bool, bool) {
    let world = lab.engine_mut(member).world_mut();
    let sends = world.query::<&crate::world::outgoing::Source>().iter(world).any(|source| source.0.is_some());
    let mut streams = world.query::<(&crate::world::stream::Frames, &crate::world::stream::PeerMute)>();
    let told = streams.iter(world).any(|(frames, mute)| frames.tile == crate::world::shared::FIRST_TILE && mute.video);
    (sends, told)
}

#[test]
fn a_camera_chosen_while_the_picture_is_off_stays_closed_and_one_that_fails_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut lab = Lab::new(folder.path(), Impairment::profile("lan").expect("known"), 1);
    let ada = lab.add("Ada", model).expect("an engine");
    let ben = lab.add("Ben", model).expect("an engine");
    lab.command(ada, Command::Call(lab.target(ben)));
    lab.run_for(ms(1000));
    assert_eq!((pictures(&mut lab, ada), pictures(&mut lab, ben)), ((true, false), (true, false)));
    lab.command(ada, Command::CameraOff(true));
    lab.command(ada, Command::Camera("testcard".into()));
    lab.run_for(ms(100));
    assert_eq!((pictures(&mut lab, ada).0, pictures(&mut lab, ben).1), (false, true), "chosen while it is off");
    lab.command(ada, Command::CameraOff(false));
    lab.run_for(ms(100));
    assert_eq!((pictures(&mut lab, ada).0, pictures(&mut lab, ben).1), (true, false), "turned on again");
    lab.command(ada, Command::Camera("file:/nowhere/a.y4m".into()));
    lab.run_for(ms(100));
    assert_eq!((pictures(&mut lab, ada).0, pictures(&mut lab, ben).1), (false, true), "it cannot be opened");
    let showing = lab.engine_mut(ada).world().resource::<crate::world::shared::Showing>().controls.clone();
    assert!(showing.camera_off && showing.device_note.contains("/nowhere/a.y4m"), "{showing:?}");
}

/// How much of each tone there is in one channel, from sample `from` on.
fn tones(sound: &[f32], from: usize) -> [f32; 2] {
    // 25 ms hold whole periods of both; where a period is cut out or put in, only one of twenty pieces knows.
    const PIECE: usize = 1_200;
    [440.0, 1_000.0].map(|hz| {
        let phase = |n: usize| n as f32 * hz * std::f32::consts::TAU / 48_000.0;
        let loudness = |piece: &[f32]| {
            let (a, b) = piece
                .iter()
                .enumerate()
                .fold((0.0, 0.0), |(a, b), (n, x)| (a + x * phase(n).sin(), b + x * phase(n).cos()));
            (a * a + b * b).sqrt() * 2.0 / PIECE as f32
        };
        let pieces = sound[from..from + 20 * PIECE].chunks(PIECE);
        pieces.map(loudness).sum::<f32>() / 20.0
    })
}

#[test]
fn music_is_heard_on_its_two_sides_and_a_voice_on_both() {
    let folder = tempfile::tempdir().unwrap();
    let (given, heard) = (folder.path().join("given.wav"), folder.path().join("heard.wav"));
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: 48_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(&given, spec).unwrap();
    for n in 0..48_000 {
        for hz in [440.0, 1_000.0] {
            let sample = (n as f32 * hz * std::f32::consts::TAU / 48_000.0).sin() * 0.3;
            writer.write_sample((sample * 32_767.0) as i16).unwrap();
        }
    }
    writer.finalize().unwrap();
    let mut lab = Lab::new(folder.path(), Impairment::profile("lan").unwrap(), 3);
    let ada =
        lab.add("Ada", |config| (model(config), config.microphone = MicrophoneSpec::Wav(given.clone())).0).unwrap();
    let ben = lab.add("Ben", |config| (model(config), config.speaker = SpeakerSpec::Wav(heard.clone())).0).unwrap();
    lab.command(ada, Command::Call(lab.target(ben)));
    lab.run_for(ms(2000));
    lab.command(ada, Command::Music(true));
    lab.run_for(ms(2000));
    lab.command(ada, Command::Music(false));
    lab.run_for(ms(2000));
    lab.command(ada, Command::HangUp);
    lab.run_for(ms(500));
    let report = lab.report(ben).unwrap();
    // A pull of 2.5 ms at the beginning or the end of it.
    assert!(report.audio.concealed_ratio.is_some_and(|ratio| ratio < 0.001), "{:?}", report.audio);
    drop(lab);
    let samples: Vec<f32> = hound::WavReader::open(&heard)
        .unwrap()
        .into_samples::<i16>()
        .map(|sample| f32::from(sample.unwrap()) / 32_768.0)
        .collect();
    let side = |side: usize| samples.iter().skip(side).step_by(2).copied().collect::<Vec<f32>>();
    let (left, right) = (side(0), side(1));
    for (from, music) in [(48_000, false), (144_000, true), (240_000, false)] {
        let (left, right) = (tones(&left, from), tones(&right, from));
        if music {
            assert!(left[0] > 0.25 && left[1] < 0.03, "{left:?}");
            assert!(right[1] > 0.25 && right[0] < 0.03, "{right:?}");
        } else {
            assert!(left == right && left.iter().all(|tone| (0.1..0.2).contains(tone)), "{left:?} {right:?}");
        }
    }
    // Going from one to the other is no click: nothing steeper than the tones themselves, which are 0.04 a sample.
    let steepest =
        |sound: &[f32]| sound[24_000..280_000].windows(2).map(|two| (two[1] - two[0]).abs()).fold(0.0, f32::max);
    assert!(steepest(&left) < 0.08 && steepest(&right) < 0.08, "{} {}", steepest(&left), steepest(&right));
}

/// Of the pictures that come in to `member`, those that are on: their sizes.
fn seen(lab: &mut Lab, member: MemberId) -> Vec<(u32, u32)> {
    use crate::world::stream::{Frames, PeerMute};

    let world = lab.engine_mut(member).world_mut();
    let mut streams = world.query::<(&Frames, &PeerMute)>();
    let on = streams.iter(world).filter(|(_, mute)| !mute.video);
    on.filter_map(|(frames, _)| frames.shown.as_ref())
        .map(|frame| (frame.picture.width, frame.picture.height))
        .collect()
}

#[test]
fn several_sources_at_once_are_seen_side_by_side_and_come_and_go() {
    for setup in [model as fn(&mut Config), real] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut lab = Lab::new(folder.path(), Impairment::profile("lan").expect("known"), 3);
        let ada = lab.add("Ada", setup).expect("an engine");
        let ben = lab.add("Ben", setup).expect("an engine");
        let world = lab.engine_mut(ada).world_mut();
        let small = SourceSpec::TestCard { width: 320, height: 180, frame_rate: 15.0 };
        world.resource_mut::<crate::world::shared::Settings>().0.further[1] = Some(small);
        lab.command(ada, Command::Call(lab.target(ben)));
        lab.run_for(ms(1500));
        assert_eq!(seen(&mut lab, ben), [(640, 360), (320, 180)], "from the beginning");
        lab.command(ada, Command::Share(Some("testcard".into())));
        lab.run_for(ms(1000));
        assert_eq!(seen(&mut lab, ben).len(), 3, "one more");
        lab.command(ada, Command::CameraOff(true));
        lab.run_for(ms(500));
        assert_eq!(seen(&mut lab, ben).len(), 2, "the camera alone is off");
        lab.command(ada, Command::Share(None));
        lab.run_for(ms(500));
        assert_eq!(seen(&mut lab, ben), [(320, 180)], "and what was shared");
        assert_eq!(seen(&mut lab, ada).len(), 1, "the other way nothing changes");
        lab.command(ada, Command::HangUp);
        assert!(lab.run_until_ended(Duration::from_secs(10)), "the call did not end");
        assert_eq!(lab.report(ben).map(|report| report.outcome.as_str()), Some("ended"));
    }
}

#[test]
fn pictures_of_odd_sizes_and_of_one_pixel_are_seen() {
    use crate::media::video::Picture;
    use crate::source::file::y4m::Y4mWriter;

    for (width, height) in [(1, 1), (35, 21), (1921 / 2, 3)] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("odd.y4m");
        let mut writer = Y4mWriter::create(&path, 30).expect("a file");
        (0..3).for_each(|_| writer.write(&Picture::new(width, height)).expect("written"));
        writer.finish().expect("flushed");
        let mut lab = Lab::new(folder.path(), Impairment::profile("lan").expect("known"), 3);
        let ada = lab.add("Ada", real).expect("an engine");
        let ben = lab.add("Ben", real).expect("an engine");
        let world = lab.engine_mut(ada).world_mut();
        world.resource_mut::<crate::world::shared::Settings>().0.camera = Some(SourceSpec::File(path));
        lab.command(ada, Command::Call(lab.target(ben)));
        lab.run_for(ms(1000));
        let [(seen_width, seen_height)] = seen(&mut lab, ben)[..] else { panic!("{width}×{height} is not seen") };
        assert!(seen_width >= 16 && seen_height >= 16, "{width}×{height} is seen as {seen_width}×{seen_height}");
    }
}

#[test]
fn a_call_that_breaks_off_is_heard_to_and_so_is_that_it_is_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut lab = Lab::new(folder.path(), Impairment::NONE, 1);
    let [ada, ben] = ["Ada", "Ben"].map(|name| lab.add(name, model).expect("an engine"));
    lab.command(ada, Command::Call(lab.target(ben)));
    lab.run_for(ms(2000));
    let rings = |lab: &mut Lab, time: u64| {
        let mut rings = false;
        for _ in 0..time / 100 {
            lab.run_for(ms(100));
            rings |= lab.engine_mut(ada).world().resource::<crate::world::shared::Sound>().check.tone.is_some();
        }
        rings
    };
    assert!(!rings(&mut lab, 1000), "nothing has happened");
    lab.change_paths("loss=100".parse().expect("an impairment"));
    assert!(rings(&mut lab, 3000), "it has broken off");
    assert!(!rings(&mut lab, 2000), "once is enough");
    lab.change_paths(Impairment::NONE);
    assert!(rings(&mut lab, 1000), "it is back");
}
