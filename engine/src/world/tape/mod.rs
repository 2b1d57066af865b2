//! The tape: what comes from outside into a tick. A recorded call notes it; a replayed one takes it from there instead, so
//! that nothing outside (transport, codecs, devices, the window) is needed and every decision comes out the same.
//!
//! Systems ask the outside through [`Tape::take`]. Each thing is noted under who it is for and its kind, in the order it
//! was taken in: systems that do not depend on each other may so run in another order when the call is replayed.

mod event;
pub mod note;

use std::sync::{Mutex, PoisonError};

use bevy_ecs::entity::Entity;
use bevy_ecs::resource::Resource;

use crate::base::axis::Axis;
use crate::base::error::{Error, Kind, Result};
use crate::base::time::{Duration, Instant};
use crate::net::transport::Drained;
use crate::store::recording::{Piece, RecordingWriter};
use note::{Brought, Entry, FromOutside, Head, Note, Situation, TickNote};

/// Whether this engine's call is recorded or replayed.
#[derive(Debug, Default, Resource)]
pub struct Tape(Mode);

#[derive(Debug, Default)]
enum Mode {
    #[default]
    Off,
    // Behind locks that nobody contends for: one thread runs all systems, and none needs the tape for itself.
    Recording(Box<Mutex<Recording>>),
    Replaying(Mutex<Replaying>),
}

/// A call being recorded.
#[derive(Debug)]
struct Recording {
    writer: RecordingWriter,
    head: Head,
    axis: Axis,
    /// Whose things are noted, by their number.
    owners: Vec<Entity>,
    number: u64,
    entries: Vec<Entry>,
    situation: Option<Situation>,
    state: State,
    /// Encoded ticks not yet handed to the writer, and since when.
    body: Vec<u8>,
    since: Instant,
}

/// How far a recording is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There is no call yet.
    Waiting,
    Running,
    /// The recorded call is over with this tick.
    Ending,
    Over,
}

/// A call being replayed.
#[derive(Debug)]
struct Replaying {
    axis: Axis,
    owners: Vec<Entity>,
    entries: Vec<Option<Entry>>,
    situation: Option<Situation>,
    whole: bool,
}

/// A piece is handed to the disk so often: what a crash costs.
const PIECE: Duration = Duration::from_millis(500);
/// Before a piece is half as long as a reader takes.
const LONG: usize = 4 << 20;
/// Who owns what belongs to no entity: the loudspeaker, the window.
pub const NOBODY: Entity = Entity::PLACEHOLDER;
const NOBODY_NUMBER: u8 = u8::MAX;

impl Tape {
    /// Records the next call to `writer`. Moments are counted from `now`.
    pub fn recording(writer: RecordingWriter, head: Head, now: Instant) -> Self {
        Self(Mode::Recording(Box::new(Mutex::new(Recording {
            writer,
            head,
            axis: Axis::new(now),
            owners: Vec::new(),
            number: 0,
            entries: Vec::new(),
            situation: None,
            state: State::Waiting,
            body: Vec::new(),
            since: now,
        }))))
    }

    /// Replays what [`Tape::load`] brings. `whole`: nothing outside is asked; otherwise only what came over the path is
    /// replayed, and codecs and devices are asked as in a call.
    pub const fn replaying(axis: Axis, whole: bool) -> Self {
        let replaying = Replaying { axis, owners: Vec::new(), entries: Vec::new(), situation: None, whole };
        Self(Mode::Replaying(Mutex::new(replaying)))
    }

    /// Whose things will be noted or replayed. Everybody in the same order when recorded and when replayed.
    pub fn enrol(&self, owners: &[Entity]) {
        match &self.0 {
            Mode::Off => {}
            Mode::Recording(recording) => {
                let mut recording = lock(recording);
                if recording.state == State::Waiting {
                    recording.owners.extend_from_slice(owners);
                }
            }
            Mode::Replaying(replaying) => lock(replaying).owners.extend_from_slice(owners),
        }
    }

