//! Calls with older and newer programs: each comes about, or the person is told what is missing and why.

use super::*;
use crate::proto::signal::media::Abilities;
use crate::proto::text::List;

/// Both sides' reports of a call of three seconds, and what the window of the first one says in it: with `change` made to
/// what the second one can do.
fn with(change: fn(&mut Abilities)) -> ([Report; 2], String) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut lab = Lab::new(folder.path(), Impairment::NONE, 1);
    let ada = lab.add("Ada", model).expect("an engine");
    let ben = lab.add("Ben", |config| {
        model(config);
        change(&mut config.abilities);
    });
    let ben = ben.expect("an engine");
    lab.command(ada, Command::Call(lab.target(ben)));
    lab.run_for(ms(3000));
    let note = lab.engine_mut(ada).world().resource::<crate::world::shared::Showing>().controls.device_note.clone();
    lab.command(ada, Command::HangUp);
    assert!(lab.run_until_ended(Duration::from_secs(10)), "the call did not end");
    ([ada, ben].map(|member| lab.report(member).expect("ended").clone()), note)
}

#[test]
fn programs_of_one_version_miss_nothing() {
    let ([ada, ben], note) = with(|_| {});
    assert_eq!((ada.missing.as_slice(), ben.missing.as_slice(), note.as_str()), (&[][..], &[][..], ""));
    assert!(ada.video.frames_presented > 60 && ben.video.frames_presented > 60);
    assert_eq!(ada.audio.frame_ms, Some(5.0));
}

#[test]
fn a_program_that_is_too_old_is_no_call_and_both_are_told_what_to_do() {
    let ([ada, ben], note) = with(|old| {
        (old.version, old.needs, old.repair) = (0, 0, false);
        if let Some(audio) = &mut old.audio {
            (audio.red, audio.opus_frame_us) = (false, List::cut(vec![20_000]));
        }
    });
    // Ada's program needs version 1.
    assert_eq!((ada.outcome.as_str(), ben.outcome.as_str()), ("incompatible", "incompatible"), "{ada:?} {ben:?}");
    assert_eq!(ben.reason, "Ada needs a newer version of this program: update it here");
    assert!(ada.reason.contains("is too old for yours: ask them to update it"), "{}", ada.reason);
    assert_eq!(note, "");
}

#[test]
fn a_program_that_knows_only_long_frames_is_sent_those() {
    let ([ada, ben], note) = with(|old| {
        old.repair = false;
        if let Some(audio) = &mut old.audio {
            (audio.red, audio.opus_frame_us) = (false, List::cut(vec![20_000]));
        }
    });
    assert_eq!((ada.audio.frame_ms, ben.audio.frame_ms), (Some(20.0), Some(20.0)));
    assert!(ben.audio.packets_received > 100 && ben.video.frames_presented > 60, "{ben:?}");
    assert_eq!((ada.missing.len(), note.as_str()), (0, ""));
}

#[test]
fn a_program_without_a_medium_is_called_with_the_other_and_it_is_said() {
    let ([ada, ben], note) = with(|old| old.video = None);
    assert_eq!(
        (ada.missing.as_slice(), note.as_str()),
        (&["no video from Ben".to_owned()][..], "This call has no video from Ben.")
    );
    assert_eq!(ben.missing, ["no video from this side"]);
    assert_eq!((ada.video.frames_captured, ben.video.frames_presented), (0, 0), "nobody looks: the camera stays off");
    assert!(ada.audio.packets_received > 300 && ben.audio.packets_received > 300);
    let ([ada, ben], note) = with(|old| old.audio = None);
    assert_eq!(note, "This call has no audio from Ben.");
    assert_eq!((ada.audio.packets_sent, ben.audio.packets_sent), (0, 0), "nobody listens: the microphone stays off");
    assert!(ada.video.frames_presented > 60 && ben.video.frames_presented > 60);
}

#[test]
fn a_newer_program_is_said_to_be_newer_and_one_that_needs_more_is_no_call() {
    let ([ada, ben], note) = with(|new| new.version = 2);
    assert_eq!(note, "Ben uses a newer version of this program: there is an update.");
    assert!(ada.video.frames_presented > 60 && ben.video.frames_presented > 60);
    let ([ada, ben], _) = with(|new| (new.version, new.needs) = (2, 2));
    assert_eq!((ada.outcome.as_str(), ben.outcome.as_str()), ("incompatible", "incompatible"));
    assert_eq!(ben.reason, "Ada uses a version that is too old for this one: ask Ada to update");
    assert!(ada.reason.contains("it needs a newer version of yours: update yours"), "{}", ada.reason);
}
