//! Whole engines in virtual time: driven by an argument instead of a clock, joined by seeded paths. The same seed gives
//! the same calls; ten minutes pass in seconds.
//!
//! The engines are those that people run, signalling included. What is another is outside of them: doors are carried
//! envelopes ([`crate::net::door::WireDoor`]), sockets are [`ImpairedPath`]s, codecs and sources work inline, and each
//! picture is presented as soon as it is published. Over the plain transport with the size-model codec a run is the same to
//! the bit (sound is coded by Opus, which may round otherwise on another kind of processor); over WebRTC it is as far as
//! that library's own random numbers let it.

pub mod case;
mod member;

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use str0m_netem::WithLen;

use crate::base::error::Result;
use crate::base::time::{Duration, Instant, WallTime, now};
use crate::engine::Engine;
use crate::handle::Command;
use crate::media::report::Report;
use crate::net::datagram::Class;
use crate::net::door::WireMessage;
use crate::net::impair::Impairment;
use crate::net::impair::path::ImpairedPath;
use crate::net::impair::port::Held;
use crate::net::transport::plain;
use crate::world::config::Config;
use case::Moment;
use member::Member;
pub use member::{Skew, Ticked, Watch};

/// One of a laboratory's engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberId(usize);

/// Some engines, the paths between them, and their time.
pub struct Lab {
    folder: PathBuf,
    seed: u64,
    impairment: Impairment,
    start: Instant,
    now: Instant,
    members: Vec<Member>,
    ways: Vec<Way>,
    /// Ways that are not as the others, by the numbers of their ends.
    special: Vec<(usize, usize, Impairment)>,
    messages: VecDeque<(Instant, WireMessage)>,
    /// Last packets of pictures that are held back, and from whom: see [`Lab::plant`].
    late: VecDeque<(Instant, usize, Held)>,
    assemble: Duration,
    present: Duration,
    watch: Watch,
    schedule: DefaultHasher,
    datagrams: u64,
    crossings: Option<Vec<Crossing>>,
    /// Datagrams of pictures that are still to be lost, and of whom; when the last of them was.
    losing: Option<(usize, u32)>,
    lost_at: Option<Instant>,
}

/// One direction between two members. What is on its way when the path changes arrives as it would have.
struct Way {
    from: usize,
    to: usize,
    path: ImpairedPath<Travelling>,
    before: Vec<ImpairedPath<Travelling>>,
}

/// A datagram on its way, and since when.
#[derive(Clone)]
struct Travelling {
    held: Held,
    sent: Instant,
}

impl WithLen for Travelling {
    fn len(&self) -> usize {
        self.held.len()
    }
}

/// A datagram that went from one member to another.
#[derive(Clone, Copy, Debug)]
pub struct Crossing {
    pub from: MemberId,
    /// Since the beginning.
    pub sent: Duration,
    pub arrived: Duration,
    /// With the headers of IP and UDP.
    pub bytes: usize,
    pub is_video: bool,
}

impl Way {
    fn next_due(&self) -> Option<Instant> {
        self.before.iter().chain([&self.path]).filter_map(ImpairedPath::next_due).min()
    }

    fn pop(&mut self, now: Instant) -> Option<Travelling> {
        self.before.retain(|path| path.next_due().is_some());
        self.before.iter_mut().chain([&mut self.path]).find_map(|path| path.pop(now))
    }
}

/// In microseconds since 1970: a fixed moment, so that a run shows nothing of when it ran. Before 2036: the 32 bits of
/// seconds in a capture time begin anew then (RFC 5905 §6).
const BEGINNING: u64 = 1_900_000_000_000_000;

/// The base port of every member; their addresses differ.
const BASE: u16 = 2000;

impl Lab {
    /// A laboratory without engines. Identities are kept in `folder`; all paths are as `impairment` says.
    pub fn new(folder: &Path, impairment: Impairment, seed: u64) -> Self {
        let start = WallTime::from_micros(BEGINNING).to_instant().unwrap_or_else(now);
        Self {
            folder: folder.to_owned(),
            seed,
            impairment,
            start,
            now: start,
            members: Vec::new(),
            ways: Vec::new(),
            special: Vec::new(),
            messages: VecDeque::new(),
            late: VecDeque::new(),
            assemble: Duration::ZERO,
            present: Duration::ZERO,
            watch: Watch::default(),
            schedule: DefaultHasher::new(),
            datagrams: 0,
            crossings: None,
            losing: None,
            lost_at: None,
        }
    }

    /// For engines added from now on: the last packet of every picture leaves `assemble` later, over the plain transport;
    /// screens show `present` later.
    pub const fn plant(&mut self, assemble: Duration, present: Duration) {
        (self.assemble, self.present) = (assemble, present);
    }