    /// Takes the next thing of its kind that the outside has for `owner`: asks by `real`, and notes what came; or replays
    /// it and asks nobody.
    pub fn take<T: FromOutside>(&self, owner: Entity, real: impl FnOnce() -> Option<T>) -> Option<T> {
        match &self.0 {
            Mode::Off => real(),
            Mode::Recording(recording) => {
                let taken = real()?;
                lock(recording).note(owner, |axis| taken.note(axis));
                Some(taken)
            }
            Mode::Replaying(replaying) => {
                let mut replaying = lock(replaying);
                if replaying.whole {
                    return replaying.take(owner, T::replay);
                }
                drop(replaying);
                real()
            }
        }
    }

    /// The same of what follows from packets alone, which is replayed also where codecs and devices are asked.
    pub fn take_of_path<T: FromOutside>(&self, owner: Entity, real: impl FnOnce() -> Option<T>) -> Option<T> {
        match &self.0 {
            Mode::Replaying(replaying) => lock(replaying).take(owner, T::replay),
            _ => self.take(owner, real),
        }
    }

    /// What the transport brought for `owner`: `heard` is when it last heard of the other side, `before` what that was at
    /// the tick's beginning.
    pub fn pass(&self, owner: Entity, drained: &mut Drained, heard: &mut Option<Instant>, before: Option<Instant>) {
        match &self.0 {
            Mode::Off => {}
            Mode::Recording(recording) => {
                let news = heard.filter(|at| Some(*at) != before);
                if news.is_some() || !drained.packets.is_empty() || !drained.events.is_empty() {
                    lock(recording).note(owner, |axis| note::path_note(drained, news, axis));
                }
            }
            Mode::Replaying(replaying) => {
                let Some(brought) = lock(replaying).take(owner, Brought::replay) else { return };
                (drained.packets, drained.events) = (brought.packets, brought.events);
                *heard = brought.heard.or(*heard);
            }
        }
    }

    /// Hands something to the outside; in a whole replay there is none.
    pub fn give(&self, give: impl FnOnce()) {
        if !matches!(&self.0, Mode::Replaying(replaying) if lock(replaying).whole) {
            give();
        }
    }

    /// Notes how things stand with the call of `connection` and its devices; `None` when it is gone.
    pub fn note_situation(&self, situation: Option<Situation>) {
        let Mode::Recording(recording) = &self.0 else { return };
        lock(recording).stands(situation);
    }

    /// How things stand in the tick that is replayed.
    pub fn situation(&self) -> Option<Situation> {
        match &self.0 {
            Mode::Replaying(replaying) => lock(replaying).situation,
            _ => None,
        }
    }

    /// The connection whose call is recorded: the first that was enrolled.
    pub fn recorded(&self) -> Option<Entity> {
        match &self.0 {
            Mode::Recording(recording) => lock(recording).owners.first().copied(),
            _ => None,
        }
    }

    /// Where moments are counted from, while a call is recorded.
    pub fn running(&self) -> Option<Axis> {
        let Mode::Recording(recording) = &self.0 else { return None };
        let recording = lock(recording);
        matches!(recording.state, State::Running | State::Ending).then_some(recording.axis)
    }

    /// The tick at `now` is over and decided `decisions`.
    ///
    /// # Errors
    /// The recording stops here, with a line for the person; the call goes on.
    pub fn finish_tick(&self, now: Instant, decisions: u64) -> Result<()> {
        let Mode::Recording(recording) = &self.0 else { return Ok(()) };
        lock(recording).finish_tick(now, decisions)
    }

    pub const fn is_recording(&self) -> bool {
        matches!(self.0, Mode::Recording(_))
    }

    /// Replays `tick` next; returns its time.
    pub fn load(&self, tick: TickNote) -> Option<Instant> {
        let Mode::Replaying(replaying) = &self.0 else { return None };
        let mut replaying = lock(replaying);
        replaying.entries.clear();
        for entry in tick.entries {
            match entry.note {
                Note::Situation(situation) => replaying.situation = situation,
                _ => replaying.entries.push(Some(entry)),
            }
        }
        Some(replaying.axis.instant(tick.now))
    }

