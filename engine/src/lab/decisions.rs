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

    /// `before` and what the tick that just ran has decided.
    pub fn after_tick(&mut self, world: &mut World, before: u64) -> u64 {
        let mut hash = DefaultHasher::new();
        let since = |at: Instant| at.saturating_duration_since(self.start).as_nanos();
        before.hash(&mut hash);
        since(world.resource::<Now>().0).hash(&mut hash);
        world.resource::<Due>().0.map(since).hash(&mut hash);
        world.resource::<Showing>().changes.hash(&mut hash);
        for call in self.calls.iter(world) {
            std::mem::discriminant(&call.machine.phase()).hash(&mut hash);
        }
        for path in self.paths.iter(world) {
            (path.connected, path.changes, path.heard.map(since)).hash(&mut hash);
        }
        for (frames, jitter) in self.videos.iter(world) {
            let shown = frames.shown.as_ref().map(|frame| (frame.number.0, frame.timestamp));
            (frames.frame, frames.skipped, frames.waiting.len(), frames.clock.target(), shown).hash(&mut hash);
            let counters = jitter.0.counters();
            (counters.packets, counters.units, counters.gaps, counters.late, counters.dropped_packets).hash(&mut hash);
            (jitter.0.is_blocked(), jitter.0.next_due().map(since)).hash(&mut hash);
        }
        for stream in self.audios.iter(world) {
            let counters = stream.jitter.counters();
            (counters.received, counters.lost, counters.late, counters.dropped, counters.restored).hash(&mut hash);
            (counters.concealed_samples, counters.total_samples).hash(&mut hash);
            (stream.jitter.target(), stream.jitter.len(), stream.stretcher.len()).hash(&mut hash);
        }
        for (rate, encoder, queue, sent) in self.outgoings.iter(world) {
            (rate.0.target().as_bps(), encoder.0.size(), queue.units.len(), queue.units.dropped()).hash(&mut hash);
            (sent.captured, sent.sent, sent.packets, sent.bytes, sent.skipped).hash(&mut hash);
        }
        for voice in self.voices.iter(world) {
            (voice.muted, voice.packets, voice.timestamp).hash(&mut hash);
        }
        hash.finish()
    }
}
