//! Resources: what there is one of.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bevy_ecs::entity::Entity;
use bevy_ecs::resource::Resource;
use bevy_platform::cell::SyncCell;

use crate::base::id::TileId;
use crate::base::pipe::{Latest, PipeReceiver, PipeSender, Wake};
use crate::base::stereo::Stereo;
use crate::base::time::Instant;
use crate::codec::pool::Pool;
use crate::device::{Echo, Loudspeaker, Microphone, Tone};
use crate::layout::snapshot::{Controls, Phase, Presented, ViewSnapshot};
use crate::media::chirp::ChirpFinder;
use crate::media::mix::Limiter;
use crate::net::datagram::{Inbox, Outbox};
use crate::net::lan::Neighbours;
use crate::net::paths::Paths;
use crate::net::udp::UdpPort;
use crate::people::view::View;
use crate::source::file::recorder::Recorder;
use crate::world::config::Config;
use crate::world::message::{Command, Notice};

/// This tick's time: the latest of the clock at its start, the newest arrival, and the tick before.
#[derive(Resource, Clone, Copy, Debug)]
pub struct Now(pub Instant);

/// When something is due next, gathered anew in each tick's last stage.
#[derive(Resource, Clone, Copy, Debug, Default)]
pub struct Due(pub Option<Instant>);

impl Due {
    pub fn at(&mut self, at: Instant) {
        self.0 = Some(self.0.map_or(at, |due| due.min(at)));
    }
}

/// Datagrams that arrived since the last tick.
#[derive(Resource, Debug, Default)]
pub struct Arriving(pub Inbox);

/// From address to connection.
#[derive(Resource, Debug, Default)]
pub struct Demux {
    /// Over UDP, or over TCP.
    pub known: HashMap<(SocketAddr, bool), Entity>,
    /// Datagrams that no connection takes: noise, attacks, and the last packets of a call that is over.
    pub foreign: u64,
    /// STUN from unknown addresses asked about in the current second; the rest is dropped unasked.
    pub asked: u32,
    pub asked_since: Option<Instant>,
}

impl Demux {
    /// A known peer needs one answer; a flood of unknown STUN must not cost a call its time.
    pub const ASKS_PER_SECOND: u32 = 200;
    /// A connection shows itself under a handful of addresses.
    pub const BOUND: usize = 256;
}

/// Where shown remote pictures are written, if anywhere.
#[derive(Resource, Debug, Default)]
pub struct Recording(pub Option<Recorder>);

/// The media port. `None` in virtual time: then the datagrams stay in `sent` for the one who drives.
#[derive(Resource, Default)]
pub struct MediaPort {
    pub udp: Option<UdpPort>,
    pub port: u16,
    pub sent: Outbox,
    /// Relays and TCP connections beside it.
    pub paths: Option<Box<Paths>>,
    /// What is left for the port itself of a connection's datagrams.
    pub direct: Outbox,
}

#[derive(Resource, Clone, Debug)]
pub struct Settings(pub Config);

/// Wakes the engine's poll; handed to every worker.
#[derive(Resource, Clone, Debug)]
pub struct EngineWake(pub Wake);

/// The threads that decode pictures.
#[derive(Resource, Debug)]
pub struct Decoding(pub Pool);

/// The loudspeaker and the mix on its way there.
#[derive(Resource, Default)]
pub struct Sound {
    pub speaker: Option<SyncCell<Loudspeaker>>,
    pub mix: Vec<Stereo>,
    pub voice: Vec<Stereo>,
    /// The middle of the mix.
    pub middle: Vec<f32>,
    pub limiter: Limiter,
    pub chirps: Option<ChirpFinder>,
    /// Times the ring ran dry.
    pub underruns: Option<u64>,
    pub check: Check,
}

/// What the device panel listens to and plays.
#[derive(Default)]
pub struct Check {
    /// Open outside of a call, for the panel alone.
    pub microphone: Option<SyncCell<Microphone>>,
    pub tone: Option<Tone>,
    pub echo: Option<Echo>,
}

impl Check {
    /// Adds the tone and the echo, where there are any.
    pub fn mix_into(&mut self, mix: &mut [Stereo]) {
        if self.tone.as_mut().is_some_and(|tone| !tone.mix_into(mix)) {
            self.tone = None;
        }
        if let Some(echo) = &mut self.echo {
            echo.mix_into(mix);
        }
    }
}

/// Called after each new description of the picture and each notice.
pub type Redraw = Arc<dyn Fn() + Send + Sync>;

/// The engine's end of the app's channels, and how to tell the app that there is something new to draw.
#[derive(Resource)]
pub struct AppEnd {
    pub view: Arc<Latest<Arc<ViewSnapshot>>>,
    pub commands: PipeReceiver<Command>,
    /// When full the notice is dropped and counted: the snapshot says the same a moment later.
    pub notices: PipeSender<Notice>,
    pub presented: PipeReceiver<Presented>,
    /// The newest of the service's people.
    pub people: Arc<Latest<Arc<View>>>,
    pub neighbours: Arc<Latest<Neighbours>>,
    pub redraw: Redraw,
}

/// What the window shows beside the tiles. `changes` counts up whenever any of it changes.
#[derive(Resource, Clone, Debug, Default)]
pub struct Showing {
    pub phase: Phase,
    pub peer: String,
    pub own_name: String,
    pub controls: Controls,
    pub in_call_since: Option<Instant>,
    pub changes: u64,
}

/// The tile that shows ourselves; remote ones count up from the next.
pub const LOCAL_TILE: TileId = TileId(0);

/// The tile of the other side's first source of pictures.
pub const FIRST_TILE: TileId = TileId(1);

/// Set from outside to end the engine's loop.
#[derive(Resource, Clone, Debug, Default)]
pub struct Quit(pub Arc<AtomicBool>);