    /// Adds an engine called `name`, set up by `change`.
    ///
    /// # Errors
    /// Its identity cannot be made in the folder.
    pub fn add(&mut self, name: &str, change: impl FnOnce(&mut Config)) -> Result<MemberId> {
        self.add_with_clock(name, Skew::default(), change)
    }

    /// The same with a clock that is wrong.
    ///
    /// # Errors
    /// As [`Lab::add`].
    pub fn add_with_clock(&mut self, name: &str, skew: Skew, change: impl FnOnce(&mut Config)) -> Result<MemberId> {
        let number = self.members.len();
        let mut config = Config::new(name, self.folder.join(format!("{number}-{name}")), BASE);
        change(&mut config);
        self.members.push(Member::new(config, address(number), self.now, skew, self.present)?);
        Ok(MemberId(number))
    }

    /// The way from one member to another is another one than the rest. Before anything was sent on it.
    pub fn set_way(&mut self, from: MemberId, to: MemberId, impairment: Impairment) {
        self.special.push((from.0, to.0, impairment));
    }

    /// From now on all paths are as `impairment` says.
    pub fn change_paths(&mut self, impairment: Impairment) {
        self.impairment = impairment;
        self.special.clear();
        for way in &mut self.ways {
            let seed = seed_of(self.seed, way.from, way.to) ^ self.datagrams;
            way.before.push(std::mem::replace(&mut way.path, ImpairedPath::new(impairment, seed)));
        }
    }

    /// The decoders of `member` have lost their place: keyframes are asked for.
    pub fn want_keyframes(&mut self, member: MemberId) {
        self.members[member.0].want_keyframes(self.now);
    }

    /// `member` waits for pictures that it can decode.
    pub fn is_blocked(&mut self, member: MemberId) -> bool {
        self.members[member.0].is_blocked()
    }

    /// From now on every datagram that arrives is noted.
    pub fn note_crossings(&mut self) {
        self.crossings = Some(Vec::new());
    }

    /// What was noted, in the order of arrival.
    pub fn crossings(&self) -> &[Crossing] {
        self.crossings.as_deref().unwrap_or_default()
    }

    /// The next `count` datagrams of pictures of `member` are lost.
    pub const fn lose_pictures(&mut self, member: MemberId, count: u32) {
        (self.losing, self.lost_at) = (Some((member.0, count)), None);
    }

    /// When the last of them was lost, since the beginning; `None` before that.
    pub fn lost_at(&self) -> Option<Duration> {
        self.lost_at.map(|at| at - self.start)
    }

    /// From capture to play of the sound that `member` decoded last, milliseconds.
    pub fn sound_ms(&self, member: MemberId) -> Option<f64> {
        self.members[member.0].sound_ms()
    }

    /// How much further the clock of `other` is than that of `member`, microseconds: the truth.
    pub fn clock_difference(&self, member: MemberId, other: MemberId) -> i64 {
        let [ours, theirs] = [member, other].map(|id| self.members[id.0].wall_micros(self.now));
        theirs.wrapping_sub(ours) as i64
    }

    /// From now on `watch` is called around every tick.
    pub const fn set_watch(&mut self, watch: Watch) {
        self.watch = watch;
    }

    /// The engine of `member`, to look into it or to add a system to its tick.
    pub fn engine_mut(&mut self, member: MemberId) -> &mut Engine {
        self.members[member.0].engine_mut()
    }

    /// Under which target others call `member`.
    pub fn target(&self, member: MemberId) -> String {
        address(member.0).to_string()
    }

    pub fn command(&mut self, member: MemberId, command: Command) {
        self.members[member.0].command(command);
    }

