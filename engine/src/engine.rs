//! The engine: one world, one schedule, one thread. `tick` moves it by an argument; `run` moves it by the clock.

pub mod decisions;
pub mod pace;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use bevy_ecs::schedule::Schedule;
use bevy_ecs::world::World;
use mio::{Events, Poll, Token};

use crate::base::error::{Error, Kind, Result};
use crate::base::pipe::Wake;
use crate::base::thread;
use crate::base::time::{self, CELL, Duration, Instant};
use crate::codec::pool::Pool;
use crate::codec::worker::Work;
use crate::handle::{Link, Redraw, link};
use crate::media::chirp::ChirpFinder;
use crate::media::sound;
use crate::net::control::{ControlDoor, DoorLimits, TokenRange};
use crate::net::datagram::Inbox;
use crate::net::door::Door;
use crate::net::paths::Paths;
use crate::net::timer::Timer;
use crate::net::tls::TlsIdentity;
use crate::net::transport::plain;
use crate::net::udp::UdpPort;
use crate::roles::client;
use crate::source::file::recorder::Recorder;
use crate::store::identity::Identity;
use crate::store::known::KnownPeers;
use crate::store::recording::RecordingWriter;
use crate::systems;
use crate::world::call::Signalling;
use crate::world::config::Config;
use crate::world::message::Notice;
use crate::world::shared::{
    AppEnd, Arriving, Decoding, Demux, Due, EngineWake, MediaPort, Now, Quit, Recording, Settings, Showing, Sound,
};
use crate::world::stats::Stats;
use crate::world::tape::Tape;
use crate::world::tape::note::Head;

use decisions::Decisions;
use pace::{Pace, Turn};

const UDP: Token = Token(0);
const WAKER: Token = Token(1);
const TIMER: Token = Token(2);
/// The door's tokens begin here: two listeners and 32 links.
const DOOR: TokenRange = TokenRange { first: 16, count: 34 };
/// Listeners, relays and connections that carry media.
const PATHS: TokenRange = TokenRange { first: 64, count: 27 };

#[cfg(test)]
mod tests;

/// One engine.
pub struct Engine {
    world: World,
    schedule: Schedule,
    /// What was decided in the ticks of a call that is recorded.
    decisions: Option<Decisions>,
    decided: u64,
}

/// An engine on its own thread. Dropping it ends and joins the thread.
pub struct Running {
    link: Option<Link>,
    quit: Arc<AtomicBool>,
    wake: Wake,
    thread: Option<JoinHandle<()>>,
    base_port: u16,
    media_port: u16,
}

impl Engine {
    /// An engine without sockets, for virtual time: datagrams and the clock are the caller's.
    ///
    /// # Errors
    /// The identity's files, with a line for the person.
    pub fn new(config: Config, wake: Wake, app: AppEnd, now: Instant) -> Result<Self> {
        let identity = Identity::load_or_create(&config.data, &config.name)?;
        let known = KnownPeers::load(&config.data)?;
        let tape = record(&config, wake.clone(), now)?;
        let mut engine = Self::without_client(config, tape, wake, app, now)?;
        let world = &mut engine.world;
        world.resource_mut::<Showing>().own_name = identity.name().to_string();
        world.insert_resource(Signalling {
            door: None,
            identity,
            known,
            links: Default::default(),
            dedup: Default::default(),
            current: None,
        });
        client::install(world, &mut engine.schedule);
        Ok(engine)
    }

    /// An engine that nobody calls and that calls nobody: connections are made by whoever drives it.
    ///
    /// # Errors
    /// A file to record pictures to cannot be made.
    pub fn without_client(config: Config, tape: Tape, wake: Wake, app: AppEnd, now: Instant) -> Result<Self> {
        let mut world = World::new();
        world.insert_resource(tape);
        world.insert_resource(Now(now));
        world.insert_resource(Due(None));
        world.insert_resource(Arriving::default());
        world.insert_resource(Demux::default());
        world.insert_resource(MediaPort { port: config.base_port, ..Default::default() });
        world.insert_resource(EngineWake(wake));
        world.insert_resource(Decoding(Pool::new("video-decoder")));
        world.insert_resource(Sound { chirps: config.find_chirps.then(ChirpFinder::new), ..Default::default() });
        world.insert_resource(Stats::default());
        world.insert_resource(Showing::default());
        world.insert_resource(Quit::default());
        let recorder = config.record_video.as_deref().map(|path| Recorder::create(path, RECORDED_RATE)).transpose()?;
        world.insert_resource(Recording(recorder));
        world.insert_resource(app);
        world.insert_resource(Settings(config));
        Ok(Self { world, schedule: systems::schedule(), decisions: None, decided: 0 })
    }

