//! What a tick decided, as one number: what is played and shown and when, targets, sizes, states. Not samples, pixels,
//! keys or handles. Two runs with the same inputs have the same numbers, tick by tick.

use std::hash::{DefaultHasher, Hash, Hasher};

use bevy_ecs::query::QueryState;
use bevy_ecs::world::World;

use crate::base::time::Instant;
use crate::world::call::CallState;
use crate::world::connection::Path;
use crate::world::outgoing::{Encoder, TargetRate, VideoQueue, VideoSent, Voice};
use crate::world::shared::{Due, Now, Showing};
use crate::world::stream::{AudioStream, Frames, VideoJitterBuffer};

/// Reads the decisions out of one world.
pub struct Decisions {
    start: Instant,
    calls: QueryState<&'static CallState>,
    paths: QueryState<&'static Path>,
    videos: QueryState<(&'static Frames, &'static VideoJitterBuffer)>,
    audios: QueryState<&'static AudioStream>,
    outgoings: QueryState<(&'static TargetRate, &'static Encoder, &'static VideoQueue, &'static VideoSent)>,
    voices: QueryState<&'static Voice>,
}

impl Decisions {
    pub fn new(world: &mut World, start: Instant) -> Self {
        Self {
            start,
            calls: world.query(),
            paths: world.query(),
            videos: world.query(),
            audios: world.query(),
            outgoings: world.query(),
            voices: world.query(),
        }
    }

    /// `before` and everything that the tick that just ran has decided.
    pub fn of_all(&mut self, world: &mut World, before: u64) -> u64 {
        let mut hash = DefaultHasher::new();
        self.of_media(world, before).hash(&mut hash);
        world.resource::<Due>().0.map(|at| nanos(self.start, at)).hash(&mut hash);
        world.resource::<Showing>().changes.hash(&mut hash);
        for call in self.calls.iter(world) {
            std::mem::discriminant(&call.machine.phase()).hash(&mut hash);
        }
        hash.finish()
    }

    /// `before` and what the tick that just ran has decided about sound and picture. What the signalling decides, and when
    /// a device or the transport wants the next tick, is left out: a replay is told that.
    pub fn of_media(&mut self, world: &mut World, before: u64) -> u64 {
        let mut hash = DefaultHasher::new();
        let since = |at: Instant| nanos(self.start, at);
        before.hash(&mut hash);
        since(world.resource::<Now>().0).hash(&mut hash);
        for path in self.paths.iter(world) {
            (path.connected, path.changes, path.heard.map(since)).hash(&mut hash);
        }
        for (frames, jitter) in self.videos.iter(world) {
            let shown = frames.shown.as_ref().map(|frame| (frame.number.0, frame.timestamp));
            (frames.frame, frames.skipped, frames.waiting.len(), frames.clock.target(), shown).hash(&mut hash);
            jitter.0.fingerprint(&mut hash);
            jitter.0.next_due().map(since).hash(&mut hash);
        }
        for stream in self.audios.iter(world) {
            stream.jitter.fingerprint(&mut hash);
            stream.stretcher.len().hash(&mut hash);
        }
        for (rate, encoder, queue, sent) in self.outgoings.iter(world) {
            (
                rate.0.total().as_bps(),
                rate.0.is_too_narrow(),
                encoder.0.size(),
                queue.units.len(),
                queue.units.dropped(),
            )
                .hash(&mut hash);
            (sent.captured, sent.sent, sent.packets, sent.bytes, sent.skipped).hash(&mut hash);
        }
        for voice in self.voices.iter(world) {
            (voice.muted, voice.packets, voice.bytes, voice.framer, voice.control.plan()).hash(&mut hash);
        }
        hash.finish()
    }
}

fn nanos(start: Instant, at: Instant) -> u128 {
    at.saturating_duration_since(start).as_nanos()
}
