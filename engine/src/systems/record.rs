//! Notes for a recording what the signalling has made of the call: its devices, mutes and clocks.

use bevy_ecs::entity::Entity;
use bevy_ecs::system::{Query, Res};

use crate::media::frame_length::FrameLengths;
use crate::media::video::Content;
use crate::world::connection::{LinkEstimate, Tracks};
use crate::world::outgoing::{Source, VideoQueue, Voice};
use crate::world::shared::Sound;
use crate::world::stream::PeerMute;
use crate::world::tape::Tape;
use crate::world::tape::note::Situation;

/// How things stand now. A second connection beside the recorded one ends the recording: it is of one call.
pub fn note_situation(
    tape: Res<Tape>,
    sound: Res<Sound>,
    connections: Query<(Entity, &LinkEstimate, &Tracks)>,
    voices: Query<&Voice>,
    sources: Query<&Source>,
    queues: Query<&VideoQueue>,
    mutes: Query<&PeerMute>,
) {
    let Some(recorded) = tape.recorded() else { return };
    let call = connections.iter().next().filter(|(entity, ..)| *entity == recorded && connections.iter().count() == 1);
    let situation = call.map(|(_, link, tracks)| {
        let voice = voices.get(tracks.audio_out).ok();
        let (ours, theirs) = (tracks.videos_out().map(|(_, video)| video), tracks.videos_in().map(|(_, video)| video));
        let peer = mutes.get(tracks.video_in).copied().unwrap_or_default();
        Situation {
            microphone: voice.is_some_and(|voice| voice.microphone.is_some()),
            camera: sources.get(tracks.video_out).is_ok_and(|source| source.0.is_some()),
            loudspeaker: sound.speaker.is_some(),
            muted: voice.is_some_and(|voice| voice.muted),
            music: voice.is_some_and(|voice| voice.music),
            peer_muted: peer.audio,
            peer_camera_off: peer.video,
            further: bits(tracks.further_out, |video| sources.get(video).is_ok_and(|source| source.0.is_some())),
            screens: bits(ours, |video| {
                let source = sources.get(video).ok().and_then(|source| source.0.as_ref());
                source.is_some_and(|source| source.content() == Content::Text)
            }),
            peer_further: bits(tracks.further_in, |video| mutes.get(video).is_ok_and(|mute| !mute.video)),
            peer_screens: bits(theirs, |video| mutes.get(video).is_ok_and(|mute| mute.screen)),
            peer_reads_copies: voice.is_some_and(|voice| voice.control.bounds().copies),
            peer_reads_lengths: voice.map_or(FrameLengths::ALL, |voice| voice.control.bounds().lengths),
            peer_reads_repair: queues.get(tracks.video_out).is_ok_and(|queue| queue.repair.is_read),
            around_sound: voice.map_or(0, |voice| voice.control.bounds().around),
            clock: link.clock_offset,
        }
    });
    tape.note_situation(situation);
}

/// A bit for each of `videos` that `is` says yes to.
fn bits(videos: impl IntoIterator<Item = Entity>, is: impl Fn(Entity) -> bool) -> u8 {
    videos.into_iter().enumerate().fold(0, |bits, (number, video)| bits | u8::from(is(video)) << number)
}