    /// How many things of the replayed tick nobody has asked for: none, in a replay that decides the same.
    pub fn left_over(&self) -> usize {
        match &self.0 {
            Mode::Replaying(replaying) => lock(replaying).entries.iter().flatten().count(),
            _ => 0,
        }
    }
}

impl Recording {
    fn note(&mut self, owner: Entity, note: impl FnOnce(&Axis) -> Note) {
        if let Some(of) = number(&self.owners, owner).filter(|_| self.state != State::Over) {
            let note = note(&self.axis);
            self.entries.push(Entry { of, note });
        }
    }

    fn stands(&mut self, situation: Option<Situation>) {
        match (self.state, situation) {
            (State::Waiting, Some(_)) => self.state = State::Running,
            (State::Running, None) => self.state = State::Ending,
            (State::Running, Some(_)) => {}
            _ => return,
        }
        if self.situation != situation {
            self.situation = situation;
            self.entries.push(Entry { of: NOBODY_NUMBER, note: Note::Situation(situation) });
        }
    }

    fn finish_tick(&mut self, now: Instant, decisions: u64) -> Result<()> {
        if !matches!(self.state, State::Running | State::Ending) {
            // Before a call there is nothing to replay; behind it the disk may still say no, once.
            self.entries.clear();
            self.since = now;
            return if self.state == State::Over { self.writer.take_failure().map_or(Ok(()), Err) } else { Ok(()) };
        }
        let entries = std::mem::take(&mut self.entries);
        let begun = if self.number == 0 { self.begin() } else { Ok(()) };
        let tick = TickNote { number: self.number, now: self.axis.nanos(now), entries, decisions };
        self.number += 1;
        let noted = begun.and_then(|()| encode(&tick, std::mem::take(&mut self.body))).map(|body| self.body = body);
        self.entries = tick.entries;
        self.entries.clear();
        let is_due = now.saturating_duration_since(self.since) >= PIECE || self.body.len() > LONG;
        let handed = match noted {
            Ok(()) if self.state == State::Ending => return self.end(),
            Ok(()) if is_due => {
                self.since = now;
                self.writer.put(Piece::Ticks, std::mem::take(&mut self.body)).map(|body| self.body = body)
            }
            other => other,
        };
        if handed.is_err() {
            // It is said by what is returned.
            self.writer.take_failure();
            self.writer.close();
            self.state = State::Over;
        }
        handed
    }

    fn begin(&mut self) -> Result<()> {
        self.body = self.writer.put(Piece::Head, encode(&self.head, Vec::new())?)?;
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        self.state = State::Over;
        let ticks = self.writer.put(Piece::Ticks, std::mem::take(&mut self.body)).map(drop);
        self.writer.close();
        ticks
    }
}

impl Drop for Recording {
    /// The program ends in the middle of a call: what was noted goes to the disk.
    fn drop(&mut self) {
        if self.state == State::Running {
            // There is nobody left to tell.
            let _ = self.end();
        }
    }
}

impl Replaying {
    /// The next of `owner`'s entries that `read` can read.
    fn take<T>(&mut self, owner: Entity, read: impl Fn(&Note, &Axis) -> Option<T>) -> Option<T> {
        let of = number(&self.owners, owner)?;
        let Self { entries, axis, .. } = self;
        entries.iter_mut().find_map(|slot| {
            let taken = slot.as_ref().filter(|entry| entry.of == of).and_then(|entry| read(&entry.note, axis))?;
            *slot = None;
            Some(taken)
        })
    }
}

fn number(owners: &[Entity], owner: Entity) -> Option<u8> {
    if owner == NOBODY {
        return Some(NOBODY_NUMBER);
    }
    let place = owners.iter().position(|other| *other == owner)?;
    u8::try_from(place).ok().filter(|number| *number != NOBODY_NUMBER)
}

/// Appends `value` to `body`.
///
/// # Errors
/// `Reopen`: it has a form that cannot be written, which no value of ours has.
pub fn encode(value: &impl serde::Serialize, body: Vec<u8>) -> Result<Vec<u8>> {
    postcard::to_extend(value, body)
        .map_err(|error| Error::new(Kind::Reopen, format!("the recording stopped, the call goes on: {error}")))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
