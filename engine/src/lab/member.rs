//! One engine of a laboratory, and what stands in for the app, the door and the socket around it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use bevy_ecs::query::QueryState;

use super::case::Moment;
use crate::base::error::Result;
use crate::base::pipe::Wake;
use crate::base::time::{Duration, Instant, WallTime};
use crate::engine::Engine;
use crate::engine::decisions::Decisions;
use crate::engine::pace::Pace;
use crate::handle::{Command, Link, Notice, link};
use crate::layout::snapshot::{Party, Presented};
use crate::media::marker;
use crate::media::report::{ProcessReport, Report};
use crate::net::door::{Door, WireDoor, WireMessage};
use crate::net::impair::port::Held;
use crate::world::call::Signalling;
use crate::world::config::Config;
use crate::world::connection::LinkEstimate;
use crate::world::shared::{Arriving, MediaPort};
use crate::world::stats::Stats;
use crate::world::stream::{AudioStream, Frames, VideoJitterBuffer};

/// A clock that is not the laboratory's.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Skew {
    /// How far it is ahead at the beginning, microseconds; negative: behind.
    pub ahead: i64,
    /// How much faster it runs, parts per million; negative: slower.
    pub ppm: f64,
}

/// What is called around each tick of an engine: for tests of what a tick does to the machine.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    pub begin: fn(),
    pub end: fn(Ticked),
}

/// What a tick had to do.
#[derive(Clone, Copy, Debug)]
pub struct Ticked {
    /// A signalling message was taken or given.
    pub signalled: bool,
}

impl Default for Watch {
    fn default() -> Self {
        Self { begin: || {}, end: |_| {} }
    }
}

/// Between the laboratory's time and a member's own, which is all that its engine ever sees.
#[derive(Clone, Copy, Debug)]
struct OwnTime {
    start: Instant,
    own_start: Instant,
    rate: f64,
}

impl OwnTime {
    fn new(start: Instant, skew: Skew) -> Self {
        let by = Duration::from_micros(skew.ahead.unsigned_abs());
        let own_start = if skew.ahead < 0 { start.checked_sub(by) } else { start.checked_add(by) };
        Self { start, own_start: own_start.unwrap_or(start), rate: 1.0 + skew.ppm / 1e6 }
    }

    fn own(&self, at: Instant) -> Instant {
        self.own_start + at.saturating_duration_since(self.start).mul_f64(self.rate)
    }

    /// The laboratory's time of a moment of ours; never before it by rounding.
    fn of_lab(&self, own: Instant) -> Instant {
        let at = self.start + own.saturating_duration_since(self.own_start).div_f64(self.rate);
        if self.own(at) < own { at + Duration::from_nanos(2) } else { at }
    }
}

pub(super) struct Member {
    engine: Engine,
    time: OwnTime,
    link: Link,
    pace: Pace,
    next: Option<Instant>,
    arrived: bool,
    /// A signalling message has come since the last tick.
    called: bool,
    shown: u64,
    /// How late the screen is, and what is on its way to it.
    present: Duration,
    drawing: VecDeque<Presented>,
    pub(super) glass_ms: Vec<f32>,
    /// Concealed and all samples at the last look.
    looked: (u64, u64),
    audios: QueryState<&'static AudioStream>,
    links: QueryState<&'static LinkEstimate>,
    decisions: Decisions,
    pub(super) decided: u64,
    pub(super) ticks: u64,
    pub(super) report: Option<Report>,
}

impl Member {
    pub(super) fn new(
        config: Config,
        address: SocketAddr,
        lab: Instant,
        skew: Skew,
        present: Duration,
    ) -> Result<Self> {
        let time = OwnTime::new(lab, skew);
        let now = time.own(lab);
        let pace = Pace::new(now, config.cell);
        let (link, end) = link(Wake::none(), Arc::new(|| {}));
        let mut engine = Engine::new(config, Wake::none(), end, now)?;
        let world = engine.world_mut();
        let mut signalling = world.resource_mut::<Signalling>();
        let key = signalling.identity.device().public();
        signalling.door = Some(Door::Wire(WireDoor::new(address, key)));
        world.resource_mut::<MediaPort>().port = address.port();
        let decisions = Decisions::new(engine.world_mut(), now);
        let (audios, links) = (engine.world_mut().query(), engine.world_mut().query());
        Ok(Self {
            engine,
            time,
            present,
            drawing: VecDeque::new(),
            glass_ms: Vec::new(),
            looked: (0, 0),
            audios,
            links,
            link,
            pace,
            next: None,
            // The first tick runs at once.
            arrived: true,
            called: false,
            shown: 0,
            decisions,
            decided: 0,
            ticks: 0,
            report: None,
        })
    }

    pub(super) const fn engine_mut(&mut self) -> &mut Engine {
        &mut self.engine
    }

    pub(super) fn command(&mut self, command: Command) {
        // 256 may wait, and each tick takes them all.
        let _ = self.link.commands.try_send(command);
        self.arrived = true;
    }

    pub(super) fn want_keyframes(&mut self, at: Instant) {
        let at = self.time.own(at);
        let world = self.engine.world_mut();
        world.query::<&mut VideoJitterBuffer>().iter_mut(world).for_each(|mut jitter| jitter.0.require_keyframe(at));
        self.arrived = true;
    }

    /// One that never had a picture waits for none.
    pub(super) fn is_blocked(&mut self) -> bool {
        let world = self.engine.world_mut();
        let mut streams = world.query::<(&VideoJitterBuffer, &Frames)>();
        streams.iter(world).any(|(jitter, frames)| frames.frame > 0 && jitter.0.is_blocked())
    }