    /// Lets `time` pass.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.next().filter(|at| *at <= until) {
            self.step(at);
        }
        self.now = until;
    }

    /// Lets time pass, at most `patience`, until every member has a report. Whether they have.
    pub fn run_until_ended(&mut self, patience: Duration) -> bool {
        let until = self.now + patience;
        let is_over = |lab: &Self| lab.members.iter().all(|member| member.report.is_some());
        while !is_over(self) {
            match self.next().filter(|at| *at <= until) {
                Some(at) => self.step(at),
                None => return false,
            }
        }
        true
    }

    /// The report of the last call of `member` that ended. Figures of the machine are left out: they are not of this time.
    pub fn report(&self, member: MemberId) -> Option<&Report> {
        self.members[member.0].report.as_ref()
    }

    /// A look at the call of `member` as it runs.
    pub fn look(&mut self, member: MemberId) -> Moment {
        let at = self.passed().as_secs_f64();
        self.members[member.0].look(at)
    }

    /// Of each picture that `member` was shown, in order, from the marker's time to its presentation, milliseconds.
    pub fn glass_ms(&self, member: MemberId) -> &[f32] {
        &self.members[member.0].glass_ms
    }

    /// How much time has passed.
    pub fn passed(&self) -> Duration {
        self.now - self.start
    }

    /// What `member` has decided so far, tick by tick, as one number.
    pub fn decisions(&self, member: MemberId) -> u64 {
        self.members[member.0].decided
    }

    /// Ticks of `member` so far.
    pub fn ticks(&self, member: MemberId) -> u64 {
        self.members[member.0].ticks
    }

    /// All datagrams that were sent, when, between whom and of what length, as one number; and how many there were.
    pub fn schedule(&self) -> (u64, u64) {
        (self.schedule.finish(), self.datagrams)
    }

    /// The next moment at which something happens.
    fn next(&self) -> Option<Instant> {
        let ways = self.ways.iter().filter_map(Way::next_due);
        let members = self.members.iter().filter_map(|member| member.next_due(self.now));
        let message = self.messages.front().map(|(at, _)| *at);
        let late = self.late.front().map(|(at, ..)| *at);
        ways.chain(members).chain(message).chain(late).min().map(|at| at.max(self.now))
    }

    fn step(&mut self, at: Instant) {
        self.now = at;
        for way in &mut self.ways {
            while let Some(Travelling { held, sent }) = way.pop(at) {
                self.members[way.to].arrive(&held, at);
                if let Some(crossings) = &mut self.crossings {
                    let [sent, arrived] = [sent, at].map(|at| at - self.start);
                    let (bytes, is_video) = (held.len(), held.class == Class::Video);
                    crossings.push(Crossing { from: MemberId(way.from), sent, arrived, bytes, is_video });
                }
            }
        }
        while let Some((_, message)) = self.messages.pop_front_if(|(due, _)| *due <= at) {
            self.deliver(message);
        }
        while let Some((_, from, held)) = self.late.pop_front_if(|(due, ..)| *due <= at) {
            self.send(from, held, at);
        }
        for from in 0..self.members.len() {
            if !self.members[from].turn(at, self.watch) {
                continue;
            }
            while let Some(message) = self.members[from].poll_message() {
                self.carry(from, message, at);
            }
            for held in self.members[from].take_sent() {
                if !self.assemble.is_zero() && plain::ends_picture(&held.bytes) {
                    self.late.push_back((at + self.assemble, from, held));
                } else {
                    self.send(from, held, at);
                }
            }
        }
    }

    /// Reliable and in order, as TCP is; as late as the path.
    fn carry(&mut self, from: usize, message: WireMessage, at: Instant) {
        let to = self.at(message.to);
        let due = at + to.map_or(self.impairment, |to| self.way_is(from, to)).delay;
        let place = self.messages.partition_point(|(other, _)| *other <= due);
        self.messages.insert(place, (due, message));
    }

    /// Who is at `place`.
    fn at(&self, place: SocketAddr) -> Option<usize> {
        (0..self.members.len()).find(|number| address(*number) == place)
    }

    fn way_is(&self, from: usize, to: usize) -> Impairment {
        let special = self.special.iter().find(|(a, b, _)| (*a, *b) == (from, to));
        special.map_or(self.impairment, |(.., impairment)| *impairment)
    }

    fn deliver(&mut self, message: WireMessage) {
        match (self.at(message.to), self.at(message.from)) {
            (Some(to), _) => self.members[to].take_message(message),
            (None, Some(from)) => self.members[from].undeliverable(message),
            (None, None) => {}
        }
    }

    fn send(&mut self, from: usize, held: Held, at: Instant) {
        let Some(to) = self.at(held.to) else { return };
        ((at - self.start).as_nanos(), from, to, held.bytes.len()).hash(&mut self.schedule);
        self.datagrams += 1;
        if let Some((_, left)) = self.losing.as_mut().filter(|(who, left)| *who == from && *left > 0)
            && held.class == Class::Video
        {
            *left -= 1;
            self.lost_at = (*left == 0).then_some(at);
            return;
        }
        let way = match self.ways.iter().position(|way| way.from == from && way.to == to) {
            Some(way) => way,
            None => {
                let path = ImpairedPath::new(self.way_is(from, to), seed_of(self.seed, from, to));
                self.ways.push(Way { from, to, path, before: Vec::new() });
                self.ways.len() - 1
            }
        };
        self.ways[way].path.push(Travelling { held, sent: at }, at);
    }
}

fn seed_of(seed: u64, from: usize, to: usize) -> u64 {
    seed.wrapping_mul(0x0100_0000_01b3) ^ ((from as u64) << 32 | to as u64)
}

/// Members live side by side in one network.
fn address(number: usize) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, (number / 250) as u8, (number % 250) as u8 + 1)), BASE)
}

#[cfg(test)]
mod tests;