    /// Opens the media port and the door, starts the engine's thread, and returns the app's end.
    ///
    /// # Errors
    /// A port that is taken (with the next free offer), an identity that cannot be read: a line for the person.
    pub fn spawn(config: Config, redraw: Redraw) -> Result<Running> {
        let failed =
            |error: std::io::Error| Error::new(Kind::Reopen, format!("the system gives no event loop: {error}"));
        let poll = Poll::new().map_err(failed)?;
        let wake = Wake::new(mio::Waker::new(poll.registry(), WAKER).map_err(failed)?);
        let (link, end) = link(wake.clone(), redraw);
        let (base, name) = (config.base_port, config.name.clone());
        let (impair, seed) = (config.impair, config.seed);
        let mut engine = Self::new(config, wake.clone(), end, time::now())?;
        let quit = engine.world.resource::<Quit>().0.clone();
        let signer = engine.world.resource::<Signalling>().identity.device();
        let tls = TlsIdentity::new(signer)?;
        let mut door = ControlDoor::bind(base, poll.registry(), DOOR, tls, DoorLimits::default())?;
        if client::people::appears_offline(&engine.world) {
            door.listen(false)?;
        }
        let mut udp = UdpPort::open(base)?;
        if let Some(impairment) = impair {
            udp.impair(impairment, seed);
        }
        udp.register(poll.registry(), UDP).map_err(failed)?;
        let timer = Timer::new(poll.registry(), TIMER).map_err(failed)?;
        let (base_port, media_port) = (door.port(), udp.port());
        // A base port of 0 lets the system choose all of them.
        let beside = if base == 0 { 0 } else { base + 1 };
        let paths = Some(Box::new(Paths::new(poll.registry(), PATHS, media_port, beside)?));
        engine.world.insert_resource(MediaPort { udp: Some(udp), port: media_port, paths, ..Default::default() });
        engine.world.resource_mut::<Signalling>().door = Some(Door::Tcp(Box::new(door)));
        let notices = &engine.world.resource::<AppEnd>().notices;
        let _ = notices.try_send(Notice::Listening { base_port });
        let thread = std::thread::Builder::new()
            .name(format!("engine {name}").chars().take(15).collect())
            .spawn(move || engine.run(poll, timer))
            .map_err(failed)?;
        Ok(Running { link: Some(link), quit, wake, thread: Some(thread), base_port, media_port })
    }

    /// Runs one tick at `now`, or at the newest arrival where that is later. Time never goes back.
    pub fn tick(&mut self, now: Instant) {
        let newest = self.world.resource::<Arriving>().0.newest();
        let last = self.world.resource::<Now>().0;
        self.world.resource_mut::<Now>().0 = now.max(last).max(newest.unwrap_or(now));
        self.schedule.run(&mut self.world);
        self.world.clear_trackers();
        if self.world.resource::<Tape>().is_recording() {
            self.note_tick();
        }
    }

    /// Ends the tick in the recording.
    fn note_tick(&mut self) {
        let world = &mut self.world;
        if let Some(axis) = world.resource::<Tape>().running() {
            let decisions = self.decisions.get_or_insert_with(|| Decisions::new(world, axis.start()));
            self.decided = decisions.of_media(world, self.decided);
        }
        let noted = world.resource::<Tape>().finish_tick(world.resource::<Now>().0, self.decided);
        if let Err(error) = noted {
            let app = world.resource::<AppEnd>();
            let _ = app.notices.try_send(Notice::Error(error.text.to_string()));
            (app.redraw)();
        }
    }

    /// When the next tick is due; `None` when nothing waits.
    pub fn due(&self) -> Option<Instant> {
        self.world.resource::<Due>().0
    }

    /// The time of the last tick.
    pub fn now(&self) -> Instant {
        self.world.resource::<Now>().0
    }

    pub const fn world(&self) -> &World {
        &self.world
    }

    pub const fn world_mut(&mut self) -> &mut World {
        &mut self.world
    }

    pub const fn schedule_mut(&mut self) -> &mut Schedule {
        &mut self.schedule
    }