    pub(super) fn arrive(&mut self, held: &Held, at: Instant) {
        let at = self.time.own(at);
        self.engine.world_mut().resource_mut::<Arriving>().0.push(held.from, held.to, at, &held.bytes);
        self.arrived = true;
    }

    pub(super) fn take_message(&mut self, message: WireMessage) {
        if let Some(door) = self.door() {
            door.take(message);
        }
        (self.arrived, self.called) = (true, true);
    }

    pub(super) fn undeliverable(&mut self, message: WireMessage) {
        if let Some(door) = self.door() {
            door.undeliverable(message);
        }
        (self.arrived, self.called) = (true, true);
    }

    pub(super) fn poll_message(&mut self) -> Option<WireMessage> {
        self.door()?.poll_message()
    }

    /// What the last tick gave to the socket.
    pub(super) fn take_sent(&mut self) -> Vec<Held> {
        let mut port = self.engine.world_mut().resource_mut::<MediaPort>();
        let held = |(sending, bytes): (&crate::net::datagram::Sending, &[u8])| Held {
            from: sending.from,
            to: sending.to,
            class: sending.class,
            bytes: bytes.to_vec(),
        };
        let sent = port.sent.iter().map(held).collect();
        port.sent.clear();
        sent
    }

    /// When to do something about this member again.
    pub(super) fn next_due(&self, now: Instant) -> Option<Instant> {
        if self.arrived {
            return Some(now);
        }
        let drawn = self.drawing.front().map(|shown| shown.at);
        [self.next, drawn].into_iter().flatten().min().map(|own| self.time.of_lab(own))
    }

    /// Runs a tick if it is time for one. Whether it was.
    pub(super) fn turn(&mut self, at: Instant, watch: Watch) -> bool {
        let at = self.time.own(at);
        self.show_drawn(at);
        let arrived = std::mem::take(&mut self.arrived);
        let ran = self.pace.turn(at, arrived, false, self.next).is_some();
        if ran {
            (watch.begin)();
            self.engine.tick(at);
            let signalled = std::mem::take(&mut self.called) || self.door().is_some_and(|door| door.has_message());
            (watch.end)(Ticked { signalled });
            self.ticks += 1;
            self.decided = self.decisions.of_all(self.engine.world_mut(), self.decided);
            self.draw(at);
            self.show_drawn(at);
            self.read_notices();
        }
        self.next = self.pace.next(at, self.engine.due());
        ran
    }

    /// What this member's clock shows at `at`, microseconds since 1970.
    pub(super) fn wall_micros(&self, at: Instant) -> u64 {
        WallTime::of(self.time.own(at)).as_micros()
    }

    /// The call as it runs, for a curve over time.
    pub(super) fn look(&mut self, at: f64) -> Moment {
        let world = self.engine.world_mut();
        let counters = self.audios.iter(world).next().map(|stream| stream.jitter.counters());
        let recent = &world.resource::<Stats>().recent;
        let sound = [&recent.audio_network, &recent.audio_hold, &recent.audio_ring].map(|window| window.median());
        let mut moment = Moment {
            at,
            glass_ms: recent.glass_to_glass.median(),
            sound_ms: sound.into_iter().sum(),
            concealed: None,
            receiving_bps: recent.receiving_bps,
            clock: self.links.iter(world).find_map(|link| link.clock_offset),
        };
        if let Some(counters) = counters {
            let (concealed, total) = (counters.concealed_samples, counters.total_samples);
            let made = total.saturating_sub(self.looked.1);
            moment.concealed = (made > 0).then(|| concealed.saturating_sub(self.looked.0) as f64 / made as f64);
            self.looked = (concealed, total);
        }
        moment
    }

    pub(super) fn sound_ms(&self) -> Option<f64> {
        self.engine.world().resource::<Stats>().audio_delay.last()
    }

    /// The picture's own pixels are what is read.
    fn draw(&mut self, at: Instant) {
        let Some(snapshot) = self.link.view.take() else { return };
        for tile in snapshot.tiles.iter().filter(|tile| tile.party == Party::Remote) {
            let Some(picture) = tile.picture.as_ref().filter(|_| tile.frame != self.shown) else { continue };
            self.shown = tile.frame;
            let marker = marker::read(&picture.y, picture.width as usize, picture.width, picture.height);
            let shown = Presented { tile: tile.id, frame: tile.frame, at: at + self.present, marker, refresh: None };
            self.drawing.push_back(shown);
        }
    }

    fn show_drawn(&mut self, now: Instant) {
        while let Some(shown) = self.drawing.pop_front_if(|shown| shown.at <= now) {
            if let Some(marker) = shown.marker {
                self.glass_ms.push(WallTime::of(shown.at).micros_since(marker.drawn) as f32 / 1e3);
            }
            // Taken by the next tick, long before the pipe is full.
            let _ = self.link.presented.try_send(shown);
            self.arrived = true;
        }
    }

    fn read_notices(&mut self) {
        while let Some(notice) = self.link.notices.try_recv() {
            if let Notice::Ended { report, .. } = notice {
                self.report = Some(Report { process: ProcessReport::default(), ..*report });
            }
        }
    }

    fn door(&mut self) -> Option<&mut WireDoor> {
        match &mut self.engine.world_mut().resource_mut::<Signalling>().into_inner().door {
            Some(Door::Wire(door)) => Some(door),
            _ => None,
        }
    }
}
