//! The same path, another policy: what came over the path of a recorded call, played out anew.
//!
//! Decoding takes as long as it usually did in the call; a loudspeaker plays evenly, and a picture is shown when it is
//! due. The other side is not told anything: it sends what it sent.

use std::path::Path;

use super::Replay;
use super::file::RecordedCall;
use crate::base::error::Result;
use crate::base::time::Duration;
use crate::codec::VideoCodec;
use crate::codec::worker::Work;
use crate::engine::pace::Pace;
use crate::layout::snapshot::{Party, Presented};
use crate::media::policy::Policy;
use crate::media::report::Report;
use crate::media::summary::Samples;
use crate::world::tape::Tape;
use crate::world::tape::note::{Note, TickNote};

/// Plays the call in `path` out by `policy`.
///
/// # Errors
/// `Malformed` with one line for the person: the file is no recording, or not a whole one.
pub fn what_if(path: &Path, policy: Policy, partial: bool) -> Result<Report> {
    let decode = usual_decoding(&mut RecordedCall::open(path, partial)?)?;
    let mut call = RecordedCall::open(path, partial)?;
    let mut config = Replay::config(call.head());
    config.policy = policy;
    config.codec = VideoCodec::Blank;
    config.work = Work::Inline { encode: Duration::ZERO, decode };
    let cell = config.cell;
    let mut replay = Replay::open(config, call.head().around, None, true)?;
    let pace = Pace::new(replay.axis.start(), cell);
    let mut shown = 0;
    while let Some(tick) = call.next_tick()? {
        let at = replay.axis.instant(tick.now);
        // What the policy wants to do before the call's own next tick.
        while let Some(due) = pace.next(at, replay.engine.due()).filter(|due| *due < at) {
            replay.engine.world().resource::<Tape>().load(nothing(&tick));
            replay.engine.tick(due);
            show(&replay, &mut shown);
        }
        replay.engine.world().resource::<Tape>().load(tick);
        replay.engine.tick(at);
        show(&replay, &mut shown);
    }
    Ok(replay.report())
}

/// A tick in which nothing came.
const fn nothing(next: &TickNote) -> TickNote {
    TickNote { number: next.number, now: next.now, entries: Vec::new(), decisions: 0 }
}

/// A screen that shows at once what is published.
fn show(replay: &Replay, shown: &mut u64) {
    let Some(snapshot) = replay.link.view.take() else { return };
    let at = replay.engine.now();
    let remote = snapshot.tiles.iter().find(|tile| tile.party == Party::Remote);
    if let Some(tile) = remote.filter(|tile| tile.frame != *shown) {
        *shown = tile.frame;
        // Taken by the next tick, long before the pipe is full.
        let presented = Presented { tile: tile.id, frame: tile.frame, at, marker: None, refresh: None };
        let _ = replay.link.presented.try_send(presented);
    }
}

/// How long a picture usually took to decode.
fn usual_decoding(call: &mut RecordedCall) -> Result<Duration> {
    let mut taken = Samples::default();
    while let Some(tick) = call.next_tick()? {
        for entry in tick.entries {
            if let Note::Frame(frame) = entry.note
                && let [.., Some(released), Some(decoded)] = frame.stamps
            {
                taken.push(decoded.saturating_sub(released) as f64);
            }
        }
    }
    Ok(Duration::from_nanos(taken.quantile(0.5).unwrap_or_default().max(0.0) as u64))
}
