//! One media path to one device of a peer.

use std::net::SocketAddr;

use bevy_ecs::component::Component;
use bevy_ecs::entity::Entity;

use crate::base::rate::Bitrate;
use crate::base::time::{Duration, Instant, WallTime};
use crate::media::rate::DelayMeter;
use crate::media::rate::probe::ProbeMeter;
use crate::net::transport::pairs::PathKind;
use crate::net::transport::{Drained, FURTHER, LOWER, Track, Transport};

/// The transport of this connection.
#[derive(Component)]
pub struct Connection {
    pub transport: Transport,
    /// The call it belongs to.
    pub call: Entity,
}

/// This tick's datagrams for this connection, as indices into the inbox.
#[derive(Component, Debug, Default)]
pub struct Inbound(pub Vec<usize>);

/// What this tick's drains brought: packets and events inward, datagrams outward.
#[derive(Component, Debug, Default)]
pub struct Exchange(pub Drained);

/// Where the connection's incoming and outgoing media live.
#[derive(Component, Clone, Copy, Debug)]
pub struct Tracks {
    pub audio_in: Entity,
    pub video_in: Entity,
    pub audio_out: Entity,
    pub video_out: Entity,
    /// Further sources of pictures, theirs and ours.
    pub further_in: [Entity; FURTHER],
    pub further_out: [Entity; FURTHER],
    /// The smaller layers of our first source.
    pub lower_out: [Entity; LOWER],
}

impl Tracks {
    /// The streams of pictures that come in.
    pub fn videos_in(&self) -> impl Iterator<Item = (Track, Entity)> + use<> {
        numbered(self.video_in, self.further_in)
    }

    /// The pictures that go out.
    pub fn videos_out(&self) -> impl Iterator<Item = (Track, Entity)> + use<> {
        numbered(self.video_out, self.further_out)
    }

    /// The same and the smaller layers of the first source.
    pub fn sending(&self) -> impl Iterator<Item = (Track, Entity)> + use<> {
        self.videos_out().chain((1u8..).map(Track::of_layer).zip(self.lower_out))
    }

    /// The stream of pictures that packets of `track` belong to.
    pub fn video_in(&self, track: Track) -> Option<Entity> {
        self.videos_in().find(|(other, _)| *other == track).map(|(_, entity)| entity)
    }

    /// What goes out by `track`.
    pub fn video_out(&self, track: Track) -> Option<Entity> {
        self.sending().find(|(other, _)| *other == track).map(|(_, entity)| entity)
    }
}

fn numbered(first: Entity, further: [Entity; FURTHER]) -> impl Iterator<Item = (Track, Entity)> {
    let further = (0u8..).zip(further).map(|(number, entity)| (Track::Further(number), entity));
    std::iter::once((Track::Video, first)).chain(further)
}

/// Whether the path works.
#[derive(Component, Clone, Debug, Default)]
pub struct Path {
    pub connected: bool,
    /// When the last datagram of the peer was taken.
    pub heard: Option<Instant>,
    pub local: Option<SocketAddr>,
    pub remote: Option<SocketAddr>,
    /// What it leads along.
    pub kind: Option<PathKind>,
    /// The transport is over: the peer closed it (empty), or a fault did (its text).
    pub closed: Option<String>,
    /// How often the path changed after the first one.
    pub changes: u32,
    /// How often one that had fallen silent was left for another.
    pub failovers: u32,
}

/// What the path is measured to be.
#[derive(Component, Debug, Default)]
pub struct LinkEstimate {
    /// What the transport's estimator thinks the path carries.
    pub bitrate: Option<Bitrate>,
    pub round_trip: Option<Duration>,
    /// Share of our packets lost on the way, 0.0 to 1.0.
    pub loss_out: Option<f32>,
    /// The peer's clock minus ours in microseconds, and how wrong that may be.
    pub clock_offset: Option<(i64, u64)>,
    /// Queueing on the way to us.
    pub delay: DelayMeter,
    /// Trains of packets that measure it.
    pub probes: ProbeMeter,
}

impl LinkEstimate {
    /// A moment on the peer's clock as a moment on ours.
    pub fn local_instant(&self, theirs: WallTime) -> Option<Instant> {
        let offset = self.clock_offset.map_or(0, |(micros, _)| micros);
        WallTime::from_micros(theirs.as_micros().checked_add_signed(offset.checked_neg()?)?).to_instant()
    }
}
