//! Counts the tick, and works out when the next one is due.

use bevy_ecs::system::{Query, Res, ResMut};
use bevy_platform::cell::SyncCell;

use crate::base::time::Duration;
use crate::media::video::Content;
use crate::net::udp::UdpPort;
use crate::source::VideoSource;
use crate::world::call::{CallState, Signalling};
use crate::world::connection::{Connection, LinkEstimate, Path};
use crate::world::outgoing::{Encoder, Source, TargetRate, VideoQueue, VideoSent, Voice};
use crate::world::shared::{Arriving, Due, MediaPort, Now, Sound};
use crate::world::stats::{Stats, StreamStats};
use crate::world::stream::{Decoder, Frames, VideoJitterBuffer};

/// While an audio device is open the ring and the microphone must be looked at this often.
const WITH_SOUND: Duration = Duration::from_micros(2500);
/// In a call without sound: liveness, clocks, reports.
const IN_CALL: Duration = Duration::from_millis(20);

/// The earliest of all deadlines. With no call there is none but the door's own.
pub fn gather_due(
    now: Res<Now>,
    mut due: ResMut<Due>,
    mut sound: ResMut<Sound>,
    signalling: Option<Res<Signalling>>,
    port: Res<MediaPort>,
    calls: Query<&CallState>,
    connections: Query<&Connection>,
    streams: Query<(&Frames, &VideoJitterBuffer, &Decoder)>,
    outgoings: Query<(&VideoQueue, &TargetRate, &Encoder, &Source)>,
    mut voices: Query<&mut Voice>,
) {
    due.0 = None;
    let door = signalling.as_ref().and_then(|signalling| signalling.door.as_ref());
    if let Some(deadline) = door.and_then(|door| door.deadline()) {
        due.at(deadline);
    }
    if let Some(at) = port.udp.as_ref().and_then(UdpPort::next_due) {
        due.at(at);
    }
    if let Some(at) = port.paths.as_ref().and_then(|paths| paths.deadline()) {
        due.at(at);
    }
    for call in &calls {
        if let Some(deadline) = call.machine.deadline() {
            due.at(deadline);
        }
        due.at(now.0 + IN_CALL);
    }
    for connection in &connections {
        due.at(connection.transport.deadline());
    }
    for (frames, jitter, decoder) in &streams {
        let frame = frames.clock.next_due(frames.waiting.iter().map(|frame| frame.timestamp));
        [frame, jitter.0.next_due(), decoder.0.next_due()].into_iter().flatten().for_each(|at| due.at(at));
    }
    for (queue, rate, encoder, source) in &outgoings {
        let allowed = queue.allowed.unwrap_or_else(|| rate.0.allowed(now.0));
        let unit = queue.next_due(&allowed, now.0);
        let picture = source.0.as_ref().and_then(VideoSource::next_due);
        let refine = source.0.as_ref().map(|source| source.content() == Content::Text);
        let again = refine.filter(|_| queue.open && queue.units.is_empty()).and_then(|refine| queue.still.due(refine));
        [unit, encoder.0.next_due(), picture, again].into_iter().flatten().for_each(|at| due.at(at));
    }
    let mut sounding = false;
    if let Some(speaker) = sound.speaker.as_mut().map(SyncCell::get) {
        sounding = true;
        if let Some(at) = speaker.next_due(now.0) {
            due.at(at);
        }
    }
    let checked = sound.check.microphone.as_mut().map(SyncCell::get);
    let spoken = voices.iter_mut().filter_map(|voice| voice.into_inner().microphone.as_mut().map(SyncCell::get));
    for microphone in spoken.chain(checked) {
        sounding = true;
        if let Some(at) = microphone.next_due(now.0) {
            due.at(at);
        }
    }
    if sounding {
        due.at(now.0 + WITH_SOUND);
    }
}

/// Forgets what was only for this tick; twice a second looks at the rates for the overlay.
pub fn count_tick(
    now: Res<Now>,
    mut arriving: ResMut<Arriving>,
    mut stats: ResMut<Stats>,
    connections: Query<(&LinkEstimate, &Path)>,
    streams: Query<&StreamStats>,
    sent: Query<&VideoSent>,
    voices: Query<&Voice>,
) {
    arriving.0.clear();
    stats.ticks += 1;
    let looked = stats.recent.looked;
    if looked.is_some_and(|(at, ..)| now.0.saturating_duration_since(at) < Duration::from_millis(500)) {
        return;
    }
    if connections.is_empty() {
        return;
    }
    let bytes_in: u64 = streams.iter().map(|stream| stream.bytes).sum();
    let frames: u64 = streams.iter().map(|stream| stream.decoded).sum();
    let bytes_out =
        sent.iter().map(|sent| sent.bytes).sum::<u64>() + voices.iter().map(|voice| voice.bytes).sum::<u64>();
    if let Some((at, before_in, before_out, before_frames)) = looked {
        let span = now.0.saturating_duration_since(at).as_secs_f64().max(1e-3);
        let rate = |after: u64, before: u64| after.saturating_sub(before) as f64 / span;
        stats.recent.receiving_bps = (rate(bytes_in, before_in) * 8.0) as u64;
        stats.recent.sending_bps = (rate(bytes_out, before_out) * 8.0) as u64;
        stats.recent.frames_per_second = rate(frames, before_frames) as f32;
    }
    stats.recent.looked = Some((now.0, bytes_in, bytes_out, frames));
}
