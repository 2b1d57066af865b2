//! A call: what outlives its connections.

use std::collections::HashMap;
use std::net::SocketAddr;

use bevy_ecs::component::Component;
use bevy_ecs::entity::Entity;
use bevy_ecs::resource::Resource;

use crate::base::id::CallId;
use crate::base::time::Instant;
use crate::net::control::LinkId;
use crate::net::door::Door;
use crate::net::transport::Transport;
use crate::proto::dedup::Dedup;
use crate::proto::keys::PublicKey;
use crate::proto::signal::body::{Mute, SOURCES};
use crate::proto::signal::clock::ClockOffset;
use crate::proto::signal::machine::CallMachine;
use crate::proto::signal::media::Agreed;
use crate::store::identity::Identity;
use crate::store::known::KnownPeers;

/// One call and its route.
#[derive(Component)]
pub struct CallState {
    pub machine: CallMachine,
    /// What the peer is addressed as, to remember its key under: `host:base` for a call we make.
    pub address: String,
    /// The control connection that carries its envelopes.
    pub link: Option<LinkId>,
    /// Counts the envelopes we send in this call.
    pub counter: u64,
    /// The media path, made before the OFFER or ANSWER because its keys stand in it, unused until the accept.
    pub transport: Option<Box<Transport>>,
    pub connection: Option<Entity>,
    /// What both sides can do, once both have accepted.
    pub agreed: Agreed,
    pub clock: ClockOffset,
    pub ping_at: Option<Instant>,
    pub account: Option<PublicKey>,
    /// What the peer calls itself, once it has answered a call of ours.
    pub own_name: Option<String>,
    pub times: Times,
    /// When the media path was last heard of, for the machine's sake.
    pub lost: bool,
    pub mute: Mute,
    /// What the other side was told last about how its pictures are looked at, over which link and when.
    pub told: Option<(LinkId, Instant, [Option<(u16, u16)>; SOURCES])>,
}

impl CallState {
    /// What the peer is shown as: by its own name where it has said one.
    pub fn peer_name(&self) -> String {
        self.own_name.clone().unwrap_or_else(|| self.machine.name().to_string())
    }
}

/// The moments a call's setup is judged by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    pub accepted: Option<Instant>,
    pub connected: Option<Instant>,
    pub first_audio: Option<Instant>,
    pub first_video: Option<Instant>,
    pub ended: Option<Instant>,
}

/// Who we are, whom we know, and the door that calls come through.
#[derive(Resource)]
pub struct Signalling {
    pub door: Option<Door>,
    pub identity: Identity,
    pub known: KnownPeers,
    /// Open links: the address and the device key at the other end.
    pub links: HashMap<LinkId, (SocketAddr, PublicKey)>,
    pub dedup: Dedup,
    /// The call that the window and the devices belong to.
    pub current: Option<(CallId, Entity)>,
}