    /// The loop on the clock: [`Pace`] says when a tick runs.
    fn run(mut self, mut poll: Poll, mut timer: Timer) {
        thread::sharpen_timers();
        self.world.resource_mut::<Stats>().priority = thread::raise_priority();
        let start = time::now();
        let mut events = Events::with_capacity(256);
        let mut pace = Pace::new(start, self.world.resource::<Settings>().0.cell);
        self.tick(start);
        while !self.world.resource::<Quit>().0.load(Ordering::Relaxed) {
            let next = pace.next(time::now(), self.due());
            timer.arm(next);
            if let Err(error) = poll.poll(&mut events, timer.poll_timeout())
                && error.kind() != std::io::ErrorKind::Interrupted
            {
                break;
            }
            let woken = time::now();
            let mut arrived = false;
            for event in &events {
                match event.token() {
                    TIMER => timer.fired(),
                    UDP | WAKER => arrived = true,
                    token if PATHS.owns(token) => {
                        arrived = true;
                        self.take_from_paths(|paths, inbox| paths.handle_ready(event, inbox, woken));
                    }
                    _ => {
                        arrived = true;
                        if let Some(door) = &mut self.world.resource_mut::<Signalling>().door {
                            door.handle_ready(event, woken);
                        }
                    }
                }
            }
            let more = self.receive();
            match pace.turn(woken, arrived, more, next) {
                Some(Turn::Arrival) => self.measured_tick(woken, None),
                Some(Turn::Deadline) => self.measured_tick(woken, next),
                None => {}
            }
        }
        client::shut_down(&mut self.world);
    }

    /// Takes what the socket has. True when there may be more.
    fn receive(&mut self) -> bool {
        // Taken out and put back, as both resources are needed at once: a resource scope moves its resource from table to
        // table and back, which costs more than an idle tick and allocates now and then.
        let Some(mut udp) = self.world.resource_mut::<MediaPort>().udp.take() else { return false };
        let more = udp.receive(&mut self.world.resource_mut::<Arriving>().0);
        self.world.resource_mut::<MediaPort>().udp = Some(udp);
        self.take_from_paths(|paths, inbox| paths.sort(inbox, time::now()));
        more
    }

    fn take_from_paths(&mut self, work: impl FnOnce(&mut Paths, &mut Inbox)) {
        // As above.
        let Some(mut paths) = self.world.resource_mut::<MediaPort>().paths.take() else { return };
        work(&mut paths, &mut self.world.resource_mut::<Arriving>().0);
        self.world.resource_mut::<MediaPort>().paths = Some(paths);
    }

    fn measured_tick(&mut self, now: Instant, due: Option<Instant>) {
        self.world.resource::<EngineWake>().0.heard();
        self.tick(now);
        let work = time::now().saturating_duration_since(now);
        let mut stats = self.world.resource_mut::<Stats>();
        stats.work_us.push(work.as_secs_f64() * 1e6);
        if let Some(due) = due {
            let late = now.saturating_duration_since(due);
            stats.late_us.push(late.as_secs_f64() * 1e6);
            if late > OVERRUN {
                stats.overruns += 1;
            }
        }
    }
}

/// The tape that the settings ask for.
fn record(config: &Config, wake: Wake, now: Instant) -> Result<Tape> {
    let Some(path) = &config.record else { return Ok(Tape::default()) };
    let head = Head {
        program: env!("CARGO_PKG_VERSION").to_owned(),
        audio_frame: config.audio_frame.map(|length| length.duration().as_micros() as u32),
        audio_rate: config.audio_rate.as_bps(),
        audio_most: config.audio_most.as_bps(),
        music_most: config.music_most.as_bps(),
        most: config.most.as_bps(),
        around: if config.plain { plain::AROUND } else { sound::plan::AROUND },
        policy: config.policy,
    };
    let mut writer = RecordingWriter::create(path, config.record_limit, wake)?;
    if matches!(config.work, Work::Inline { .. }) {
        writer.wait_for_disk();
    }
    Ok(Tape::recording(writer, head, now))
}

/// What a recording says of itself: pictures come as often as the peer's camera, 30 a second.
const RECORDED_RATE: u32 = 30;

/// A tick later than two cells was held up by something: the system, or a tick before it.
const OVERRUN: Duration = Duration::from_micros(2 * CELL.as_micros() as u64);

impl Running {
    /// The app's end of the channels; `None` once it was taken by [`Running::take_link`].
    pub const fn link(&self) -> Option<&Link> {
        self.link.as_ref()
    }

    /// Gives the app's end away, to a window. Dropping `self` later still ends the engine.
    pub fn take_link(&mut self) -> Option<Link> {
        self.link.take()
    }

    pub const fn base_port(&self) -> u16 {
        self.base_port
    }

    pub const fn media_port(&self) -> u16 {
        self.media_port
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.quit.store(true, Ordering::Relaxed);
        self.wake.wake();
        if let Some(thread) = self.thread.take() {
            // A panic in there has been reported by the hook; the engine is gone either way.
            let _ = thread.join();
        }
    }
}
