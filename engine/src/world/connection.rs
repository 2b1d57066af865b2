//! One media path to one device of a peer.

use std::net::SocketAddr;

use bevy_ecs::component::Component;
use bevy_ecs::entity::Entity;

use crate::base::rate::Bitrate;
use crate::base::time::{Duration, Instant, WallTime};
use crate::media::rate::DelayMeter;
use crate::net::transport::{Drained, Transport};

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
}

/// Whether the path works.
#[derive(Component, Clone, Debug, Default)]
pub struct Path {
    pub connected: bool,
    /// When the last datagram of the peer was taken.
    pub heard: Option<Instant>,
    pub local: Option<SocketAddr>,
    pub remote: Option<SocketAddr>,
    /// The transport is over: the peer closed it (empty), or a fault did (its text).
    pub closed: Option<String>,
    /// How often the path changed after the first one.
    pub changes: u32,
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
}

impl LinkEstimate {
    /// A moment on the peer's clock as a moment on ours.
    pub fn local_instant(&self, theirs: WallTime) -> Option<Instant> {
        let offset = self.clock_offset.map_or(0, |(micros, _)| micros);
        WallTime::from_micros(theirs.as_micros().checked_add_signed(offset.checked_neg()?)?).to_instant()
    }
}
